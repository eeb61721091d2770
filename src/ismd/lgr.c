/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/lgr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ismd/client.h"
#include "ismd/ismd.h"
#include "ismd/lpar.h"
#include "ismd/table.h"

uint32_t lgr_round_dmb(uint32_t want)
{
	uint32_t bytes = FAB_DMB_MIN_BYTES;

	if (!want)
		want = FAB_DMB_DEFAULT_BYTES;
	while (bytes < want && bytes < FAB_DMB_MAX_BYTES)
		bytes <<= 1;
	return bytes;
}

static uint64_t pair_hash(const struct proc *a, const struct proc *b)
{
	uint64_t pair[2] = { a->id, b->id };

	if (pair[0] > pair[1]) {
		pair[0] = b->id;
		pair[1] = a->id;
	}
	return map_hash(pair, sizeof(pair));
}

static bool is_group_of(const struct lgr *g, const struct proc *a, const struct proc *b,
                        const struct function *fa, const struct function *fb)
{
	return g->proc[0] == a && g->proc[1] == b && g->gid[0] == fa->gid && g->gid[1] == fb->gid &&
	       g->chid == fa->conf.chid && !strcmp(g->pnetid, fa->conf.pnetid);
}

static struct lgr *find(struct ismd *d, struct proc *a, struct proc *b, const struct function *fa,
                        const struct function *fb, uint64_t hash)
{
	for (struct mapent *e = map_first(&d->lgr_map, hash); e; e = map_next(e)) {
		struct lgr *g = list_item(e, struct lgr, ent);

		if (is_group_of(g, a, b, fa, fb) || is_group_of(g, b, a, fb, fa))
			return g;
	}
	return NULL;
}

/*
 * Who may write an eventfd may also read it, or make it block. Among processes of
 * one user that is his own affair; others get one for this link group alone, and
 * sleep on an epoll instance around it, so that nobody but the peer can touch it.
 */
