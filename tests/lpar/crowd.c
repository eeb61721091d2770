/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd N ADDRESS PORT: N programs that connect to the echo server there, all at the
 * same moment.
 *
 * Says "ready" when all have started. With each line on standard input goes one step:
 * all register with ismd, by a socket that they do not use ("registered"); all connect,
 * send, wait for the rings and compare what comes back ("SMCD NUMBER TCP NUMBER FAILED
 * NUMBER"); all end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openism/openism.h"

#define PATIENCE_MS 20000
#define STEPS 3

/* A pipe for each step: nobody takes the word that is for another one. */
static int go[STEPS][2], report[2];

static void wait_go(int at)
{
	char c;

	if (read(go[at][0], &c, 1) != 1)
		_exit(3);
}

static void say(char c)
{
	if (write(report[1], &c, 1) != 1)
		_exit(3);
}

static bool echo(int fd, unsigned seed)
{
	unsigned char out[3000], in[sizeof(out)];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(seed = seed * 1103515245 + 12345);
	if (send(fd, out, sizeof(out), 0) != sizeof(out))
		return false;
	while (n < sizeof(in)) {
		ssize_t r = recv(fd, in + n, sizeof(in) - n, 0);

		if (r <= 0)
			return false;
		n += (size_t)r;
	}
	return !memcmp(in, out, n);
}

/* 'S', 'T' or 'F' */
static char connect_and_talk(const char *address, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int (*ask)(int, struct openism_stat *) =
		(int (*)(int, struct openism_stat *))dlsym(RTLD_DEFAULT, "openism_stat");
	struct openism_stat st = { .size = sizeof(st) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1 || !ask ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return 'F';
	/* unhurried: a thousand that look all the time would leave ismd no processor */
	for (int ms = 0; ms < PATIENCE_MS; ms += 100) {
		if (!echo(fd, (unsigned)getpid()) || ask(fd, &st) < 0)
			return 'F';
		if (st.mode == OPENISM_MODE_SMCD && st.tx_smc_bytes && st.rx_smc_bytes)
			return 'S';
		usleep(100000);
	}
	return 'T';
}

static void one(char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	say('r');
	wait_go(0);
	close(socket(AF_INET, SOCK_STREAM, 0));
	say('r');
	wait_go(1);
	say(connect_and_talk(argv[2], argv[3]));
	wait_go(2);
	_exit(0);
}

static void start(char **argv, int n)
{
	char number[4][16];

	for (int i = 0; i < STEPS; i++)
		snprintf(number[i], 16, "%d", go[i][0]);
	snprintf(number[STEPS], 16, "%d", report[1]);
	for (int i = 0; i < n; i++) {
		if (fork() == 0) { /* a program of its own: the library starts afresh */
			execl("/proc/self/exe", "crowd-one", "one", argv[2], argv[3], number[0],
			      number[1], number[2], number[3], (char *)NULL);
			_exit(3);
		}
	}
}

static void let_go(int n, int at)
{
	char line[16];

	if (!fgets(line, sizeof(line), stdin))
		exit(0);
	for (int i = 0; i < n; i++)
		if (write(go[at][1], "g", 1) != 1)
			exit(2);
}

static void count_reports(int n, int count[256])
{
	char c;

	for (int i = 0; i < n; i++) {
		if (read(report[0], &c, 1) != 1)
			exit(2);
		count[(unsigned char)c]++;
	}
}

int main(int argc, char **argv)
{
	int n, count[256] = { 0 };

	if (argc == 8 && !strcmp(argv[1], "one")) {
		for (int i = 0; i < STEPS; i++)
			go[i][0] = atoi(argv[4 + i]);
		report[1] = atoi(argv[4 + STEPS]);
		one(argv);
	}
	if (argc != 4 || pipe(go[0]) < 0 || pipe(go[1]) < 0 || pipe(go[2]) < 0 || pipe(report) < 0)
		return 2;
	n = atoi(argv[1]);
	start(argv, n);
	count_reports(n, count);
	puts("ready");
	fflush(stdout);
	let_go(n, 0);
	count_reports(n, count);
	puts("registered");
	fflush(stdout);
	let_go(n, 1);
	count_reports(n, count);
	printf("SMCD %d TCP %d FAILED %d\n", count['S'], count['T'], count['F']);
	fflush(stdout);
	let_go(n, 2);
	while (wait(NULL) > 0)
		;
	return 0;
}
