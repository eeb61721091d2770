/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: poll and select.
 *
 * A set without connections of ours goes to the kernel as it is. Otherwise one
 * loop: ask the rings; ask the kernel for the rest without waiting; if nothing is
 * ready spin a little, then arm the rings, look once more, and sleep in the kernel
 * on the set and this thread's vectors.
 *
 * Connections without a verdict sleep in the kernel like any descriptor; they
 * are counted at their gate meanwhile, so that nothing is put into a ring that
 * nobody watches.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "sock/libc.h"
#include "sock/ready.h"
#include "sock/usermem.h"
#include "sock/wait.h"

/* libc's headers call poll()'s array "written only"; we have to read it. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define ON_STACK 64
#define NAP_NS 1000000u

struct pset {
	struct pollfd *user; /* the program's */
	struct pollfd *kern; /* what the kernel is asked, one more for the vectors */
	struct sock **smc;   /* per entry: the connection, or NULL */
	struct sock **gated; /* per entry: counted at its gate */
	nfds_t n;
	const sigset_t *mask;
	bool foreign; /* there are entries that only the kernel knows about */
	struct spin *spin;
};

static __thread struct spin thread_spin
	__attribute__((tls_model("initial-exec"))) = { SPIN_START_NS, 0 };

/* Which entries are ours? Returns how many. */
static unsigned classify(struct pset *p)
{
	unsigned n = 0;

	for (nfds_t i = 0; i < p->n; i++) {
		struct sock *s = p->user[i].fd >= 0 ? sock_get(p->user[i].fd) : NULL;

		p->smc[i] = NULL;
		p->gated[i] = NULL;
		if (s && sock_look_begin(s, p->user[i].fd)) {
			if (ready_is_smc(s, p->user[i].fd))
				p->smc[i] = s;
			sock_look_end(s);
		}
		n += p->smc[i] != NULL;
		p->foreign |= !p->smc[i] && p->user[i].fd >= 0;
		epoll_mark_nested(p->user[i].fd);
	}
	return n;
}

/* Another thread may close a member at any time: each look makes sure of it. */
static short look(struct pset *p, nfds_t i)
{
	struct sock *s = p->smc[i];
	short r = 0;

	if (!s)
		return 0;
	if (!sock_look_begin(s, p->user[i].fd)) {
		p->smc[i] = NULL;
		return 0;
	}
	r = ready_ring_events(s, p->user[i].events);
	sock_look_end(s);
	return r;
}

static int ring_ready(struct pset *p)
{
	int n = 0;

	for (nfds_t i = 0; i < p->n; i++)
		n += look(p, i) != 0;
	return n;
}

static bool test_ring_ready(void *arg)
{
	return ring_ready(arg) > 0;
}

static void fill_kernel(struct pset *p)
{
	for (nfds_t i = 0; i < p->n; i++) {
		p->kern[i] = p->user[i];
		p->kern[i].revents = 0;
		if (p->smc[i] && sock_look_begin(p->smc[i], p->user[i].fd)) {
			p->kern[i].events = ready_kernel_events(p->smc[i], p->user[i].events);
			sock_look_end(p->smc[i]);
		}
	}
}

/* The kernel's answer and the rings' together, into the program's array. */
static int merge(struct pset *p)
{
	int n = 0;

	for (nfds_t i = 0; i < p->n; i++) {
		short r = p->kern[i].revents;

		if (!(r & POLLNVAL))
			r |= look(p, i);
		p->user[i].revents = r;
		n += r != 0;
	}
	return n;
}

static void arm_all(struct pset *p)
{
	for (nfds_t i = 0; i < p->n; i++)
		if (p->smc[i] && sock_look_begin(p->smc[i], p->user[i].fd)) {
			ready_arm(p->smc[i], p->user[i].fd, p->user[i].events, FAB_ARM_RING);
			sock_look_end(p->smc[i]);
		}
}

/* Entries without a verdict are counted in the kernel; false if one of them was
 * married just now, so that the set has to be looked at again. */
static bool gates_enter(struct pset *p)
{
	bool in = true;

	for (nfds_t i = 0; i < p->n && in; i++) {
		struct sock *s = p->user[i].fd >= 0 ? sock_get(p->user[i].fd) : NULL;

		if (!s || p->smc[i] || !s->conn.row ||
		    !(p->user[i].events & (POLLIN | POLLRDNORM)) ||
		    !sock_look_begin(s, p->user[i].fd))
			continue;
		in = conn_rx_enter_kernel(&s->conn);
		p->gated[i] = in ? s : NULL;
		sock_look_end(s);
	}
	return in;
}

static void gates_leave(struct pset *p)
{
	for (nfds_t i = 0; i < p->n; i++) {
		struct sock *s = p->gated[i];

		p->gated[i] = NULL;
		if (s && sock_look_begin(s, p->user[i].fd)) {
			conn_rx_leave_kernel(&s->conn);
			sock_look_end(s);
		}
	}
}

