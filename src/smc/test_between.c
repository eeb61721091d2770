/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other side, or another thread, does in the middle of one of our calls, at
 * the worst moment: rx.c is built into this file with its copies and its receive
 * call routed through here. Also states that only such moments leave behind.
 *
 * With an argument only the test of that name is run.
 */
#define _GNU_SOURCE
#include <errno.h>
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

#include "base/sys.h"
#include "fabric/reason.h"
#include "smc/test_pair.h"

static void (*before_recv)(void);
static void (*after_copy)(void);
static struct pair *now; /* the pair that these act on */

static void once(void (**hook)(void))
{
	void (*fn)(void) = *hook;

	*hook = NULL;
	if (fn)
		fn();
}

static long recvmsg_hooked(int fd, struct msghdr *m, int flags)
{
	once(&before_recv);
	return sys_recvmsg(fd, m, flags);
}

static void copy_hooked(struct iov_pos *p, char *mem, size_t len, bool in)
{
	iov_copy(p, mem, len, in);
	once(&after_copy);
}

#define sys_recvmsg recvmsg_hooked
#define iov_copy copy_hooked
#include "smc/rx.c" /* NOLINT: the very code, with two calls replaced */
#undef sys_recvmsg
#undef iov_copy

#define RING 4096u

static int setup(void **state)
{
	*state = now = pair_new(RING);
	pair_open_both(now);
	return 0;
}

static int teardown(void **state)
{
	before_recv = after_copy = NULL;
	pair_free(*state);
	return 0;
}

static void put(uint64_t pos, size_t len)
{
	unsigned char buf[8192];

	pair_fill(0, pos, buf, len);
	assert_int_equal(pair_write(now, 0, buf, len), len);
}

static void expect(uint64_t pos, size_t len)
{
	unsigned char buf[8192];
	size_t got = 0;

	while (got < len) {
		ssize_t n = pair_await(now, 1, buf, len - got);

		assert_true(n > 0);
		assert_true(pair_same(0, pos + got, buf, (size_t)n));
		got += (size_t)n;
	}
}

/* ---- the writer fills the ring beyond half while the reader copies */

static void fill_up_and_arm(void)
{
	put(1600, 1000);
	assert_false(conn_tx_writable(&now->c[0]));
	conn_tx_arm(&now->c[0], FAB_ARM_RING);
	assert_false(conn_tx_writable(&now->c[0])); /* so it sleeps */
}

static void room_is_told_when_the_ring_fills_during_the_copy(void **state)
{
	unsigned char buf[RING];

	put(0, 1600);
	after_copy = fill_up_and_arm;
	assert_int_equal(pair_read(now, 1, buf, 1600, 0), 1600);
	assert_true(conn_tx_writable(&now->c[0]));
	assert_int_equal(pair_rings(now, 0), 1);
}

/* ---- the writer goes through the ring while the reader is about to ask TCP */

/* Or not: it may be refused as long as the reader is where it is. */
static void through_the_ring(void)
{
	put(100, 100);
	assert_true(conn_tx_on_ring(&now->c[0]));
	conn_tx_to_tcp(&now->c[0]);
	put(200, 100);
	usleep(20000);
}

static void tcp_after_the_ring_does_not_overtake_it(void **state)
{
	unsigned char buf[100];

	pair_fill(0, 0, buf, sizeof(buf));
	assert_int_equal(send(now->fd[0], buf, sizeof(buf), 0), sizeof(buf));
	before_recv = through_the_ring;
	expect(0, 300);
}

static void tcp_after_the_ring_does_not_overtake_nothing(void **state)
{
	unsigned char buf[100];

	pair_fill(0, 0, buf, sizeof(buf));
	assert_int_equal(send(now->fd[0], buf, sizeof(buf), 0), sizeof(buf));
	expect(0, 100);
	before_recv = through_the_ring;
	expect(100, 200);
}

/* ---- both ends have sent their FIN: the kernel shows neither state nor count as before */

static void the_last_tcp_byte_after_both_ends_finished(void **state)
{
	unsigned char buf[100];

	pair_fill(0, 0, buf, sizeof(buf));
	assert_int_equal(send(now->fd[0], buf, sizeof(buf), 0), sizeof(buf));
	put(100, 100); /* the ring */
	shutdown(now->fd[1], SHUT_WR);
	usleep(20000);
	shutdown(now->fd[0], SHUT_WR);
	usleep(20000);
	expect(0, 200);
	assert_int_equal(pair_await(now, 1, buf, 1), 0);
}

/* A reset behind the FIN; and one without: what had arrived is read all the same. */

