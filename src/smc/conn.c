/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a connection's row: claim, verdict, pinning, closing. */
#define _GNU_SOURCE
#include "smc/conn.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "smc/lock.h"
#include "smc/notify.h"

/* A segment that does not come is asked for this often (calls on the connection). */
#define ASK_EVERY 64

bool conn_claim(struct conn *c, uint32_t role, int fd, uint32_t flags)
{
	struct ism_table *t = ism_table();
	struct fab_row *row = t ? ism_row_alloc(t) : NULL;

	if (!row)
		return false;
	c->table = t;
	c->gen = atomic_load_explicit(&row->gen, memory_order_relaxed);
	atomic_store_explicit(&row->pid, atomic_load(&ism_pid), memory_order_relaxed);
	atomic_store_explicit(&row->fd, fd, memory_order_relaxed);
	atomic_store_explicit(&row->role, role, memory_order_relaxed);
	atomic_store_explicit(&row->flags, flags, memory_order_relaxed);
	atomic_store_explicit(&row->state, FAB_ROW_CLAIMED, memory_order_release);
	c->row = row;
	ism_row_dirty(t, row);
	if (atomic_load_explicit(&t->head->pass_fds, memory_order_relaxed))
		ism_claim_fd(t, row, fd);
	return true;
}

void conn_look_at_bytes(struct conn *c)
{
	uint64_t due = atomic_load(&c->row->look_at_bytes);

	if (atomic_load(&c->row->tx_tcp_bytes) + atomic_load(&c->row->rx_tcp_bytes) < due)
		return;
	atomic_store(&c->row->look_at_bytes, 0);
	ism_row_dirty(c->table, c->row);
}

void conn_reclaim(struct conn *c, int fd)
{
	uint32_t state;

	if (!c->row)
		return;
	state = atomic_load(&c->row->state);
	if (state != FAB_ROW_CLAIMED && state != FAB_ROW_PENDING)
		return;
	if (!ism_table()) /* a forked child registers here */
		return;
	atomic_store(&c->row->fd, fd);
	atomic_store(&c->row->pid, atomic_load(&ism_pid));
	ism_row_dirty(c->table, c->row);
}

/* Fill in where the rings are. By one thread at a time. */
static bool link_rings(struct conn *c)
{
	struct fab_row *row = c->row;
	uint32_t side = row->side, slot = row->slot;
	struct ism_segment *seg;
	uint64_t stride;
	char *dmb0;

	if (side > 1)
		return false;
	seg = ism_segment_get(row->seg_id, side,
	                      atomic_fetch_add(&c->link_tries, 1) % ASK_EVERY == 0);
	if (!seg || slot >= seg->nslots)
		return false;
	stride = (uint64_t)FAB_DMB_RING_OFFSET + seg->dmb_bytes;
	dmb0 = seg->base + FAB_SEG_SLOTS_OFFSET + 2 * slot * stride;
	c->side = side;
	c->slot = slot;
	c->size = seg->dmb_bytes;
	c->seg = seg;
	c->rx = (struct fab_dmb *)(dmb0 + side * stride);
	c->tx = (struct fab_dmb *)(dmb0 + (side ^ 1) * stride);
	c->rx_ring = (char *)c->rx + FAB_DMB_RING_OFFSET;
	c->tx_ring = (char *)c->tx + FAB_DMB_RING_OFFSET;
	atomic_store_explicit(&c->linked, true, memory_order_release);
	return true;
}

bool conn_link_slow(struct conn *c)
{
	bool ok;

	if (atomic_exchange(&c->linking, true)) {
		/* Another thread is at it: a moment, or TCP for this call. */
		for (int i = 0; i < 10000 && atomic_load(&c->linking); i++)
			cpu_relax();
		return atomic_load_explicit(&c->linked, memory_order_acquire);
	}
	ok = atomic_load_explicit(&c->linked, memory_order_acquire) || link_rings(c);
	atomic_store(&c->linking, false);
	return ok;
}