static struct timespec *to_timespec(struct timespec *ts, uint64_t ns)
{
	ts->tv_sec = (time_t)(ns / 1000000000u);
	ts->tv_nsec = (long)(ns % 1000000000u);
	return ts;
}

/* Sleep. < 0: -1 with errno; else what the kernel said. */
static int sleep_kernel(struct pset *p, uint64_t deadline, bool vectors)
{
	nfds_t n = p->n;
	struct timespec ts;
	uint64_t now;
	int r;

	if (vectors) {
		p->kern[n].fd = wait_vectors_fd();
		if (p->kern[n].fd < 0 &&
		    (deadline == WAIT_FOREVER || deadline > sys_now_ns() + NAP_NS))
			deadline = sys_now_ns() + NAP_NS; /* no descriptor left to be rung by */
		p->kern[n].events = POLLIN;
		p->kern[n].revents = 0;
		n++;
	}
	if (deadline != WAIT_FOREVER) {
		now = sys_now_ns();
		to_timespec(&ts, now < deadline ? deadline - now : 0);
	}
	r = LIBC(ppoll)(p->kern, n, deadline == WAIT_FOREVER ? NULL : &ts, p->mask);
	if (vectors && r > 0 && p->kern[p->n].revents)
		wait_vectors_clear();
	return r;
}

static int poll_smc(struct pset *p, uint64_t deadline)
{
	bool no_wait = deadline != WAIT_FOREVER && deadline <= sys_now_ns();
	struct timespec zero = { 0, 0 };
	int r, n;

	for (;;) {
		n = ring_ready(p);
		if (n == 0 && !no_wait && !p->foreign && spin_until(p->spin, test_ring_ready, p))
			n = 1;
		fill_kernel(p);
		if (n || no_wait || p->foreign) {
			r = LIBC(ppoll)(p->kern, p->n, &zero, NULL);
			if (r >= 0)
				r = merge(p);
			if (r || no_wait)
				return r;
		}
		if (p->foreign && spin_until(p->spin, test_ring_ready, p))
			continue;
		arm_all(p);
		if (ring_ready(p))
			continue;
		if (gates_enter(p)) {
			r = sleep_kernel(p, deadline, true);
		} else {
			gates_leave(p);
			classify(p);
			continue;
		}
		gates_leave(p);
		if (r < 0)
			return r;
		n = merge(p);
		if (n || (deadline != WAIT_FOREVER && sys_now_ns() >= deadline))
			return n;
	}
}

static int poll_gated(struct pset *p, uint64_t deadline)
{
	int r;

	fill_kernel(p);
	if (!gates_enter(p)) {
		gates_leave(p);
		return -2; /* became ours meanwhile */
	}
	r = sleep_kernel(p, deadline, false);
	gates_leave(p);
	if (r >= 0)
		for (nfds_t i = 0; i < p->n; i++)
			p->user[i].revents = p->kern[i].revents;
	return r;
}

/* Does any entry concern us at all? */
static bool any_followed(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++) {
		struct obj *o = fds[i].fd >= 0 ? fdtab_get(fds[i].fd) : NULL;

		if (o && (o->kind == OBJ_EPOLL || ((struct sock *)o)->conn.row))
			return true;
	}
	return false;
}

static int poll_common(struct pollfd *fds, nfds_t n, uint64_t deadline, const sigset_t *mask)
{
	struct pollfd kern_small[ON_STACK + 1];
	struct sock *sock_small[2 * ON_STACK];
	size_t bytes = (n + 1) * sizeof(*fds) + 2 * n * sizeof(struct sock *);
	struct pset p = { .user = fds, .n = n, .mask = mask, .spin = &thread_spin };
	char *big = NULL;
	int r;

	if (n <= ON_STACK) {
		p.kern = kern_small;
		p.smc = sock_small;
	} else {
		big = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (big == MAP_FAILED) {
			errno = ENOMEM;
			return -1;
		}
		p.smc = (struct sock **)big;
		p.kern = (struct pollfd *)(big + 2 * n * sizeof(struct sock *));
	}
	p.gated = p.smc + n;
	do
		r = classify(&p) ? poll_smc(&p, deadline) : poll_gated(&p, deadline);
	while (r == -2);
	if (big)
		munmap(big, bytes);
	return r;
}

HOOK int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	if (!usermem_pointer_ok(fds) || !any_followed(fds, n))
		return LIBC(poll)(fds, n, timeout);
	return poll_common(fds, n,
	                   timeout < 0 ? WAIT_FOREVER : sys_now_ns() + (uint64_t)timeout * 1000000,
	                   NULL);
}

HOOK int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask)
{
	uint64_t deadline = WAIT_FOREVER;

	if (!usermem_pointer_ok(fds) || !any_followed(fds, n) ||
	    (ts && (ts->tv_sec < 0 || (unsigned long)ts->tv_nsec > 999999999)))
		return LIBC(ppoll)(fds, n, ts, mask);
	if (ts)
		deadline = wait_deadline_in(ts->tv_sec, ts->tv_nsec);
	return poll_common(fds, n, deadline, mask);
}