static void a_reset_after_the_end_hides_nothing(void **state)
{
	unsigned char buf[100];

	pair_fill(0, 0, buf, sizeof(buf));
	assert_int_equal(send(now->fd[0], buf, sizeof(buf), 0), sizeof(buf));
	put(100, 100); /* the ring */
	close(now->fd[0]);
	now->fd[0] = -1;
	usleep(20000);
	assert_int_equal(send(now->fd[1], "x", 1, MSG_NOSIGNAL), 1);
	usleep(20000);
	expect(0, 200);
}

static void a_reset_hides_nothing(void **state)
{
	struct linger hard = { .l_onoff = 1 };
	unsigned char buf[100];

	pair_fill(0, 0, buf, sizeof(buf));
	assert_int_equal(send(now->fd[0], buf, sizeof(buf), 0), sizeof(buf));
	put(100, 100); /* the ring */
	setsockopt(now->fd[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(now->fd[0]);
	now->fd[0] = -1;
	usleep(20000);
	expect(0, 200);
}

/* ---- a thread that asked for room without the lock, and was away for long */

static void an_old_consumer_position_gives_no_room(void **state)
{
	char buf[8192] = { 0 };

	pair_seek(now, 0, 100000, 0);
	assert_int_equal(pair_write(now, 0, buf, RING), RING);
	atomic_store(&now->c[0].row->tx_cons, 50000);
	assert_int_equal(pair_write(now, 0, buf, 1), -EAGAIN);
	assert_int_equal(conn_tx_room(&now->c[0]), 0);
}

/* ---- a take-back that TCP took a part of only */

static void to_tcp_during_a_take_back_waits(void **state)
{
	struct conn *c = &now->c[0];

	put(0, 1000);
	conn_return(&now->c[1], FAB_REASON_OI_EXEC);
	/* as take_back() leaves it when TCP takes nothing */
	atomic_store(&c->row->tx_back, 0);
	atomic_fetch_or(&c->row->tx_flags, FAB_TXF_BACK | FAB_TXF_NO_SMC);
	atomic_store(&c->tx->limit[2], 0);
	atomic_store(&c->row->tx_seq, 2);
	atomic_store(&c->tx->seq, 2);
	assert_false(conn_tx_to_tcp(c)); /* what a writer does that waits too long */
	assert_int_equal(atomic_load(&c->tx->seq), 2);
	conn_pin(c, FAB_REASON_OI_OOB);
	assert_int_equal(atomic_load(&c->tx->seq), 2);
	assert_true(conn_take_back(c, now->fd[0]));
	expect(0, 1000);
}

/* ---- what was taken back is not unread any more */

static void close_after_a_take_back_is_a_fin(void **state)
{
	put(0, 1000);
	conn_return(&now->c[1], FAB_REASON_OI_EXEC);
	assert_true(conn_take_back(&now->c[0], now->fd[0]));
	expect(0, 1000);
	assert_int_equal(conn_rx_in_ring(&now->c[1]), 0);
	assert_int_equal(conn_tx_unread(&now->c[0]), 0);
	assert_false(conn_close_begin(&now->c[1]));
}

/* A reader without the library: our own row has not followed the switch. */
static void close_after_somebody_else_read_is_a_fin(void **state)
{
	char buf[1000];

	put(0, 1000);
	conn_return(&now->c[1], FAB_REASON_OI_EXEC);
	assert_true(conn_take_back(&now->c[0], now->fd[0]));
	assert_int_equal(recv(now->fd[1], buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
	assert_false(conn_close_begin(&now->c[1]));
}

/* ---- a child that was killed inside of a copy, and that nobody has waited for */

static void a_zombie_owner_is_taken_over(void **state)
{
	siginfo_t si;
	pid_t pid = fork();
	char c;

	if (pid == 0) {
		conn_atfork_child();
		side_lock(&now->rows[1].rx_lock);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_int_equal(pair_write(now, 0, "x", 1), 1);
	alarm(5); /* it would spin for ever */
	assert_int_equal(pair_read(now, 1, &c, 1, 0), 1);
	alarm(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(room_is_told_when_the_ring_fills_during_the_copy),
		TEST(tcp_after_the_ring_does_not_overtake_it),
		TEST(tcp_after_the_ring_does_not_overtake_nothing),
		TEST(the_last_tcp_byte_after_both_ends_finished),
		TEST(a_reset_after_the_end_hides_nothing),
		TEST(a_reset_hides_nothing),
		TEST(an_old_consumer_position_gives_no_room),
		TEST(to_tcp_during_a_take_back_waits),
		TEST(close_after_a_take_back_is_a_fin),
		TEST(close_after_somebody_else_read_is_a_fin),
		TEST(a_zombie_owner_is_taken_over),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("between", tests, NULL, NULL);
}
