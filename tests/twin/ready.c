/* SPDX-License-Identifier: Apache-2.0 */
/* poll, ppoll, select, pselect: alone, and mixed with what is not ours. */
#include "twin.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t len);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *ss,
                size_t len);

static int revents(int fd, short events, int ms)
{
	struct pollfd pf = { .fd = fd, .events = events, .revents = 0x7777 };
	int r = poll(&pf, 1, ms);

	EXPECT_GE(r, 0);
	EXPECT_EQ(r, pf.revents != 0);
	return pf.revents;
}

/* ------------------------------------------------------------- the states */

CASE(poll_states)
{
	struct pair p = pair_settled(FAM_4);
	char b[100];

	EXPECT_EQ(revents(p.s, POLLIN, 0), 0);
	EXPECT_EQ(revents(p.s, POLLOUT, 0), POLLOUT);
	EXPECT_EQ(revents(p.s, POLLIN | POLLOUT, 0), POLLOUT);
	EXPECT_EQ(revents(p.s, 0, 0), 0);
	put_pat(p.c, 1, 0, 50, 0);
	EXPECT_EQ(revents(p.s, POLLIN, 1000), POLLIN);
	EXPECT_EQ(revents(p.s, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0),
	          POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	EXPECT_EQ(revents(p.s, POLLOUT, 0), POLLOUT);
	EXPECT_EQ(revents(p.s, POLLPRI, 0), 0);
	EXPECT_EQ(revents(p.s, 0, 0), 0);
	get_pat(p.s, 1, 0, 49, 0);
	EXPECT_EQ(revents(p.s, POLLIN, 0), POLLIN);
	get_pat(p.s, 1, 49, 1, 0);
	EXPECT_EQ(revents(p.s, POLLIN, 0), 0);
	PROVE_SMC(p.s, 0, 50);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	EXPECT_EQ(revents(p.s, POLLIN | POLLRDHUP | POLLOUT, 1000), POLLIN | POLLRDHUP | POLLOUT);
	EXPECT_EQ(revents(p.s, POLLIN, 0), POLLIN);
	EXPECT_EQ(revents(p.s, POLLRDHUP, 0), POLLRDHUP);
	EXPECT_EQ(revents(p.s, 0, 0), 0);
	EXPECT_EQ(recv(p.s, b, 100, 0), 0);
	EXPECT_EQ(revents(p.s, POLLIN, 0), POLLIN); /* the end stays readable */
	EXPECT_EQ(shutdown(p.s, SHUT_WR), 0);
	EXPECT_EQ(revents(p.s, 0, 1000), POLLHUP);
	EXPECT_EQ(revents(p.s, POLLIN | POLLRDHUP | POLLOUT, 0),
	          POLLIN | POLLRDHUP | POLLOUT | POLLHUP);
	EXPECT_EQ(revents(p.c, 0, 1000), POLLHUP);
	EXPECT_EQ(revents(p.c, POLLIN | POLLOUT | POLLRDHUP, 0),
	          POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	pair_close(&p);
}

/* Data and then the end: both are reported, data are read first. */
CASE(poll_data_then_close)
{
	struct pair p = pair_settled(FAM_4);

	put_pat(p.c, 1, 0, 50, 0);
	EXPECT_EQ(close(p.c), 0);
	for (int i = 0; i < 200 && !(revents(p.s, POLLRDHUP, 0) & POLLRDHUP); i++)
		sleep_ms(1);
	EXPECT_EQ(revents(p.s, POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
	get_pat(p.s, 1, 0, 50, 0);
	EXPECT_EQ(revents(p.s, POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
	expect_eof(p.s);
	EXPECT_EQ(close(p.s), 0);
}

CASE(poll_reset)
{
	struct pair p = pair_settled(FAM_4);
	char b[4];

	put_pat(p.c, 1, 0, 50, 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(revents(p.c, 0, 1000), POLLERR | POLLHUP);
	EXPECT_EQ(revents(p.c, POLLIN | POLLOUT | POLLRDHUP, 0),
	          POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
	EXPECT_FAIL(recv(p.c, b, 4, 0), ECONNRESET);
	EXPECT_EQ(revents(p.c, POLLIN | POLLOUT | POLLRDHUP, 0),
	          POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	EXPECT_EQ(close(p.c), 0);
}

CASE(poll_shutdown_rd)
{
	struct pair p = pair_settled(FAM_4);

	EXPECT_EQ(shutdown(p.s, SHUT_RD), 0);
	EXPECT_EQ(revents(p.s, POLLIN | POLLRDHUP | POLLOUT, 0), POLLIN | POLLRDHUP | POLLOUT);
	EXPECT_EQ(revents(p.c, POLLIN | POLLRDHUP | POLLOUT, 0), POLLOUT);
	pair_close(&p);
}

CASE(poll_full)
{
	struct pair p = pair_settled(FAM_4);
	static char b[100000];
	uint64_t sent = 0;
	ssize_t r;

	while ((r = send(p.c, b, sizeof(b), MSG_DONTWAIT)) > 0)
		sent += (uint64_t)r;
	EXPECT_EQ(revents(p.c, POLLOUT, 0), 0);
	EXPECT_EQ(revents(p.c, POLLOUT | POLLIN, 50), 0);
	while (sent) {
		r = recv(p.s, b, sizeof(b), 0);
		REQUIRE(r > 0);
		sent -= (uint64_t)r;
	}
	EXPECT_EQ(revents(p.c, POLLOUT, 1000), POLLOUT);
	pair_close(&p);
}

CASE(poll_odd_arguments)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf[4] = { { .fd = -1, .events = POLLIN, .revents = 5 },
		                { .fd = 900001, .events = POLLIN },
		                { .fd = p.s, .events = POLLIN },
		                { .fd = -7, .events = POLLIN } };
	int gone = dup(p.s);

	SKIP_IF_SANITIZED("it checks pointers itself");
	EXPECT_EQ(poll(pf, 4, 1000), 1);
	EXPECT_EQ(pf[0].revents, 0);
	EXPECT_EQ(pf[1].revents, POLLNVAL);
	EXPECT_EQ(pf[2].revents, 0);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_EQ(poll(pf, 4, 1000), 2);
	EXPECT_EQ(pf[2].revents, POLLIN);
	EXPECT_EQ(poll(NULL, 0, 0), 0);
	EXPECT_EQ(poll(pf, 0, 10), 0);
	pf[1].fd = p.s; /* the same descriptor twice */
	EXPECT_EQ(poll(pf, 3, 0), 2);
	EXPECT_EQ(pf[1].revents, POLLIN);
	EXPECT_EQ(pf[2].revents, POLLIN);
	EXPECT_EQ(__poll_chk(pf, 3, 0, sizeof(pf)), 2);
	EXPECT_EQ(__ppoll_chk(pf, 3, NULL, NULL, sizeof(pf)), 2);
	close(gone);
	EXPECT_EQ(revents(gone, POLLIN, 0), POLLNVAL);
	EXPECT_FAIL(poll(twin_bad, 2, 0), EFAULT);
	pair_close(&p);
}

/* --------------------------------------------------------------- time-outs */

static void took(uint64_t start, unsigned ms)
{
	uint64_t d = now_ms() - start;

	EXPECT_GE(d, ms - 1);
	EXPECT_LE(d, ms + 400);
}

CASE(timeouts)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.s, .events = POLLIN };
	struct timespec ts = { 0, 100000000 };
	struct timeval tv = { 0, 100000 };
	fd_set in;
	uint64_t t = now_ms();

	EXPECT_EQ(poll(&pf, 1, 100), 0);
	took(t, 100);
	t = now_ms();
	EXPECT_EQ(ppoll(&pf, 1, &ts, NULL), 0);
	took(t, 100);
	EXPECT_EQ(ts.tv_nsec, 100000000); /* libc keeps the caller's */
	t = now_ms();
	FD_ZERO(&in);
	FD_SET(p.s, &in);
	EXPECT_EQ(select(p.s + 1, &in, NULL, NULL, &tv), 0);
	took(t, 100);
	EXPECT(!FD_ISSET(p.s, &in));
	EXPECT(tv.tv_sec == 0 && tv.tv_usec == 0); /* Linux: what is left */
	t = now_ms();
	FD_SET(p.s, &in);
	EXPECT_EQ(pselect(p.s + 1, &in, NULL, NULL, &ts, NULL), 0);
	took(t, 100);
	t = now_ms();
	EXPECT_EQ(poll(&pf, 1, 0), 0);
	EXPECT_LE(now_ms() - t, 100);
	pair_close(&p);
}

CASE(select_leaves_the_rest_of_the_time)
{
	struct pair p = pair_settled(FAM_4);
	struct timeval tv = { 5, 0 };
	fd_set in;

	put_pat(p.c, 1, 0, 10, 0);
	FD_ZERO(&in);
	FD_SET(p.s, &in);
	EXPECT_EQ(select(p.s + 1, &in, NULL, NULL, &tv), 1);
	EXPECT(FD_ISSET(p.s, &in));
	EXPECT(tv.tv_sec == 4 && tv.tv_usec > 0);
	pair_close(&p);
}

/* ------------------------------------------------------ asleep, then woken */

struct poke {
	int fd;
	int n;
};

static void poke_socket(void *arg)
{
	struct poke *k = arg;

	put_pat(k->fd, 1, 0, (size_t)k->n, 0);
}

static void poke_pipe(void *arg)
{
	struct poke *k = arg;

	EXPECT_EQ(write(k->fd, "x", 1), 1);
}

static void poke_close(void *arg)
{
	close(((struct poke *)arg)->fd);
}

static void poke_shutdown(void *arg)
{
	shutdown(((struct poke *)arg)->fd, SHUT_WR);
}

CASE(poll_woken_by_data)
{
	struct pair p = pair_settled(FAM_4);
	struct poke k = { p.c, 10 };
	uint64_t t = now_ms();

	twin_later(100, poke_socket, &k);
	EXPECT_EQ(revents(p.s, POLLIN, 5000), POLLIN);
	took(t, 100);
	PROVE_SMC(p.s, 0, 0);
	get_pat(p.s, 1, 0, 10, 0);
	PROVE_SMC(p.s, 0, 10);
	pair_close(&p);
}

/* Asleep already when the connection is bound; data come before and after. */
CASE(poll_woken_over_the_switch)
{
	struct pair p = pair_open(FAM_4);
	struct poke k = { p.c, 10 };

	for (unsigned ms = 0; ms < 12; ms++) {
		twin_later(ms, poke_socket, &k);
		EXPECT_EQ(revents(p.s, POLLIN, 5000), POLLIN);
		get_pat(p.s, 1, 0, 10, 0);
	}
	pair_close(&p);
}

CASE(poll_woken_by_close)
{
	struct pair p = pair_settled(FAM_4);
	struct poke k = { p.c, 0 };

	twin_later(50, poke_close, &k);
	EXPECT_EQ(revents(p.s, POLLIN, 5000), POLLIN);
	expect_eof(p.s);
	close(p.s);
	p = pair_settled(FAM_4);
	k.fd = p.c;
	twin_later(50, poke_shutdown, &k);
	EXPECT_EQ(revents(p.s, POLLRDHUP, 5000), POLLRDHUP);
	pair_close(&p);
}

/* Sleeping for nothing but the end of the connection. */
CASE(poll_events_zero_woken)
{
	struct pair p = pair_settled(FAM_4);
	struct poke k = { p.c, 10 };
	uint64_t t = now_ms();

	EXPECT_EQ(shutdown(p.s, SHUT_WR), 0);
	twin_later(30, poke_socket, &k); /* data do not count */
	EXPECT_EQ(revents(p.s, 0, 100), 0);
	took(t, 100);
	twin_later(50, poke_shutdown, &k);
	EXPECT_EQ(revents(p.s, 0, 5000), POLLHUP);
	pair_close(&p);
}

static void drain_all(void *arg)
{
	struct poke *k = arg;
	static char b[1 << 16];

	while (k->n > 0) {
		ssize_t r = recv(k->fd, b, sizeof(b), 0);

		REQUIRE(r > 0);
		k->n -= (int)r;
	}
}

CASE(poll_woken_by_space)
{
	struct pair p = pair_settled(FAM_4);
	static char b[100000];
	struct poke k = { p.s, 0 };
	struct timespec ts = { 5, 0 };
	fd_set out;
	ssize_t r;

	for (int i = 0; i < 2; i++) {
		while ((r = send(p.c, b, sizeof(b), MSG_DONTWAIT)) > 0)
			k.n += (int)r;
		twin_later(100, drain_all, &k);
		if (i == 0) {
			EXPECT_EQ(revents(p.c, POLLOUT | POLLIN, 5000), POLLOUT);
		} else {
			FD_ZERO(&out);
			FD_SET(p.c, &out);
			EXPECT_EQ(pselect(p.c + 1, NULL, &out, NULL, &ts, NULL), 1);
			EXPECT(FD_ISSET(p.c, &out));
		}
		while (*(volatile int *)&k.n > 0)
			sleep_ms(1);
	}
	pair_close(&p);
}

/* --------------------------------------------------- with kernel descriptors */

CASE(mixed_with_kernel_descriptors)
{
	struct pair p = pair_settled(FAM_4), q = pair_settled(FAM_4);
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), u = socket(AF_INET, SOCK_DGRAM, 0), pipefd[2];
	int e = eventfd(0, 0), c;
	struct pollfd pf[6];
	struct poke k;
	uint64_t one = 1;

	REQUIRE(pipe(pipefd) == 0);
	pf[0] = (struct pollfd){ .fd = p.s, .events = POLLIN };
	pf[1] = (struct pollfd){ .fd = pipefd[0], .events = POLLIN };
	pf[2] = (struct pollfd){ .fd = l, .events = POLLIN };
	pf[3] = (struct pollfd){ .fd = u, .events = POLLIN };
	pf[4] = (struct pollfd){ .fd = e, .events = POLLIN };
	pf[5] = (struct pollfd){ .fd = q.s, .events = POLLIN };
	EXPECT_EQ(poll(pf, 6, 20), 0);
	k = (struct poke){ pipefd[1], 0 };
	twin_later(50, poke_pipe, &k); /* a kernel descriptor ends the sleep */
	EXPECT_EQ(poll(pf, 6, 5000), 1);
	EXPECT_EQ(pf[1].revents, POLLIN);
	put_pat(p.c, 1, 0, 10, 0); /* both sorts are ready */
	EXPECT_EQ(poll(pf, 6, 5000), 2);
	EXPECT_EQ(pf[0].revents, POLLIN);
	EXPECT_EQ(pf[1].revents, POLLIN);
	EXPECT_EQ(write(e, &one, 8), 8);
	c = twin_connect(FAM_4, &sa, len);
	EXPECT_EQ(poll(pf, 6, 5000), 4);
	EXPECT_EQ(pf[2].revents, POLLIN);
	EXPECT_EQ(pf[4].revents, POLLIN);
	EXPECT_EQ(pf[5].revents, 0);
	EXPECT_EQ(pf[3].revents, 0);
	get_pat(p.s, 1, 0, 10, 0);
	k = (struct poke){ q.c, 10 };
	twin_later(50, poke_socket, &k);
	pf[1].fd = pf[2].fd = pf[4].fd = -1;
	EXPECT_EQ(poll(pf, 6, 5000), 1);
	EXPECT_EQ(pf[5].revents, POLLIN);
	PROVE_SMC(p.s, 0, 10);
	pair_close(&p);
	pair_close(&q);
	close(pipefd[0]);
	close(pipefd[1]);
	close(c);
	close(l);
	close(u);
	close(e);
}

CASE(select_sets)
{
	struct pair p = pair_settled(FAM_4), q = pair_settled(FAM_4);
	struct timeval tv = { 1, 0 };
	fd_set in, out, ex;
	int top = q.s > p.s ? q.s : p.s, pipefd[2];

	REQUIRE(pipe(pipefd) == 0);
	if (p.c > top)
		top = p.c;
	if (pipefd[0] > top)
		top = pipefd[0];
	put_pat(p.c, 1, 0, 10, 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&ex);
	FD_SET(p.s, &in);
	FD_SET(q.s, &in);
	FD_SET(pipefd[0], &in);
	FD_SET(p.s, &out);
	FD_SET(p.c, &out);
	FD_SET(p.s, &ex);
	EXPECT_EQ(select(top + 1, &in, &out, &ex, &tv), 3);
	EXPECT(FD_ISSET(p.s, &in) && !FD_ISSET(q.s, &in) && !FD_ISSET(pipefd[0], &in));
	EXPECT(FD_ISSET(p.s, &out) && FD_ISSET(p.c, &out));
	EXPECT(!FD_ISSET(p.s, &ex));
	EXPECT_EQ(write(pipefd[1], "x", 1), 1);
	FD_ZERO(&in);
	FD_SET(p.s, &in);
	FD_SET(pipefd[0], &in);
	EXPECT_EQ(select(top + 1, &in, NULL, NULL, NULL), 2);
	FD_ZERO(&in);
	FD_SET(q.s, &in);
	tv = (struct timeval){ 0, 0 };
	EXPECT_EQ(select(top + 1, &in, NULL, NULL, &tv), 0);
	tv = (struct timeval){ 0, 30000 };
	EXPECT_EQ(select(0, NULL, NULL, NULL, &tv), 0);
	EXPECT_FAIL(select(-1, &in, NULL, NULL, &tv), EINVAL);
	FD_ZERO(&in);
	FD_SET(q.s, &in);
	close(q.s);
	tv = (struct timeval){ 1, 0 };
	EXPECT_FAIL(select(top + 1, &in, NULL, NULL, &tv), EBADF);
	q.s = -1;
	pair_close(&p);
	pair_close(&q);
	close(pipefd[0]);
	close(pipefd[1]);
}

/* The last number that fits a set, and poll far beyond it. */
CASE(high_descriptors)
{
	struct rlimit rl;
	struct pair p = pair_settled(FAM_4);
	struct timeval tv = { 2, 0 };
	fd_set in;
	int d, far;

	REQUIRE(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	if (rl.rlim_cur < 3000) {
		rl.rlim_cur = rl.rlim_max < 3000 ? rl.rlim_max : 3000;
		REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
	}
	d = dup2(p.s, FD_SETSIZE - 1);
	REQUIRE_EQ(d, FD_SETSIZE - 1);
	put_pat(p.c, 1, 0, 10, 0);
	FD_ZERO(&in);
	FD_SET(d, &in);
	EXPECT_EQ(select(FD_SETSIZE, &in, NULL, NULL, &tv), 1);
	EXPECT(FD_ISSET(d, &in));
	get_pat(d, 1, 0, 10, 0);
	FD_ZERO(&in);
	FD_SET(d, &in);
	tv = (struct timeval){ 0, 1000 };
	EXPECT_EQ(select(FD_SETSIZE, &in, NULL, NULL, &tv), 0);
	if (rl.rlim_cur >= 3000) {
		far = dup2(p.s, 2900);
		REQUIRE_EQ(far, 2900);
		put_pat(p.c, 1, 10, 10, 0);
		EXPECT_EQ(revents(far, POLLIN, 2000), POLLIN);
		get_pat(far, 1, 10, 10, 0);
		EXPECT_EQ(close(far), 0);
		PROVE_SMC(p.s, 0, 20);
	}
	EXPECT_EQ(close(d), 0);
	pair_close(&p);
}

/* ------------------------------------------------------------------- signals */

static void later_signal(void *arg)
{
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
}

CASE(ppoll_mask)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.s, .events = POLLIN };
	struct timespec ts = { 5, 0 };
	pthread_t me = pthread_self();
	sigset_t block, none;
	fd_set in;

	twin_ignore_signal(SIGUSR1);
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	REQUIRE(pthread_sigmask(SIG_BLOCK, &block, NULL) == 0);
	raise(SIGUSR1); /* pending: taken inside ppoll, at once */
	EXPECT_FAIL(ppoll(&pf, 1, &ts, &none), EINTR);
	EXPECT_EQ(twin_signals, 1);
	twin_later(50, later_signal, &me);
	EXPECT_FAIL(ppoll(&pf, 1, &ts, &none), EINTR);
	EXPECT_EQ(twin_signals, 2);
	FD_ZERO(&in);
	FD_SET(p.s, &in);
	twin_later(50, later_signal, &me);
	EXPECT_FAIL(pselect(p.s + 1, &in, NULL, NULL, &ts, &none), EINTR);
	EXPECT_EQ(twin_signals, 3);
	raise(SIGUSR1);
	ts = (struct timespec){ 0, 50000000 };
	EXPECT_EQ(ppoll(&pf, 1, &ts, NULL), 0); /* stays blocked */
	EXPECT_EQ(twin_signals, 3);
	EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &block, NULL), 0);
	EXPECT_EQ(twin_signals, 4);
	pair_close(&p);
}

/* -------------------------------------------------------- a server with poll */

/* One poll loop over many connections of a client process that sleeps at odd
 * times; everything echoed. */
#define CONNS 24
#define PER_CONN 60000

static struct sockaddr_storage srv_sa;
static socklen_t srv_len;

static void *chatter(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg, r = seed, off = 0;
	int fd = twin_connect(FAM_4, &srv_sa, srv_len);

	while (off < PER_CONN) {
		size_t n = 1 + rnd(&r) % 4000;

		if (n > PER_CONN - off)
			n = (size_t)(PER_CONN - off);
		put_pat(fd, seed, off, n, 0);
		get_pat(fd, seed, off, n, 0);
		off += n;
		if (rnd(&r) % 4 == 0)
			usleep((unsigned)(rnd(&r) % 3000));
	}
	close(fd);
	return NULL;
}

static void chatter_process(void *arg)
{
	pthread_t t[CONNS];

	for (uintptr_t i = 0; i < CONNS; i++)
		t[i] = twin_thread(chatter, (void *)(i + 1));
	for (int i = 0; i < CONNS; i++)
		twin_join(t[i]);
}

static void serve(bool with_select)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len), n = 1, closed = 0;
	pid_t pid = twin_fork(chatter_process, NULL);
	struct pollfd pf[CONNS + 1] = { { .fd = l, .events = POLLIN } };
	char b[5000];

	while (closed < CONNS) {
		fd_set in;

		if (with_select) {
			FD_ZERO(&in);
			for (int i = 0; i < n; i++)
				if (pf[i].fd >= 0)
					FD_SET(pf[i].fd, &in);
			REQUIRE(select(300, &in, NULL, NULL, NULL) > 0);
			for (int i = 0; i < n; i++)
				pf[i].revents = pf[i].fd >= 0 && FD_ISSET(pf[i].fd, &in) ? POLLIN
				                                                         : 0;
		} else {
			REQUIRE(poll(pf, (nfds_t)n, -1) > 0);
		}
		for (int i = n - 1; i >= 0; i--) {
			if (!pf[i].revents)
				continue;
			if (i == 0) {
				pf[n].fd = accept(l, NULL, NULL);
				REQUIRE(pf[n].fd > 2 && n <= CONNS);
				pf[n++].events = POLLIN;
				continue;
			}
			ssize_t r = recv(pf[i].fd, b, sizeof(b), MSG_DONTWAIT);

			REQUIRE(r >= 0); /* ready means ready */
			for (ssize_t at = 0; at < r;) {
				ssize_t w = send(pf[i].fd, b + at, (size_t)(r - at), MSG_NOSIGNAL);

				REQUIRE(w > 0);
				at += w;
			}
			if (r == 0) {
				close(pf[i].fd);
				pf[i].fd = -1;
				closed++;
			}
		}
	}
	twin_wait(pid);
	close(l);
}

CASE_T(poll_server, 20)
{
	serve(false);
}

CASE_T(select_server, 20)
{
	serve(true);
}

/* ---------------------------------------------- two threads poll one socket */

struct poller {
	int fd;
	int got;
};

static void *poller(void *arg)
{
	struct poller *p = arg;

	p->got = revents(p->fd, POLLIN, 5000);
	return NULL;
}

CASE(two_pollers_of_one_socket)
{
	struct pair p = pair_settled(FAM_4);
	struct poller a = { p.s, 0 }, b = { p.s, 0 };
	pthread_t ta = twin_thread(poller, &a), tb = twin_thread(poller, &b);

	sleep_ms(50);
	put_pat(p.c, 1, 0, 10, 0);
	twin_join(ta);
	twin_join(tb);
	EXPECT_EQ(a.got, POLLIN);
	EXPECT_EQ(b.got, POLLIN);
	pair_close(&p);
}
