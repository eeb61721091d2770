/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct system calls. Inside the preload library libc's names are our own
 * hooks (syscall(3) too), and errno belongs to the program; these go straight
 * to the kernel and return -errno.
 */
#ifndef OPENISM_BASE_SYS_H
#define OPENISM_BASE_SYS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
	                 : "memory");
	return x0;
#else
#error "openism knows the system call convention of x86-64 and arm64 only"
#endif
}

#define SYS6(nr, a, b, c, d, e, f) \
	sys_call6((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS4(nr, a, b, c, d) SYS6(nr, a, b, c, d, 0, 0)
#define SYS3(nr, a, b, c) SYS6(nr, a, b, c, 0, 0, 0)
#define SYS2(nr, a, b) SYS6(nr, a, b, 0, 0, 0, 0)
#define SYS1(nr, a) SYS6(nr, a, 0, 0, 0, 0, 0)
#define SYS0(nr) SYS6(nr, 0, 0, 0, 0, 0, 0)

static inline int sys_close(int fd)
{
	return (int)SYS1(SYS_close, fd);
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
	return (int)SYS3(SYS_fcntl, fd, cmd, arg);
}

static inline long sys_read(int fd, void *buf, size_t len)
{
	return SYS3(SYS_read, fd, buf, len);
}

static inline long sys_write(int fd, const void *buf, size_t len)
{
	return SYS3(SYS_write, fd, buf, len);
}

static inline int sys_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	return (int)SYS6(SYS_getsockopt, fd, level, name, val, len, 0);
}

static inline int sys_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	return (int)SYS6(SYS_setsockopt, fd, level, name, val, len, 0);
}

static inline int sys_ioctl(int fd, unsigned long req, void *arg)
{
	return (int)SYS3(SYS_ioctl, fd, req, arg);
}

static inline long sys_recvmsg(int fd, struct msghdr *m, int flags)
{
	return SYS3(SYS_recvmsg, fd, m, flags);
}

static inline long sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return SYS3(SYS_sendmsg, fd, m, flags);
}

/* poll() with a relative time-out in nanoseconds; < 0 waits for ever. */
static inline int sys_poll(struct pollfd *fds, unsigned n, int64_t timeout_ns)
{
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };

	return (int)SYS6(SYS_ppoll, fds, n, timeout_ns < 0 ? NULL : &ts, NULL, 8, 0);
}

/* What poll() says of one descriptor now, 0 if nothing or on error. */
static inline short sys_poll_now(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return sys_poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static inline int sys_epoll_create(void)
{
	return (int)SYS1(SYS_epoll_create1, EPOLL_CLOEXEC);
}

static inline int sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	return (int)SYS4(SYS_epoll_ctl, epfd, op, fd, ev);
}

static inline int sys_epoll_wait(int epfd, struct epoll_event *ev, int n, int timeout_ms)
{
	return (int)SYS6(SYS_epoll_pwait, epfd, ev, n, timeout_ms, NULL, 8);
}

static inline int sys_gettid(void)
{
	return (int)SYS0(SYS_gettid);
}

static inline int sys_getpid(void)
{
	return (int)SYS0(SYS_getpid);
}

static inline uint64_t sys_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
