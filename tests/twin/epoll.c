/* SPDX-License-Identifier: Apache-2.0 */
/* epoll: level-triggered, edge-triggered, one-shot, mixed, nested, large. */
#include "twin.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/timerfd.h>

static int set_new(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	REQUIRE(ep > 2);
	return ep;
}

static int ctl(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data = { .u64 = data } };

	return epoll_ctl(ep, op, fd, &ev);
}

static void add(int ep, int fd, uint32_t events)
{
	REQUIRE(ctl(ep, EPOLL_CTL_ADD, fd, events, (uint64_t)fd) == 0);
}

/* Waits; exactly one event, whose data are fd's: its events; none: 0. */
static uint32_t one(int ep, int fd, int ms)
{
	struct epoll_event ev[8];
	int n = epoll_wait(ep, ev, 8, ms);

	EXPECT_LE(n, 1);
	EXPECT_GE(n, 0);
	if (n < 1)
		return 0;
	EXPECT_EQ(ev[0].data.u64, (uint64_t)fd);
	return ev[0].events;
}

static void later_put(void *arg)
{
	put_pat(*(int *)arg, 1, 0, 10, 0);
}

static void later_close(void *arg)
{
	close(*(int *)arg);
}

static void took(uint64_t start, unsigned ms)
{
	uint64_t d = now_ms() - start;

	EXPECT_GE(d, ms - 1);
	EXPECT_LE(d, ms + 400);
}

/* ------------------------------------------------------------ level-triggered */

CASE(lt_basic)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();

	add(ep, p.s, EPOLLIN);
	EXPECT_EQ(one(ep, p.s, 0), 0);
	put_pat(p.c, 1, 0, 50, 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	EXPECT_EQ(one(ep, p.s, 0), EPOLLIN); /* again and again */
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	get_pat(p.s, 1, 0, 20, 0);
	EXPECT_EQ(one(ep, p.s, 0), EPOLLIN);
	get_pat(p.s, 1, 20, 30, 0);
	EXPECT_EQ(one(ep, p.s, 0), 0);
	EXPECT_EQ(one(ep, p.s, 50), 0);
	PROVE_SMC(p.s, 0, 50);
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | EPOLLOUT, (uint64_t)p.s), 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLOUT);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLOUT);
	put_pat(p.c, 1, 50, 50, 0);
	for (int i = 0; i < 100 && !(one(ep, p.s, 0) & EPOLLIN); i++)
		sleep_ms(1);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN | EPOLLOUT);
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, 0, 9), 0);
	EXPECT_EQ(one(ep, 9, 30), 0);
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN, 7), 0);
	EXPECT_EQ(one(ep, 7, 2000), EPOLLIN);
	EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, p.s, NULL), 0);
	EXPECT_EQ(one(ep, 7, 20), 0);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_DEL, p.s, NULL), ENOENT);
	add(ep, p.s, EPOLLIN); /* with data there already */
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	close(ep);
	pair_close(&p);
}

/* Registered before the marriage, data before, during and after. */
static void over_the_switch(uint32_t mode)
{
	struct pair p = pair_open(FAM_4);
	int ep = set_new();
	uint64_t off = 0;

	add(ep, p.s, EPOLLIN | mode);
	for (int i = 0; i < 300; i++) {
		EXPECT_EQ(one(ep, p.s, 0), 0);
		put_pat(p.c, 1, off, 700, 0);
		EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
		get_pat(p.s, 1, off, 700, 0);
		off += 700;
		if (mode & EPOLLONESHOT)
			EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | mode, (uint64_t)p.s), 0);
		if (i % 30 == 0)
			sleep_ms(2);
	}
	close(ep);
	pair_close(&p);
}

CASE(lt_over_the_switch)
{
	over_the_switch(0);
}

CASE(et_over_the_switch)
{
	over_the_switch(EPOLLET);
}

CASE(oneshot_over_the_switch)
{
	over_the_switch(EPOLLONESHOT);
}

CASE(oneshot_et_over_the_switch)
{
	over_the_switch(EPOLLONESHOT | EPOLLET);
}

/* The sleeper is in epoll_wait when the connection is bound. */
CASE(asleep_over_the_switch)
{
	for (unsigned ms = 0; ms < 12; ms++) {
		struct pair p = pair_open(FAM_4);
		int ep = set_new();

		add(ep, p.s, EPOLLIN | (ms & 1 ? (uint32_t)EPOLLET : 0));
		twin_later(ms, later_put, &p.c);
		EXPECT_EQ(one(ep, p.s, 5000), EPOLLIN);
		get_pat(p.s, 1, 0, 10, 0);
		twin_later(2, later_put, &p.c);
		EXPECT_EQ(one(ep, p.s, 5000), EPOLLIN);
		get_pat(p.s, 1, 0, 10, 0);
		close(ep);
		pair_close(&p);
	}
}

