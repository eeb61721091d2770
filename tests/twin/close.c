/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a connection in all its forms; the first bugs of everybody. */
#include "twin.h"

#include <poll.h>

static int so_error(int fd)
{
	int e = -1;
	socklen_t len = sizeof(e);

	EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	return e;
}

/* --------------------------------------------- data, then the end of them */

static void client_write_close(int fd)
{
	put_pat(fd, 1, 0, 100000, 0);
	PROVE_IF_SETTLED(fd, 100000, 0);
	EXPECT_EQ(close(fd), 0);
}

static void server_write_close(int fd)
{
	sleep_ms(30); /* the writer is gone before we look */
	get_pat(fd, 1, 0, 100000, 0);
	PROVE_IF_SETTLED(fd, 0, 100000);
	expect_eof(fd);
	EXPECT_EQ(close(fd), 0);
}
PAIR_CASE_FULL(write_close)

/* One byte; the shortest conversation. */
static void client_byte_close(int fd)
{
	put_pat(fd, 1, 0, 1, 0);
	close(fd);
}

static void server_byte_close(int fd)
{
	get_pat(fd, 1, 0, 1, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(byte_close)

/* The reader is asleep when the last message and the end come. */
static void client_sleeping_reader(int fd)
{
	sleep_ms(50);
	put_pat(fd, 1, 0, 10, 0);
	close(fd);
}

static void server_sleeping_reader(int fd)
{
	get_pat(fd, 1, 0, 10, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(sleeping_reader)

/* The end alone wakes a sleeping reader. */
static void client_bare_close(int fd)
{
	sleep_ms(50);
	close(fd);
}

static void server_bare_close(int fd)
{
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(bare_close)

/* No end where there is none: nothing sent for a while, then data. */
static void client_no_false_eof(int fd)
{
	sleep_ms(100);
	put_pat(fd, 1, 0, 100, 0);
	sleep_ms(20);
	put_pat(fd, 1, 100, 100, 0);
	close(fd);
}

static void server_no_false_eof(int fd)
{
	char b[200];

	for (int i = 0; i < 30; i++) {
		EXPECT_FAIL(recv(fd, b, 1, MSG_DONTWAIT), EAGAIN);
		sleep_ms(2);
	}
	get_pat(fd, 1, 0, 200, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(no_false_eof)

/* A process that ends without closing anything. */
static void client_exits(int fd)
{
	put_pat(fd, 1, 0, 50000, 0);
	PROVE_IF_SETTLED(fd, 50000, 0);
	_exit(0);
}

static void server_exits(int fd)
{
	sleep_ms(30);
	get_pat(fd, 1, 0, 50000, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_ONE_(exits, ps, "settled", 10, HOW_PROCS, FAM_4, SETTLED)
PAIR_ONE_(exits, pl, "late", 10, HOW_PROCS, FAM_4, LATE)

/* ---------------------------------------------------------------- half-close */

static void client_half(int fd)
{
	put_pat(fd, 1, 0, 300000, 0);
	EXPECT_EQ(shutdown(fd, SHUT_WR), 0);
	EXPECT_FAIL(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	get_pat(fd, 2, 0, 300000, 0);
	PROVE_IF_SETTLED(fd, 200000, 200000);
	expect_eof(fd);
	close(fd);
}

static void server_half(int fd)
{
	get_pat(fd, 1, 0, 300000, 0);
	expect_eof(fd);
	sleep_ms(20); /* half-closed for a while */
	put_pat(fd, 2, 0, 300000, 0);
	EXPECT_EQ(shutdown(fd, SHUT_WR), 0);
	close(fd);
}
PAIR_CASE(half)

/* Half-closed before the marriage can happen. */
CASE(half_closed_at_once)
{
	struct pair p = pair_open(FAM_4);

	put_pat(p.c, 1, 0, 100, 0);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	sleep_ms(30);
	get_pat(p.s, 1, 0, 100, 0);
	expect_eof(p.s);
	for (uint64_t off = 0; off < 50000; off += 1000) {
		put_pat(p.s, 2, off, 1000, 0);
		get_pat(p.c, 2, off, 1000, 0);
	}
	EXPECT_EQ(close(p.s), 0);
	expect_eof(p.c);
	EXPECT_EQ(close(p.c), 0);
}

CASE(shutdown_rd)
{
	struct pair p = pair_settled(FAM_4);
	char b[10];

	EXPECT_EQ(shutdown(p.s, SHUT_RD), 0);
	EXPECT_EQ(recv(p.s, b, 10, 0), 0);
	/* on Linux the peer may go on, and what comes can still be read */
	put_pat(p.c, 1, 0, 10, 0);
	for (int i = 0; i < 100 && recv(p.s, b, 10, MSG_PEEK) == 0; i++)
		sleep_ms(1);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(recv(p.s, b, 10, 0), 0);
	put_pat(p.s, 2, 0, 10, 0); /* the other direction is untouched */
	get_pat(p.c, 2, 0, 10, 0);
	PROVE_SMC(p.c, 0, 10);
	pair_close(&p);
}

CASE(shutdown_rd_with_data)
{
	struct pair p = pair_settled(FAM_4);

	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(shutdown(p.s, SHUT_RD), 0);
	get_pat(p.s, 1, 0, 1000, 0);
	expect_eof(p.s);
	pair_close(&p);
}

CASE(shutdown_rdwr)
{
	struct pair p = pair_settled(FAM_4);
	char b[10];

	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(shutdown(p.c, SHUT_RDWR), 0);
	EXPECT_EQ(recv(p.c, b, 10, 0), 0);
	EXPECT_FAIL(send(p.c, b, 10, MSG_NOSIGNAL), EPIPE);
	get_pat(p.s, 1, 0, 10, 0);
	expect_eof(p.s);
	EXPECT_EQ(shutdown(p.c, SHUT_RDWR), 0);
	pair_close(&p);
}

CASE(shutdown_twice_and_both_ways)
{
	struct pair p = pair_settled(FAM_4);

	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	expect_eof(p.s);
	EXPECT_EQ(shutdown(p.s, SHUT_WR), 0);
	expect_eof(p.c);
	EXPECT_FAIL(shutdown(p.c, 99), EINVAL);
	pair_close(&p);
}

/* shutdown() by another thread ends a blocked recv(). */
static void later_shutdown_rd(void *arg)
{
	shutdown(*(int *)arg, SHUT_RD);
}

CASE(shutdown_wakes_own_reader)
{
	struct pair p = pair_settled(FAM_4);
	uint64_t t = now_ms();
	char b[10];

	twin_later(100, later_shutdown_rd, &p.s);
	EXPECT_EQ(recv(p.s, b, 10, 0), 0);
	EXPECT_GE(now_ms() - t, 90);
	pair_close(&p);
}

static void later_shutdown_all(void *arg)
{
	shutdown(*(int *)arg, SHUT_RDWR);
}

CASE(shutdown_wakes_own_accept)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len);

	twin_later(100, later_shutdown_all, &l);
	EXPECT_FAIL(accept(l, NULL, NULL), EINVAL);
	close(l);
}

/* ------------------------------------------------------------- EPIPE, reset */

/* TCP: the first write after the peer's close succeeds, its answer is a reset. */
static void broken_pipe(struct pair p, bool with_signal)
{
	struct pollfd pf = { .fd = p.s, .events = POLLIN };
	ssize_t r = 0;
	int tries = 0;

	twin_ignore_signal(SIGPIPE);
	EXPECT_EQ(close(p.c), 0);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	for (; tries < 200 && r >= 0; tries++) {
		r = with_signal ? write(p.s, "x", 1) : send(p.s, "x", 1, MSG_NOSIGNAL);
		if (r >= 0)
			sleep_ms(1);
	}
	EXPECT_EQ(r, -1);
	EXPECT_EQ(errno, EPIPE);
	EXPECT_EQ(tries, 2); /* the first went out, the second fails */
	EXPECT_EQ(twin_signals, with_signal ? 1 : 0);
	EXPECT_EQ(close(p.s), 0);
}

CASE(write_to_closed_signal)
{
	broken_pipe(pair_settled(FAM_4), true);
}

CASE(write_to_closed_nosignal)
{
	broken_pipe(pair_settled(FAM_4), false);
}

CASE(write_to_closed_late)
{
	broken_pipe(pair_open(FAM_4), true);
}

/* SIGPIPE is really fatal by default. */
static void die_of_sigpipe(void *arg)
{
	int fd = *(int *)arg;

	signal(SIGPIPE, SIG_DFL);
	for (int i = 0; i < 100; i++) {
		if (write(fd, "x", 1) < 0)
			break;
		sleep_ms(2);
	}
	_exit(3);
}

CASE(sigpipe_kills)
{
	struct pair p = pair_settled(FAM_4);
	int status;
	pid_t pid;

	EXPECT_EQ(close(p.c), 0);
	pid = twin_fork(die_of_sigpipe, &p.s);
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	EXPECT_EQ(close(p.s), 0);
}

CASE(write_after_own_shutdown)
{
	struct pair p = pair_settled(FAM_4);

	twin_ignore_signal(SIGPIPE);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	EXPECT_FAIL(write(p.c, "x", 1), EPIPE);
	EXPECT_EQ(twin_signals, 1);
	EXPECT_FAIL(send(p.c, "x", 1, MSG_NOSIGNAL), EPIPE);
	EXPECT_EQ(twin_signals, 1);
	pair_close(&p);
}

/* Closed with data unread: the peer is reset. */
static void unread(struct pair p)
{
	char b[10];
	struct pollfd pf = { .fd = p.c, .events = POLLIN };

	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	EXPECT(pf.revents & POLLERR);
	EXPECT(pf.revents & POLLHUP);
	EXPECT_FAIL(recv(p.c, b, 10, 0), ECONNRESET);
	EXPECT_EQ(recv(p.c, b, 10, 0), 0); /* once only */
	EXPECT_FAIL(send(p.c, b, 10, MSG_NOSIGNAL), EPIPE);
	EXPECT_EQ(so_error(p.c), 0);
	EXPECT_EQ(close(p.c), 0);
}

CASE(close_with_unread_settled)
{
	unread(pair_settled(FAM_4));
}

CASE(close_with_unread_late)
{
	unread(pair_open(FAM_4));
}

CASE(close_with_all_unread)
{
	struct pair p = pair_settled(FAM_4);
	char b[10];

	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_FAIL(recv(p.c, b, 10, 0), ECONNRESET);
	EXPECT_EQ(close(p.c), 0);
}

CASE(reset_by_so_error)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.c, .events = POLLIN };
	char b[10];

	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	EXPECT_EQ(so_error(p.c), ECONNRESET);
	EXPECT_EQ(so_error(p.c), 0);
	EXPECT_EQ(recv(p.c, b, 10, 0), 0);
	EXPECT_EQ(close(p.c), 0);
}

/* A send that meets the reset. */
CASE(reset_by_send)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.c, .events = POLLIN };

	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	EXPECT_FAIL(send(p.c, "x", 1, MSG_NOSIGNAL), ECONNRESET);
	EXPECT_FAIL(send(p.c, "x", 1, MSG_NOSIGNAL), EPIPE);
	EXPECT_EQ(close(p.c), 0);
}

static void linger_zero(struct pair p)
{
	struct linger li = { .l_onoff = 1, .l_linger = 0 };
	char b[10];

	EXPECT_EQ(setsockopt(p.c, SOL_SOCKET, SO_LINGER, &li, sizeof(li)), 0);
	EXPECT_EQ(close(p.c), 0);
	EXPECT_FAIL(recv(p.s, b, 10, 0), ECONNRESET);
	EXPECT_EQ(close(p.s), 0);
}

CASE(linger_zero_settled)
{
	linger_zero(pair_settled(FAM_4));
}

CASE(linger_zero_late)
{
	linger_zero(pair_open(FAM_4));
}

/* A reset overtakes nothing that the reader could already have had: with TCP,
 * data that arrived before it are lost with it; either is right, order is not. */
CASE(linger_zero_after_data)
{
	struct pair p = pair_settled(FAM_4);
	struct linger li = { .l_onoff = 1, .l_linger = 0 };
	char b[1000];
	ssize_t r;

	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(setsockopt(p.c, SOL_SOCKET, SO_LINGER, &li, sizeof(li)), 0);
	EXPECT_EQ(close(p.c), 0);
	r = recv(p.s, b, 1000, MSG_WAITALL);
	if (r > 0) {
		PAT_EXPECT(b, 1, 0, (size_t)r);
		r = recv(p.s, b, 1000, 0);
	}
	EXPECT_EQ(r, -1);
	EXPECT_EQ(errno, ECONNRESET);
	EXPECT_EQ(close(p.s), 0);
}

CASE(linger_some_seconds)
{
	struct pair p = pair_settled(FAM_4);
	struct linger li = { .l_onoff = 1, .l_linger = 5 };

	EXPECT_EQ(setsockopt(p.c, SOL_SOCKET, SO_LINGER, &li, sizeof(li)), 0);
	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(close(p.c), 0);
	get_pat(p.s, 1, 0, 1000, 0);
	expect_eof(p.s);
	EXPECT_EQ(close(p.s), 0);
}

/* ------------------------------------------------------- around accept() */

CASE(client_leaves_before_accept)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), c, s;

	c = twin_connect(FAM_4, &sa, len);
	put_pat(c, 1, 0, 1000, 0);
	EXPECT_EQ(close(c), 0);
	sleep_ms(20);
	s = accept(l, NULL, NULL);
	REQUIRE(s > 2);
	get_pat(s, 1, 0, 1000, 0);
	expect_eof(s);
	EXPECT_EQ(close(s), 0);
	c = twin_connect(FAM_4, &sa, len); /* and without a word */
	EXPECT_EQ(close(c), 0);
	s = accept(l, NULL, NULL);
	REQUIRE(s > 2);
	expect_eof(s);
	EXPECT_EQ(close(s), 0);
	EXPECT_EQ(close(l), 0);
}

CASE(client_resets_before_accept)
{
	struct sockaddr_storage sa;
	struct linger li = { .l_onoff = 1, .l_linger = 0 };
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), c, s;
	char b[4];

	c = twin_connect(FAM_4, &sa, len);
	EXPECT_EQ(setsockopt(c, SOL_SOCKET, SO_LINGER, &li, sizeof(li)), 0);
	EXPECT_EQ(close(c), 0);
	s = accept(l, NULL, NULL);
	REQUIRE(s > 2);
	EXPECT_FAIL(recv(s, b, 1, 0), ECONNRESET);
	EXPECT_EQ(close(s), 0);
	EXPECT_EQ(close(l), 0);
}

CASE(listener_closed_with_clients_waiting)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), c[5];
	char b[4];

	for (int i = 0; i < 5; i++) {
		c[i] = twin_connect(FAM_4, &sa, len);
		put_pat(c[i], 1, 0, 10, 0);
	}
	sleep_ms(10);
	EXPECT_EQ(close(l), 0);
	for (int i = 0; i < 5; i++) {
		EXPECT_FAIL(recv(c[i], b, 1, 0), ECONNRESET);
		EXPECT_EQ(close(c[i]), 0);
	}
}

