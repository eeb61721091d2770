/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liar ATTACK [ARGUMENT...]: a client of ismd that speaks the protocol and lies.
 *
 * Exit status 0: every lie was refused; 1: one was believed, and standard output says
 * which; 2: the attack could not be made. What is a refusal: a row that never becomes
 * MATCHED, a message that is not answered, no descriptor that comes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ismd/test_client.h"

#define PATIENCE_MS 150 /* a marriage takes some 5 */

static int believed;

static void believe(const char *what)
{
	printf("believed: %s\n", what);
	believed = 1;
}

static void cannot(const char *what)
{
	printf("cannot: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int dial(const char *address, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1 || fd < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		cannot("connect");
	return fd;
}

static void hello(struct tc *c)
{
	if (!tc_hello(c))
		cannot("HELLO");
}

static bool hello_as(struct tc *c, pid_t told)
{
	struct fab_msg_hello m = tc_hello_message();

	memset(c, 0, sizeof(*c));
	m.pid = (uint32_t)told;
	c->ctl = tc_connect();
	return c->ctl >= 0 && fdpass_send(c->ctl, &m, sizeof(m), NULL, 0) == 0 && tc_welcome(c);
}

static bool any_matched(const struct tc *c, uint32_t rows)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		for (uint32_t i = 0; i < rows; i++)
			if (atomic_load(&c->rows[i].state) == FAB_ROW_MATCHED)
				return true;
		usleep(1000);
	}
	return false;
}

/* Does anything come on this channel, besides answers that say no? */
static void nothing_comes(int ctl, const char *what)
{
	char buf[FAB_WIRE_MAX];
	int fds[FDPASS_MAX];
	unsigned nfds;
	struct pollfd p = { ctl, POLLIN, 0 };

	while (poll(&p, 1, PATIENCE_MS / 3) == 1) {
		const struct fab_msg_welcome *m = (const void *)buf;
		ssize_t n = fdpass_recv(ctl, buf, sizeof(buf), fds, &nfds, NULL, MSG_DONTWAIT);

		if (n <= 0)
			return;
		if (nfds || (m->head.type == FAB_MSG_WELCOME && m->status == FAB_WELCOME_OK))
			believe(what);
	}
}

/* --------------------------------------------------------------------- rows */

/* numbers FD: that number, which another process has open, and all others of ours. */
static void numbers(char **arg)
{
	struct tc c;

	hello(&c);
	for (int fd = 0; fd < 64; fd++)
		tc_claim(&c, (uint32_t)fd, fd, fd & 1 ? FAB_ROLE_ACCEPT : FAB_ROLE_CONNECT);
	tc_claim(&c, 64, atoi(arg[0]), FAB_ROLE_CONNECT);
	tc_claim(&c, 65, atoi(arg[0]), FAB_ROLE_ACCEPT);
	tc_claim(&c, 66, -1, FAB_ROLE_ACCEPT);
	tc_claim(&c, 67, INT32_MAX, FAB_ROLE_ACCEPT);
	if (any_matched(&c, 68))
		believe("a descriptor number");
}

/* pids PID FD: that process's socket, and a process that calls itself so. */
static void pids(char **arg)
{
	pid_t victim = atoi(arg[0]);
	int fd = atoi(arg[1]);
	struct tc c, as;

	hello(&c);
	tc_claim_as(&c, 0, victim, fd, FAB_ROLE_ACCEPT);
	tc_claim_as(&c, 1, victim, fd, FAB_ROLE_CONNECT);
	tc_claim_as(&c, 2, -victim, fd, FAB_ROLE_ACCEPT);
	tc_claim_as(&c, 3, 1, fd, FAB_ROLE_ACCEPT);
	tc_claim_as(&c, 4, 0, fd, FAB_ROLE_ACCEPT);
	if (any_matched(&c, 5))
		believe("a foreign pid in the row");
	if (!hello_as(&as, victim))
		return; /* that is a refusal as well */
	tc_claim_as(&as, 0, victim, fd, FAB_ROLE_ACCEPT);
	tc_claim_as(&as, 1, victim, fd, FAB_ROLE_CONNECT);
	if (any_matched(&as, 2))
		believe("a foreign pid in HELLO and in the row");
}

/* namespace PATH ADDRESS PORT: a socket made in another network namespace (root only),
 * held here. Whose it is says the process, so the rules of our LPAR count. */
