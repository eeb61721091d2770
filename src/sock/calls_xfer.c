/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: sendfile and splice. Into a connection: the file is read straight into
 * the peer's ring. Out of one: through a small buffer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#include "base/sys.h"
#include "sock/libc.h"
#include "sock/ready.h"
#include "sock/wait.h"

struct from_file {
	int fd;
	off64_t *off; /* NULL: the file's own position */
};

static ssize_t fill_from_file(void *arg, char *mem, size_t room)
{
	struct from_file *f = arg;
	long n;

	if (!f->off)
		return sys_read(f->fd, mem, room);
	n = SYS4(SYS_pread64, f->fd, mem, room, *f->off);
	if (n > 0)
		*f->off += n;
	return n;
}

/*
 * Copy @count bytes from a file or pipe into the connection. -2: nothing was
 * sent yet and the kernel has to do it (then sock_tx_done() is due). Else bytes
 * or -errno.
 */
static ssize_t push(struct sock *s, int fd, struct from_file *from, size_t count, bool nonblock)
{
	uint64_t deadline = 0;
	size_t sent = 0;
	ssize_t n;

	while (sent < count) {
		n = conn_write_fill(&s->conn, fd, count - sent, fill_from_file, from);
		if (n > 0) {
			if (!atomic_load_explicit(&s->smc, memory_order_relaxed))
				sock_went_smc(s, fd);
			sent += (size_t)n;
			continue;
		}
		if (n == CONN_USE_TCP) {
			if (sent == 0)
				return CONN_USE_TCP;
			conn_tx_done(&s->conn, 0);
			return (ssize_t)sent; /* the caller asks again */
		}
		if (n != -EAGAIN || (sent && from->off == NULL))
			return sent ? (ssize_t)sent : n;
		if (conn_tx_room(&s->conn) > 0) /* it was the source that had nothing */
			return sent ? (ssize_t)sent : n;
		if (nonblock || sock_nonblocking(s, fd))
			return sent ? (ssize_t)sent : -EAGAIN;
		n = wait_writable(s, fd, &deadline);
		if (n < 0)
			return sent ? (ssize_t)sent : n;
	}
	return (ssize_t)sent;
}

static ssize_t result(ssize_t n)
{
	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

HOOK ssize_t sendfile64(int out, int in, off64_t *off, size_t count)
{
	struct from_file from = { in, off };
	struct sock *s = sock_get(out);
	ssize_t n;

	if (!s || !s->conn.row)
		return LIBC(sendfile64)(out, in, off, count);
	sock_touch(s, out);
	if (!conn_linked(&s->conn)) {
		if (!conn_tx_enter_kernel(&s->conn))
			return result(-EAGAIN);
		n = CONN_USE_TCP;
	} else {
		n = push(s, out, &from, count > 0x7ffff000 ? 0x7ffff000 : count, false);
	}
	if (n != CONN_USE_TCP)
		return result(n);
	n = LIBC(sendfile64)(out, in, off, count);
	sock_tx_done(s, 1, n);
	return n;
}

HOOK ssize_t sendfile(int out, int in, off_t *off, size_t count)
{
	return sendfile64(out, in, off, count);
}

/* ---- splice */

/* Bytes that fit into a pipe now; at least 1 where blocking is allowed. */
static size_t pipe_room(int fd, bool nonblock)
{
	int size = sys_fcntl(fd, F_GETPIPE_SZ, 0), used = 0;
	bool full = !(sys_poll_now(fd, POLLOUT) & POLLOUT);

	if (size < 0 || sys_ioctl(fd, FIONREAD, &used) < 0)
		return SIZE_MAX; /* no pipe */
	if (full)
		return nonblock ? 0 : 1;
	return size > used ? (size_t)(size - used) : 4096;
}

static ssize_t splice_out(struct sock *s, int fd, int pipe, size_t len, unsigned flags)
{
	bool nonblock = flags & SPLICE_F_NONBLOCK;
	size_t room = pipe_room(pipe, nonblock);
	struct iovec iov;
	char buf[16384];
	ssize_t n, put;
	struct iov_pos pos;

	if (room == 0 || room == SIZE_MAX)
		return room ? -EINVAL : -EAGAIN;
	if (len > room)
		len = room;
	if (len > sizeof(buf))
		len = sizeof(buf);
	iov = (struct iovec){ buf, len };
	if (!sock_rx(s, fd, &iov, 1, MSG_PEEK | (nonblock ? MSG_DONTWAIT : 0), &n)) {
		sock_rx_done(s, n, 0, 0);
		return CONN_USE_TCP;
	}
	if (n <= 0)
		return n < 0 ? -errno : 0;
	put = LIBC(write)(pipe, buf, (size_t)n);
	if (put <= 0)
		return put < 0 ? -errno : 0;
	pos = iov_pos_init(&iov, 1);
	conn_read(&s->conn, fd, &pos, (size_t)put, CONN_DISCARD);
	return put;
}

HOOK ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
	struct sock *from = sock_get(in), *to = sock_get(out);
	struct from_file src = { in, in_off };
	ssize_t n = CONN_USE_TCP;

	if (from && from->conn.row && !in_off) {
		n = splice_out(from, in, out, len, flags);
		if (n != CONN_USE_TCP)
			return result(n);
	} else if (to && to->conn.row && !out_off && conn_linked(&to->conn)) {
		if ((flags & SPLICE_F_NONBLOCK) && !(sys_poll_now(in, POLLIN) & (POLLIN | POLLHUP)))
			return result(-EAGAIN);
		n = push(to, out, &src, len, flags & SPLICE_F_NONBLOCK);
		if (n != CONN_USE_TCP)
			return result(n);
		n = LIBC(splice)(in, in_off, out, out_off, len, flags);
		sock_tx_done(to, 1, n);
		return n;
	}
	return LIBC(splice)(in, in_off, out, out_off, len, flags);
}
