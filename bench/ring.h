/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit that a shared-memory transport is measured against: one producer, one
 * consumer, a power-of-two ring between two processes, both spinning, and nothing
 * else: no sleep, no checks, no shutdown. Two copies, as in the real thing.
 */
#ifndef OPENISM_BENCH_RING_H
#define OPENISM_BENCH_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES (256u * 1024)

struct ring {
	/* producer's line; cons_seen spares it a read of the consumer's line */
	_Alignas(64) _Atomic uint64_t prod;
	uint64_t cons_seen;
	_Atomic bool closed;
	/* consumer's line */
	_Alignas(64) _Atomic uint64_t cons;
	uint64_t prod_seen;
	_Alignas(64) unsigned char data[RING_BYTES];
};

/* Copy up to @len bytes in; spins while the ring is full. Returns the count. */
size_t ring_write(struct ring *r, const void *buf, size_t len);

/* Copy up to @len bytes out; spins while the ring is empty. 0: closed and empty. */
size_t ring_read(struct ring *r, void *buf, size_t len);

void ring_close(struct ring *r);

#endif