static int make_vectors(struct lgr *g)
{
	for (unsigned i = 0; i < 2; i++) {
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

		g->ring[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		g->listen[i] = epoll_create1(EPOLL_CLOEXEC);
		if (g->ring[i] < 0 || g->listen[i] < 0 ||
		    epoll_ctl(g->listen[i], EPOLL_CTL_ADD, g->ring[i], &ev) < 0)
			return -errno;
	}
	return 0;
}

/* A forked child may go on with the connections of a process that is gone. */
static int heir_vector(const struct lgr *g, unsigned side)
{
	list_each(si, sn, &g->segments)
	{
		const struct segment *s = list_item(si, struct segment, link);

		for (unsigned i = 0; i < s->nslots; i++) {
			const struct conn *c = s->slots[i].conn[side];

			if (c && c->proc)
				return c->proc->vector;
		}
	}
	return -1;
}

int lgr_vector(const struct lgr *g, unsigned side)
{
	const struct proc *p = g->proc[side];

	if (g->foreign)
		return g->ring[side];
	return p ? p->vector : heir_vector(g, side);
}

static void lgr_free(struct ismd *d, struct lgr *g)
{
	for (unsigned i = 0; i < 2; i++) {
		if (g->ring[i] >= 0)
			close(g->ring[i]);
		if (g->listen[i] >= 0)
			close(g->listen[i]);
		user_put(d, g->user[i]);
	}
	free(g);
}

static struct lgr *lgr_new(struct ismd *d, struct proc *a, struct proc *b,
                           const struct function *fa, const struct function *fb)
{
	struct lgr *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	list_init(&g->segments);
	for (unsigned i = 0; i < 2; i++) {
		g->proc[i] = i ? b : a;
		g->gid[i] = (i ? fb : fa)->gid;
		g->ring[i] = g->listen[i] = -1;
		g->user[i] = g->proc[i]->user;
		g->table_id[i] = g->proc[i]->table ? g->proc[i]->table->id : 0;
		user_hold(g->user[i]);
	}
	g->chid = fa->conf.chid;
	g->vlan = fa->conf.vlan;
	memcpy(g->pnetid, fa->conf.pnetid, sizeof(g->pnetid));
	g->foreign = g->user[0] != g->user[1] || (d->opt.strangers && a != b);
	if (g->foreign && make_vectors(g) < 0) {
		lgr_free(d, g);
		return NULL;
	}
	return g;
}

struct lgr *lgr_get(struct ismd *d, struct proc *a, struct proc *b, const struct function *fa,
                    const struct function *fb)
{
	uint64_t hash = pair_hash(a, b);
	struct lgr *g = find(d, a, b, fa, fb, hash);

	if (g)
		return g;
	g = lgr_new(d, a, b, fa, fb);
	if (!g)
		return NULL;
	if (map_add(&d->lgr_map, &g->ent, hash) < 0) {
		lgr_free(d, g);
		return NULL;
	}
	d->next_lgr += 0x100;
	if (!d->next_lgr)
		d->next_lgr = 0x100;
	g->id = d->next_lgr;
	list_add_tail(&d->lgrs, &g->link);
	log_debug("link group 0x%x: new, pid %d and pid %d", g->id, (int)a->pid, (int)b->pid);
	return g;
}

struct fab_dmb *segment_dmb(const struct segment *s, unsigned slot, unsigned side)
{
	return (struct fab_dmb *)((char *)s->map + FAB_SEG_SLOTS_OFFSET +
	                          (2 * slot + side) * s->stride);
}

struct segment *segment_find(struct ismd *d, uint32_t id)
{
	struct mapent *e = map_first(&d->segments, map_hash(&id, sizeof(id)));

	for (; e; e = map_next(e)) {
		struct segment *s = list_item(e, struct segment, ent);

		if (s->id == id)
			return s;
	}
	return NULL;
}

/* Each end's user pays for his own receive buffer. */
static void charge(struct ismd *d, struct segment *s)
{
	d->dmb_bytes += 2 * s->stride;
	for (unsigned i = 0; i < 2; i++)
		user_charge(s->lgr->user[i], 0, 0, (int64_t)s->stride);
}

static void discharge(struct ismd *d, struct segment *s)
{
	d->dmb_bytes -= 2 * s->stride;
	for (unsigned i = 0; i < 2; i++)
		user_charge(s->lgr->user[i], 0, 0, -(int64_t)s->stride);
}

static void segment_free(struct ismd *d, struct segment *s)
{
	for (unsigned i = 0; i < s->nslots; i++)
		if (s->slots[i].committed)
			discharge(d, s);
	for (unsigned i = 0; i < 2; i++)
		user_charge(s->lgr->user[i], 0, -1, 0);
	/* a process that never lets go of its mapping keeps no memory with it; but what runs
	 * goes on when it is us who leave */
	if (!d->leaving)
		fallocate(s->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)s->bytes);
	map_del(&d->segments, &s->ent);
	list_del(&s->link);
	s->lgr->nsegments--;
	munmap(s->map, s->bytes);
	close(s->memfd);
	free(s);
}

static int segment_memory(struct segment *s)
{
	void *p;

	s->memfd = memfd_create("ism-seg", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->memfd < 0)
		return -errno;
	if (ftruncate(s->memfd, (off_t)s->bytes) < 0 ||
	    fcntl(s->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    fallocate(s->memfd, 0, 0, FAB_SEG_SLOTS_OFFSET) < 0)
		return -errno;
	p = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->memfd, 0);
	if (p == MAP_FAILED)
		return -errno;
	s->map = p;
	return 0;
}

static struct segment *segment_new(struct ismd *d, struct lgr *g, uint32_t dmb_bytes)
{
	struct segment *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	/* small at first: most pairs of processes have one connection */
	s->nslots = g->nsegments == 0 ? 4 : g->nsegments == 1 ? 16 : FAB_SEG_MAX_SLOTS;
	s->dmb_bytes = dmb_bytes;
	s->stride = FAB_DMB_RING_OFFSET + (uint64_t)dmb_bytes;
	s->bytes = FAB_SEG_SLOTS_OFFSET + 2 * s->nslots * s->stride;
	s->id = ++d->next_segment;
	s->lgr = g;
	if (segment_memory(s) < 0 ||
	    map_add(&d->segments, &s->ent, map_hash(&s->id, sizeof(s->id))) < 0) {
		if (s->map)
			munmap(s->map, s->bytes);
		if (s->memfd >= 0)
			close(s->memfd);
		free(s);
		return NULL;
	}
	s->map->version = FAB_LAYOUT_VERSION;
	s->map->seg_id = s->id;
	s->map->lgr_id = g->id;
	s->map->nslots = s->nslots;
	s->map->dmb_bytes = dmb_bytes;
	atomic_thread_fence(memory_order_release);
	s->map->magic = FAB_SEG_MAGIC;
	list_add_tail(&g->segments, &s->link);
	g->nsegments++;
	user_charge(g->user[0], 0, 1, 0);
	user_charge(g->user[1], 0, 1, 0);
	return s;
}

