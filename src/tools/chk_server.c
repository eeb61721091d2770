/* SPDX-License-Identifier: Apache-2.0 */
/* The echo server of smc_chk -S: plain sockets, so that what it shows is what
 * any program under smc_run gets. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/chk.h"
#include "tools/tool_paths.h"

enum { MAX_CLIENTS = 64, MAX_PORT = 65535 };

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = 1;
}

static int try_port(unsigned port, bool v6)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int on = 1, r, sock;

	sock = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (sock < 0)
		return -errno;
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (v6) {
		setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		r = bind(sock, (struct sockaddr *)&a6, sizeof(a6));
	} else {
		r = bind(sock, (struct sockaddr *)&a4, sizeof(a4));
	}
	if (r == 0)
		r = listen(sock, MAX_CLIENTS);
	if (r == 0)
		return sock;
	r = -errno;
	close(sock);
	return r;
}

/* Bytes come back in order or the connection ends: a client that sends but does
 * not read is none of ours. */
static bool echo_some(int sock)
{
	char buf[16384];
	ssize_t n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n > 0 && send(sock, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
}

static void serve(int listener, bool debug)
{
	struct pollfd p[1 + MAX_CLIENTS] = { { .fd = listener, .events = POLLIN } };
	nfds_t n = 1;

	while (!interrupted) {
		p[0].events = n <= MAX_CLIENTS ? POLLIN : 0;
		if (poll(p, n, -1) < 0 && errno != EINTR)
			return;
		if (interrupted)
			return;
		for (nfds_t i = n; i-- > 1;) {
			if (!p[i].revents || echo_some(p[i].fd))
				continue;
			close(p[i].fd);
			p[i] = p[--n];
		}
		if (p[0].revents & POLLIN) {
			int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

			if (sock >= 0) {
				p[n++] = (struct pollfd){ .fd = sock, .events = POLLIN };
				if (debug)
					puts("[DEBUG] connection accepted");
			}
		}
	}
}

int chk_echo_server(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int listener = -EINVAL;
	unsigned port;
	bool v6;

	if (argc != 3)
		return 1;
	port = (unsigned)atoi(argv[0]);
	v6 = argv[1][0] == '6';
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	for (; port <= MAX_PORT; port++) {
		listener = try_port(port, v6);
		if (listener != -EADDRINUSE)
			break;
	}
	if (listener < 0) {
		printf("Error: Cannot start the server: %s\n", strerror(-listener));
		return 1;
	}
	printf("Server started on port %u\n", port);
	serve(listener, argv[2][0] == '1');
	return 1; /* interrupted, which counts as failed, as ever */
}

int chk_serve(unsigned port, bool v6, bool debug)
{
	static const char *const places[] = { "smc_run", NULL };
	char runner[PATH_MAX], self[PATH_MAX], port_text[16];

	if (tool_find(places, X_OK, runner) < 0 || tool_self(self) < 0) {
		puts("Error: smc_run not found beside smc_chk");
		return 1;
	}
	snprintf(port_text, sizeof(port_text), "%u", port);
	fflush(stdout);
	execl(runner, runner, "--", self, CHK_SERVER_MODE, port_text, v6 ? "6" : "4",
	      debug ? "1" : "0", (char *)NULL);
	printf("Error: %s: %s\n", runner, strerror(errno));
	return 1;
}
