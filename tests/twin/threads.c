/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads on one process's connections, and two on one. */
#include "twin.h"

#include <poll.h>

#ifdef __SANITIZE_THREAD__
#define STREAM_BYTES (4u << 20)
#else
#define STREAM_BYTES (50u << 20)
#endif

/* One writes, one reads, on each side; full duplex; everything checked. */
struct dir {
	int fd;
	uint64_t seed;
	size_t chunk;
};

static void *stream_out(void *arg)
{
	struct dir *d = arg;

	put_pat(d->fd, d->seed, 0, STREAM_BYTES, d->chunk);
	return NULL;
}

static void stream_side(int fd, uint64_t mine, uint64_t other)
{
	struct dir out = { fd, mine, 65536 };
	pthread_t t = twin_thread(stream_out, &out);

	get_pat(fd, other, 0, STREAM_BYTES, 50000);
	twin_join(t);
	PROVE_IF_SETTLED(fd, STREAM_BYTES / 2, STREAM_BYTES / 2);
	EXPECT_EQ(shutdown(fd, SHUT_WR), 0);
	expect_eof(fd);
	close(fd);
}

static void client_full_duplex(int fd)
{
	stream_side(fd, 1, 2);
}

static void server_full_duplex(int fd)
{
	stream_side(fd, 2, 1);
}
PAIR_CASE_T(full_duplex, 30)

/* Eight threads blocked in recv() on eight connections, served in odd order. */
static void *blocked(void *arg)
{
	int fd = *(int *)arg;

	for (uint64_t i = 0; i < 50; i++) {
		get_pat(fd, 1, i * 100, 100, 0);
		put_pat(fd, 2, i * 100, 100, 0);
	}
	expect_eof(fd);
	return NULL;
}

static void eight(bool settled)
{
	struct pair p[8];
	pthread_t t[8];
	uint64_t r = 1;

	for (int i = 0; i < 8; i++)
		p[i] = settled ? pair_settled(FAM_4) : pair_open(FAM_4);
	for (int i = 0; i < 8; i++)
		t[i] = twin_thread(blocked, &p[i].s);
	sleep_ms(20);
	for (uint64_t i = 0; i < 50; i++) {
		int first = (int)(rnd(&r) % 8);

		for (int j = 0; j < 8; j++) {
			int k = (first + 3 * j) % 8;

			put_pat(p[k].c, 1, i * 100, 100, 0);
			if (rnd(&r) % 2)
				get_pat(p[k].c, 2, i * 100, 100, 0);
			else
				get_pat(p[k].c, 2, i * 100, 50, 0),
					get_pat(p[k].c, 2, i * 100 + 50, 50, 0);
			if (rnd(&r) % 16 == 0)
				usleep(1500);
		}
	}
	for (int i = 0; i < 8; i++) {
		if (settled)
			PROVE_SMC(p[i].c, 5000, 5000);
		EXPECT_EQ(shutdown(p[i].c, SHUT_WR), 0);
		twin_join(t[i]);
		pair_close(&p[i]);
	}
}

CASE(eight_blocked_settled)
{
	eight(true);
}

CASE(eight_blocked_late)
{
	eight(false);
}

/* Threads of one process that each make connections to another thread's listener. */
static struct sockaddr_storage srv_sa;
static socklen_t srv_len;

static void *make_many(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < 60; i++) {
		int fd = twin_connect(FAM_4, &srv_sa, srv_len);

		put_pat(fd, seed, 0, 3000, 0);
		get_pat(fd, seed, 0, 3000, 0);
		if (i % 5 == 0)
			sleep_ms(2);
		put_pat(fd, seed, 3000, 3000, 0);
		get_pat(fd, seed, 3000, 3000, 0);
		EXPECT_EQ(close(fd), 0);
	}
	return NULL;
}

