/* SPDX-License-Identifier: Apache-2.0 */
/* Non-blocking sockets: every way to make one, full and empty, connect(). */
#include "twin.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/ioctl.h>

static int poll_for(int fd, short events, int ms)
{
	struct pollfd pf = { .fd = fd, .events = events };

	return poll(&pf, 1, ms) == 1 ? pf.revents : 0;
}

static void would_block(int fd)
{
	struct iovec iov;
	char b[10];
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	iov = (struct iovec){ b, 10 };
	EXPECT_FAIL(recv(fd, b, 10, 0), EAGAIN);
	EXPECT_FAIL(read(fd, b, 10), EAGAIN);
	EXPECT_FAIL(readv(fd, &iov, 1), EAGAIN);
	EXPECT_FAIL(recvmsg(fd, &m, 0), EAGAIN);
	EXPECT_FAIL(recv(fd, b, 10, MSG_PEEK), EAGAIN);
	EXPECT_FAIL(recv(fd, b, 10, MSG_WAITALL), EAGAIN);
}

CASE(ways_to_set)
{
	struct pair p = pair_settled(FAM_4);
	int on = 1, off = 0;

	twin_nonblock(p.s, true);
	EXPECT(fcntl(p.s, F_GETFL) & O_NONBLOCK);
	would_block(p.s);
	twin_nonblock(p.s, false);
	EXPECT(!(fcntl(p.s, F_GETFL) & O_NONBLOCK));
	put_pat(p.c, 1, 0, 10, 0);
	get_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(ioctl(p.s, FIONBIO, &on), 0);
	EXPECT(fcntl(p.s, F_GETFL) & O_NONBLOCK);
	would_block(p.s);
	EXPECT_EQ(ioctl(p.s, FIONBIO, &off), 0);
	EXPECT(!(fcntl(p.s, F_GETFL) & O_NONBLOCK));
	PROVE_SMC(p.s, 0, 10);
	pair_close(&p);
}

/* The flag belongs to the open file description: a duplicate has it too. */
CASE(flag_is_shared_by_duplicates)
{
	struct pair p = pair_settled(FAM_4);
	int d = dup(p.s);

	twin_nonblock(d, true);
	would_block(p.s);
	EXPECT(fcntl(p.s, F_GETFL) & O_NONBLOCK);
	close(d);
	would_block(p.s);
	pair_close(&p);
}

CASE(set_at_birth)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len);

	EXPECT_EQ(fcntl(l, F_SETFL, O_NONBLOCK), 0);
	EXPECT_FAIL(accept(l, NULL, NULL), EAGAIN);
	EXPECT_FAIL(accept4(l, NULL, NULL, SOCK_NONBLOCK), EAGAIN);
	p.c = twin_socket(FAM_4, SOCK_NONBLOCK | SOCK_CLOEXEC);
	EXPECT_EQ(fcntl(p.c, F_GETFD), FD_CLOEXEC);
	if (connect(p.c, (struct sockaddr *)&sa, len) < 0)
		EXPECT_EQ(errno, EINPROGRESS);
	EXPECT(poll_for(l, POLLIN, 2000) & POLLIN);
	p.s = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	REQUIRE(p.s > 2);
	EXPECT(poll_for(p.c, POLLOUT, 2000) & POLLOUT);
	pair_settle(p);
	would_block(p.c);
	would_block(p.s);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT(poll_for(p.s, POLLIN, 2000) & POLLIN);
	get_pat(p.s, 1, 0, 10, 0);
	PROVE_SMC(p.s, 0, 10);
	pair_close(&p);
	/* accept() does not hand the listener's flag on */
	p.c = twin_connect(FAM_4, &sa, len);
	EXPECT(poll_for(l, POLLIN, 2000) & POLLIN);
	p.s = accept(l, NULL, NULL);
	EXPECT(!(fcntl(p.s, F_GETFL) & O_NONBLOCK));
	pair_close(&p);
	close(l);
}

