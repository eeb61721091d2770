/* SPDX-License-Identifier: Apache-2.0 */
/* The data calls: every way to send against every way to receive, addresses,
 * lengths, zero lengths, bad arguments, and both directions at once. */
#include "twin.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <openism/openism.h>

ssize_t __read_chk(int fd, void *buf, size_t n, size_t buflen);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *from,
                       socklen_t *len);
ssize_t __read(int fd, void *buf, size_t n);
ssize_t __write(int fd, const void *buf, size_t n);
ssize_t __send(int fd, const void *buf, size_t n, int flags);

static const size_t sizes[] = { 1,      2,      3,      7,      64,     1000,    4095,
	                        4096,   4097,   16384,  65535,  65536,  65537,   131072,
	                        262143, 262144, 262145, 524288, 999999, 1048576, 3145728 };
#define NSIZES (sizeof(sizes) / sizeof(sizes[0]))

/* Echo of every size, one message at a time. */
static void client_echo(int fd)
{
	uint64_t off = 0;

	for (size_t i = 0; i < NSIZES; i++) {
		put_pat(fd, 1, off, sizes[i], 0);
		get_pat(fd, 2, off, sizes[i], 0);
		off += sizes[i];
	}
	PROVE_IF_SETTLED(fd, 200000, 200000);
	EXPECT_EQ(close(fd), 0);
}

static void server_echo(int fd)
{
	uint64_t off = 0;

	for (size_t i = 0; i < NSIZES; i++) {
		get_pat(fd, 1, off, sizes[i], 0);
		put_pat(fd, 2, off, sizes[i], 0);
		off += sizes[i];
	}
	PROVE_IF_SETTLED(fd, 200000, 200000);
	expect_eof(fd);
	EXPECT_EQ(close(fd), 0);
}
PAIR_CASE_FULL(echo)

/* Many small messages: the ring wraps at odd places. */
static void client_small(int fd)
{
	uint64_t off = 0, r = 7;

	for (int i = 0; i < 3000; i++) {
		size_t n = 1 + rnd(&r) % 700;

		put_pat(fd, 1, off, n, 0);
		get_pat(fd, 2, off, n, 0);
		off += n;
	}
	PROVE_IF_SETTLED(fd, off, off);
	close(fd);
}