static void *serve_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char b[4000];
	ssize_t r;

	while ((r = recv(fd, b, sizeof(b), 0)) > 0)
		REQUIRE_EQ(send(fd, b, (size_t)r, MSG_NOSIGNAL), r);
	EXPECT_EQ(r, 0);
	EXPECT_EQ(close(fd), 0);
	return NULL;
}

CASE_T(thread_per_connection, 20)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len);
	pthread_t makers[4], served[240];

	for (uintptr_t i = 0; i < 4; i++)
		makers[i] = twin_thread(make_many, (void *)(i + 1));
	for (int i = 0; i < 240; i++) {
		int fd = accept(l, NULL, NULL);

		REQUIRE(fd > 2);
		served[i] = twin_thread(serve_thread, (void *)(intptr_t)fd);
	}
	for (int i = 0; i < 4; i++)
		twin_join(makers[i]);
	for (int i = 0; i < 240; i++)
		twin_join(served[i]);
	close(l);
}

/* Two threads read one socket: every record exactly once. */
#define RECORDS 20000
static _Atomic int seen[RECORDS];

static void *record_reader(void *arg)
{
	int fd = *(int *)arg, v;

	while (recv(fd, &v, sizeof(v), 0) == (ssize_t)sizeof(v)) {
		REQUIRE(v >= 0 && v < RECORDS);
		seen[v]++;
	}
	return NULL;
}

static void client_shared_reader(int fd)
{
	for (int i = 0; i < RECORDS; i++) {
		REQUIRE_EQ(send(fd, &i, sizeof(i), MSG_NOSIGNAL), sizeof(i));
		if (i % 500 == 0)
			usleep(300);
	}
	PROVE_IF_SETTLED(fd, RECORDS, 0);
	close(fd);
}

static void server_shared_reader(int fd)
{
	pthread_t t[3];
	int wrong = 0;

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 3; i++)
		t[i] = twin_thread(record_reader, &fd);
	for (int i = 0; i < 3; i++)
		twin_join(t[i]);
	for (int i = 0; i < RECORDS; i++)
		wrong += seen[i] != 1;
	EXPECT_EQ(wrong, 0);
	close(fd);
}
PAIR_CASE(shared_reader)

/* Several threads write records into one socket: each stays whole. */
struct writer {
	int fd, who;
};

static void *record_writer(void *arg)
{
	struct writer *w = arg;
	char b[48];

	memset(b, w->who, sizeof(b));
	for (int i = 0; i < 3000; i++) {
		REQUIRE_EQ(send(w->fd, b, sizeof(b), MSG_NOSIGNAL), sizeof(b));
		if (i % 300 == 0)
			usleep(300);
	}
	return NULL;
}

static void client_shared_writer(int fd)
{
	struct writer w[3] = { { fd, 1 }, { fd, 2 }, { fd, 3 } };
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		t[i] = twin_thread(record_writer, &w[i]);
	for (int i = 0; i < 3; i++)
		twin_join(t[i]);
	close(fd);
}

static void server_shared_writer(int fd)
{
	int count[4] = { 0 };
	char b[48];

	for (int n = 0; n < 9000; n++) {
		REQUIRE_EQ(recv(fd, b, sizeof(b), MSG_WAITALL), sizeof(b));
		REQUIRE(b[0] >= 1 && b[0] <= 3);
		for (size_t k = 1; k < sizeof(b); k++)
			REQUIRE_EQ(b[k], b[0]);
		count[(int)b[0]]++;
	}
	expect_eof(fd);
	for (int i = 1; i < 4; i++)
		EXPECT_EQ(count[i], 3000);
	close(fd);
}
PAIR_CASE(shared_writer)

/* A thread blocked in recv(), another one sends on the same socket meanwhile. */
static void later_put(void *arg)
{
	put_pat(*(int *)arg, 2, 0, 100000, 0);
}

static void client_send_while_blocked(int fd)
{
	twin_later(30, later_put, &fd);
	get_pat(fd, 1, 0, 10, 0);
	close(fd);
}

