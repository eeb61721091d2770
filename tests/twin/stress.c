/* SPDX-License-Identifier: Apache-2.0 */
/* Late binding under load: random writes, reads and pauses over the switch, on
 * several connections, in both directions, everything checked. TWIN_SEED repeats. */
#include "twin.h"

#include <poll.h>
#include <time.h>

#define CONNS 8
#define BYTES (3 << 20)

static uint64_t base_seed(void)
{
	static uint64_t seed;
	const char *e = getenv("TWIN_SEED");

	if (!seed) {
		seed = e ? strtoull(e, NULL, 0) : (uint64_t)time(NULL) * 1000 + now_ms() % 1000;
		twin_note("seed %llu", (unsigned long long)seed);
	}
	return seed;
}

static void pause_at_random(uint64_t *r)
{
	switch (rnd(r) % 800) {
	case 100: /* longer than the patience of a full ring: back to TCP */
		usleep(25000 + (unsigned)(rnd(r) % 20000));
		break;
	case 0 ... 9:
		usleep((unsigned)(rnd(r) % 4000));
		break;
	case 10 ... 39:
		usleep((unsigned)(rnd(r) % 300));
		break;
	default:
		break;
	}
}

static ssize_t receive(int fd, char *b, size_t n, uint64_t *r)
{
	struct iovec iov[2] = { { b, n / 3 }, { b + n / 3, n - n / 3 } };
	struct pollfd pf = { .fd = fd, .events = POLLIN };
	ssize_t got;

	switch (rnd(r) % 6) {
	case 0:
		return readv(fd, iov, 2);
	case 1:
		REQUIRE(poll(&pf, 1, 8000) == 1);
		return recv(fd, b, n, MSG_DONTWAIT);
	case 2:
		got = recv(fd, b, n, MSG_PEEK);
		REQUIRE(got >= 0);
		if (got == 0)
			return 0;
		return recv(fd, b, (size_t)got, MSG_WAITALL);
	case 3:
		got = recv(fd, b, n, MSG_DONTWAIT);
		if (got >= 0 || errno != EAGAIN)
			return got;
		return read(fd, b, n);
	default:
		return recv(fd, b, n, 0);
	}
}

static ssize_t transmit(int fd, const char *b, size_t n, uint64_t *r)
{
	struct iovec iov[2] = { { (char *)(uintptr_t)b, n / 2 },
		                { (char *)(uintptr_t)b + n / 2, n - n / 2 } };
	struct pollfd pf = { .fd = fd, .events = POLLOUT };
	ssize_t done;

	switch (rnd(r) % 4) {
	case 0:
		return writev(fd, iov, 2);
	case 1:
		done = send(fd, b, n, MSG_DONTWAIT);
		if (done >= 0 || errno != EAGAIN)
			return done;
		REQUIRE(poll(&pf, 1, 8000) == 1);
		return 0;
	default:
		return send(fd, b, n, MSG_NOSIGNAL);
	}
}

struct half {
	int fd;
	uint64_t pattern, seed;
};

static void *send_half(void *arg)
{
	struct half *h = arg;
	uint64_t r = h->seed, off = 0;
	char b[40000];

	while (off < BYTES) {
		size_t n = 1 + rnd(&r) % (rnd(&r) % 3 ? 500 : sizeof(b));
		ssize_t done;

		if (n > BYTES - off)
			n = (size_t)(BYTES - off);
		pat_fill(b, h->pattern, off, n);
		done = transmit(h->fd, b, n, &r);
		REQUIRE(done >= 0);
		off += (uint64_t)done;
		pause_at_random(&r);
	}
	EXPECT_EQ(shutdown(h->fd, SHUT_WR), 0);
	return NULL;
}

static void *receive_half(void *arg)
{
	struct half *h = arg;
	uint64_t r = h->seed, off = 0;
	char b[50000];

	for (;;) {
		ssize_t n = receive(h->fd, b, 1 + rnd(&r) % sizeof(b), &r);

		if (n < 0)
			twin_note("connection of pattern %llu, at %llu",
			          (unsigned long long)h->pattern, (unsigned long long)off);
		REQUIRE(n >= 0);
		if (n == 0)
			break;
		PAT_EXPECT(b, h->pattern, off, (size_t)n);
		off += (uint64_t)n;
		pause_at_random(&r);
	}
	EXPECT_EQ(off, BYTES);
	return NULL;
}

static struct sockaddr_storage srv_sa;
static socklen_t srv_len;

static void run_ends(const int *fd, bool server)
{
	struct half out[CONNS], in[CONNS];
	pthread_t t[2 * CONNS];
	uint64_t r = base_seed() + server;

	for (int i = 0; i < CONNS; i++) {
		uint64_t mine = (uint64_t)i * 2 + server;

		out[i] = (struct half){ fd[i], mine, rnd(&r) };
		in[i] = (struct half){ fd[i], mine ^ 1, rnd(&r) };
		t[2 * i] = twin_thread(send_half, &out[i]);
		t[2 * i + 1] = twin_thread(receive_half, &in[i]);
	}
	for (int i = 0; i < 2 * CONNS; i++)
		twin_join(t[i]);
}

static void client_process(void *arg)
{
	int fd[CONNS];

	for (int i = 0; i < CONNS; i++) {
		char who = (char)i;

		fd[i] = twin_connect(FAM_4, &srv_sa, srv_len);
		REQUIRE_EQ(send(fd[i], &who, 1, 0), 1);
	}
	run_ends(fd, false);
}

static void schedule(void)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len), fd[CONNS];
	pid_t pid;

	base_seed();
	pid = twin_fork(client_process, NULL);
	for (int i = 0; i < CONNS; i++) {
		char who;
		int s = accept(l, NULL, NULL);

		REQUIRE(s > 2);
		REQUIRE_EQ(recv(s, &who, 1, 0), 1);
		fd[(int)who] = s;
	}
	run_ends(fd, true);
	twin_wait(pid);
	for (int i = 0; i < CONNS; i++)
		close(fd[i]);
	close(l);
}

CASE_T(random_schedule_1, 30)
{
	schedule();
}

CASE_T(random_schedule_2, 30)
{
	schedule();
}

CASE_T(random_schedule_3, 30)
{
	schedule();
}

/* Lock-step around the moment of the switch, with every pause from 0 to 3 ms
 * before the first byte: each order of match, open and switch comes up. */
CASE_T(every_moment, 30)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len);

	for (unsigned us = 0; us < 3000; us += 20) {
		struct pair p;

		p.c = twin_connect(FAM_4, &sa, len);
		p.s = accept(l, NULL, NULL);
		usleep(us);
		for (uint64_t off = 0; off < 4000; off += 400) {
			put_pat(p.c, 1, off, 400, 0);
			put_pat(p.s, 2, off, 400, 0);
			get_pat(p.s, 1, off, 400, 0);
			get_pat(p.c, 2, off, 400, 0);
		}
		put_pat(p.c, 1, 4000, 100, 0);
		EXPECT_EQ(close(p.c), 0);
		get_pat(p.s, 1, 4000, 100, 0);
		expect_eof(p.s);
		EXPECT_EQ(close(p.s), 0);
	}
	close(l);
}
