/* SPDX-License-Identifier: Apache-2.0 */
/* The path of each direction: switches, gates, return to TCP, the end, the locks. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fabric/reason.h"
#include "smc/lock.h"
#include "smc/test_pair.h"

#define RING 4096u

static int setup(void **state)
{
	*state = pair_new(RING);
	return 0;
}

static int teardown(void **state)
{
	pair_free(*state);
	return 0;
}

/* Send by TCP what direction 0 has at @pos, past the library. */
static void raw_send(struct pair *p, uint64_t pos, size_t len)
{
	unsigned char buf[8192];

	pair_fill(0, pos, buf, len);
	assert_int_equal(send(p->fd[0], buf, len, 0), len);
}

static void put(struct pair *p, uint64_t pos, size_t len)
{
	unsigned char buf[8192];

	pair_fill(0, pos, buf, len);
	assert_int_equal(pair_write(p, 0, buf, len), len);
}

/* The next @len bytes of direction 0 are those at @pos. */
static void expect(struct pair *p, uint64_t pos, size_t len)
{
	unsigned char buf[8192];
	size_t got = 0;

	while (got < len) {
		ssize_t n = pair_await(p, 1, buf, len - got);

		assert_true(n > 0);
		assert_true(pair_same(0, pos + got, buf, (size_t)n));
		got += (size_t)n;
	}
}

/* ---------------------------------------------------------------- to the ring */

static void nothing_switches_before_the_reader_opens(void **state)
{
	struct pair *p = *state;

	put(p, 0, 100);
	assert_false(conn_tx_on_ring(&p->c[0]));
	assert_int_equal(atomic_load(&p->c[0].tx->seq), 0);
	expect(p, 0, 100);
	assert_int_equal(atomic_load(&p->c[0].row->tx_tcp_bytes), 100);
}

static void the_switch_counts_what_bypassed_the_library(void **state)
{
	struct pair *p = *state;

	put(p, 0, 100);
	raw_send(p, 100, 50);
	expect(p, 0, 70);
	assert_true(pair_open(p, 1));
	put(p, 150, 200);
	assert_true(conn_tx_on_ring(&p->c[0]));
	assert_true(atomic_load(&p->c[0].tx->limit[1]) == 150);
	assert_int_equal(atomic_load(&p->c[0].row->switches_to_smc), 1);
	assert_false(conn_rx_on_ring(&p->c[1]));
	expect(p, 70, 280);
	assert_true(conn_rx_on_ring(&p->c[1]));
	assert_int_equal(atomic_load(&p->c[1].rx->ack), 1);
}

static void both_directions_switch_alone(void **state)
{
	struct pair *p = *state;
	char buf[8];

	assert_true(pair_open(p, 1));
	put(p, 0, 10);
	assert_int_equal(pair_write(p, 1, "tcp", 3), 3);
	assert_true(conn_tx_on_ring(&p->c[0]));
	assert_false(conn_tx_on_ring(&p->c[1]));
	assert_int_equal(pair_await(p, 0, buf, 8), 3);
	assert_memory_equal(buf, "tcp", 3);
	expect(p, 0, 10);
}

/* ---------------------------------------------------------------- and back */

static void to_tcp_keeps_the_order(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, 100);
	assert_true(conn_tx_to_tcp(&p->c[0]));
	assert_false(conn_tx_on_ring(&p->c[0]));
	raw_send(p, 100, 100);
	put(p, 200, 100); /* not acknowledged: still TCP */
	assert_false(conn_tx_on_ring(&p->c[0]));
	expect(p, 0, 300);
	assert_int_equal(atomic_load(&p->c[1].rx->ack), 2);
	put(p, 300, 100); /* acknowledged: the ring again */
	assert_true(conn_tx_on_ring(&p->c[0]));
	expect(p, 300, 100);
	assert_true(conn_tx_to_tcp(&p->c[0]));
	assert_true(conn_tx_to_tcp(&p->c[0])); /* is there already */
	assert_int_equal(atomic_load(&p->c[0].row->tx_seq), 4);
}

static void a_full_ring_goes_on_by_tcp(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, RING);
	assert_int_equal(pair_write(p, 0, "x", 1), -EAGAIN);
	assert_true(conn_tx_to_tcp(&p->c[0]));
	put(p, RING, 1000);
	expect(p, 0, RING + 1000);
}

