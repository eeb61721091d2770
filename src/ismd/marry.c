/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No proof, no shared memory: what the index says is only a hint. The mate's
 * socket is fetched again here, while the copy of the other one may still be
 * open, and only cookies, mirrored addresses and TCP states of this moment
 * count.
 */
#include "ismd/marry.h"

#include <string.h>
#include <sys/random.h>

#include "ismd/client.h"
#include "ismd/conn.h"
#include "ismd/fetch.h"
#include "ismd/index.h"
#include "ismd/ismd.h"
#include "ismd/lgr.h"
#include "ismd/rows.h"

/* SMC's words: the client proposes, so it is told what the server could not do. */
static void decline_by_server(struct ismd *d, struct conn *cl, struct conn *sv, uint32_t why)
{
	conn_decline(d, sv, why, 0);
	conn_decline(d, cl, FAB_REASON_PEERDECL, why);
}

static void decline_by(struct ismd *d, struct conn *who, struct conn *other, uint32_t why)
{
	conn_decline(d, who, why, 0);
	conn_decline(d, other, FAB_REASON_PEERDECL, why);
}

static uint64_t random_token(void)
{
	uint64_t t = 0;

	/* unguessable is not needed, only unlikely to repeat */
	if (getrandom(&t, sizeof(t), GRND_NONBLOCK) != sizeof(t) || !t)
		t = loop_now_ns() * 0x9e3779b97f4a7c15ull | 1;
	return t;
}

static uint32_t wanted_bytes(const struct conn *a, const struct conn *b)
{
	uint32_t wa = lgr_round_dmb(atomic_load(&conn_row(a)->want_rcvbuf));
	uint32_t wb = lgr_round_dmb(atomic_load(&conn_row(b)->want_rcvbuf));

	return wa > wb ? wa : wb;
}

static void give_slot(struct ismd *d, struct conn *c, struct segment *s, unsigned slot,
                      unsigned side)
{
	c->seg = s;
	c->slot = slot;
	c->side = side;
	c->conn_token = ++d->next_conn_token ? d->next_conn_token : ++d->next_conn_token;
}

static void write_verdict(struct conn *c)
{
	struct fab_row *r = conn_row(c);

	r->seg_id = c->seg->id;
	r->side = c->side;
	r->slot = c->slot;
	r->lgr_id = c->seg->lgr->id;
	r->token = c->token;
	r->peer_token = c->peer_token;
	atomic_store(&r->reason, 0);
	atomic_store(&r->peer_reason, 0);
}

static bool set_matched(struct conn *c)
{
	uint32_t expect = FAB_ROW_PENDING;

	/* release: whoever sees MATCHED sees the verdict */
	return atomic_compare_exchange_strong(&conn_row(c)->state, &expect, FAB_ROW_MATCHED);
}

static void become_matched(struct ismd *d, struct conn *c)
{
	c->state = CONN_MATCHED;
	c->reason = c->peer_reason = 0;
	index_del(d, c);
	d->total.smc_conns++;
	if (c->proc && c->proc->client && log_allowed(&c->proc->client->log))
		log_event("client %u (%s, pid %d): row %u married, link group 0x%x segment %u "
		          "slot %u side %u",
		          c->proc->client->id, c->proc->comm, (int)c->proc->pid, c->row,
		          c->seg->lgr->id, c->seg->id, c->slot, c->side);
}

/* One of the rows was closed at this moment: as if it had never been matched. */
static void undo(struct ismd *d, struct conn *a, struct conn *b)
{
	struct segment *s = a->seg;
	unsigned slot = a->slot;

	a->seg = b->seg = NULL;
	lgr_unreserve(d, s, slot);
	conn_show_pending(d, a);
	conn_show_pending(d, b);
}

static void bind_pair(struct ismd *d, struct conn *cl, struct conn *sv, struct segment *s,
                      unsigned slot)
{
	struct lgr *g = s->lgr;
	unsigned side = g->proc[0] == cl->proc ? 0 : 1;

	cl->token = sv->peer_token = random_token();
	sv->token = cl->peer_token = random_token();
	give_slot(d, cl, s, slot, side);
	give_slot(d, sv, s, slot, !side);
	lgr_occupy(s, slot, side ? sv : cl, side ? cl : sv);
	write_verdict(cl);
	write_verdict(sv);
	if (!set_matched(cl)) {
		undo(d, cl, sv);
		return;
	}
	become_matched(d, cl);
	/* If this one was closed just now, the first stays matched to a ring that
	 * never opens, on TCP, and hears of the close there. */
	set_matched(sv);
	become_matched(d, sv);
}

