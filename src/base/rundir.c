/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime directories. Uses no allocation: the preload library needs
 * it before main(). */
#define _GNU_SOURCE
#include "base/rundir.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OVERFLOW_UID 65534 /* root, where a user namespace has no number for it */

static int format(char path[RUNDIR_PATH_MAX], const char *fmt, const char *arg)
{
	int n = snprintf(path, RUNDIR_PATH_MAX, fmt, arg);

	return n < 0 || n >= RUNDIR_PATH_MAX ? -ENAMETOOLONG : 0;
}

static const char *from_environment(void)
{
	const char *dir = getenv("ISM_RUNTIME_DIR");

	return dir && dir[0] == '/' ? dir : NULL;
}

static bool is_private(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & 0077);
}

static int look(const char *path, struct stat *st)
{
	if (lstat(path, st) < 0)
		return -errno;
	return S_ISDIR(st->st_mode) ? 0 : -ENOTDIR;
}

int rundir_path(char path[RUNDIR_PATH_MAX])
{
	const char *dir = from_environment();
	char run_user[48];
	struct stat st;

	if (dir)
		return format(path, "%s", dir);
	dir = getenv("XDG_RUNTIME_DIR");
	if (dir && dir[0] == '/' && look(dir, &st) == 0 && is_private(&st))
		return format(path, "%s/openism", dir);
	snprintf(run_user, sizeof(run_user), "/run/user/%u", (unsigned)geteuid());
	if (look(run_user, &st) == 0 && st.st_uid == geteuid())
		return format(path, "%s/openism", run_user);
	snprintf(run_user, sizeof(run_user), "%u", (unsigned)geteuid());
	return format(path, "/tmp/openism-%s", run_user);
}

int rundir_system(char path[RUNDIR_PATH_MAX])
{
	const char *dir = from_environment();

	return format(path, "%s", dir ? dir : RUNDIR_SYSTEM);
}

int rundir_candidate(unsigned n, char path[RUNDIR_PATH_MAX])
{
	if (n == 0 && !from_environment())
		return format(path, "%s", RUNDIR_SYSTEM);
	if (n == 0 || (n == 1 && !from_environment()))
		return rundir_path(path);
	return -ENOENT;
}

/* Could anybody have made @path, also who really has the overflow uid? */
static bool anybody_makes(const char *path)
{
	char parent[RUNDIR_PATH_MAX];
	struct stat st;
	char *slash;

	if (format(parent, "%s", path) < 0)
		return true;
	slash = strrchr(parent, '/');
	if (!slash)
		return true;
	slash[slash == parent] = 0;
	return stat(parent, &st) < 0 || (st.st_mode & 0002);
}

int rundir_check(const char *path)
{
	struct stat st;
	int r = look(path, &st);

	if (r < 0)
		return r;
	if (is_private(&st))
		return 0;
	if (st.st_mode & 0022)
		return -EPERM;
	return st.st_uid == 0 || (st.st_uid == OVERFLOW_UID && !anybody_makes(path)) ? 0 : -EPERM;
}

bool rundir_is_private(const char *path)
{
	struct stat st;

	return look(path, &st) == 0 && is_private(&st);
}

int rundir_make(const char *path, unsigned mode)
{
	struct stat st;
	int r = look(path, &st);

	if (r == -ENOENT) {
		if (mkdir(path, mode) < 0 && errno != EEXIST)
			return -errno;
		if (chmod(path, mode) < 0) /* the umask took some of it */
			return -errno;
		r = look(path, &st);
	}
	if (r < 0)
		return r;
	return st.st_uid == geteuid() && !(st.st_mode & 07777 & ~mode) ? 0 : -EPERM;
}

int rundir_socket(const char *path, struct sockaddr_un *sa, socklen_t *len)
{
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/ismd.sock", path);
	if (n < 0 || (size_t)n >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	return 0;
}
