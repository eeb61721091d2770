/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and processes: dup, close of everything, fork, vfork, exec. */
#include "twin.h"

#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern char **environ;

static void talk(struct pair p, uint64_t seed)
{
	put_pat(p.c, seed, 0, 5000, 0);
	get_pat(p.s, seed, 0, 5000, 0);
	put_pat(p.s, seed + 1, 0, 5000, 0);
	get_pat(p.c, seed + 1, 0, 5000, 0);
}

/* -------------------------------------------------------------------- dup */

static int dup_how(int how, int fd)
{
	switch (how) {
	case 0:
		return dup(fd);
	case 1:
		return dup2(fd, 100);
	case 2:
		return dup3(fd, 101, O_CLOEXEC);
	case 3:
		return fcntl(fd, F_DUPFD, 50);
	default:
		return fcntl(fd, F_DUPFD_CLOEXEC, 60);
	}
}

CASE(every_dup)
{
	for (int how = 0; how < 5; how++) {
		struct pair p = pair_settled(FAM_4);
		int d = dup_how(how, p.s), old = p.s;

		REQUIRE(d > 2 && d != p.s);
		EXPECT_EQ(fcntl(d, F_GETFD), how == 2 || how == 4 ? FD_CLOEXEC : 0);
		EXPECT(how != 3 || d >= 50);
		EXPECT(how != 4 || d >= 60);
		put_pat(p.c, 1, 0, 100, 0);
		get_pat(p.s, 1, 0, 50, 0);
		get_pat(d, 1, 50, 50, 0); /* one stream, two names */
		EXPECT_EQ(close(p.s), 0);
		EXPECT_FAIL(recv(old, &how, 1, MSG_DONTWAIT), EBADF);
		p.s = d;
		talk(p, 3);
		PROVE_SMC(d, 5000, 5100);
		pair_close(&p);
	}
}

/* The peer sees the end only when the last name is closed. */
CASE(last_name_closes)
{
	struct pair p = pair_settled(FAM_4);
	int d = dup(p.s), e = dup(d);
	char b[4];

	EXPECT_EQ(close(p.s), 0);
	EXPECT_EQ(close(d), 0);
	sleep_ms(20);
	EXPECT_FAIL(recv(p.c, b, 1, MSG_DONTWAIT), EAGAIN);
	EXPECT_EQ(close(e), 0);
	expect_eof(p.c);
	EXPECT_EQ(close(p.c), 0);
}

CASE(shutdown_through_a_duplicate)
{
	struct pair p = pair_settled(FAM_4);
	int d = dup(p.s);

	EXPECT_EQ(shutdown(d, SHUT_WR), 0);
	expect_eof(p.c);
	EXPECT_FAIL(send(p.s, "x", 1, MSG_NOSIGNAL), EPIPE);
	close(d);
	pair_close(&p);
}

CASE(dup_before_the_marriage)
{
	struct pair p = pair_open(FAM_4);
	int d = dup(p.s), old = p.s;

	EXPECT_EQ(close(old), 0); /* the row named this number */
	p.s = d;
	for (int i = 0; i < 30; i++) {
		talk(p, (uint64_t)i);
		sleep_ms(1);
	}
	pair_close(&p);
}

CASE(dup2_over_a_connection)
{
	struct pair p = pair_settled(FAM_4), q = pair_settled(FAM_4);

	EXPECT_EQ(dup2(q.s, p.s), p.s); /* p's end is closed by that */
	expect_eof(p.c);
	put_pat(q.c, 1, 0, 100, 0);
	get_pat(p.s, 1, 0, 100, 0);
	EXPECT_EQ(close(q.s), 0);
	q.s = p.s;
	p.s = -1;
	talk(q, 5);
	PROVE_SMC(q.c, 5100, 5000);
	pair_close(&p);
	pair_close(&q);
}

CASE(dup2_odd)
{
	struct pair p = pair_settled(FAM_4);

	EXPECT_EQ(dup2(p.s, p.s), p.s);
	EXPECT_FAIL(dup3(p.s, p.s, 0), EINVAL);
	EXPECT_FAIL(dup2(p.s, -1), EBADF);
	EXPECT_FAIL(dup2(900001, p.s), EBADF);
	EXPECT_FAIL(fcntl(p.s, F_DUPFD, -1), EINVAL);
	EXPECT_FAIL(dup3(p.s, 77, 12345), EINVAL);
	talk(p, 1);
	PROVE_SMC(p.c, 5000, 5000);
	pair_close(&p);
}

