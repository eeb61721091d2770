/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a descriptor is to us: a stream socket that we follow, or an epoll
 * instance. Everything else has no entry and goes straight to libc.
 *
 * Objects are type-stable: their memory is recycled (oldest first) but never
 * returned, so a thread that lost a race with close() looks at an old object and
 * not at foreign memory. A struct sock is shared by all descriptors that this
 * process made of it with dup().
 */
#ifndef OPENISM_SOCK_SOCK_H
#define OPENISM_SOCK_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "smc/conn.h"
#include "sock/spin.h"

enum obj_kind { OBJ_NONE = 0, OBJ_SOCK = 1, OBJ_EPOLL = 2 };

/* Common head of everything in the descriptor table. */
struct obj {
	enum obj_kind kind;
};

struct member; /* one registration in an epoll instance */

struct sock {
	struct obj obj;
	uint64_t serial; /* tells this socket from others in the same memory */
	_Atomic int fds; /* descriptors of this process */
	_Atomic bool listening;
	_Atomic bool connecting; /* claimed before it was established */
	_Atomic bool nonblock;   /* O_NONBLOCK as far as we know, see sock_nonblocking() */
	_Atomic bool left;       /* our part of the row is given up, see sock_leaving() */
	_Atomic bool smc;        /* a direction left TCP; our epolls know */
	_Atomic int32_t pid;     /* process whose claim the row has last seen */
	uint32_t pin_wanted;     /* reason to stay on TCP, found before the claim */
	uint32_t want_rcvbuf;    /* wished size of the DMB, 0 = default */
	_Atomic int waiters;     /* calls of this process that are in it */
	privfd_t limbo;          /* closed while a call slept: keeps it open until then */
	_Atomic bool limbo_left;
	struct conn conn;
	struct spin rx_spin;
	struct spin tx_spin;
	struct member *members; /* under the epoll lock */
	struct sock *next_free;
	struct sock *gone_next; /* closed in a signal handler, see calls_epoll.c */
};

/* ---- descriptor table */

struct obj *fdtab_get_slow(int fd);
extern struct obj *_Atomic *_Atomic fdtab_chunks[];

#define FDTAB_CHUNK 1024u
#define FDTAB_CHUNKS 1024u

static inline struct obj *fdtab_get(int fd)
{
	struct obj *_Atomic *chunk;

	if ((unsigned)fd >= FDTAB_CHUNK * FDTAB_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&fdtab_chunks[(unsigned)fd / FDTAB_CHUNK],
	                             memory_order_acquire);
	return chunk ? atomic_load_explicit(&chunk[(unsigned)fd % FDTAB_CHUNK],
	                                    memory_order_acquire)
	             : NULL;
}

/* Put @o (or nothing) at @fd; returns what was there. */
struct obj *fdtab_swap(int fd, struct obj *o);

/* Highest descriptor that ever had an entry, + 1. */
int fdtab_end(void);

static inline struct sock *sock_get(int fd)
{
	struct obj *o = fdtab_get(fd);

	return o && o->kind == OBJ_SOCK ? (struct sock *)o : NULL;
}

/* ---- life of a followed socket */

/* A new stream socket at @fd; replaces a stale entry. */
struct sock *sock_track(int fd);

/* A descriptor number was given to something that is not a followed socket. */
void sock_forget(int fd);

/* @fd is a new descriptor of @s (dup). */
void sock_add_fd(struct sock *s, int fd);

/*
 * The entry of @fd was taken out of the table and the descriptor is about to be
 * closed: do what the last close of a connection needs. sock_closed() follows.
 */
void sock_closing(struct sock *s, int fd);
void sock_closed(struct sock *s);

/*
 * While a call works on a connection another thread may close it: begin and end keep
 * it, as the kernel keeps a socket that a system call is in. False: @fd is not (any
 * more) this socket. After a sleep sock_call_fd() names the descriptor to go on with,
 * because the program may have closed the other one.
 */
bool sock_call_begin(struct sock *s, int fd);
int sock_call_fd(struct sock *s, int fd);
void sock_call_end(struct sock *s);

/* The same for a look that does not sleep and cannot be jumped out of. */
bool sock_look_begin(struct sock *s, int fd);
void sock_look_end(struct sock *s);

