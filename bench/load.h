/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two loads. Every message carries its number, and a message out of order is
 * an error: a fast path that loses bytes must not win.
 */
#ifndef OPENISM_BENCH_LOAD_H
#define OPENISM_BENCH_LOAD_H

#include <stdint.h>

#include "hist.h"
#include "link.h"

enum load_mode {
	LOAD_PINGPONG, /* one message there, the same size back; round trips are timed */
	LOAD_STREAM,   /* messages one way as fast as they go; the receiver takes the time */
};

struct load {
	uint32_t mode;
	uint32_t size; /* bytes of a message */
	uint64_t warmup_ns;
	uint64_t run_ns;
};

struct load_result {
	struct hist rtt; /* ping-pong: nanoseconds of a round trip */
	uint64_t messages;
	uint64_t bytes; /* one way */
	uint64_t ns;
};

#define LOAD_MAX_SIZE (16u * 1024 * 1024)

/* Tells the server what to do and does it. 0 or -errno (-EBADMSG: wrong data). */
int load_client(struct link *l, const struct load *load, struct load_result *res);

/* Does what the client says, until it finishes. 0 or -errno. */
int load_server(struct link *l);

#endif