/* A number that was a connection is a file, then a pipe, then a socket again. */
CASE(number_reused_for_other_things)
{
	struct pair p = pair_settled(FAM_4);
	int n = p.s, pipefd[2], f;
	char b[10];

	EXPECT_EQ(dup2(p.s, 200), 200);
	EXPECT_EQ(close(p.s), 0);
	f = open("/dev/zero", O_RDWR);
	REQUIRE(f > 2);
	if (f != n) {
		REQUIRE_EQ(dup2(f, n), n);
		close(f);
	}
	EXPECT_EQ(read(n, b, 10), 10);
	EXPECT_FAIL(recv(n, b, 10, 0), ENOTSOCK);
	EXPECT_EQ(close(n), 0);
	REQUIRE(pipe(pipefd) == 0);
	REQUIRE(dup2(pipefd[0], 200) == 200); /* over the duplicate */
	expect_eof(p.c);
	EXPECT_EQ(write(pipefd[1], "pipe", 4), 4);
	EXPECT_EQ(read(200, b, 10), 4);
	EXPECT_EQ(close(200), 0);
	close(pipefd[0]);
	close(pipefd[1]);
	close(p.c);
	p = pair_settled(FAM_4);
	talk(p, 1);
	PROVE_SMC(p.c, 5000, 5000);
	pair_close(&p);
}

/* Closed where the library cannot see it (fclose, a raw system call), the number
 * taken again by a file: it must be treated as what it is now. */
CASE(closed_behind_the_library)
{
	struct pair p = pair_settled(FAM_4);
	int n = p.s, f;
	char b[10];

	REQUIRE(syscall(SYS_close, n) == 0);
	expect_eof(p.c);
	f = open("/dev/zero", O_RDWR);
	if (f != n) {
		REQUIRE_EQ(dup2(f, n), n);
		close(f);
	}
	EXPECT_EQ(read(n, b, 10), 10);
	EXPECT_EQ(write(n, b, 10), 10);
	EXPECT_EQ(close(n), 0);
	close(p.c);
}

CASE(closed_behind_and_connected_anew)
{
	for (int i = 0; i < 20; i++) {
		struct pair p = pair_open(FAM_4);

		if (i & 1)
			pair_settle(p);
		talk(p, 1);
		REQUIRE(syscall(SYS_close, p.c) == 0);
		REQUIRE(syscall(SYS_close, p.s) == 0);
		p = pair_open(FAM_4);
		talk(p, 7);
		sleep_ms(2);
		talk(p, 9);
		pair_close(&p);
	}
}

/* stdio on a socket: what is read and closed inside libc. */
CASE(stdio)
{
	struct pair p = pair_settled(FAM_4);
	FILE *in, *out;
	char line[100];

	put_pat(p.c, 1, 0, 100, 0);
	get_pat(p.s, 1, 0, 100, 0);
	out = fdopen(p.c, "w");
	in = fdopen(p.s, "r");
	REQUIRE(in && out);
	for (int i = 0; i < 200; i++) {
		fprintf(out, "line %d\n", i);
		fflush(out);
		REQUIRE(fgets(line, sizeof(line), in) != NULL);
		EXPECT_EQ(atoi(line + 5), i);
	}
	EXPECT_EQ(dprintf(p.c, "direct\n"), 7);
	REQUIRE(fgets(line, sizeof(line), in) != NULL);
	EXPECT(strcmp(line, "direct\n") == 0);
	EXPECT_EQ(fclose(out), 0);
	EXPECT(fgets(line, sizeof(line), in) == NULL);
	EXPECT(feof(in));
	EXPECT_EQ(fclose(in), 0);
}

/* ----------------------------------------------------- closing everything */

