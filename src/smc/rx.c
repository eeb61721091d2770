/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive side: follows the peer's path switches and reads from TCP or the ring.
 *
 * Everything in c->rx that the peer writes (prod, seq, limit, cdc_flags) is input:
 * read once, checked against what our own row knows. What cannot be true ends this
 * connection with ECONNRESET.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "base/sys.h"
#include "smc/conn.h"
#include "smc/lock.h"
#include "smc/notify.h"
#include "smc/tcpcount.h"

enum source { SRC_RING, SRC_TCP, SRC_NONE, SRC_BAD };

#define RELAXED memory_order_relaxed

/* ---- gate */

bool conn_rx_open(struct conn *c)
{
	uint32_t gate = 0;

	if (conn_rx_is_open(c))
		return true;
	if (!conn_linked(c) || (atomic_load(&c->row->flags) & FAB_ROWF_PINNED))
		return false;
	return atomic_compare_exchange_strong(&c->row->rx_gate, &gate, FAB_GATE_OPEN) ||
	       (gate & FAB_GATE_OPEN);
}

void conn_rx_announce(struct conn *c)
{
	if (!(atomic_load(&c->row->flags) & FAB_ROWF_PINNED))
		atomic_store_explicit(&c->rx->rx_open, FAB_RX_OPEN, memory_order_release);
}

bool conn_rx_enter_kernel(struct conn *c)
{
	uint32_t gate = atomic_load_explicit(&c->row->rx_gate, RELAXED);

	do {
		if (gate & FAB_GATE_OPEN)
			return false;
	} while (!atomic_compare_exchange_weak(&c->row->rx_gate, &gate, gate + 1));
	return true;
}

void conn_rx_leave_kernel(struct conn *c)
{
	atomic_fetch_sub(&c->row->rx_gate, 1);
}

/* ---- source */

static void follow(struct conn *c, uint32_t seq)
{
	atomic_store_explicit(&c->row->rx_have_limit, 0, RELAXED);
	atomic_store_explicit(&c->row->rx_seq, seq, RELAXED);
	atomic_store_explicit(&c->rx->ack, seq, memory_order_release);
}

/* The peer left TCP after limit bytes: how many of them are still to be read? */
static int learn_limit(struct conn *c, int fd, uint32_t seq)
{
	uint64_t limit = atomic_load_explicit(&c->rx->limit[seq % FAB_SWITCH_LIMITS], RELAXED), got,
		 waiting;
	int64_t left;
	bool reset;
	int r = tcp_count_read(fd, &got, &waiting, &reset);

	if (r < 0)
		return r;
	left = (int64_t)(limit - got);
	if (left < 0) /* a reset may have counted the FIN, an urgent mark hides bytes */
		left = 0;
	if (left > 1ll << 40)
		return -EPROTO;
	if (reset) {
		/* One byte in doubt. All that waits there lies before the switch, if
		 * it is the last one; else nobody can tell. */
		if (atomic_load_explicit(&c->rx->seq, RELAXED) != seq)
			return -EPROTO;
		if ((uint64_t)left == waiting + 1)
			left--;
	}
	atomic_store_explicit(&c->row->rx_remaining, (uint64_t)left, RELAXED);
	atomic_store_explicit(&c->row->rx_have_limit, 1, RELAXED);
	return 0;
}

/*
 * We had asked the peer to take back what is unread here, for somebody who reads
 * without us; but now it is we who read again. If the peer has not begun, the bytes
 * stay where they are.
 */
static bool unfreeze(struct conn *c)
{
	uint32_t asked = FAB_RX_RETURN;

	if (!atomic_compare_exchange_strong(&c->rx->rx_open, &asked, FAB_RX_CLOSED))
		return false;
	atomic_store(&c->row->rx_frozen, 0);
	return true;
}

void conn_unfreeze_slow(struct conn *c)
{
	if (!side_lock(&c->row->rx_lock))
		return;
	if (atomic_load(&c->row->rx_frozen))
		unfreeze(c);
	side_unlock(&c->row->rx_lock);
}

/* Where do the next bytes come from, and how many are (or may be) there?
 * Under rx_lock. */
static enum source source(struct conn *c, int fd, uint64_t *avail)
{
	struct fab_row *row = c->row;
	uint64_t prod, cons, limit;
	uint32_t seq, have;
	int r;

