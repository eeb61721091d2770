/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end of a channel, as the kernel says. Nothing that a client
 * sends enters here.
 */
#ifndef ISMD_IDENT_H
#define ISMD_IDENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define IDENT_CGROUP_MAX 512 /* longer ones are cut: more than ism.conf can name */

struct ident {
	pid_t pid;                     /* as ismd sees it */
	uid_t uid;                     /* likewise */
	uint64_t netns_dev, netns_ino; /* of the process */
	uint64_t netns_cookie;         /* of the channel's socket */
	char cgroup[IDENT_CGROUP_MAX]; /* cgroup v2 path, "" unknown */
};

/* What somebody may change. */
enum rights {
	RIGHTS_NONE = 0,
	RIGHTS_LPAR = 1, /* root of an LPAR: what is that LPAR's */
	RIGHTS_BOX = 2,  /* root of the host: everything */
};

/* The process that made the channel @fd: a pidfd of it, or -errno. @pid: what
 * SO_PEERCRED says, for kernels that do not give the pidfd themselves. */
int ident_pidfd(int fd, pid_t pid);

/* Fill in *id for the process behind @pidfd, which made the channel @fd; pid and uid
 * are set. 0, or -errno: gone, or /proc does not tell. */
int ident_read(struct ident *id, int fd, int pidfd);

/* The network namespace of the daemon itself. */
int ident_own_netns(uint64_t *dev, uint64_t *ino);

/*
 * Rights of the process behind @pidfd, now. @on_host: it belongs to the host LPAR.
 * @by_netns: its LPAR is its network namespace, so that who is root there may be told by
 * who owns that; of any other kind of LPAR, root is user 0 of the host.
 */
enum rights ident_rights(const struct ident *id, int pidfd, bool on_host, bool by_netns);

/* Is the process one that its user could look into (no set-uid program, which
 * would show as root's)? Its uid must still be the one that said HELLO. */
bool ident_is_open(pid_t pid, int pidfd, uid_t uid);

#endif