static void server_send_while_blocked(int fd)
{
	get_pat(fd, 2, 0, 100000, 0);
	put_pat(fd, 1, 0, 10, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(send_while_blocked)

/* close() by another thread while a recv() is blocked: on Linux the blocked call
 * holds the connection, gets what comes, and then the number is gone. */
struct closing {
	int fd;
	ssize_t got;
	char b[10];
};

static void *blocked_once(void *arg)
{
	struct closing *c = arg;

	c->got = recv(c->fd, c->b, 10, 0);
	return NULL;
}

CASE(close_while_another_reads)
{
	struct pair p = pair_settled(FAM_4);
	struct closing c = { .fd = p.s };
	pthread_t t = twin_thread(blocked_once, &c);

	sleep_ms(50);
	EXPECT_EQ(close(p.s), 0);
	sleep_ms(50);
	put_pat(p.c, 1, 0, 10, 0);
	twin_join(t);
	EXPECT_EQ(c.got, 10);
	if (c.got == 10)
		PAT_EXPECT(c.b, 1, 0, 10);
	expect_eof(p.c);
	EXPECT_EQ(close(p.c), 0);
}

/* Cancelled while blocked: recv() is a cancellation point. */
static void *to_be_cancelled(void *arg)
{
	char b[4];

	recv(*(int *)arg, b, 4, 0);
	return NULL;
}

CASE(cancelled)
{
	struct pair p = pair_settled(FAM_4);
	pthread_t t = twin_thread(to_be_cancelled, &p.s);
	void *result = NULL;

	sleep_ms(50);
	EXPECT_EQ(pthread_cancel(t), 0);
	EXPECT_EQ(pthread_join(t, &result), 0);
	EXPECT(result == PTHREAD_CANCELED);
	put_pat(p.c, 1, 0, 10, 0); /* and nothing stays locked */
	get_pat(p.s, 1, 0, 10, 0);
	put_pat(p.s, 1, 0, 10, 0);
	get_pat(p.c, 1, 0, 10, 0);
	pair_close(&p);
}

/* Threads that come and go: nothing of theirs stays open. */
static void *brief(void *arg)
{
	struct pair *p = arg;
	struct pollfd pf = { .fd = p->s, .events = POLLIN };

	EXPECT_EQ(poll(&pf, 1, 2), 0);
	return NULL;
}

CASE(brief_threads)
{
	struct pair p = pair_settled(FAM_4);
	int before = dup(0), after;

	close(before);
	for (int i = 0; i < 300; i++)
		twin_join(twin_thread(brief, &p));
	after = dup(0);
	EXPECT_EQ(after, before);
	close(after);
	put_pat(p.c, 1, 0, 10, 0);
	get_pat(p.s, 1, 0, 10, 0);
	pair_close(&p);
}

/* The reader closes both ends the moment it has the data, while the thread that
 * sent them may still be inside send(): a call holds what it works on. */
struct racer {
	_Atomic int fd; /* to send on, -1: none, -2: end */
};

static void *racing_sender(void *arg)
{
	struct racer *r = arg;
	char b[100];

	pat_fill(b, 1, 0, 100);
	for (;;) {
		int fd = r->fd;

		if (fd == -2)
			return NULL;
		if (fd < 0)
			continue;
		r->fd = -1;
		EXPECT_EQ(send(fd, b, 100, MSG_NOSIGNAL), 100);
	}
}

CASE_T(close_races_with_send, 20)
{
	struct racer r = { .fd = -1 };
	pthread_t t = twin_thread(racing_sender, &r);

	for (int i = 0; i < 400; i++) {
		struct pair p = i % 4 ? pair_settled(FAM_4) : pair_open(FAM_4);

		r.fd = p.c;
		get_pat(p.s, 1, 0, 100, 0);
		EXPECT_EQ(close(p.c), 0);
		EXPECT_EQ(close(p.s), 0);
	}
	r.fd = -2;
	twin_join(t);
}
