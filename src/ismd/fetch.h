/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting at a row's socket. pidfd_getfd() fetches the descriptor itself; where
 * that is forbidden, the socket's identity comes once with CLAIM_FD, and later
 * /proc says whether the descriptor still names that inode. A copy is never
 * kept: it would keep the connection open after the program closed it.
 */
#ifndef ISMD_FETCH_H
#define ISMD_FETCH_H

#include <stdbool.h>

#include "ismd/sockid.h"

struct ismd;
struct conn;
struct proc;

enum fetch_outcome {
	FETCH_OK = 0,
	FETCH_HALF = 1,      /* no peer address (yet) */
	FETCH_GONE = 2,      /* that descriptor is not that socket (any more) */
	FETCH_FORBIDDEN = 3, /* this process' descriptors cannot be fetched */
	FETCH_LATER = 4,     /* out of descriptors just now */
	FETCH_NO_PROOF = 5,  /* the kernel does not tell enough */
};

/* sockid_read() of a descriptor of ours, with its nonces. */
enum sockid_outcome fetch_read(struct ismd *d, int fd, struct sock_id *id);

/* What is descriptor @fd of @p? If @keep is not NULL and the outcome is
 * FETCH_OK, the copy is handed out there and the caller closes it with
 * closer_close(). */
enum fetch_outcome fetch_identity(struct ismd *d, const struct proc *p, int fd, struct sock_id *id,
                                  int *keep);

/* Is @c's socket still where it was, and the same? *now is its identity now. */
enum fetch_outcome fetch_verify(struct ismd *d, const struct conn *c, struct sock_id *now,
                                int *keep);

/* Does @p hold the socket of @c under the same number? */
bool fetch_is_held_by(struct ismd *d, const struct conn *c, const struct proc *p);

#endif