	/* a peer that switched faster than we follow would never let us go */
	for (unsigned turns = 0; turns < 64; turns++) {
		seq = atomic_load_explicit(&c->rx->seq, memory_order_acquire);
		have = atomic_load_explicit(&row->rx_seq, RELAXED);
		if (seq - have >= FAB_SWITCH_LIMITS)
			return SRC_BAD;
		*avail = UINT64_MAX;
		if (!(have & 1)) {
			if (seq == have)
				return SRC_TCP;
			r = atomic_load_explicit(&row->rx_have_limit, RELAXED)
			            ? 0
			            : learn_limit(c, fd, have + 1);
			if (r < 0)
				return r == -EAGAIN ? SRC_NONE : SRC_BAD;
			*avail = atomic_load_explicit(&row->rx_remaining, RELAXED);
			if (*avail)
				return SRC_TCP;
		} else {
			prod = atomic_load_explicit(&c->rx->prod, memory_order_acquire);
			cons = atomic_load_explicit(&row->rx_cons, RELAXED);
			if (seq != have) {
				limit = atomic_load_explicit(
					&c->rx->limit[(have + 1) % FAB_SWITCH_LIMITS], RELAXED);
				if (limit - cons > c->size)
					return SRC_BAD;
				prod = limit;
			}
			*avail = prod - cons;
			if (*avail > c->size)
				return SRC_BAD;
			if (seq == have && atomic_load_explicit(&row->rx_frozen, RELAXED) &&
			    !unfreeze(c))
				return SRC_NONE; /* it will come by TCP */
			if (*avail)
				return SRC_RING;
			if (seq == have)
				return SRC_NONE;
		}
		follow(c, have + 1);
	}
	return SRC_BAD;
}

/* ---- the two sources */

/*
 * A producer that found more than half of the ring used may sleep until that
 * changes. What counts is the fill level after our position is visible: it may have
 * filled the ring while we copied.
 */
static void tell_room(struct conn *c, uint64_t cons)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&c->rx->tx_arm, RELAXED) != FAB_ARM_NONE &&
	    atomic_load_explicit(&c->rx->prod, RELAXED) - cons <= c->size / 2)
		conn_notify_if_armed(c, &c->rx->tx_arm);
}

static ssize_t take_ring(struct conn *c, struct iov_pos *pos, size_t len, uint64_t avail, int flags)
{
	struct fab_row *row = c->row;
	uint64_t cons = atomic_load_explicit(&row->rx_cons, RELAXED);
	size_t n = len < avail ? len : (size_t)avail;
	size_t at = cons & (c->size - 1), first = c->size - at;

	if (first > n)
		first = n;
	if (!(flags & CONN_DISCARD)) {
		iov_copy(pos, c->rx_ring + at, first, true);
		iov_copy(pos, c->rx_ring, n - first, true);
	}
	if (flags & CONN_PEEK)
		return (ssize_t)n;
	atomic_store_explicit(&row->rx_cons, cons + n, RELAXED);
	atomic_store_explicit(&c->rx->cons, cons + n, memory_order_release);
	atomic_store_explicit(&row->rx_smc_bytes,
	                      atomic_load_explicit(&row->rx_smc_bytes, RELAXED) + n, RELAXED);
	atomic_store_explicit(&row->rx_smc_calls,
	                      atomic_load_explicit(&row->rx_smc_calls, RELAXED) + 1, RELAXED);
	tell_room(c, cons + n);
	return (ssize_t)n;
}

static ssize_t take_tcp(struct conn *c, int fd, struct iov_pos *pos, size_t len, uint64_t avail,
                        int flags)
{
	struct iovec iov[16];
	struct msghdr m = { .msg_iov = iov };
	int mflags = MSG_DONTWAIT;
	long n;

	if (len > avail)
		len = (size_t)avail;
	if (flags & CONN_PEEK)
		mflags |= MSG_PEEK;
	if (flags & CONN_DISCARD) {
		mflags |= MSG_TRUNC;
		iov[0] = (struct iovec){ NULL, len };
		m.msg_iovlen = 1;
	} else {
		m.msg_iovlen = iov_rest(pos, iov, 16, len);
	}
	n = sys_recvmsg(fd, &m, mflags);
	if (n <= 0)
		return n;
	if (!(flags & CONN_DISCARD))
		iov_skip(pos, (size_t)n);
	if (flags & CONN_PEEK)
		return n;
	if (atomic_load_explicit(&c->row->rx_have_limit, RELAXED))
		atomic_fetch_sub(&c->row->rx_remaining, (uint64_t)n);
	conn_count_tcp(c, &c->row->rx_tcp_bytes, (uint64_t)n);
	return n;
}

/*
 * The ring is empty and the lifeline says that the peer is gone. TCP would answer
 * ECONNRESET if the peer left data unread; on the lifeline nothing was unread, so
 * the kernel sent a FIN, and the difference is ours to make.
 */
static bool left_unread(struct conn *c)
{
	uint32_t peer = atomic_load(&c->rx->cdc_flags);
	bool half_closed = (peer & FAB_CDC_DONE_WRITING) && !(peer & FAB_CDC_CONN_CLOSED);

	return !half_closed && conn_tx_unread(c) > 0 && !atomic_exchange(&c->row->rx_error, 1);
}

/* TCP says that it is over: cleanly, or as after a reset? */
static ssize_t end_of_stream(struct conn *c, int fd)
{
	/* after a reset the kernel has told it already */
	if (!tcp_peer_fin(fd) || !left_unread(c))
		return 0;
	SYS2(SYS_shutdown, fd, SHUT_RDWR);
	return -ECONNRESET;
}