CASE(hangup_events)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();
	const uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP;

	add(ep, p.s, all);
	EXPECT_EQ(one(ep, p.s, 1000), EPOLLOUT);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	for (int i = 0; i < 200 && !(one(ep, p.s, 0) & EPOLLRDHUP); i++)
		sleep_ms(1);
	EXPECT_EQ(one(ep, p.s, 1000), all);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 1000), all);
	expect_eof(p.s);
	EXPECT_EQ(one(ep, p.s, 1000), all);
	EXPECT_EQ(shutdown(p.s, SHUT_WR), 0);
	for (int i = 0; i < 200 && !(one(ep, p.s, 0) & EPOLLHUP); i++)
		sleep_ms(1);
	EXPECT_EQ(one(ep, p.s, 1000), all | EPOLLHUP);
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, 0, (uint64_t)p.s), 0);
	EXPECT_EQ(one(ep, p.s, 1000), EPOLLHUP); /* reported without being asked for */
	pair_close(&p);
	p = pair_settled(FAM_4);
	add(ep, p.c, 0);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(one(ep, p.c, 1000), EPOLLERR | EPOLLHUP);
	close(ep);
	close(p.c);
}

CASE(close_wakes)
{
	for (int i = 0; i < 4; i++) {
		struct pair p = pair_settled(FAM_4);
		int ep = set_new();
		uint32_t mode = i & 1 ? (uint32_t)EPOLLET : 0;

		add(ep, p.s, (i & 2 ? EPOLLRDHUP : EPOLLIN) | mode);
		twin_later(30, later_close, &p.c);
		EXPECT_EQ(one(ep, p.s, 5000), i & 2 ? EPOLLRDHUP : EPOLLIN);
		expect_eof(p.s);
		close(ep);
		close(p.s);
	}
}

/* ------------------------------------------------------------- edge-triggered */

/* One event per arrival, also if nothing was read of the earlier one. */
CASE(et_one_event_per_arrival)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();

	add(ep, p.s, EPOLLIN | EPOLLET);
	EXPECT_EQ(one(ep, p.s, 0), 0);
	for (int i = 0; i < 20; i++) {
		put_pat(p.c, 1, (uint64_t)i * 100, 100, 0);
		EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
		EXPECT_EQ(one(ep, p.s, 0), 0);
		if (i % 5 == 0)
			EXPECT_EQ(one(ep, p.s, 20), 0);
		if (i % 2)
			get_pat(p.s, 1, (uint64_t)i / 2 * 50, 50, 0); /* a part */
	}
	PROVE_SMC(p.s, 0, 100);
	close(ep);
	pair_close(&p);
}

CASE(et_reports_what_is_there_at_add)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();

	put_pat(p.c, 1, 0, 100, 0);
	sleep_ms(10);
	add(ep, p.s, EPOLLIN | EPOLLET);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	EXPECT_EQ(one(ep, p.s, 10), 0);
	/* MOD asks anew, so it reports again */
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | EPOLLET, (uint64_t)p.s), 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	EXPECT_EQ(one(ep, p.s, 10), 0);
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | EPOLLOUT | EPOLLET, (uint64_t)p.s), 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN | EPOLLOUT);
	EXPECT_EQ(one(ep, p.s, 10), 0);
	close(ep);
	pair_close(&p);
}

CASE(et_write_edge_after_full)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();
	static char b[100000];
	uint64_t sent = 0;
	ssize_t r;

	add(ep, p.c, EPOLLOUT | EPOLLET);
	EXPECT_EQ(one(ep, p.c, 1000), EPOLLOUT);
	EXPECT_EQ(one(ep, p.c, 0), 0);
	for (int round = 0; round < 3; round++) {
		sent = 0;
		while ((r = send(p.c, b, sizeof(b), MSG_DONTWAIT)) > 0)
			sent += (uint64_t)r;
		EXPECT_EQ(errno, EAGAIN);
		while (sent) {
			r = recv(p.s, b, sizeof(b), 0);
			REQUIRE(r > 0);
			sent -= (uint64_t)r;
		}
		EXPECT_EQ(one(ep, p.c, 2000), EPOLLOUT);
		while (one(ep, p.c, 20)) /* the kernel may tell it twice */
			;
	}
	close(ep);
	pair_close(&p);
}

/* The same when the file was sent short, and everything read before anybody looked. */
CASE(et_write_edge_after_sendfile)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new(), f = memfd_create("file", MFD_CLOEXEC);
	static char b[100000];
	uint64_t sent;
	ssize_t r;
	off_t at;

	REQUIRE(f > 2 && ftruncate(f, 64 << 20) == 0);
	twin_nonblock(p.c, true);
	add(ep, p.c, EPOLLOUT | EPOLLET);
	EXPECT_EQ(one(ep, p.c, 1000), EPOLLOUT);
	for (int round = 0; round < 3; round++) {
		at = 0;
		while ((r = sendfile(p.c, f, &at, 64 << 20)) > 0)
			;
		EXPECT_EQ(errno, EAGAIN);
		for (sent = (uint64_t)at; sent; sent -= (uint64_t)r) {
			r = recv(p.s, b, sizeof(b), 0);
			REQUIRE(r > 0);
		}
		EXPECT_EQ(one(ep, p.c, 2000), EPOLLOUT);
		while (one(ep, p.c, 20))
			;
	}
	PROVE_SMC(p.c, 100000, 0);
	close(f);
	close(ep);
	pair_close(&p);
}