HOOK int __poll(struct pollfd *fds, nfds_t n, int timeout);
HOOK int __poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return poll(fds, n, timeout);
}

void __chk_fail(void) __attribute__((noreturn));
HOOK int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room);
HOOK int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask,
                     size_t room);

HOOK int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room)
{
	if (room / sizeof(*fds) < n)
		__chk_fail();
	return poll(fds, n, timeout);
}

HOOK int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask,
                     size_t room)
{
	if (room / sizeof(*fds) < n)
		__chk_fail();
	return ppoll(fds, n, ts, mask);
}

/* ---- select, as a poll */

#define BITS (8 * (int)sizeof(long))

static bool bit(const fd_set *set, int fd)
{
	return set && (((const long *)set)[fd / BITS] >> (fd % BITS) & 1);
}

static bool select_followed(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
	for (int fd = 0; fd < n; fd++) {
		struct obj *o;

		if (!bit(r, fd) && !bit(w, fd) && !bit(e, fd))
			continue;
		o = fdtab_get(fd);
		if (o && (o->kind == OBJ_EPOLL || ((struct sock *)o)->conn.row))
			return true;
	}
	return false;
}

static void set_bit(fd_set *set, int fd, bool on)
{
	long *w = (long *)set + fd / BITS;

	*w = (long)((unsigned long)*w & ~(1ul << (fd % BITS)));
	if (on)
		*w |= (long)(1ul << (fd % BITS));
}

static int from_poll(const struct pollfd *p, int count, fd_set *r, fd_set *w, fd_set *e)
{
	int n = 0;

	for (int i = 0; i < count; i++) {
		short re = p[i].revents;
		bool in = bit(r, p[i].fd) && (re & (POLLIN | POLLRDNORM | POLLHUP | POLLERR));
		bool out = bit(w, p[i].fd) && (re & (POLLOUT | POLLWRNORM | POLLERR));
		bool ex = bit(e, p[i].fd) && (re & POLLPRI);

		if (r)
			set_bit(r, p[i].fd, in);
		if (w)
			set_bit(w, p[i].fd, out);
		if (e)
			set_bit(e, p[i].fd, ex);
		n += in + out + ex;
	}
	return n;
}

static int select_common(int n, fd_set *r, fd_set *w, fd_set *e, uint64_t deadline,
                         const sigset_t *mask)
{
	size_t bytes = ((size_t)n + 1) * sizeof(struct pollfd);
	struct pollfd *p;
	int count = 0, res;

	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		errno = ENOMEM;
		return -1;
	}
	for (int fd = 0; fd < n; fd++) {
		short ev = 0;

		ev |= bit(r, fd) ? POLLIN : 0;
		ev |= bit(w, fd) ? POLLOUT : 0;
		ev |= bit(e, fd) ? POLLPRI : 0;
		if (ev)
			p[count++] = (struct pollfd){ .fd = fd, .events = ev };
	}
	res = poll_common(p, (nfds_t)count, deadline, mask);
	for (int i = 0; res > 0 && i < count; i++)
		if (p[i].revents & POLLNVAL) {
			errno = EBADF;
			res = -1;
		}
	if (res >= 0)
		res = from_poll(p, count, r, w, e);
	munmap(p, bytes);
	return res;
}

HOOK int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv)
{
	uint64_t now, deadline = WAIT_FOREVER, left;
	int res;

	if (n <= 0 || !select_followed(n, r, w, e) || (tv && (tv->tv_sec < 0 || tv->tv_usec < 0)))
		return LIBC(select)(n, r, w, e, tv);
	if (tv)
		deadline = wait_deadline_in(tv->tv_sec, tv->tv_usec * 1000);
	res = select_common(n, r, w, e, deadline, NULL);
	if (tv) { /* Linux says how much time was left */
		now = sys_now_ns();
		left = now < deadline ? deadline - now : 0;
		tv->tv_sec = (time_t)(left / 1000000000u);
		tv->tv_usec = (suseconds_t)(left % 1000000000u / 1000u);
	}
	return res;
}

HOOK int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv);
HOOK int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv)
{
	return select(n, r, w, e, tv);
}

HOOK int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *ts,
                 const sigset_t *mask)
{
	uint64_t deadline = WAIT_FOREVER;

	if (n <= 0 || !select_followed(n, r, w, e) ||
	    (ts && (ts->tv_sec < 0 || (unsigned long)ts->tv_nsec > 999999999)))
		return LIBC(pselect)(n, r, w, e, ts, mask);
	if (ts)
		deadline = wait_deadline_in(ts->tv_sec, ts->tv_nsec);
	return select_common(n, r, w, e, deadline, mask);
}