static ssize_t ask_lifeline(struct conn *c, int fd, struct iov_pos *pos, size_t len, int flags)
{
	short life = sys_poll_now(fd, POLLIN | POLLRDHUP);
	uint64_t avail;
	bool ended;
	ssize_t n;

	if (!(life & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)))
		return -EAGAIN;
	/* What was written before the end is in the ring by now; and what the peer
	 * was to take back, if it ended before it could. */
	ended = (life & POLLRDHUP) && tcp_peer_finished(fd);
	if (ended && atomic_exchange(&c->row->rx_frozen, 0))
		return -EINTR;
	if (source(c, fd, &avail) != SRC_NONE)
		return -EINTR;
	n = take_tcp(c, fd, pos, len, UINT64_MAX, flags);
	return n == 0 && len ? end_of_stream(c, fd) : n;
}

/* About to read TCP with no limit in sight: see to_tcp(). False: there is one now. */
static bool claim_tcp(struct conn *c)
{
	atomic_store(&c->rx->rx_in_tcp, 1);
	if (atomic_load(&c->rx->seq) == atomic_load(&c->row->rx_seq))
		return true;
	atomic_store(&c->rx->rx_in_tcp, 0);
	return false;
}

ssize_t conn_read(struct conn *c, int fd, struct iov_pos *pos, size_t len, int flags)
{
	uint64_t avail;
	ssize_t n;

	if (!side_lock(&c->row->rx_lock))
		return -EINTR; /* a handler interrupted this very read */
again:
	switch (source(c, fd, &avail)) {
	case SRC_RING:
		n = take_ring(c, pos, len, avail, flags);
		break;
	case SRC_TCP:
		if (avail == UINT64_MAX && !claim_tcp(c))
			goto again;
		n = take_tcp(c, fd, pos, len, avail, flags);
		atomic_store_explicit(&c->rx->rx_in_tcp, 0, memory_order_release);
		/* A FIN with a switch behind it: the ring may hold the rest. */
		if (n == 0 && len && conn_rx_pending(c))
			goto again;
		if (n == 0 && len)
			n = end_of_stream(c, fd);
		break;
	case SRC_NONE:
		n = flags & CONN_ASK ? ask_lifeline(c, fd, pos, len, flags) : -EAGAIN;
		if (n == -EINTR)
			goto again;
		break;
	default:
		SYS2(SYS_shutdown, fd, SHUT_RDWR);
		n = atomic_exchange(&c->row->rx_error, 1) ? 0 : -ECONNRESET;
		break;
	}
	side_unlock(&c->row->rx_lock);
	return n;
}

/* A switch alone is nothing to read: the bytes behind it may still be on their way,
 * and where they come by TCP the kernel tells. */
bool conn_rx_pending(struct conn *c)
{
	struct fab_row *row = c->row;
	uint32_t have = atomic_load_explicit(&row->rx_seq, RELAXED);
	uint32_t seq = atomic_load_explicit(&c->rx->seq, memory_order_acquire);

	uint64_t end = atomic_load_explicit(&c->rx->prod, memory_order_acquire);

	if ((have & 1) && seq != have) /* the ring ends here for now */
		end = atomic_load_explicit(&c->rx->limit[(have + 1) % FAB_SWITCH_LIMITS], RELAXED);
	if (end == atomic_load_explicit(&row->rx_cons, RELAXED))
		return false;
	if (have & 1)
		return seq != have || !atomic_load_explicit(&row->rx_frozen, RELAXED);
	return seq != have && (!atomic_load_explicit(&row->rx_have_limit, RELAXED) ||
	                       atomic_load_explicit(&row->rx_remaining, RELAXED) == 0);
}

uint64_t conn_rx_in_ring(struct conn *c)
{
	uint32_t seq = atomic_load_explicit(&c->rx->seq, memory_order_acquire);
	uint64_t end, n;

	/* After the peer left the ring, its last switch says where the data end. */
	end = seq && !(seq & 1) ? atomic_load(&c->rx->limit[seq % FAB_SWITCH_LIMITS])
	                        : atomic_load_explicit(&c->rx->prod, memory_order_acquire);
	n = end - atomic_load_explicit(&c->row->rx_cons, RELAXED);
	return (int64_t)n < 0 ? 0 : n > c->size ? c->size : n;
}

bool conn_rx_on_ring(struct conn *c)
{
	return atomic_load_explicit(&c->row->rx_seq, RELAXED) & 1;
}

int conn_rx_bytes(struct conn *c, int fd)
{
	uint64_t avail, n = 0;
	int tcp = 0;

	if (!side_lock(&c->row->rx_lock))
		return 0;
	if (source(c, fd, &avail) == SRC_RING)
		n = avail;
	else if (sys_ioctl(fd, SIOCINQ, &tcp) == 0)
		n = (uint64_t)tcp;
	side_unlock(&c->row->rx_lock);
	return (int)n;
}

void conn_rx_arm(struct conn *c, uint32_t how)
{
	if ((atomic_load_explicit(&c->rx->rx_arm, RELAXED) & how) != how)
		atomic_fetch_or(&c->rx->rx_arm, how);
	atomic_thread_fence(memory_order_seq_cst);
}