static bool push(struct segment *s, unsigned side)
{
	struct proc *p = s->lgr->proc[side], *peer = s->lgr->proc[!side];

	if (s->pushed[side])
		return true;
	if (!p || !peer || !p->client)
		return false;
	if (client_send_segment(p->client, s, p == peer ? 2 : side, peer->vector) < 0)
		return false;
	s->pushed[side] = true;
	if (p == peer)
		s->pushed[!side] = true;
	return true;
}

static void marry(struct ismd *d, struct conn *cl, struct conn *sv)
{
	struct lgr *g = lgr_get(d, cl->proc, sv->proc);
	enum lgr_outcome o = LGR_NO_MEMORY;
	struct segment *s;
	unsigned slot, side;

	if (g) {
		o = lgr_reserve(d, g, wanted_bytes(cl, sv), &s, &slot);
		if (o != LGR_OK)
			lgr_reap(d, g);
	}
	if (o != LGR_OK) {
		decline_by_server(d, cl, sv, o == LGR_NO_DMB ? FAB_REASON_MAX_DMB : FAB_REASON_MEM);
		return;
	}
	side = g->proc[0] == cl->proc ? 0 : 1;
	if (!push(s, side) || !push(s, !side)) {
		/* its channel is full or gone: it could not use what it was given */
		bool client_failed = !s->pushed[side];

		lgr_unreserve(d, s, slot);
		decline_by(d, client_failed ? cl : sv, client_failed ? sv : cl, FAB_REASON_INTERR);
		return;
	}
	bind_pair(d, cl, sv, s, slot);
}

/* Both ends are proven. Policy, then marriage. */
static void decide(struct ismd *d, struct conn *a, struct conn *b)
{
	struct conn *cl = conn_is_server(a) && !conn_is_server(b) ? b : a;
	struct conn *sv = cl == a ? b : a;

	index_del(d, a);
	index_del(d, b);
	if (a->state == CONN_DECLINED)
		conn_decline(d, b, FAB_REASON_PEERDECL, a->reason);
	else if (b->state == CONN_DECLINED)
		conn_decline(d, a, FAB_REASON_PEERDECL, b->reason);
	else if (!d->power)
		decline_by(d, cl, sv, FAB_REASON_NOSMCDEV);
	else
		marry(d, cl, sv);
	/* not decided (a row closed under way): look for the other one again */
	if (a->state == CONN_PENDING)
		index_add(d, a);
	if (b->state == CONN_PENDING)
		index_add(d, b);
}

/* Is @m the other end of @c right now? */
static enum fetch_outcome prove(struct ismd *d, struct conn *c, struct conn *m)
{
	struct sock_id now;
	struct sock_key want;
	enum fetch_outcome o;

	conn_follow_row(d, m);
	o = fetch_verify(d, m, &now, NULL);
	if (o == FETCH_GONE && conn_find_heir(d, m))
		o = fetch_verify(d, m, &now, NULL);
	if (o != FETCH_OK)
		return o;
	sockid_mirror(&c->id.key, &want);
	if (memcmp(&want, &now.key, sizeof(want)) || now.cookie == c->id.cookie)
		return FETCH_GONE;
	m->id.tcp_state = now.tcp_state;
	return FETCH_OK;
}

static struct conn *find_mate(struct ismd *d, struct conn *c)
{
	struct sock_key mirror;

	sockid_mirror(&c->id.key, &mirror);
	return index_find(d, &mirror, c);
}

void marry_try(struct ismd *d, struct conn *c)
{
	struct conn *m = find_mate(d, c);
	struct sock_id now;

	if (!m)
		return;
	if (c->passed && fetch_verify(d, c, &now, NULL) != FETCH_OK) {
		decline_by(d, c, m, FAB_REASON_OI_NOPROOF);
		return;
	}
	switch (prove(d, c, m)) {
	case FETCH_OK:
		break;
	case FETCH_NO_PROOF:
		decline_by(d, m, c, FAB_REASON_OI_NOPROOF);
		return;
	case FETCH_HALF:
	case FETCH_GONE:
		/* closed behind our back: an address pair that is somebody else's now
		 * must not be found again */
		conn_set_unknown(d, m);
		return;
	default:
		return;
	}
	if (!sockid_can_marry(c->id.tcp_state) || !sockid_can_marry(m->id.tcp_state))
		return;
	decide(d, c, m);
}