/* Memory that no connection uses, given back when new memory is refused; of @u's link
 * groups, or of all. */
static void drop_idle_memory(struct ismd *d, const struct user *u)
{
	list_each(gi, gn, &d->lgrs)
	{
		struct lgr *g = list_item(gi, struct lgr, link);

		if (u && g->user[0] != u && g->user[1] != u)
			continue;
		list_each(si, sn, &g->segments)
		{
			struct segment *s = list_item(si, struct segment, link);

			for (unsigned i = 0; i < s->nslots; i++) {
				off_t at = (off_t)(FAB_SEG_SLOTS_OFFSET + 2 * i * s->stride);

				if (s->slots[i].used || !s->slots[i].committed ||
				    fallocate(s->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				              at, (off_t)(2 * s->stride)) < 0)
					continue;
				s->slots[i].committed = false;
				discharge(d, s);
			}
		}
	}
}

static bool fits(struct ismd *d, uint64_t bytes)
{
	return bytes <= d->opt.max_dmb_bytes && d->dmb_bytes <= d->opt.max_dmb_bytes - bytes;
}

static bool commit(struct ismd *d, struct segment *s, unsigned slot)
{
	off_t at = (off_t)(FAB_SEG_SLOTS_OFFSET + 2 * slot * s->stride);
	uint64_t bytes = 2 * s->stride;

	if (s->slots[slot].committed)
		return true;
	if (!fits(d, bytes))
		drop_idle_memory(d, NULL);
	if (!fits(d, bytes) || fallocate(s->memfd, 0, at, (off_t)bytes) < 0)
		return false;
	s->slots[slot].committed = true;
	charge(d, s);
	return true;
}

static int free_slot(const struct segment *s)
{
	int spare = -1;

	if (s->nused == s->nslots)
		return -1;
	for (unsigned i = 0; i < s->nslots; i++) {
		if (s->slots[i].used)
			continue;
		if (s->slots[i].committed)
			return (int)i;
		if (spare < 0)
			spare = (int)i;
	}
	return spare;
}

static struct segment *segment_with_room(const struct lgr *g, uint32_t dmb_bytes)
{
	list_each(it, next, &g->segments)
	{
		struct segment *s = list_item(it, struct segment, link);

		if (s->dmb_bytes == dmb_bytes && s->nused < s->nslots)
			return s;
	}
	return NULL;
}

static bool reserve_size(struct ismd *d, struct lgr *g, uint32_t bytes, struct segment **seg,
                         unsigned *slot)
{
	struct segment *s = segment_with_room(g, bytes);
	struct segment *fresh = NULL;
	int i;

	if (!s)
		s = fresh = segment_new(d, g, bytes);
	if (!s)
		return false;
	i = free_slot(s);
	if (i < 0 || !commit(d, s, (unsigned)i)) {
		if (fresh)
			segment_free(d, fresh);
		return false;
	}
	for (unsigned side = 0; side < 2; side++) {
		memset((void *)segment_dmb(s, (unsigned)i, side), 0, sizeof(struct fab_dmb));
		/* a ready mark of the old connection is not the next one's */
		atomic_fetch_and(&s->map->side[side].ready, ~((uint64_t)1 << i));
	}
	s->slots[i].used = true;
	s->nused++;
	g->nconns++;
	d->ndmbs += 2;
	*seg = s;
	*slot = (unsigned)i;
	return true;
}

/* One more connection for @side's user: does his quota allow it? */
static bool allowed(const struct lgr *g, unsigned side, uint64_t bytes, bool new_segment)
{
	uint64_t ends = g->user[0] == g->user[1] ? 2 : 1;

	return user_may(g->user[side], 0, new_segment ? ends : 0,
	                ends * (FAB_DMB_RING_OFFSET + bytes));
}

static bool breaks_quota(struct ismd *d, struct lgr *g, unsigned side, uint32_t bytes)
{
	bool new_segment = !segment_with_room(g, bytes);

	if (!allowed(g, side, bytes, new_segment))
		drop_idle_memory(d, g->user[side]);
	if (allowed(g, side, bytes, new_segment))
		return false;
	user_refused(g->user[side], "his share of DMBs is used up");
	return true;
}

