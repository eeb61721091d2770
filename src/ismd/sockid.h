/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a socket is, as the kernel tells it about the descriptor itself. This is
 * the whole basis of the proof: nothing a program writes enters here.
 */
#ifndef ISMD_SOCKID_H
#define ISMD_SOCKID_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proof/proof.h"

/* One end of a connection. Addresses are v4-mapped IPv6, ports in host order.
 * No padding, so that it can be hashed and compared as bytes. */
struct sock_key {
	uint64_t netns;
	struct in6_addr local;
	struct in6_addr peer;
	uint16_t local_port;
	uint16_t peer_port;
	uint32_t scope; /* interface of a link-local address */
};

_Static_assert(sizeof(struct sock_key) == 48, "no padding");

struct sock_id {
	struct sock_key key;
	uint64_t cookie;
	uint64_t inode;
	int family;                 /* AF_INET or AF_INET6: how tools print it */
	uint32_t ifindex;           /* bound interface, 0 = none */
	int tcp_state;              /* TCP_ESTABLISHED, ... */
	struct proof_record nonces; /* flags 0: none; filled in by fetch.c */
};

enum sockid_outcome {
	SOCKID_OK = 0,
	SOCKID_NOT_TCP = 1,  /* not a TCP socket at all */
	SOCKID_HALF = 2,     /* no peer address: listening, connecting or closed */
	SOCKID_NO_PROOF = 3, /* the kernel does not tell what the proof needs */
};

/* Fills in *id; with SOCKID_HALF everything but the peer. */
enum sockid_outcome sockid_read(int fd, struct sock_id *id);

/* The other end's key. */
void sockid_mirror(const struct sock_key *k, struct sock_key *mirror);

/* Address and port of @sa into v4-mapped form; false if it is not IP. */
bool sockid_normalise(const struct sockaddr_storage *sa, struct in6_addr *addr, uint16_t *port,
                      uint32_t *scope);

/* May a connection in this TCP state be married? */
bool sockid_can_marry(int tcp_state);

#endif
