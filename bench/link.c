/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "link.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "openism/openism.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_un un;
};

struct ring *link_new_rings(void)
{
	void *p = mmap(NULL, 2 * sizeof(struct ring), PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static struct in_addr host = { .s_addr = 0 };

bool link_set_host(const char *address)
{
	return inet_pton(AF_INET, address, &host) == 1;
}

/* Loopback, or an abstract UNIX name made of the server's process id. */
static socklen_t make_address(union address *a, enum transport t, uint16_t port, int server)
{
	memset(a, 0, sizeof(*a));
	if (t == TRANSPORT_TCP) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(port);
		a->in.sin_addr = host;
		if (!host.s_addr)
			a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(a->in);
	}
	a->un.sun_family = AF_UNIX;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	                   (size_t)snprintf(a->un.sun_path + 1, sizeof(a->un.sun_path) - 1,
	                                    "ismbench-%d", server));
}

static int new_socket(enum transport t)
{
	int fd = socket(t == TRANSPORT_TCP ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int listen_at(int fd, enum transport t, uint16_t port, int port_pipe)
{
	union address a;
	socklen_t len = make_address(&a, t, port, getpid());
	int one = 1;

	if (t == TRANSPORT_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, &a.any, len) < 0 || listen(fd, 1) < 0)
		return -errno;
	len = sizeof(a);
	if (getsockname(fd, &a.any, &len) < 0)
		return -errno;
	port = t == TRANSPORT_TCP ? ntohs(a.in.sin_port) : 0;
	if (port_pipe >= 0 && write(port_pipe, &port, sizeof(port)) != (ssize_t)sizeof(port))
		return -EPIPE;
	return 0;
}

int link_serve(struct link *l, enum transport t, struct ring *rings, uint16_t port, int port_pipe)
{
	int listener, r;

	*l = (struct link){ .transport = t, .fd = -1 };
	if (t == TRANSPORT_RING) {
		l->tx = &rings[1];
		l->rx = &rings[0];
		return port_pipe < 0 || write(port_pipe, &port, sizeof(port)) == sizeof(port)
		               ? 0
		               : -EPIPE;
	}
	listener = new_socket(t);
	if (listener < 0)
		return listener;
	r = listen_at(listener, t, port, port_pipe);
	if (r == 0) {
		l->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		r = l->fd < 0 ? -errno : 0;
	}
	close(listener);
	return r;
}

int link_connect(struct link *l, enum transport t, struct ring *rings, uint16_t port, int peer)
{
	union address a;
	socklen_t len;

	*l = (struct link){ .transport = t, .fd = -1 };
	if (t == TRANSPORT_RING) {
		l->tx = &rings[0];
		l->rx = &rings[1];
		return 0;
	}
	l->fd = new_socket(t);
	if (l->fd < 0)
		return l->fd;
	len = make_address(&a, t, port, peer);
	return connect(l->fd, &a.any, len) < 0 ? -errno : 0;
}

void link_no_delay(const struct link *l)
{
	int one = 1;

	if (l->transport == TRANSPORT_TCP)
		setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static ssize_t read_some(struct link *l, void *buf, size_t len)
{
	ssize_t n;

	if (l->transport == TRANSPORT_RING)
		return (ssize_t)ring_read(l->rx, buf, len);
	do
		n = recv(l->fd, buf, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t write_some(struct link *l, const void *buf, size_t len)
{
	ssize_t n;

	if (l->transport == TRANSPORT_RING)
		return (ssize_t)ring_write(l->tx, buf, len);
	do
		n = send(l->fd, buf, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int link_read(struct link *l, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read_some(l, (char *)buf + done, len - done);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return done ? -ECONNRESET : 0;
		done += (size_t)n;
	}
	return 1;
}

int link_write(struct link *l, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write_some(l, (const char *)buf + done, len - done);

		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

void link_finish(struct link *l)
{
	if (l->transport == TRANSPORT_RING)
		ring_close(l->tx);
	else
		shutdown(l->fd, SHUT_WR);
}

/* openism's own functions are there only under smc_run; this program links none
 * of them. A weak reference would be bound at link time to nothing in a PIE. */
void link_settle(const struct link *l, int timeout_ms)
{
	int (*settle)(int, int) = (int (*)(int, int))dlsym(RTLD_DEFAULT, "openism_settle");

	if (settle && l->transport == TRANSPORT_TCP)
		settle(l->fd, timeout_ms);
}

void link_path(const struct link *l, struct path_report *path)
{
	int (*get)(int, struct openism_stat *) =
		(int (*)(int, struct openism_stat *))dlsym(RTLD_DEFAULT, "openism_stat");
	struct openism_stat st = { .size = sizeof(st) };

	*path = (struct path_report){ .mode = "none" };
	if (!get || l->transport != TRANSPORT_TCP)
		return;
	path->mode = "TCP";
	if (get(l->fd, &st) < 0)
		return;
	if (st.mode == OPENISM_MODE_SMCD)
		path->mode = "SMCD";
	path->reason = st.reason;
	path->smc_bytes = st.tx_smc_bytes + st.rx_smc_bytes;
	path->tcp_bytes = st.tx_tcp_bytes + st.rx_tcp_bytes;
}
