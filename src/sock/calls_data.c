/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: reading and writing. Each packs its arguments as buffers, and makes the
 * very call it is named after when the kernel has to do it. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "fabric/reason.h"
#include "sock/libc.h"
#include "sock/sock.h"
#include "sock/usermem.h"

/* Run @real between the two halves of a kernel call. */
#define RX(fd, iov, cnt, flags, real)                       \
	do {                                                \
		struct sock *s_ = sock_get(fd);             \
		ssize_t r_, in_;                            \
		if (!s_)                                    \
			return real;                        \
		if (sock_rx(s_, fd, iov, cnt, flags, &in_)) \
			return in_;                         \
		r_ = real;                                  \
		sock_rx_done(s_, in_, r_, flags);           \
		return r_;                                  \
	} while (0)

#define TX(fd, iov, cnt, flags, real)                       \
	do {                                                \
		struct sock *s_ = sock_get(fd);             \
		ssize_t r_, in_;                            \
		if (!s_)                                    \
			return real;                        \
		if (sock_tx(s_, fd, iov, cnt, flags, &in_)) \
			return in_;                         \
		r_ = real;                                  \
		sock_tx_done(s_, in_, r_);                  \
		return r_;                                  \
	} while (0)

HOOK ssize_t read(int fd, void *buf, size_t len)
{
	const struct iovec iov = { buf, len };

	if (len == 0) /* 0 at once, unlike recv() */
		return LIBC(read)(fd, buf, len);
	RX(fd, &iov, 1, 0, LIBC(read)(fd, buf, len));
}

HOOK ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	const struct iovec iov = { buf, len };

	RX(fd, &iov, 1, flags, LIBC(recv)(fd, buf, len, flags));
}

HOOK ssize_t readv(int fd, const struct iovec *iov, int cnt)
{
	if (cnt == 0 || (cnt == 1 && usermem_pointer_ok(iov) && iov->iov_len == 0))
		return LIBC(readv)(fd, iov, cnt);
	RX(fd, iov, (size_t)cnt, 0, LIBC(readv)(fd, iov, cnt));
}

HOOK ssize_t preadv2(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
	struct sock *s = off == -1 ? sock_get(fd) : NULL;

	if (!s)
		return LIBC(preadv2)(fd, iov, cnt, off, flags);
	RX(fd, iov, (size_t)cnt, flags & RWF_NOWAIT ? MSG_DONTWAIT : 0,
	   LIBC(preadv2)(fd, iov, cnt, off, flags));
}

HOOK ssize_t preadv64v2(int fd, const struct iovec *iov, int cnt, off64_t off, int flags)
{
	return preadv2(fd, iov, cnt, off, flags);
}

HOOK ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
                      socklen_t *alen)
{
	const struct iovec iov = { buf, len };
	struct sock *s = sock_get(fd);
	ssize_t r, in;

	if (!s)
		return LIBC(recvfrom)(fd, buf, len, flags, addr, alen);
	if (sock_rx(s, fd, &iov, 1, flags, &in)) {
		if (in >= 0 && addr && alen)
			*alen = 0; /* TCP gives no address */
		return in;
	}
	r = LIBC(recvfrom)(fd, buf, len, flags, addr, alen);
	sock_rx_done(s, in, r, flags);
	return r;
}

HOOK ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	struct sock *s = sock_get(fd);
	ssize_t r, in;

	if (!s || !usermem_pointer_ok(m) || m->msg_iovlen > IOV_MAX)
		return LIBC(recvmsg)(fd, m, flags);
	if (sock_rx(s, fd, m->msg_iov, m->msg_iovlen, flags, &in)) {
		if (in >= 0) {
			m->msg_namelen = 0;
			m->msg_controllen = 0;
			m->msg_flags = flags & MSG_TRUNC ? MSG_TRUNC : 0;
		}
		return in;
	}
	r = LIBC(recvmsg)(fd, m, flags);
	sock_rx_done(s, in, r, flags);
	return r;
}

HOOK ssize_t write(int fd, const void *buf, size_t len)
{
	const struct iovec iov = { (void *)buf, len };

	TX(fd, &iov, 1, 0, LIBC(write)(fd, buf, len));
}

HOOK ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	const struct iovec iov = { (void *)buf, len };

	TX(fd, &iov, 1, flags, LIBC(send)(fd, buf, len, flags));
}

HOOK ssize_t writev(int fd, const struct iovec *iov, int cnt)
{
	TX(fd, iov, (size_t)cnt, 0, LIBC(writev)(fd, iov, cnt));
}

