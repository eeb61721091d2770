/* SPDX-License-Identifier: Apache-2.0 */
/* Life of followed sockets: tracking, claims, opening, closing, fork. */
#define _GNU_SOURCE
#include "sock/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "smc/lock.h"
#include "sock/libc.h"

/* Objects wait in a queue before they are used again, so that a late look at one
 * sees a closed connection and not somebody else's. */
#define QUEUE_MIN 64

/* Knows its holder: a signal handler may get here while its own thread holds it. Then
 * a new socket is not followed, and a closed one's memory is not used again. */
static _Atomic uint32_t pool_lock;
static struct sock *free_head, *free_tail;
static unsigned free_count;

uint32_t sock_default_rcvbuf;

static void pool_put(struct sock *s)
{
	s->next_free = NULL;
	if (free_tail)
		free_tail->next_free = s;
	else
		free_head = s;
	free_tail = s;
	free_count++;
}

static void pool_grow(void)
{
	const size_t bytes = 65536;
	struct sock *s =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return;
	for (size_t i = 0; i < bytes / sizeof(*s); i++)
		pool_put(&s[i]);
}

static struct sock *pool_take(void)
{
	struct sock *s;

	if (!side_lock(&pool_lock))
		return NULL;
	if (free_count < QUEUE_MIN)
		pool_grow();
	s = free_head;
	if (s) {
		free_head = s->next_free;
		if (!free_head)
			free_tail = NULL;
		free_count--;
	}
	side_unlock(&pool_lock);
	return s;
}

static struct sock *sock_new(void)
{
	static _Atomic uint64_t serials;
	struct sock *s = pool_take();

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->obj.kind = OBJ_SOCK;
	s->serial = atomic_fetch_add(&serials, 1) + 1;
	atomic_store(&s->limbo, -1);
	spin_init(&s->rx_spin);
	spin_init(&s->tx_spin);
	return s;
}

static void sock_free(struct sock *s)
{
	if (!side_lock(&pool_lock))
		return;
	pool_put(s);
	side_unlock(&pool_lock);
}

/* An entry whose descriptor was closed behind our back. */
static void obj_stale(struct obj *o)
{
	if (!o)
		return;
	if (o->kind == OBJ_EPOLL) {
		epoll_closed(o);
		return;
	}
	sock_close_end((struct sock *)o, sock_close_begin((struct sock *)o, -1));
}

struct sock *sock_track(int fd)
{
	struct sock *s = (unsigned)fd < FDTAB_CHUNK * FDTAB_CHUNKS ? sock_new() : NULL;

	if (!s) {
		sock_forget(fd);
		return NULL;
	}
	atomic_store(&s->fds, 1);
	atomic_store(&s->pid, atomic_load(&ism_pid));
	obj_stale(fdtab_swap(fd, &s->obj));
	return s;
}

void sock_forget(int fd)
{
	if (fdtab_get(fd))
		obj_stale(fdtab_swap(fd, NULL));
}

void sock_add_fd(struct sock *s, int fd)
{
	atomic_fetch_add(&s->fds, 1);
	obj_stale(fdtab_swap(fd, &s->obj));
}

void sock_finish_take_back(struct sock *s, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (fd < 0 || !conn_linked(&s->conn))
		return;
	for (int i = 0; i < 10 && conn_take_back_due(&s->conn); i++)
		if (!conn_take_back(&s->conn, fd))
			sys_poll(&p, 1, 100000000);
}

/* Another descriptor of the same socket in this process. */
static int other_fd(struct sock *s, int fd)
{
	int n = fdtab_end();

	for (int i = 0; i < n; i++)
		if (i != fd && sock_get(i) == s)
			return i;
	return -1;
}

void sock_closing(struct sock *s, int fd)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	if (atomic_fetch_sub(&s->fds, 1) != 1) {
		conn_fd_closing(&s->conn, fd, other_fd(s, fd));
		return;
	}
	epoll_sock_gone(s);
	if (!s->conn.row)
		return;
	conn_fd_closing(&s->conn, fd, -1);
	/* Our part may be given up already, see sock_leaving(). */
	if (atomic_load(&s->left) || !conn_put(&s->conn)) {
		s->conn.row = NULL; /* another process of the family has it */
		return;
	}
	sock_finish_take_back(s, fd);
	if (conn_close_begin(&s->conn) && fd >= 0)
		sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

