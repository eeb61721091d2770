/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: epoll.
 *
 * As long as no member has left TCP an instance is the kernel's, and we only
 * remember the registrations of followed sockets. When a member's connection
 * leaves TCP (epoll_sock_went_smc), its registration in the kernel instance becomes
 * that of its lifeline, edge-triggered, with a marker as data, and the vectors are
 * registered too. From then on epoll_wait() merges:
 *
 *   - members that went: readiness computed from ring and lifeline, with the
 *     trigger mode that the program asked for;
 *   - everything else: what the kernel says, with the program's own data.
 *
 * The marker is the address of our struct member. A program's data could only be
 * mistaken for one if it pointed into our pages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "smc/lock.h"
#include "sock/libc.h"
#include "sock/ready.h"
#include "sock/usermem.h"
#include "sock/wait.h"

#define EPOLLIN_BITS (EPOLLIN | EPOLLRDNORM)
#define EPOLLOUT_BITS (EPOLLOUT | EPOLLWRNORM)
#define MODE_BITS (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define MAX_KERNEL 256 /* events taken from the kernel at once */
#define KERNEL_EVERY 8 /* busy rings: the kernel's own events are asked for so often */

struct epobj;

struct member {
	struct epobj *ep;
	struct sock *s;
	struct member *next;      /* of the instance */
	struct member *sock_next; /* of the socket */
	int fd;
	uint32_t events; /* the program's */
	uint64_t data;   /* the program's */
	bool smc;        /* readiness is ours */
	bool disabled;   /* one-shot that has fired */
	bool edge;       /* something new since the last report (edge-triggered) */
	uint32_t life;   /* what the lifeline said, sticky: HUP, RDHUP, ERR, IN */
	uint64_t seen_prod;
	uint64_t seen_full;
	bool out_wait; /* was not writable when looked at */
	bool skip_out; /* the kernel is about to report what is no news */
};

struct epobj {
	struct obj obj;
	_Atomic int fds;
	int fd;
	_Atomic unsigned nsmc;
	_Atomic bool nested;  /* watched itself: the kernel's descriptor must fire */
	unsigned vectors;     /* registered in the kernel instance, or in aux */
	privfd_t aux;         /* nested: holds the vectors, so that their edges can be
	                    * taken without touching the program's events */
	_Atomic int sleepers; /* threads that are, or may be, in the kernel */
	unsigned turn;
	struct member *members;
	struct member *cursor; /* where the next scan begins: fairness */
	struct spin spin;
	struct epobj *next_free;
};

/*
 * One lock for all bookkeeping. Held for scans and changes, never while waiting. A
 * signal handler may get here while its own thread holds it: it changes nothing
 * then, and a socket that it closes is taken out of the sets by the holder.
 */
static _Atomic uint32_t lock;
static struct sock *_Atomic gone_later;

/* A wait inside of a signal handler that interrupted our own bookkeeping. */
static int busy(void)
{
	errno = EINTR;
	return -1;
}

static bool locked(void)
{
	return side_lock(&lock);
}

static void members_free(struct sock *s);

static void unlocked(void)
{
	struct sock *s = atomic_exchange(&gone_later, NULL), *next;

	for (; s; s = next) {
		next = s->gone_next;
		members_free(s);
	}
	side_unlock(&lock);
}

#define SLAB_BYTES (64ul << 20) /* address space only */
static struct member *slab, *slab_next, *free_members;
static struct epobj *free_eps;

/* ---- objects */

static struct member *member_alloc(void)
{
	struct member *m = free_members;

	if (m) {
		free_members = m->next;
	} else {
		if (!slab) {
			void *p = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
			               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

			if (p == MAP_FAILED)
				return NULL;
			slab = p;
			slab_next = slab + 1; /* the first one marks the vectors */
		}
		if ((char *)(slab_next + 1) > (char *)slab + SLAB_BYTES)
			return NULL;
		m = slab_next++;
	}
	memset(m, 0, sizeof(*m));
	return m;
}

static struct member *marker(uint64_t data)
{
	uint64_t base = (uint64_t)(uintptr_t)slab;