/* Accepted and thrown away at once, many times: nothing is left behind. */
CASE_T(accepted_children_aborted, 20)
{
	struct sockaddr_storage sa;
	struct linger li = { .l_onoff = 1, .l_linger = 0 };
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len);
	unsigned fds = twin_open_fds();
	char b[4];

	for (int i = 0; i < 300; i++) {
		int c = twin_connect(FAM_4, &sa, len), s = accept(l, NULL, NULL);

		REQUIRE(s > 2);
		if (i % 3)
			put_pat(c, 1, 0, 10, 0);
		if (i % 2)
			EXPECT_EQ(setsockopt(s, SOL_SOCKET, SO_LINGER, &li, sizeof(li)), 0);
		if (i % 10 == 0)
			sleep_ms(3); /* some of them have been married by now */
		EXPECT_EQ(close(s), 0);
		if (i % 3 || i % 2)
			EXPECT_FAIL(recv(c, b, 1, 0), ECONNRESET);
		else
			EXPECT_EQ(recv(c, b, 1, 0), 0);
		EXPECT_EQ(close(c), 0);
	}
	EXPECT_EQ(twin_open_fds(), fds);
	EXPECT_EQ(close(l), 0);
}

/* ---------------------------------- both write before either reads */

#define BOTH_BYTES (2u << 20)