/*
 * The call that this thread is in. A program may jump out of one (siglongjmp from a
 * handler of its time-out); such a call is found by its stack frame, which then lies below that
 * of a later call.
 */
static __thread struct {
	struct sock *s;
	char *frame;
} waiting __attribute__((tls_model("initial-exec")));

static int others_waiting(struct sock *s)
{
	return atomic_load(&s->waiters) - (waiting.s == s);
}

void sock_closed(struct sock *s)
{
	if (atomic_load(&s->fds) > 0)
		return;
	conn_close_end(&s->conn);
	if (others_waiting(s) > 0) /* no descriptor was left for them: see data.c */
		return;
	sock_free(s);
}

/*
 * As in the kernel, a call that is under way keeps the socket: a copy of the
 * descriptor lives on until that call is over. The closer counts as a waiter
 * meanwhile, so that the last of them all finds the copy.
 */
static void sock_leave_limbo(struct sock *s);

bool sock_close_begin(struct sock *s, int fd)
{
	int copy;

	atomic_fetch_add(&s->waiters, 1);
	if (fd >= 0 && atomic_load(&s->fds) == 1 && others_waiting(s) > 1) {
		copy = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (copy >= 0 && privfd_adopt(copy, &s->limbo) == 0) {
			conn_fd_closing(&s->conn, fd, atomic_load(&s->limbo));
			ism_ring_self();
			return false;
		}
	}
	sock_closing(s, fd);
	return true;
}

void sock_close_end(struct sock *s, bool closed)
{
	bool last = atomic_fetch_sub(&s->waiters, 1) - (waiting.s == s) == 1;

	if (closed)
		sock_closed(s);
	else if (last)
		sock_leave_limbo(s);
}

int sock_close(struct sock *s, int fd)
{
	bool closed = sock_close_begin(s, fd);
	int r = LIBC(close)(fd);

	sock_close_end(s, closed);
	return r;
}

bool sock_look_begin(struct sock *s, int fd)
{
	atomic_fetch_add(&s->waiters, 1);
	if (sock_get(fd) == s)
		return true;
	sock_look_end(s);
	return false;
}

void sock_look_end(struct sock *s)
{
	if (atomic_fetch_sub(&s->waiters, 1) == 1 &&
	    atomic_load_explicit(&s->limbo, memory_order_relaxed) >= 0)
		sock_leave_limbo(s);
}

bool sock_call_begin(struct sock *s, int fd)
{
	char *frame = __builtin_frame_address(0);
	struct sock *old = waiting.s;

	if (__builtin_expect(old && frame >= waiting.frame, 0)) {
		waiting.s = NULL;
		sock_look_end(old);
		old = NULL;
	}
	if (!sock_look_begin(s, fd))
		return false;
	if (!old) { /* else a handler's call inside of a call */
		waiting.s = s;
		waiting.frame = frame;
	}
	return true;
}

int sock_call_fd(struct sock *s, int fd)
{
	int limbo = atomic_load(&s->limbo);

	return limbo >= 0 ? limbo : fd;
}

static void sock_leave_limbo(struct sock *s)
{
	int saved = errno, limbo = atomic_load(&s->limbo);

	if (limbo < 0 || atomic_exchange(&s->limbo_left, true))
		return;
	sock_closing(s, limbo);
	privfd_close(&s->limbo);
	sock_closed(s);
	errno = saved;
}

void sock_call_end(struct sock *s)
{
	if (waiting.s == s)
		waiting.s = NULL;
	sock_look_end(s);
}

void sock_claim(struct sock *s, int fd, uint32_t role)
{
	int saved = errno;

	if (!s->conn.row && conn_claim(&s->conn, role, fd, 0)) {
		atomic_store(&s->conn.row->want_rcvbuf,
		             s->want_rcvbuf ? s->want_rcvbuf : sock_default_rcvbuf);
		if (s->pin_wanted)
			conn_pin(&s->conn, s->pin_wanted);
	}
	errno = saved;
}

void sock_disconnected(struct sock *s)
{
	if (!s->conn.row)
		return;
	conn_close_begin(&s->conn);
	conn_close_end(&s->conn);
	memset(&s->conn, 0, sizeof(s->conn));
	atomic_store(&s->smc, false);
}

void sock_touch_slow(struct sock *s, int fd)
{
	int saved = errno;

	atomic_store(&s->connecting, false);
	atomic_store(&s->pid, atomic_load(&ism_pid));
	conn_reclaim(&s->conn, fd);
	errno = saved;
}

