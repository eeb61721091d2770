/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving and sending, for all read-like and write-like hooks: choose between
 * the kernel and the connection's rings, block as the descriptor says, and give
 * the results and errors that TCP would.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <time.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "sock/libc.h"
#include "sock/usermem.h"
#include "sock/wait.h"

static bool finish(ssize_t *ret, ssize_t n)
{
	if (n < 0) {
		errno = (int)-n;
		n = -1;
	}
	*ret = n;
	return true;
}

/* Bytes in @iov, or -EINVAL as the kernel says for absurd ones. */
static ssize_t iov_total(const struct iovec *iov, size_t cnt)
{
	size_t sum = 0;

	if (cnt > IOV_MAX)
		return -EINVAL;
	if (!usermem_pointer_ok(iov))
		return cnt ? -EFAULT : 0;
	for (size_t i = 0; i < cnt; i++) {
		if (iov[i].iov_len > SSIZE_MAX - sum)
			return -EINVAL;
		sum += iov[i].iov_len;
	}
	return (ssize_t)sum;
}

/* What one step of a long call asks for: a ring holds no more. */
static size_t piece(struct sock *s, ssize_t left)
{
	return (size_t)left < s->conn.size ? (size_t)left : s->conn.size;
}

static bool may_not_wait(struct sock *s, int flags)
{
	return (flags & MSG_DONTWAIT) || atomic_load_explicit(&s->nonblock, memory_order_relaxed);
}

/* ---- receive */

/* What a peek that waits for all can hope to see in the ring. */
static uint64_t peek_goal(struct sock *s, ssize_t total)
{
	return (uint64_t)total < s->conn.size ? (uint64_t)total : s->conn.size;
}

static bool peek_short(struct sock *s, int fd, ssize_t n, ssize_t total, int flags)
{
	return conn_rx_on_ring(&s->conn) && (uint64_t)n < peek_goal(s, total) &&
	       !may_not_wait(s, flags) && !sys_poll_now(fd, POLLIN);
}

static ssize_t rx_loop(struct sock *s, int fd, const struct iovec *iov, size_t cnt, int flags)
{
	struct iov_pos pos = iov_pos_init(iov, cnt);
	ssize_t total = iov_total(iov, cnt), got = 0, n;
	uint64_t deadline = 0;
	int how = 0;

	if (total < 0)
		return total;
	how |= flags & MSG_PEEK ? CONN_PEEK : 0;
	how |= flags & MSG_TRUNC ? CONN_DISCARD : 0;
	for (;;) {
		if (!(flags & MSG_TRUNC) && !usermem_ok(&pos, piece(s, total - got), true))
			return got ? got : -EFAULT;
		n = conn_read(&s->conn, fd, &pos, piece(s, total - got), how);
		if (n > 0 && (flags & MSG_PEEK) && (flags & MSG_WAITALL) &&
		    peek_short(s, fd, n, total, flags)) {
			if (wait_readable_bytes(s, fd, peek_goal(s, total), &deadline) < 0)
				return n;
			pos = iov_pos_init(iov, cnt);
			continue;
		}
		if (n > 0) {
			got += n;
			how &= ~CONN_ASK;
			if (got == total || !(flags & MSG_WAITALL) || (flags & MSG_PEEK))
				return got;
			continue;
		}
		if (n != -EAGAIN)
			return got ? got : n;
		if (may_not_wait(s, flags)) {
			if (!(how & CONN_ASK)) {
				how |= CONN_ASK;
				continue;
			}
			if ((flags & MSG_DONTWAIT) || sock_nonblocking(s, fd))
				return got ? got : -EAGAIN;
		}
		fd = sock_call_fd(s, fd);
		n = wait_readable(s, fd, &deadline);
		if (n == 0 && !s->conn.row)
			n = -EBADF; /* closed, and no descriptor could be kept for us */
		if (n < 0)
			return got ? got : n;
		fd = sock_call_fd(s, fd);
		how |= CONN_ASK;
	}
}

/*
 * A family member has moved the direction to the rings, and our mapping of them is
 * still under way (a child that was forked before the marriage).
 */
