/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: its row, its two DMBs, the path of each direction and the
 * switches between them. This layer can be driven by two threads and a ring; it
 * does not know libc's socket calls and never blocks.
 *
 * Ownership: a struct conn belongs to one process (the sock layer embeds it);
 * the row behind it is shared by the family, the DMBs with the peer. All state
 * that more than one process may change is in the row, under rx_lock or tx_lock,
 * or atomic.
 *
 * Errors: 0 or a count, or -errno. CONN_USE_TCP is an outcome of its own. -EINTR
 * means that a signal handler got into the very copy that its own thread was in.
 */
#ifndef OPENISM_SMC_CONN_H
#define OPENISM_SMC_CONN_H

#include <stdbool.h>
#include <sys/types.h>

#include "ism/ism.h"
#include "smc/iov.h"

struct conn {
	struct ism_table *table;
	struct fab_row *row; /* NULL: not claimed (no ismd, table full) */
	uint32_t gen;        /* of the row, while it is ours */
	_Atomic uint32_t link_tries;
	_Atomic bool linking; /* a thread is filling in what follows */
	_Atomic bool linked;  /* what follows is valid */
	uint32_t side;
	uint32_t slot;
	uint32_t size; /* ring bytes, of both DMBs */
	struct ism_segment *seg;
	struct fab_dmb *rx; /* ours: the peer writes, we read */
	struct fab_dmb *tx; /* the peer's: we write */
	char *rx_ring;
	char *tx_ring;
};

/* Outcome of conn_write(): this send has to go to the kernel. conn_tx_done()
 * must follow when it is over. */
#define CONN_USE_TCP (-100000)

/* ---- life */

/* Claim: "descriptor @fd of this process is this end of a TCP connection". Costs
 * no system call but at times the bell. False: no ismd or no row. */
bool conn_claim(struct conn *c, uint32_t role, int fd, uint32_t flags);

/* The descriptor is now used by this process (after fork, or a dup): as long as
 * there is no verdict, ismd must look here. */
void conn_reclaim(struct conn *c, int fd);

/* Keep the connection on TCP, or return it there, because of @reason. Data that
 * is in the rings stays readable. */
void conn_pin(struct conn *c, uint32_t reason);

/*
 * The same, for a descriptor that somebody else will read without the library (a
 * program that inherits it, a stdio stream): what lies unread in our ring has to
 * come by TCP too. The peer does that at its next call, or at once if it sleeps in
 * one.
 */
void conn_return(struct conn *c, uint32_t reason);

/* The peer asks for that: cheap test, and the work. conn_take_back() returns true
 * when nothing is left to send. */
static inline bool conn_take_back_due(struct conn *c)
{
	return atomic_load_explicit(&c->tx->rx_open, memory_order_acquire) >= FAB_RX_RETURN &&
	       (atomic_load_explicit(&c->row->tx_gate, memory_order_relaxed) & FAB_GATE_RING);
}
bool conn_take_back(struct conn *c, int fd);

/* After conn_return(): this process reads through the library after all. */
void conn_unfreeze_slow(struct conn *c);

static inline void conn_unfreeze(struct conn *c)
{
	if (__builtin_expect(atomic_load_explicit(&c->row->rx_frozen, memory_order_relaxed), 0))
		conn_unfreeze_slow(c);
}

/* Descriptor @fd is about to be closed; @other still is the same socket, or -1. ismd
 * must not look for the row at a number that may be somebody else's next. */
void conn_fd_closing(struct conn *c, int fd, int other);

/* One more process holds the row / one less. conn_put() returns true when it was
 * the last one known: then conn_close() follows, before the descriptor is closed. */
void conn_get(struct conn *c);
bool conn_put(struct conn *c);

/* Last close. Sets the CDC flags; returns true if unread data is left, which
 * means that the TCP socket must be reset rather than finished. */
bool conn_close_begin(struct conn *c);
/* After the descriptor was closed: gives the row back. */
void conn_close_end(struct conn *c);

/* shutdown(): the flags the peer and the tools see. */
void conn_shutdown_write(struct conn *c);

/* ---- verdict */

/* Is it married, and are the DMBs mapped here? Cheap; maps them at the first
 * call that finds the verdict. */
bool conn_link_slow(struct conn *c);

/* Have as many bytes gone by TCP as ismd waits for? Then it is told. */
void conn_look_at_bytes(struct conn *c);

