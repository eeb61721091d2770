/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sock/epoll_set.h"

#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "smc/lock.h"
#include "sock/libc.h"
#include "sock/ready.h"
#include "sock/wait.h"

/*
 * One lock for all bookkeeping. Held for scans and changes, never while waiting. A
 * signal handler may get here while its own thread holds it: it changes nothing
 * then, and a socket that it closes is taken out of the sets by the holder.
 */
static _Atomic uint32_t lock;
static struct sock *_Atomic gone_later;

bool epset_lock(void)
{
	return side_lock(&lock);
}

static void members_free(struct sock *s);

void epset_unlock(void)
{
	struct sock *s = atomic_exchange(&gone_later, NULL), *next;

	for (; s; s = next) {
		next = s->gone_next;
		members_free(s);
	}
	side_unlock(&lock);
}

#define SLAB_BYTES (64ul << 20) /* address space only */
struct member *epset_slab;
static struct member *slab_next, *free_members;
static struct epobj *free_eps;

/* ---- objects */

static struct member *member_alloc(void)
{
	struct member *m = free_members;

	if (m) {
		free_members = m->next;
	} else {
		if (!epset_slab) {
			void *p = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
			               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

			if (p == MAP_FAILED)
				return NULL;
			epset_slab = p;
			slab_next = epset_slab + 1; /* the first one marks the vectors */
		}
		if ((char *)(slab_next + 1) > (char *)epset_slab + SLAB_BYTES)
			return NULL;
		m = slab_next++;
	}
	memset(m, 0, sizeof(*m));
	return m;
}

struct member *epset_marker(uint64_t data)
{
	uint64_t base = (uint64_t)(uintptr_t)epset_slab;

	if (!epset_slab || data < base || data >= base + SLAB_BYTES)
		return NULL;
	/* A member that another process made after the fork is nobody here. */
	if ((data - base) % sizeof(struct member) || data >= (uint64_t)(uintptr_t)slab_next)
		return epset_slab;
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

void epset_member_free(struct member *m)
{
	unlink_from_sock(m);
	unlink_from_ep(m);
	m->s = NULL;
	m->ep = NULL;
	m->next = free_members;
	free_members = m;
}

struct member *epset_find(struct epobj *ep, struct sock *s, int fd)
{
	for (struct member *m = s->members; m; m = m->sock_next)
		if (m->ep == ep && m->fd == fd)
			return m;
	return NULL;
}

struct epobj *epset_get(int fd)
{
	struct obj *o = fdtab_get(fd);

	return o && o->kind == OBJ_EPOLL ? (struct epobj *)o : NULL;
}

int epset_track(int fd)
{
	struct epobj *ep;

	if (fd < 0)
		return fd;
	ep = NULL;
	if (epset_lock()) {
		ep = free_eps;
		if (ep)
			free_eps = ep->next_free;
		epset_unlock();
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
	if (!epset_lock())
		return;
	while (ep->members)
		epset_member_free(ep->members);
	privfd_close(&ep->aux);
	ep->next_free = free_eps;
	free_eps = ep;
	epset_unlock();
}

/* ---- members that left TCP */

void epset_add_vectors(struct epobj *ep)
{
	int to = atomic_load(&ep->aux) >= 0 ? ep->aux : ep->fd;

	if (ep->vectors != ism_vector_changes())
		ep->vectors = wait_add_vectors(to, ep->vectors, (uint64_t)(uintptr_t)epset_slab);
}

/* The lifeline's registration in the kernel instance. */
void epset_watch_lifeline(struct member *m)
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
	epset_add_vectors(ep);
	epset_watch_lifeline(m);
}

void epoll_sock_went_smc(struct sock *s, int fd)
{
	if (!epset_lock()) {
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
	epset_unlock();
}

static void members_free(struct sock *s)
{
	while (s->members)
		epset_member_free(s->members);
}

void epoll_sock_gone(struct sock *s)
{
	if (!epset_lock()) {
		s->gone_next = atomic_load(&gone_later);
		while (!atomic_compare_exchange_weak(&gone_later, &s->gone_next, s))
			;
		return;
	}
	members_free(s);
	epset_unlock();
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

int epset_scan(struct epobj *ep, struct epoll_event *out, int max)
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

bool epset_any_ready(struct epobj *ep)
{
	for (struct member *m = ep->members; m; m = m->next)
		if (member_event(m))
			return true;
	return false;
}

/* Spinning looks at positions only, and at no member twice for the same reason. */
bool epset_test_ready(void *arg)
{
	struct epobj *ep = arg;
	bool r;

	if (!side_trylock(&lock))
		return false;
	r = epset_any_ready(ep);
	epset_unlock();
	return r;
}

/* Before sleeping: peers shall ring us. */
void epset_arm(struct epobj *ep)
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

struct member *epset_member_make(struct epobj *ep, struct sock *s, int fd)
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

void epset_member_set(struct member *m, const struct epoll_event *ev)
{
	m->events = ev->events;
	m->data = ev->data.u64;
	m->disabled = false;
	m->edge = true;
	m->out_wait = false;
	if (m->smc)
		epset_watch_lifeline(m);
	else if (atomic_load(&m->s->smc))
		member_to_smc(m);
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
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)epset_slab };
	int aux = sys_epoll_create();

	if (aux < 0 || privfd_adopt(aux, &ep->aux) < 0)
		return;
	for (unsigned i = 0; i < ISM_VECTORS; i++)
		if (ism_vector(i) >= 0)
			sys_epoll_ctl(ep->fd, EPOLL_CTL_DEL, ism_vector(i), NULL);
	ep->vectors = 0;
	epset_add_vectors(ep);
	sys_epoll_ctl(ep->fd, EPOLL_CTL_ADD, ep->aux, &ev);
}

/* Make the kernel's descriptor of a watched instance look ready exactly if a
 * member is, and have it rung when one becomes so. */
void epset_refresh_nested(struct epobj *ep)
{
	struct epoll_event ev[8];
	bool ready;

	if (!epset_lock())
		return;
	if (!atomic_load(&ep->nsmc)) {
		epset_unlock();
		return;
	}
	if (atomic_load(&ep->aux) < 0)
		vectors_to_aux(ep);
	if (atomic_load(&ep->aux) >= 0)
		sys_epoll_wait(ep->aux, ev, 8, 0);
	epset_arm(ep);
	ready = epset_any_ready(ep);
	epset_unlock();
	if (ready)
		ism_ring_self();
}

void epoll_mark_nested(int fd)
{
	struct epobj *ep = fd >= 0 ? epset_get(fd) : NULL;

	if (!ep)
		return;
	atomic_store(&ep->nested, true);
	epset_refresh_nested(ep);
}

/* After a change or a wait. */
void epset_keep_awake(struct epobj *ep)
{
	if (atomic_load(&ep->nested))
		epset_refresh_nested(ep);
	else if (atomic_load(&ep->sleepers) && atomic_load(&ep->nsmc))
		ism_ring_self(); /* a sleeper has armed for what was there before */
}

/* ---- fork */

void epoll_atfork_prepare(void)
{
	side_lock(&lock);
}

void epoll_atfork_parent(void)
{
	epset_unlock();
}

void epoll_atfork_child(void)
{
	side_unlock(&lock);
}