static void *both_reader(void *arg)
{
	int fd = ((int *)arg)[0];

	sleep_ms(100); /* the writers are both well under way, or blocked */
	get_pat(fd, (uint64_t)((int *)arg)[1], 0, BOTH_BYTES, 0);
	return NULL;
}

static void both_write(int fd, int mine, int other)
{
	int arg[2] = { fd, other };
	pthread_t t = twin_thread(both_reader, arg);

	put_pat(fd, (uint64_t)mine, 0, BOTH_BYTES, 0);
	twin_join(t);
	PROVE_IF_SETTLED(fd, 100000, 100000);
	close(fd);
}

static void client_both_write(int fd)
{
	both_write(fd, 1, 2);
}

static void server_both_write(int fd)
{
	both_write(fd, 2, 1);
}
PAIR_CASE(both_write)

/* One thread, one side after the other, 200 KiB each: TCP has room for that. */
static void write_to_oneself(struct pair p)
{
	put_pat(p.c, 1, 0, 200 << 10, 0);
	put_pat(p.s, 2, 0, 200 << 10, 0);
	get_pat(p.s, 1, 0, 200 << 10, 0);
	get_pat(p.c, 2, 0, 200 << 10, 0);
	pair_close(&p);
}

CASE(both_write_one_thread_settled)
{
	write_to_oneself(pair_settled(FAM_4));
}

