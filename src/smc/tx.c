/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Send side: chooses the path, records switches, writes into the peer's ring.
 *
 * What the peer writes in c->tx (cons, ack, rx_open, rx_arm) is input; a consumer
 * position that cannot be true is taken as "no room", so the connection stalls and
 * its owner finds it dead; nothing is written outside of the ring.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "base/sys.h"
#include "smc/conn.h"
#include "smc/lock.h"
#include "smc/notify.h"
#include "smc/tcpcount.h"

#define RELAXED memory_order_relaxed

/* A long write is published piece by piece, so that the reader copies one piece
 * out while we copy the next one in. */
#define PIECE 16384u

/*
 * A little that TCP has not sent yet is held back by Nagle or a cork, and can stay
 * there for 40 or 200 ms; what we put into the ring would have to wait for it. So
 * such a moment is not used for a switch. (A lot is a bulk sender's full window.)
 */
#define FEW_UNSENT 65536u

/* ---- the path */

static void record(struct conn *c, uint64_t limit)
{
	uint32_t seq = atomic_load_explicit(&c->row->tx_seq, RELAXED) + 1;

	atomic_store_explicit(&c->tx->limit[seq % FAB_SWITCH_LIMITS], limit, RELAXED);
	atomic_store_explicit(&c->row->tx_seq, seq, RELAXED);
	atomic_store_explicit(&c->tx->seq, seq, memory_order_release);
}

static bool peer_closed(struct conn *c)
{
	return atomic_load_explicit(&c->rx->cdc_flags, memory_order_acquire) & FAB_CDC_CONN_CLOSED;
}

static bool may_use_ring(struct conn *c)
{
	return atomic_load_explicit(&c->tx->rx_open, memory_order_acquire) == FAB_RX_OPEN &&
	       !atomic_load_explicit(&c->row->suspended, RELAXED) &&
	       !(atomic_load_explicit(&c->row->tx_flags, RELAXED) & FAB_TXF_NO_SMC);
}

/* TCP to ring, if the consumer is there and nobody is sending in the kernel. */
static bool to_ring(struct conn *c, int fd)
{
	uint32_t none = 0;
	uint64_t written, unsent;
	int r;

	if (!may_use_ring(c) || peer_closed(c) ||
	    atomic_load(&c->tx->ack) != atomic_load_explicit(&c->row->tx_seq, RELAXED))
		return false;
	if (!atomic_compare_exchange_strong(&c->row->tx_gate, &none, FAB_GATE_RING))
		return false;
	r = tcp_count_written(fd, &written, &unsent);
	if (r < 0 && r != -EAGAIN)
		atomic_fetch_or(&c->row->tx_flags, FAB_TXF_NO_SMC);
	if (r < 0 || (unsent > 0 && unsent < FEW_UNSENT)) {
		atomic_store(&c->row->tx_gate, 0);
		return false;
	}
	record(c, written);
	atomic_fetch_add(&c->row->switches_to_smc, 1);
	return true;
}

/*
 * Ring to TCP. Not while bytes are being taken back; and not if the consumer has not
 * followed to the ring yet and is reading TCP at this moment, because it would take
 * what we send now for what came before the ring. (It says so before it looks at seq
 * for the last time; we looked after we had changed seq.)
 */
static bool to_tcp(struct conn *c)
{
	uint32_t seq = atomic_load_explicit(&c->row->tx_seq, RELAXED);
	uint32_t ack = atomic_load(&c->tx->ack);

	if (atomic_load(&c->row->tx_flags) & FAB_TXF_BACK)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	if (seq + 1 - ack >= FAB_SWITCH_LIMITS || (ack != seq && atomic_load(&c->tx->rx_in_tcp)))
		return false;
	record(c, atomic_load_explicit(&c->row->tx_prod, RELAXED));
	atomic_fetch_add(&c->row->switches_to_tcp, 1);
	atomic_store(&c->row->tx_gate, 0);
	return true;
}

/*
 * The consumer stopped at its position and hands the socket to somebody who reads
 * TCP: what lies behind that position goes out again by TCP. Not blocking: if TCP
 * takes a part only, the direction stays as it is and the next call goes on. Under
 * tx_lock. True: done, the path is TCP.
 */