static void an_empty_passage_through_the_ring(void **state)
{
	struct pair *p = *state;

	raw_send(p, 0, 10);
	pair_open_both(p);
	assert_int_equal(pair_write(p, 0, "", 0), 0);
	assert_true(conn_tx_to_tcp(&p->c[0]));
	raw_send(p, 10, 10);
	expect(p, 0, 20);
	assert_int_equal(atomic_load(&p->c[1].rx->ack), 2);
}

/* Our own producer waits for acknowledgements, but the format allows three. */
static void three_outstanding_switches_are_followed(void **state)
{
	struct pair *p = *state;
	struct fab_dmb *d = p->c[0].tx;

	pair_open_both(p);
	raw_send(p, 0, 10);
	pair_fill(0, 10, p->c[0].tx_ring, 10); /* 1: ring, 10 bytes */
	raw_send(p, 20, 10);                   /* 2: TCP, 10 more */
	pair_fill(0, 30, p->c[0].tx_ring + 10, 10);
	atomic_store(&d->limit[1], 10);
	atomic_store(&d->limit[2], 10);
	atomic_store(&d->limit[3], 20); /* 3: ring */
	atomic_store(&d->prod, 20);
	atomic_store(&d->seq, 3);
	expect(p, 0, 40);
	assert_int_equal(atomic_load(&d->ack), 3);
}

static void a_fourth_switch_waits(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, 10);
	atomic_store(&p->c[0].tx->ack, UINT32_MAX - 1); /* nonsense: -2 */
	assert_false(conn_tx_to_tcp(&p->c[0]));
	assert_true(conn_tx_on_ring(&p->c[0]));
	put(p, 10, 10);
	expect(p, 0, 20); /* acknowledges 1 */
	assert_true(conn_tx_to_tcp(&p->c[0]));
}

static void no_switch_without_acknowledgement(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	atomic_store(&p->c[0].tx->ack, 2);
	put(p, 0, 10);
	assert_false(conn_tx_on_ring(&p->c[0]));
	atomic_store(&p->c[0].tx->ack, 0);
	put(p, 10, 10);
	assert_true(conn_tx_on_ring(&p->c[0]));
	expect(p, 0, 20);
}

static void a_switch_alone_is_not_readable(void **state)
{
	struct pair *p = *state;
	char c;

	pair_open_both(p);
	put(p, 0, 10);
	expect(p, 0, 10);
	assert_true(conn_tx_to_tcp(&p->c[0]));
	assert_false(conn_rx_pending(&p->c[1]));
	assert_int_equal(pair_read(p, 1, &c, 1, 0), -EAGAIN);
	assert_int_equal(atomic_load(&p->c[1].rx->ack), 2);
}

/* ---------------------------------------------------------------- gates */

static void the_receive_side_waits_for_the_kernel(void **state)
{
	struct pair *p = *state;
	struct conn *c = &p->c[1];

	assert_true(conn_rx_enter_kernel(c));
	assert_true(conn_rx_enter_kernel(c));
	assert_false(pair_open(p, 1));
	conn_rx_leave_kernel(c);
	assert_false(pair_open(p, 1));
	conn_rx_leave_kernel(c);
	assert_true(conn_rx_open(c));
	assert_true(conn_rx_is_open(c));
	assert_int_equal(atomic_load(&c->rx->rx_open), FAB_RX_CLOSED); /* not announced */
	conn_rx_announce(c);
	assert_int_equal(atomic_load(&c->rx->rx_open), FAB_RX_OPEN);
	assert_false(conn_rx_enter_kernel(c));
	assert_true(conn_rx_open(c));
}

static void the_send_side_waits_for_the_kernel(void **state)
{
	struct pair *p = *state;
	struct conn *c = &p->c[0];

	pair_open_both(p);
	assert_true(conn_tx_enter_kernel(c));
	put(p, 0, 10);
	assert_false(conn_tx_on_ring(c));
	assert_int_equal(atomic_load(&c->row->tx_gate), 1);
	conn_tx_done(c, -EAGAIN);
	put(p, 10, 10);
	assert_true(conn_tx_on_ring(c));
	assert_false(conn_tx_enter_kernel(c));
	assert_int_equal(atomic_load(&c->row->tx_gate), FAB_GATE_RING);
	expect(p, 0, 20);
}