static void server_small(int fd)
{
	uint64_t off = 0, r = 7;

	for (int i = 0; i < 3000; i++) {
		size_t n = 1 + rnd(&r) % 700;

		get_pat(fd, 1, off, n, 0);
		put_pat(fd, 2, off, n, 0);
		off += n;
	}
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(small)

/* Both directions at once, sizes at random, two threads on each side. */
#define DUPLEX_BYTES (8u << 20)

static void *duplex_sender(void *arg)
{
	int fd = ((int *)arg)[0];
	uint64_t seed = (uint64_t)((int *)arg)[1], r = seed * 77, off = 0;

	while (off < DUPLEX_BYTES) {
		size_t n = 1 + rnd(&r) % 100000;

		if (n > DUPLEX_BYTES - off)
			n = DUPLEX_BYTES - off;
		put_pat(fd, seed, off, n, 0);
		off += n;
	}
	return NULL;
}

static void duplex_side(int fd, int mine, int other)
{
	int arg[2] = { fd, mine };
	pthread_t t = twin_thread(duplex_sender, arg);

	get_pat(fd, (uint64_t)other, 0, DUPLEX_BYTES, 30011);
	twin_join(t);
	PROVE_IF_SETTLED(fd, DUPLEX_BYTES / 4, DUPLEX_BYTES / 4);
	close(fd);
}

static void client_duplex(int fd)
{
	duplex_side(fd, 1, 2);
}

static void server_duplex(int fd)
{
	duplex_side(fd, 2, 1);
}
PAIR_CASE_FULL(duplex)

/* ---------------------------------------------- every call with every call */

#define CALL_BYTES 5000

static ssize_t w_write(int fd, void *b, size_t n)
{
	return write(fd, b, n);
}
static ssize_t w_alias(int fd, void *b, size_t n)
{
	return __write(fd, b, n);
}
static ssize_t w_send(int fd, void *b, size_t n)
{
	return send(fd, b, n, 0);
}
static ssize_t w_send_alias(int fd, void *b, size_t n)
{
	return __send(fd, b, n, 0);
}
static ssize_t w_sendto(int fd, void *b, size_t n)
{
	return sendto(fd, b, n, 0, NULL, 0);
}

static int split(struct iovec *iov, void *b, size_t n)
{
	char *p = b;

	iov[0] = (struct iovec){ p, 1 };
	iov[1] = (struct iovec){ p, 0 };
	iov[2] = (struct iovec){ p + 1, n / 2 };
	iov[3] = (struct iovec){ p + 1 + n / 2, n - 1 - n / 2 };
	iov[4] = (struct iovec){ NULL, 0 };
	return 5;
}

static ssize_t w_writev(int fd, void *b, size_t n)
{
	struct iovec iov[5];

	return writev(fd, iov, split(iov, b, n));
}
static ssize_t w_pwritev2(int fd, void *b, size_t n)
{
	struct iovec iov[5];

	return pwritev2(fd, iov, split(iov, b, n), -1, 0);
}
static ssize_t w_sendmsg(int fd, void *b, size_t n)
{
	struct iovec iov[5];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)split(iov, b, n) };

	return sendmsg(fd, &m, 0);
}
static ssize_t w_sendmmsg(int fd, void *b, size_t n)
{
	char *p = b;
	struct iovec a = { p, 10 }, c = { p + 10, n - 10 };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &a, .msg_iovlen = 1 } },
		                { .msg_hdr = { .msg_iov = &c, .msg_iovlen = 1 } } };

	if (sendmmsg(fd, m, 2, 0) != 2 || m[0].msg_len != 10)
		return -1;
	return (ssize_t)(m[0].msg_len + m[1].msg_len);
}

static ssize_t r_read(int fd, void *b, size_t n)
{
	return read(fd, b, n);
}
static ssize_t r_alias(int fd, void *b, size_t n)
{
	return __read(fd, b, n);
}
static ssize_t r_read_chk(int fd, void *b, size_t n)
{
	return __read_chk(fd, b, n, CALL_BYTES);
}
static ssize_t r_recv(int fd, void *b, size_t n)
{
	return recv(fd, b, n, 0);
}
static ssize_t r_recv_chk(int fd, void *b, size_t n)
{
	return __recv_chk(fd, b, n, CALL_BYTES, 0);
}
static ssize_t r_recvfrom(int fd, void *b, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	ssize_t r = recvfrom(fd, b, n, 0, (struct sockaddr *)&sa, &len);

	EXPECT_EQ(len, 0); /* TCP names no sender */
	return r;
}
static ssize_t r_recvfrom_null(int fd, void *b, size_t n)
{
	return recvfrom(fd, b, n, 0, NULL, NULL);
}
static ssize_t r_recvfrom_chk(int fd, void *b, size_t n)
{
	return __recvfrom_chk(fd, b, n, CALL_BYTES, 0, NULL, NULL);
}
static ssize_t r_readv(int fd, void *b, size_t n)
{
	struct iovec iov[5];

	return readv(fd, iov, split(iov, b, n));
}
static ssize_t r_preadv2(int fd, void *b, size_t n)
{
	struct iovec iov[5];

	return preadv2(fd, iov, split(iov, b, n), -1, 0);
}
static ssize_t r_recvmsg(int fd, void *b, size_t n)
{
	struct iovec iov[5];
	struct sockaddr_storage sa;
	char control[64];
	struct msghdr m = { .msg_iov = iov,
		            .msg_iovlen = (size_t)split(iov, b, n),
		            .msg_name = &sa,
		            .msg_namelen = sizeof(sa),
		            .msg_control = control,
		            .msg_controllen = sizeof(control),
		            .msg_flags = -1 };
	ssize_t r = recvmsg(fd, &m, 0);

	EXPECT_EQ(m.msg_namelen, 0);
	EXPECT_EQ(m.msg_controllen, 0);
	EXPECT_EQ(m.msg_flags, 0);
	return r;
}
static ssize_t r_recvmmsg(int fd, void *b, size_t n)
{
	struct iovec iov = { b, n };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

	if (recvmmsg(fd, &m, 1, 0, NULL) != 1)
		return -1;
	return (ssize_t)m.msg_len;
}

