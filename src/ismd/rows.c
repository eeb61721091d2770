/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows are the client's memory: each field is read once, and a row that changed
 * while its socket was fetched is not believed. The library withdraws pid, fd
 * or state of a row *before* the kernel closes the descriptor, so a descriptor
 * number that was reused meanwhile shows as a changed row.
 */
#include "ismd/rows.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>

#include "ismd/closer.h"
#include "ismd/conn.h"
#include "ismd/family.h"
#include "ismd/fetch.h"
#include "ismd/index.h"
#include "ismd/ismd.h"
#include "ismd/marry.h"

#define RETRIES_PER_CLAIM 8

/* ---------------------------------------------------------------- identity */

static bool row_still(const struct conn *c, int32_t pid, int32_t fd)
{
	struct fab_row *r = conn_row(c);

	return atomic_load(&r->state) == FAB_ROW_PENDING && atomic_load(&r->gen) == c->gen &&
	       atomic_load(&r->pid) == pid && atomic_load(&r->fd) == fd;
}

static bool is_pinned(struct ismd *d, struct conn *c)
{
	struct fab_row *r = conn_row(c);
	uint32_t why;

	if (!(atomic_load(&r->flags) & FAB_ROWF_PINNED))
		return false;
	why = atomic_load(&r->pin_reason);
	conn_decline(d, c, why ? why : FAB_REASON_OPTUNSUPP, 0);
	return true;
}

/* Another row already is this socket: it went to another program, or a client
 * lies. Two libraries on one ring would tear the stream apart. */
static bool is_duplicate(struct ismd *d, struct conn *c)
{
	struct conn *o = index_find_cookie(d, c);

	if (!o)
		return false;
	if (o->state != CONN_MATCHED && (!o->proc || !o->proc->client)) {
		conn_set_unknown(d, o); /* its old holder does not talk to us any more */
		conn_decline(d, o, FAB_REASON_OI_EXEC, 0);
		return false;
	}
	conn_decline(d, o, FAB_REASON_OI_PASSED, 0);
	conn_decline(d, c, FAB_REASON_OI_PASSED, 0);
	return true;
}

/* The same address pair twice: the older one is usually a socket that was closed
 * behind our back. If both live (two VRFs), nothing says whose mate is whose. */
static bool is_ambiguous(struct ismd *d, struct conn *c)
{
	struct conn *o = index_find(d, &c->id.key, c);
	struct sock_id now;
	enum fetch_outcome f;

	if (!o)
		return false;
	f = fetch_verify(d, o, &now, NULL);
	if (f == FETCH_GONE || f == FETCH_HALF) {
		conn_set_unknown(d, o);
		return false;
	}
	if (f == FETCH_OK && memcmp(&now.key, &o->id.key, sizeof(now.key)) != 0) {
		conn_set_unknown(d, o); /* the same socket, but connected to somebody else */
		return false;
	}
	conn_decline(d, o, FAB_REASON_OI_NOPROOF, 0);
	conn_decline(d, c, FAB_REASON_OI_NOPROOF, 0);
	index_del(d, o);
	return true;
}

static bool is_self(const struct sock_key *k)
{
	return k->local_port == k->peer_port && !memcmp(&k->local, &k->peer, sizeof(k->local));
}

static void retry_half(struct ismd *d, struct conn *c);
static void retry_nonce(struct ismd *d, struct conn *c);
static void retry_unknown(struct ismd *d);
static void learn(struct ismd *d, struct conn *c, const struct sock_id *id, bool half);

static void learn_connected(struct ismd *d, struct conn *c)
{
	bool told;

	if (is_self(&c->id.key)) {
		conn_decline(d, c, FAB_REASON_OI_SELF, 0);
		return;
	}
	if (is_ambiguous(d, c))
		return;
	told = is_pinned(d, c);
	if (!told)
		c->state = CONN_PENDING;
	if (index_add(d, c) < 0) {
		conn_decline(d, c, FAB_REASON_MEM, 0);
		return;
	}
	marry_try(d, c);
	if (c->state == CONN_PENDING || told) {
		retry_nonce(d, c);
		retry_half(d, c);
	}
	conn_show_hint(d, c);
}

