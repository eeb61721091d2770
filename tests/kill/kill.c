/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill test: kill ROUNDS [SEED]. Two processes send each other checked data, one
 * of them is killed at a random moment. The survivor must read every byte whose
 * send() had returned in the dead one, in order, and then see the end: EOF or
 * ECONNRESET. Works plain and under smc_run.
 *
 * What TCP itself does not promise is not asked for: a killed process that leaves
 * data unread resets the connection, and then the kernel throws away what it had
 * accepted but not transmitted. So the strict rule holds for rounds in which the
 * victim receives nothing, and for all bytes that travelled in a ring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openism/openism.h>

#define MAX_CHUNK 60000
#define ROUND_MS 15000

enum kind { ONE_WAY, BOTH_WAYS, KINDS };

/* One side's account, in memory that outlives it. */
struct side {
	_Atomic uint64_t acked;    /* send() returned */
	_Atomic uint64_t received; /* and checked */
	_Atomic int wrong;         /* a byte was not what it should be */
	_Atomic int end;           /* 1 EOF, 2 ECONNRESET, 3 another error */
	_Atomic int end_errno;
	_Atomic int send_errno;
	_Atomic int ring_at_end; /* the last bytes came by the ring */
	_Atomic uint64_t ring_bytes;
	_Atomic int ready;
};

struct round {
	struct side side[2];
	_Atomic int quiet[2]; /* this side does not send */
	_Atomic int port;
	uint64_t seed;
};

static struct round *R;
static int me;

static uint64_t rnd(uint64_t *s)
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static unsigned char byte_at(int side, uint64_t off)
{
	uint64_t z = (off + 1) * 0x9e3779b97f4a7c15ull + (uint64_t)side * 77 + R->seed;

	return (unsigned char)((z ^ (z >> 31)) >> 13);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ a side */

static void *writer(void *arg)
{
	int fd = *(int *)arg;
	struct side *s = &R->side[me];
	uint64_t r = R->seed + (uint64_t)me, off = 0;
	static unsigned char b[MAX_CHUNK];

	for (;;) {
		size_t n = 1 + (size_t)(rnd(&r) % (rnd(&r) % 4 ? 3000 : MAX_CHUNK));
		ssize_t done;

		for (size_t i = 0; i < n; i++)
			b[i] = byte_at(me, off + i);
		done = send(fd, b, n, MSG_NOSIGNAL);
		if (done < 0) {
			s->send_errno = errno;
			return NULL;
		}
		off += (uint64_t)done;
		s->acked = off;
		if (rnd(&r) % 64 == 0)
			usleep((unsigned)(rnd(&r) % 500));
	}
}

static void note_end(struct side *s, int fd, ssize_t n, int err)
{
	struct openism_stat st = { .size = sizeof(st) };

	if (openism_stat && openism_stat(fd, &st) == 0) {
		s->ring_at_end = (int)st.rx_path;
		s->ring_bytes = st.rx_smc_bytes;
	}
	s->end_errno = n < 0 ? err : 0;
	s->end = n == 0 ? 1 : err == ECONNRESET ? 2 : 3;
}

static void read_to_end(int fd)
{
	struct side *s = &R->side[me];
	uint64_t r = R->seed + 10 + (uint64_t)me, off = 0;
	static unsigned char b[MAX_CHUNK];

	for (;;) {
		ssize_t n = recv(fd, b, 1 + (size_t)(rnd(&r) % MAX_CHUNK), 0);

		if (n <= 0) {
			note_end(s, fd, n, errno);
			return;
		}
		for (ssize_t i = 0; i < n && !s->wrong; i++)
			if (b[i] != byte_at(!me, off + (uint64_t)i)) {
				printf("# side %d: byte %llu is wrong\n", me,
				       (unsigned long long)off + (unsigned long long)i);
				fflush(stdout);
				s->wrong = 1;
			}
		off += (uint64_t)n;
		s->received = off;
	}
}

static void side_main(int fd)
{
	pthread_t t;

	R->side[me].ready = 1;
	if (!R->quiet[me] && pthread_create(&t, NULL, writer, &fd))
		_exit(2);
	read_to_end(fd);
	if (!R->quiet[me])
		pthread_join(t, NULL); /* its sends fail by now */
	_exit(0);
}

static void client_main(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = (in_port_t)R->port };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		_exit(2);
	side_main(fd);
}

static void server_main(int l)
{
	int fd = accept(l, NULL, NULL);

	if (fd < 0)
		_exit(2);
	close(l);
	side_main(fd);
}

/* --------------------------------------------------------------- the parent */

/* With exec, each side is a process family of its own; without, all are one. */
static pid_t start(int side, int l, bool with_exec, int shm)
{
	char a[3][12], *argv[] = { (char *)"kill", (char *)"--side", a[0], a[1], a[2], NULL };
	pid_t pid = fork();

	if (pid)
		return pid;
	me = side;
	if (with_exec) {
		snprintf(a[0], sizeof(a[0]), "%d", side);
		snprintf(a[1], sizeof(a[1]), "%d", l);
		snprintf(a[2], sizeof(a[2]), "%d", shm);
		execv("/proc/self/exe", argv);
		_exit(2);
	}
	if (side == 0)
		close(l);
	side ? server_main(l) : client_main();
	_exit(0);
}

static int listener(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (l < 0 || bind(l, (struct sockaddr *)&sa, sizeof(sa)) || listen(l, 5) ||
	    getsockname(l, (struct sockaddr *)&sa, &len))
		return -1;
	R->port = sa.sin_port;
	return l;
}

