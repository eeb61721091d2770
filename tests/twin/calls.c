/* SPDX-License-Identifier: Apache-2.0 */
/* Time-outs, interruption, ioctl, options, sendfile, splice, the mmsg pair. */
#include "twin.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/time.h>

static void took(uint64_t start, unsigned ms)
{
	uint64_t d = now_ms() - start;

	EXPECT_GE(d, ms - 1);
	EXPECT_LE(d, ms + 400);
}

/* ------------------------------------------------------------------ time-outs */

static void set_timeout(int fd, int what, unsigned ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 }, back;
	socklen_t len = sizeof(back);

	EXPECT_EQ(setsockopt(fd, SOL_SOCKET, what, &tv, sizeof(tv)), 0);
	EXPECT_EQ(getsockopt(fd, SOL_SOCKET, what, &back, &len), 0);
	EXPECT_EQ(back.tv_sec, tv.tv_sec);
	EXPECT_EQ(back.tv_usec, tv.tv_usec);
}

static void recv_timeouts(struct pair p)
{
	uint64_t t;
	char b[100];
	struct iovec iov = { b, 100 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	set_timeout(p.s, SO_RCVTIMEO, 100);
	t = now_ms();
	EXPECT_FAIL(recv(p.s, b, 100, 0), EAGAIN);
	took(t, 100);
	t = now_ms();
	EXPECT_FAIL(recvmsg(p.s, &m, 0), EAGAIN);
	took(t, 100);
	t = now_ms();
	EXPECT_FAIL(read(p.s, b, 100), EAGAIN);
	took(t, 100);
	t = now_ms();
	EXPECT_FAIL(recv(p.s, b, 100, MSG_PEEK), EAGAIN);
	took(t, 100);
	put_pat(p.c, 1, 0, 10, 0);
	t = now_ms();
	EXPECT_EQ(recv(p.s, b, 100, MSG_WAITALL), 10); /* what there is */
	took(t, 100);
	put_pat(p.c, 1, 10, 10, 0);
	get_pat(p.s, 1, 10, 10, 0);
	set_timeout(p.s, SO_RCVTIMEO, 0); /* none again */
	put_pat(p.c, 1, 20, 10, 0);
	get_pat(p.s, 1, 20, 10, 0);
}

CASE(rcvtimeo_settled)
{
	struct pair p = pair_settled(FAM_4);

	recv_timeouts(p);
	PROVE_SMC(p.s, 0, 30);
	pair_close(&p);
}

CASE(rcvtimeo_late)
{
	struct pair p = pair_open(FAM_4);

	recv_timeouts(p);
	pair_close(&p);
}

CASE(rcvtimeo_set_before_the_marriage)
{
	struct pair p = pair_open(FAM_4);
	uint64_t t;
	char b[4];

	set_timeout(p.s, SO_RCVTIMEO, 100);
	pair_settle(p);
	t = now_ms();
	EXPECT_FAIL(recv(p.s, b, 4, 0), EAGAIN);
	took(t, 100);
	pair_close(&p);
}

CASE(sndtimeo)
{
	struct pair p = pair_settled(FAM_4);
	size_t n = 64 << 20;
	char *b = calloc(1, n);
	uint64_t t = now_ms();
	ssize_t r;

	set_timeout(p.c, SO_SNDTIMEO, 100);
	r = send(p.c, b, n, MSG_NOSIGNAL); /* part of it went out */
	EXPECT(r > 0 && (size_t)r < n);
	EXPECT_GE(now_ms() - t, 99);
	t = now_ms();
	while ((r = send(p.c, b, 100000, MSG_NOSIGNAL)) > 0)
		t = now_ms();
	EXPECT_EQ(r, -1);
	EXPECT_EQ(errno, EAGAIN);
	took(t, 100);
	free(b);
	pair_close(&p);
}

CASE(rcvlowat)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.s, .events = POLLIN };
	int low = 100;
	char b[1000];

	EXPECT_EQ(setsockopt(p.s, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)), 0);
	put_pat(p.c, 1, 0, 50, 0);
	EXPECT_EQ(poll(&pf, 1, 50), 0);
	EXPECT_EQ(recv(p.s, b, 10, 0), 10); /* asked for less: no waiting */
	put_pat(p.c, 1, 50, 100, 0);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	EXPECT_EQ(recv(p.s, b, 1000, 0), 140);
	PAT_EXPECT(b, 1, 10, 140);
	pair_close(&p);
}