typedef ssize_t io_fn(int fd, void *b, size_t n);
static io_fn *const writers[] = { w_write,  w_alias,    w_send,    w_send_alias, w_sendto,
	                          w_writev, w_pwritev2, w_sendmsg, w_sendmmsg };
static io_fn *const readers[] = { r_read,     r_alias,    r_read_chk,      r_recv,
	                          r_recv_chk, r_recvfrom, r_recvfrom_null, r_recvfrom_chk,
	                          r_readv,    r_preadv2,  r_recvmsg,       r_recvmmsg };
#define NW (sizeof(writers) / sizeof(writers[0]))
#define NR (sizeof(readers) / sizeof(readers[0]))

static void all_calls(int from, int to)
{
	char in[CALL_BYTES], out[CALL_BYTES];
	uint64_t off = 0;

	for (size_t w = 0; w < NW; w++) {
		for (size_t r = 0; r < NR; r++) {
			size_t got = 0;

			pat_fill(out, 3, off, CALL_BYTES);
			errno = 4242;
			if (writers[w](from, out, CALL_BYTES) != CALL_BYTES) {
				twin_fail(__FILE__, __LINE__, "writer %zu: errno %d", w, errno);
				twin_die();
			}
			while (got < CALL_BYTES) {
				ssize_t n = readers[r](to, in + got, CALL_BYTES - got);

				if (n <= 0) {
					twin_fail(__FILE__, __LINE__, "reader %zu: %zd, errno %d",
					          r, n, errno);
					twin_die();
				}
				got += (size_t)n;
			}
			EXPECT_EQ(errno, 4242);
			PAT_EXPECT(in, 3, off, CALL_BYTES);
			off += CALL_BYTES;
		}
	}
}

CASE(all_calls)
{
	struct pair p = pair_settled(FAM_4);
	uint64_t all = (uint64_t)NW * NR * CALL_BYTES;

	all_calls(p.c, p.s);
	all_calls(p.s, p.c);
	PROVE_SMC(p.c, all, all);
	PROVE_SMC(p.s, all, all);
	pair_close(&p);
}

CASE(all_calls_late)
{
	struct pair p = pair_open(FAM_4);

	all_calls(p.c, p.s);
	all_calls(p.s, p.c);
	pair_close(&p);
}

/* One thread, no waiting for anything: as python's socket tests do. */
CASE(self_in_one_thread)
{
	for (int i = 0; i < 50; i++) {
		struct pair p = pair_open(FAM_4);

		put_pat(p.c, 1, 0, 1000, 0);
		put_pat(p.s, 2, 0, 1000, 0);
		get_pat(p.s, 1, 0, 1000, 0);
		get_pat(p.c, 2, 0, 1000, 0);
		pair_close(&p);
	}
}

/* ---------------------------------------------------------------- addresses */

