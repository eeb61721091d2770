/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sock/ready.h"

#define IN_BITS (POLLIN | POLLRDNORM)
#define OUT_BITS (POLLOUT | POLLWRNORM)

bool ready_is_smc(struct sock *s, int fd)
{
	if (!s->conn.row || atomic_load_explicit(&s->listening, memory_order_relaxed))
		return false;
	sock_touch(s, fd);
	return sock_open_rx(s, fd) || (conn_linked(&s->conn) && conn_tx_on_ring(&s->conn));
}

short ready_kernel_events(struct sock *s, short events)
{
	return conn_tx_on_ring(&s->conn) ? events & ~OUT_BITS : events;
}

short ready_ring_events(struct sock *s, short events)
{
	struct conn *c = &s->conn;
	short r = 0;

	if ((events & IN_BITS) && conn_rx_pending(c))
		r |= IN_BITS;
	if ((events & OUT_BITS) && conn_tx_on_ring(c) &&
	    (conn_tx_writable(c) || !atomic_load_explicit(&c->tx->rx_open, memory_order_relaxed) ||
	     (atomic_load_explicit(&c->rx->cdc_flags, memory_order_relaxed) & FAB_CDC_CONN_CLOSED)))
		r |= OUT_BITS;
	return r & events;
}

void ready_arm(struct sock *s, int fd, short events, uint32_t how)
{
	conn_unfreeze(&s->conn);
	if (conn_take_back_due(&s->conn))
		conn_take_back(&s->conn, fd);
	if (events & IN_BITS)
		conn_rx_arm(&s->conn, how);
	if ((events & OUT_BITS) && conn_tx_on_ring(&s->conn))
		conn_tx_arm(&s->conn, how);
}