/* ----------------------------------------------------------------------- EINTR */

static void on_signal(int restart)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	sigaction(SIGUSR1, &sa, NULL);
	twin_ignore_signal(SIGUSR1);
	sigaction(SIGUSR1, NULL, &sa);
	sa.sa_flags = restart ? SA_RESTART : 0;
	sigaction(SIGUSR1, &sa, NULL);
}

static pthread_t victim;

static void hit(void *arg)
{
	pthread_kill(victim, SIGUSR1);
}

static int peer_fd;

static void hit_then_put(void *arg)
{
	pthread_kill(victim, SIGUSR1);
	sleep_ms(50);
	put_pat(peer_fd, 1, 0, 10, 0);
}

static void interrupt_receivers(struct pair p)
{
	struct pollfd pf = { .fd = p.s, .events = POLLIN };
	struct epoll_event ev = { .events = EPOLLIN };
	struct timeval tv = { 5, 0 };
	int ep = epoll_create1(0);
	fd_set in;
	char b[10];
	uint64_t t;

	victim = pthread_self();
	peer_fd = p.c;
	for (int restart = 0; restart < 2; restart++) {
		on_signal(restart);
		t = now_ms();
		if (restart) {
			twin_later(50, hit_then_put, NULL);
			EXPECT_EQ(recv(p.s, b, 10, 0), 10); /* goes on waiting */
			EXPECT_GE(now_ms() - t, 95);
			twin_later(50, hit_then_put, NULL);
			EXPECT_EQ(read(p.s, b, 10), 10);
		} else {
			twin_later(50, hit, NULL);
			EXPECT_FAIL(recv(p.s, b, 10, 0), EINTR);
			took(t, 50);
			twin_later(50, hit, NULL);
			EXPECT_FAIL(read(p.s, b, 10), EINTR);
		}
		EXPECT_EQ(twin_signals, 2);
		/* the readiness calls never restart */
		twin_later(50, hit, NULL);
		EXPECT_FAIL(poll(&pf, 1, 5000), EINTR);
		FD_ZERO(&in);
		FD_SET(p.s, &in);
		twin_later(50, hit, NULL);
		EXPECT_FAIL(select(p.s + 1, &in, NULL, NULL, &tv), EINTR);
		if (!restart)
			EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p.s, &ev), 0);
		twin_later(50, hit, NULL);
		EXPECT_FAIL(epoll_wait(ep, &ev, 1, 5000), EINTR);
		EXPECT_EQ(twin_signals, 5);
	}
	/* with a time-out set, SA_RESTART does not help: EINTR */
	set_timeout(p.s, SO_RCVTIMEO, 5000);
	twin_later(50, hit, NULL);
	EXPECT_FAIL(recv(p.s, b, 10, 0), EINTR);
	close(ep);
}

CASE(interrupted_settled)
{
	struct pair p = pair_settled(FAM_4);

	interrupt_receivers(p);
	PROVE_SMC(p.s, 0, 20);
	pair_close(&p);
}

CASE(interrupted_late)
{
	struct pair p = pair_open(FAM_4);

	interrupt_receivers(p);
	pair_close(&p);
}

CASE(interrupted_send)
{
	struct pair p = pair_settled(FAM_4);
	size_t n = 64 << 20;
	char *b = calloc(1, n);
	ssize_t r;

	victim = pthread_self();
	on_signal(0);
	twin_later(100, hit, NULL);
	r = send(p.c, b, n, 0); /* what it has sent by then */
	EXPECT(r > 0 && (size_t)r < n);
	EXPECT_EQ(twin_signals, 1);
	while (send(p.c, b, 100000, MSG_DONTWAIT) > 0)
		;
	twin_later(100, hit, NULL);
	EXPECT_FAIL(send(p.c, b, 100000, 0), EINTR);
	EXPECT_EQ(twin_signals, 2);
	free(b);
	pair_close(&p);
}