static void addresses(enum twin_fam fam)
{
	struct sockaddr_storage sa, a, b, c;
	socklen_t len, la = sizeof(a), lb = sizeof(b), lc = sizeof(c);
	int l = twin_listen(fam, &sa, &len), cfd, sfd;

	cfd = twin_connect(fam, &sa, len);
	memset(&a, 0, sizeof(a));
	sfd = accept(l, (struct sockaddr *)&a, &la);
	REQUIRE(sfd > 2);
	if (fam != FAM_MIXED) {
		/* what accept() said is the client's own name, and so on */
		memset(&b, 0, sizeof(b));
		REQUIRE(getsockname(cfd, (struct sockaddr *)&b, &lb) == 0);
		EXPECT_EQ(la, lb);
		EXPECT(memcmp(&a, &b, la) == 0);
	}
	lb = sizeof(b);
	memset(&b, 0, sizeof(b));
	REQUIRE(getpeername(sfd, (struct sockaddr *)&b, &lb) == 0);
	EXPECT_EQ(la, lb);
	EXPECT(memcmp(&a, &b, la) == 0);
	memset(&c, 0, sizeof(c));
	REQUIRE(getpeername(cfd, (struct sockaddr *)&c, &lc) == 0);
	EXPECT_EQ(lc, len);
	EXPECT(memcmp(&c, &sa, lc) == 0);
	pair_settle((struct pair){ cfd, sfd });
	lb = sizeof(b);
	REQUIRE(getpeername(sfd, (struct sockaddr *)&b, &lb) == 0);
	EXPECT(memcmp(&a, &b, la) == 0);
	lb = 3; /* too short: filled as far as it goes, true length told */
	memset(&b, 0x55, sizeof(b));
	REQUIRE(getpeername(sfd, (struct sockaddr *)&b, &lb) == 0);
	EXPECT_EQ(lb, la);
	EXPECT(memcmp(&a, &b, 3) == 0 && ((char *)&b)[3] == 0x55);
	close(cfd);
	close(sfd);
	close(l);
}

CASE(addresses_v4)
{
	addresses(FAM_4);
}
CASE(addresses_v6)
{
	addresses(FAM_6);
}
CASE(addresses_mapped)
{
	addresses(FAM_MAPPED);
}
CASE(addresses_mixed)
{
	addresses(FAM_MIXED);
}