/* Fill, drain, fill again; contents right; writable exactly when it should be. */
static void fill_and_drain(struct pair p, int rounds, bool settled)
{
	uint64_t sent = 0, got = 0;
	char b[20000];
	ssize_t r;

	twin_nonblock(p.c, true);
	twin_nonblock(p.s, true);
	for (int i = 0; i < rounds; i++) {
		for (;;) {
			pat_fill(b, 1, sent, sizeof(b));
			r = send(p.c, b, sizeof(b), 0);
			if (r < 0)
				break;
			REQUIRE(r > 0);
			sent += (uint64_t)r;
		}
		EXPECT_EQ(errno, EAGAIN);
		EXPECT_EQ(poll_for(p.c, POLLOUT, 0), 0);
		EXPECT(poll_for(p.s, POLLIN, 1000) & POLLIN);
		EXPECT_GE(sent - got, 65536);
		while (got < sent) {
			if (!(poll_for(p.s, POLLIN, 2000) & POLLIN)) {
				twin_note("%llu of %llu bytes came", (unsigned long long)got,
				          (unsigned long long)sent);
				REQUIRE(!"data arrive");
			}
			r = recv(p.s, b, sizeof(b), 0);
			REQUIRE(r > 0);
			PAT_EXPECT(b, 1, got, (size_t)r);
			got += (uint64_t)r;
		}
		EXPECT_FAIL(recv(p.s, b, 1, 0), EAGAIN);
		EXPECT(poll_for(p.c, POLLOUT, 2000) & POLLOUT);
	}
	if (settled) {
		PROVE_SMC(p.c, 100000, 0);
		PROVE_SMC(p.s, 0, 100000);
	}
}

CASE(fill_drain_settled)
{
	struct pair p = pair_settled(FAM_4);

	fill_and_drain(p, 4, true);
	pair_close(&p);
}

CASE(fill_drain_late)
{
	struct pair p = pair_open(FAM_4);

	fill_and_drain(p, 4, false);
	pair_close(&p);
}

/* Bound to shared memory while TCP's buffers are full of unread data. */
CASE(fill_then_bind)
{
	struct pair p = pair_open(FAM_4);
	uint64_t sent = 0, got = 0;
	char b[20000];
	ssize_t r;

	twin_nonblock(p.c, true);
	for (;;) {
		pat_fill(b, 1, sent, sizeof(b));
		r = send(p.c, b, sizeof(b), 0);
		if (r < 0)
			break;
		sent += (uint64_t)r;
	}
	sleep_ms(50);
	twin_nonblock(p.c, false);
	while (got < sent) {
		r = recv(p.s, b, sizeof(b), 0);
		REQUIRE(r > 0);
		PAT_EXPECT(b, 1, got, (size_t)r);
		got += (uint64_t)r;
	}
	pair_settle(p);
	put_pat(p.c, 1, sent, 1000, 0);
	get_pat(p.s, 1, sent, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
}

/* A non-blocking writer against a blocking reader in another place. */
static void client_nb_writer(int fd)
{
	uint64_t off = 0, all = 6 << 20;
	char b[50000];

	twin_nonblock(fd, true);
	while (off < all) {
		size_t n = all - off < sizeof(b) ? (size_t)(all - off) : sizeof(b);
		ssize_t r;

		pat_fill(b, 1, off, n);
		r = send(fd, b, n, MSG_NOSIGNAL);
		if (r < 0 && errno == EAGAIN) {
			REQUIRE(poll_for(fd, POLLOUT, 5000) & POLLOUT);
			continue;
		}
		REQUIRE(r > 0);
		off += (uint64_t)r;
	}
	PROVE_IF_SETTLED(fd, 100000, 0);
	close(fd);
}

static void server_nb_writer(int fd)
{
	get_pat(fd, 1, 0, 6 << 20, 10007);
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(nb_writer)

static void client_nb_reader(int fd)
{
	put_pat(fd, 1, 0, 6 << 20, 70001);
	PROVE_IF_SETTLED(fd, 100000, 0);
	close(fd);
}

static void server_nb_reader(int fd)
{
	uint64_t off = 0;
	char b[40000];

	twin_nonblock(fd, true);
	for (;;) {
		ssize_t r = recv(fd, b, sizeof(b), 0);

		if (r < 0 && errno == EAGAIN) {
			REQUIRE(poll_for(fd, POLLIN, 5000) & POLLIN);
			continue;
		}
		REQUIRE(r >= 0);
		if (r == 0)
			break;
		PAT_EXPECT(b, 1, off, (size_t)r);
		off += (uint64_t)r;
	}
	EXPECT_EQ(off, 6 << 20);
	close(fd);
}
PAIR_CASE(nb_reader)

/* ---------------------------------------------------------------- connect */

static int so_error(int fd)
{
	int e = -1;
	socklen_t len = sizeof(e);

	EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	return e;
}

CASE(connect_nonblocking)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len);

	p.c = twin_socket(FAM_4, SOCK_NONBLOCK);
	EXPECT_FAIL(connect(p.c, (struct sockaddr *)&sa, len), EINPROGRESS);
	EXPECT_EQ(poll_for(p.c, POLLOUT, 2000), POLLOUT);
	EXPECT_EQ(so_error(p.c), 0);
	/* Linux: the next call reports success, the one after it EISCONN */
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&sa, len), 0);
	EXPECT_FAIL(connect(p.c, (struct sockaddr *)&sa, len), EISCONN);
	p.s = accept(l, NULL, NULL);
	REQUIRE(p.s > 2);
	twin_nonblock(p.c, false);
	pair_settle(p);
	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	put_pat(p.s, 2, 0, 1000, 0);
	get_pat(p.c, 2, 0, 1000, 0);
	EXPECT_FAIL(connect(p.c, (struct sockaddr *)&sa, len), EISCONN);
	EXPECT_FAIL(listen(p.c, 1), EINVAL);
	PROVE_SMC(p.c, 1000, 1000);
	pair_close(&p);
	close(l);
}