CASE(interrupted_accept)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len);

	victim = pthread_self();
	on_signal(0);
	twin_later(50, hit, NULL);
	EXPECT_FAIL(accept(l, NULL, NULL), EINTR);
	close(l);
}

/* A handler that itself sends and receives, while its thread is blocked. */
static struct pair in_handler;

static void talk_in_handler(int sig)
{
	put_pat(in_handler.c, 1, 0, 10, 0);
	get_pat(in_handler.s, 1, 0, 10, 0);
	twin_signals++;
}

static void hits_then_put(void *arg)
{
	for (int i = 0; i < 20; i++) {
		pthread_kill(victim, SIGUSR1);
		stage_wait(&twin_signals, i + 1); /* or two become one */
	}
	put_pat(peer_fd, 1, 0, 10, 0);
}

CASE(calls_in_a_signal_handler)
{
	struct pair p = pair_settled(FAM_4);
	struct sigaction sa = { .sa_handler = talk_in_handler, .sa_flags = SA_RESTART };
	char b[10];

	in_handler = pair_settled(FAM_4);
	victim = pthread_self();
	peer_fd = p.c;
	sigaction(SIGUSR1, &sa, NULL);
	twin_later(20, hits_then_put, NULL);
	EXPECT_EQ(recv(p.s, b, 10, 0), 10);
	EXPECT_EQ(twin_signals, 20);
	pair_close(&in_handler);
	pair_close(&p);
}

/* ------------------------------------------------------------------- ioctl */

static void bad_ioctl(int fd)
{
#if TWIN_SLOW == 1
	EXPECT_FAIL(ioctl(fd, FIONREAD, NULL), EFAULT);
#endif
}

CASE(how_much_is_there)
{
	struct pair p = pair_settled(FAM_4);
	int n = -1;

	EXPECT_EQ(ioctl(p.s, FIONREAD, &n), 0);
	EXPECT_EQ(n, 0);
	put_pat(p.c, 1, 0, 1000, 0);
	for (int i = 0; i < 1000 && n != 1000; i++) {
		EXPECT_EQ(ioctl(p.s, FIONREAD, &n), 0);
		usleep(500);
	}
	EXPECT_EQ(n, 1000);
	EXPECT_EQ(ioctl(p.s, SIOCINQ, &n), 0);
	EXPECT_EQ(n, 1000);
	get_pat(p.s, 1, 0, 400, 0);
	EXPECT_EQ(ioctl(p.s, FIONREAD, &n), 0);
	EXPECT_EQ(n, 600);
	get_pat(p.s, 1, 400, 600, 0);
	EXPECT_EQ(ioctl(p.s, FIONREAD, &n), 0);
	EXPECT_EQ(n, 0);
	PROVE_SMC(p.s, 0, 1000);
	for (int i = 0; i < 1000 && n == 0; i++) { /* TCP: acknowledged in the end */
		EXPECT_EQ(ioctl(p.c, SIOCOUTQ, &n), 0);
		if (n == 0)
			break;
		n = 0;
		usleep(500);
	}
	EXPECT_EQ(n, 0);
	bad_ioctl(p.s);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	expect_eof(p.s);
	EXPECT_EQ(ioctl(p.s, FIONREAD, &n), 0);
	EXPECT_EQ(n, 0);
	pair_close(&p);
}

/* Bytes of both paths are counted. */
CASE(how_much_over_the_switch)
{
	struct pair p = pair_open(FAM_4);
	int n = 0;

	for (int i = 1; i <= 30; i++) {
		put_pat(p.c, 1, (uint64_t)(i - 1) * 500, 500, 0);
		for (int j = 0; j < 1000; j++) {
			EXPECT_EQ(ioctl(p.s, FIONREAD, &n), 0);
			if (n == i * 500)
				break;
			usleep(500);
		}
		EXPECT_EQ(n, i * 500);
		usleep(500);
	}
	get_pat(p.s, 1, 0, 15000, 0);
	pair_close(&p);
}

CASE(listener_ioctl)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), n;

	EXPECT_FAIL(ioctl(l, FIONREAD, &n), EINVAL);
	close(l);
}

