/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pid means nothing once its process is gone, so everything that is read below
 * /proc counts only if the pidfd says afterwards that the process still lives.
 */
#define _GNU_SOURCE
#include "ismd/ident.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

int ident_pidfd(int fd, pid_t pid)
{
	socklen_t len = sizeof(int);
	int pidfd = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

static bool lives(int pidfd)
{
	/* not permitted is a sign of life, too */
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno == EPERM;
}

static const char *proc_path(char path[64], pid_t pid, const char *name)
{
	snprintf(path, 64, "/proc/%d/%s", (int)pid, name);
	return path;
}

static int ns_stat(pid_t pid, const char *name, struct stat *st)
{
	char path[64];

	if (pid == 0)
		snprintf(path, sizeof(path), "/proc/self/%s", name);
	else
		proc_path(path, pid, name);
	return stat(path, st) < 0 ? -errno : 0;
}

int ident_own_netns(uint64_t *dev, uint64_t *ino)
{
	struct stat st;
	int r = ns_stat(0, "ns/net", &st);

	if (r == 0) {
		*dev = st.st_dev;
		*ino = st.st_ino;
	}
	return r;
}

/* The line "0::PATH"; in a hybrid set-up others stand before it. */
static void read_cgroup(struct ident *id)
{
	FILE *f;
	char path[64], *line = NULL;
	size_t size = 0;

	id->cgroup[0] = 0;
	f = fopen(proc_path(path, id->pid, "cgroup"), "re");
	if (!f)
		return;
	/* whole lines: the middle of a long one may look like the beginning of another */
	while (getline(&line, &size, f) > 0) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(id->cgroup, sizeof(id->cgroup), "%.511s", line + 3);
	}
	free(line);
	fclose(f);
}

int ident_read(struct ident *id, int fd, int pidfd)
{
	socklen_t len = sizeof(id->netns_cookie);
	struct stat st;
	int r = ns_stat(id->pid, "ns/net", &st);

	if (r < 0)
		return r;
	id->netns_dev = st.st_dev;
	id->netns_ino = st.st_ino;
	read_cgroup(id);
	/* an accepted socket is made in the namespace of the one that connected */
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &id->netns_cookie, &len) < 0)
		id->netns_cookie = 0;
	return lives(pidfd) ? 0 : -ESRCH;
}

static bool same_ns(pid_t pid, const char *name)
{
	struct stat a, b;

	return ns_stat(pid, name, &a) == 0 && ns_stat(0, name, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* The uid, as we see it, that is root in the process's user namespace. */
static bool root_of_userns(pid_t pid, uid_t *uid)
{
	unsigned long inside, outside, count;
	char path[64];
	bool found = false;
	FILE *f = fopen(proc_path(path, pid, "uid_map"), "re");

	if (!f)
		return false;
	while (!found && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3) {
		found = inside == 0 && count > 0;
		*uid = (uid_t)outside;
	}
	fclose(f);
	return found;
}

/*
 * Does its user namespace own its network namespace? Anybody may be root of a
 * user namespace of his own, but not of the network that he was started in.
 */
static bool owns_netns(pid_t pid)
{
	struct stat owner, own;
	char path[64];
	int net = open(proc_path(path, pid, "ns/net"), O_RDONLY | O_CLOEXEC), user = -1;
	bool ok = false;

	if (net >= 0)
		user = ioctl(net, NS_GET_USERNS);
	if (user >= 0)
		ok = fstat(user, &owner) == 0 && ns_stat(pid, "ns/user", &own) == 0 &&
		     owner.st_ino == own.st_ino && owner.st_dev == own.st_dev;
	if (user >= 0)
		close(user);
	if (net >= 0)
		close(net);
	return ok;
}

enum rights ident_rights(const struct ident *id, int pidfd, bool on_host, bool by_netns)
{
	enum rights r = RIGHTS_NONE;
	uid_t root;

	if (!root_of_userns(id->pid, &root) || id->uid != root)
		return RIGHTS_NONE;
	if (same_ns(id->pid, "ns/user") && same_ns(id->pid, "ns/pid") && on_host)
		r = RIGHTS_BOX;
	else if (!on_host && (by_netns ? owns_netns(id->pid) : same_ns(id->pid, "ns/user")))
		r = RIGHTS_LPAR;
	return lives(pidfd) ? r : RIGHTS_NONE;
}

bool ident_is_open(pid_t pid, int pidfd, uid_t uid)
{
	struct stat st;
	char path[64];

	/* owned by root while the process may not be looked into */
	return stat(proc_path(path, pid, "fd"), &st) == 0 && st.st_uid == uid && lives(pidfd);
}