static void after_everything(struct pair keep)
{
	struct pair p = pair_open(FAM_4);

	talk(keep, 1);
	talk(p, 3);
	sleep_ms(20);
	talk(keep, 5);
	talk(p, 7);
	pair_close(&p);
	for (int i = 0; i < 10; i++) { /* the library may have to start anew */
		p = pair_open(FAM_4);
		sleep_ms(3);
		talk(p, 9);
		pair_close(&p);
	}
	pair_close(&keep);
}

static struct pair keep_low(void)
{
	struct pair p = pair_settled(FAM_4), k = { 3, 4 };

	talk(p, 1);
	/* out of the way first: one of them may be 3 or 4 already */
	p.c = fcntl(p.c, F_DUPFD, 20);
	p.s = fcntl(p.s, F_DUPFD, 20);
	REQUIRE(p.c >= 20 && p.s >= 20);
	REQUIRE(dup2(p.c, k.c) == k.c && dup2(p.s, k.s) == k.s);
	return k;
}

static void run_child(void (*fn)(void *))
{
	twin_wait(twin_fork(fn, NULL));
}

static void child_close_loop(void *arg)
{
	struct pair k = keep_low();

	for (int fd = 5; fd < 1024; fd++)
		close(fd);
	after_everything(k);
}

static void child_close_range(void *arg)
{
	struct pair k = keep_low();

	EXPECT_EQ(close_range(5, ~0u, 0), 0);
	after_everything(k);
}

