/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ismd against a client that sends anything and scribbles anything: the input is
 * a program of steps (see step()) that are run on a daemon without a listener,
 * with one channel and one process family, this process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "ismd/client.h"
#include "ismd/conn.h"
#include "ismd/ismd.h"
#include "ismd/rows.h"
#include "ismd/service.h"
#include "ismd/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int tcp[4]; /* two connections: client, server, client, server */

static void make_connections(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(l, (struct sockaddr *)&sa, len) < 0 || listen(l, 4) < 0 ||
	    getsockname(l, (struct sockaddr *)&sa, &len) < 0)
		abort();
	for (int i = 0; i < 4; i += 2) {
		tcp[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(tcp[i], (struct sockaddr *)&sa, sizeof(sa)) < 0)
			abort();
		tcp[i + 1] = accept(l, NULL, NULL);
	}
	close(l);
}

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static void message(struct ismd *d, struct client *c, struct input *in)
{
	uint8_t buf[FAB_WIRE_MAX + 16] = { 0 };
	struct fab_msg_head h = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, 0 };
	struct ucred cred = { getpid(), geteuid(), getegid() };
	uint8_t shape = byte(in), kind = byte(in);
	size_t len = byte(in), start = 0;
	int fds[FDPASS_MAX], sv[2];
	unsigned nfds = 0;

	if (shape & 1) {
		h.type = kind & 7;
		memcpy(buf, &h, sizeof(h));
		start = sizeof(h);
	}
	len += start;
	for (size_t i = start; i < len; i++)
		buf[i] = byte(in);
	if ((shape & 2) && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0) {
		close(sv[0]);
		fds[nfds++] = sv[1];
	}
	if (shape & 4)
		fds[nfds++] = dup(tcp[kind >> 6]);
	if (shape & 8)
		cred.pid = 0;
	client_on_message(d, c, buf, len, fds, nfds, &cred);
}

static void hello(struct ismd *d, struct client *c)
{
	struct fab_msg_hello m = { .head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_HELLO },
		                   .layout = FAB_LAYOUT_VERSION };
	struct ucred cred = { getpid(), geteuid(), getegid() };

	client_on_message(d, c, &m, sizeof(m), NULL, 0, &cred);
}

static void scribble(struct table *t, struct input *in)
{
	uint32_t row = byte(in) & 15, off = (uint32_t)byte(in) * 2;
	uint8_t n = byte(in) & 15;

	for (uint8_t i = 0; i < n && off + i < sizeof(struct fab_row); i++)
		((volatile uint8_t *)&t->rows[row])[off + i] = byte(in);
}

static void claim(struct table *t, struct input *in)
{
	uint8_t what = byte(in);
	struct fab_row *r = &t->rows[what & 15];

	atomic_fetch_add(&r->gen, 1);
	atomic_store(&r->pid, getpid());
	atomic_store(&r->fd, tcp[what >> 6]);
	atomic_store(&r->role, what & 0x20 ? FAB_ROLE_NONE + (what >> 6) : 2 + (what >> 6 & 1));
	atomic_store(&r->state, FAB_ROW_CLAIMED);
}

static void drain(int ctl)
{
	char buf[FAB_WIRE_MAX];
	int fds[FDPASS_MAX];
	unsigned nfds;

	while (fdpass_recv(ctl, buf, sizeof(buf), fds, &nfds, NULL, MSG_DONTWAIT) > 0)
		while (nfds)
			close(fds[--nfds]);
}

static void step(struct ismd *d, struct client *c, int ctl, struct input *in)
{
	struct table *t = c->table;
	uint8_t op = byte(in);

	switch (op & 7) {
	case 0:
		message(d, c, in);
		break;
	case 1:
		if (t)
			scribble(t, in);
		break;
	case 2:
		if (t)
			claim(t, in);
		break;
	case 3:
		if (t)
			row_process(d, t, byte(in) & 15);
		break;
	case 4:
		if (t) {
			atomic_store(&t->head->summary[byte(in) & 7], ~0ull);
			atomic_store(&t->head->dirty[byte(in)], (uint64_t)byte(in) << (op >> 3));
			table_schedule(d, t, 0);
			service_work(d);
		}
		break;
	case 5:
		if (t)
			atomic_store(&t->rows[byte(in) & 15].state, byte(in) & 7);
		break;
	case 6:
		drain(ctl);
		break;
	default:
		loop_turn(d, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ismd *d = calloc(1, sizeof(*d));
	struct input in = { data, size };
	struct client *c;
	int sv[2];

	if (!tcp[0])
		make_connections();
	options_default(&d->opt);
	d->opt.defer_us = 0;
	d->opt.max_dmb_bytes = 4 << 20;
	if (service_init(d) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
		abort();
	strcpy(d->dir, "/nonexistent");
	c = client_new(d, sv[0], getpid(), geteuid(), NULL);
	if (byte(&in) & 1)
		hello(d, c);
	for (int i = 0; i < 200 && in.left && c->watch.fn; i++)
		step(d, c, sv[1], &in);
	close(sv[1]);
	service_deinit(d);
	free(d);
	return 0;
}