static void learn(struct ismd *d, struct conn *c, const struct sock_id *id, bool half)
{
	index_del(d, c);
	index_del_cookie(d, c);
	c->id = *id;
	list_del(&c->unknown_link);
	if (c->role == FAB_ROLE_LISTEN) {
		c->state = CONN_LISTEN;
		return;
	}
	if (index_add_cookie(d, c) < 0 || index_add_nonce(d, c) < 0) {
		conn_decline(d, c, FAB_REASON_MEM, 0);
		return;
	}
	if (is_duplicate(d, c))
		return;
	if (!half) {
		learn_connected(d, c);
		return;
	}
	if (id->tcp_state != TCP_SYN_SENT || index_add(d, c) < 0)
		conn_set_unknown(d, c); /* not connected: perhaps later */
	else
		c->state = CONN_HALF;
}

static void identify(struct ismd *d, struct conn *c)
{
	struct fab_row *r = conn_row(c);
	int32_t pid = atomic_load(&r->pid), fd = atomic_load(&r->fd);
	struct proc *p = family_member(c->table, pid);
	struct sock_id id;
	enum fetch_outcome o;
	int keep = -1;

	if (!p)
		return;
	o = fetch_identity(d, p, fd, &id, &keep);
	if (o == FETCH_FORBIDDEN)
		atomic_store(&c->table->head->pass_fds, 1);
	if (row_still(c, pid, fd)) {
		if (o == FETCH_OK || o == FETCH_HALF) {
			conn_set_holder(c, p, fd);
			learn(d, c, &id, o == FETCH_HALF);
		} else if (o == FETCH_NO_PROOF) {
			conn_set_holder(c, p, fd);
			conn_decline(d, c, FAB_REASON_OI_NOPROOF, 0);
		}
	}
	if (keep >= 0)
		closer_close(d, p->user, keep);
}

void row_claim_fd(struct ismd *d, struct table *t, uint32_t idx, uint32_t gen, int fd)
{
	struct sock_id id;
	enum sockid_outcome o;
	struct conn *c;
	struct proc *p;
	int32_t pid, row_fd;

	if (idx >= FAB_ROWS)
		return;
	row_process(d, t, idx); /* the claim itself may not have been seen yet */
	c = t->conns[idx];
	if (!c || c->gen != gen || (c->state != CONN_UNKNOWN && c->state != CONN_HALF))
		return;
	pid = atomic_load(&t->rows[idx].pid);
	row_fd = atomic_load(&t->rows[idx].fd);
	p = family_member(t, pid);
	o = fetch_read(d, fd, &id);
	if (!p || (o != SOCKID_OK && o != SOCKID_HALF) || !row_still(c, pid, row_fd))
		return;
	c->passed = true;
	conn_set_holder(c, p, row_fd);
	learn(d, c, &id, o == SOCKID_HALF);
}

/* The connect() that sent this SYN, under way when it was claimed. */
static void retry_nonce(struct ismd *d, struct conn *c)
{
	struct conn *h = index_find_nonce(d, c);

	if (h && h->state == CONN_HALF)
		identify(d, h);
}

/* Connects that were under way when they were claimed, from where @c's peer is. */
static void retry_half(struct ismd *d, struct conn *c)
{
	struct sock_key half;
	struct conn *h;

	index_half_key(&c->id.key, &half);
	for (int i = 0; i < RETRIES_PER_CLAIM; i++) {
		h = index_find(d, &half, c);
		if (!h)
			break;
		identify(d, h);
		if (h->state == CONN_HALF) /* still: another one may have the same port */
			break;
	}
	if (c->state == CONN_PENDING)
		retry_unknown(d);
}

/* A few rows whose socket could not be looked at: one of them may be the mate. */
static void retry_unknown(struct ismd *d)
{
	static bool busy;

	if (busy) /* what is found there must not start another round */
		return;
	busy = true;
	for (int i = 0; i < RETRIES_PER_CLAIM && !list_empty(&d->unknown); i++) {
		struct conn *c = list_item(d->unknown.next, struct conn, unknown_link);

		list_del(&c->unknown_link);
		list_add_tail(&d->unknown, &c->unknown_link);
		identify(d, c);
	}
	busy = false;
}

