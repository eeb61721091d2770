/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rundir.h"

#define FILE_PATH_MAX (RUNDIR_PATH_MAX + 16)
#define BACKLOG 1024

static const char *in_dir(char path[FILE_PATH_MAX], const char *dir, const char *name)
{
	snprintf(path, FILE_PATH_MAX, "%s/%s", dir, name);
	return path;
}

static pid_t read_holder(int fd)
{
	char text[16] = { 0 };

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

static void write_holder(int fd)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* only for messages: a pid that is missing there harms nobody */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
		return;
}

/* Is the file that we locked still the one of that name? Its holder removes it
 * when it leaves. */
static bool still_named(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int try_lock(const char *dir, unsigned mode, int *lock_fd, pid_t *holder)
{
	char path[FILE_PATH_MAX];
	int fd, r = rundir_make(dir, mode);

	if (r < 0)
		return r == -ENOENT ? -EAGAIN : r;
	in_dir(path, dir, "ismd.lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? INSTANCE_TAKEN : -errno;
		*holder = read_holder(fd);
		close(fd);
		return r;
	}
	if (!still_named(fd, path)) {
		close(fd);
		return -EAGAIN;
	}
	write_holder(fd);
	*lock_fd = fd;
	return INSTANCE_OURS;
}

int instance_lock(const char *dir, unsigned mode, int *lock_fd, pid_t *holder)
{
	int r = -EAGAIN;

	/* -EAGAIN: another one was just leaving, and took the files along */
	for (int i = 0; i < 100 && r == -EAGAIN; i++)
		r = try_lock(dir, mode, lock_fd, holder);
	return r;
}

static int listen_at(const struct sockaddr_un *sa, socklen_t len, unsigned mode)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, r = 0;
	mode_t mask;

	if (fd < 0)
		return -errno;
	unlink(sa->sun_path);
	/* The file is made with the mode of the socket. No chmod() of its name: who else
	 * may write the directory could put a symbolic link there. */
	mask = umask(0);
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *)sa, len) < 0 ||
	    listen(fd, BACKLOG) < 0)
		r = -errno;
	umask(mask);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int instance_listen(const char *dir, unsigned mode)
{
	struct sockaddr_un sa;
	socklen_t len;
	int r = rundir_socket(dir, &sa, &len);

	return r < 0 ? r : listen_at(&sa, len, mode);
}

int instance_listen_path(const char *path, unsigned mode)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char dir[sizeof(sa.sun_path)];
	int n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path), r = 0;
	mode_t mask;
	char *slash;

	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(dir, sa.sun_path, sizeof(dir));
	/* its directory is what is mounted into a container */
	mask = umask(0);
	for (slash = strchr(dir + 1, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			r = -errno;
		*slash = '/';
	}
	umask(mask);
	return r < 0 ? r : listen_at(&sa, sizeof(sa), mode);
}

bool instance_answers(const char *dir)
{
	struct sockaddr_un sa;
	socklen_t len;
	bool ok;
	int fd;

	if (rundir_socket(dir, &sa, &len) < 0)
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	ok = connect(fd, (struct sockaddr *)&sa, len) == 0 || errno == EAGAIN;
	close(fd);
	return ok;
}

static void unlink_in(const char *dir, const char *name)
{
	char path[FILE_PATH_MAX];

	unlink(in_dir(path, dir, name));
}

void instance_unlink_socket(const char *dir)
{
	unlink_in(dir, "ismd.sock");
}

void instance_leave(const char *dir, bool keep_dir, int lock_fd)
{
	unlink_in(dir, "ismd.sock");
	unlink_in(dir, "ismd.log");
	unlink_in(dir, "ismd.lock"); /* last, and while it is locked */
	if (!keep_dir)
		rmdir(dir);
	if (lock_fd >= 0)
		close(lock_fd);
}

bool instance_power_load(const char *dir)
{
	char path[FILE_PATH_MAX];

	return access(in_dir(path, dir, "power"), F_OK) < 0;
}

int instance_power_save(const char *dir, bool on)
{
	char path[FILE_PATH_MAX];
	int fd;

	in_dir(path, dir, "power");
	if (on)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, "1 off\n", 6) != 6) {
		int r = -errno;

		close(fd);
		return r;
	}
	return close(fd) < 0 ? -errno : 0;
}

/* FNV-1a: only has to be stable and well spread. */
static uint64_t fnv1a(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return h;
}

static uint64_t gid_of(const void *data, size_t len)
{
	char boot[64] = { 0 };
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	uint64_t h;

	if (fd >= 0) {
		if (read(fd, boot, sizeof(boot) - 1) < 0)
			boot[0] = 0;
		close(fd);
	}
	h = fnv1a(0xcbf29ce484222325ull, boot, strlen(boot));
	h = fnv1a(h, data, len);
	return h ? h : 1;
}

uint64_t instance_gid(uid_t uid)
{
	return gid_of(&uid, sizeof(uid));
}

uint64_t instance_gid_of(const char *lpar, uint32_t fid)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%.64s/%u", lpar, fid);

	return gid_of(text, (size_t)n);
}
