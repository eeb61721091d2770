/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: accept, receive, check, send. Nothing here waits for a client. */
#ifndef ISMD_CLIENT_H
#define ISMD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct client;
struct ucred;
struct ismd;
struct segment;

/* The listening socket is readable. */
void client_accept(struct ismd *d);

/* A client on the connected channel @fd, which is taken over (closed without
 * memory). NULL: too many. */
struct client *client_new(struct ismd *d, int fd, pid_t pid, uid_t uid);
void client_free(struct ismd *d, struct client *c);

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
int client_send_segment(struct client *c, const struct segment *s, uint32_t side, int peer_vector);

#endif