/* The usual loop: read until EAGAIN, sleep, read. */
static void client_et_stream(int fd)
{
	uint64_t off = 0, r = 5;

	while (off < 4000000) {
		size_t n = 1 + rnd(&r) % 60000;

		if (n > 4000000 - off)
			n = (size_t)(4000000 - off);
		put_pat(fd, 1, off, n, 0);
		off += n;
		if (rnd(&r) % 8 == 0)
			usleep((unsigned)(rnd(&r) % 3000));
	}
	PROVE_IF_SETTLED(fd, 100000, 0);
	close(fd);
}

static void server_et_stream(int fd)
{
	int ep = set_new();
	uint64_t off = 0;
	char b[30000];
	bool end = false;

	twin_nonblock(fd, true);
	add(ep, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
	while (!end) {
		struct epoll_event ev;

		REQUIRE_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
		for (;;) {
			ssize_t r = recv(fd, b, sizeof(b), 0);

			if (r < 0 && errno == EAGAIN)
				break;
			REQUIRE(r >= 0);
			if (r == 0) {
				end = true;
				break;
			}
			PAT_EXPECT(b, 1, off, (size_t)r);
			off += (uint64_t)r;
		}
	}
	EXPECT_EQ(off, 4000000);
	close(ep);
	close(fd);
}
PAIR_CASE(et_stream)

/* Both directions from one edge-triggered loop, as nginx and libuv do it. */
static void et_both(int fd, uint64_t mine, uint64_t other)
{
	const uint64_t all = 3000000;
	int ep = set_new();
	uint64_t in = 0, out = 0;
	static __thread char b[50000];
	bool readable = true, writable = true;

	twin_nonblock(fd, true);
	add(ep, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	while (in < all || out < all) {
		struct epoll_event ev;
		ssize_t r;

		if ((in == all || !readable) && (out == all || !writable)) {
			REQUIRE_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
			readable |= !!(ev.events & EPOLLIN);
			writable |= !!(ev.events & EPOLLOUT);
		}
		if (readable && in < all) {
			r = recv(fd, b, sizeof(b), 0);
			if (r < 0) {
				REQUIRE(errno == EAGAIN);
				readable = false;
			} else {
				REQUIRE(r > 0);
				PAT_EXPECT(b, other, in, (size_t)r);
				in += (uint64_t)r;
			}
		}
		if (writable && out < all) {
			size_t n = all - out < sizeof(b) ? (size_t)(all - out) : sizeof(b);

			pat_fill(b, mine, out, n);
			r = send(fd, b, n, MSG_NOSIGNAL);
			if (r < 0) {
				REQUIRE(errno == EAGAIN);
				writable = false;
			} else {
				out += (uint64_t)r;
			}
		}
	}
	PROVE_IF_SETTLED(fd, 100000, 100000);
	close(ep);
	twin_nonblock(fd, false);
	EXPECT_EQ(shutdown(fd, SHUT_WR), 0);
	expect_eof(fd);
	close(fd);
}

static void client_et_duplex(int fd)
{
	et_both(fd, 1, 2);
}

static void server_et_duplex(int fd)
{
	et_both(fd, 2, 1);
}
PAIR_CASE(et_duplex)

/* ------------------------------------------------------------------- one-shot */

CASE(oneshot)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();

	for (int i = 0; i < 2; i++) {
		uint32_t mode = EPOLLONESHOT | (i ? (uint32_t)EPOLLET : 0);

		add(ep, p.s, EPOLLIN | mode);
		put_pat(p.c, 1, 0, 10, 0);
		EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
		EXPECT_EQ(one(ep, p.s, 20), 0);
		put_pat(p.c, 1, 10, 10, 0); /* disabled: new data do not count */
		EXPECT_EQ(one(ep, p.s, 20), 0);
		EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | mode, (uint64_t)p.s), 0);
		EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
		EXPECT_EQ(one(ep, p.s, 20), 0);
		get_pat(p.s, 1, 0, 20, 0);
		EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | mode, (uint64_t)p.s), 0);
		EXPECT_EQ(one(ep, p.s, 20), 0);
		put_pat(p.c, 1, 0, 10, 0);
		EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
		get_pat(p.s, 1, 0, 10, 0);
		EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, p.s, NULL), 0);
	}
	PROVE_SMC(p.s, 0, 60);
	close(ep);
	pair_close(&p);
}

/* A disabled one-shot member says nothing at the end of its connection either. */
CASE(oneshot_disabled_hangup)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new();

	add(ep, p.s, EPOLLIN | EPOLLONESHOT);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	EXPECT_EQ(close(p.c), 0);
	EXPECT_EQ(one(ep, p.s, 50), 0);
	EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, p.s, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, (uint64_t)p.s),
	          0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN | EPOLLRDHUP);
	close(ep);
	EXPECT_EQ(close(p.s), 0);
}

/* ------------------------------------------------------------------ arguments */

