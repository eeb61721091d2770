/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <sched.h>
#include <string.h>

/* After this many looks let somebody else run: the other side may need our core. */
#define SPINS_PER_YIELD 20000u

static void relax(unsigned *spins)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
	if (++*spins % SPINS_PER_YIELD == 0)
		sched_yield();
}

size_t ring_write(struct ring *r, const void *buf, size_t len)
{
	uint64_t prod = atomic_load_explicit(&r->prod, memory_order_relaxed);
	size_t at = prod & (RING_BYTES - 1), room, first;
	unsigned spins = 0;

	while ((room = RING_BYTES - (prod - r->cons_seen)) < len) {
		/* acquire: the consumer has finished reading what we overwrite */
		r->cons_seen = atomic_load_explicit(&r->cons, memory_order_acquire);
		room = RING_BYTES - (prod - r->cons_seen);
		if (room)
			break;
		relax(&spins);
	}
	if (len > room)
		len = room;
	first = len < RING_BYTES - at ? len : RING_BYTES - at;
	memcpy(r->data + at, buf, first);
	memcpy(r->data, (const unsigned char *)buf + first, len - first);
	/* release: the bytes are there before the position says so */
	atomic_store_explicit(&r->prod, prod + len, memory_order_release);
	return len;
}

size_t ring_read(struct ring *r, void *buf, size_t len)
{
	uint64_t cons = atomic_load_explicit(&r->cons, memory_order_relaxed);
	size_t at = cons & (RING_BYTES - 1), there, first;
	unsigned spins = 0;

	while ((there = r->prod_seen - cons) == 0) {
		bool closed = atomic_load_explicit(&r->closed, memory_order_acquire);

		/* acquire: the bytes that the position covers are visible */
		r->prod_seen = atomic_load_explicit(&r->prod, memory_order_acquire);
		if (closed && r->prod_seen == cons)
			return 0;
		if (r->prod_seen == cons)
			relax(&spins);
	}
	if (len > there)
		len = there;
	first = len < RING_BYTES - at ? len : RING_BYTES - at;
	memcpy(buf, r->data + at, first);
	memcpy((unsigned char *)buf + first, r->data, len - first);
	/* release: we have finished reading what may now be overwritten */
	atomic_store_explicit(&r->cons, cons + len, memory_order_release);
	return len;
}

void ring_close(struct ring *r)
{
	atomic_store_explicit(&r->closed, true, memory_order_release);
}
