/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the other end of a connection, proving it, and deciding. */
#ifndef ISMD_MARRY_H
#define ISMD_MARRY_H

struct conn;
struct ismd;

/*
 * @c's socket was looked at just now and @c is in the index. If its mate is
 * known too, check both against the live sockets and decide about both. Without
 * a mate nothing happens.
 */
void marry_try(struct ismd *d, struct conn *c);

#endif