static void pinned_before_it_opens(void **state)
{
	struct pair *p = *state;

	conn_pin(&p->c[1], FAB_REASON_OI_OOB);
	conn_pin(&p->c[1], FAB_REASON_OI_EXEC); /* the first reason stays */
	assert_int_equal(atomic_load(&p->c[1].row->pin_reason), FAB_REASON_OI_OOB);
	assert_false(pair_open(p, 1));
	conn_rx_announce(&p->c[1]);
	assert_int_equal(atomic_load(&p->c[1].rx->rx_open), FAB_RX_CLOSED);
	assert_true(pair_open(p, 0));
	assert_int_equal(pair_write(p, 1, "x", 1), 1);
	assert_false(conn_tx_on_ring(&p->c[1]));
}

static void pinned_while_both_rings_are_used(void **state)
{
	struct pair *p = *state;
	char buf[16];

	pair_open_both(p);
	put(p, 0, 100);
	assert_int_equal(pair_write(p, 1, "ring", 4), 4);
	conn_pin(&p->c[1], FAB_REASON_OI_OOB);
	assert_int_equal(pair_write(p, 1, "tcp", 3), 3);
	put(p, 100, 100); /* the peer sees that the ring is closed */
	assert_false(conn_tx_on_ring(&p->c[0]));
	assert_false(conn_tx_on_ring(&p->c[1]));
	expect(p, 0, 200);
	assert_int_equal(pair_await(p, 0, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "ring", 4);
	assert_int_equal(pair_await(p, 0, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "tcp", 3);
	put(p, 200, 10);
	assert_false(conn_tx_on_ring(&p->c[0]));
	expect(p, 200, 10);
}

/* ---------------------------------------------------------------- returned */

/* What a reader without the library finds on TCP. */
static void expect_raw(struct pair *p, uint64_t pos, size_t len)
{
	unsigned char buf[8192];

	assert_int_equal(recv(p->fd[1], buf, len, MSG_WAITALL), len);
	assert_true(pair_same(0, pos, buf, len));
}

/* Until the peer has begun, the giver may still read them itself. */
static void who_gave_it_away_may_read_on(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, 300);
	conn_return(&p->c[1], FAB_REASON_OI_EXEC);
	expect(p, 0, 300);
	assert_false(conn_take_back_due(&p->c[0]));
	put(p, 300, 100); /* by TCP */
	expect(p, 300, 100);
}

static void unread_bytes_come_by_tcp(void **state)
{
	struct pair *p = *state;
	pair_open_both(p);
	pair_seek(p, 0, RING - 50, 0); /* what comes back wraps */
	put(p, 0, 300);
	expect(p, 0, 100);
	conn_return(&p->c[1], FAB_REASON_OI_EXEC);
	assert_int_equal(pair_rings(p, 0), 1);
	assert_false(conn_rx_pending(&p->c[1]));
	assert_true(conn_take_back_due(&p->c[0]));
	put(p, 300, 100); /* takes back first */
	assert_false(conn_take_back_due(&p->c[0]));
	assert_false(conn_tx_on_ring(&p->c[0]));
	expect_raw(p, 100, 300);
	put(p, 400, 10);
	assert_false(conn_tx_on_ring(&p->c[0]));
	expect_raw(p, 400, 10);
}

static void a_reader_with_the_library_gets_them_too(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, 300);
	expect(p, 0, 100);
	conn_return(&p->c[1], FAB_REASON_OI_EXEC);
	assert_true(conn_take_back(&p->c[0], p->fd[0]));
	assert_true(conn_take_back(&p->c[0], p->fd[0]));
	expect(p, 100, 200);
	assert_int_equal(atomic_load(&p->c[1].rx->ack), 2);
}

static void returned_with_nothing_unread(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, 10);
	expect(p, 0, 10);
	conn_return(&p->c[1], FAB_REASON_OI_EXEC);
	put(p, 10, 10);
	expect_raw(p, 10, 10);
	conn_return(&p->c[1], FAB_REASON_OI_EXEC); /* once is enough */
	assert_int_equal(pair_rings(p, 0), 1);
}

