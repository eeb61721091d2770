/* SPDX-License-Identifier: Apache-2.0 */
#include "ismd/conn.h"

#include <stdlib.h>
#include <unistd.h>

#include "ismd/index.h"
#include "ismd/ismd.h"
#include "ismd/lgr.h"
#include "ismd/lpar.h"

struct fab_row *conn_row(const struct conn *c)
{
	return &c->table->rows[c->row];
}

bool conn_is_server(const struct conn *c)
{
	return c->role == FAB_ROLE_ACCEPT;
}

struct conn *conn_new(struct ismd *d, struct table *t, uint32_t row, uint32_t gen)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->table = t;
	c->row = row;
	c->gen = gen;
	c->fd = -1;
	c->role = atomic_load(&t->rows[row].role);
	if (c->role > FAB_ROLE_ACCEPT)
		c->role = FAB_ROLE_NONE;
	list_init(&c->proc_link);
	list_init(&c->unknown_link);
	list_add_tail(&d->unknown, &c->unknown_link);
	t->conns[row] = c;
	t->nconns++;
	if (c->role != FAB_ROLE_LISTEN)
		d->total.claims++;
	return c;
}

void conn_set_holder(struct conn *c, struct proc *p, int fd)
{
	list_del(&c->proc_link);
	c->proc = p;
	c->fd = fd;
	c->unsure = false;
	if (p)
		list_add_tail(&p->conns, &c->proc_link);
}

void conn_set_unknown(struct ismd *d, struct conn *c)
{
	index_del(d, c);
	index_del_cookie(d, c);
	index_del_nonce(d, c);
	c->passed = false;
	c->state = CONN_UNKNOWN;
	list_del(&c->unknown_link);
	list_add_tail(&d->unknown, &c->unknown_link);
}

void count_fallback(struct ismd *d, bool server, uint32_t reason)
{
	struct fallback_count *f;

	for (unsigned i = 0; i < d->nfallback; i++) {
		f = &d->fallback[i];
		if (f->reason == reason && f->server == server) {
			f->count++;
			return;
		}
	}
	if (d->nfallback == FALLBACK_KINDS) /* invented reasons of a client */
		return;
	f = &d->fallback[d->nfallback++];
	f->reason = reason;
	f->server = server;
	f->count = 1;
}

static bool never_decided(const struct conn *c)
{
	return c->role != FAB_ROLE_LISTEN && c->state != CONN_MATCHED && c->state != CONN_DECLINED;
}

void conn_free(struct ismd *d, struct conn *c)
{
	conn_add_counters(c, &d->total);
	if (never_decided(c)) {
		d->total.tcp_conns++;
		count_fallback(d, conn_is_server(c), c->reason ? c->reason : FAB_REASON_PEERNOSMC);
	}
	index_del(d, c);
	index_del_cookie(d, c);
	index_del_nonce(d, c);
	list_del(&c->proc_link);
	list_del(&c->unknown_link);
	lgr_leave(d, c);
	c->table->conns[c->row] = NULL;
	c->table->nconns--;
	free(c);
}

void conn_decline(struct ismd *d, struct conn *c, uint32_t reason, uint32_t peer_reason)
{
	struct fab_row *row = conn_row(c);
	uint32_t expect = FAB_ROW_PENDING;

	if (c->state == CONN_MATCHED || c->state == CONN_DECLINED)
		return;
	list_del(&c->unknown_link);
	c->state = CONN_DECLINED;
	c->reason = reason;
	c->peer_reason = peer_reason;
	atomic_store(&row->reason, reason);
	atomic_store(&row->peer_reason, peer_reason);
	/* if it fails the program has closed it: nobody is interested any more */
	atomic_compare_exchange_strong(&row->state, &expect, FAB_ROW_DECLINED);
	d->total.tcp_conns++;
	count_fallback(d, conn_is_server(c), reason);
	if (c->proc && c->proc->client && log_allowed(&c->proc->client->log))
		log_event("client %u (%s, pid %d): row %u declined, 0x%08x/0x%08x",
		          c->proc->client->id, c->proc->comm, (int)c->proc->pid, c->row, reason,
		          peer_reason);
}