/* ---------------------------------------------------------------- the row */

static void release_row(struct ismd *d, struct table *t, uint32_t idx)
{
	uint32_t expect = FAB_ROW_CLOSED;

	if (t->conns[idx])
		conn_free(d, t->conns[idx]);
	atomic_compare_exchange_strong(&t->rows[idx].state, &expect, FAB_ROW_FREE);
}

/* The row's process is gone, and nobody else closes it. */
static void close_row(struct ismd *d, struct conn *c)
{
	struct table *t = c->table;
	struct fab_row *r = conn_row(c);
	uint32_t idx = c->row, state = atomic_load(&r->state);

	if (d->leaving) { /* what runs goes on without us: touch nothing */
		conn_free(d, c);
		return;
	}
	conn_mark_aborted(d, c);
	if (state == FAB_ROW_PENDING || state == FAB_ROW_MATCHED || state == FAB_ROW_DECLINED)
		atomic_compare_exchange_strong(&r->state, &state, FAB_ROW_CLOSED);
	release_row(d, t, idx);
}

static void first_look(struct ismd *d, struct table *t, uint32_t idx, uint32_t gen)
{
	struct fab_row *r = &t->rows[idx];
	uint32_t expect = FAB_ROW_CLAIMED;
	struct conn *c = conn_new(d, t, idx, gen);

	if (!c)
		return; /* stays CLAIMED, on TCP */
	conn_show_pending(d, c);
	if (!atomic_compare_exchange_strong(&r->state, &expect, FAB_ROW_PENDING)) {
		conn_free(d, c); /* closed this very moment */
		return;
	}
	if (c->role == FAB_ROLE_NONE) {
		conn_decline(d, c, FAB_REASON_INTERR, 0);
		return;
	}
	identify(d, c);
	if (c->state == CONN_UNKNOWN || c->state == CONN_HALF)
		is_pinned(d, c);
}

void conn_follow_row(struct ismd *d, struct conn *c)
{
	struct fab_row *r = conn_row(c);
	int32_t pid = atomic_load(&r->pid), fd = atomic_load(&r->fd);
	struct proc *p;
	int old_fd = c->fd;

	if (c->proc && c->proc->told == pid && c->fd == fd)
		return;
	p = family_member(c->table, pid);
	if (!p || fd < 0)
		return;
	c->fd = fd;
	if (fetch_is_held_by(d, c, p))
		conn_set_holder(c, p, fd);
	else
		c->fd = old_fd;
}

/* Before what is known of @c counts again: is its socket still connected like that? */
static bool is_as_known(struct ismd *d, struct conn *c)
{
	struct sock_id now;
	enum fetch_outcome o = fetch_verify(d, c, &now, NULL);

	if (o == FETCH_OK && !memcmp(&now.key, &c->id.key, sizeof(now.key))) {
		c->id = now;
		return true;
	}
	if (o == FETCH_OK || o == FETCH_HALF || o == FETCH_GONE)
		conn_set_unknown(d, c);
	return false;
}

static void look_again(struct ismd *d, struct conn *c)
{
	switch (c->state) {
	case CONN_UNKNOWN:
	case CONN_HALF:
		if (c->role != FAB_ROLE_LISTEN)
			is_pinned(d, c);
		if (c->state != CONN_DECLINED)
			identify(d, c);
		break;
	case CONN_PENDING:
		conn_follow_row(d, c);
		if ((is_pinned(d, c) || c->passed) && is_as_known(d, c))
			marry_try(d, c);
		else
			identify(d, c);
		break;
	default:
		if (c->id.cookie)
			conn_follow_row(d, c);
		break;
	}
}