static void returned_before_anything(void **state)
{
	struct pair *p = *state;

	conn_return(&p->c[1], FAB_REASON_OI_EXEC);
	assert_int_equal(pair_rings(p, 0), 0);
	put(p, 0, 10);
	assert_false(conn_take_back_due(&p->c[0]));
	expect_raw(p, 0, 10);
}

/* Fill both kernel buffers of direction 0; returns how much that took. */
static uint64_t stuff_tcp(struct pair *p)
{
	unsigned char buf[8192];
	uint64_t sent = 0;
	ssize_t n;

	for (int quiet = 0; quiet < 3;) {
		pair_fill(0, sent, buf, sizeof(buf));
		n = send(p->fd[0], buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0) {
			sent += (uint64_t)n;
			quiet = 0;
		} else {
			quiet++;
			usleep(20000);
		}
	}
	return sent;
}

static void a_half_done_take_back_goes_on_later(void **state)
{
	struct pair *p = *state;
	uint64_t at, small = 4096;
	unsigned char buf[64];

	setsockopt(p->fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(int));
	setsockopt(p->fd[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(int));
	at = stuff_tcp(p);
	pair_open_both(p);
	/* A full window is no obstacle for the switch if a lot waits; make it one
	 * by hand where the kernel's buffers are too small for that. */
	atomic_store(&p->c[0].row->tx_gate, FAB_GATE_RING);
	atomic_store(&p->c[0].tx->limit[1], at);
	atomic_store(&p->c[0].row->tx_seq, 1);
	atomic_store(&p->c[0].tx->seq, 1);
	put(p, at, RING);
	conn_return(&p->c[1], FAB_REASON_OI_EXEC);
	assert_false(conn_take_back(&p->c[0], p->fd[0]));
	assert_true(conn_take_back_due(&p->c[0]));
	pair_fill(0, at + RING, buf, sizeof(buf));
	assert_int_equal(pair_write(p, 0, buf, sizeof(buf)), -EAGAIN);
	for (uint64_t pos = 0, end = at + RING; pos < end;) {
		size_t n = end - pos < 4096 ? (size_t)(end - pos) : 4096;

		conn_take_back(&p->c[0], p->fd[0]);
		expect_raw(p, pos, n);
		pos += n;
	}
	assert_false(conn_take_back_due(&p->c[0]));
	assert_int_equal(pair_write(p, 0, buf, sizeof(buf)), sizeof(buf));
	expect_raw(p, at + RING, sizeof(buf));
	assert_int_equal(atomic_load(&p->c[0].tx->seq), 2);
}

/* ---------------------------------------------------------------- the end */

static void bury(struct pair *p, int side)
{
	close(p->fd[side]);
	p->fd[side] = -1;
}

static void close_with_nothing_unread(void **state)
{
	struct pair *p = *state;
	unsigned char c;

	pair_open_both(p);
	put(p, 0, 100);
	assert_false(conn_close_begin(&p->c[0]));
	assert_int_equal(atomic_load(&p->c[1].rx->cdc_flags),
	                 FAB_CDC_CONN_CLOSED | FAB_CDC_DONE_WRITING);
	bury(p, 0);
	conn_close_end(&p->c[0]);
	assert_null(p->c[0].row);
	assert_int_equal(atomic_load(&p->rows[0].state), FAB_ROW_CLOSED);
	expect(p, 0, 100); /* first the ring, then the end */
	assert_int_equal(pair_await(p, 1, &c, 1), 0);
	assert_int_equal(pair_await(p, 1, &c, 1), 0);
}

static void the_end_comes_after_tcp_and_ring(void **state)
{
	struct pair *p = *state;
	unsigned char c;

	raw_send(p, 0, 50);
	pair_open_both(p);
	put(p, 50, 50);
	conn_close_begin(&p->c[0]);
	bury(p, 0);
	usleep(20000);
	expect(p, 0, 100);
	assert_int_equal(pair_await(p, 1, &c, 1), 0);
}

/* The reader has taken all of TCP, the FIN is there, the ring was never looked at. */
static void the_end_does_not_hide_the_ring(void **state)
{
	struct pair *p = *state;
	unsigned char c;

	raw_send(p, 0, 50);
	expect(p, 0, 50);
	pair_open_both(p);
	put(p, 50, 50);
	conn_close_begin(&p->c[0]);
	bury(p, 0);
	usleep(20000);
	expect(p, 50, 50);
	assert_int_equal(pair_await(p, 1, &c, 1), 0);
}

static void close_with_unread_data_is_an_abort(void **state)
{
	struct pair *p = *state;

	pair_open_both(p);
	put(p, 0, 100);
	assert_true(conn_close_begin(&p->c[1]));
	assert_int_equal(atomic_load(&p->c[0].rx->cdc_flags),
	                 FAB_CDC_CONN_CLOSED | FAB_CDC_CONN_ABORT);
}

/* As TCP: a peer that goes while our bytes are unread is a reset, once. */
static void unread_at_the_dead_is_a_reset_once(void **state)
{
	struct pair *p = *state;
	char c;

	pair_open_both(p);
	assert_int_equal(pair_write(p, 1, "hello", 5), 5);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_read(p, 1, &c, 1, 0), 1);
	bury(p, 0);
	assert_int_equal(pair_await(p, 1, &c, 1), -ECONNRESET);
	assert_int_equal(pair_await(p, 1, &c, 1), 0);
	assert_int_equal(pair_await(p, 1, &c, 1), 0);
}

