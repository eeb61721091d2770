/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sock/wait.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/sys.h"
#include "sock/libc.h"

/* How long a sender sleeps on a full ring whose reader does not move, before the
 * kernel's buffers take over. */
#define STUCK_NS 20000000ull

/* Bytes are being taken back and TCP was full: try again so soon. */
#define BUSY_NS 5000000ull

#define NAP_NS 1000000

#define DATA_VECTOR UINT64_MAX

/* What a thread sleeps in. From a static pool: the private descriptor's owner
 * must outlive the thread's own memory. */
struct sleeper {
	_Atomic bool used;
	privfd_t ep;      /* -1 = none */
	uint32_t vectors; /* changes of them that it has followed */
	int32_t pid;
	int life_fd; /* registered lifeline, -1 = none */
	uint32_t life_events;
	uint64_t life_serial;
};

#define SLEEPERS 4096

static struct sleeper pool[SLEEPERS];
static __thread struct sleeper *me __attribute__((tls_model("initial-exec")));
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void sleeper_free(void *arg)
{
	struct sleeper *w = arg;

	me = NULL;
	privfd_close(&w->ep);
	atomic_store(&w->used, false);
}

static void key_init(void)
{
	pthread_key_create(&key, sleeper_free);
}

static struct sleeper *sleeper_take(void)
{
	static _Atomic unsigned hint;
	unsigned at = atomic_fetch_add(&hint, 1);

	for (unsigned i = 0; i < SLEEPERS; i++) {
		struct sleeper *w = &pool[(at + i) % SLEEPERS];
		bool unused = false;

		if (atomic_compare_exchange_strong(&w->used, &unused, true)) {
			atomic_store(&w->ep, -1);
			return w;
		}
	}
	return NULL;
}

uint32_t wait_add_vectors(int epfd, uint32_t seen, uint64_t data)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = data };
	uint32_t n = ism_vector_changes();
	int fd;

	if (n - seen > ISM_VECTORS) { /* too long ago: all of them, those that are there say so */
		for (unsigned i = 0; i < ISM_VECTORS; i++)
			if ((fd = ism_vector(i)) >= 0)
				sys_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
		return n;
	}
	for (; seen != n; seen++)
		if ((fd = ism_vector_of_change(seen)) >= 0)
			sys_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
	return n;
}

/* An inherited instance is shared with the parent: a child makes its own. */
static struct sleeper *sleeper_get(void)
{
	struct sleeper *w = me;
	int ep;

	if (!w) {
		pthread_once(&once, key_init);
		w = sleeper_take();
		if (!w)
			return NULL;
		pthread_setspecific(key, w);
		me = w;
	}
	if (atomic_load(&w->ep) >= 0 && w->pid != atomic_load(&ism_pid))
		privfd_close(&w->ep);
	if (atomic_load(&w->ep) < 0) {
		ep = sys_epoll_create();
		if (ep < 0 || privfd_adopt(ep, &w->ep) < 0)
			return NULL;
		w->pid = atomic_load(&ism_pid);
		w->vectors = 0;
		w->life_fd = -1;
	}
	if (w->vectors != ism_vector_changes())
		w->vectors = wait_add_vectors(w->ep, w->vectors, DATA_VECTOR);
	return w;
}

static void life_drop(struct sleeper *w)
{
	if (w->life_fd >= 0)
		sys_epoll_ctl(w->ep, EPOLL_CTL_DEL, w->life_fd, NULL);
	w->life_fd = -1;
}

/* Watch @fd as the lifeline; mostly it is the one of the last time already. */
static int life_watch(struct sleeper *w, const struct sock *s, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)fd };
	int r;

	if (w->life_fd == fd && w->life_serial == s->serial && w->life_events == events)
		return 0;
	life_drop(w);
	r = sys_epoll_ctl(w->ep, EPOLL_CTL_ADD, fd, &ev);
	if (r == -EEXIST)
		r = sys_epoll_ctl(w->ep, EPOLL_CTL_MOD, fd, &ev);
	if (r < 0)
		return r;
	w->life_fd = fd;
	w->life_serial = s->serial;
	w->life_events = events;
	return 0;
}

/* A registration of a descriptor that was closed while a copy of it lives on
 * cannot be removed any more; it would wake us for ever. */
static void stale_check(struct sleeper *w, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 != DATA_VECTOR && ev[i].data.u64 != (uint64_t)w->life_fd) {
			privfd_close(&w->ep);
			return;
		}
}

uint64_t wait_deadline_in(int64_t sec, int64_t nsec)
{
	if (sec > 4000000000)
		return WAIT_FOREVER;
	return sys_now_ns() + (uint64_t)sec * 1000000000u + (uint64_t)nsec;
}

uint64_t wait_deadline(uint64_t ns)
{
	return ns ? sys_now_ns() + ns : WAIT_FOREVER;
}

/* Raised by what a thread itself does; crash handlers for them are common, and none of
 * them comes while it sleeps. */
static bool synchronous(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL ||
	       sig == SIGTRAP || sig == SIGSYS || sig == SIGABRT;
}

static bool restarts(int sig)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} sa = { 0 };

	if (SYS4(SYS_rt_sigaction, sig, NULL, &sa, 8) < 0)
		return true;
	return sa.handler == (void *)SIG_DFL || sa.handler == (void *)SIG_IGN ||
	       (sa.flags & SA_RESTART);
}

/*
 * epoll_wait() does not say which signal came. If every handler in the program
 * asks for restarts, the call goes on, if one does not, it may have been that one.
 */