	if (!slab || data < base || data >= base + SLAB_BYTES)
		return NULL;
	/* A member that another process made after the fork is nobody here. */
	if ((data - base) % sizeof(struct member) || data >= (uint64_t)(uintptr_t)slab_next)
		return slab;
	return (struct member *)(uintptr_t)data;
}

static void unlink_from_sock(struct member *m)
{
	for (struct member **p = &m->s->members; *p; p = &(*p)->sock_next)
		if (*p == m) {
			*p = m->sock_next;
			return;
		}
}

static void unlink_from_ep(struct member *m)
{
	for (struct member **p = &m->ep->members; *p; p = &(*p)->next)
		if (*p == m) {
			*p = m->next;
			break;
		}
	if (m->ep->cursor == m)
		m->ep->cursor = NULL;
	if (m->smc)
		atomic_fetch_sub(&m->ep->nsmc, 1);
}

static void member_free(struct member *m)
{
	unlink_from_sock(m);
	unlink_from_ep(m);
	m->s = NULL;
	m->ep = NULL;
	m->next = free_members;
	free_members = m;
}

static struct member *member_find(struct epobj *ep, struct sock *s, int fd)
{
	for (struct member *m = s->members; m; m = m->sock_next)
		if (m->ep == ep && m->fd == fd)
			return m;
	return NULL;
}

static struct epobj *ep_get(int fd)
{
	struct obj *o = fdtab_get(fd);

	return o && o->kind == OBJ_EPOLL ? (struct epobj *)o : NULL;
}

static int ep_track(int fd)
{
	struct epobj *ep;

	if (fd < 0)
		return fd;
	ep = NULL;
	if (locked()) {
		ep = free_eps;
		if (ep)
			free_eps = ep->next_free;
		unlocked();
	}
	if (!ep) {
		ep = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (ep == MAP_FAILED)
			return fd;
	}
	memset(ep, 0, sizeof(*ep));
	ep->obj.kind = OBJ_EPOLL;
	ep->fd = fd;
	atomic_store(&ep->aux, -1);
	atomic_store(&ep->fds, 1);
	spin_init(&ep->spin);
	sock_forget(fd);
	fdtab_swap(fd, &ep->obj);
	return fd;
}

void epoll_copied(struct obj *o, int fd)
{
	atomic_fetch_add(&((struct epobj *)o)->fds, 1);
	sock_forget(fd);
	fdtab_swap(fd, o);
}

void epoll_closed(struct obj *o)
{
	struct epobj *ep = (struct epobj *)o;

	if (atomic_fetch_sub(&ep->fds, 1) != 1)
		return;
	if (!locked())
		return;
	while (ep->members)
		member_free(ep->members);
	privfd_close(&ep->aux);
	ep->next_free = free_eps;
	free_eps = ep;
	unlocked();
}

/* ---- members that left TCP */

static void add_vectors(struct epobj *ep)
{
	int to = atomic_load(&ep->aux) >= 0 ? ep->aux : ep->fd;

	if (ep->vectors < ism_vector_count())
		ep->vectors = wait_add_vectors(to, ep->vectors, (uint64_t)(uintptr_t)slab);
}

/* The lifeline's registration in the kernel instance. */
static void watch_lifeline(struct member *m)
{
	struct epoll_event ev = { .data.u64 = (uint64_t)(uintptr_t)m };

	ev.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
	if (!conn_tx_on_ring(&m->s->conn))
		ev.events |= m->events & EPOLLOUT_BITS;
	m->skip_out = (ev.events & EPOLLOUT) && (sys_poll_now(m->fd, POLLOUT) & POLLOUT);
	if (m->events & EPOLLEXCLUSIVE) { /* such a registration cannot be changed */
		sys_epoll_ctl(m->ep->fd, EPOLL_CTL_DEL, m->fd, NULL);
		sys_epoll_ctl(m->ep->fd, EPOLL_CTL_ADD, m->fd, &ev);
	} else {
		sys_epoll_ctl(m->ep->fd, EPOLL_CTL_MOD, m->fd, &ev);
	}
}

static void member_to_smc(struct member *m)
{
	struct epobj *ep = m->ep;

	if (m->smc)
		return;
	m->smc = true;
	m->edge = true;
	atomic_fetch_add(&ep->nsmc, 1);
	add_vectors(ep);
	watch_lifeline(m);
}

