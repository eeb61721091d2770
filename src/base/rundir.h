/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where ismd lives: a directory that only its owner can write.
 *
 * A client looks at $ISM_RUNTIME_DIR and nowhere else, where that is set (tests,
 * several boxes side by side); else at the box's own ismd in /run/ism, if there
 * is one, and then at the user's: $XDG_RUNTIME_DIR/openism, else
 * /run/user/UID/openism where that directory is ours, else /tmp/openism-UID.
 */
#ifndef OPENISM_BASE_RUNDIR_H
#define OPENISM_BASE_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RUNDIR_PATH_MAX 96 /* leaves room for "/ismd.sock" in sun_path */
#define RUNDIR_SYSTEM "/run/ism"

/* The @n-th directory where a client looks, from 0; not created or checked. 0,
 * -ENOENT after the last, or -ENAMETOOLONG. */
int rundir_candidate(unsigned n, char path[RUNDIR_PATH_MAX]);

/* Where the user's own ismd lives. 0, or -ENAMETOOLONG. */
int rundir_path(char path[RUNDIR_PATH_MAX]);

/* Where the box's ismd lives: $ISM_RUNTIME_DIR, else /run/ism. Likewise. */
int rundir_system(char path[RUNDIR_PATH_MAX]);

/*
 * May a client trust what is in @path? It is a directory (no symlink) that only
 * we can enter, or that only root can write. In a user namespace that does not map
 * root, root shows as the overflow uid; that counts where not anybody can make one.
 * 0, -ENOENT, -EPERM (somebody else's or too open), -ENOTDIR, or -errno.
 */
int rundir_check(const char *path);

/* Is it a directory that only we can enter? */
bool rundir_is_private(const char *path);

/* Our own directory of that mode (0700, or 0755 for the box's), made if it is
 * missing. As above. */
int rundir_make(const char *path, unsigned mode);

/* Address of the daemon's socket in @path. 0 or -ENAMETOOLONG. */
int rundir_socket(const char *path, struct sockaddr_un *sa, socklen_t *len);

#endif
