/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks for the test: namespaces without a name, which end with the test, and what
 * of the option was seen on their wires. All of it asserts.
 */
#ifndef OPENISM_PROOF_TEST_NET_H
#define OPENISM_PROOF_TEST_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct net {
	int fd;
	uint64_t cookie;
	int capture;
};

/* Once, before all else: where net_leave() leads. */
void net_start(void);
void net_stop(void);

/* A new one, lo up, everything on its interfaces captured. */
struct net net_new(void);
void net_free(struct net *n);
void net_enter(const struct net *n);
void net_leave(void);

/* Run a shell command in there (NULL: here); it must succeed. */
void net_sh(const struct net *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A veth pair, @a's end has @addr_a/24 (or /64) and so on; NULL: no address. */
void net_link(const struct net *a, const char *dev_a, const char *addr_a, const struct net *b,
              const char *dev_b, const char *addr_b);

/* What is on the wire: segments with option / without. */
struct seen {
	unsigned syn, syn_plain;
	unsigned synack, synack_plain;
	unsigned other, other_option; /* any that is neither */
	unsigned malformed;           /* our id, but not as specified */
	uint64_t syn_nonce, synack_nonce;
	bool syn_changed, synack_changed; /* two with different nonces */
};

/* Takes all that was captured since the last call. @port: of the server there. */
struct seen net_seen(const struct net *n, uint16_t port);

#endif
