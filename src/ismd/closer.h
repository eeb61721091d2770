/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing descriptors that clients named or sent. close() can wait for whoever is behind
 * a file: the linger time of a socket, a FUSE file's daemon, which may be the client
 * itself. So what is not known to be harmless is closed by a thread, and a user who
 * keeps several of those waiting is not served.
 */
#ifndef ISMD_CLOSER_H
#define ISMD_CLOSER_H

#include <stdbool.h>

struct ismd;
struct user;

/* Takes @fd over; never waits. @u: on whose account. */
void closer_close(struct ismd *d, struct user *u, int fd);

/* Does @u keep too many closes waiting? */
bool closer_is_held_up_by(const struct user *u);

#endif