CASE(ctl_errors)
{
	struct pair p = pair_settled(FAM_4);
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = set_new(), file = open("/dev/null", O_RDONLY), plain[2];

	add(ep, p.s, EPOLLIN);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_ADD, p.s, &ev), EEXIST);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_MOD, p.c, &ev), ENOENT);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_DEL, p.c, &ev), ENOENT);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), EINVAL);
	EXPECT_FAIL(epoll_ctl(p.s, EPOLL_CTL_ADD, p.c, &ev), EINVAL);
	EXPECT_FAIL(epoll_ctl(ep, 77, p.c, &ev), EINVAL);
	EXPECT_FAIL(epoll_ctl(-1, EPOLL_CTL_ADD, p.c, &ev), EBADF);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_ADD, 900001, &ev), EBADF);
	REQUIRE(pipe(plain) == 0);
	close(plain[1]);
	EXPECT_FAIL(epoll_ctl(ep, EPOLL_CTL_ADD, plain[1], &ev), EBADF);
	EXPECT_FAIL(epoll_wait(ep, &ev, 0, 0), EINVAL);
	twin_odd = -1;
	EXPECT_FAIL(epoll_wait(ep, &ev, twin_odd, 0), EINVAL);
	EXPECT_FAIL(epoll_wait(p.s, &ev, 1, 0), EINVAL);
	EXPECT_FAIL(epoll_wait(-1, &ev, 1, 0), EBADF);
	EXPECT_FAIL(epoll_create(0), EINVAL);
	EXPECT_FAIL(epoll_create1(12345), EINVAL);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	close(plain[0]);
	close(file);
	close(ep);
	pair_close(&p);
}

CASE(data_comes_back)
{
	struct pair p[4];
	static const uint64_t odd[4] = { 0, UINT64_MAX, 0x8000000000000001ull,
		                         0x0123456789abcdefull };
	struct epoll_event ev[8];
	int ep = epoll_create(1), n = 0, seen = 0, e = eventfd(1, 0);

	for (int i = 0; i < 4; i++) {
		p[i] = pair_settled(FAM_4);
		REQUIRE(ctl(ep, EPOLL_CTL_ADD, p[i].s, EPOLLIN, odd[i]) == 0);
		put_pat(p[i].c, 1, 0, 10, 0);
	}
	REQUIRE(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN, odd[1]) == 0);
	for (int i = 0; i < 100 && n < 5; i++) {
		n = epoll_wait(ep, ev, 8, 1000);
		sleep_ms(1);
	}
	EXPECT_EQ(n, 5);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < 4; j++)
			seen += ev[i].data.u64 == odd[j];
	EXPECT_EQ(seen, 6 - 1);
	close(e);
	close(ep);
	for (int i = 0; i < 4; i++)
		pair_close(&p[i]);
}

CASE(wait_timeouts)
{
	struct pair p = pair_settled(FAM_4);
	struct timespec ts = { 0, 50000000 };
	struct epoll_event ev;
	int ep = set_new();
	uint64_t t;

	add(ep, p.s, EPOLLIN);
	t = now_ms();
	EXPECT_EQ(epoll_wait(ep, &ev, 1, 100), 0);
	took(t, 100);
	t = now_ms();
	EXPECT_EQ(epoll_pwait(ep, &ev, 1, 100, NULL), 0);
	took(t, 100);
	t = now_ms();
	EXPECT_EQ(epoll_pwait2(ep, &ev, 1, &ts, NULL), 0);
	took(t, 50);
	t = now_ms();
	EXPECT_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	EXPECT_LE(now_ms() - t, 100);
	twin_later(50, later_put, &p.c);
	EXPECT_EQ(epoll_wait(ep, &ev, 1, -1), 1);
	close(ep);
	pair_close(&p);
}

static void later_signal(void *arg)
{
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
}

CASE(pwait_mask)
{
	struct pair p = pair_settled(FAM_4);
	pthread_t me = pthread_self();
	struct epoll_event ev;
	sigset_t block, none;
	int ep = set_new();

	add(ep, p.s, EPOLLIN);
	twin_ignore_signal(SIGUSR1);
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	REQUIRE(pthread_sigmask(SIG_BLOCK, &block, NULL) == 0);
	raise(SIGUSR1);
	EXPECT_EQ(epoll_wait(ep, &ev, 1, 30), 0);
	EXPECT_EQ(twin_signals, 0);
	EXPECT_FAIL(epoll_pwait(ep, &ev, 1, 5000, &none), EINTR);
	EXPECT_EQ(twin_signals, 1);
	twin_later(50, later_signal, &me);
	EXPECT_FAIL(epoll_pwait(ep, &ev, 1, 5000, &none), EINTR);
	EXPECT_EQ(twin_signals, 2);
	EXPECT_EQ(epoll_pwait(ep, &ev, 1, 20, &block), 0);
	pair_close(&p);
	close(ep);
}

/* --------------------------------------------------------- membership and life */

CASE(close_removes)
{
	struct pair p = pair_settled(FAM_4), q = pair_settled(FAM_4);
	int ep = set_new(), old = p.s;

	add(ep, p.s, EPOLLIN);
	add(ep, q.s, EPOLLIN);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(one(ep, p.s, 20), 0);
	close(p.c);
	p = pair_settled(FAM_4); /* probably the same number again */
	if (p.c == old)
		p = (struct pair){ p.s, p.c };
	if (p.s != old) {
		REQUIRE_EQ(dup2(p.s, old), old);
		close(p.s);
		p.s = old;
	}
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 20), 0);
	add(ep, p.s, EPOLLIN);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	close(ep);
	pair_close(&p);
	pair_close(&q);
}