CASE(accept_address_arguments)
{
	struct sockaddr_storage sa, a;
	socklen_t len, la = 2;
	int l = twin_listen(FAM_4, &sa, &len), c[4], s[4];

	for (int i = 0; i < 4; i++)
		c[i] = twin_connect(FAM_4, &sa, len);
	memset(&a, 0x55, sizeof(a));
	s[0] = accept(l, (struct sockaddr *)&a, &la); /* short */
	EXPECT(s[0] > 2);
	EXPECT_EQ(la, sizeof(struct sockaddr_in));
	EXPECT(a.ss_family == AF_INET && ((char *)&a)[2] == 0x55);
	s[1] = accept(l, NULL, NULL);
	EXPECT(s[1] > 2);
	s[2] = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	EXPECT(s[2] > 2);
	EXPECT_EQ(fcntl(s[2], F_GETFD), FD_CLOEXEC);
	EXPECT(fcntl(s[2], F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(fcntl(s[1], F_GETFD), 0);
	EXPECT_FAIL(accept4(l, NULL, NULL, 0x12345), EINVAL);
	la = sizeof(a);
	s[3] = accept(l, (struct sockaddr *)&a, &la);
	for (int i = 0; i < 4; i++) {
		put_pat(c[i], 1, 0, 100, 0);
		if (i == 2) {
			struct pair p = { c[i], s[i] };

			twin_nonblock(s[2], false);
			pair_settle(p);
		}
		get_pat(s[i], 1, 0, 100, 0);
		close(c[i]);
		close(s[i]);
	}
	close(l);
}

CASE(sendto_with_address)
{
	struct pair p = pair_settled(FAM_4);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char b[10];

	/* on a connected TCP socket the address counts for nothing */
	REQUIRE(getpeername(p.c, (struct sockaddr *)&sa, &len) == 0);
	EXPECT_EQ(sendto(p.c, "hello", 5, 0, (struct sockaddr *)&sa, len), 5);
	EXPECT_EQ(recv(p.s, b, 10, 0), 5);
	PROVE_SMC(p.s, 0, 5);
	pair_close(&p);
}

/* ------------------------------------------------------------ odd arguments */

CASE(zero_length)
{
	struct pair p = pair_settled(FAM_4);
	struct iovec none = { NULL, 0 };
	struct msghdr m = { .msg_iov = &none, .msg_iovlen = 0 };
	char b[8];

	EXPECT_EQ(send(p.c, "x", 0, 0), 0);
	EXPECT_EQ(write(p.c, "x", 0), 0);
	EXPECT_EQ(writev(p.c, &none, 1), 0);
	EXPECT_EQ(writev(p.c, NULL, 0), 0);
	EXPECT_EQ(sendmsg(p.c, &m, 0), 0);
	EXPECT_EQ(read(p.s, b, 0), 0);
	EXPECT_EQ(readv(p.s, NULL, 0), 0);
	EXPECT_EQ(readv(p.s, &none, 1), 0);
	EXPECT_FAIL(recv(p.s, b, 0, MSG_DONTWAIT), EAGAIN);
	EXPECT_FAIL(recv(p.s, b, 8, MSG_DONTWAIT), EAGAIN); /* nothing came */
	EXPECT_EQ(send(p.c, "abc", 3, 0), 3);
	EXPECT_EQ(recv(p.s, b, 0, 0), 0);
	EXPECT_EQ(read(p.s, b, 0), 0);
	EXPECT_EQ(recvmsg(p.s, &m, 0), 0);
	EXPECT_EQ(recv(p.s, b, 8, 0), 3);
	PROVE_SMC(p.s, 0, 3);
	pair_close(&p);
}

CASE(bad_arguments)
{
	struct pair p = pair_settled(FAM_4);
	struct iovec iov[2] = { { twin_bad, 10 }, { NULL, 0 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 1025 };
	char b[100];
	int pipefd[2], fd;

	SKIP_IF_SANITIZED("it checks pointers itself");
	EXPECT_FAIL(send(p.c, twin_bad, 10, MSG_NOSIGNAL), EFAULT);
	EXPECT_FAIL(write(p.c, twin_bad, 10), EFAULT);
	EXPECT_FAIL(writev(p.c, iov, 1), EFAULT);
	twin_odd = -1;
	EXPECT_FAIL(writev(p.c, iov, twin_odd), EINVAL);
	twin_odd = 1025;
	EXPECT_FAIL(writev(p.c, iov, twin_odd), EINVAL);
	EXPECT_FAIL(sendmsg(p.c, &m, 0), EMSGSIZE);
	EXPECT_FAIL(recv(p.s, b, 10, MSG_DONTWAIT), EAGAIN);
	put_pat(p.c, 1, 0, 10, 0);
	EXPECT_FAIL(recv(p.s, twin_bad, 10, 0), EFAULT);
	EXPECT_FAIL(read(p.s, twin_bad, 10), EFAULT);
	get_pat(p.s, 1, 0, 10, 0); /* it is still there */
	EXPECT_FAIL(recv(p.s, b, 10, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
	EXPECT_FAIL(pread(p.s, b, 10, 0), ESPIPE);
	EXPECT_FAIL(pwrite(p.s, b, 10, 0), ESPIPE);
	EXPECT_FAIL(lseek(p.s, 0, SEEK_SET), ESPIPE);
	PROVE_SMC(p.s, 0, 10);
	fd = p.c;
	pair_close(&p);
	EXPECT_FAIL(send(fd, "x", 1, MSG_NOSIGNAL), EBADF);
	EXPECT_FAIL(recv(fd, b, 1, 0), EBADF);
	EXPECT_FAIL(close(fd), EBADF);
	EXPECT_FAIL(shutdown(fd, SHUT_RDWR), EBADF);
	EXPECT_FAIL(close(-1), EBADF);
	EXPECT_FAIL(recv(-1, b, 1, 0), EBADF);
	EXPECT_FAIL(send(1 << 30, b, 1, 0), EBADF);
	REQUIRE(pipe(pipefd) == 0);
	EXPECT_FAIL(send(pipefd[1], "x", 1, 0), ENOTSOCK);
	EXPECT_FAIL(recv(pipefd[0], b, 1, 0), ENOTSOCK);
	EXPECT_FAIL(accept(pipefd[0], NULL, NULL), ENOTSOCK);
	close(pipefd[0]);
	close(pipefd[1]);
}

CASE(read_only_memory)
{
	struct pair p = pair_settled(FAM_4);
	static const char constant[4096] = "in .rodata";

	SKIP_IF_SANITIZED("it checks pointers itself");
	put_pat(p.c, 1, 0, 1000, 0);
	EXPECT_FAIL(recv(p.s, (void *)(uintptr_t)constant, 1000, 0), EFAULT);
	get_pat(p.s, 1, 0, 1000, 0);
	EXPECT_EQ(send(p.c, constant, 4096, 0), 4096);
	pair_close(&p);
}

CASE(unconnected)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd = twin_socket(FAM_4, 0);
	char b[4];

	EXPECT_FAIL(recv(fd, b, 4, 0), ENOTCONN);
	EXPECT_FAIL(send(fd, b, 4, MSG_NOSIGNAL), EPIPE);
	EXPECT_FAIL(getpeername(fd, (struct sockaddr *)&sa, &len), ENOTCONN);
	EXPECT_FAIL(shutdown(fd, SHUT_RDWR), ENOTCONN);
	EXPECT_FAIL(accept(fd, NULL, NULL), EINVAL);
	close(fd);
	fd = twin_listen(FAM_4, &sa, &len);
	EXPECT_FAIL(recv(fd, b, 4, 0), ENOTCONN);
	EXPECT_FAIL(send(fd, b, 4, MSG_NOSIGNAL), EPIPE);
	close(fd);
}

CASE(still_a_socket)
{
	struct pair p = pair_settled(FAM_4);
	struct stat st;
	char path[64], link[64];
	ssize_t n;

	EXPECT_EQ(fstat(p.c, &st), 0);
	EXPECT(S_ISSOCK(st.st_mode));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p.c);
	n = readlink(path, link, sizeof(link) - 1);
	REQUIRE(n > 0);
	link[n] = '\0';
	EXPECT(strncmp(link, "socket:", 7) == 0);
	put_pat(p.c, 1, 0, 10, 0);
	get_pat(p.s, 1, 0, 10, 0);
	PROVE_SMC(p.c, 10, 0);
	pair_close(&p);
}

CASE(errno_is_preserved)
{
	struct pair p;
	struct sockaddr_storage sa;
	socklen_t len;
	int l, one = 1, v;
	char b[100];

	errno = 4242;
	l = twin_listen(FAM_4, &sa, &len);
	EXPECT_EQ(errno, 4242);
	p.c = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(errno, 4242);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&sa, len), 0);
	EXPECT_EQ(errno, 4242);
	p.s = accept(l, NULL, NULL);
	EXPECT_EQ(errno, 4242);
	pair_settle(p);
	EXPECT_EQ(errno, 4242);
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(send(p.c, b, 100, 0), 100);
		EXPECT_EQ(recv(p.s, b, 100, 0), 100);
		EXPECT_EQ(setsockopt(p.c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
		len = sizeof(v);
		EXPECT_EQ(getsockopt(p.c, IPPROTO_TCP, TCP_NODELAY, &v, &len), 0);
		EXPECT_EQ(fcntl(p.c, F_SETFL, fcntl(p.c, F_GETFL)), 0);
		EXPECT_EQ(errno, 4242);
	}
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	EXPECT_EQ(recv(p.s, b, 100, 0), 0);
	EXPECT_EQ(close(p.c), 0);
	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(close(l), 0);
	EXPECT_EQ(errno, 4242);
}

/* More than 2 GiB asked for, into memory that is not there yet: only what is
 * filled may come into being. */
CASE(huge_length)
{
	struct pair p = pair_settled(FAM_4);
	size_t big = (size_t)3 << 30;
	char *area = mmap(NULL, big, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct rusage before, after;

	SKIP_IF_SANITIZED("it checks pointers itself");
	REQUIRE(area != MAP_FAILED);
	getrusage(RUSAGE_SELF, &before);
	put_pat(p.c, 1, 0, 5000, 0);
	EXPECT_EQ(recv(p.s, area, big, 0), 5000);
	PAT_EXPECT(area, 1, 0, 5000);
	put_pat(p.c, 1, 0, 5000, 0);
	EXPECT_EQ(read(p.s, area, big), 5000);
	getrusage(RUSAGE_SELF, &after);
	EXPECT_LE(after.ru_maxrss - before.ru_maxrss, 20000); /* KiB */
	munmap(area, big);
	PROVE_SMC(p.s, 0, 10000);
	pair_close(&p);
}