CASE(both_write_one_thread_late)
{
	write_to_oneself(pair_open(FAM_4));
}

/* More than a ring, in one thread: what TCP takes without blocking, we take.
 * The plain run says how much that is at least. */
CASE(one_thread_600k)
{
	struct pair p = pair_settled(FAM_4);

	put_pat(p.c, 1, 0, 600 << 10, 100000);
	get_pat(p.s, 1, 0, 600 << 10, 0);
	put_pat(p.c, 1, 600 << 10, 600 << 10, 0);
	get_pat(p.s, 1, 600 << 10, 600 << 10, 0);
	PROVE_SMC(p.s, 0, 200000);
	pair_close(&p);
}

/* ------------------------------------------------------- many in a row */

CASE_T(many_short_connections, 40)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len);
	unsigned fds = twin_open_fds();

	for (int i = 0; i < 2000; i++) {
		struct pair p;

		p.c = twin_connect(FAM_4, &sa, len);
		p.s = accept(l, NULL, NULL);
		REQUIRE(p.s > 2);
		put_pat(p.c, (uint64_t)i, 0, 300, 0);
		get_pat(p.s, (uint64_t)i, 0, 300, 0);
		put_pat(p.s, (uint64_t)i + 9, 0, 3000, 0);
		get_pat(p.c, (uint64_t)i + 9, 0, 3000, 0);
		if (i % 100 == 0) {
			pair_settle(p);
			put_pat(p.c, 5, 0, 300, 0);
			get_pat(p.s, 5, 0, 300, 0);
			PROVE_SMC(p.s, 0, 300);
		}
		if (i % 2) {
			EXPECT_EQ(close(p.c), 0);
			expect_eof(p.s);
			EXPECT_EQ(close(p.s), 0);
		} else {
			pair_close(&p);
		}
	}
	EXPECT_EQ(twin_open_fds(), fds);
	EXPECT_EQ(close(l), 0);
}

/* Two processes, so that a link group lives long and its slots are reused. */
static struct sockaddr_storage srv_sa;
static socklen_t srv_len;

static void short_clients(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		int c = twin_connect(FAM_4, &srv_sa, srv_len);

		put_pat(c, (uint64_t)i, 0, 500, 0);
		if (i % 7 == 0)
			sleep_ms(2);
		get_pat(c, (uint64_t)i + 1, 0, 500, 0);
		expect_eof(c);
		EXPECT_EQ(close(c), 0);
	}
}

CASE_T(many_short_connections_procs, 40)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len);
	unsigned fds = twin_open_fds();
	pid_t pid = twin_fork(short_clients, NULL);

	for (int i = 0; i < 1000; i++) {
		int s = accept(l, NULL, NULL);

		REQUIRE(s > 2);
		get_pat(s, (uint64_t)i, 0, 500, 0);
		put_pat(s, (uint64_t)i + 1, 0, 500, 0);
		EXPECT_EQ(close(s), 0);
	}
	twin_wait(pid);
	EXPECT_EQ(twin_open_fds(), fds);
	EXPECT_EQ(close(l), 0);
}