static void namespace(char **arg)
{
	int there = open(arg[0], O_RDONLY), here = open("/proc/self/ns/net", O_RDONLY), fd;
	struct tc c;

	hello(&c);
	if (setns(there, CLONE_NEWNET) < 0)
		cannot("setns");
	fd = dial(arg[1], arg[2]);
	if (setns(here, CLONE_NEWNET) < 0)
		cannot("setns");
	tc_claim(&c, 0, fd, FAB_ROLE_CONNECT);
	if (any_matched(&c, 1))
		believe("a socket of another namespace");
}

/* scribble SECONDS: all over the table, while good claims are among it. */
static void scribble(char **arg)
{
	int seconds = atoi(arg[0]);
	time_t end = time(NULL) + seconds;
	struct tc c;
	uint32_t *words;

	hello(&c);
	words = (uint32_t *)c.head;
	for (unsigned row = 0; time(NULL) <= end; row = (row + 1) % 64) {
		int cl, sv;

		tc_pair(&cl, &sv);
		atomic_store(&c.rows[2 * row].state, FAB_ROW_FREE);
		atomic_store(&c.rows[2 * row + 1].state, FAB_ROW_FREE);
		tc_claim(&c, 2 * row, cl, FAB_ROLE_CONNECT);
		tc_claim(&c, 2 * row + 1, sv, FAB_ROLE_ACCEPT);
		for (int i = 0; i < 20000; i++) {
			uint64_t r = random_next();
			uint32_t at = (uint32_t)(r % (FAB_TABLE_BYTES / 4)),
				 value = (uint32_t)(r >> 32);

			if (r & 1 << 20) /* where it hurts: the rows that are in use */
				at = FAB_TABLE_ROWS_OFFSET / 4 + (uint32_t)(r % (128 * 128));
			words[at] = r & 1 << 21 ? value & 7 : value;
			tc_dirty(&c, (uint32_t)(random_next() % FAB_ROWS));
		}
		close(cl);
		close(sv);
	}
}

/* ----------------------------------------------------------------- messages */

static void send_claim(struct tc *c, uint32_t row, uint32_t gen, int fd)
{
	struct fab_msg_claim_fd m = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_CLAIM_FD },
		.row = row,
		.gen = gen,
	};

	fdpass_send(c->ctl, &m, sizeof(m), &fd, fd >= 0);
}

/* claim_fd ADDRESS PORT: sockets that are not the row's. The server there is real. */
static void claim_fd(char **arg)
{
	int real = dial(arg[0], arg[1]), second = dial(arg[0], arg[1]),
	    udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0),
	    null = open("/dev/null", O_RDONLY), raw[] = { real, udp, local, null, 0, -1, second };
	struct tc c;

	hello(&c);
	for (uint32_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
		tc_claim(&c, 2 * i, 999, FAB_ROLE_CONNECT);     /* nothing has that number */
		tc_claim(&c, 2 * i + 1, null, FAB_ROLE_ACCEPT); /* something else has it */
		usleep(20000);                                  /* it was looked at */
		/* the same socket for two rows is refused before it is looked at closely */
		for (uint32_t k = 2 * i; k < 2 * i + (raw[i] == second ? 1 : 2); k++) {
			uint32_t gen = atomic_load(&c.rows[k].gen);

			send_claim(&c, k, gen, raw[i]);
			send_claim(&c, k, gen + 1, raw[i]);
			send_claim(&c, k + FAB_ROWS, gen, raw[i]);
		}
	}
	if (any_matched(&c, 14))
		believe("a socket that is not the row's");
}

static void child_hello(int ctl, uint32_t table, int fd)
{
	struct fab_msg_hello m = tc_hello_message();

	m.flags = FAB_HELLO_CHILD;
	m.table_id = table;
	fdpass_send(ctl, &m, sizeof(m), &fd, fd >= 0);
}

static void make_pair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		cannot("socketpair");
}

/* Its parent cannot be made to speak with a channel that it did not make. */
static void pair_of_another(struct tc *c)
{
	int sv[2], back[2], st, fds[FDPASS_MAX];
	unsigned nfds = 0;
	char word;
	pid_t pid;

	make_pair(back);
	pid = fork();
	if (pid == 0) {
		make_pair(sv);
		fdpass_send(back[1], "x", 1, sv, 2);
		pause();
	}
	if (fdpass_recv(back[0], &word, 1, fds, &nfds, NULL, 0) != 1 || nfds != 2)
		cannot("descriptors of the child");
	child_hello(c->ctl, c->welcome.table_id, fds[1]);
	close(fds[1]);
	nothing_comes(fds[0], "a channel that another process made");
	kill(pid, SIGKILL);
	waitpid(pid, &st, 0);
}

