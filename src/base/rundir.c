/* SPDX-License-Identifier: Apache-2.0 */
/* The per-user runtime directory. Uses no allocation: the preload library needs
 * it before main(). */
#define _GNU_SOURCE
#include "base/rundir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int format(char path[RUNDIR_PATH_MAX], const char *fmt, const char *arg)
{
	int n = snprintf(path, RUNDIR_PATH_MAX, fmt, arg);

	return n < 0 || n >= RUNDIR_PATH_MAX ? -ENAMETOOLONG : 0;
}

int rundir_path(char path[RUNDIR_PATH_MAX])
{
	const char *dir = getenv("ISM_RUNTIME_DIR");
	char run_user[48];
	struct stat st;

	if (dir && dir[0] == '/')
		return format(path, "%s", dir);
	dir = getenv("XDG_RUNTIME_DIR");
	if (dir && dir[0] == '/' && rundir_check(dir) == 0)
		return format(path, "%s/openism", dir);
	snprintf(run_user, sizeof(run_user), "/run/user/%u", (unsigned)geteuid());
	if (lstat(run_user, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		return format(path, "%s/openism", run_user);
	snprintf(run_user, sizeof(run_user), "%u", (unsigned)geteuid());
	return format(path, "/tmp/openism-%s", run_user);
}

int rundir_check(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || (st.st_mode & 0077))
		return -EPERM;
	return 0;
}

int rundir_make(const char *path)
{
	int r = rundir_check(path);

	if (r != -ENOENT)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	return rundir_check(path);
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