static void pin(struct conn *c, uint32_t reason, uint32_t rx_open)
{
	if (!c->row || (atomic_load(&c->row->flags) & FAB_ROWF_PINNED))
		return;
	atomic_store(&c->row->pin_reason, reason);
	atomic_fetch_or(&c->row->flags, FAB_ROWF_PINNED);
	atomic_fetch_or(&c->row->tx_flags, FAB_TXF_NO_SMC);
	if (conn_linked(c)) {
		/* the peer may be in the middle of a read, a moment */
		for (int i = 0; i < 1000 && !conn_tx_to_tcp(c); i++)
			sched_yield();
		atomic_store(&c->rx->rx_open, rx_open);
	}
	ism_row_dirty(c->table, c->row);
}

void conn_pin(struct conn *c, uint32_t reason)
{
	pin(c, reason, FAB_RX_CLOSED);
}

void conn_return(struct conn *c, uint32_t reason)
{
	bool frozen = false;

	/* Frozen first: when the peer sees the request, our position is final. */
	if (c->row && conn_linked(c) && conn_rx_is_open(c) && side_lock(&c->row->rx_lock)) {
		frozen = !atomic_exchange(&c->row->rx_frozen, 1);
		if (frozen)
			atomic_store(&c->rx->rx_open, FAB_RX_RETURN);
		side_unlock(&c->row->rx_lock);
	}
	pin(c, reason, frozen ? FAB_RX_RETURN : FAB_RX_CLOSED);
	if (frozen)
		ism_ring(c->seg);
}

void conn_fd_closing(struct conn *c, int fd, int other)
{
	int32_t was = fd;

	if (c->row && atomic_load(&c->row->pid) == atomic_load(&ism_pid))
		atomic_compare_exchange_strong(&c->row->fd, &was, other);
}

void conn_get(struct conn *c)
{
	if (c->row)
		atomic_fetch_add(&c->row->refs, 1);
}

bool conn_put(struct conn *c)
{
	return c->row && atomic_fetch_sub(&c->row->refs, 1) == 1;
}

static bool given_away(struct conn *c)
{
	uint32_t why = atomic_load(&c->row->pin_reason);

	return (atomic_load(&c->row->flags) & FAB_ROWF_PINNED) &&
	       (why == FAB_REASON_OI_EXEC || why == FAB_REASON_OI_PASSED ||
	        why == FAB_REASON_OI_BYPASS);
}

bool conn_close_begin(struct conn *c)
{
	bool unread;

	/* Given away: the other owner still talks, and the bytes behind our position are
	 * the peer's to take back. The FIN will tell when it is over. */
	if (!conn_linked(c) || given_away(c))
		return false;
	unread = conn_rx_in_ring(c) > 0;
	atomic_fetch_or(&c->tx->cdc_flags,
	                FAB_CDC_CONN_CLOSED | (unread ? FAB_CDC_CONN_ABORT : FAB_CDC_DONE_WRITING));
	return unread;
}

void conn_close_end(struct conn *c)
{
	uint32_t state = FAB_ROW_CLAIMED;

	if (!c->row)
		return;
	/* Not looked at yet: ismd never hears of it. */
	if (!atomic_compare_exchange_strong(&c->row->state, &state, FAB_ROW_FREE)) {
		while ((state == FAB_ROW_PENDING || state == FAB_ROW_MATCHED ||
		        state == FAB_ROW_DECLINED) &&
		       !atomic_compare_exchange_strong(&c->row->state, &state, FAB_ROW_CLOSED))
			;
		ism_row_dirty(c->table, c->row);
	}
	c->row = NULL;
	atomic_store(&c->linked, false);
}

void conn_shutdown_write(struct conn *c)
{
	atomic_fetch_or(&c->row->tx_flags, FAB_TXF_SHUT | FAB_TXF_NO_SMC);
	if (conn_linked(c))
		atomic_fetch_or(&c->tx->cdc_flags, FAB_CDC_DONE_WRITING);
}