static bool take_back(struct conn *c, int fd)
{
	struct fab_row *row = c->row;
	uint64_t prod = atomic_load_explicit(&row->tx_prod, RELAXED), at;
	uint32_t asked = FAB_RX_RETURN;

	if (!(atomic_load(&row->tx_flags) & FAB_TXF_BACK)) {
		if (!atomic_compare_exchange_strong(&c->tx->rx_open, &asked, FAB_RX_TAKEN) &&
		    asked != FAB_RX_TAKEN)
			return to_tcp(c); /* the consumer reads on, after all */
		at = atomic_load_explicit(&c->tx->cons, memory_order_acquire);
		if (prod - at > c->size)
			at = prod;
		atomic_store(&row->tx_back, at);
		atomic_fetch_or(&row->tx_flags, FAB_TXF_BACK | FAB_TXF_NO_SMC);
		record(c, at);
		atomic_fetch_add(&row->switches_to_tcp, 1);
	}
	for (at = atomic_load(&row->tx_back); at != prod;) {
		size_t off = at & (c->size - 1), n = c->size - off;
		struct iovec iov = { c->tx_ring + off, n < prod - at ? n : (size_t)(prod - at) };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		long sent = sys_sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent == -EAGAIN || sent == -EINTR)
			return false;
		if (sent < 0)
			break; /* the peer is gone: the next call of the program will see */
		at += (uint64_t)sent;
		atomic_store(&row->tx_back, at);
	}
	atomic_fetch_and(&row->tx_flags, ~FAB_TXF_BACK);
	atomic_store(&row->tx_gate, 0);
	return true;
}

bool conn_take_back(struct conn *c, int fd)
{
	bool done = true;

	if (!side_lock(&c->row->tx_lock))
		return false;
	if (conn_take_back_due(c))
		done = take_back(c, fd);
	side_unlock(&c->row->tx_lock);
	return done;
}

/* Nobody will read the ring, or nothing more may be written: let the kernel find that
 * out and answer. */
static void abandon_ring(struct conn *c)
{
	atomic_fetch_or(&c->row->tx_flags, FAB_TXF_NO_SMC);
	atomic_store(&c->row->tx_gate, 0);
}

/* The ring is full and the peer's end has come, without a word in the flags: it was
 * killed, or its last holder was not ours. */
static bool peer_vanished(struct conn *c, int fd)
{
	return !(atomic_load(&c->rx->cdc_flags) & FAB_CDC_DONE_WRITING) && tcp_peer_finished(fd);
}

enum path { PATH_TCP, PATH_RING, PATH_BUSY };

/* The path for this write, under tx_lock. */
static enum path choose_path(struct conn *c, int fd)
{
	if (!conn_tx_on_ring(c))
		return to_ring(c, fd) ? PATH_RING : PATH_TCP;
	if (__builtin_expect(conn_take_back_due(c), 0))
		return take_back(c, fd) ? PATH_TCP : PATH_BUSY;
	if (__builtin_expect(peer_closed(c) || (atomic_load_explicit(&c->row->tx_flags, RELAXED) &
	                                        FAB_TXF_SHUT),
	                     0)) {
		abandon_ring(c);
		return PATH_TCP;
	}
	if (__builtin_expect(may_use_ring(c), 1))
		return PATH_RING;
	return to_tcp(c) ? PATH_TCP : PATH_RING;
}

bool conn_tx_to_tcp(struct conn *c)
{
	bool done = true;

	if (!side_lock(&c->row->tx_lock))
		return false;
	if (conn_tx_on_ring(c))
		done = to_tcp(c);
	side_unlock(&c->row->tx_lock);
	return done;
}

bool conn_tx_enter_kernel(struct conn *c)
{
	uint32_t gate = atomic_load_explicit(&c->row->tx_gate, RELAXED);

	do {
		if (gate & FAB_GATE_RING)
			return false;
	} while (!atomic_compare_exchange_weak(&c->row->tx_gate, &gate, gate + 1));
	return true;
}

void conn_tx_done(struct conn *c, ssize_t sent)
{
	atomic_fetch_sub(&c->row->tx_gate, 1);
	if (sent > 0)
		conn_count_tcp(c, &c->row->tx_tcp_bytes, (uint64_t)sent);
}

/* ---- the ring */

/* Free bytes. Looks at the peer's position only if the last one seen does not
 * leave @want. Under tx_lock. */
static uint32_t room_for(struct conn *c, uint64_t want)
{
	struct fab_row *row = c->row;
	uint64_t prod = atomic_load_explicit(&row->tx_prod, RELAXED);
	uint64_t used = prod - atomic_load_explicit(&row->tx_cons, RELAXED), seen;

	if (used <= c->size && c->size - used >= want)
		return c->size - (uint32_t)used;
	seen = atomic_load_explicit(&c->tx->cons, memory_order_acquire);
	if (prod - seen > c->size)
		return 0;
	atomic_store_explicit(&row->tx_cons, seen, RELAXED);
	return c->size - (uint32_t)(prod - seen);
}

static void publish(struct conn *c, uint64_t prod)
{
	atomic_store_explicit(&c->row->tx_prod, prod, RELAXED);
	atomic_store_explicit(&c->tx->prod, prod, memory_order_release);
	conn_notify_if_armed(c, &c->tx->rx_arm);
}

