/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything about the machine that makes the proof impossible is found here before BPF
 * is asked, since BPF's own answer to all of it is EPERM.
 *
 * Pins belong into /sys/fs/bpf, which systemd mounts everywhere. ismd goes on to pin
 * there while it serves, so under ProtectKernelTunables= its unit needs
 * ReadWritePaths=/sys/fs/bpf; of cgroups it only opens directories to read. The mount
 * of our own that takes its place elsewhere ends with a private mount namespace, and
 * what was pinned with it: the next ismd begins anew then.
 */
#define _GNU_SOURCE
#include "proof/env.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define NAME_MAX_LEN 64
#define SHARED_BPFFS "/sys/fs/bpf"

/* The initial namespaces have fixed inodes (include/linux/proc_ns.h). */
#define PID_INIT_NS "pid:[4026531836]"
#define CGROUP_INIT_NS "cgroup:[4026531835]"

int why_set(struct why *w, int err, const char *format, ...)
{
	va_list args;

	if (w->size == 0)
		return err;
	va_start(args, format);
	vsnprintf(w->text, w->size, format, args);
	va_end(args);
	return err;
}

static bool has_cap(const struct __user_cap_data_struct *data, unsigned cap)
{
	return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

static int read_caps(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static int check_caps(struct why *w)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (read_caps(data) < 0)
		return why_set(w, -errno, "capget: %s", strerror(errno));
	if (has_cap(data, CAP_SYS_ADMIN) && has_cap(data, CAP_NET_ADMIN))
		return 0;
	if (!has_cap(data, CAP_BPF) && !has_cap(data, CAP_SYS_ADMIN))
		return why_set(w, -EPERM,
		               "no CAP_BPF: run ismd as root or give it that capability");
	if (!has_cap(data, CAP_NET_ADMIN))
		return why_set(w, -EPERM,
		               "no CAP_NET_ADMIN: run ismd as root or give it that capability");
	return 0;
}

static bool is_namespace(const char *kind, const char *expected)
{
	char path[64];
	char link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	return strcmp(link, expected) == 0;
}

int env_check(struct why *w)
{
	/* BPF names a process by its id in the initial namespace. */
	if (!is_namespace("pid", PID_INIT_NS))
		return why_set(w, -EPERM, "not in the initial pid namespace: run ismd on the host");
	/* The root that we would find were not the root of all. */
	if (!is_namespace("cgroup", CGROUP_INIT_NS))
		return why_set(w, -EPERM,
		               "not in the initial cgroup namespace: run ismd on the host");
	return check_caps(w);
}

int env_cgroup_open(struct why *w)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	int fd = -ENOENT;

	if (!mounts)
		return why_set(w, -errno, "/proc/self/mounts: %s", strerror(errno));
	while (fd < 0 && (m = getmntent(mounts)))
		if (strcmp(m->mnt_type, "cgroup2") == 0) {
			fd = open(m->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (fd < 0)
				fd = why_set(w, -errno, "%s: %s", m->mnt_dir, strerror(errno));
		}
	endmntent(mounts);
	if (fd == -ENOENT)
		why_set(w, fd, "no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	return fd;
}

/* bpffs keeps names with a dot for itself. */
bool env_name_is_good(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	return true;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (uint32_t)fs.f_type == BPF_FS_MAGIC;
}

static struct pins shared_path(const char *name)
{
	struct pins pins;

	snprintf(pins.path, sizeof(pins.path), SHARED_BPFFS "/openism-%s", name);
	return pins;
}

static struct pins own_path(const char *name)
{
	struct pins pins;

	snprintf(pins.path, sizeof(pins.path), "/run/openism-bpf-%s", name);
	return pins;
}

static int make_own(const char *path, struct why *w)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return why_set(w, -errno, "%s: %s", path, strerror(errno));
	if (is_bpffs(path))
		return 0;
	if (mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0) {
		int err = -errno;

		rmdir(path);
		return why_set(w, err,
		               "no bpffs at " SHARED_BPFFS " (mount -t bpf bpf " SHARED_BPFFS
		               "), and none at %s: %s",
		               path, strerror(-err));
	}
	return 0;
}

/* Where every machine with systemd has it. It stays: others may use it meanwhile. */
static bool make_shared(void)
{
	return is_bpffs(SHARED_BPFFS) || mount("bpf", SHARED_BPFFS, "bpf",
	                                       MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0;
}

int env_pins_make(const char *name, struct pins *pins, struct why *w)
{
	*pins = own_path(name);
	/* There was no other place when the earlier ismd began, perhaps: what is pinned stays. */
	if (is_bpffs(pins->path) || !make_shared())
		return make_own(pins->path, w);
	*pins = shared_path(name);
	if (mkdir(pins->path, 0700) < 0 && errno != EEXIST)
		return why_set(w, -errno, "%s: %s", pins->path, strerror(errno));
	return 0;
}

/* The last reference to a link goes some time after its pin: it ends now. Not asked of
 * maps, since ismd may no longer open what is pinned once it is locked in. */
static void end_if_link(const char *dir, const char *name)
{
	static const char *const links[] = { "ops-", "mark-", "synproof_" };
	bool is_link = false;
	char path[sizeof(struct pins) + NAME_MAX + 2];
	int fd;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		is_link = is_link || strncmp(name, links[i], strlen(links[i])) == 0;
	if (!is_link)
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	bpf_link_detach(fd);
	close(fd);
}

static int remove_all_in(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	int removed = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((d = readdir(dir))) {
		/* the kernel's own (progs.debug in the root) have a dot, ours never */
		if (strchr(d->d_name, '.'))
			continue;
		end_if_link(path, d->d_name);
		if (unlinkat(dirfd(dir), d->d_name, 0) < 0) {
			removed = -errno;
			break;
		}
		removed++;
	}
	closedir(dir);
	return removed;
}

/* ismd cannot any more when it ends, and must not try. */
static bool can_unmount(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return read_caps(data) == 0 && has_cap(data, CAP_SYS_ADMIN);
}

static int remove_dir(const char *path, bool mounted)
{
	int removed;

	if (!is_bpffs(path)) {
		rmdir(path); /* of a mount that went, if anything */
		return 0;
	}
	removed = remove_all_in(path);
	if (removed < 0)
		return removed;
	if (mounted && !can_unmount())
		return removed; /* the next one of the name takes it as it is */
	if (mounted && umount2(path, MNT_DETACH) < 0)
		return -errno;
	return rmdir(path) < 0 && errno != ENOENT ? -errno : removed;
}

int env_pins_remove(const char *name)
{
	struct pins pins = shared_path(name);
	int shared = remove_dir(pins.path, false);
	int own;

	pins = own_path(name);
	own = remove_dir(pins.path, true);
	if (shared < 0 || own < 0)
		return shared < 0 ? shared : own;
	return shared + own;
}
