/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: epoll. epoll_wait() merges what epoll_set.c knows of members that have left
 * TCP with what the kernel says of everything else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "sock/epoll_set.h"
#include "sock/libc.h"
#include "sock/usermem.h"
#include "sock/wait.h"

#define MAX_KERNEL 256 /* events taken from the kernel at once */
#define KERNEL_EVERY 8 /* busy rings: the kernel's own events are asked for so often */

/* A wait inside of a signal handler that interrupted our own bookkeeping. */
static int busy(void)
{
	errno = EINTR;
	return -1;
}

/* ---- the kernel's share */

/* Kernel events: markers become news of their members, the rest goes out. */
static int filter(struct epobj *ep, const struct epoll_event *in, int n, struct epoll_event *out)
{
	int k = 0;

	for (int i = 0; i < n; i++) {
		struct member *m = epset_marker(in[i].data.u64);

		if (!m) {
			out[k++] = in[i];
			continue;
		}
		if (m->ep != ep)
			continue;
		if (!m->smc) { /* a one-shot of the kernel's */
			m->disabled = true;
			out[k].events = in[i].events;
			out[k++].data.u64 = m->data;
			continue;
		}
		m->life |= in[i].events & ~(uint32_t)EPOLLOUT_BITS;
		if (m->life || !m->skip_out)
			m->edge = true;
		m->skip_out = false;
	}
	return k;
}

static int kernel_wait(struct epobj *ep, int fd, struct epoll_event *out, int max, int64_t ns,
                       const sigset_t *mask)
{
	struct epoll_event buf[MAX_KERNEL];
	int n, k, ms = -1;

	if (max > MAX_KERNEL)
		max = MAX_KERNEL;
	if (ns >= 0)
		ms = (ns + 999999) / 1000000 > INT32_MAX ? INT32_MAX
		                                         : (int)((ns + 999999) / 1000000);
	atomic_fetch_add(&ep->sleepers, 1);
	n = LIBC(epoll_pwait)(fd, buf, max, ms, mask);
	atomic_fetch_sub(&ep->sleepers, 1);
	if (n <= 0)
		return n;
	if (!epset_lock())
		return busy();
	k = filter(ep, buf, n, out);
	epset_unlock();
	return k;
}

static int locked_scan(struct epobj *ep, struct epoll_event *out, int max)
{
	int n;

	if (!epset_lock())
		return busy();
	n = epset_scan(ep, out, max);
	epset_unlock();
	return n;
}

/* Rings and kernel together, without waiting. */
static int collect(struct epobj *ep, int fd, struct epoll_event *out, int max, bool ask_kernel)
{
	int n = 0, k;

	if (ask_kernel) {
		k = kernel_wait(ep, fd, out, max, 0, NULL);
		if (k < 0)
			return k;
		n = k;
	}
	if (n < max) {
		k = locked_scan(ep, out + n, max - n);
		n = k < 0 && n == 0 ? k : n + (k > 0 ? k : 0);
	}
	return n;
}

/*
 * A ring wakes one of several threads that sleep in an instance, and is spent. So
 * who leaves with events while others sleep on puts the guard back for them.
 */
static void guard_again(struct epobj *ep)
{
	bool more;

	if (!atomic_load(&ep->sleepers) || !epset_lock())
		return;
	epset_arm(ep);
	more = epset_any_ready(ep);
	epset_unlock();
	if (more)
		ism_ring_self();
}

static int wait_smc(struct epobj *ep, int fd, struct epoll_event *out, int max, uint64_t deadline,
                    const sigset_t *mask)
{
	bool no_wait = deadline != WAIT_FOREVER && deadline <= sys_now_ns();
	uint64_t now;
	int n;

	for (;;) {
		epset_add_vectors(ep);
		n = collect(ep, fd, out, max, no_wait || ++ep->turn % KERNEL_EVERY == 0);
		if (n || no_wait)
			break;
		if (spin_until(&ep->spin, epset_test_ready, ep))
			continue;
		if (!epset_lock())
			return busy();
		epset_arm(ep);
		n = epset_scan(ep, out, max);
		epset_unlock();
		if (n)
			break;
		now = sys_now_ns();
		n = kernel_wait(ep, fd, out, max,
		                deadline == WAIT_FOREVER ? -1
		                : now < deadline         ? (int64_t)(deadline - now)
		                                         : 0,
		                mask);
		if (n < 0)
			return n;
		if (n < max)
			n += locked_scan(ep, out + n, max - n);
		if (n < 0)
			return n;
		if (n || (deadline != WAIT_FOREVER && sys_now_ns() >= deadline))
			break;
	}
	if (atomic_load(&ep->nested))
		epset_refresh_nested(ep);
	else if (n > 0)
		guard_again(ep);
	return n;
}