/* A duplicate keeps the registration alive, as the kernel has it. */
CASE(duplicate_keeps_registration)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new(), d = dup(p.s);

	add(ep, p.s, EPOLLIN);
	EXPECT_EQ(close(p.s), 0);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	get_pat(d, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 20), 0);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, p.s, 2000), EPOLLIN);
	EXPECT_EQ(close(d), 0);
	EXPECT_EQ(one(ep, p.s, 20), 0);
	p.s = -1;
	close(ep);
	pair_close(&p);
}

CASE(both_duplicates_registered)
{
	struct pair p = pair_settled(FAM_4);
	struct epoll_event ev[4];
	int ep = set_new(), d = dup(p.s), n = 0;

	add(ep, p.s, EPOLLIN);
	add(ep, d, EPOLLIN);
	put_pat(p.c, 1, 0, 10, 0);
	for (int i = 0; i < 100 && n != 2; i++) {
		n = epoll_wait(ep, ev, 4, 1000);
		sleep_ms(1);
	}
	EXPECT_EQ(n, 2);
	EXPECT_EQ(close(d), 0);
	close(ep);
	pair_close(&p);
}

CASE(two_sets_one_socket)
{
	struct pair p = pair_settled(FAM_4);
	int a = set_new(), b = set_new();

	add(a, p.s, EPOLLIN);
	add(b, p.s, EPOLLIN | EPOLLET);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(a, p.s, 2000), EPOLLIN);
	EXPECT_EQ(one(b, p.s, 2000), EPOLLIN);
	EXPECT_EQ(one(a, p.s, 0), EPOLLIN);
	EXPECT_EQ(one(b, p.s, 0), 0);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(one(a, p.s, 10), 0);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(b, p.s, 2000), EPOLLIN);
	EXPECT_EQ(one(a, p.s, 2000), EPOLLIN);
	close(a);
	close(b);
	pair_close(&p);
}

/* Read and write interest in the two ends, both in one set. */
CASE(both_ends_in_one_set)
{
	struct pair p = pair_settled(FAM_4);
	struct epoll_event ev[4];
	int ep = set_new();

	add(ep, p.c, EPOLLIN);
	add(ep, p.s, EPOLLIN);
	for (int i = 0; i < 200; i++) {
		int from = i & 1 ? p.c : p.s, to = i & 1 ? p.s : p.c;

		put_pat(from, 1, 0, 64, 0);
		REQUIRE_EQ(epoll_wait(ep, ev, 4, 2000), 1);
		EXPECT_EQ(ev[0].data.u64, (uint64_t)to);
		get_pat(to, 1, 0, 64, 0);
	}
	PROVE_SMC(p.c, 6400, 6400);
	close(ep);
	pair_close(&p);
}

CASE(dup_of_the_set)
{
	struct pair p = pair_settled(FAM_4);
	int ep = set_new(), d = dup(ep);

	add(ep, p.s, EPOLLIN);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(one(d, p.s, 2000), EPOLLIN);
	EXPECT_EQ(close(ep), 0);
	EXPECT_EQ(one(d, p.s, 2000), EPOLLIN);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(one(d, p.s, 20), 0);
	EXPECT_EQ(ctl(d, EPOLL_CTL_MOD, p.s, EPOLLOUT, (uint64_t)p.s), 0);
	EXPECT_EQ(one(d, p.s, 1000), EPOLLOUT);
	EXPECT_EQ(close(d), 0);
	pair_close(&p);
}

/* -------------------------------------------------------------------- mixed */

static void later_event(void *arg)
{
	uint64_t v = 1;

	EXPECT_EQ(write(*(int *)arg, &v, 8), 8);
}

CASE(mixed_with_kernel_descriptors)
{
	struct pair p = pair_settled(FAM_4);
	struct itimerspec its = { .it_value = { 0, 50000000 } };
	struct epoll_event ev[8];
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), e = eventfd(0, 0), pipefd[2], c, s, n;
	int tfd = timerfd_create(CLOCK_MONOTONIC, 0), ep = set_new();
	uint64_t v;

	REQUIRE(pipe(pipefd) == 0);
	add(ep, p.s, EPOLLIN);
	add(ep, e, EPOLLIN);
	add(ep, tfd, EPOLLIN);
	add(ep, pipefd[0], EPOLLIN);
	add(ep, l, EPOLLIN);
	EXPECT_EQ(epoll_wait(ep, ev, 8, 10), 0);
	twin_later(30, later_event, &e);
	EXPECT_EQ(one(ep, e, 5000), EPOLLIN);
	EXPECT_EQ(read(e, &v, 8), 8);
	EXPECT_EQ(timerfd_settime(tfd, 0, &its, NULL), 0);
	EXPECT_EQ(one(ep, tfd, 5000), EPOLLIN);
	EXPECT_EQ(read(tfd, &v, 8), 8);
	twin_later(30, later_put, &p.c);
	EXPECT_EQ(one(ep, p.s, 5000), EPOLLIN);
	EXPECT_EQ(write(pipefd[1], "x", 1), 1);
	c = twin_connect(FAM_4, &sa, len);
	for (n = 0; n != 3;) {
		n = epoll_wait(ep, ev, 8, 1000);
		REQUIRE(n > 0);
	}
	s = accept(l, NULL, NULL);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(one(ep, pipefd[0], 1000), EPOLLIN);
	PROVE_SMC(p.s, 0, 10);
	pair_close(&p);
	close(c);
	close(s);
	close(l);
	close(e);
	close(tfd);
	close(pipefd[0]);
	close(pipefd[1]);
	close(ep);
}