void sock_want_rcvbuf(struct sock *s, uint32_t bytes)
{
	s->want_rcvbuf = bytes;
	if (s->conn.row)
		atomic_store(&s->conn.row->want_rcvbuf, bytes);
}

void sock_pin(struct sock *s, uint32_t reason)
{
	if (!s->pin_wanted)
		s->pin_wanted = reason;
	conn_pin(&s->conn, reason);
}

void sock_return(struct sock *s, uint32_t reason)
{
	if (!s->pin_wanted)
		s->pin_wanted = reason;
	conn_return(&s->conn, reason);
}

bool sock_open_rx(struct sock *s, int fd)
{
	struct conn *c = &s->conn;

	if (conn_rx_is_open(c) && atomic_load_explicit(&s->smc, memory_order_relaxed)) {
		if (!conn_linked(c))
			return false;
		conn_unfreeze(c);
		return true;
	}
	if (!conn_linked(c) || !conn_rx_open(c))
		return false;
	sock_went_smc(s, fd);
	conn_rx_announce(c);
	return true;
}

void sock_went_smc(struct sock *s, int fd)
{
	bool no = false;

	if (atomic_compare_exchange_strong(&s->smc, &no, true))
		epoll_sock_went_smc(s, fd);
}

bool sock_nonblocking(struct sock *s, int fd)
{
	int fl = sys_fcntl(fd, F_GETFL, 0);
	bool on = fl < 0 || (fl & O_NONBLOCK);

	atomic_store_explicit(&s->nonblock, on, memory_order_relaxed);
	return on;
}

uint64_t sock_timeout_ns(int fd, int option)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);

	if (sys_getsockopt(fd, SOL_SOCKET, option, &tv, &len) < 0)
		return 0;
	return (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

bool sock_foreign_process(void)
{
	return sys_getpid() != atomic_load(&ism_pid);
}

/* ---- other programs */

void sock_before_exec(void)
{
	int n = fdtab_end();

	for (int fd = 0; fd < n; fd++) {
		struct sock *s = sock_get(fd);
		int fl = s && s->conn.row ? sys_fcntl(fd, F_GETFD, 0) : -1;

		if (fl >= 0 && !(fl & FD_CLOEXEC) && !atomic_load(&s->listening))
			sock_return(s, FAB_REASON_OI_EXEC);
	}
}

/*
 * This process leaves (exec, _exit), and does not close what it shares with others
 * of its family: it gives up its part, so that their close can be the last one.
 */
static void leave(struct sock *s, bool back)
{
	if (back && atomic_exchange(&s->left, false))
		conn_get(&s->conn);
	else if (!back && atomic_load(&s->conn.row->refs) > 1 && !atomic_exchange(&s->left, true))
		conn_put(&s->conn);
}

void sock_leaving(bool exec, bool back)
{
	int n = fdtab_end(), fl;

	if (sock_foreign_process())
		return;
	for (int fd = 0; fd < n; fd++) {
		struct sock *s = sock_get(fd);

		if (!s || !sock_look_begin(s, fd))
			continue;
		fl = exec ? sys_fcntl(fd, F_GETFD, 0) : FD_CLOEXEC;
		if (fl >= 0 && (fl & FD_CLOEXEC) && s->conn.row)
			leave(s, back);
		sock_look_end(s);
	}
}

/* ---- fork */

/* A socket that the child inherits has one holder more, and must have before the
 * parent can close its own. */
static void each_sock(void (*fn)(struct conn *c))
{
	int n = fdtab_end();

	for (int fd = 0; fd < n; fd++) {
		struct sock *s = sock_get(fd);

		/* once per socket, not per descriptor: the lowest one counts */
		if (!s || !s->conn.row)
			continue;
		if (atomic_load(&s->fds) > 1) {
			int first = 0;

			while (first < fd && sock_get(first) != s)
				first++;
			if (first != fd)
				continue;
		}
		fn(&s->conn);
	}
}

/* Mapped before the fork, so that a child need not ask for it. */
static void link_now(struct conn *c)
{
	conn_linked(c);
}

void sock_atfork_prepare(void)
{
	each_sock(link_now);
	each_sock(conn_get);
	side_lock(&pool_lock);
}

void sock_atfork_parent(void)
{
	side_unlock(&pool_lock);
}

void sock_atfork_child(void)
{
	side_unlock(&pool_lock);
	conn_atfork_child();
	wait_atfork_child();
}