void row_process(struct ismd *d, struct table *t, uint32_t idx)
{
	struct fab_row *r = &t->rows[idx];
	uint32_t state = atomic_load(&r->state), gen = atomic_load(&r->gen);
	struct conn *c = t->conns[idx];

	if (c && (c->gen != gen || state <= FAB_ROW_CLAIMED)) {
		conn_free(d, c); /* not by the rules, but clear enough */
		c = NULL;
	}
	switch (state) {
	case FAB_ROW_FREE:
	case FAB_ROW_HELD:
		d->total.early_closed++;
		break;
	case FAB_ROW_CLAIMED:
		first_look(d, t, idx, gen);
		break;
	case FAB_ROW_PENDING:
	case FAB_ROW_MATCHED:
	case FAB_ROW_DECLINED:
		if (c)
			look_again(d, c);
		break;
	case FAB_ROW_CLOSED:
		release_row(d, t, idx);
		break;
	default:
		break;
	}
}

/* ----------------------------------------------------------- whole families */

bool conn_find_heir(struct ismd *d, struct conn *c)
{
	struct proc *old = c->proc;

	if (!c->id.cookie)
		return false;
	list_each(it, next, &c->table->members)
	{
		struct proc *p = list_item(it, struct proc, link);

		if (p == old || !fetch_is_held_by(d, c, p))
			continue;
		conn_set_holder(c, p, c->fd);
		return true;
	}
	return false;
}

/* To look for heirs after one end. Those that were not looked for may live: their rows
 * stay until they close them, or the family ends. */
#define HEIRS_NS 20000000

void rows_holder_gone(struct ismd *d, struct proc *p)
{
	uint64_t until = loop_now_ns() + HEIRS_NS;

	list_each(it, next, &p->conns)
	{
		struct conn *c = list_item(it, struct conn, proc_link);

		bool late = loop_now_ns() > until;

		if (late || !conn_find_heir(d, c))
			conn_set_holder(c, NULL, c->fd);
		c->unsure = late;
	}
}

void rows_holder_mute(struct ismd *d, struct proc *p)
{
	uint64_t until = loop_now_ns() + HEIRS_NS;

	list_each(it, next, &p->conns)
	{
		struct conn *c = list_item(it, struct conn, proc_link);

		if (loop_now_ns() <= until && !fetch_is_held_by(d, c, p) && !conn_find_heir(d, c))
			close_row(d, c);
	}
}

static bool waits_for(const struct conn *c, const struct proc *p)
{
	return !c->proc || atomic_load(&conn_row(c)->pid) == p->told;
}

void rows_member_joined(struct ismd *d, struct proc *p)
{
	struct table *t = p->table;

	for (uint32_t i = 0, left = t->nconns; i < FAB_ROWS && left; i++) {
		struct conn *c = t->conns[i];

		if (!c)
			continue;
		left--;
		if (!waits_for(c, p))
			continue;
		if (c->id.cookie && !c->proc && fetch_is_held_by(d, c, p))
			conn_set_holder(c, p, c->fd);
		look_again(d, c);
	}
}

/* Nobody holds it, or nobody ever did and the process that claimed it is gone. */
static bool is_orphan(const struct conn *c)
{
	pid_t pid = atomic_load(&conn_row(c)->pid);

	if (c->proc || c->unsure || family_member(c->table, pid))
		return false;
	if (c->id.cookie || pid <= 0)
		return true;
	return !c->table->foreign_pids && kill(pid, 0) < 0 && errno == ESRCH;
}

void rows_close_orphans(struct ismd *d, struct table *t)
{
	for (uint32_t i = 0; i < FAB_ROWS && t->nconns; i++)
		if (t->conns[i] && is_orphan(t->conns[i]))
			close_row(d, t->conns[i]);
}

void rows_close_all(struct ismd *d, struct table *t)
{
	for (uint32_t i = 0; i < FAB_ROWS && t->nconns; i++)
		if (t->conns[i])
			close_row(d, t->conns[i]);
}

void rows_power_changed(struct ismd *d, struct table *t)
{
	for (uint32_t i = 0, left = t->nconns; i < FAB_ROWS && left; i++) {
		struct conn *c = t->conns[i];

		if (!c)
			continue;
		left--;
		if (c->state != CONN_MATCHED && c->state != CONN_DECLINED)
			conn_show_pending(d, c);
		conn_show_hint(d, c);
	}
}