HOOK ssize_t pwritev2(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
	struct sock *s = off == -1 ? sock_get(fd) : NULL;

	if (!s)
		return LIBC(pwritev2)(fd, iov, cnt, off, flags);
	TX(fd, iov, (size_t)cnt, flags & RWF_NOWAIT ? MSG_DONTWAIT : 0,
	   LIBC(pwritev2)(fd, iov, cnt, off, flags));
}

HOOK ssize_t pwritev64v2(int fd, const struct iovec *iov, int cnt, off64_t off, int flags)
{
	return pwritev2(fd, iov, cnt, off, flags);
}

HOOK ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
                    socklen_t alen)
{
	const struct iovec iov = { (void *)buf, len };

	TX(fd, &iov, 1, flags, LIBC(sendto)(fd, buf, len, flags, addr, alen));
}

/* Sockets of ours that are passed over a UNIX socket: whoever gets them reads TCP. */
static void return_passed(const struct msghdr *m)
{
	struct msghdr v = *m;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&v); c; c = CMSG_NXTHDR(&v, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		    c->cmsg_len < CMSG_LEN(0))
			continue;
		for (size_t i = 0; i < n; i++) {
			struct sock *s;
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			s = sock_get(fd);
			if (s && !atomic_load(&s->listening))
				sock_return(s, FAB_REASON_OI_PASSED);
		}
	}
}

/* Control messages say nothing to a ring, but the kernel checks them. */
static bool control_refused(int fd, const struct msghdr *m)
{
	struct msghdr empty = { .msg_control = m->msg_control,
		                .msg_controllen = m->msg_controllen };

	return m->msg_controllen && LIBC(sendmsg)(fd, &empty, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	       errno == EINVAL;
}

HOOK ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (!sock_get(fd) && usermem_pointer_ok(m) && m->msg_controllen)
		return_passed(m);
	if (sock_get(fd) && usermem_pointer_ok(m) && control_refused(fd, m))
		return -1;
	if (sock_get(fd) && (!usermem_pointer_ok(m) || m->msg_iovlen > IOV_MAX))
		return LIBC(sendmsg)(fd, m, flags);
	TX(fd, m->msg_iov, m->msg_iovlen, flags, LIBC(sendmsg)(fd, m, flags));
}

/* ---- several messages in one call */

static size_t message_size(const struct msghdr *m)
{
	size_t sum = 0;

	for (size_t i = 0; i < m->msg_iovlen; i++)
		sum += m->msg_iov[i].iov_len;
	return sum;
}

HOOK int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
	unsigned i;

	if (!sock_get(fd))
		return LIBC(sendmmsg)(fd, v, n, flags);
	for (i = 0; i < n; i++) {
		ssize_t r = sendmsg(fd, &v[i].msg_hdr, flags);

		if (r < 0)
			return i ? (int)i : -1;
		v[i].msg_len = (unsigned)r;
		if ((size_t)r < message_size(&v[i].msg_hdr))
			return (int)i + 1; /* what follows would tear it apart */
	}
	return (int)i;
}

HOOK int recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags, struct timespec *timeout)
{
	unsigned i;

	if (!sock_get(fd))
		return LIBC(recvmmsg)(fd, v, n, flags, timeout);
	for (i = 0; i < n; i++) {
		int f = flags & ~MSG_WAITFORONE;
		ssize_t r;

		if (i && (flags & MSG_WAITFORONE))
			f |= MSG_DONTWAIT;
		r = recvmsg(fd, &v[i].msg_hdr, f);
		if (r < 0)
			return i ? (int)i : -1;
		v[i].msg_len = (unsigned)r;
		if (r == 0)
			return (int)i + 1;
	}
	return (int)i;
}

/* ---- the fortified names: libc checks the buffer's size, then calls */

void __chk_fail(void) __attribute__((noreturn));
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *addr,
                       socklen_t *alen);

HOOK ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (len > room)
		__chk_fail();
	return read(fd, buf, len);
}

HOOK ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	if (len > room)
		__chk_fail();
	return recv(fd, buf, len, flags);
}

HOOK ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
                            struct sockaddr *addr, socklen_t *alen)
{
	if (len > room)
		__chk_fail();
	return recvfrom(fd, buf, len, flags, addr, alen);
}

/* ---- libc's other names of the same functions */

ssize_t __read(int fd, void *buf, size_t len);
ssize_t __write(int fd, const void *buf, size_t len);
ssize_t __send(int fd, const void *buf, size_t len, int flags);

HOOK ssize_t __read(int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

HOOK ssize_t __write(int fd, const void *buf, size_t len)
{
	return write(fd, buf, len);
}

HOOK ssize_t __send(int fd, const void *buf, size_t len, int flags)
{
	return send(fd, buf, len, flags);
}
