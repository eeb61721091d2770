/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: stdio on a connection. A stream reads and writes inside of libc, where no
 * hook is, so its connection goes back to TCP; dprintf() is a send of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "sock/libc.h"
#include "sock/sock.h"

HOOK FILE *fdopen(int fd, const char *mode)
{
	struct sock *s = sock_get(fd);

	if (s)
		sock_return(s, FAB_REASON_OI_BYPASS);
	return LIBC(fdopen)(fd, mode);
}

/* libc closes the descriptor itself: our entry has to go before the number can be
 * somebody else's. */
static struct sock *stream_closing(FILE *f)
{
	int fd = f ? fileno(f) : -1, saved = errno;
	struct sock *s = fd >= 0 ? sock_get(fd) : NULL;

	if (!s || sock_foreign_process())
		return NULL;
	fflush(f);
	s = (struct sock *)fdtab_swap(fd, NULL);
	if (s)
		sock_closing(s, fd);
	errno = saved;
	return s;
}

HOOK int fclose(FILE *f)
{
	struct sock *s = stream_closing(f);
	int r = LIBC(fclose)(f);

	if (s)
		sock_closed(s);
	return r;
}

HOOK FILE *freopen(const char *path, const char *mode, FILE *f)
{
	struct sock *s = stream_closing(f);

	f = LIBC(freopen)(path, mode, f);
	if (s)
		sock_closed(s);
	return f;
}

HOOK FILE *freopen64(const char *path, const char *mode, FILE *f)
{
	return freopen(path, mode, f);
}

/* ---- dprintf */

HOOK int vdprintf(int fd, const char *fmt, va_list ap)
{
	char *text;
	int n, saved;
	ssize_t r = 0;

	if (!sock_get(fd))
		return LIBC(vdprintf)(fd, fmt, ap);
	n = vasprintf(&text, fmt, ap);
	for (int at = 0; at < n && r >= 0; at += (int)r)
		r = write(fd, text + at, (size_t)(n - at));
	saved = errno;
	if (n >= 0)
		free(text);
	errno = saved;
	return r < 0 ? -1 : n;
}

HOOK int dprintf(int fd, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vdprintf(fd, fmt, ap);
	va_end(ap);
	return r;
}

/* The fortified ones check the format (@flag); libc does that in its own printf. */
int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap);
int __dprintf_chk(int fd, int flag, const char *fmt, ...);

HOOK int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
{
	return vdprintf(fd, fmt, ap);
}

HOOK int __dprintf_chk(int fd, int flag, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vdprintf(fd, fmt, ap);
	va_end(ap);
	return r;
}
