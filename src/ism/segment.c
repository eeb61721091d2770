/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: mapped when ismd pushes them, found by id. Published in a list that
 * only grows, so that readers need no lock.
 *
 * A segment head is ismd's, but the peer can scribble on it: everything that is
 * used later (slots, sizes) is copied out and checked here, once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "ism/client.h"

#define HASH 1024u

struct lgr { /* one peer process: its vector serves all segments of the group */
	uint32_t id;
	privfd_t vector;
	struct lgr *next;
};

static struct ism_segment *_Atomic by_id[HASH]; /* newest of each bucket */
static struct ism_segment *_Atomic all;
static struct lgr *lgrs;

/* The library must not enter the program's allocator: pages of our own. */
static void *page_alloc(size_t bytes)
{
	static char *chunk;
	static size_t left;
	void *p;

	bytes = (bytes + 15) & ~(size_t)15;
	if (left < bytes) {
		chunk = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		             0);
		if (chunk == MAP_FAILED) {
			left = 0;
			return NULL;
		}
		left = 65536;
	}
	p = chunk;
	chunk += bytes;
	left -= bytes;
	return p;
}

/* @own: a vector of ours for this group alone, or -1. */
static privfd_t *lgr_vector(uint32_t lgr_id, int vector, int own)
{
	struct lgr *l;

	for (l = lgrs; l; l = l->next)
		if (l->id == lgr_id && atomic_load(&l->vector) >= 0) {
			sys_close(vector);
			if (own >= 0)
				sys_close(own);
			return &l->vector;
		}
	l = page_alloc(sizeof(*l));
	if (!l || (own >= 0 && !vector_add(own))) {
		sys_close(vector);
		if (!l && own >= 0)
			sys_close(own);
		return NULL;
	}
	l->id = lgr_id;
	if (privfd_adopt(vector, &l->vector) < 0)
		return NULL;
	l->next = lgrs;
	lgrs = l;
	return &l->vector;
}

/* @h is a private copy of the segment's head. */
static bool segment_valid(const struct fab_segment *h, const struct fab_msg_segment *m)
{
	uint64_t stride = (uint64_t)FAB_DMB_RING_OFFSET + h->dmb_bytes;

	return h->magic == FAB_SEG_MAGIC && h->version == FAB_LAYOUT_VERSION &&
	       h->seg_id == m->seg_id && h->nslots > 0 && h->nslots <= FAB_SEG_MAX_SLOTS &&
	       h->dmb_bytes >= FAB_DMB_MIN_BYTES && h->dmb_bytes <= FAB_DMB_MAX_BYTES &&
	       (h->dmb_bytes & (h->dmb_bytes - 1)) == 0 &&
	       m->bytes >= FAB_SEG_SLOTS_OFFSET + 2 * h->nslots * stride;
}

static struct ism_segment *segment_publish(const struct fab_segment *copy, void *base,
                                           uint64_t bytes, privfd_t *peer)
{
	struct ism_segment *s = page_alloc(sizeof(*s));

	if (!s)
		return NULL;
	s->id = copy->seg_id;
	s->lgr_id = copy->lgr_id;
	s->head = base;
	s->base = base;
	s->bytes = bytes;
	s->nslots = copy->nslots;
	s->dmb_bytes = copy->dmb_bytes;
	s->peer_vector = peer;
	atomic_store_explicit(&s->next, atomic_load(&all), memory_order_relaxed);
	atomic_store_explicit(&all, s, memory_order_release);
	atomic_store_explicit(&by_id[s->id % HASH], s, memory_order_release);
	return s;
}

static struct ism_segment *lookup(uint32_t id)
{
	struct ism_segment *s = atomic_load_explicit(&by_id[id % HASH], memory_order_acquire);

	if (s && s->id == id)
		return s;
	for (s = atomic_load_explicit(&all, memory_order_acquire); s;
	     s = atomic_load_explicit(&s->next, memory_order_acquire))
		if (s->id == id)
			return s;
	return NULL;
}

static void refuse_vectors(int vector, int own)
{
	sys_close(vector);
	if (own >= 0)
		sys_close(own);
}

void segment_arrived(const struct fab_msg_segment *m, int memfd, int vector, int own_vector)
{
	struct fab_segment copy;
	void *base = MAP_FAILED;
	privfd_t *peer;

	if (m->status == 0 && !lookup(m->seg_id) && m->bytes >= FAB_SEG_SLOTS_OFFSET &&
	    client_memfd_ok(memfd, m->bytes))
		base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	sys_close(memfd);
	if (base == MAP_FAILED) {
		refuse_vectors(vector, own_vector);
		return;
	}
	memcpy(&copy, base, sizeof(copy));
	if (!segment_valid(&copy, m)) {
		refuse_vectors(vector, own_vector);
		munmap(base, m->bytes);
		return;
	}
	peer = lgr_vector(copy.lgr_id, vector, own_vector);
	if (!peer || !segment_publish(&copy, base, m->bytes, peer))
		munmap(base, m->bytes);
}

struct ism_segment *ism_segment_get(uint32_t seg_id, uint32_t side, bool ask)
{
	struct fab_msg_get_segment m = { .seg_id = seg_id, .side = side };
	struct ism_segment *s = lookup(seg_id);

	if (s || pthread_mutex_trylock(&ism_client.lock) != 0)
		return s;
	if (ism_client.inherited)
		client_register();
	client_drain();
	s = lookup(seg_id);
	if (!s && ask) {
		m.head.magic = FAB_WIRE_MAGIC;
		m.head.version = FAB_WIRE_VERSION;
		m.head.type = FAB_MSG_GET_SEGMENT;
		client_send(&m, sizeof(m), NULL, 0);
	}
	pthread_mutex_unlock(&ism_client.lock);
	return s;
}

struct ism_segment *ism_segments(void)
{
	return atomic_load_explicit(&all, memory_order_acquire);
}

void ism_ring(const struct ism_segment *seg)
{
	uint64_t one = 1;
	int fd = atomic_load(seg->peer_vector);

	if (fd >= 0)
		sys_write(fd, &one, sizeof(one));
}