/* ----------------------------------------------------------------- options */

static int option(int fd, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof(v);

	EXPECT_EQ(getsockopt(fd, level, name, &v, &len), 0);
	EXPECT_EQ(len, sizeof(v));
	return v;
}

static void options_of(int fd)
{
	int v;
	socklen_t len = sizeof(v);

	EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
	EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	EXPECT_EQ(option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
	EXPECT_EQ(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	EXPECT_EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	for (v = 1; v >= 0; v--) {
		EXPECT_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)), 0);
		EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), v);
		EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)), 0);
		EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), v);
		EXPECT_EQ(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &v, sizeof(v)), 0);
		EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_CORK), v);
		EXPECT_EQ(setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &v, sizeof(v)), 0);
	}
	v = 30000;
	EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, sizeof(v)), 0);
	EXPECT_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 60000);
	EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
	EXPECT_EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 60000);
	EXPECT_FAIL(setsockopt(fd, SOL_SOCKET, 9999, &v, sizeof(v)), ENOPROTOOPT);
	EXPECT_FAIL(getsockopt(fd, SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
	EXPECT_FAIL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, 1), EINVAL);
}

CASE(options)
{
	struct pair p = pair_settled(FAM_4);

	options_of(p.c);
	options_of(p.s);
	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
}

CASE(small_buffers)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len), v = 4096;

	p.c = twin_socket(FAM_4, 0);
	EXPECT_EQ(setsockopt(p.c, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
	EXPECT_EQ(setsockopt(p.c, SOL_SOCKET, SO_RCVBUF, &v, sizeof(v)), 0);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&sa, len), 0);
	p.s = accept(l, NULL, NULL);
	close(l);
	pair_settle(p);
	for (uint64_t off = 0; off < 100000; off += 1000) {
		put_pat(p.c, 1, off, 1000, 0);
		get_pat(p.s, 1, off, 1000, 0);
		put_pat(p.s, 2, off, 1000, 0);
		get_pat(p.c, 2, off, 1000, 0);
	}
	pair_close(&p);
}

CASE(tcp_info)
{
	struct pair p = pair_settled(FAM_4);
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	EXPECT_EQ(getsockopt(p.c, IPPROTO_TCP, TCP_INFO, &ti, &len), 0);
	EXPECT_EQ(ti.tcpi_state, TCP_ESTABLISHED);
	pair_close(&p);
}

/* --------------------------------------------------------- sendfile, splice */

static int pattern_file(size_t n)
{
	int fd = memfd_create("pattern", 0);
	char b[65536];

	REQUIRE(fd > 2);
	for (size_t off = 0; off < n;) {
		size_t part = n - off < sizeof(b) ? n - off : sizeof(b);

		pat_fill(b, 1, off, part);
		REQUIRE_EQ(pwrite(fd, b, part, (off_t)off), part);
		off += part;
	}
	return fd;
}

#define FILE_BYTES (3 << 20)

static void client_sendfile(int fd)
{
	int f = pattern_file(FILE_BYTES);
	off_t at = 1000;

	for (size_t left = FILE_BYTES - 1000; left;) {
		ssize_t r = sendfile(fd, f, &at, left);

		REQUIRE(r > 0);
		left -= (size_t)r;
		EXPECT_EQ(at, FILE_BYTES - left);
	}
	EXPECT_EQ(lseek(f, 0, SEEK_CUR), 0); /* with an offset, the file's stays */
	EXPECT_EQ(lseek(f, 500, SEEK_SET), 500);
	for (size_t left = 100000; left;) {
		ssize_t r = sendfile(fd, f, NULL, left);

		REQUIRE(r > 0);
		left -= (size_t)r;
	}
	EXPECT_EQ(lseek(f, 0, SEEK_CUR), 100500);
	at = FILE_BYTES - 10;
	EXPECT_EQ(sendfile(fd, f, &at, 1000), 10); /* stops at the end */
	EXPECT_EQ(sendfile(fd, f, &at, 1000), 0);
	EXPECT_EQ(sendfile(fd, f, &at, 0), 0);
	at = -5;
	EXPECT_FAIL(sendfile(fd, f, &at, 10), EINVAL);
	PROVE_IF_SETTLED(fd, 200000, 0);
	close(f);
	close(fd);
}

