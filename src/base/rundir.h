/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where this user's ismd lives: a directory of mode 0700 owned by the user.
 *
 * Order: $ISM_RUNTIME_DIR (tests, several boxes side by side), else
 * $XDG_RUNTIME_DIR/openism, else /run/user/UID/openism where that directory is
 * ours, else /tmp/openism-UID.
 */
#ifndef OPENISM_BASE_RUNDIR_H
#define OPENISM_BASE_RUNDIR_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RUNDIR_PATH_MAX 96 /* leaves room for "/ismd.sock" in sun_path */

/* The directory's path, not created or checked. 0, or -ENAMETOOLONG. */
int rundir_path(char path[RUNDIR_PATH_MAX]);

/*
 * Is @path a directory that only we can write (owner, mode 0700, no symlink)?
 * 0, -ENOENT, -EPERM (somebody else's or too open), -ENOTDIR, or -errno.
 */
int rundir_check(const char *path);

/* rundir_check(), after creating the directory if it is missing. */
int rundir_make(const char *path);

/* Address of the daemon's socket in @path. 0 or -ENAMETOOLONG. */
int rundir_socket(const char *path, struct sockaddr_un *sa, socklen_t *len);

#endif
