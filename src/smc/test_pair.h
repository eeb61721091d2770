/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: two connected struct conn in one process, without ism and ismd. The
 * fabric is faked: the segment is anonymous shared memory, the rows lie in a small
 * array, a vector is a counter. The TCP connection is a real one, because the path
 * switches stand on the kernel's counts.
 *
 * Direction d is the one that side d writes and side d ^ 1 reads.
 */
#ifndef OPENISM_SMC_TEST_PAIR_H
#define OPENISM_SMC_TEST_PAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "smc/conn.h"

struct pair_segment { /* what one side sees */
	struct ism_segment seg;
	_Atomic unsigned rung; /* how often this side rang the other one's vector */
};

struct pair {
	struct fab_segment *head;
	size_t bytes;
	struct pair_segment side[2];
	struct fab_row *rows; /* shared, as children of a test may use them */
	struct conn c[2];
	int fd[2];
};

/* Everything up to the verdict: claimed, married, mapped; no receive side open.
 * @ring_bytes: a power of two, 64 at least. Aborts where it cannot. */
struct pair *pair_new(uint32_t ring_bytes);
void pair_free(struct pair *p);

/* Open the receive side of @side, and of both. */
bool pair_open(struct pair *p, int side);
void pair_open_both(struct pair *p);

/* Start positions of direction @d: ring bytes so far, and (even) switch number. */
void pair_seek(struct pair *p, int d, uint64_t pos, uint32_t seq);

/* One attempt to write or read, as the socket layer would make it: by ring or TCP.
 * A count, 0 at the end of the stream, or -errno. */
ssize_t pair_write(struct pair *p, int side, const void *buf, size_t len);
ssize_t pair_read(struct pair *p, int side, void *buf, size_t len, int flags);

/* pair_read() with CONN_ASK, patient for a second: TCP may need a moment. */
ssize_t pair_await(struct pair *p, int side, void *buf, size_t len);

/* How often @side was rung, since the last time this was asked. */
unsigned pair_rings(struct pair *p, int side);

/* The byte of direction @d at stream position @pos; a run of them; is it one? */
static inline unsigned char pair_byte(int d, uint64_t pos)
{
	uint64_t x = (pos + 1) * 0x9e3779b97f4a7c15ull;

	return (unsigned char)((x >> 56) ^ (x >> 23) ^ (unsigned)d);
}
void pair_fill(int d, uint64_t pos, void *buf, size_t len);
bool pair_same(int d, uint64_t pos, const void *buf, size_t len);

/* A small random generator: a test's schedule follows from its seed alone. */
struct rnd {
	uint64_t s;
};
static inline uint32_t rnd(struct rnd *r, uint32_t below)
{
	r->s += 0x9e3779b97f4a7c15ull;
	uint64_t z = (r->s ^ (r->s >> 30)) * 0xbf58476d1ce4e5b9ull;

	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return below ? (uint32_t)((z ^ (z >> 31)) % below) : 0;
}

#endif