static void server_sendfile(int fd)
{
	get_pat(fd, 1, 1000, FILE_BYTES - 1000, 0);
	get_pat(fd, 1, 500, 100000, 0);
	get_pat(fd, 1, FILE_BYTES - 10, 10, 0);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(sendfile)

CASE(sendfile_nonblocking)
{
	struct pair p = pair_settled(FAM_4);
	int f = pattern_file(FILE_BYTES * 4);
	off_t at = 0;
	uint64_t got = 0;
	char b[50000];
	ssize_t r;

	twin_nonblock(p.c, true);
	while (got < FILE_BYTES * 4) {
		while (at < FILE_BYTES * 4 &&
		       (r = sendfile(p.c, f, &at, (size_t)(FILE_BYTES * 4 - at))) > 0)
			;
		if (at < FILE_BYTES * 4)
			EXPECT_EQ(errno, EAGAIN);
		r = recv(p.s, b, sizeof(b), 0);
		REQUIRE(r > 0);
		PAT_EXPECT(b, 1, got, (size_t)r);
		got += (uint64_t)r;
	}
	EXPECT_EQ(at, FILE_BYTES * 4);
	PROVE_SMC(p.c, 100000, 0);
	close(f);
	pair_close(&p);
}

CASE(sendfile_to_closed)
{
	struct pair p = pair_settled(FAM_4);
	struct pollfd pf = { .fd = p.c, .events = POLLIN };
	int f = pattern_file(1000);
	off_t at = 0;

	twin_ignore_signal(SIGPIPE);
	put_pat(p.c, 1, 0, 10, 0);
	close(p.s);
	EXPECT_EQ(poll(&pf, 1, 2000), 1);
	EXPECT_FAIL(sendfile(p.c, f, &at, 1000), ECONNRESET);
	EXPECT_FAIL(sendfile(p.c, f, &at, 1000), EPIPE);
	EXPECT_EQ(twin_signals, 1);
	close(f);
	close(p.c);
}

/* From the socket by way of a pipe into a file, and from a pipe to the socket. */
static void client_splice(int fd)
{
	int pipefd[2];
	char b[10000];

	REQUIRE(pipe(pipefd) == 0);
	put_pat(fd, 1, 0, 300000, 0);
	for (uint64_t off = 300000; off < 600000; off += 10000) {
		size_t left = 10000;

		pat_fill(b, 1, off, 10000);
		REQUIRE_EQ(write(pipefd[1], b, 10000), 10000);
		while (left) {
			ssize_t r = splice(pipefd[0], NULL, fd, NULL, left, SPLICE_F_MOVE);

			REQUIRE(r > 0);
			left -= (size_t)r;
		}
	}
	PROVE_IF_SETTLED(fd, 100000, 0);
	close(pipefd[0]);
	close(pipefd[1]);
	EXPECT_EQ(shutdown(fd, SHUT_WR), 0);
	get_pat(fd, 2, 0, 1000, 0);
	expect_eof(fd);
	close(fd);
}

static void server_splice(int fd)
{
	int pipefd[2];
	char b[70000];
	uint64_t got = 0;
	ssize_t r;

	REQUIRE(pipe(pipefd) == 0);
	while ((r = splice(fd, NULL, pipefd[1], NULL, 65536, SPLICE_F_MOVE)) > 0) {
		ssize_t n = read(pipefd[0], b, (size_t)r);

		REQUIRE_EQ(n, r);
		PAT_EXPECT(b, 1, got, (size_t)r);
		got += (uint64_t)r;
	}
	EXPECT_EQ(r, 0);
	EXPECT_EQ(got, 600000);
	put_pat(fd, 2, 0, 1000, 0);
	close(pipefd[0]);
	close(pipefd[1]);
	close(fd);
}
PAIR_CASE(splice)

CASE(splice_nonblocking)
{
	struct pair p = pair_settled(FAM_4);
	int pipefd[2];
	char b[100];

	REQUIRE(pipe(pipefd) == 0);
	twin_nonblock(p.s, true);
	EXPECT_FAIL(splice(p.s, NULL, pipefd[1], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
	put_pat(p.c, 1, 0, 100, 0);
	EXPECT_EQ(splice(p.s, NULL, pipefd[1], NULL, 1000, 0), 100);
	EXPECT_EQ(read(pipefd[0], b, 100), 100);
	PAT_EXPECT(b, 1, 0, 100);
	EXPECT_FAIL(splice(p.s, NULL, p.c, NULL, 100, 0), EINVAL);
	close(pipefd[0]);
	close(pipefd[1]);
	pair_close(&p);
}

/* --------------------------------------------------------------- mmsg, cmsg */

CASE(mmsg)
{
	struct pair p = pair_settled(FAM_4);
	char out[400], in[1000];
	struct iovec iov[4], riov[3] = { { in, 150 }, { in + 150, 250 }, { in + 400, 600 } };
	struct mmsghdr m[4], r[3];
	struct timespec ts = { 2, 0 };

	memset(m, 0, sizeof(m));
	memset(r, 0, sizeof(r));
	pat_fill(out, 1, 0, 400);
	for (int i = 0; i < 4; i++) {
		iov[i] = (struct iovec){ out + 100 * i, 100 };
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (int i = 0; i < 3; i++) {
		r[i].msg_hdr.msg_iov = &riov[i];
		r[i].msg_hdr.msg_iovlen = 1;
	}
	EXPECT_EQ(sendmmsg(p.c, m, 4, 0), 4);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(m[i].msg_len, 100);
	for (int n = 0, i = 0; i < 1000 && n < 400; i++) {
		ioctl(p.s, FIONREAD, &n);
		usleep(500);
	}
	EXPECT_EQ(recvmmsg(p.s, r, 3, MSG_DONTWAIT, NULL), 2);
	EXPECT_EQ(r[0].msg_len, 150);
	EXPECT_EQ(r[1].msg_len, 250);
	PAT_EXPECT(in, 1, 0, 400);
	EXPECT_FAIL(recvmmsg(p.s, r, 3, MSG_DONTWAIT, NULL), EAGAIN);
	EXPECT_EQ(sendmmsg(p.c, m, 1, 0), 1);
	EXPECT_EQ(recvmmsg(p.s, r, 3, MSG_WAITFORONE, &ts), 1);
	EXPECT_EQ(sendmmsg(p.c, m, 0, 0), 0);
	PROVE_SMC(p.s, 0, 500);
	pair_close(&p);
}

CASE(control_messages)
{
	struct pair p = pair_settled(FAM_4);
	char b[10], control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { b, 10 };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = control,
		            .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = 77; /* nothing that exists */
	c->cmsg_len = CMSG_LEN(sizeof(int));
	EXPECT_FAIL(sendmsg(p.c, &m, 0), EINVAL);
	m.msg_control = NULL;
	m.msg_controllen = 0;
	EXPECT_EQ(sendmsg(p.c, &m, 0), 10);
	EXPECT_EQ(recv(p.s, b, 10, MSG_WAITALL), 10);
	EXPECT_FAIL(recv(p.s, b, 1, MSG_DONTWAIT), EAGAIN);
	pair_close(&p);
}

/* Signal-driven input: wherever it goes, the signal comes. */
CASE(async_signal)
{
	struct pair p = pair_settled(FAM_4);

	twin_ignore_signal(SIGIO);
	EXPECT_EQ(fcntl(p.s, F_SETOWN, getpid()), 0);
	EXPECT_EQ(fcntl(p.s, F_GETOWN), getpid());
	EXPECT_EQ(fcntl(p.s, F_SETFL, fcntl(p.s, F_GETFL) | O_ASYNC), 0);
	put_pat(p.c, 1, 0, 10, 0);
	for (int i = 0; i < 1000 && !twin_signals; i++)
		sleep_ms(1);
	EXPECT_GE(twin_signals, 1);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(fcntl(p.s, F_SETFL, fcntl(p.s, F_GETFL) & ~O_ASYNC), 0);
	pair_close(&p);
}