static bool await_link(struct sock *s)
{
	struct timespec ms = { 0, 1000000 };

	for (int i = 0; i < 1000 && s->conn.row; i++) {
		if (conn_linked(&s->conn))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

bool sock_rx(struct sock *s, int fd, const struct iovec *iov, size_t cnt, int flags, ssize_t *ret)
{
	struct conn *c = &s->conn;
	ssize_t n;

	*ret = 0;
	if (!c->row || (flags & (MSG_OOB | MSG_ERRQUEUE)) || !sock_call_begin(s, fd))
		return false;
	sock_touch(s, fd);
	if (!sock_open_rx(s, fd) && conn_rx_enter_kernel(c)) {
		*ret = 1;
		return false;
	}
	n = await_link(s) ? rx_loop(s, fd, iov, cnt, flags) : -ECONNRESET;
	sock_call_end(s);
	return finish(ret, n);
}

void sock_rx_done(struct sock *s, ssize_t entered, ssize_t n, int flags)
{
	if (!entered)
		return;
	conn_rx_leave_kernel(&s->conn);
	if (n > 0 && !(flags & MSG_PEEK))
		conn_count_tcp(&s->conn, &s->conn.row->rx_tcp_bytes, (uint64_t)n);
	sock_call_end(s);
}

/* ---- send */

/* The rest of a send that began in the ring. */
static ssize_t tx_rest_by_tcp(struct sock *s, int fd, const struct iov_pos *pos, size_t left,
                              int flags)
{
	struct iovec rest[IOV_MAX];
	struct msghdr m = { .msg_iov = rest };
	ssize_t n;

	m.msg_iovlen = iov_rest(pos, rest, IOV_MAX, left);
	n = LIBC(sendmsg)(fd, &m, flags | MSG_NOSIGNAL);
	if (n < 0)
		n = -errno;
	conn_tx_done(&s->conn, n);
	return n;
}

/* False: nothing was sent yet and all of it has to go through the kernel. */
static bool tx_loop(struct sock *s, int fd, const struct iovec *iov, size_t cnt, int flags,
                    ssize_t *ret)
{
	struct iov_pos pos = iov_pos_init(iov, cnt);
	ssize_t total = iov_total(iov, cnt), sent = 0, n;
	uint64_t deadline = 0;

	if (total < 0)
		return finish(ret, total);
	for (;;) {
		if (!usermem_ok(&pos, piece(s, total - sent), false))
			return finish(ret, sent ? sent : -EFAULT);
		n = conn_write(&s->conn, fd, &pos, piece(s, total - sent));
		if (n >= 0) {
			if (!atomic_load_explicit(&s->smc, memory_order_relaxed))
				sock_went_smc(s, fd);
			sent += n;
			if (sent == total)
				return finish(ret, sent);
			continue;
		}
		if (n == CONN_USE_TCP) {
			if (sent == 0) {
				*ret = 1;
				return false;
			}
			/* A short count is the kernel's decision: a signal, a time-out. */
			n = tx_rest_by_tcp(s, fd, &pos, (size_t)(total - sent), flags);
			return finish(ret, n > 0 ? sent + n : sent);
		}
		if (n != -EAGAIN ||
		    (may_not_wait(s, flags) && ((flags & MSG_DONTWAIT) || sock_nonblocking(s, fd))))
			return finish(ret, sent ? sent : n);
		n = wait_writable(s, fd, &deadline);
		if (n == 0 && !s->conn.row)
			n = -EBADF;
		fd = sock_call_fd(s, fd);
		if (n < 0)
			return finish(ret, sent ? sent : n);
	}
}

bool sock_tx(struct sock *s, int fd, const struct iovec *iov, size_t cnt, int flags, ssize_t *ret)
{
	struct conn *c = &s->conn;
	bool done;

	*ret = 0;
	if (!c->row || !sock_call_begin(s, fd))
		return false;
	*ret = 1;
	sock_touch(s, fd);
	if (__builtin_expect(flags & (MSG_OOB | MSG_FASTOPEN), 0))
		sock_pin(s, flags & MSG_OOB ? FAB_REASON_OI_OOB : FAB_REASON_OPTUNSUPP);
	if (!conn_linked(c) && conn_tx_enter_kernel(c))
		return false;
	done = await_link(s) ? tx_loop(s, fd, iov, cnt, flags, ret) : finish(ret, -ECONNRESET);
	if (done)
		sock_call_end(s);
	return done;
}

void sock_tx_done(struct sock *s, ssize_t entered, ssize_t n)
{
	if (!entered)
		return;
	conn_tx_done(&s->conn, n);
	sock_call_end(s);
}