/* Neither poll nor a second connect: straight to data. */
CASE(connect_nonblocking_then_send)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len);

	p.c = twin_socket(FAM_4, SOCK_NONBLOCK);
	EXPECT_FAIL(connect(p.c, (struct sockaddr *)&sa, len), EINPROGRESS);
	put_pat(p.c, 1, 0, 100, 0);
	p.s = accept(l, NULL, NULL);
	REQUIRE(p.s > 2);
	get_pat(p.s, 1, 0, 100, 0);
	pair_settle(p);
	put_pat(p.c, 1, 100, 100, 0);
	get_pat(p.s, 1, 100, 100, 0);
	PROVE_SMC(p.s, 0, 100);
	pair_close(&p);
	close(l);
}

CASE(connect_refused)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int l = twin_listen(FAM_4, &sa, &len), fd;

	close(l); /* now nobody listens there */
	fd = twin_socket(FAM_4, 0);
	EXPECT_FAIL(connect(fd, (struct sockaddr *)&sa, len), ECONNREFUSED);
	EXPECT_EQ(so_error(fd), 0);
	EXPECT_FAIL(connect(fd, (struct sockaddr *)&sa, len), ECONNREFUSED);
	close(fd);
	fd = twin_socket(FAM_4, SOCK_NONBLOCK);
	EXPECT_FAIL(connect(fd, (struct sockaddr *)&sa, len), EINPROGRESS);
	EXPECT(poll_for(fd, POLLOUT, 2000) & POLLERR);
	EXPECT_EQ(so_error(fd), ECONNREFUSED);
	EXPECT_EQ(so_error(fd), 0); /* once only */
	close(fd);
}

/* A socket whose first connect failed is used for a second one. */
CASE(connect_again_after_refusal)
{
	struct sockaddr_storage dead, sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &dead, &len);

	close(l);
	p.c = twin_socket(FAM_4, 0);
	EXPECT_FAIL(connect(p.c, (struct sockaddr *)&dead, len), ECONNREFUSED);
	l = twin_listen(FAM_4, &sa, &len);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&sa, len), 0);
	p.s = accept(l, NULL, NULL);
	pair_settle(p);
	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
	close(l);
}

