/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: making, accepting and ending connections. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "sock/libc.h"
#include "sock/sock.h"

static bool is_tcp(int domain, int type, int protocol)
{
	return (domain == AF_INET || domain == AF_INET6) &&
	       (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP);
}

static void followed(struct sock *s, int flags)
{
	if (s)
		atomic_store(&s->nonblock, (flags & SOCK_NONBLOCK) != 0);
}

HOOK int socket(int domain, int type, int protocol)
{
	int fd;

	if (is_tcp(domain, type, protocol))
		ism_before_socket();
	fd = LIBC(socket)(domain, type, protocol);

	if (fd < 0)
		return fd;
	if (is_tcp(domain, type, protocol))
		followed(sock_track(fd), type);
	else
		sock_forget(fd);
	return fd;
}

/* A socket that we did not see being made: inherited, or passed to us. */
static bool fd_is_tcp(int fd)
{
	int domain, type, proto;
	socklen_t len = sizeof(int);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return false;
	len = sizeof(int);
	if (sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return false;
	len = sizeof(int);
	return sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &proto, &len) == 0 &&
	       is_tcp(domain, type, proto);
}

HOOK int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sock *s = sock_get(fd);
	int r = LIBC(connect)(fd, addr, len);

	if (!s || atomic_load(&s->listening))
		return r;
	if (r == 0 && len >= sizeof(sa_family_t) && addr->sa_family == AF_UNSPEC) {
		sock_disconnected(s); /* the socket can be connected anew */
		return r;
	}
	if (r == 0 || errno == EINPROGRESS || errno == EINTR) {
		/* Under way: ismd looks now, and again at the next call. */
		atomic_store(&s->connecting, r != 0);
		sock_claim(s, fd, FAB_ROLE_CONNECT);
	}
	return r;
}

HOOK int __connect(int fd, const struct sockaddr *addr, socklen_t len);
HOOK int __connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return connect(fd, addr, len);
}

HOOK int listen(int fd, int backlog)
{
	struct sock *s = sock_get(fd);
	int r = LIBC(listen)(fd, backlog);

	if (r == 0 && s) {
		atomic_store(&s->listening, true);
		sock_claim(s, fd, FAB_ROLE_LISTEN);
	}
	return r;
}

static int accepted(int listener, int fd, int flags)
{
	struct sock *s = sock_get(listener), *l;

	if (fd < 0)
		return fd;
	if (!s && !fd_is_tcp(fd)) {
		sock_forget(fd);
		return fd;
	}
	l = s;
	s = sock_track(fd);
	followed(s, flags);
	if (s && l) { /* the kernel hands options of the listener down */
		s->pin_wanted = l->pin_wanted;
		s->want_rcvbuf = l->want_rcvbuf;
	}
	if (s)
		sock_claim(s, fd, FAB_ROLE_ACCEPT);
	return fd;
}

HOOK int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return accepted(fd, LIBC(accept)(fd, addr, len), 0);
}

HOOK int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return accepted(fd, LIBC(accept4)(fd, addr, len, flags), flags);
}

HOOK int shutdown(int fd, int how)
{
	struct sock *s = sock_get(fd);

	if (s && s->conn.row && (how == SHUT_WR || how == SHUT_RDWR)) {
		sock_finish_take_back(s, fd);
		conn_shutdown_write(&s->conn);
	}
	return LIBC(shutdown)(fd, how);
}

/* ---- closing */

HOOK int close(int fd)
{
	struct obj *o = fdtab_get(fd);
	int r;

	if (privfd_is(fd)) {
		errno = EBADF;
		return -1;
	}
	if (!o || sock_foreign_process())
		return LIBC(close)(fd);
	o = fdtab_swap(fd, NULL);
	if (!o || o->kind == OBJ_EPOLL) {
		r = LIBC(close)(fd);
		if (o)
			epoll_closed(o);
		return r;
	}
	return sock_close((struct sock *)o, fd);
}

HOOK int __close(int fd);
HOOK int __close(int fd)
{
	return close(fd);
}

/* The program's descriptors in a range, ours left out. */
static int range_without_ours(unsigned first, unsigned last, int flags)
{
	int r = 0, ours;

	while (first <= last) {
		ours = first < PRIVFD_MAX ? privfd_first_from((int)first) : -1;
		if (ours < 0 || (unsigned)ours > last)
			return LIBC(close_range)(first, last, flags);
		if ((unsigned)ours > first)
			r = LIBC(close_range)(first, (unsigned)ours - 1, flags);
		if (r < 0)
			return r;
		first = (unsigned)ours + 1;
	}
	return r;
}

HOOK int close_range(unsigned first, unsigned last, int flags)
{
	unsigned end = (unsigned)fdtab_end();

	if (first > last || (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))) {
		errno = EINVAL;
		return -1;
	}
	if (!(flags & CLOSE_RANGE_CLOEXEC) && !sock_foreign_process())
		for (unsigned fd = first; fd < end && fd <= last; fd++)
			if (fdtab_get((int)fd))
				close((int)fd);
	return range_without_ours(first, last, flags);
}

HOOK void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}
