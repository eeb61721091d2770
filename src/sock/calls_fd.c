/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: copies of descriptors, their flags, socket options. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "sock/libc.h"
#include "sock/sock.h"
#include "sock/usermem.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

/* ---- copies */

static int copied(int from, int to)
{
	struct obj *o = fdtab_get(from);

	if (to < 0)
		return to;
	/* What stands at 0, 1 or 2 is used by stdio, inside of libc. */
	if (o && o->kind == OBJ_SOCK && to <= 2)
		sock_return((struct sock *)o, FAB_REASON_OI_BYPASS);
	if (o && o->kind == OBJ_SOCK && !sock_foreign_process())
		sock_add_fd((struct sock *)o, to);
	else if (o && o->kind == OBJ_EPOLL && !sock_foreign_process())
		epoll_copied(o, to);
	else if (fdtab_get(to) && !sock_foreign_process())
		sock_forget(to);
	return to;
}

HOOK int dup(int fd)
{
	return copied(fd, LIBC(dup)(fd));
}

/*
 * dup2() closes what stood at the new number. If that was the last descriptor of
 * a connection, its end has to be prepared before, but only if the call is going
 * to succeed.
 */
static int dup_onto(int from, int to, int flags, bool three)
{
	struct obj *old = NULL;
	struct rlimit rl;
	bool closed = false;
	int r;

	if (sock_get(from) && sock_foreign_process())
		sock_return(sock_get(from), FAB_REASON_OI_EXEC); /* for a vfork() child's exec */
	/* What is going to fail must not end the connection at @to. */
	if (from == to || to < 0 || (three && (flags & ~O_CLOEXEC)) ||
	    (SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl) == 0 && (rlim_t)to >= rl.rlim_cur) ||
	    sys_fcntl(from, F_GETFD, 0) < 0 || sock_foreign_process())
		return three ? LIBC(dup3)(from, to, flags) : LIBC(dup2)(from, to);
	privfd_evict(to);
	if (fdtab_get(to))
		old = fdtab_swap(to, NULL);
	if (old && old->kind == OBJ_SOCK)
		closed = sock_close_begin((struct sock *)old, to);
	r = three ? LIBC(dup3)(from, to, flags) : LIBC(dup2)(from, to);
	if (old && old->kind == OBJ_SOCK)
		sock_close_end((struct sock *)old, closed);
	else if (old)
		epoll_closed(old);
	return copied(from, r);
}

HOOK int dup2(int from, int to)
{
	return dup_onto(from, to, 0, false);
}

HOOK int __dup2(int from, int to);
HOOK int __dup2(int from, int to)
{
	return dup2(from, to);
}

HOOK int dup3(int from, int to, int flags)
{
	return dup_onto(from, to, flags, true);
}

/* ---- fcntl and ioctl */

static int fcntl_common(int fd, int cmd, void *arg)
{
	struct sock *s = sock_get(fd);

	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return copied(fd, LIBC(fcntl64)(fd, cmd, arg));
	case F_SETFL:
		if (s && ((long)arg & O_ASYNC))
			sock_pin(s, FAB_REASON_OI_ASYNC);
		if (s)
			atomic_store(&s->nonblock, ((long)arg & O_NONBLOCK) != 0);
		break;
	default:
		break;
	}
	return LIBC(fcntl64)(fd, cmd, arg);
}

HOOK int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fcntl_common(fd, cmd, arg);
}

HOOK int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fcntl_common(fd, cmd, arg);
}

HOOK int __fcntl(int fd, int cmd, ...);
HOOK int __fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fcntl_common(fd, cmd, arg);
}

HOOK int ioctl(int fd, unsigned long req, ...)
{
	struct sock *s = sock_get(fd);
	va_list ap;
	void *arg;
	int r;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (s && req == FIONBIO && usermem_pointer_ok(arg))
		atomic_store(&s->nonblock, *(int *)arg != 0);
	if (!s || !s->conn.row)
		return LIBC(ioctl)(fd, req, arg);
	if (req == FIOASYNC && arg && *(int *)arg)
		sock_pin(s, FAB_REASON_OI_ASYNC);
	r = LIBC(ioctl)(fd, req, arg);
	if (r < 0 || !conn_linked(&s->conn))
		return r;
	if (req == SIOCATMARK && conn_rx_in_ring(&s->conn))
		*(int *)arg = 0; /* what is in the ring comes before the mark */
	else if (req == FIONREAD && conn_rx_is_open(&s->conn))
		*(int *)arg = conn_rx_bytes(&s->conn, fd);
	else if ((req == SIOCOUTQ) && conn_tx_on_ring(&s->conn))
		*(int *)arg += (int)conn_tx_unread(&s->conn);
	return r;
}

HOOK int sockatmark(int fd)
{
	int at;

	return ioctl(fd, SIOCATMARK, &at) < 0 ? -1 : at;
}

/* ---- options */

HOOK int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	struct sock *s = sock_get(fd);

	if (s && s->conn.row)
		sock_touch(s, fd);
	return LIBC(getsockopt)(fd, level, name, val, len);
}

/* Options that a ring cannot honour: the connection has to be on TCP. */
static bool needs_tcp(int level, int name)
{
	if (level == IPPROTO_TCP)
		return name == TCP_ULP || name == TCP_REPAIR || name == TCP_FASTOPEN_CONNECT;
	if (level == SOL_SOCKET)
		return name == SO_ATTACH_FILTER || name == SO_ATTACH_BPF || name == SO_ZEROCOPY ||
		       name == SO_RCVLOWAT;
	return false;
}

HOOK int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct sock *s = sock_get(fd);
	int r = LIBC(setsockopt)(fd, level, name, val, len);

	if (r < 0 || !s)
		return r;
	if (level == SOL_SOCKET && name == SO_RCVBUF && len >= sizeof(int) && *(const int *)val > 0)
		sock_want_rcvbuf(s, (uint32_t) * (const int *)val);
	if (needs_tcp(level, name) && !(name == SO_RCVLOWAT && len >= 4 && *(const int *)val <= 1))
		sock_pin(s, FAB_REASON_OPTUNSUPP);
	return r;
}