/* A member may leave TCP while we are in the kernel: markers must not get out. */
static int wait_common(int fd, struct epoll_event *out, int max, uint64_t deadline,
                       const sigset_t *mask, int ms)
{
	struct epobj *ep = epset_get(fd);
	uint64_t now;
	int n;

	if (!ep || max <= 0 || !usermem_pointer_ok(out))
		return LIBC(epoll_pwait)(fd, out, max, ms, mask);
	while (atomic_load(&ep->nsmc) == 0) {
		atomic_fetch_add(&ep->sleepers, 1);
		n = LIBC(epoll_pwait)(fd, out, max, ms, mask);
		atomic_fetch_sub(&ep->sleepers, 1);
		if (n <= 0 || !epset_slab)
			return n;
		if (!epset_lock())
			return busy();
		n = filter(ep, out, n, out);
		epset_unlock();
		if (n && atomic_load(&ep->nsmc))
			guard_again(ep);
		if (n)
			return n;
		now = sys_now_ns();
		if (deadline != WAIT_FOREVER)
			ms = now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0;
		if (ms == 0)
			break;
	}
	if (atomic_load(&ep->nsmc) == 0)
		return 0;
	return wait_smc(ep, fd, out, max, deadline, mask);
}

/* ---- the calls */

HOOK int epoll_create(int size)
{
	return epset_track(LIBC(epoll_create)(size));
}

HOOK int epoll_create1(int flags)
{
	return epset_track(LIBC(epoll_create1)(flags));
}

/* A member whose readiness is ours already: the kernel's registration stays the
 * lifeline's, so that no event with the program's data can slip out meanwhile. */
static int modify_smc(struct member *m, const struct epoll_event *ev)
{
	if (!usermem_pointer_ok(ev) || (ev->events & EPOLLEXCLUSIVE)) {
		errno = usermem_pointer_ok(ev) ? EINVAL : EFAULT;
		return -1;
	}
	epset_member_set(m, ev);
	return 0;
}

/*
 * Add or modify while the kernel still reports the member. A one-shot is registered
 * with our marker: we have to know that it fired.
 */
static int change_kernel(struct epobj *ep, struct sock *s, int op, int fd, struct epoll_event *ev)
{
	struct member *m = epset_find(ep, s, fd);
	struct epoll_event kernel;
	bool fresh = !m;
	int r;

	if (!usermem_pointer_ok(ev))
		return LIBC(epoll_ctl)(ep->fd, op, fd, ev);
	if (fresh)
		m = epset_member_make(ep, s, fd);
	kernel = *ev;
	if (m && (ev->events & EPOLLONESHOT))
		kernel.data.u64 = (uint64_t)(uintptr_t)m;
	r = LIBC(epoll_ctl)(ep->fd, op, fd, &kernel);
	if (r == 0 && m)
		epset_member_set(m, ev);
	else if (r == 0)
		sock_pin(s, FAB_REASON_OI_BYPASS); /* no memory to watch it ourselves */
	else if (m && fresh)
		epset_member_free(m);
	return r;
}

HOOK int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct epobj *ep = epset_get(epfd);
	struct sock *s = sock_get(fd);
	struct member *m;
	int r;

	if (!ep || !s || atomic_load(&s->listening)) {
		r = LIBC(epoll_ctl)(epfd, op, fd, ev);
		if (r == 0 && op != EPOLL_CTL_DEL)
			epoll_mark_nested(fd);
		/* An instance that we do not know: its members have to stay the kernel's. */
		if (r == 0 && op != EPOLL_CTL_DEL && s && !ep && !atomic_load(&s->listening))
			sock_pin(s, FAB_REASON_OI_BYPASS);
		return r;
	}
	if (s->conn.row)
		sock_touch(s, fd);
	if (!epset_lock())
		return LIBC(epoll_ctl)(epfd, op, fd, ev);
	m = epset_find(ep, s, fd);
	if (op == EPOLL_CTL_DEL) {
		r = LIBC(epoll_ctl)(epfd, op, fd, ev);
		if (r == 0 && m)
			epset_member_free(m);
	} else if (op == EPOLL_CTL_MOD && m && m->smc) {
		r = modify_smc(m, ev);
	} else {
		r = change_kernel(ep, s, op, fd, ev);
	}
	epset_unlock();
	if (r == 0)
		epset_keep_awake(ep);
	return r;
}

static uint64_t deadline_ms(int ms)
{
	return ms < 0 ? WAIT_FOREVER : sys_now_ns() + (uint64_t)ms * 1000000;
}

HOOK int epoll_wait(int fd, struct epoll_event *ev, int max, int ms)
{
	return wait_common(fd, ev, max, deadline_ms(ms), NULL, ms);
}

HOOK int epoll_pwait(int fd, struct epoll_event *ev, int max, int ms, const sigset_t *mask)
{
	return wait_common(fd, ev, max, deadline_ms(ms), mask, ms);
}

HOOK int epoll_pwait2(int fd, struct epoll_event *ev, int max, const struct timespec *ts,
                      const sigset_t *mask)
{
	uint64_t deadline = WAIT_FOREVER, now;
	int ms = -1;

	if (!epset_get(fd) || (ts && (ts->tv_sec < 0 || (unsigned long)ts->tv_nsec > 999999999)) ||
	    (atomic_load(&epset_get(fd)->nsmc) == 0 && !epset_slab))
		return LIBC(epoll_pwait2)(fd, ev, max, ts, mask);
	if (ts)
		deadline = wait_deadline_in(ts->tv_sec, ts->tv_nsec);
	if (deadline != WAIT_FOREVER) {
		now = sys_now_ns();
		ms = deadline - now > 2000000000000000ull
		             ? 2000000000
		             : (int)((deadline - now + 999999) / 1000000);
	}
	return wait_common(fd, ev, max, deadline, mask, ms);
}