/* With few places for events, nobody starves: neither ours nor the kernel's. */
CASE(fairness)
{
	enum { N = 12 };
	struct pair p[N];
	int ep = set_new(), e = eventfd(1, 0), hits[N + 1] = { 0 };
	struct epoll_event ev[2];

	for (int i = 0; i < N; i++) {
		p[i] = pair_settled(FAM_4);
		REQUIRE(ctl(ep, EPOLL_CTL_ADD, p[i].s, EPOLLIN, (uint64_t)i) == 0);
		put_pat(p[i].c, 1, 0, 10, 0);
	}
	REQUIRE(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN, N) == 0);
	sleep_ms(20);
	for (int i = 0; i < 10 * (N + 1); i++) {
		int n = epoll_wait(ep, ev, 2, 1000);

		EXPECT_EQ(n, 2);
		for (int j = 0; j < n; j++)
			if (ev[j].data.u64 <= N)
				hits[ev[j].data.u64]++;
	}
	for (int i = 0; i <= N; i++)
		if (hits[i] < 8)
			twin_fail(__FILE__, __LINE__, "member %d: %d of 260 events", i, hits[i]);
	for (int i = 0; i < N; i++)
		pair_close(&p[i]);
	close(e);
	close(ep);
}

/* ------------------------------------------------------------------- nested */

CASE(nested_in_epoll)
{
	struct pair p = pair_settled(FAM_4);
	int in = set_new(), out = set_new();

	add(in, p.s, EPOLLIN);
	add(out, in, EPOLLIN);
	EXPECT_EQ(one(out, in, 20), 0);
	twin_later(50, later_put, &p.c);
	EXPECT_EQ(one(out, in, 5000), EPOLLIN);
	EXPECT_EQ(one(in, p.s, 0), EPOLLIN);
	EXPECT_EQ(one(out, in, 0), EPOLLIN);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(one(in, p.s, 0), 0);
	EXPECT_EQ(one(out, in, 20), 0);
	twin_later(50, later_put, &p.c);
	EXPECT_EQ(one(out, in, 5000), EPOLLIN);
	get_pat(p.s, 1, 0, 10, 0);
	PROVE_SMC(p.s, 0, 20);
	close(in);
	close(out);
	pair_close(&p);
}

CASE(nested_in_poll_and_select)
{
	struct pair p = pair_settled(FAM_4);
	int in = set_new();
	struct pollfd pf = { .fd = in, .events = POLLIN };
	struct timeval tv = { 5, 0 };
	fd_set set;

	add(in, p.s, EPOLLIN);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(poll(&pf, 1, 10), 0);
		twin_later(30, later_put, &p.c);
		EXPECT_EQ(poll(&pf, 1, 5000), 1);
		EXPECT_EQ(pf.revents, POLLIN);
		EXPECT_EQ(one(in, p.s, 0), EPOLLIN);
		get_pat(p.s, 1, 0, 10, 0);
	}
	EXPECT_EQ(poll(&pf, 1, 10), 0);
	twin_later(30, later_put, &p.c);
	FD_ZERO(&set);
	FD_SET(in, &set);
	EXPECT_EQ(select(in + 1, &set, NULL, NULL, &tv), 1);
	get_pat(p.s, 1, 0, 10, 0);
	close(in);
	pair_close(&p);
}

/* ---------------------------------------------------------------- many at once */

#define MANY 200
static struct sockaddr_storage srv_sa;
static socklen_t srv_len;

static void many_clients(void *arg)
{
	int fd[MANY];
	uint64_t r = 3;

	for (int i = 0; i < MANY; i++)
		fd[i] = twin_connect(FAM_4, &srv_sa, srv_len);
	for (int round = 0; round < 40; round++) {
		int some[10];

		for (int i = 0; i < 10; i++) {
			some[i] = (int)(rnd(&r) % MANY);
			put_pat(fd[some[i]], 1, 0, 100, 0);
		}
		for (int i = 0; i < 10; i++)
			get_pat(fd[some[i]], 1, 0, 100, 0);
		if (round % 10 == 0)
			sleep_ms(5);
	}
	for (int i = 0; i < MANY; i++) {
		put_pat(fd[i], 1, 0, 100, 0);
		get_pat(fd[i], 1, 0, 100, 0);
	}
	for (int i = 0; i < MANY; i++)
		close(fd[i]);
}

