/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proof costs programs that are no clients of ours: processor time of a
 * connection over loopback without and with it, in turns. Prints medians.
 *
 *	bench_connect [--pair] [ROUNDS [CONNECTIONS]]
 *
 * Another instance that is attached meanwhile is in all of it: have none.
 *
 * We run in a cgroup made for it. In "off" there is no proof; in "apart" its clients are
 * in another cgroup, in "together" in ours, in "root" in the root, in "nested" in both
 * of these; in "marked" we are the client. The namespace always has power.
 *
 * Without --pair one thread is both ends, so nothing but the kernel's work is in the
 * time; each connection is made, accepted, and reset, so that no TIME_WAIT piles up.
 * With it two processes share a processor: a request of 64 bytes, an answer as long, and
 * a normal end, the server's first. Both processes' time is counted. Network and
 * processor are for us alone in either case, as far as a namespace can do that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proof/proof.h"
#include "proof/test_cgroup.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define MESSAGE_BYTES 64

enum mode { OFF, APART, TOGETHER, ROOT, NESTED, MARKED, MODES };

static const char *const mode_names[MODES] = { "off",  "apart",  "together",
	                                       "root", "nested", "marked" };

static struct cgroup home, ours, theirs;
static bool is_pair;

static void clean_up(void)
{
	cgroup_enter(&home);
	cgroup_remove(&ours);
	cgroup_remove(&theirs);
}

static void die(const char *what)
{
	perror(what);
	clean_up();
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

static int connect_to(const struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const void *)sa, sizeof(*sa)))
		die("connect");
	return fd;
}

static int accept_from(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		die("accept");
	return fd;
}

/* Processes' own: others on the machine do not count. */
static double cpu_s(pid_t pid)
{
	clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
	struct timespec ts;

	if (pid && clock_getcpuclockid(pid, &clock))
		die("clock");
	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run_bare(int listener, const struct sockaddr_in *sa, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		int fd = connect_to(sa);
		int peer = accept_from(listener);

		reset(fd);
		close(peer);
	}
}

static void serve(int listener)
{
	char message[MESSAGE_BYTES];

	for (;;) {
		int fd = accept_from(listener);

		if (recv(fd, message, sizeof(message), MSG_WAITALL) != sizeof(message) ||
		    send(fd, message, sizeof(message), 0) != sizeof(message))
			die("server");
		close(fd);
	}
}

static void ask(const struct sockaddr_in *sa, unsigned count)
{
	char message[MESSAGE_BYTES] = { 1 };

	for (unsigned i = 0; i < count; i++) {
		int fd = connect_to(sa);

		if (send(fd, message, sizeof(message), 0) != sizeof(message) ||
		    recv(fd, message, sizeof(message), MSG_WAITALL) != sizeof(message) ||
		    recv(fd, message, 1, 0) != 0)
			die("client");
		close(fd);
	}
}

/* Connections in a second of processor time. */
static double run(unsigned count)
{
	struct sockaddr_in sa;
	int listener = listen_somewhere(&sa);
	pid_t server = is_pair ? fork() : 0;
	double begin;
	double end;

	if (is_pair && server == 0)
		serve(listener);
	/* the tenth before is for the caches */
	for (int warm = 1; warm >= 0; warm--) {
		unsigned n = warm ? count / 10 : count;

		begin = cpu_s(0) + (server ? cpu_s(server) : 0);
		if (is_pair)
			ask(&sa, n);
		else
			run_bare(listener, &sa, n);
		end = cpu_s(0) + (server ? cpu_s(server) : 0);
	}
	if (server) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	close(listener);
	return count / (end - begin);
}

static void add_client(struct proof *p, pid_t pid, const char *cgroup)
{
	int err = proof_client_add(p, pid, cgroup);

	if (err) {
		fprintf(stderr, "%s: %s\n", cgroup, strerror(-err));
		clean_up();
		exit(1);
	}
}

static struct proof *attach(enum mode mode)
{
	pid_t other = getppid();
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	char why[256] = "";
	struct proof *p;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (proof_open(&p, "bench", why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		clean_up();
		exit(77);
	}
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	close(fd);
	proof_netns_power(p, cookie, true);
	if (mode == APART)
		add_client(p, other, theirs.path);
	if (mode == ROOT || mode == NESTED)
		add_client(p, other, "/");
	if (mode == TOGETHER)
		add_client(p, other, ours.path);
	if (mode == NESTED)
		add_client(p, 1, ours.path);
	if (mode == MARKED)
		add_client(p, getpid(), ours.path);
	return p;
}

static double run_mode(enum mode mode, unsigned count)
{
	struct proof *p = mode == OFF ? NULL : attach(mode);
	double rate = run(count);

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
	printf("%-8s %8.0f/s  %+6.2f %%  %+5.0f ns a connection\n", mode_names[mode],
	       median(rate, rounds), median(change, rounds), median(ns, rounds));
	free(change);
	free(ns);
	free(rate);
}

/* Rounds of all modes; they begin with another one each time. */
static void measure(unsigned rounds, unsigned count)
{
	double *rates[MODES];

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
}

static void set_up(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	cpu_set_t cpus;
	char name[48];
	int fd = -1;
	int err;

	CPU_ZERO(&cpus);
	CPU_SET(1, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus); /* where there is one */
	if (unshare(CLONE_NEWNET) || (fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0 ||
	    ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		die("network namespace");
	close(fd);
	err = cgroup_own(&home);
	snprintf(name, sizeof(name), "openism-bench-%d-a", getpid());
	if (!err)
		err = cgroup_new(&ours, NULL, name);
	snprintf(name, sizeof(name), "openism-bench-%d-b", getpid());
	if (!err)
		err = cgroup_new(&theirs, NULL, name);
	if (!err)
		err = cgroup_enter(&ours);
	if (err) {
		errno = -err;
		die("cgroups");
	}
}

int main(int argc, char **argv)
{
	unsigned rounds;
	unsigned count;

	if (argc > 1 && strcmp(argv[1], "--pair") == 0) {
		is_pair = true;
		argc--;
		argv++;
	}
	rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 15;
	count = argc > 2 ? (unsigned)atoi(argv[2]) : 5000;
	if (rounds == 0 || count < 10)
		return 2;
	set_up();
	measure(rounds, count);
	clean_up();
	return 0;
}
