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
#include <unistd.h>

#include "base/sys.h"
#include "sock/libc.h"
#include "sock/ready.h"
#include "sock/usermem.h"
#include "sock/wait.h"

struct from_file {
	int fd;
	off64_t *off; /* NULL: the file's own position */
	bool pipe;    /* take what is there and be done */
	bool nonblock;
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

/* A pipe is waited for here, and not in the read, which happens under the lock. */
static ssize_t await_source(const struct from_file *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };

	if (!f->pipe)
		return 0;
	if (sys_poll_now(f->fd, POLLIN) & (POLLIN | POLLHUP))
		return 0;
	if (f->nonblock || (sys_fcntl(f->fd, F_GETFL, 0) & O_NONBLOCK))
		return -EAGAIN;
	return LIBC(poll)(&p, 1, -1) < 0 ? -errno : 0;
}

/*
 * Copy @count bytes from a file or pipe into the connection. CONN_USE_TCP: nothing
 * (more) was sent, *sent says how much before, and the kernel has to do the rest
 * (then sock_tx_done() is due). Else 0, or -errno if nothing was sent.
 */
static ssize_t push(struct sock *s, int fd, struct from_file *from, size_t count, size_t *sent)
{
	uint64_t deadline = 0;
	ssize_t n = await_source(from);

	while (n >= 0 && *sent < count) {
		n = conn_write_fill(&s->conn, fd, count - *sent, fill_from_file, from);
		if (n > 0) {
			if (!atomic_load_explicit(&s->smc, memory_order_relaxed))
				sock_went_smc(s, fd);
			*sent += (size_t)n;
			if (from->pipe)
				break;
			continue;
		}
		if (n == CONN_USE_TCP)
			return n;
		if (n == 0 || n != -EAGAIN)
			break; /* end of the file, or an error */
		if (from->nonblock || sock_nonblocking(s, fd))
			break;
		n = wait_writable(s, fd, &deadline);
	}
	return *sent || n > 0 ? 0 : n;
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
	struct from_file from = { .fd = in, .off = off };
	struct sock *s = sock_get(out);
	size_t sent = 0;
	ssize_t n;

	/* What cannot be positioned is refused, by the kernel as well. */
	if (!s || !s->conn.row || (off && !usermem_pointer_ok(off)) ||
	    SYS3(SYS_lseek, in, 0, SEEK_CUR) < 0 || !sock_call_begin(s, out))
		return LIBC(sendfile64)(out, in, off, count);
	sock_touch(s, out);
	if (count > 0x7ffff000)
		count = 0x7ffff000;
	if (conn_linked(&s->conn))
		n = push(s, out, &from, count, &sent);
	else
		n = conn_tx_enter_kernel(&s->conn) ? CONN_USE_TCP : -EAGAIN;
	if (n != CONN_USE_TCP) {
		sock_call_end(s);
		return result(n < 0 ? n : (ssize_t)sent);
	}
	n = LIBC(sendfile64)(out, in, off, count - sent);
	sock_tx_done(s, 1, n);
	return n < 0 && sent ? (ssize_t)sent : n < 0 ? n : n + (ssize_t)sent;
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
		sock_rx_done(s, n, 0, MSG_PEEK);
		return CONN_USE_TCP;
	}
	if (n <= 0)
		return n < 0 ? -errno : 0;
	put = LIBC(write)(pipe, buf, (size_t)n);
	if (put <= 0)
		return put < 0 ? -errno : 0;
	pos = iov_pos_init(&iov, 1);
	if (sock_look_begin(s, fd)) {
		conn_read(&s->conn, fd, &pos, (size_t)put, CONN_DISCARD);
		sock_look_end(s);
	}
	return put;
}

static ssize_t splice_in(struct sock *s, int in, off64_t *in_off, int out, size_t len,
                         unsigned flags)
{
	struct from_file from = { .fd = in,
		                  .off = in_off,
		                  .pipe = sys_fcntl(in, F_GETPIPE_SZ, 0) >= 0,
		                  .nonblock = (flags & SPLICE_F_NONBLOCK) != 0 };
	size_t sent = 0;
	ssize_t n;

	if (!from.pipe)
		return -EINVAL;
	if (!sock_call_begin(s, out))
		return -EBADF;
	n = push(s, out, &from, len, &sent);
	if (n != CONN_USE_TCP) {
		sock_call_end(s);
		return n < 0 ? n : (ssize_t)sent;
	}
	n = LIBC(splice)(in, in_off, out, NULL, len, flags);
	sock_tx_done(s, 1, n);
	return n < 0 ? -errno : n;
}

HOOK ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
	struct sock *from = sock_get(in), *to = sock_get(out);
	ssize_t n;

	if (from && from->conn.row && !in_off) {
		n = splice_out(from, in, out, len, flags);
		if (n != CONN_USE_TCP)
			return result(n);
	} else if (to && to->conn.row && !out_off && conn_linked(&to->conn)) {
		return result(splice_in(to, in, in_off, out, len, flags));
	}
	return LIBC(splice)(in, in_off, out, out_off, len, flags);
}
