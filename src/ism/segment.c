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

#define QUARANTINE_NS 2000000000ull /* no call is so late */

struct lgr {         /* one peer process: its vector serves all segments of the group */
	uint64_t id; /* 0: free to be used again */
	privfd_t vector;
	int own; /* place of the vector that we sleep on for it, -1: the process's own */
	struct lgr *next;
};

static struct ism_segment *_Atomic by_id[HASH]; /* newest of each bucket */
static struct ism_segment *_Atomic all;
static struct lgr *lgrs;
/* Segments of groups that are over: first still mapped, in the order of their end, then
 * free to be used again. */
static struct ism_segment *over_head, *over_tail, *unused;

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

/*
 * A link group is known by what ismd's message says, never by the segment's head: a peer
 * can write there, and would have us let go of what is in use. Ids are those of one
 * ismd; another one may use the same, so each has its own upper half.
 */
static uint64_t ismd_number = 1;

static uint64_t group_of(uint32_t lgr_id)
{
	return ismd_number << 32 | lgr_id;
}

void segments_of_the_past(void)
{
	ismd_number++;
}

static struct lgr *lgr_find(uint64_t id)
{
	struct lgr *l = lgrs;

	while (l && l->id != id)
		l = l->next;
	return l;
}

static void refuse_vectors(int vector, int own)
{
	sys_close(vector);
	if (own >= 0)
		sys_close(own);
}

/* @own: a vector of ours for this group alone, or -1. */
static privfd_t *lgr_vector(uint64_t lgr_id, int vector, int own)
{
	struct lgr *l = lgr_find(lgr_id);

	if (l && atomic_load(&l->vector) >= 0) {
		refuse_vectors(vector, own);
		return &l->vector;
	}
	l = lgr_find(0);
	if (!l) {
		l = page_alloc(sizeof(*l));
		if (l) {
			l->next = lgrs;
			lgrs = l;
		}
	}
	if (!l) {
		refuse_vectors(vector, own);
		return NULL;
	}
	l->own = own >= 0 ? vector_add(own) : -1;
	if (own >= 0 && l->own < 0) {
		sys_close(vector);
		return NULL;
	}
	if (privfd_adopt(vector, &l->vector) < 0) {
		if (l->own >= 0)
			vector_drop(l->own);
		return NULL;
	}
	l->id = lgr_id;
	return &l->vector;
}

/* What ended long ago is unmapped, and its objects may be used again. */
static void clear_quarantine(void)
{
	uint64_t now = sys_now_ns();

	while (over_head && over_head->over_ns + QUARANTINE_NS < now) {
		struct ism_segment *s = over_head;

		over_head = atomic_load(&s->next);
		munmap(s->base, s->bytes);
		atomic_store(&s->next, unused);
		unused = s;
	}
	if (!over_head)
		over_tail = NULL;
}

/* Out of the list. Who reads it at this moment goes on from @s to a list of ended ones,
 * and finds nothing there: ids are not used twice. */
static void segment_unlink(struct ism_segment *s)
{
	struct ism_segment *_Atomic *at = &all;

	while (atomic_load(at) != s)
		at = &atomic_load(at)->next;
	atomic_store(at, atomic_load(&s->next));
	if (atomic_load(&by_id[s->id % HASH]) == s)
		atomic_store(&by_id[s->id % HASH], NULL);
	s->over_ns = sys_now_ns();
	atomic_store(&s->next, NULL);
	if (over_tail)
		atomic_store(&over_tail->next, s);
	else
		over_head = s;
	over_tail = s;
}

void segment_forget(uint32_t lgr_id)
{
	uint64_t group = group_of(lgr_id);
	struct lgr *l = lgr_find(group);
	struct ism_segment *s, *next;

	clear_quarantine();
	for (s = atomic_load(&all); s; s = next) {
		next = atomic_load(&s->next);
		if (s->group == group)
			segment_unlink(s);
	}
	if (!l)
		return;
	privfd_close(&l->vector);
	if (l->own >= 0)
		vector_drop(l->own);
	l->id = 0;
}

/* @h is a private copy of the segment's head. */
static bool segment_valid(const struct fab_segment *h, const struct fab_msg_segment *m)
{
	uint64_t stride = (uint64_t)FAB_DMB_RING_OFFSET + h->dmb_bytes;

	return h->magic == FAB_SEG_MAGIC && h->version == FAB_LAYOUT_VERSION &&
	       h->seg_id == m->seg_id && h->lgr_id == m->lgr_id && h->nslots > 0 &&
	       h->nslots <= FAB_SEG_MAX_SLOTS && h->dmb_bytes >= FAB_DMB_MIN_BYTES &&
	       h->dmb_bytes <= FAB_DMB_MAX_BYTES && (h->dmb_bytes & (h->dmb_bytes - 1)) == 0 &&
	       m->bytes >= FAB_SEG_SLOTS_OFFSET + 2 * h->nslots * stride;
}

static struct ism_segment *segment_publish(const struct fab_segment *copy, void *base,
                                           uint64_t bytes, privfd_t *peer)
{
	struct ism_segment *s = unused;

	if (s)
		unused = atomic_load(&s->next);
	else
		s = page_alloc(sizeof(*s));
	if (!s)
		return NULL;
	s->id = copy->seg_id;
	s->lgr_id = copy->lgr_id;
	s->group = group_of(copy->lgr_id);
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

void segment_arrived(const struct fab_msg_segment *m, int memfd, int vector, int own_vector)
{
	struct fab_segment copy;
	void *base = MAP_FAILED;
	privfd_t *peer;

	clear_quarantine();
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
	peer = lgr_vector(group_of(copy.lgr_id), vector, own_vector);
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

void ism_ring(const struct ism_segment *seg)
{
	uint64_t one = 1;
	int fd = atomic_load(seg->peer_vector);

	if (fd >= 0)
		sys_write(fd, &one, sizeof(one));
}
