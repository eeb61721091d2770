/* SPDX-License-Identifier: Apache-2.0 */
/* The MSG_ flags, each on its own and over the path switch. */
#include "twin.h"

#include <poll.h>

static void peek_at(int fd, uint64_t off, size_t n, size_t ask)
{
	char *b = malloc(ask);
	ssize_t r = recv(fd, b, ask, MSG_PEEK);

	EXPECT_EQ(r, n < ask ? n : ask);
	if (r > 0)
		PAT_EXPECT(b, 1, off, (size_t)r);
	free(b);
}

CASE(peek)
{
	struct pair p = pair_settled(FAM_4);
	struct iovec iov[2];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	char a[10], b[100];

	EXPECT_FAIL(recv(p.s, b, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	put_pat(p.c, 1, 0, 1000, 0);
	for (int i = 0; i < 5; i++) {
		peek_at(p.s, 0, 1000, 2000);
		peek_at(p.s, 0, 1000, 10);
	}
	get_pat(p.s, 1, 0, 300, 0);
	peek_at(p.s, 300, 700, 1000);
	iov[0] = (struct iovec){ a, 10 };
	iov[1] = (struct iovec){ b, 100 };
	EXPECT_EQ(recvmsg(p.s, &m, MSG_PEEK), 110);
	PAT_EXPECT(a, 1, 300, 10);
	PAT_EXPECT(b, 1, 310, 100);
	EXPECT_EQ(recvfrom(p.s, b, 100, MSG_PEEK, NULL, NULL), 100);
	PAT_EXPECT(b, 1, 300, 100);
	get_pat(p.s, 1, 300, 700, 0);
	EXPECT_FAIL(recv(p.s, b, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	PROVE_SMC(p.s, 0, 1000);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	EXPECT_EQ(recv(p.s, b, 1, MSG_PEEK), 0);
	EXPECT_EQ(recv(p.s, b, 1, MSG_PEEK), 0);
	EXPECT_EQ(recv(p.s, b, 1, 0), 0);
	pair_close(&p);
}

/* Peeking at data that lie on both sides of the switch: what a peek shows is
 * what the next read returns, and a peek never loses or repeats a byte. */
static void client_peek_switch(int fd)
{
	uint64_t off = 0, r = 11;

	for (int i = 0; i < 400; i++) {
		size_t n = 1 + rnd(&r) % 3000;

		put_pat(fd, 1, off, n, 0);
		off += n;
		if (i % 16 == 0)
			sleep_ms(1);
	}
	shutdown(fd, SHUT_WR);
	expect_eof(fd);
	close(fd);
}

static void server_peek_switch(int fd)
{
	uint64_t off = 0, r = 12;
	char b[5000];

	for (;;) {
		size_t ask = 1 + rnd(&r) % sizeof(b), take;
		ssize_t n = recv(fd, b, ask, MSG_PEEK), again;

		REQUIRE(n >= 0);
		if (n == 0)
			break;
		PAT_EXPECT(b, 1, off, (size_t)n);
		take = 1 + rnd(&r) % (size_t)n;
		again = recv(fd, b, take, 0);
		REQUIRE(again > 0);
		EXPECT_EQ(again, take); /* a peek promised that much */
		PAT_EXPECT(b, 1, off, (size_t)again);
		off += (uint64_t)again;
		if (rnd(&r) % 8 == 0)
			sleep_ms(1);
	}
	r = 11;
	for (int i = 0; i < 400; i++)
		off -= 1 + rnd(&r) % 3000;
	EXPECT_EQ(off, 0);
	PROVE_IF_SETTLED(fd, 0, 100000);
	close(fd);
}
PAIR_CASE(peek_switch)

/* A blocked peek is woken. */
static void later_put(void *arg)
{
	put_pat(*(int *)arg, 1, 0, 100, 0);
}

CASE(peek_blocks)
{
	struct pair p = pair_settled(FAM_4);
	char b[200];
	uint64_t t = now_ms();

	twin_later(100, later_put, &p.c);
	EXPECT_EQ(recv(p.s, b, 200, MSG_PEEK), 100);
	EXPECT_GE(now_ms() - t, 90);
	get_pat(p.s, 1, 0, 100, 0);
	PROVE_SMC(p.s, 0, 100);
	pair_close(&p);
}

/* ---------------------------------------------------------------- WAITALL */

static void client_waitall(int fd)
{
	put_pat(fd, 1, 0, 1000, 0);
	sleep_ms(30);
	put_pat(fd, 1, 1000, 99000, 1000);
	sleep_ms(30);
	put_pat(fd, 1, 100000, 1100000, 0);
	put_pat(fd, 1, 1200000, 50, 0);
	shutdown(fd, SHUT_WR);
	PROVE_IF_SETTLED(fd, 100000, 0);
	expect_eof(fd);
	close(fd);
}

static void server_waitall(int fd)
{
	size_t n = 1200000;
	char *b = malloc(n);
	struct iovec iov[3] = { { b, 10 }, { b + 10, 50000 }, { b + 50010, 49990 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 3 };

	EXPECT_EQ(recvmsg(fd, &m, MSG_WAITALL), 100000);
	PAT_EXPECT(b, 1, 0, 100000);
	EXPECT_EQ(recv(fd, b, 1100000, MSG_WAITALL), 1100000);
	PAT_EXPECT(b, 1, 100000, 1100000);
	EXPECT_EQ(recv(fd, b, 1000, MSG_WAITALL), 50); /* the end comes earlier */
	PAT_EXPECT(b, 1, 1200000, 50);
	EXPECT_EQ(recv(fd, b, 1000, MSG_WAITALL), 0);
	free(b);
	close(fd);
}
PAIR_CASE(waitall)

CASE(waitall_nonblocking)
{
	struct pair p = pair_settled(FAM_4);
	char b[2000];

	put_pat(p.c, 1, 0, 500, 0);
	EXPECT_EQ(recv(p.s, b, 2000, MSG_WAITALL | MSG_DONTWAIT), 500);
	PAT_EXPECT(b, 1, 0, 500);
	EXPECT_FAIL(recv(p.s, b, 2000, MSG_WAITALL | MSG_DONTWAIT), EAGAIN);
	PROVE_SMC(p.s, 0, 500);
	pair_close(&p);
}

static void sig_twice(void *arg)
{
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
}

CASE(waitall_interrupted)
{
	struct pair p = pair_settled(FAM_4);
	struct sigaction sa = { .sa_handler = SIG_IGN };
	pthread_t me = pthread_self();
	char b[2000];

	sigaction(SIGUSR1, &sa, NULL);
	twin_ignore_signal(SIGUSR1);
	put_pat(p.c, 1, 0, 500, 0);
	twin_later(100, sig_twice, &me);
	EXPECT_EQ(recv(p.s, b, 2000, MSG_WAITALL), 500); /* what it has, no EINTR */
	EXPECT_EQ(twin_signals, 1);
	PAT_EXPECT(b, 1, 0, 500);
	PROVE_SMC(p.s, 0, 500);
	pair_close(&p);
}

/* ----------------------------------------------------------- DONTWAIT, TRUNC */

CASE(dontwait)
{
	struct pair p = pair_settled(FAM_4);
	size_t sent = 0, got = 0;
	char b[30000];
	ssize_t r;

	EXPECT_FAIL(recv(p.s, b, 10, MSG_DONTWAIT), EAGAIN);
	for (;;) {
		pat_fill(b, 1, sent, sizeof(b));
		r = send(p.c, b, sizeof(b), MSG_DONTWAIT);
		if (r < 0)
			break;
		sent += (size_t)r;
	}
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_GE(sent, 65536);
	while (got < sent) {
		r = recv(p.s, b, sizeof(b), MSG_DONTWAIT);
		REQUIRE(r > 0);
		PAT_EXPECT(b, 1, got, (size_t)r);
		got += (size_t)r;
	}
	EXPECT_FAIL(recv(p.s, b, 10, MSG_DONTWAIT), EAGAIN);
	EXPECT_EQ(send(p.c, b, 10, MSG_DONTWAIT), 10);
	EXPECT_EQ(fcntl(p.c, F_GETFL) & O_NONBLOCK, 0);
	PROVE_SMC(p.s, 0, 10);
	pair_close(&p);
}

CASE(trunc_discards)
{
	struct pair p = pair_settled(FAM_4);

	SKIP_IF_SANITIZED("it checks pointers itself");
	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(recv(p.s, NULL, 400, MSG_TRUNC), 400);
	get_pat(p.s, 1, 400, 100, 0);
	EXPECT_EQ(recv(p.s, twin_bad, 100, MSG_TRUNC | MSG_DONTWAIT), 100);
	get_pat(p.s, 1, 600, 400, 0);
	EXPECT_FAIL(recv(p.s, NULL, 100, MSG_TRUNC | MSG_DONTWAIT), EAGAIN);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
}

CASE(trunc_and_peek)
{
	struct pair p = pair_settled(FAM_4);

	SKIP_IF_SANITIZED("it checks pointers itself");
	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_EQ(recv(p.s, NULL, 400, MSG_TRUNC | MSG_PEEK), 400);
	get_pat(p.s, 1, 0, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
}

/* ------------------------------------------------------------- MORE, NOSIGNAL */

CASE(more_arrives)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.s, .events = POLLIN };
	char b[100];

	pat_fill(b, 1, 0, 100);
	EXPECT_EQ(send(p.c, b, 30, MSG_MORE), 30);
	EXPECT_EQ(send(p.c, b + 30, 30, MSG_MORE), 30);
	EXPECT_EQ(send(p.c, b + 60, 40, 0), 40);
	EXPECT_EQ(recv(p.s, b, 100, MSG_WAITALL), 100);
	PAT_EXPECT(b, 1, 0, 100);
	/* even the last piece marked "more" arrives (TCP: within 200 ms) */
	EXPECT_EQ(send(p.c, b, 10, MSG_MORE), 10);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	EXPECT_EQ(recv(p.s, b, 100, 0), 10);
	PROVE_SMC(p.s, 0, 110);
	pair_close(&p);
}

CASE(cork_arrives)
{
	struct pair p = pair_settled(FAM_4);
	int one = 1, zero = 0;
	char b[100];

	EXPECT_EQ(setsockopt(p.c, IPPROTO_TCP, TCP_CORK, &one, sizeof(one)), 0);
	put_pat(p.c, 1, 0, 50, 0);
	put_pat(p.c, 1, 50, 50, 0);
	EXPECT_EQ(setsockopt(p.c, IPPROTO_TCP, TCP_CORK, &zero, sizeof(zero)), 0);
	EXPECT_EQ(recv(p.s, b, 100, MSG_WAITALL), 100);
	PAT_EXPECT(b, 1, 0, 100);
	pair_close(&p);
}

/* ------------------------------------------------------------------- urgent */

CASE(oob)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.s, .events = POLLPRI | POLLIN };
	char b[100];

	EXPECT_FAIL(recv(p.s, b, 1, MSG_OOB), EINVAL); /* none there */
	put_pat(p.c, 1, 0, 20, 0);
	EXPECT_EQ(send(p.c, "!", 1, MSG_OOB), 1);
	put_pat(p.c, 1, 20, 20, 0);
	for (int i = 0; i < 200 && !(pf.revents & POLLPRI); i++) {
		poll(&pf, 1, 10);
		sleep_ms(1);
	}
	EXPECT(pf.revents & POLLPRI);
	EXPECT_EQ(recv(p.s, b, 1, MSG_OOB), 1);
	EXPECT_EQ(b[0], '!');
	EXPECT_FAIL(recv(p.s, b, 1, MSG_OOB), EINVAL); /* once only */
	EXPECT_EQ(recv(p.s, b, 100, 0), 20);           /* stops at the mark */
	PAT_EXPECT(b, 1, 0, 20);
	EXPECT_EQ(recv(p.s, b, 100, 0), 20);
	PAT_EXPECT(b, 1, 20, 20);
	pair_close(&p);
}

CASE(oob_inline)
{
	struct pair p = pair_settled(FAM_4);
	int one = 1;
	char b[100];

	EXPECT_EQ(setsockopt(p.s, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)), 0);
	EXPECT_EQ(send(p.c, "ab", 2, 0), 2);
	EXPECT_EQ(send(p.c, "!", 1, MSG_OOB), 1);
	EXPECT_EQ(send(p.c, "cd", 2, 0), 2);
	sleep_ms(20);
	EXPECT_EQ(sockatmark(p.s), 0);
	EXPECT_EQ(recv(p.s, b, 100, 0), 2);
	EXPECT_EQ(sockatmark(p.s), 1);
	EXPECT_EQ(recv(p.s, b, 3, MSG_WAITALL), 3);
	EXPECT(memcmp(b, "!cd", 3) == 0);
	EXPECT_EQ(sockatmark(p.s), 0);
	pair_close(&p);
}

/* Data in flight both ways, then urgent data, then data again. */
static void client_oob_stream(int fd)
{
	put_pat(fd, 1, 0, 500000, 0);
	REQUIRE_EQ(send(fd, "x", 1, MSG_OOB), 1);
	put_pat(fd, 1, 500000, 500000, 0);
	get_pat(fd, 2, 0, 500000, 0);
	shutdown(fd, SHUT_WR);
	expect_eof(fd);
	close(fd);
}

static void server_oob_stream(int fd)
{
	get_pat(fd, 1, 0, 500000, 777);
	get_pat(fd, 1, 500000, 500000, 0);
	put_pat(fd, 2, 0, 500000, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(oob_stream)
