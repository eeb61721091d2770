/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the other end that something moved. Inside of the smc layer. */
#ifndef OPENISM_SMC_NOTIFY_H
#define OPENISM_SMC_NOTIFY_H

#include "smc/conn.h"

/* The peer had armed with @how (which the caller took away from it). */
static inline void conn_notify(struct conn *c, uint32_t how)
{
	struct fab_seg_side *peer = &c->seg->head->side[c->side ^ 1];

	atomic_fetch_or(&peer->ready, 1ull << c->slot);
	if ((how & FAB_ARM_RING) ||
	    (atomic_load(&peer->asleep) && atomic_exchange(&peer->asleep, 0)))
		ism_ring(c->seg);
}

/*
 * After publishing a position: has the other side armed? The fence orders our
 * position before our look; the other side arms before it looks at the position
 * again, so one of us sees the other.
 */
static inline void conn_notify_if_armed(struct conn *c, _Atomic uint32_t *arm)
{
	uint32_t how;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(arm, memory_order_relaxed) == FAB_ARM_NONE)
		return;
	how = atomic_exchange(arm, FAB_ARM_NONE);
	if (how != FAB_ARM_NONE)
		conn_notify(c, how);
}

#endif