static void many_server(uint32_t mode)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len), ep = set_new(), closed = 0;
	pid_t pid = twin_fork(many_clients, NULL);
	struct epoll_event ev[16];
	char b[1000];

	add(ep, l, EPOLLIN);
	while (closed < MANY) {
		int n = epoll_wait(ep, ev, 16, 8000);

		REQUIRE(n > 0);
		for (int i = 0; i < n; i++) {
			int fd = (int)ev[i].data.u64;
			ssize_t r;

			if (fd == l) {
				fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
				REQUIRE(fd > 2);
				add(ep, fd, EPOLLIN | mode);
				continue;
			}
			while ((r = recv(fd, b, sizeof(b), 0)) > 0)
				REQUIRE_EQ(send(fd, b, (size_t)r, MSG_NOSIGNAL), r);
			if (r == 0) {
				EXPECT_EQ(close(fd), 0);
				closed++;
				continue;
			}
			REQUIRE(errno == EAGAIN);
			if (mode & EPOLLONESHOT)
				REQUIRE(ctl(ep, EPOLL_CTL_MOD, fd, EPOLLIN | mode, (uint64_t)fd) ==
				        0);
		}
	}
	twin_wait(pid);
	close(l);
	close(ep);
}

CASE_T(many_lt, 20)
{
	many_server(0);
}

CASE_T(many_et, 20)
{
	many_server(EPOLLET);
}

CASE_T(many_oneshot, 20)
{
	many_server(EPOLLONESHOT);
}

/* An event is a promise: the first recv() after it does not say EAGAIN. (wrk counts
 * that as an error.) Both sides are event loops; the load crosses the switch. */
#define PROMISES 20
#define PROMISE_ROUNDS 400

static uint32_t promise_mode;

static void promise_client(void *arg)
{
	int ep = set_new(), left = PROMISES * PROMISE_ROUNDS;
	struct epoll_event ev[8];
	char b[200];

	for (int i = 0; i < PROMISES; i++) {
		int fd = twin_connect(FAM_4, &srv_sa, srv_len);

		twin_nonblock(fd, true);
		add(ep, fd, EPOLLIN | promise_mode);
		put_pat(fd, 1, 0, 100, 0);
	}
	while (left) {
		int n = epoll_wait(ep, ev, 8, 8000);

		REQUIRE(n > 0);
		for (int i = 0; i < n && left; i++) {
			REQUIRE_EQ(recv((int)ev[i].data.u64, b, sizeof(b), 0), 100);
			if (--left >= PROMISES)
				put_pat((int)ev[i].data.u64, 1, 0, 100, 0);
		}
	}
}

static void promises(uint32_t mode)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len), ep = set_new(), closed = 0;
	struct epoll_event ev[8];
	char b[200];
	pid_t pid;

	promise_mode = mode;
	pid = twin_fork(promise_client, NULL);
	add(ep, l, EPOLLIN);
	while (closed < PROMISES) {
		int n = epoll_wait(ep, ev, 8, 8000);

		REQUIRE(n > 0);
		for (int i = 0; i < n; i++) {
			int fd = (int)ev[i].data.u64;
			ssize_t r;

			if (fd == l) {
				fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
				REQUIRE(fd > 2);
				add(ep, fd, EPOLLIN | mode);
				continue;
			}
			r = recv(fd, b, sizeof(b), 0);
			REQUIRE(r == 0 || r == 100);
			if (r) {
				REQUIRE_EQ(send(fd, b, (size_t)r, MSG_NOSIGNAL), r);
				continue;
			}
			EXPECT_EQ(close(fd), 0);
			closed++;
		}
	}
	twin_wait(pid);
	close(l);
	close(ep);
}

CASE_T(promises_lt, 20)
{
	promises(0);
}

CASE_T(promises_et, 20)
{
	promises(EPOLLET);
}

/* ----------------------------------------------------- threads and processes */

/* Several threads in epoll_wait on one set: a one-shot event goes to one. */
struct crew {
	int ep, fd;
	_Atomic int events, done;
};

static void *crew_thread(void *arg)
{
	struct crew *c = arg;
	struct epoll_event ev;

	while (!c->done)
		if (epoll_wait(c->ep, &ev, 1, 20) == 1)
			c->events++;
	return NULL;
}

CASE(oneshot_goes_to_one_thread)
{
	struct pair p = pair_settled(FAM_4);
	struct crew c = { .ep = set_new(), .fd = p.s };
	pthread_t t[4];

	add(c.ep, p.s, EPOLLIN | EPOLLONESHOT);
	for (int i = 0; i < 4; i++)
		t[i] = twin_thread(crew_thread, &c);
	for (int i = 1; i <= 10; i++) {
		put_pat(p.c, 1, 0, 10, 0);
		for (int j = 0; j < 500 && c.events < i; j++)
			sleep_ms(1);
		sleep_ms(5);
		EXPECT_EQ(c.events, i);
		get_pat(p.s, 1, 0, 10, 0);
		EXPECT_EQ(ctl(c.ep, EPOLL_CTL_MOD, p.s, EPOLLIN | EPOLLONESHOT, 1), 0);
	}
	c.done = 1;
	for (int i = 0; i < 4; i++)
		twin_join(t[i]);
	close(c.ep);
	pair_close(&p);
}

