/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the benchmark over one of its transports. TCP and UNIX use
 * the plain socket API and nothing else: a run of TCP under smc_run is the
 * measurement of openism. The ring exists only between a process and its fork.
 */
#ifndef OPENISM_BENCH_LINK_H
#define OPENISM_BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

enum transport { TRANSPORT_TCP, TRANSPORT_UNIX, TRANSPORT_RING };

struct link {
	enum transport transport;
	int fd;
	struct ring *tx, *rx;
};

/* What the path of a link was, as far as openism told. */
struct path_report {
	const char *mode; /* "SMCD", "TCP", or "none": openism is not here */
	uint32_t reason;
	uint64_t smc_bytes; /* both directions */
	uint64_t tcp_bytes;
};

/* The IPv4 address that TCP links use from now on, instead of 127.0.0.1. False: none. */
bool link_set_host(const char *address);

/* Two rings shared with later forks; NULL without memory. Never freed. */
struct ring *link_new_rings(void);

/*
 * The server's half: listen, tell the port (of loopback; of no meaning for UNIX)
 * through @port_pipe unless that is -1, accept one connection, stop listening.
 * 0 or -errno.
 */
int link_serve(struct link *l, enum transport t, struct ring *rings, uint16_t port, int port_pipe);

/* The client's half. @peer names the UNIX server: its process id. 0 or -errno. */
int link_connect(struct link *l, enum transport t, struct ring *rings, uint16_t port, int peer);

/* Do not wait for more to send: each message goes out at once. */
void link_no_delay(const struct link *l);

/* All @len bytes. 1, 0 at a clean end before the first byte, -errno otherwise. */
int link_read(struct link *l, void *buf, size_t len);
/* 0 or -errno. */
int link_write(struct link *l, const void *buf, size_t len);

/* No more from us; what is under way arrives. */
void link_finish(struct link *l);

/* Let openism, where it is, decide about the connection before the measurement. */
void link_settle(const struct link *l, int timeout_ms);
void link_path(const struct link *l, struct path_report *path);

#endif
