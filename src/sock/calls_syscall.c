/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hook: syscall(2) used directly. The calls that would hurt if they went past us
 * are handed to the hook of their name (libuv closes its sockets this way); all
 * others go on untouched, with all six arguments.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/sys.h"
#include "sock/libc.h"

HOOK long syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	switch (nr) {
	case SYS_close:
		return close((int)a[0]);
	case SYS_close_range:
		return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
	case SYS_dup:
		return dup((int)a[0]);
	case SYS_dup3:
		return dup3((int)a[0], (int)a[1], (int)a[2]);
	case SYS_read:
		return read((int)a[0], (void *)a[1], (size_t)a[2]);
	case SYS_write:
		return write((int)a[0], (void *)a[1], (size_t)a[2]);
	case SYS_readv:
		return readv((int)a[0], (void *)a[1], (int)a[2]);
	case SYS_writev:
		return writev((int)a[0], (void *)a[1], (int)a[2]);
	case SYS_recvmsg:
		return recvmsg((int)a[0], (void *)a[1], (int)a[2]);
	case SYS_sendmsg:
		return sendmsg((int)a[0], (void *)a[1], (int)a[2]);
	case SYS_accept4:
		return accept4((int)a[0], (void *)a[1], (void *)a[2], (int)a[3]);
	case SYS_shutdown:
		return shutdown((int)a[0], (int)a[1]);
	case SYS_socket:
		return socket((int)a[0], (int)a[1], (int)a[2]);
	case SYS_connect:
		return connect((int)a[0], (void *)a[1], (socklen_t)a[2]);
	case SYS_accept:
		return accept((int)a[0], (void *)a[1], (void *)a[2]);
	case SYS_sendto:
		return sendto((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4],
		              (socklen_t)a[5]);
	case SYS_recvfrom:
		return recvfrom((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4],
		                (void *)a[5]);
	case SYS_fcntl:
		return fcntl((int)a[0], (int)a[1], a[2]);
	case SYS_ppoll:
		return ppoll((void *)a[0], (nfds_t)a[1], (void *)a[2], (void *)a[3]);
	case SYS_epoll_create1:
		return epoll_create1((int)a[0]);
	case SYS_epoll_ctl:
		return epoll_ctl((int)a[0], (int)a[1], (int)a[2], (void *)a[3]);
	case SYS_epoll_pwait:
		return epoll_pwait((int)a[0], (void *)a[1], (int)a[2], (int)a[3], (void *)a[4]);
#ifdef SYS_epoll_wait /* x86-64; newer machines have only the general calls */
	case SYS_epoll_wait:
		return epoll_wait((int)a[0], (void *)a[1], (int)a[2], (int)a[3]);
	case SYS_epoll_create:
		return epoll_create((int)a[0]);
	case SYS_poll:
		return poll((void *)a[0], (nfds_t)a[1], (int)a[2]);
	case SYS_select:
		return select((int)a[0], (void *)a[1], (void *)a[2], (void *)a[3], (void *)a[4]);
	case SYS_dup2:
		return dup2((int)a[0], (int)a[1]);
#endif
	default:
		return LIBC(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
}
