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
#include "ismd/lpar.h"
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
	if (client_send_segment(p->client, s, p == peer ? 2 : side) < 0)
		return false;
	s->pushed[side] = true;
	if (p == peer)
		s->pushed[!side] = true;
	return true;
}

static uint32_t why_not(enum lgr_outcome o)
{
	switch (o) {
	case LGR_NO_DMB:
		return FAB_REASON_MAX_DMB;
	case LGR_QUOTA:
		return FAB_REASON_OI_QUOTA;
	default:
		return FAB_REASON_MEM;
	}
}

static void marry(struct ismd *d, struct conn *cl, struct conn *sv, const struct function *cl_fn,
                  const struct function *sv_fn)
{
	struct lgr *g = lgr_get(d, cl->proc, sv->proc, cl_fn, sv_fn);
	enum lgr_outcome o = LGR_NO_MEMORY;
	struct segment *s;
	unsigned slot, side;

	if (g) {
		o = lgr_reserve(d, g, wanted_bytes(cl, sv), &s, &slot);
		if (o != LGR_OK)
			lgr_reap(d, g);
	}
	if (o != LGR_OK) {
		decline_by_server(d, cl, sv, why_not(o));
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

static uint64_t bytes_so_far(const struct conn *c)
{
	const struct fab_row *r = conn_row(c);

	return atomic_load(&r->tx_tcp_bytes) + atomic_load(&r->rx_tcp_bytes);
}

/* Does the configuration let them? Else they are declined, or wait for more bytes. */
static bool policy_allows(struct ismd *d, struct conn *cl, struct conn *sv)
{
	uint64_t after = 0;

	switch (conf_policy(d->conf, cl->proc->lpar->name, sv->proc->lpar->name,
	                    sv->id.key.local_port, cl->proc->comm, sv->proc->comm, &after)) {
	case CONF_USE_NEVER:
		decline_by_server(d, cl, sv, FAB_REASON_OI_POLICY);
		return false;
	case CONF_USE_AFTER:
		if (bytes_so_far(cl) >= after || bytes_so_far(sv) >= after) {
			cl->after_bytes = sv->after_bytes = 0;
			return true;
		}
		cl->after_bytes = sv->after_bytes = after;
		atomic_store(&conn_row(cl)->look_at_bytes, after);
		atomic_store(&conn_row(sv)->look_at_bytes, after);
		return false;
	default:
		return true;
	}
}

/*
 * A child shares its parent's table, so one with fewer rights could ask for memory of
 * connections that are the parent's alone. Root has none in such a family.
 */
static bool shares_with_lesser(const struct ismd *d, const struct proc *p)
{
	if (!d->opt.system || p->uid != 0)
		return false;
	list_each(it, next, &p->table->members)
	{
		if (list_item(it, struct proc, link)->uid != 0)
			return true;
	}
	return false;
}

static void negotiate(struct ismd *d, struct conn *cl, struct conn *sv)
{
	struct function *cl_fn, *sv_fn;
	bool by_client;
	uint32_t why;

	why = lpar_negotiate(cl->proc->lpar, sv->proc->lpar, &cl_fn, &sv_fn, &by_client);
	if (shares_with_lesser(d, cl->proc) || shares_with_lesser(d, sv->proc))
		decline_by(d, shares_with_lesser(d, cl->proc) ? cl : sv,
		           shares_with_lesser(d, cl->proc) ? sv : cl, FAB_REASON_OI_FAMILY);
	else if (why)
		decline_by(d, by_client ? cl : sv, by_client ? sv : cl, why);
	else if (policy_allows(d, cl, sv))
		marry(d, cl, sv, cl_fn, sv_fn);
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
	else
		negotiate(d, cl, sv);
	/* not decided (a row closed under way): look for the other one again */
	if (a->state == CONN_PENDING)
		index_add(d, a);
	if (b->state == CONN_PENDING)
		index_add(d, b);
}

/* Each got what the other sent: one handshake made both. */
static bool nonces_agree(const struct proof_record *a, const struct proof_record *b)
{
	const uint32_t both = PROOF_F_LOCAL | PROOF_F_PEER;

	return (a->flags & both) == both && (b->flags & both) == both && a->local == b->peer &&
	       a->peer == b->local && a->is_client != b->is_client;
}

/* @a sent a nonce, and @b got another one, or none, or sent one that @a did not get. */
static bool says_otherwise(const struct proof_record *a, const struct proof_record *b)
{
	if (!(a->flags & PROOF_F_LOCAL))
		return false;
	return b->flags & (PROOF_F_LOCAL | PROOF_F_PEER | PROOF_F_PLAIN);
}

/*
 * One network namespace, and each one's peer is the other: one connection, unless
 * their nonces say that they are of different ones, or they are bound to different
 * devices, which may lead to different networks with the same addresses.
 */
static bool mirrored(const struct sock_id *a, const struct sock_id *b)
{
	struct sock_key want;

	sockid_mirror(&a->key, &want);
	return !memcmp(&want, &b->key, sizeof(want)) && a->ifindex == b->ifindex &&
	       !says_otherwise(&a->nonces, &b->nonces) && !says_otherwise(&b->nonces, &a->nonces);
}

/* Is @m the other end of @c right now? */
static enum fetch_outcome prove(struct ismd *d, struct conn *c, struct conn *m)
{
	enum conn_proof proof;
	struct sock_id now;
	enum fetch_outcome o;

	conn_follow_row(d, m);
	o = fetch_verify(d, m, &now, NULL);
	if (o == FETCH_GONE && conn_find_heir(d, m))
		o = fetch_verify(d, m, &now, NULL);
	if (o != FETCH_OK)
		return o;
	if (now.cookie == c->id.cookie)
		return FETCH_GONE;
	if (nonces_agree(&c->id.nonces, &now.nonces))
		proof = PROOF_SYN_OPTION;
	else if (mirrored(&c->id, &now))
		proof = PROOF_NAMESPACE;
	else
		return FETCH_GONE;
	c->proof = m->proof = proof;
	m->id.tcp_state = now.tcp_state;
	return FETCH_OK;
}

static struct conn *find_mate(struct ismd *d, struct conn *c)
{
	struct sock_key mirror;
	struct conn *m = index_find_nonce(d, c);

	if (m)
		return m;
	sockid_mirror(&c->id.key, &mirror);
	return index_find(d, &mirror, c);
}

/* The mate was a connect() under way when it was last looked at. */
static bool not_yet(const struct conn *m)
{
	return m->state != CONN_PENDING && m->state != CONN_DECLINED;
}

void marry_try(struct ismd *d, struct conn *c)
{
	struct conn *m = find_mate(d, c);
	struct sock_id now;

	if (!m || not_yet(m))
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