void epoll_sock_went_smc(struct sock *s, int fd)
{
	if (!locked()) {
		atomic_store(&s->smc, false); /* the next call tries again */
		return;
	}
	for (struct member *m = s->members; m; m = m->sock_next) {
		member_to_smc(m);
		/* A thread may be asleep in this instance's epoll_wait: the new
		 * registrations are in the kernel, but nothing is armed yet. */
		if (conn_linked(&s->conn)) {
			conn_rx_arm(&s->conn, FAB_ARM_RING);
			conn_tx_arm(&s->conn, FAB_ARM_RING);
		}
	}
	unlocked();
}

static void members_free(struct sock *s)
{
	while (s->members)
		member_free(s->members);
}

void epoll_sock_gone(struct sock *s)
{
	if (!locked()) {
		s->gone_next = atomic_load(&gone_later);
		while (!atomic_compare_exchange_weak(&gone_later, &s->gone_next, s))
			;
		return;
	}
	members_free(s);
	unlocked();
}

/*
 * What is true of the member now, of what it asked for. Data in the ring and room
 * in it cost no system call; once the lifeline has said something the kernel is
 * asked each time, because an error is reported once and then gone.
 */
static uint32_t member_ready(struct member *m)
{
	struct sock *s = m->s;
	short want = (short)(m->events & (EPOLLIN_BITS | EPOLLOUT_BITS));
	uint32_t r = (uint32_t)(unsigned short)ready_ring_events(s, want);
	short ask;

	if (m->life || ((m->events & EPOLLOUT_BITS) && !conn_tx_on_ring(&s->conn))) {
		ask = ready_kernel_events(s, (short)(m->events & 0xffff) | POLLRDHUP | POLLIN);
		ask = sys_poll_now(m->fd, ask);
		m->life = (uint32_t)(unsigned short)ask & ~(uint32_t)EPOLLOUT_BITS;
		r |= (uint32_t)(unsigned short)ask & (m->events | EPOLLERR | EPOLLHUP);
	}
	return r & 0xffff;
}

/* Edge-triggered: is there news since the last report? */
static bool member_news(struct member *m, uint32_t ready)
{
	struct conn *c = &m->s->conn;
	uint64_t prod = atomic_load(&c->rx->prod), full = atomic_load(&c->row->tx_full);
	bool news = m->edge;

	if ((ready & EPOLLIN) && prod != m->seen_prod)
		news = true;
	if ((ready & EPOLLOUT) && (m->out_wait || full != m->seen_full))
		news = true;
	return news;
}

static void member_reported(struct member *m, uint32_t ready)
{
	struct conn *c = &m->s->conn;

	m->edge = false;
	m->seen_prod = atomic_load(&c->rx->prod);
	if (ready & EPOLLOUT) {
		m->seen_full = atomic_load(&c->row->tx_full);
		m->out_wait = false;
	}
	if (m->events & EPOLLONESHOT)
		m->disabled = true;
}

/* The event to report for @m, 0 if none. */
static uint32_t member_event(struct member *m)
{
	uint32_t ready;

	if (!m->smc || m->disabled || !conn_linked(&m->s->conn))
		return 0;
	ready = member_ready(m);
	if ((m->events & EPOLLOUT) && !(ready & EPOLLOUT))
		m->out_wait = true;
	if (ready && (m->events & EPOLLET) && !member_news(m, ready))
		ready = 0;
	return ready;
}

static int scan(struct epobj *ep, struct epoll_event *out, int max)
{
	struct member *m = ep->cursor ? ep->cursor : ep->members, *first = m;
	uint32_t ready;
	int n = 0;

	while (m && n < max) {
		ready = member_event(m);
		if (ready) {
			out[n].events = ready;
			out[n++].data.u64 = m->data;
			member_reported(m, ready);
		}
		m = m->next ? m->next : ep->members;
		if (m == first)
			break;
	}
	ep->cursor = m;
	return n;
}

static bool any_ready(struct epobj *ep)
{
	for (struct member *m = ep->members; m; m = m->next)
		if (member_event(m))
			return true;
	return false;
}

/* Spinning looks at positions only, and at no member twice for the same reason. */
static bool test_any_ready(void *arg)
{
	struct epobj *ep = arg;
	bool r;

	if (!side_trylock(&lock))
		return false;
	r = any_ready(ep);
	unlocked();
	return r;
}

