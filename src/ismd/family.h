/* SPDX-License-Identifier: Apache-2.0 */
/* Process families: who joins a table, and what happens when one leaves. */
#ifndef ISMD_FAMILY_H
#define ISMD_FAMILY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct client;
struct ucred;
struct fab_msg_hello;
struct ismd;
struct proc;
struct table;

/* HELLO on @c from the process in @cred. @fd: the new channel that a forked
 * child sent along, taken over here; -1 if none. Answers with WELCOME. */
void family_hello(struct ismd *d, struct client *c, const struct fab_msg_hello *m,
                  const struct ucred *cred, int fd);

/* @c is about to be freed: its channel hung up. */
void family_channel_gone(struct ismd *d, struct client *c);

/* The member that calls itself by this pid, one that still talks first. NULL if none,
 * or if two of different pid namespaces do. */
struct proc *family_member(struct table *t, int32_t told);

/* Drop every family (at exit, in fuzzers). */
void family_drop_all(struct ismd *d);

#endif