/* Another process says HELLO on a channel that we made. */
static void speaks_for_us(void)
{
	struct fab_msg_hello m = tc_hello_message();
	int ctl = tc_connect(), st;
	pid_t pid = fork();

	if (pid == 0) {
		m.pid = (uint32_t)getppid();
		fdpass_send(ctl, &m, sizeof(m), NULL, 0);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	nothing_comes(ctl, "HELLO of a process that did not connect");
	close(ctl);
}

/* child: joining families that are not ours. */
static void child(char **arg)
{
	int sv[2], null = open("/dev/null", O_RDONLY), tcp[2];
	struct tc c;

	hello(&c);
	for (uint32_t id = 0; id < 64; id++) {
		if (id == c.welcome.table_id)
			continue;
		make_pair(sv);
		child_hello(c.ctl, id, sv[1]);
		close(sv[1]);
		if (id < 5)
			nothing_comes(sv[0], "the table of another family");
		else if (id < 62)
			close(sv[0]);
	}
	child_hello(c.ctl, c.welcome.table_id, null);
	child_hello(c.ctl, c.welcome.table_id, -1);
	child_hello(c.ctl, c.welcome.table_id, c.ctl);
	tc_pair(&tcp[0], &tcp[1]);
	child_hello(c.ctl, c.welcome.table_id, tcp[0]);
	nothing_comes(c.ctl, "a child without a channel");
	make_pair(sv); /* nobody has said HELLO there */
	null = tc_connect();
	child_hello(null, 1, sv[1]);
	close(sv[1]);
	nothing_comes(sv[0], "a child of nobody");
	pair_of_another(&c);
	speaks_for_us();
}

/* segments ID: of others, by number. */
static void segments(char **arg)
{
	uint32_t victim = (uint32_t)strtoul(arg[0], NULL, 10);
	struct tc c;

	hello(&c);
	for (uint32_t i = 0; i < 64; i++) {
		struct fab_msg_get_segment m = {
			.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_GET_SEGMENT },
			.seg_id = i < 32  ? victim
			          : i % 4 ? victim + i - 48
			                  : i,
			.side = i % 4 < 3 ? i % 4 : UINT32_MAX,
		};

		fdpass_send(c.ctl, &m, sizeof(m), NULL, 0);
		if (i % 16 == 15)
			nothing_comes(c.ctl, "a segment of others");
	}
}

/* Whoever was thrown out may have to wait a little until he is let in again. */
static bool once_more(struct tc *c)
{
	for (int i = 0; i < 20; i++) {
		if (tc_hello(c))
			return true;
		tc_close(c);
		usleep(50000);
	}
	return false;
}

/* garbage N: messages of any length, type and number of descriptors. */
static void garbage(char **arg)
{
	unsigned n = (unsigned)atoi(arg[0]);
	struct tc c;

	hello(&c);
	for (unsigned i = 0; i < n; i++) {
		uint64_t buf[FAB_WIRE_MAX / 8 + 2];
		struct fab_msg_head *h = (void *)buf;
		int fds[FDPASS_MAX] = { c.ctl, c.bell, c.vector, 0 }, r;
		size_t len = 1 + random_next() % (i % 16 ? 64 : FAB_WIRE_MAX + 8);

		for (size_t k = 0; k < sizeof(buf) / 8; k++)
			buf[k] = random_next();
		if (i & 1)
			h->magic = FAB_WIRE_MAGIC;
		if (i & 2)
			h->version = FAB_WIRE_VERSION;
		if (i & 4)
			h->type %= 9;
		if (h->type == FAB_MSG_REQUEST && len > sizeof(*h) && i & 8)
			memcpy(h + 1, "{\"op\":\"power\",\"fid\":1}", len < 32 ? 1 : 23);
		r = fdpass_send(c.ctl, buf, len, fds, (unsigned)(random_next() % (FDPASS_MAX + 1)));
		if (r == -EPIPE || r == -ECONNRESET) {
			tc_close(&c); /* thrown out: that is an answer */
			if (!once_more(&c))
				return; /* and this one, too */
		} else if (r == -EAGAIN) {
			usleep(1000);
		}
		if (i % 64 == 0)
			usleep(500); /* or most of it would not fit into the channel */
	}
}

