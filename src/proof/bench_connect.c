/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proof costs a program that is no client of ours: processor time of a
 * connection over loopback without and with it, in turns. Prints medians.
 *
 *	bench_connect [ROUNDS [CONNECTIONS]]
 *
 * Another instance that is attached meanwhile is in all of it: have none.
 *
 * "off" has nothing attached; "on" has it, and this namespace has power; "marked" are
 * the connections of a client. One thread on one processor is both ends, so nothing but
 * the kernel's work is in the time; each connection is made, accepted, and reset, so that
 * no TIME_WAIT piles up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proof/proof.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum mode { OFF, ON, MARKED, MODES };

static const char *const mode_names[MODES] = { "off", "on", "marked" };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static int listen_somewhere(struct sockaddr_in *sa)
{
	socklen_t size = sizeof(*sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(sa, 0, sizeof(*sa));
	sa->sin_family = AF_INET;
	sa->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (void *)sa, sizeof(*sa)) || listen(fd, 512) ||
	    getsockname(fd, (void *)sa, &size))
		die("listen");
	return fd;
}

/* Our own: others on the machine do not count. */
static double cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Connections in a second of processor time. */
static double run(unsigned count)
{
	struct sockaddr_in sa;
	int listener = listen_somewhere(&sa);
	double begin = cpu_s();
	double end;

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int peer;

		if (connect(fd, (void *)&sa, sizeof(sa)))
			die("connect");
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (peer < 0)
			die("accept");
		reset(fd);
		close(peer);
	}
	end = cpu_s();
	close(listener);
	return count / (end - begin);
}

static struct proof *attach(enum mode mode)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	char why[256] = "";
	struct proof *p;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (proof_open(&p, "bench", why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		exit(77);
	}
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	close(fd);
	proof_netns_power(p, cookie, true);
	if (mode == MARKED)
		proof_client_add(p, getpid());
	return p;
}

static double run_mode(enum mode mode, unsigned count)
{
	struct proof *p = mode == OFF ? NULL : attach(mode);
	double rate;

	run(count / 10);
	rate = run(count);
	if (p)
		proof_close(p);
	return rate;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void report(enum mode mode, double *rates[MODES], unsigned rounds)
{
	double *change = calloc(rounds, sizeof(double));
	double *ns = calloc(rounds, sizeof(double));
	double *rate = calloc(rounds, sizeof(double));

	/* within a round first: between rounds the machine changes */
	for (unsigned r = 0; r < rounds; r++) {
		change[r] = 100 * (rates[mode][r] / rates[OFF][r] - 1);
		ns[r] = 1e9 / rates[mode][r] - 1e9 / rates[OFF][r];
		rate[r] = rates[mode][r];
	}
	printf("%-7s %8.0f/s  %+6.2f %%  %+5.0f ns a connection\n", mode_names[mode],
	       median(rate, rounds), median(change, rounds), median(ns, rounds));
	free(change);
	free(ns);
	free(rate);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 15;
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 5000;
	double *rates[MODES];
	cpu_set_t cpus;

	if (rounds == 0 || count < 10)
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(1, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus); /* where there is one */
	for (int m = 0; m < MODES; m++)
		rates[m] = calloc(rounds, sizeof(double));
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned m = 0; m < MODES; m++) {
			unsigned mode = (m + r) % MODES;

			rates[mode][r] = run_mode((enum mode)mode, count);
		}
	for (int m = 0; m < MODES; m++)
		report((enum mode)m, rates, rounds);
	for (int m = 0; m < MODES; m++)
		free(rates[m]);
	return 0;
}
