/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: accept, receive, check, send. Nothing here waits for a client. */
#ifndef ISMD_CLIENT_H
#define ISMD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "ismd/ident.h"

struct client;
struct ucred;
struct ismd;
struct lpar;
struct segment;

/* The listening socket @listener is readable; @via: the LPAR whose own it is. */
void client_accept(struct ismd *d, int listener, struct lpar *via);

/* A client on the connected channel @fd, which is taken over (closed where it is
 * refused). NULL: too many, gone already, or it belongs to no LPAR. */
struct client *client_new(struct ismd *d, int fd, pid_t pid, uid_t uid, struct lpar *via);
void client_free(struct ismd *d, struct client *c);

/* The configuration has changed: @c and its process go where they belong now. */
void client_settle(struct ismd *d, struct client *c);

/* The sockets that it makes from now on take part in the SYN-option proof; where that
 * cannot be, it goes on without. Not for tools: its cgroup pays for it. */
void client_mark(struct ismd *d, struct client *c);

/* What the @sender of a message on @c may change, now. */
enum rights client_rights(struct ismd *d, const struct client *c, const struct ucred *sender);

/* Clients that rest because their user has had his share of ismd's time. */
void clients_wake(struct ismd *d, uint64_t now_ns);
uint64_t clients_wake_ns(const struct ismd *d); /* when is the next one due? */

/* Is @fd a SOCK_SEQPACKET UNIX socket? (One that a client sent may be anything.) */
bool client_is_channel(int fd);

/*
 * One packet from @c. Descriptors in @fds are taken over. Any bytes are fine:
 * what is not a well-formed message is dropped.
 */
void client_on_message(struct ismd *d, struct client *c, const void *buf, size_t len, int *fds,
                       unsigned nfds, const struct ucred *cred);

/* 0 or -errno; a full channel loses the message. */
int client_send(struct client *c, const void *msg, size_t len, const int *fds, unsigned nfds);
/* @side: 2 = both are the client's. */
int client_send_segment(struct client *c, const struct segment *s, uint32_t side);

#endif