/* Added by one thread while another sleeps in epoll_wait on the set. */
struct adder {
	int ep, fd;
};

static void later_add(void *arg)
{
	struct adder *a = arg;

	add(a->ep, a->fd, EPOLLIN);
}

CASE(added_while_another_sleeps)
{
	struct pair p = pair_settled(FAM_4), q = pair_settled(FAM_4);
	int ep = set_new();
	struct adder a = { ep, p.s };

	put_pat(p.c, 1, 0, 10, 0); /* ready before it is added */
	twin_later(50, later_add, &a);
	EXPECT_EQ(one(ep, p.s, 5000), EPOLLIN);
	get_pat(p.s, 1, 0, 10, 0);
	a.fd = q.s; /* ready after it was added */
	twin_later(20, later_add, &a);
	twin_later(60, later_put, &q.c);
	EXPECT_EQ(one(ep, q.s, 5000), EPOLLIN);
	close(ep);
	pair_close(&p);
	pair_close(&q);
}

/* Asleep here, woken by another process, again and again. */
static void client_wake(int fd)
{
	char b[64];

	for (int i = 0; i < 60; i++) {
		usleep(i % 3 ? 500 : 6000);
		put_pat(fd, 1, 0, 64, 0);
		REQUIRE_EQ(recv(fd, b, 64, MSG_WAITALL), 64);
	}
	close(fd);
}

static void server_wake(int fd)
{
	int ep = set_new();
	char b[64];

	add(ep, fd, EPOLLIN);
	for (int i = 0; i < 60; i++) {
		EXPECT_EQ(one(ep, fd, 5000), EPOLLIN);
		REQUIRE_EQ(recv(fd, b, 64, MSG_WAITALL), 64);
		put_pat(fd, 1, 0, 64, 0);
	}
	EXPECT_EQ(one(ep, fd, 5000), EPOLLIN);
	expect_eof(fd);
	PROVE_IF_SETTLED(fd, 64 * 60, 64 * 60);
	close(ep);
	close(fd);
}
PAIR_CASE(wake)

/* The set was made before fork(); the child waits on it. */
struct forked_set {
	int ep, s, c;
	_Atomic int stage;
};

static void child_waits(void *arg)
{
	struct forked_set *f = arg;

	stage_set(&f->stage, 1);
	EXPECT_EQ(one(f->ep, f->s, 5000), EPOLLIN);
	get_pat(f->s, 1, 0, 10, 0);
	EXPECT_EQ(one(f->ep, f->s, 20), 0);
	stage_set(&f->stage, 2);
	EXPECT_EQ(one(f->ep, f->s, 5000), EPOLLIN);
	get_pat(f->s, 1, 0, 10, 0);
}

CASE(set_used_by_child)
{
	struct pair p = pair_settled(FAM_4);
	struct forked_set *f = twin_shared(sizeof(*f));
	pid_t pid;

	f->ep = set_new();
	f->s = p.s;
	f->c = p.c;
	add(f->ep, p.s, EPOLLIN);
	pid = twin_fork(child_waits, f);
	stage_wait(&f->stage, 1);
	sleep_ms(30);
	put_pat(p.c, 1, 0, 10, 0);
	stage_wait(&f->stage, 2);
	sleep_ms(20);
	put_pat(p.c, 1, 0, 10, 0);
	twin_wait(pid);
	EXPECT_EQ(one(f->ep, p.s, 0), 0);
	close(f->ep);
	pair_close(&p);
}

/* A listener in edge-triggered mode: one event per connection. */
CASE(et_listener)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), ep = set_new();

	add(ep, l, EPOLLIN | EPOLLET);
	for (int i = 0; i < 5; i++) {
		int c = twin_connect(FAM_4, &sa, len), s;

		EXPECT_EQ(one(ep, l, 2000), EPOLLIN);
		EXPECT_EQ(one(ep, l, 10), 0);
		s = accept(l, NULL, NULL);
		close(c);
		close(s);
	}
	close(l);
	close(ep);
}

/* Non-blocking connect watched by epoll, edge-triggered, as asyncio servers do. */
CASE(connect_watched)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len), ep = set_new();
	uint32_t ev;

	p.c = twin_socket(FAM_4, SOCK_NONBLOCK);
	if (connect(p.c, (struct sockaddr *)&sa, len) < 0)
		EXPECT_EQ(errno, EINPROGRESS);
	add(ep, p.c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	EXPECT_EQ(one(ep, p.c, 2000), EPOLLOUT);
	EXPECT_EQ(one(ep, p.c, 10), 0);
	p.s = accept(l, NULL, NULL);
	pair_settle(p);
	put_pat(p.s, 1, 0, 10, 0);
	ev = one(ep, p.c, 2000);
	EXPECT(ev & EPOLLIN);
	get_pat(p.c, 1, 0, 10, 0);
	PROVE_SMC(p.c, 0, 10);
	pair_close(&p);
	close(l);
	close(ep);
}