/* Before sleeping: peers shall ring us. */
static void arm(struct epobj *ep)
{
	uint32_t how = atomic_load(&ep->nested) ? FAB_ARM_RING : FAB_ARM_MARK;
	struct ism_segment *last = NULL;

	for (struct member *m = ep->members; m; m = m->next) {
		struct conn *c = &m->s->conn;

		if (!m->smc || m->disabled || !conn_linked(c))
			continue;
		if (c->seg != last)
			atomic_store(&c->seg->head->side[c->side].asleep, 1);
		last = c->seg;
		ready_arm(m->s, m->fd, (short)(m->events & (EPOLLIN | EPOLLOUT)), how);
	}
}

/* ---- the kernel's share */

/* Kernel events: markers become news of their members, the rest goes out. */
static int filter(struct epobj *ep, const struct epoll_event *in, int n, struct epoll_event *out)
{
	int k = 0;

	for (int i = 0; i < n; i++) {
		struct member *m = marker(in[i].data.u64);

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
	if (!locked())
		return busy();
	k = filter(ep, buf, n, out);
	unlocked();
	return k;
}

/* ---- instances that are watched themselves */

/*
 * A vector that has rung once looks readable for ever (nobody reads it); inside
 * of an instance that others watch that would be a false alarm. So there the
 * vectors move into an instance of their own inside of the program's, whose edges
 * can be taken away.
 */
static void vectors_to_aux(struct epobj *ep)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)slab };
	int aux = sys_epoll_create();

	if (aux < 0 || privfd_adopt(aux, &ep->aux) < 0)
		return;
	for (unsigned i = 0; i < ep->vectors; i++)
		if (ism_vector(i) >= 0)
			sys_epoll_ctl(ep->fd, EPOLL_CTL_DEL, ism_vector(i), NULL);
	ep->vectors = 0;
	add_vectors(ep);
	sys_epoll_ctl(ep->fd, EPOLL_CTL_ADD, ep->aux, &ev);
}

/* Make the kernel's descriptor of a watched instance look ready exactly if a
 * member is, and have it rung when one becomes so. */
static void refresh_nested(struct epobj *ep)
{
	struct epoll_event ev[8];
	bool ready;

	if (!locked())
		return;
	if (!atomic_load(&ep->nsmc)) {
		unlocked();
		return;
	}
	if (atomic_load(&ep->aux) < 0)
		vectors_to_aux(ep);
	if (atomic_load(&ep->aux) >= 0)
		sys_epoll_wait(ep->aux, ev, 8, 0);
	arm(ep);
	ready = any_ready(ep);
	unlocked();
	if (ready)
		ism_ring_self();
}

void epoll_mark_nested(int fd)
{
	struct epobj *ep = fd >= 0 ? ep_get(fd) : NULL;

	if (!ep)
		return;
	atomic_store(&ep->nested, true);
	refresh_nested(ep);
}

/* After a change or a wait. */
static void keep_awake(struct epobj *ep)
{
	if (atomic_load(&ep->nested))
		refresh_nested(ep);
	else if (atomic_load(&ep->sleepers) && atomic_load(&ep->nsmc))
		ism_ring_self(); /* a sleeper has armed for what was there before */
}

static int locked_scan(struct epobj *ep, struct epoll_event *out, int max)
{
	int n;

	if (!locked())
		return busy();
	n = scan(ep, out, max);
	unlocked();
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

	if (!atomic_load(&ep->sleepers) || !locked())
		return;
	arm(ep);
	more = any_ready(ep);
	unlocked();
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
		add_vectors(ep);
		n = collect(ep, fd, out, max, no_wait || ++ep->turn % KERNEL_EVERY == 0);
		if (n || no_wait)
			break;
		if (spin_until(&ep->spin, test_any_ready, ep))
			continue;
		if (!locked())
			return busy();
		arm(ep);
		n = scan(ep, out, max);
		unlocked();
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
		refresh_nested(ep);
	else if (n > 0)
		guard_again(ep);
	return n;
}