static bool reap(pid_t pid, int *status, unsigned ms)
{
	for (uint64_t end = now_ms() + ms; now_ms() < end; usleep(500))
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
	return false;
}

static bool under_smc(void)
{
	return openism_stat != NULL;
}

/* 0 if the survivor saw what it had to see. */
static int judge(int n, enum kind kind, int victim, int status)
{
	struct side *dead = &R->side[victim], *live = &R->side[!victim];
	uint64_t acked = dead->acked, got = live->received;
	bool strict = kind == ONE_WAY || (under_smc() && live->ring_at_end);
	const char *why = NULL;

	if (!WIFEXITED(status) || WEXITSTATUS(status))
		why = "the survivor did not end well";
	else if (live->wrong)
		why = "a wrong byte";
	else if (live->end != 1 && live->end != 2)
		why = "neither EOF nor ECONNRESET";
	else if (got < acked && strict)
		why = "acknowledged bytes are lost";
	else if (got > acked + MAX_CHUNK)
		why = "more bytes than were sent";
	else if (!R->quiet[!victim] && live->send_errno != EPIPE && live->send_errno != ECONNRESET)
		why = "the survivor's send did not fail as it should";
	if (!why)
		return 0;
	printf("not ok - round %d: %s (victim %d, kind %d, acknowledged %llu, read %llu, end %d "
	       "errno %d, send errno %d, ring at end %d, ring bytes %llu, status %d)\n",
	       n, why, victim, kind, (unsigned long long)acked, (unsigned long long)got,
	       (int)live->end, (int)live->end_errno, (int)live->send_errno, (int)live->ring_at_end,
	       (unsigned long long)live->ring_bytes, status);
	return 1;
}

static int one_round(int n, uint64_t *r, int shm, uint64_t *ring_rounds)
{
	enum kind kind = (enum kind)(rnd(r) % KINDS);
	int victim = (int)(rnd(r) % 2), l, status = 0;
	bool with_exec = rnd(r) % 2, both = rnd(r) % 16 == 0;
	unsigned us = (unsigned)(rnd(r) % (rnd(r) % 2 ? 5000 : 40000));
	pid_t pid[2];

	memset(R, 0, sizeof(*R));
	R->seed = rnd(r);
	R->quiet[!victim] = kind == ONE_WAY;
	l = listener();
	if (l < 0)
		return 1;
	pid[0] = start(0, l, with_exec, shm);
	pid[1] = start(1, l, with_exec, shm);
	close(l);
	for (uint64_t end = now_ms() + 5000; !(R->side[0].ready && R->side[1].ready); usleep(100))
		if (now_ms() > end) {
			printf("not ok - round %d: the sides did not start\n", n);
			kill(pid[0], SIGKILL);
			kill(pid[1], SIGKILL);
			return 1;
		}
	usleep(us);
	kill(pid[victim], SIGKILL);
	if (both)
		kill(pid[!victim], SIGKILL);
	waitpid(pid[victim], NULL, 0);
	if (!reap(pid[!victim], &status, ROUND_MS)) {
		printf("not ok - round %d: the survivor hangs (pid %d, victim %d, kind %d, "
		       "exec %d, acknowledged %llu, read %llu)\n",
		       n, (int)pid[!victim], victim, kind, with_exec,
		       (unsigned long long)R->side[victim].acked,
		       (unsigned long long)R->side[!victim].received);
		if (getenv("KILL_STOP")) /* for a look at it */
			_exit(1);
		kill(pid[!victim], SIGKILL);
		waitpid(pid[!victim], NULL, 0);
		return 1;
	}
	*ring_rounds += R->side[!victim].ring_bytes > 0;
	return both ? 0 : judge(n, kind, victim, status);
}

int main(int argc, char **argv)
{
	int shm, rounds, bad = 0;
	uint64_t seed, r, ring = 0;

	if (argc == 5 && strcmp(argv[1], "--side") == 0) {
		me = atoi(argv[2]);
		shm = atoi(argv[4]);
		R = mmap(NULL, sizeof(*R), PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
		if (R == MAP_FAILED)
			return 2;
		close(shm);
		me ? server_main(atoi(argv[3])) : (void)close(atoi(argv[3]));
		client_main();
	}
	rounds = argc > 1 ? atoi(argv[1]) : 50;
	seed = argc > 2 ? strtoull(argv[2], NULL, 0)
	                : (uint64_t)time(NULL) * 1000 + now_ms() % 1000;
	printf("# %d rounds, seed %llu\n", rounds, (unsigned long long)seed);
	fflush(stdout);
	shm = memfd_create("kill", 0); /* not close-on-exec: the sides inherit it */
	if (shm < 0 || ftruncate(shm, sizeof(*R)))
		return 2;
	R = mmap(NULL, sizeof(*R), PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
	if (R == MAP_FAILED)
		return 2;
	for (int n = 0; n < rounds && bad < 5; n++) {
		r = seed + (uint64_t)n; /* each round by itself, given its seed */
		bad += one_round(n, &r, shm, &ring);
		fflush(stdout);
	}
	printf("# %llu rounds used a ring\n", (unsigned long long)ring);
	if (under_smc() && rounds >= 50 && ring < (uint64_t)rounds / 4) {
		printf("not ok - too few rounds used shared memory\n");
		bad++;
	}
	if (!bad)
		printf("ok - %d rounds\n", rounds);
	return bad != 0;
}