/* mute ADDRESS PORT: claims and asks, and never takes an answer. */
static void mute(char **arg)
{
	char ask[64];
	struct fab_msg_head h = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_REQUEST };
	int fd = dial(arg[0], arg[1]);
	struct tc c;

	hello(&c);
	memcpy(ask, &h, sizeof(h));
	memcpy(ask + sizeof(h), "{\"op\":\"sockets\"}", 16);
	for (int i = 0; i < 2000; i++)
		if (fdpass_send(c.ctl, ask, sizeof(h) + 16, NULL, 0) == -EAGAIN)
			usleep(1000);
	tc_claim(&c, 0, fd, FAB_ROLE_CONNECT);
	puts("ready");
	fflush(stdout);
	pause();
}

/* ------------------------------------------------------------------ programs */

/*
 * setuid HELPER ADDRESS PORT: we say HELLO; a child keeps the channel and the
 * table; then we become HELPER, which is set-uid and connects to ADDRESS. The child
 * claims its socket, which HELPER says to have number 100.
 */
static void set_uid(char **arg)
{
	pid_t first = getpid(), second;
	int ready[2], down[2];
	struct tc c;
	char word;

	hello(&c);
	if (pipe(ready) < 0 || pipe(down) < 0)
		cannot("pipe");
	fcntl(c.ctl, F_SETFD, 0); /* the set-uid program holds it open, too */
	second = fork();
	if (second) {
		dup2(ready[1], 1);
		dup2(down[0], 0);
		close(down[1]);
		execl(arg[0], arg[0], arg[1], arg[2], (char *)NULL);
		_exit(2);
	}
	close(ready[1]);
	if (read(ready[0], &word, 1) != 1)
		cannot("the set-uid program");
	tc_claim_as(&c, 0, first, 100, FAB_ROLE_CONNECT);
	if (any_matched(&c, 1))
		believe("the socket of a set-uid program");
	exit(believed); /* and the set-uid program ends with its standard input */
}

/* ring ADDRESS PORT: a real marriage with a real server, and then nonsense in the
 * memory that both share. */
static void ring(char **arg)
{
	int fd = dial(arg[0], arg[1]);
	struct fab_dmb *dmb[8];
	struct tc_segment s;
	struct tc c;
	uint64_t one = 1;

	hello(&c);
	close(fd);
	for (int i = 0; i < 40; i++) {
		fd = dial(arg[0], arg[1]);
		tc_claim(&c, (uint32_t)i, fd, FAB_ROLE_CONNECT);
		if (i == 0 && !tc_segment(&c, &s))
			cannot("no segment");
		for (unsigned k = 0; i == 0 && k < 8; k++) /* as long as the head is right */
			dmb[k] = tc_dmb(&s, k / 2, k % 2);
		if (!tc_state(&c, (uint32_t)i, FAB_ROW_MATCHED))
			cannot("no marriage");
		for (int k = 0; k < 3000; k++) {
			uint64_t r = random_next(), value = random_next();
			_Atomic uint64_t *words = r & 64 ? (void *)dmb[r % 8] : (void *)s.map;

			/* now and then what may be true */
			atomic_store(&words[(r >> 8) % (r & 64 ? 32 : 64)],
			             r & 128 ? value % 70000 : value);
			if (k % 64 == 0 && write(s.vector, &one, sizeof(one)) < 0)
				cannot("vector");
		}
		shutdown(fd, i & 1 ? SHUT_WR : SHUT_RDWR);
		close(fd);
		tc_close_row(&c, (uint32_t)i);
	}
}

static const struct attack {
	const char *name;
	int args;
	void (*fn)(char **arg);
} attacks[] = {
	{ "numbers", 1, numbers },   { "pids", 2, pids },         { "namespace", 3, namespace },
	{ "scribble", 1, scribble }, { "claim_fd", 2, claim_fd }, { "child", 0, child },
	{ "segments", 1, segments }, { "garbage", 1, garbage },   { "mute", 2, mute },
	{ "setuid", 3, set_uid },    { "ring", 2, ring },
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; argc > 1 && i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		if (strcmp(argv[1], attacks[i].name) != 0 || argc != 2 + attacks[i].args)
			continue;
		attacks[i].fn(argv + 2);
		return believed;
	}
	fprintf(stderr, "usage: liar ATTACK [ARGUMENT...]\n");
	return 2;
}