/* It said that it would write no more, and may still read what we sent. */
static void half_closed_is_no_reset(void **state)
{
	struct pair *p = *state;
	char buf[8];

	pair_open_both(p);
	assert_int_equal(pair_write(p, 1, "hello", 5), 5);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	conn_shutdown_write(&p->c[0]);
	shutdown(p->fd[0], SHUT_WR);
	assert_int_equal(pair_await(p, 1, buf, 8), 1);
	assert_int_equal(pair_await(p, 1, buf, 8), 0);
	assert_int_equal(pair_write(p, 1, "world", 5), 5);
	assert_int_equal(pair_await(p, 0, buf, 5), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(pair_write(p, 0, "x", 1), -EPIPE);
	assert_false(conn_tx_on_ring(&p->c[0]));
}

static void a_write_to_the_closed_goes_to_the_kernel(void **state)
{
	struct pair *p = *state;
	ssize_t n = 1;

	pair_open_both(p);
	put(p, 0, 10);
	expect(p, 0, 10);
	conn_close_begin(&p->c[1]);
	bury(p, 1);
	for (int i = 0; i < 100 && n == 1; i++) {
		n = pair_write(p, 0, "x", 1);
		assert_false(conn_tx_on_ring(&p->c[0]));
		usleep(1000);
	}
	assert_true(n == -EPIPE || n == -ECONNRESET);
}

static void closed_before_the_verdict(void **state)
{
	struct pair *p = *state;

	atomic_store(&p->rows[0].state, FAB_ROW_CLAIMED);
	conn_close_end(&p->c[0]);
	assert_int_equal(atomic_load(&p->rows[0].state), FAB_ROW_FREE);
	assert_false(conn_linked(&p->c[0]));
	assert_false(conn_put(&p->c[0]));
	conn_get(&p->c[1]);
	assert_false(conn_put(&p->c[1]));
	assert_true(conn_put(&p->c[1]));
}

static void a_closing_descriptor_is_not_looked_for(void **state)
{
	struct pair *p = *state;

	conn_fd_closing(&p->c[0], p->fd[1], -1); /* not the one it names */
	assert_int_equal(atomic_load(&p->rows[0].fd), p->fd[0]);
	conn_fd_closing(&p->c[0], p->fd[0], 99);
	assert_int_equal(atomic_load(&p->rows[0].fd), 99);
	conn_fd_closing(&p->c[0], 99, -1);
	assert_int_equal(atomic_load(&p->rows[0].fd), -1);
}

/* A verdict that cannot be true: no link, no crash. */
static void a_false_verdict_does_not_link(void **state)
{
	struct pair *p = *state;
	struct conn c = { .row = &p->rows[0] };

	p->rows[0].side = 2;
	assert_false(conn_linked(&c));
	p->rows[0].side = 0;
	p->rows[0].slot = 1;
	assert_false(conn_linked(&c));
	p->rows[0].slot = UINT32_MAX;
	assert_false(conn_linked(&c));
}

/* ---------------------------------------------------------------- locks */

static void the_same_thread_does_not_wait_for_itself(void **state)
{
	struct pair *p = *state;
	char c;

	pair_open_both(p);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_true(side_lock(&p->rows[1].rx_lock));
	assert_false(side_lock(&p->rows[1].rx_lock));
	assert_int_equal(pair_read(p, 1, &c, 1, 0), -EINTR);
	assert_int_equal(conn_rx_bytes(&p->c[1], p->fd[1]), 0);
	side_unlock(&p->rows[1].rx_lock);
	assert_true(side_lock(&p->rows[0].tx_lock));
	assert_int_equal(pair_write(p, 0, "x", 1), -EINTR);
	assert_false(conn_tx_to_tcp(&p->c[0]));
	side_unlock(&p->rows[0].tx_lock);
	assert_int_equal(pair_read(p, 1, &c, 1, 0), 1);
}

static void a_dead_owner_is_taken_over(void **state)
{
	struct pair *p = *state;
	pid_t pid = fork();
	char c;

	if (pid == 0) {
		conn_atfork_child();
		if (!side_lock(&p->rows[1].rx_lock) || !side_lock(&p->rows[0].tx_lock))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(atomic_load(&p->rows[1].rx_lock), (uint32_t)pid);
	pair_open_both(p);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_read(p, 1, &c, 1, 0), 1);
	assert_int_equal(atomic_load(&p->rows[1].rx_lock), 0);
	assert_int_equal(atomic_load(&p->rows[0].tx_lock), 0);
}

static void *lock_and_die(void *arg)
{
	side_lock(arg);
	return NULL;
}

static void a_dead_thread_is_taken_over(void **state)
{
	struct pair *p = *state;
	pthread_t t;

	pthread_create(&t, NULL, lock_and_die, &p->rows[1].rx_lock);
	pthread_join(t, NULL);
	assert_int_not_equal(atomic_load(&p->rows[1].rx_lock), 0);
	assert_true(side_lock(&p->rows[1].rx_lock));
	side_unlock(&p->rows[1].rx_lock);
}

struct counter {
	_Atomic uint32_t lock;
	unsigned long n;
};

static void *count_up(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < 20000; i++) {
		side_lock(&c->lock);
		c->n++;
		side_unlock(&c->lock);
	}
	return NULL;
}

