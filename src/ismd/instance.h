/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one ismd of a runtime directory: lock, socket, and what stays behind.
 * ismd.lock (flock, held for life) decides who it is; a socket without a locked
 * lock file belongs to a dead one and is replaced.
 */
#ifndef ISMD_INSTANCE_H
#define ISMD_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum instance_outcome {
	INSTANCE_OURS = 0,
	INSTANCE_TAKEN = 1, /* another one holds the lock */
};

/* Make @dir with that mode and take its lock. INSTANCE_*, or -errno: -EPERM (somebody else's
 * or too open), -ENOTDIR, -ELOOP (a symlink), ... *lock_fd and *holder (0 if
 * unknown) are written as fits. */
int instance_lock(const char *dir, unsigned mode, int *lock_fd, pid_t *holder);

/* The listening socket in @dir, replacing a stale one. Descriptor or -errno. */
int instance_listen(const char *dir, unsigned mode);
/* Likewise at @path, whose directory is made if it is missing. */
int instance_listen_path(const char *path, unsigned mode);

/* Does somebody accept on the socket in @dir? */
bool instance_answers(const char *dir);

void instance_unlink_socket(const char *dir);

/* Remove socket, log, lock and, if then empty, the directory, unless @keep_dir: one
 * that is mounted into containers must be the same after a restart. */
void instance_leave(const char *dir, bool keep_dir, int lock_fd);

/* Power that was switched off survives the daemon in the file "power". */
bool instance_power_load(const char *dir);
int instance_power_save(const char *dir, bool on);

/* Function id: boot id and user, never 0. */
uint64_t instance_gid(uid_t uid);
/* Of a function of the box: boot id, LPAR and FID. */
uint64_t instance_gid_of(const char *lpar, uint32_t fid);

#endif