/*
 * The entry of @fd was taken out of the table; close it, as close() does. In two
 * parts for dup2(), which closes in the kernel: what begin returned goes to end.
 */
int sock_close(struct sock *s, int fd);
bool sock_close_begin(struct sock *s, int fd);
void sock_close_end(struct sock *s, bool closed);

/* This process is about to leave without closing (@exec: only what is close-on-exec);
 * @back: it did not, the exec failed. */
void sock_leaving(bool exec, bool back);

/* Claim the connection (or the listener). */
void sock_claim(struct sock *s, int fd, uint32_t role);

/* Bytes that the peer wants by TCP must be there before the FIN; a second at most. */
void sock_finish_take_back(struct sock *s, int fd);

/* connect(AF_UNSPEC) dissolved the connection. */
void sock_disconnected(struct sock *s);

/* Slow part of each call on a connection without a verdict. */
void sock_touch_slow(struct sock *s, int fd);

/* Before a call: make sure that ismd looks for the socket where it is. */
static inline void sock_touch(struct sock *s, int fd)
{
	if (__builtin_expect(atomic_load_explicit(&s->connecting, memory_order_relaxed) ||
	                             atomic_load_explicit(&s->pid, memory_order_relaxed) !=
	                                     atomic_load_explicit(&ism_pid, memory_order_relaxed),
	                     0))
		sock_touch_slow(s, fd);
}

/* Wished DMB bytes of sockets that say nothing, 0: ismd's default. Set at the start. */
extern uint32_t sock_default_rcvbuf;

/* SO_RCVBUF was set to @bytes: the DMB should not be smaller. */
void sock_want_rcvbuf(struct sock *s, uint32_t bytes);

/* Must stay on (or go back to) TCP. */
void sock_pin(struct sock *s, uint32_t reason);

/* If the connection is married, read through the library from now on. */
/* The same for a descriptor that somebody reads without us. */
void sock_return(struct sock *s, uint32_t reason);

bool sock_open_rx(struct sock *s, int fd);

/* The first direction has left TCP: tell our epoll instances. */
void sock_went_smc(struct sock *s, int fd);

/*
 * Does the descriptor say O_NONBLOCK? s->nonblock remembers what calls of this
 * process said; another one that shares the socket may have changed it, so the
 * kernel is asked before a call sleeps or gives up.
 */
bool sock_nonblocking(struct sock *s, int fd);

/* SO_RCVTIMEO or SO_SNDTIMEO as nanoseconds, 0 = none. */
uint64_t sock_timeout_ns(int fd, int option);

/*
 * True in a vfork() child: it runs in its parent's memory, so what it does to its
 * descriptors must not be done to our table.
 */
bool sock_foreign_process(void);

/* ---- data; shared by all read-like and write-like hooks */

/*
 * Receive or send. True: done; *ret is the result, errno is set if it is -1.
 * False: the hook must make its kernel call, then sock_rx_done()/sock_tx_done()
 * with the value that is in *ret (it says what was entered) and the call's result.
 */
bool sock_rx(struct sock *s, int fd, const struct iovec *iov, size_t cnt, int flags, ssize_t *ret);
void sock_rx_done(struct sock *s, ssize_t entered, ssize_t n, int flags);

bool sock_tx(struct sock *s, int fd, const struct iovec *iov, size_t cnt, int flags, ssize_t *ret);
void sock_tx_done(struct sock *s, ssize_t entered, ssize_t n);

/* ---- epoll's view (epoll.c) */
void epoll_sock_went_smc(struct sock *s, int fd);
void epoll_sock_gone(struct sock *s);
void epoll_closed(struct obj *o);
void epoll_copied(struct obj *o, int fd);
void epoll_mark_nested(int fd);
void epoll_atfork_prepare(void);
void epoll_atfork_parent(void);
void epoll_atfork_child(void);

/* Before this process becomes another program, or starts one that inherits its
 * descriptors: connections that the program could use go back to TCP. */
void sock_before_exec(void);

void sock_atfork_prepare(void);
void sock_atfork_parent(void);
void sock_atfork_child(void);
void wait_atfork_child(void);

#endif