static void the_lock_excludes(void **state)
{
	struct counter c = { 0 };
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, count_up, &c);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(c.n, 60000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_switches_before_the_reader_opens),
		TEST(the_switch_counts_what_bypassed_the_library),
		TEST(both_directions_switch_alone),
		TEST(to_tcp_keeps_the_order),
		TEST(a_full_ring_goes_on_by_tcp),
		TEST(an_empty_passage_through_the_ring),
		TEST(three_outstanding_switches_are_followed),
		TEST(a_fourth_switch_waits),
		TEST(no_switch_without_acknowledgement),
		TEST(a_switch_alone_is_not_readable),
		TEST(the_receive_side_waits_for_the_kernel),
		TEST(the_send_side_waits_for_the_kernel),
		TEST(pinned_before_it_opens),
		TEST(pinned_while_both_rings_are_used),
		TEST(who_gave_it_away_may_read_on),
		TEST(unread_bytes_come_by_tcp),
		TEST(a_reader_with_the_library_gets_them_too),
		TEST(returned_with_nothing_unread),
		TEST(returned_before_anything),
		TEST(a_half_done_take_back_goes_on_later),
		TEST(close_with_nothing_unread),
		TEST(the_end_comes_after_tcp_and_ring),
		TEST(the_end_does_not_hide_the_ring),
		TEST(close_with_unread_data_is_an_abort),
		TEST(unread_at_the_dead_is_a_reset_once),
		TEST(half_closed_is_no_reset),
		TEST(a_write_to_the_closed_goes_to_the_kernel),
		TEST(closed_before_the_verdict),
		TEST(a_closing_descriptor_is_not_looked_for),
		TEST(a_false_verdict_does_not_link),
		TEST(the_same_thread_does_not_wait_for_itself),
		TEST(a_dead_owner_is_taken_over),
		TEST(a_dead_thread_is_taken_over),
		TEST(the_lock_excludes),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