static void child_close_range_cloexec(void *arg)
{
	struct pair k = keep_low();

	EXPECT_EQ(close_range(5, ~0u, CLOSE_RANGE_CLOEXEC), 0);
	EXPECT_EQ(fcntl(20, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	EXPECT_EQ(close_range(5, ~0u, 0), 0);
	after_everything(k);
}

static void child_closefrom(void *arg)
{
	struct pair k = keep_low();

	closefrom(5);
	after_everything(k);
}

static void child_raw_close_range(void *arg)
{
	struct pair k = keep_low();

	EXPECT_EQ(syscall(SYS_close_range, 5u, ~0u, 0u), 0);
	after_everything(k);
}

CASE(close_loop)
{
	run_child(child_close_loop);
}
CASE(close_range_all)
{
	run_child(child_close_range);
}
CASE(close_range_cloexec)
{
	run_child(child_close_range_cloexec);
}
CASE(closefrom_all)
{
	run_child(child_closefrom);
}
CASE(raw_close_range)
{
	run_child(child_raw_close_range);
}

/* Connections among what is closed: their peers see the end. */
static void child_close_range_peers(void *arg)
{
	struct pair k = keep_low(), p = pair_settled(FAM_4);
	int low = dup2(p.c, 5);

	REQUIRE_EQ(low, 5);
	put_pat(p.s, 1, 0, 100, 0);
	put_pat(p.c, 2, 0, 100, 0);
	get_pat(p.s, 2, 0, 100, 0);
	get_pat(p.c, 1, 0, 100, 0);
	EXPECT_EQ(close_range(6, ~0u, 0), 0);
	expect_eof(5);
	close(5);
	after_everything(k);
}

CASE(close_range_closes_connections)
{
	run_child(child_close_range_peers);
}

/* The library's descriptors: high, close-on-exec, never 0, 1, 2. */
static void child_no_stdio(void *arg)
{
	struct pair p;
	struct sockaddr_in me = { .sin_family = AF_INET };
	socklen_t len = sizeof(me);
	int l, fds[3];

	close(0);
	close(1);
	close(2);
	l = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(l, 0);
	me.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(bind(l, (struct sockaddr *)&me, sizeof(me)), 0);
	EXPECT_EQ(listen(l, 5), 0);
	EXPECT_EQ(getsockname(l, (struct sockaddr *)&me, &len), 0);
	p.c = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(p.c, 1);
	EXPECT_EQ(connect(p.c, (struct sockaddr *)&me, len), 0);
	p.s = accept(l, NULL, NULL);
	EXPECT_EQ(p.s, 2);
	pair_settle(p);
	talk(p, 1);
	PROVE_SMC(p.c, 5000, 5000);
	fds[0] = open("/dev/null", O_RDONLY);
	fds[1] = open("/dev/null", O_RDONLY);
	fds[2] = open("/dev/null", O_RDONLY);
	EXPECT(fds[1] == fds[0] + 1 && fds[2] == fds[1] + 1 && fds[0] < 20);
}

CASE(without_stdio)
{
	run_child(child_no_stdio);
}

CASE(lowest_number_is_given)
{
	int a = open("/dev/null", O_RDONLY), b;
	struct pair p;

	close(a);
	p = pair_open(FAM_4); /* listener a, client a + 1, accepted a + 2 */
	EXPECT_EQ(p.c, a + 1);
	EXPECT_EQ(p.s, a + 2);
	pair_settle(p);
	talk(p, 1);
	b = open("/dev/null", O_RDONLY);
	EXPECT_EQ(b, a);
	close(b);
	pair_close(&p);
}

CASE(numbers_of_the_library_can_be_taken)
{
	struct pair p = pair_settled(FAM_4);

	talk(p, 1);
	for (int n = 900; n < 1024; n++) {
		REQUIRE_EQ(dup2(p.s, n), n);
		EXPECT_EQ(fcntl(n, F_GETFD), 0);
	}
	talk(p, 3);
	put_pat(p.c, 5, 0, 100, 0);
	get_pat(1000, 5, 0, 100, 0);
	for (int n = 900; n < 1024; n++)
		EXPECT_EQ(close(n), 0);
	talk(p, 7);
	pair_close(&p);
	p = pair_open(FAM_4);
	talk(p, 1);
	pair_close(&p);
}

static void child_few_descriptors(void *arg)
{
	struct rlimit rl;
	struct pair p;
	int fds[64], n = 0;

	REQUIRE(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	rl.rlim_cur = 40;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
	p = pair_open(FAM_4);
	talk(p, 1);
	sleep_ms(10);
	talk(p, 1);
	while (n < 64 && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	EXPECT_EQ(errno, EMFILE);
	EXPECT_FAIL(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
	talk(p, 3);
	while (n)
		close(fds[--n]);
	pair_close(&p);
	_exit(0); /* the library's own lie below the limit: not to be counted */
}

CASE(few_descriptors_allowed)
{
	run_child(child_few_descriptors);
}

/* -------------------------------------------------------------------- fork */

static struct sockaddr_storage srv_sa;
static socklen_t srv_len;

static void echo_clients(void *arg)
{
	int n = *(int *)arg;

	for (int i = 0; i < n; i++) {
		int fd = twin_connect(FAM_4, &srv_sa, srv_len);

		for (uint64_t off = 0; off < 20000; off += 2000) {
			put_pat(fd, (uint64_t)i, off, 2000, 0);
			get_pat(fd, (uint64_t)i, off, 2000, 0);
			if (off % 8000 == 0)
				sleep_ms(2);
		}
		shutdown(fd, SHUT_WR);
		expect_eof(fd);
		close(fd);
	}
}

static void echo_to_end(int fd)
{
	char b[4096];
	ssize_t r;

	while ((r = recv(fd, b, sizeof(b), 0)) > 0)
		REQUIRE_EQ(send(fd, b, (size_t)r, MSG_NOSIGNAL), r);
	EXPECT_EQ(r, 0);
	EXPECT_EQ(close(fd), 0);
}

/* accept, fork, the child serves, the parent closes: the classic. */
static void serve_one(void *arg)
{
	echo_to_end(*(int *)arg);
}

CASE_T(forking_server, 20)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len), n = 15;
	pid_t clients = twin_fork(echo_clients, &n), kids[15];

	for (int i = 0; i < n; i++) {
		int fd = accept(l, NULL, NULL);

		REQUIRE(fd > 2);
		kids[i] = twin_fork(serve_one, &fd);
		EXPECT_EQ(close(fd), 0);
	}
	for (int i = 0; i < n; i++)
		twin_wait(kids[i]);
	twin_wait(clients);
	close(l);
}

/* Settled in the parent, served by the child. */
CASE(child_serves_settled)
{
	struct pair p = pair_settled(FAM_4);
	pid_t pid;

	talk(p, 1);
	pid = twin_fork(serve_one, &p.s);
	/* the child has its own copy of p.c, so its end is a half-close */
	EXPECT_EQ(close(p.s), 0);
	for (uint64_t off = 0; off < 200000; off += 20000) {
		put_pat(p.c, 1, off, 20000, 0);
		get_pat(p.c, 1, off, 20000, 0);
	}
	PROVE_SMC(p.c, 200000, 200000);
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	expect_eof(p.c);
	twin_wait(pid);
	EXPECT_EQ(close(p.c), 0);
}

/* A shared listener: several processes accept, as nginx's workers do. */
static int shared_l;

static void worker(void *arg)
{
	struct pollfd pf = { .fd = shared_l, .events = POLLIN };

	twin_nonblock(shared_l, true);
	for (;;) {
		int fd;

		poll(&pf, 1, -1);
		fd = accept(shared_l, NULL, NULL);
		if (fd < 0) {
			REQUIRE(errno == EAGAIN);
			continue;
		}
		echo_to_end(fd);
	}
}

CASE_T(shared_listener, 20)
{
	int n = 20;
	pid_t kids[3];

	shared_l = twin_listen(FAM_4, &srv_sa, &srv_len);
	for (int i = 0; i < 3; i++)
		kids[i] = twin_fork(worker, NULL);
	echo_clients(&n);
	for (int i = 0; i < 3; i++) {
		kill(kids[i], SIGKILL);
		waitpid(kids[i], NULL, 0);
	}
	close(shared_l);
}

static void accept_and_echo(void *arg)
{
	int fd = accept(shared_l, NULL, NULL);

	REQUIRE(fd > 2);
	twin_settle(fd);
	echo_to_end(fd);
}

CASE(parent_and_child_accept)
{
	int c[2];
	pid_t pid, cl;
	shared_l = twin_listen(FAM_4, &srv_sa, &srv_len);
	for (int i = 0; i < 2; i++)
		c[i] = twin_connect(FAM_4, &srv_sa, srv_len);
	close(c[0]);
	close(c[1]);
	int n = 2;

	for (int i = 0; i < 2; i++) { /* those two have ended already */
		int fd = accept(shared_l, NULL, NULL);

		expect_eof(fd);
		close(fd);
	}
	cl = twin_fork(echo_clients, &n);
	pid = twin_fork(accept_and_echo, NULL);
	accept_and_echo(NULL);
	twin_wait(pid);
	twin_wait(cl);
	close(shared_l);
}

/* Data in flight at the fork; the child reads some, the parent the rest. */
static void read_first_part(void *arg)
{
	struct pair *p = arg;

	get_pat(p->s, 1, 0, 30000, 0);
	put_pat(p->s, 2, 0, 1000, 0);
}

CASE(data_in_flight_at_fork)
{
	struct pair p = pair_settled(FAM_4);
	pid_t pid;

	put_pat(p.c, 1, 0, 60000, 0);
	pid = twin_fork(read_first_part, &p);
	twin_wait(pid); /* gone: the connection stays open for us */
	get_pat(p.s, 1, 30000, 30000, 0);
	get_pat(p.c, 2, 0, 1000, 0);
	put_pat(p.s, 2, 1000, 1000, 0);
	get_pat(p.c, 2, 1000, 1000, 0);
	talk(p, 5);
	PROVE_SMC(p.c, 65000, 5000);
	EXPECT_EQ(close(p.s), 0);
	expect_eof(p.c);
	EXPECT_EQ(close(p.c), 0);
}

CASE(data_in_flight_at_fork_late)
{
	struct pair p = pair_open(FAM_4);
	pid_t pid;

	put_pat(p.c, 1, 0, 60000, 0);
	pid = twin_fork(read_first_part, &p);
	twin_wait(pid);
	get_pat(p.s, 1, 30000, 30000, 0);
	get_pat(p.c, 2, 0, 1000, 0);
	for (int i = 0; i < 20; i++) {
		talk(p, 5);
		sleep_ms(1);
	}
	pair_close(&p);
}

static void do_nothing(void *arg)
{
}

/* Children that only exit; children that close their copies. */
static void close_both(void *arg)
{
	struct pair *p = arg;

	EXPECT_EQ(close(p->c), 0);
	EXPECT_EQ(close(p->s), 0);
}

CASE(children_come_and_go)
{
	struct pair p = pair_settled(FAM_4);
	char b[4];

	for (int i = 0; i < 30; i++) {
		twin_wait(twin_fork(i & 1 ? close_both : do_nothing, &p));
		EXPECT_FAIL(recv(p.c, b, 1, MSG_DONTWAIT), EAGAIN);
		EXPECT_FAIL(recv(p.s, b, 1, MSG_DONTWAIT), EAGAIN);
		talk(p, (uint64_t)i);
	}
	PROVE_SMC(p.c, 150000, 150000);
	pair_close(&p);
}

/* Killed without any chance to tidy up. */
static void wait_to_be_killed(void *arg)
{
	for (;;)
		pause();
}

CASE(killed_child_keeps_the_connection)
{
	struct pair p = pair_settled(FAM_4);
	char b[4];

	for (int i = 0; i < 10; i++) {
		pid_t pid = twin_fork(wait_to_be_killed, NULL);

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		EXPECT_FAIL(recv(p.c, b, 1, MSG_DONTWAIT), EAGAIN);
		talk(p, 1);
	}
	pair_close(&p);
}

/* Both ends of a connection are held by two processes each, that all close. */
CASE(end_when_the_last_process_closes)
{
	struct pair p = pair_settled(FAM_4);
	char b[4];
	pid_t pid;

	pid = twin_fork(wait_to_be_killed, NULL);
	put_pat(p.s, 1, 0, 10, 0);
	EXPECT_EQ(close(p.s), 0);
	get_pat(p.c, 1, 0, 10, 0);
	sleep_ms(20);
	EXPECT_FAIL(recv(p.c, b, 1, MSG_DONTWAIT), EAGAIN); /* the child has it */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_eof(p.c);
	EXPECT_EQ(close(p.c), 0);
}

/* Parent and child write records into one connection: each whole. */
#define RECORD 64
static void write_records(int fd, uint64_t who)
{
	char b[RECORD];

	for (uint64_t i = 0; i < 2000; i++) {
		memset(b, (int)who, sizeof(b));
		memcpy(b, &i, 8);
		REQUIRE_EQ(send(fd, b, RECORD, MSG_NOSIGNAL), RECORD);
		if (i % 200 == 0)
			usleep(500);
	}
}

static void child_writes(void *arg)
{
	write_records(*(int *)arg, 2);
}

static void client_two_writers(int fd)
{
	pid_t pid = twin_fork(child_writes, &fd);

	write_records(fd, 1);
	twin_wait(pid);
	PROVE_IF_SETTLED(fd, 100000, 0);
	close(fd);
}

static void server_two_writers(int fd)
{
	uint64_t next[3] = { 0, 0, 0 }, i;
	char b[RECORD];

	for (int n = 0; n < 4000; n++) {
		REQUIRE_EQ(recv(fd, b, RECORD, MSG_WAITALL), RECORD);
		REQUIRE(b[8] == 1 || b[8] == 2);
		for (int k = 9; k < RECORD; k++)
			REQUIRE_EQ(b[k], b[8]);
		memcpy(&i, b, 8);
		REQUIRE_EQ(i, next[(int)b[8]]);
		next[(int)b[8]]++;
	}
	expect_eof(fd);
	close(fd);
}
PAIR_CASE(two_writers)

/* Parent and child read records from one connection: each once. */
struct tally {
	_Atomic int seen[4000];
};
static struct tally *tally;

static void read_records(int fd)
{
	int v;

	while (recv(fd, &v, sizeof(v), 0) == (ssize_t)sizeof(v)) {
		REQUIRE(v >= 0 && v < 4000);
		tally->seen[v]++;
	}
}

static void child_reads(void *arg)
{
	read_records(*(int *)arg);
}

static void client_two_readers(int fd)
{
	for (int i = 0; i < 4000; i++) {
		REQUIRE_EQ(send(fd, &i, sizeof(i), MSG_NOSIGNAL), sizeof(i));
		if (i % 100 == 0)
			usleep(500);
	}
	close(fd);
}

static void server_two_readers(int fd)
{
	pid_t pid;

	tally = twin_shared(sizeof(*tally));
	pid = twin_fork(child_reads, &fd);
	read_records(fd);
	twin_wait(pid);
	for (int i = 0; i < 4000; i++)
		EXPECT_EQ(tally->seen[i], 1);
	close(fd);
}
/* The client in a process of its own: a forked reader must not hold its end. */
PAIR_ONE_(two_readers, ps, "procs-settled", 10, HOW_PROCS, FAM_4, SETTLED)
PAIR_ONE_(two_readers, pl, "procs-late", 10, HOW_PROCS, FAM_4, LATE)

/* Connections made by the child, of its own. */
static void own_connections(void *arg)
{
	for (int i = 0; i < 5; i++) {
		struct pair p = pair_settled(FAM_4);

		talk(p, 1);
		PROVE_SMC(p.c, 5000, 5000);
		pair_close(&p);
	}
}

static void fork_again(void *arg)
{
	own_connections(NULL);
	twin_wait(twin_fork(own_connections, NULL));
	own_connections(NULL);
}

CASE(grandchildren)
{
	struct pair p = pair_settled(FAM_4);

	talk(p, 1);
	twin_wait(twin_fork(fork_again, NULL));
	talk(p, 3);
	own_connections(NULL);
	pair_close(&p);
}

/* Forked while another thread is inside send() and recv() all the time. */
static _Atomic int busy_stop;

static void *busy_talk(void *arg)
{
	struct pair *p = arg;

	while (!busy_stop)
		talk(*p, 1);
	return NULL;
}

CASE(fork_while_threads_are_busy)
{
	/* a lock of the sanitizer's allocator may be held for ever in the child (gcc 12) */
	SKIP_IF_SANITIZED("its allocator is not ready for this fork");

	struct pair p = pair_settled(FAM_4);
	pthread_t t = twin_thread(busy_talk, &p);

	for (int i = 0; i < 20; i++)
		twin_wait(twin_fork(own_connections, NULL));
	busy_stop = 1;
	twin_join(t);
	pair_close(&p);
}

static void demon(void *arg)
{
	_Atomic int *stage = arg;

	if (daemon(1, 1) < 0)
		_exit(1);
	own_connections(NULL);
	stage_set(stage, 1);
	_exit(0);
}

CASE(daemonised)
{
	struct pair p = pair_settled(FAM_4);
	_Atomic int *stage = twin_shared(sizeof(*stage));

	twin_wait(twin_fork(demon, stage));
	stage_wait(stage, 1);
	talk(p, 1);
	pair_close(&p);
}

/* -------------------------------------------------------------- other programs */

static void run_true(int how)
{
	char *argv[] = { (char *)"true", NULL };
	pid_t pid;
	int status = -1;

	switch (how) {
	case 0:
		pid = vfork();
		if (pid == 0) {
			execv("/bin/true", argv);
			_exit(127);
		}
		break;
	case 1:
		REQUIRE(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0);
		break;
	case 2:
		REQUIRE_EQ(system("true"), 0);
		return;
	default:
		pid = fork();
		if (pid == 0) {
			execv("/bin/true", argv);
			_exit(127);
		}
	}
	REQUIRE_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

static void run_in_between(struct pair p)
{
	char b[4];

	for (int i = 0; i < 12; i++) {
		put_pat(p.c, 1, 0, 3000, 0);
		run_true(i % 4);
		get_pat(p.s, 1, 0, 3000, 0);
		talk(p, 3);
		EXPECT_FAIL(recv(p.s, b, 1, MSG_DONTWAIT), EAGAIN);
	}
	pair_close(&p);
}

CASE(other_programs_settled)
{
	run_in_between(pair_settled(FAM_4));
}

CASE(other_programs_late)
{
	run_in_between(pair_open(FAM_4));
}

/* With everything close-on-exec, running programs costs the connection nothing. */
CASE(other_programs_cloexec)
{
	struct pair p = pair_settled(FAM_4);

	EXPECT_EQ(fcntl(p.c, F_SETFD, FD_CLOEXEC), 0);
	EXPECT_EQ(fcntl(p.s, F_SETFD, FD_CLOEXEC), 0);
	for (int i = 0; i < 8; i++) {
		run_true(i % 4);
		talk(p, 1);
	}
	PROVE_SMC(p.c, 40000, 40000);
	pair_close(&p);
}

/* A vfork child that closes and duplicates before its exec touches nothing of
 * the parent's. */
CASE(vfork_child_rearranges)
{
	struct pair p = pair_settled(FAM_4);

	for (int i = 0; i < 5; i++) {
		int status;
		pid_t pid;

		talk(p, 1);
		pid = vfork();
		if (pid == 0) {
			close(p.c);
			dup2(p.s, 0);
			close(p.s);
			close_range(3, ~0u, 0);
			execl("/bin/true", "true", (char *)NULL);
			_exit(127);
		}
		REQUIRE_EQ(waitpid(pid, &status, 0), pid);
		EXPECT_EQ(status, 0);
		talk(p, 3);
	}
	pair_close(&p);
}

/* The connection as standard input and output of another program: inetd. */
CASE(connection_as_stdio_of_cat)
{
	struct pair p = pair_settled(FAM_4);
	int status;
	pid_t pid;

	talk(p, 1);
	pid = fork();
	if (pid == 0) {
		dup2(p.s, 0);
		dup2(p.s, 1);
		close(p.s);
		close(p.c);
		execl("/bin/cat", "cat", (char *)NULL);
		_exit(127);
	}
	EXPECT_EQ(close(p.s), 0);
	for (uint64_t off = 0; off < 40000; off += 4000) {
		put_pat(p.c, 1, off, 4000, 0);
		get_pat(p.c, 1, off, 4000, 0);
	}
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	expect_eof(p.c);
	REQUIRE_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(close(p.c), 0);
}

/* The same, to a program that the library is not in. */
CASE(connection_to_a_foreign_program)
{
	struct pair p = pair_settled(FAM_4);
	char *env[] = { (char *)"PATH=/bin:/usr/bin", NULL };
	int status;
	pid_t pid;

	talk(p, 1);
	put_pat(p.c, 1, 0, 4000, 0); /* in flight at the exec */
	pid = fork();
	if (pid == 0) {
		dup2(p.s, 0);
		dup2(p.s, 1);
		close(p.s);
		close(p.c);
		execle("/bin/cat", "cat", (char *)NULL, env);
		_exit(127);
	}
	EXPECT_EQ(close(p.s), 0);
	get_pat(p.c, 1, 0, 4000, 0);
	for (uint64_t off = 4000; off < 40000; off += 4000) {
		put_pat(p.c, 1, off, 4000, 0);
		get_pat(p.c, 1, off, 4000, 0);
	}
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	expect_eof(p.c);
	REQUIRE_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(close(p.c), 0);
}

/* Passed over a UNIX socket to another process. */
static int unix_fd[2];

static void take_and_echo(void *arg)
{
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = control,
		            .msg_controllen = sizeof(control) };
	int fd;

	close(unix_fd[0]);
	REQUIRE_EQ(recvmsg(unix_fd[1], &m, 0), 1);
	REQUIRE(CMSG_FIRSTHDR(&m) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	echo_to_end(fd);
}

static void pass_fd(struct pair p)
{
	char c = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = control,
		            .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &p.s, sizeof(int));
	REQUIRE_EQ(sendmsg(unix_fd[0], &m, 0), 1);
	EXPECT_EQ(close(p.s), 0);
	for (uint64_t off = 0; off < 100000; off += 5000) {
		put_pat(p.c, 1, off, 5000, 0);
		get_pat(p.c, 1, off, 5000, 0);
	}
	EXPECT_EQ(shutdown(p.c, SHUT_WR), 0);
	expect_eof(p.c);
	EXPECT_EQ(close(p.c), 0);
}

static void passing(bool settled)
{
	struct pair p;
	pid_t pid;

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_fd) == 0);
	pid = twin_fork(take_and_echo, NULL); /* before: it inherits nothing of it */
	close(unix_fd[1]);
	p = settled ? pair_settled(FAM_4) : pair_open(FAM_4);
	talk(p, 1);
	pass_fd(p);
	twin_wait(pid);
	close(unix_fd[0]);
}

CASE(passed_over_unix_socket_settled)
{
	passing(true);
}

CASE(passed_over_unix_socket_late)
{
	passing(false);
}