static void count(struct conn *c, size_t n)
{
	struct fab_row *row = c->row;

	atomic_store_explicit(&row->tx_smc_bytes,
	                      atomic_load_explicit(&row->tx_smc_bytes, RELAXED) + n, RELAXED);
	atomic_store_explicit(&row->tx_smc_calls,
	                      atomic_load_explicit(&row->tx_smc_calls, RELAXED) + 1, RELAXED);
}

static ssize_t put_ring(struct conn *c, struct iov_pos *pos, size_t len)
{
	uint64_t prod = atomic_load_explicit(&c->row->tx_prod, RELAXED);
	size_t room = room_for(c, len), n = len < room ? len : room, left = n;

	if (n == 0 && len) {
		atomic_fetch_add_explicit(&c->row->tx_full, 1, RELAXED);
		return -EAGAIN;
	}
	while (left) {
		size_t piece = left < PIECE ? left : PIECE, at = prod & (c->size - 1);
		size_t first = c->size - at;

		if (first > piece)
			first = piece;
		iov_copy(pos, c->tx_ring + at, first, false);
		iov_copy(pos, c->tx_ring, piece - first, false);
		prod += piece;
		left -= piece;
		publish(c, prod);
	}
	count(c, n);
	return (ssize_t)n;
}

ssize_t conn_write(struct conn *c, int fd, struct iov_pos *pos, size_t len)
{
	ssize_t n;

	if (!side_lock(&c->row->tx_lock))
		return -EINTR; /* a handler interrupted this very write */
	switch (choose_path(c, fd)) {
	case PATH_RING:
		n = put_ring(c, pos, len);
		if (__builtin_expect(n == -EAGAIN && peer_vanished(c, fd), 0)) {
			abandon_ring(c);
			atomic_fetch_add(&c->row->tx_gate, 1);
			n = CONN_USE_TCP;
		}
		break;
	case PATH_TCP:
		atomic_fetch_add(&c->row->tx_gate, 1);
		n = CONN_USE_TCP;
		break;
	default:
		n = -EAGAIN;
	}
	side_unlock(&c->row->tx_lock);
	return n;
}

ssize_t conn_write_fill(struct conn *c, int fd, size_t len, conn_fill_fn *fill, void *arg)
{
	enum path path;
	uint64_t prod;
	size_t at, room;
	ssize_t n;

	if (!side_lock(&c->row->tx_lock))
		return -EINTR;
	path = choose_path(c, fd);
	if (path != PATH_RING) {
		if (path == PATH_TCP)
			atomic_fetch_add(&c->row->tx_gate, 1);
		side_unlock(&c->row->tx_lock);
		return path == PATH_TCP ? CONN_USE_TCP : -EAGAIN;
	}
	prod = atomic_load_explicit(&c->row->tx_prod, RELAXED);
	at = prod & (c->size - 1);
	room = room_for(c, len);
	if (room > c->size - at)
		room = c->size - at;
	if (room > len)
		room = len;
	if (room) {
		n = fill(arg, c->tx_ring + at, room);
	} else {
		atomic_fetch_add_explicit(&c->row->tx_full, 1, RELAXED);
		n = -EAGAIN;
	}
	if (n > 0) {
		publish(c, prod + (uint64_t)n);
		count(c, (size_t)n);
	}
	side_unlock(&c->row->tx_lock);
	return n;
}

uint64_t conn_tx_consumed(struct conn *c)
{
	return atomic_load_explicit(&c->tx->cons, memory_order_acquire);
}

/* Without the lock: the consumer's position first. Both only grow, so in this order
 * the difference is never negative, and at worst too large. */
static uint64_t used_now(struct conn *c)
{
	uint64_t cons = conn_tx_consumed(c);
	uint64_t used = atomic_load_explicit(&c->row->tx_prod, RELAXED) - cons;

	return used > c->size ? c->size : used;
}

uint32_t conn_tx_room(struct conn *c)
{
	return c->size - (uint32_t)used_now(c);
}

bool conn_tx_writable(struct conn *c)
{
	return conn_tx_room(c) >= c->size / 2;
}

uint64_t conn_tx_unread(struct conn *c)
{
	uint32_t seq = atomic_load(&c->row->tx_seq);
	uint64_t cons = conn_tx_consumed(c), end, n;

	/* After the ring was left, what was taken back does not count. */
	end = seq && !(seq & 1) ? atomic_load(&c->tx->limit[seq % FAB_SWITCH_LIMITS])
	                        : atomic_load(&c->row->tx_prod);
	n = end - cons;
	return n > c->size ? 0 : n;
}

void conn_tx_arm(struct conn *c, uint32_t how)
{
	if ((atomic_load_explicit(&c->tx->tx_arm, RELAXED) & how) != how)
		atomic_fetch_or(&c->tx->tx_arm, how);
	atomic_thread_fence(memory_order_seq_cst);
}