bool wait_restarts(bool timed)
{
	if (timed)
		return false;
	for (int sig = 1; sig <= 64; sig++)
		if (!synchronous(sig) && !restarts(sig))
			return false;
	return true;
}

/* No descriptor is left for a sleeper: look again every millisecond. */
static int nap(int fd, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	if (sys_now_ns() >= deadline)
		return -EAGAIN;
	return sys_poll(&p, 1, NAP_NS) == -EINTR ? -EINTR : 0;
}

/* The thread is cancelled while it sleeps: its call is over. */
static void cancelled(void *s)
{
	sock_call_end(s);
}

static int sleep_on(struct sock *s, int fd, uint32_t events, uint64_t deadline, uint64_t most_ns)
{
	struct sleeper *w = sleeper_get();
	struct epoll_event ev[4];
	uint64_t now, ns = most_ns;
	int n, ms = -1, saved = errno;

	if (!w)
		return nap(fd, deadline);
	n = life_watch(w, s, fd, events);
	if (n < 0)
		return n;
	if (deadline != WAIT_FOREVER) {
		now = sys_now_ns();
		if (now >= deadline)
			return -EAGAIN;
		if (deadline - now < ns)
			ns = deadline - now;
	}
	if (ns != WAIT_FOREVER)
		ms = (int)((ns + 999999) / 1000000 < 1000000 ? (ns + 999999) / 1000000 : 1000000);
	pthread_cleanup_push(cancelled, s);
	n = LIBC(epoll_wait)(w->ep, ev, 4, ms);
	pthread_cleanup_pop(0);
	if (n < 0)
		n = -errno;
	errno = saved;
	if (n == -EINTR)
		return wait_restarts(deadline != WAIT_FOREVER) ? 0 : -EINTR;
	if (n < 0)
		return n;
	stale_check(w, ev, n);
	return n == 0 ? -ETIMEDOUT : 0;
}

/* What only matters now: is the socket non-blocking after all (another process may
 * have made it so), and how long may the call last? */
static int before_sleep(struct sock *s, int fd, int option, uint64_t *deadline)
{
	if (sock_nonblocking(s, fd))
		return -EAGAIN;
	if (!*deadline)
		*deadline = wait_deadline(sock_timeout_ns(fd, option));
	return 0;
}

static bool test_readable(void *arg)
{
	return conn_rx_pending(arg);
}

int wait_readable(struct sock *s, int fd, uint64_t *deadline)
{
	struct conn *c = &s->conn;
	uint64_t most = WAIT_FOREVER;
	int r;

	if (conn_rx_on_ring(c) && spin_until(&s->rx_spin, test_readable, c))
		return 0;
	r = before_sleep(s, fd, SO_RCVTIMEO, deadline);
	if (r < 0)
		return r;
	conn_rx_arm(c, FAB_ARM_RING);
	if (conn_rx_pending(c))
		return 0;
	if (conn_take_back_due(c) && !conn_take_back(c, fd))
		most = BUSY_NS;
	r = sleep_on(s, fd, EPOLLIN | EPOLLRDHUP, *deadline, most);
	return r == -ETIMEDOUT ? 0 : r;
}

int wait_readable_bytes(struct sock *s, int fd, uint64_t bytes, uint64_t *deadline)
{
	struct conn *c = &s->conn;
	int r = before_sleep(s, fd, SO_RCVTIMEO, deadline);

	if (r < 0)
		return r;
	conn_rx_arm(c, FAB_ARM_RING);
	if (conn_rx_in_ring(c) >= bytes)
		return 0;
	r = sleep_on(s, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, *deadline, WAIT_FOREVER);
	return r == -ETIMEDOUT ? 0 : r;
}

static bool test_writable(void *arg)
{
	return conn_tx_room(arg) > 0;
}

static bool may_send_on(struct conn *c)
{
	return !conn_take_back_due(c) &&
	       (conn_tx_writable(c) || !conn_tx_on_ring(c) || !atomic_load(&c->tx->rx_open));
}

int wait_writable(struct sock *s, int fd, uint64_t *deadline)
{
	struct conn *c = &s->conn;
	uint64_t before = conn_tx_consumed(c);
	int r;

	if (spin_until(&s->tx_spin, test_writable, c))
		return 0;
	r = before_sleep(s, fd, SO_SNDTIMEO, deadline);
	if (r < 0)
		return r;
	conn_tx_arm(c, FAB_ARM_RING);
	if (may_send_on(c))
		return 0;
	r = sleep_on(s, fd, conn_take_back_due(c) ? EPOLLOUT : 0, *deadline, STUCK_NS);
	if (r == -ETIMEDOUT) {
		if (conn_tx_consumed(c) == before)
			conn_tx_to_tcp(c);
		return 0;
	}
	return r;
}

int wait_vectors_fd(void)
{
	struct sleeper *w = sleeper_get();

	if (!w)
		return -1;
	life_drop(w);
	return w->ep;
}

void wait_vectors_clear(void)
{
	struct sleeper *w = me;
	struct epoll_event ev[8];

	if (w && atomic_load(&w->ep) >= 0)
		sys_epoll_wait(w->ep, ev, 8, 0);
}

/* Only the forking thread lives on in the child; the others' instances go. */
void wait_atfork_child(void)
{
	for (unsigned i = 0; i < SLEEPERS; i++) {
		if (!atomic_load(&pool[i].used))
			continue;
		privfd_close(&pool[i].ep);
		if (&pool[i] != me)
			atomic_store(&pool[i].used, false);
	}
}