/* @n more bytes by TCP, on one of the row's two counters; ismd may want to hear of it. */
static inline void conn_count_tcp(struct conn *c, _Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
	if (__builtin_expect(
		    atomic_load_explicit(&c->row->look_at_bytes, memory_order_relaxed) != 0, 0))
		conn_look_at_bytes(c);
}

static inline bool conn_linked(struct conn *c)
{
	if (__builtin_expect(atomic_load_explicit(&c->linked, memory_order_acquire), 1))
		return true;
	return c->row &&
	       atomic_load_explicit(&c->row->state, memory_order_acquire) == FAB_ROW_MATCHED &&
	       conn_link_slow(c);
}

/* ---- receive side */

/* Reads of this family go through the library. */
static inline bool conn_rx_is_open(struct conn *c)
{
	return c->row &&
	       (atomic_load_explicit(&c->row->rx_gate, memory_order_acquire) & FAB_GATE_OPEN);
}

/* Open the receive side, if married and nobody of the family is blocked in the
 * kernel. True if it is open now. conn_rx_announce() tells the peer; in between
 * the caller gets its sleepers ready. */
bool conn_rx_open(struct conn *c);
void conn_rx_announce(struct conn *c);

/* A call is about to block in the kernel on this socket. False: it must not,
 * the side is open. */
bool conn_rx_enter_kernel(struct conn *c);
void conn_rx_leave_kernel(struct conn *c);

#define CONN_PEEK 0x1    /* do not consume */
#define CONN_DISCARD 0x2 /* consume without copying (MSG_TRUNC) */
#define CONN_ASK 0x4     /* ring empty: look at the lifeline too */

/*
 * One attempt to read up to @len bytes into @pos. > 0: bytes; 0: end of stream;
 * -EAGAIN: nothing now (without CONN_ASK: nothing in the ring, and the path is
 * the ring); other -errno as TCP would give. May make non-blocking system calls
 * on @fd when the path is TCP or CONN_ASK is set.
 */
ssize_t conn_read(struct conn *c, int fd, struct iov_pos *pos, size_t len, int flags);

/* Would conn_read() without CONN_ASK find something? No system call. */
bool conn_rx_pending(struct conn *c);

/* Bytes that lie in the ring, whether or not the path has got there. */
uint64_t conn_rx_in_ring(struct conn *c);

/* Is the receive path (as far as we followed it) the ring? */
bool conn_rx_on_ring(struct conn *c);

/* Bytes readable from ring and TCP (FIONREAD). */
int conn_rx_bytes(struct conn *c, int fd);

/* Want to be told of data: FAB_ARM_MARK or FAB_ARM_RING. Look again afterwards. */
void conn_rx_arm(struct conn *c, uint32_t how);

/* ---- send side */

/* One attempt to write up to @len bytes. > 0: bytes; -EAGAIN: ring full;
 * CONN_USE_TCP: send in the kernel, then conn_tx_done(). */
ssize_t conn_write(struct conn *c, int fd, struct iov_pos *pos, size_t len);

/* The same with the data produced in place: @fill(arg, ring memory, room) returns
 * bytes put there, 0 or -errno. For sendfile() and splice(). */
typedef ssize_t conn_fill_fn(void *arg, char *mem, size_t room);
ssize_t conn_write_fill(struct conn *c, int fd, size_t len, conn_fill_fn *fill, void *arg);

/* Enter the kernel with a send: false if the path is the ring. */
bool conn_tx_enter_kernel(struct conn *c);
void conn_tx_done(struct conn *c, ssize_t sent);

/* Leave the ring: what follows goes by TCP. The consumer stopped moving, or the
 * call needs TCP. False: not possible now (three switches outstanding). */
bool conn_tx_to_tcp(struct conn *c);

static inline bool conn_tx_on_ring(struct conn *c)
{
	return c->row &&
	       (atomic_load_explicit(&c->row->tx_gate, memory_order_acquire) & FAB_GATE_RING);
}

/* Free room in the ring now; and is it enough to call the socket writable? */
uint32_t conn_tx_room(struct conn *c);
bool conn_tx_writable(struct conn *c);

/* Position of the consumer, to see whether it moves. */
uint64_t conn_tx_consumed(struct conn *c);

/* Want to be told of room. Look again afterwards. */
void conn_tx_arm(struct conn *c, uint32_t how);

/* Bytes in the ring that the peer has not read. */
uint64_t conn_tx_unread(struct conn *c);

/* ---- for lock.c's cached thread id */
void conn_atfork_child(void);

#endif