/* A member may leave TCP while we are in the kernel: markers must not get out. */
static int wait_common(int fd, struct epoll_event *out, int max, uint64_t deadline,
                       const sigset_t *mask, int ms)
{
	struct epobj *ep = ep_get(fd);
	uint64_t now;
	int n;

	if (!ep || max <= 0 || !usermem_pointer_ok(out))
		return LIBC(epoll_pwait)(fd, out, max, ms, mask);
	while (atomic_load(&ep->nsmc) == 0) {
		atomic_fetch_add(&ep->sleepers, 1);
		n = LIBC(epoll_pwait)(fd, out, max, ms, mask);
		atomic_fetch_sub(&ep->sleepers, 1);
		if (n <= 0 || !slab)
			return n;
		if (!locked())
			return busy();
		n = filter(ep, out, n, out);
		unlocked();
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
	return ep_track(LIBC(epoll_create)(size));
}

HOOK int epoll_create1(int flags)
{
	return ep_track(LIBC(epoll_create1)(flags));
}

static struct member *member_make(struct epobj *ep, struct sock *s, int fd)
{
	struct member *m = member_alloc();

	if (!m)
		return NULL;
	m->ep = ep;
	m->s = s;
	m->fd = fd;
	m->next = ep->members;
	ep->members = m;
	m->sock_next = s->members;
	s->members = m;
	return m;
}

static void member_set(struct member *m, const struct epoll_event *ev)
{
	m->events = ev->events;
	m->data = ev->data.u64;
	m->disabled = false;
	m->edge = true;
	m->out_wait = false;
	if (m->smc)
		watch_lifeline(m);
	else if (atomic_load(&m->s->smc))
		member_to_smc(m);
}

/* A member whose readiness is ours already: the kernel's registration stays the
 * lifeline's, so that no event with the program's data can slip out meanwhile. */
static int modify_smc(struct member *m, const struct epoll_event *ev)
{
	if (!usermem_pointer_ok(ev) || (ev->events & EPOLLEXCLUSIVE)) {
		errno = usermem_pointer_ok(ev) ? EINVAL : EFAULT;
		return -1;
	}
	member_set(m, ev);
	return 0;
}

/*
 * Add or modify while the kernel still reports the member. A one-shot is registered
 * with our marker: we have to know that it fired.
 */
static int change_kernel(struct epobj *ep, struct sock *s, int op, int fd, struct epoll_event *ev)
{
	struct member *m = member_find(ep, s, fd);
	struct epoll_event kernel;
	bool fresh = !m;
	int r;

	if (!usermem_pointer_ok(ev))
		return LIBC(epoll_ctl)(ep->fd, op, fd, ev);
	if (fresh)
		m = member_make(ep, s, fd);
	kernel = *ev;
	if (m && (ev->events & EPOLLONESHOT))
		kernel.data.u64 = (uint64_t)(uintptr_t)m;
	r = LIBC(epoll_ctl)(ep->fd, op, fd, &kernel);
	if (r == 0 && m)
		member_set(m, ev);
	else if (r == 0)
		sock_pin(s, FAB_REASON_OI_BYPASS); /* no memory to watch it ourselves */
	else if (m && fresh)
		member_free(m);
	return r;
}

HOOK int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct epobj *ep = ep_get(epfd);
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
	if (!locked())
		return LIBC(epoll_ctl)(epfd, op, fd, ev);
	m = member_find(ep, s, fd);
	if (op == EPOLL_CTL_DEL) {
		r = LIBC(epoll_ctl)(epfd, op, fd, ev);
		if (r == 0 && m)
			member_free(m);
	} else if (op == EPOLL_CTL_MOD && m && m->smc) {
		r = modify_smc(m, ev);
	} else {
		r = change_kernel(ep, s, op, fd, ev);
	}
	unlocked();
	if (r == 0)
		keep_awake(ep);
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

	if (!ep_get(fd) || (ts && (ts->tv_sec < 0 || (unsigned long)ts->tv_nsec > 999999999)) ||
	    (atomic_load(&ep_get(fd)->nsmc) == 0 && !slab))
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

/* ---- fork */

void epoll_atfork_prepare(void)
{
	side_lock(&lock);
}

void epoll_atfork_parent(void)
{
	unlocked();
}

void epoll_atfork_child(void)
{
	side_unlock(&lock);
}