struct lpar *conn_lpar(const struct conn *c)
{
	if (c->proc)
		return c->proc->lpar;
	if (list_empty(&c->table->members))
		return NULL;
	return list_item(c->table->members.next, struct proc, link)->lpar;
}

void conn_show_pending(struct ismd *d, struct conn *c)
{
	struct fab_row *row = conn_row(c);
	const struct lpar *l;

	if (c->role == FAB_ROLE_LISTEN)
		return;
	l = conn_lpar(c);
	c->reason = !l || lpar_powered(l) ? FAB_REASON_PEERNOSMC : FAB_REASON_NOSMCDEV;
	c->peer_reason = 0;
	atomic_store(&row->reason, c->reason);
	atomic_store(&row->peer_reason, 0);
}

static bool has_power(const struct conn *c)
{
	const struct lpar *l = conn_lpar(c);

	return !l || lpar_powered(l);
}

static void show(struct conn *c, uint32_t reason, uint32_t peer_reason)
{
	if (c->state != CONN_PENDING)
		return;
	c->reason = reason;
	c->peer_reason = peer_reason;
	atomic_store(&conn_row(c)->reason, reason);
	atomic_store(&conn_row(c)->peer_reason, peer_reason);
}

void conn_show_hint(struct ismd *d, struct conn *c)
{
	struct conn *off, *on, *m;
	struct sock_key mirror;

	if (!d->opt.system || c->state != CONN_PENDING)
		return;
	sockid_mirror(&c->id.key, &mirror);
	m = index_find_pair(d, &mirror);
	if (!m || m == c || m->state != CONN_PENDING)
		return;
	if (has_power(c) && has_power(m)) {
		if (m->peer_reason) /* not any more */
			conn_show_pending(d, m);
		return;
	}
	/* both off: SMC's client is the one that says so */
	off = has_power(c) || (!has_power(m) && conn_is_server(c)) ? m : c;
	on = off == c ? m : c;
	show(off, FAB_REASON_NOSMCDEV, 0);
	show(on, FAB_REASON_PEERDECL, FAB_REASON_NOSMCDEV);
}

/* The vector is not rung: it is a file that others have as well, and they could make
 * the write block. What wakes the other end is its TCP socket. */
void conn_mark_aborted(struct ismd *d, struct conn *c)
{
	struct conn *mate;

	if (c->state != CONN_MATCHED || !c->seg)
		return;
	mate = c->seg->slots[c->slot].conn[!c->side];
	if (!mate)
		return;
	atomic_fetch_or(&segment_dmb(c->seg, c->slot, !c->side)->cdc_flags,
	                FAB_CDC_CONN_CLOSED | FAB_CDC_CONN_ABORT);
	atomic_fetch_or(&c->seg->map->side[!c->side].ready, (uint64_t)1 << c->slot);
}

void conn_add_counters(const struct conn *c, struct counters *sum)
{
	const struct fab_row *r = conn_row(c);

	sum->tx_smc_bytes += atomic_load(&r->tx_smc_bytes);
	sum->rx_smc_bytes += atomic_load(&r->rx_smc_bytes);
	sum->tx_tcp_bytes += atomic_load(&r->tx_tcp_bytes);
	sum->rx_tcp_bytes += atomic_load(&r->rx_tcp_bytes);
	sum->tx_smc_calls += atomic_load(&r->tx_smc_calls);
	sum->rx_smc_calls += atomic_load(&r->rx_smc_calls);
	sum->switches_to_smc += atomic_load(&r->switches_to_smc);
	sum->switches_to_tcp += atomic_load(&r->switches_to_tcp);
}