enum lgr_outcome lgr_reserve(struct ismd *d, struct lgr *g, uint32_t bytes, struct segment **seg,
                             unsigned *slot)
{
	if (d->ndmbs + 2 > d->opt.max_dmbs)
		return LGR_NO_DMB;
	if (breaks_quota(d, g, 0, bytes) || breaks_quota(d, g, 1, bytes))
		return LGR_QUOTA;
	for (; bytes >= FAB_DMB_MIN_BYTES; bytes >>= 1)
		if (reserve_size(d, g, bytes, seg, slot))
			return LGR_OK;
	return LGR_NO_MEMORY;
}

void lgr_occupy(struct segment *s, unsigned slot, struct conn *side0, struct conn *side1)
{
	s->slots[slot].conn[0] = side0;
	s->slots[slot].conn[1] = side1;
}

void lgr_unreserve(struct ismd *d, struct segment *s, unsigned slot)
{
	struct lgr *g = s->lgr;

	s->slots[slot].used = false;
	s->slots[slot].conn[0] = s->slots[slot].conn[1] = NULL;
	s->nused--;
	g->nconns--;
	d->ndmbs -= 2;
	lgr_reap(d, g);
}

void lgr_leave(struct ismd *d, struct conn *c)
{
	struct segment *s = c->seg;

	if (!s)
		return;
	c->seg = NULL;
	s->slots[c->slot].conn[c->side] = NULL;
	if (!s->slots[c->slot].conn[!c->side])
		lgr_unreserve(d, s, c->slot);
}

static void lgr_close(struct ismd *d, struct lgr *g)
{
	if (!g->closing)
		map_del(&d->lgr_map, &g->ent);
	g->closing = true;
}

/* Whoever of the family mapped its segments can let go of them. A message that is
 * lost costs a mapping without memory. */
static void tell_family(struct ismd *d, const struct lgr *g, unsigned side)
{
	struct fab_msg_forget m = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_FORGET },
		.lgr_id = g->id,
	};
	struct table *t = table_find(d, g->table_id[side]);

	if (!t)
		return;
	list_each(it, next, &t->members)
	{
		struct proc *p = list_item(it, struct proc, link);

		if (p->client)
			client_send(p->client, &m, sizeof(m), NULL, 0);
	}
}

void lgr_reap(struct ismd *d, struct lgr *g)
{
	if (g->nconns || (!g->closing && g->nsegments))
		return;
	lgr_close(d, g);
	list_each(it, next, &g->segments) segment_free(d, list_item(it, struct segment, link));
	log_debug("link group 0x%x: freed", g->id);
	tell_family(d, g, 0);
	if (g->table_id[1] != g->table_id[0])
		tell_family(d, g, 1);
	list_del(&g->link);
	lgr_free(d, g);
}

static bool has_power(struct ismd *d, uint64_t gid)
{
	list_each(li, ln, &d->lpars)
	{
		struct lpar *l = list_item(li, struct lpar, link);

		list_each(fi, fn, &l->functions)
		{
			const struct function *f = list_item(fi, struct function, link);

			if (f->gid == gid)
				return f->conf.power;
		}
	}
	return false;
}

unsigned lgr_unpowered(struct ismd *d, const struct lgr *g)
{
	return (unsigned)!has_power(d, g->gid[0]) | (unsigned)!has_power(d, g->gid[1]) << 1;
}

static void suspend(const struct segment *s, uint32_t suspended)
{
	for (unsigned i = 0; i < s->nslots; i++) {
		for (unsigned side = 0; side < 2; side++) {
			const struct conn *c = s->slots[i].conn[side];

			if (c)
				atomic_store(&c->table->rows[c->row].suspended, suspended);
		}
	}
}

void lgrs_follow_power(struct ismd *d)
{
	list_each(gi, gn, &d->lgrs)
	{
		struct lgr *g = list_item(gi, struct lgr, link);
		uint32_t suspended = lgr_unpowered(d, g) != 0;

		list_each(si, sn, &g->segments)
			suspend(list_item(si, struct segment, link), suspended);
	}
}

void lgr_proc_gone(struct ismd *d, struct proc *p)
{
	list_each(it, next, &d->lgrs)
	{
		struct lgr *g = list_item(it, struct lgr, link);

		if (g->proc[0] != p && g->proc[1] != p)
			continue;
		lgr_close(d, g);
		for (unsigned i = 0; i < 2; i++)
			if (g->proc[i] == p)
				g->proc[i] = NULL;
		lgr_reap(d, g);
	}
}