/* Dissolved with AF_UNSPEC, then connected anew: another connection. */
CASE(connect_unspec_and_again)
{
	struct sockaddr_storage sa;
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	socklen_t len;
	struct pair p;
	char b[4];
	int l = twin_listen(FAM_4, &sa, &len);

	p.c = twin_connect(FAM_4, &sa, len);
	p.s = accept(l, NULL, NULL);
	pair_settle(p);
	put_pat(p.c, 1, 0, 100, 0);
	get_pat(p.s, 1, 0, 100, 0);
	EXPECT_EQ(connect(p.c, &none, sizeof(none)), 0);
	EXPECT_FAIL(recv(p.c, b, 1, MSG_DONTWAIT), ECONNRESET);
	EXPECT_FAIL(recv(p.c, b, 1, MSG_DONTWAIT), ENOTCONN);
	EXPECT_FAIL(recv(p.s, b, 1, 0), ECONNRESET);
	close(p.s);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&sa, len), 0);
	p.s = accept(l, NULL, NULL);
	pair_settle(p);
	put_pat(p.c, 3, 0, 1000, 0);
	get_pat(p.s, 3, 0, 1000, 0);
	pair_close(&p);
	close(l);
}

CASE(bind_before_connect)
{
	struct sockaddr_in me = { .sin_family = AF_INET };
	struct sockaddr_storage sa;
	socklen_t len, ml = sizeof(me);
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len);

	me.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	p.c = twin_socket(FAM_4, 0);
	EXPECT_EQ(bind(p.c, (struct sockaddr *)&me, sizeof(me)), 0);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&sa, len), 0);
	p.s = accept(l, (struct sockaddr *)&me, &ml);
	EXPECT_EQ(me.sin_addr.s_addr, htonl(INADDR_LOOPBACK + 1));
	pair_settle(p);
	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
	close(l);
}

/* Bound to the wildcard and reached by another address of the host. */
CASE(wildcard_listener)
{
	struct sockaddr_in me = { .sin_family = AF_INET };
	socklen_t ml = sizeof(me);
	struct pair p;
	int l = socket(AF_INET, SOCK_STREAM, 0);

	REQUIRE(l > 2);
	EXPECT_EQ(bind(l, (struct sockaddr *)&me, sizeof(me)), 0);
	EXPECT_EQ(listen(l, 5), 0);
	EXPECT_EQ(listen(l, 50), 0); /* nginx does it twice */
	EXPECT_EQ(getsockname(l, (struct sockaddr *)&me, &ml), 0);
	me.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 77);
	p.c = twin_socket(FAM_4, 0);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&me, sizeof(me)), 0);
	p.s = accept(l, NULL, NULL);
	pair_settle(p);
	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
	close(l);
}

CASE(listen_shutdown_listen)
{
	struct sockaddr_storage sa;
	socklen_t len;
	struct pair p;
	int l = twin_listen(FAM_4, &sa, &len);

	EXPECT_EQ(shutdown(l, SHUT_RD), 0);
	EXPECT_FAIL(accept(l, NULL, NULL), EINVAL);
	EXPECT_EQ(listen(l, 5), 0);
	len = sizeof(sa); /* the port was not asked for by number: a new one */
	EXPECT_EQ(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	p.c = twin_connect(FAM_4, &sa, len);
	p.s = accept(l, NULL, NULL);
	REQUIRE(p.s > 2);
	pair_settle(p);
	put_pat(p.c, 1, 0, 1000, 0);
	get_pat(p.s, 1, 0, 1000, 0);
	PROVE_SMC(p.s, 0, 1000);
	pair_close(&p);
	close(l);
}

/* A socket that is connected to itself (simultaneous open): stays right. */
CASE(connected_to_itself)
{
	struct sockaddr_in me = { .sin_family = AF_INET };
	socklen_t ml = sizeof(me);
	int fd = twin_socket(FAM_4, 0);

	me.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(bind(fd, (struct sockaddr *)&me, sizeof(me)), 0);
	EXPECT_EQ(getsockname(fd, (struct sockaddr *)&me, &ml), 0);
	EXPECT_EQ(connect(fd, (struct sockaddr *)&me, sizeof(me)), 0);
	for (int i = 0; i < 20; i++) {
		put_pat(fd, 1, (uint64_t)i * 1000, 1000, 0);
		sleep_ms(1);
		get_pat(fd, 1, (uint64_t)i * 1000, 1000, 0);
	}
	close(fd);
}
