/* SPDX-License-Identifier: Apache-2.0 */
/* The library's constructor, fork handlers, and the public view of a connection. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "openism/openism.h"
#include "sock/libc.h"
#include "sock/sock.h"

static void atfork_prepare(void)
{
	int saved = errno;

	epoll_atfork_prepare();
	sock_atfork_prepare();
	ism_atfork_prepare();
	errno = saved;
}

static void atfork_parent(void)
{
	ism_atfork_parent();
	sock_atfork_parent();
	epoll_atfork_parent();
}

static void atfork_child(void)
{
	int saved = errno;

	ism_atfork_child();
	sock_atfork_child();
	epoll_atfork_child();
	errno = saved;
}

/* "smc_run -r" and "-t": one size serves both, a ring is one's receive buffer and the
 * other's send buffer. */
static void take_sizes(void)
{
	static const char *const names[] = { "SMC_RCVBUF", "SMC_SNDBUF" };

	for (unsigned i = 0; i < 2; i++) {
		const char *text = getenv(names[i]);
		unsigned long bytes = text ? strtoul(text, NULL, 10) : 0;

		if (bytes > sock_default_rcvbuf && bytes <= UINT32_MAX)
			sock_default_rcvbuf = (uint32_t)bytes;
	}
}

__attribute__((constructor)) static void start(void)
{
	int saved = errno;

	take_sizes();
	libc_init();
	ism_presence();
	pthread_atfork(atfork_prepare, atfork_parent, atfork_child);
	errno = saved;
}

/* exit(): as _exit(), after the program's own handlers. */
__attribute__((destructor)) static void end(void)
{
	sock_leaving(false, false);
}

/* ---- openism/openism.h */

HOOK int openism_stat(int fd, struct openism_stat *st)
{
	struct sock *s = sock_get(fd);
	struct fab_row *row = s ? s->conn.row : NULL;
	struct openism_stat v = { .size = sizeof(v), .mode = OPENISM_MODE_TCP };
	uint32_t state;

	if (!s || atomic_load(&s->listening))
		return -1;
	if (!row) {
		v.reason = FAB_REASON_OI_NODAEMON;
	} else {
		state = atomic_load(&row->state);
		if (state == FAB_ROW_MATCHED && conn_linked(&s->conn))
			v.mode = OPENISM_MODE_SMCD;
		v.reason = row->reason;
		v.peer_reason = row->peer_reason;
		v.tx_path = conn_tx_on_ring(&s->conn);
		v.rx_path = conn_linked(&s->conn) && conn_rx_on_ring(&s->conn);
		v.tx_smc_bytes = row->tx_smc_bytes;
		v.rx_smc_bytes = row->rx_smc_bytes;
		v.tx_tcp_bytes = row->tx_tcp_bytes;
		v.rx_tcp_bytes = row->rx_tcp_bytes;
	}
	memcpy(st, &v, st->size < sizeof(v) ? st->size : sizeof(v));
	return 0;
}

static void pause_ms(void)
{
	struct timespec ms = { 0, 200000 };

	SYS2(SYS_nanosleep, &ms, NULL);
}

HOOK int openism_settle(int fd, int timeout_ms)
{
	struct sock *s = sock_get(fd);
	uint64_t end = sys_now_ns() + (uint64_t)timeout_ms * 1000000u, peer_end;
	uint32_t state;

	if (!s || atomic_load(&s->listening))
		return -1;
	if (!s->conn.row)
		return OPENISM_MODE_TCP;
	for (;;) {
		sock_touch(s, fd);
		state = atomic_load(&s->conn.row->state);
		if (state == FAB_ROW_DECLINED)
			return OPENISM_MODE_TCP;
		if (state == FAB_ROW_MATCHED && sock_open_rx(s, fd))
			break;
		if (sys_now_ns() >= end)
			return OPENISM_MODE_TCP;
		pause_ms();
	}
	peer_end = sys_now_ns() + 100000000u;
	while (!atomic_load(&s->conn.tx->rx_open) && sys_now_ns() < peer_end)
		pause_ms();
	return OPENISM_MODE_SMCD;
}
