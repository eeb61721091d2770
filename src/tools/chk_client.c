/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The echo client of smc_chk -C. It connects, lets the parent look, sends two
 * lines once the connection has settled, and stays until the parent hangs up.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "openism/openism.h"
#include "tools/chk.h"

enum { CONNECT_LIMIT_S = 9, MATCH_MS = 20, SETTLE_MS = 200, ECHO_LIMIT_S = 8 };

static int try_address(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		                  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct timeval limit = { .tv_sec = CONNECT_LIMIT_S };
	struct addrinfo *ai;
	int sock, r = 0;

	if (getaddrinfo(address, port, &hints, &ai))
		return -EINVAL;
	sock = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 ||
	    /* bounds connect() too, which then says EINPROGRESS */
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(sock, ai->ai_addr, ai->ai_addrlen) < 0)
		r = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	freeaddrinfo(ai);
	if (r < 0 && sock >= 0)
		close(sock);
	return r < 0 ? r : sock;
}

static unsigned local_port(int sock)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getsockname(sock, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
	                                      : ((struct sockaddr_in *)&sa)->sin_port);
}

static void tell(int control, const struct chk_report *report)
{
	if (send(control, report, sizeof(*report), MSG_NOSIGNAL) < 0)
		exit(1); /* nobody listens any more */
}

static int connect_first(char **addresses, const char *port, struct chk_report *report)
{
	int sock = -EINVAL;

	for (unsigned i = 0; addresses[i]; i++) {
		sock = try_address(addresses[i], port);
		report->address = i;
		if (sock >= 0)
			break;
	}
	report->event = sock >= 0 ? CHK_CONNECTED : CHK_NO_CONNECTION;
	report->error = sock >= 0 ? 0 : -sock;
	report->lport = sock >= 0 ? local_port(sock) : 0;
	return sock;
}

/* Bytes by ring so far. The functions are there only with the library. */
static bool ring_bytes(int sock, uint64_t *tx, uint64_t *rx)
{
	__typeof__(&openism_stat) stat_fn =
		(__typeof__(&openism_stat))dlsym(RTLD_DEFAULT, "openism_stat");
	struct openism_stat st = { .size = sizeof(st) };

	*tx = *rx = 0;
	if (!stat_fn || stat_fn(sock, &st) < 0)
		return false;
	*tx = st.tx_smc_bytes;
	*rx = st.rx_smc_bytes;
	return true;
}

static void settle(int sock, int ms)
{
	__typeof__(&openism_settle) settle_fn =
		(__typeof__(&openism_settle))dlsym(RTLD_DEFAULT, "openism_settle");

	if (settle_fn)
		settle_fn(sock, ms);
}

/* One line there and back. False: no echo, report->error says why if we know. */
static bool echo_line(int sock, const char *line, size_t len, struct chk_report *report)
{
	char back[64];
	ssize_t n = send(sock, line, len, MSG_NOSIGNAL);

	if (n == (ssize_t)len)
		n = recv(sock, back, len, MSG_WAITALL);
	report->error = n < 0 ? errno : 0;
	return n == (ssize_t)len && memcmp(line, back, len) == 0;
}

/*
 * Two lines, and time for a server that accepts late. The first tells whether this service echoes at all; it may find the
 * server asleep in the kernel since before the match, and then has to go by TCP
 * to wake it. The second shows what a conversation does, and has to come back.
 */
static void exchange(int sock, int control, struct chk_report *report)
{
	struct timeval limit = { .tv_sec = ECHO_LIMIT_S };
	uint64_t tx_before, rx_before;
	char line[64];
	int len = snprintf(line, sizeof(line), "smc_chk live test %d\n", (int)getpid());

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	report->event = CHK_NO_ECHO;
	settle(sock, MATCH_MS);
	if (!echo_line(sock, line, (size_t)len, report))
		return;
	report->event = CHK_ANSWERED;
	tell(control, report);
	settle(sock, SETTLE_MS);
	report->has_stat = ring_bytes(sock, &tx_before, &rx_before);
	report->differs = !echo_line(sock, line, (size_t)len, report);
	report->event = CHK_ECHO;
	report->bytes = (uint32_t)len;
	ring_bytes(sock, &report->ring_tx, &report->ring_rx);
	report->ring_tx -= tx_before;
	report->ring_rx -= rx_before;
}

int chk_echo_client(int argc, char **argv)
{
	struct chk_report report = { 0 };
	struct pollfd parent = { .events = POLLIN };
	int sock;

	if (argc < 3)
		return 1;
	parent.fd = atoi(argv[0]);
	sock = connect_first(argv + 2, argv[1], &report);
	tell(parent.fd, &report);
	if (sock < 0)
		return 1;
	exchange(sock, parent.fd, &report);
	tell(parent.fd, &report);
	while (poll(&parent, 1, -1) < 0 && errno == EINTR)
		;
	return 0;
}
