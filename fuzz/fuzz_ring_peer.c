/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection whose peer lies: the input is a program of steps, some of which write
 * anything anywhere into the shared segment, as a process that holds the mapping can,
 * and the others are our own calls. Whatever is read there, our side stays within its
 * buffers and its ring, comes back from each call, and keeps its own row sane.
 *
 * The first byte chooses: with bit 7 a second thread scribbles at the same time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fabric/reason.h"
#include "smc/test_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 200
#define RACE_STEPS 60

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

static uint32_t word(struct input *in)
{
	uint32_t v = byte(in);

	v |= (uint32_t)byte(in) << 8;
	return v;
}

static void is_true(int cond, const char *what)
{
	if (!cond) {
		fprintf(stderr, "not true: %s\n", what);
		abort();
	}
}
#define CHECK(cond) is_true(cond, #cond)

/* ---- the liar; we are side 0 */

/* Values that matter to somebody who computes with positions. */
static uint64_t odd_value(struct pair *p, struct input *in)
{
	struct conn *c = &p->c[0];
	uint64_t near[] = { 0,
		            1,
		            c->size,
		            UINT32_MAX,
		            1ull << 31,
		            1ull << 63,
		            UINT64_MAX,
		            atomic_load(&c->row->tx_prod),
		            atomic_load(&c->row->rx_cons),
		            atomic_load(&c->row->tx_seq),
		            atomic_load(&c->row->rx_seq),
		            atomic_load(&c->rx->prod) };
	uint8_t which = byte(in);

	return near[which % (sizeof(near) / sizeof(near[0]))] + (uint64_t)(int8_t)byte(in);
}

static void lie_in_header(struct pair *p, struct input *in)
{
	struct conn *c = &p->c[0];
	uint8_t what = byte(in);
	uint64_t v = odd_value(p, in);

	switch (what % 14) {
	case 0:
		atomic_store(&c->rx->prod, v);
		break;
	case 1:
		atomic_store(&c->rx->seq, (uint32_t)v);
		break;
	case 2:
		atomic_store(&c->rx->cdc_flags, (uint32_t)byte(in) << 8);
		break;
	case 3 ... 6:
		atomic_store(&c->rx->limit[what % 4], v);
		break;
	case 7:
		atomic_store(&c->tx->cons, v);
		break;
	case 8:
		atomic_store(&c->tx->ack, (uint32_t)v);
		break;
	case 9:
		atomic_store(&c->tx->rx_open, byte(in) % 5);
		break;
	case 10:
		atomic_store(&c->tx->rx_arm, (uint32_t)v);
		break;
	case 11:
		atomic_store(&c->rx->tx_arm, (uint32_t)v);
		break;
	case 12:
		atomic_store(&p->head->side[what & 1].asleep, (uint32_t)v);
		break;
	default:
		atomic_store(&c->rx->cons, v); /* ours, but it can */
		break;
	}
}

static void scribble(struct pair *p, struct input *in)
{
	/* half of the time where the headers are */
	uint8_t where = byte(in), n = byte(in) % 32;
	size_t at = where & 1 ? (size_t)word(in) * 64
	                      : (size_t)((where >> 1) % 3) * 4096 + byte(in);

	if (where & 0x80)
		at = (size_t)((char *)p->c[where >> 6 & 1].tx - (char *)p->head) + byte(in);
	for (uint8_t i = 0; i < n; i++)
		((volatile uint8_t *)p->head)[(at + i) % p->bytes] = byte(in);
}

/* What an honest peer would do, to get to the deeper states. */
static void be_honest(struct pair *p, struct input *in)
{
	uint8_t how = byte(in);
	char buf[2048];

	memset(buf, how, sizeof(buf));
	switch (how % 5) {
	case 0:
		pair_write(p, 1, buf, byte(in) * 8u);
		break;
	case 1:
		pair_read(p, 1, buf, byte(in) * 8u, 0);
		break;
	case 2:
		pair_open(p, 1);
		break;
	case 3:
		conn_tx_to_tcp(&p->c[1]);
		break;
	default:
		if (p->fd[1] >= 0)
			send(p->fd[1], buf, byte(in), MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
}

/* ---- our own calls */

static void we_read(struct pair *p, struct input *in)
{
	uint8_t flags = byte(in);
	size_t len = (size_t)byte(in) * (flags & 0x80 ? 300 : 1);
	char *buf = malloc(len + 1); /* exactly: nothing may be written behind it */
	struct iovec iov[2] = { { buf, len / 3 }, { buf + len / 3, len - len / 3 } };
	struct iov_pos pos = iov_pos_init(iov, 2);
	uint64_t before = atomic_load(&p->c[0].row->rx_cons);
	ssize_t n;

	buf[len] = 0x5a;
	if (conn_rx_is_open(&p->c[0])) {
		n = conn_read(&p->c[0], p->fd[0], &pos, len, flags & 7);
		CHECK(n <= (ssize_t)len);
		CHECK(atomic_load(&p->c[0].row->rx_cons) - before <= len);
	} else {
		pair_read(p, 0, buf, len, 0);
	}
	CHECK(buf[len] == 0x5a);
	free(buf);
}

static void we_write(struct pair *p, struct input *in)
{
	size_t len = (size_t)byte(in) * (byte(in) & 1 ? 300 : 1);
	char *buf = malloc(len + 1);
	uint64_t before = atomic_load(&p->c[0].row->tx_prod);
	ssize_t n;

	memset(buf, 'w', len + 1);
	n = pair_write(p, 0, buf, len);
	CHECK(n <= (ssize_t)len);
	CHECK(atomic_load(&p->c[0].row->tx_prod) - before <= p->c[0].size);
	free(buf);
}

static ssize_t fill(void *arg, char *mem, size_t room)
{
	struct pair *p = arg;

	CHECK(mem >= p->c[0].tx_ring && mem + room <= p->c[0].tx_ring + p->c[0].size);
	memset(mem, 'f', room);
	return (ssize_t)room;
}

static void we_fill(struct pair *p, struct input *in)
{
	size_t len = (size_t)word(in);

	if (conn_write_fill(&p->c[0], p->fd[0], len, fill, p) == CONN_USE_TCP)
		conn_tx_done(&p->c[0], 0);
}

static void we_ask(struct pair *p)
{
	struct conn *c = &p->c[0];

	CHECK(conn_tx_room(c) <= c->size);
	CHECK(conn_tx_unread(c) <= c->size);
	CHECK(conn_rx_in_ring(c) <= c->size);
	conn_tx_writable(c);
	conn_rx_pending(c);
	conn_tx_consumed(c);
	CHECK(!conn_rx_is_open(c) || conn_rx_bytes(c, p->fd[0]) >= 0);
}

static void we_do(struct pair *p, uint8_t op, struct input *in)
{
	struct conn *c = &p->c[0];

	switch (op % 12) {
	case 0 ... 2:
		we_read(p, in);
		break;
	case 3:
	case 4:
		we_write(p, in);
		break;
	case 5:
		we_fill(p, in);
		break;
	case 6:
		we_ask(p);
		break;
	case 7:
		conn_rx_arm(c, byte(in) & 3);
		conn_tx_arm(c, byte(in) & 3);
		break;
	case 8:
		if (conn_take_back_due(c))
			conn_take_back(c, p->fd[0]);
		break;
	case 9:
		if (byte(in) & 1)
			conn_tx_to_tcp(c);
		else
			pair_open(p, 0);
		break;
	case 10:
		if (byte(in) % 8 == 0)
			conn_return(c, FAB_REASON_OI_EXEC);
		break;
	default:
		switch (byte(in) % 16) {
		case 0:
			conn_pin(c, FAB_REASON_OI_OOB);
			break;
		case 1:
			conn_shutdown_write(c);
			shutdown(p->fd[0], SHUT_WR);
			break;
		case 2:
			if (p->fd[1] >= 0)
				close(p->fd[1]);
			p->fd[1] = -1;
			break;
		}
		break;
	}
}

/* What nobody but us writes must make sense whatever the peer did. */
static void row_is_sane(struct pair *p)
{
	struct fab_row *r = p->c[0].row;
	uint32_t gate = atomic_load(&r->tx_gate);

	CHECK(atomic_load(&r->rx_lock) == 0 && atomic_load(&r->tx_lock) == 0);
	CHECK(gate == 0 || gate == FAB_GATE_RING);
	gate = atomic_load(&r->rx_gate);
	CHECK(gate == 0 || gate == FAB_GATE_OPEN);
	CHECK(!(atomic_load(&r->tx_flags) & ~(FAB_TXF_NO_SMC | FAB_TXF_BACK | FAB_TXF_SHUT)));
	CHECK(atomic_load(&r->tx_prod) - atomic_load(&r->tx_cons) <= p->c[0].size);
	CHECK(atomic_load(&r->state) == FAB_ROW_MATCHED);
	CHECK(p->c[0].size == p->side[0].seg.dmb_bytes);
}

static void the_end(struct pair *p)
{
	struct iovec iov = { NULL, 0 };
	struct iov_pos pos = iov_pos_init(&iov, 0);

	if (conn_rx_is_open(&p->c[0]))
		conn_read(&p->c[0], p->fd[0], &pos, 0, CONN_ASK);
	conn_close_begin(&p->c[0]);
	conn_close_end(&p->c[0]);
	pair_free(p);
}

static struct pair *start(uint8_t mode)
{
	static const uint32_t sizes[] = { 64, 1024, 16384, 65536 };
	static const uint64_t from[] = { 0, UINT32_MAX - 500, INT64_MAX - 500, UINT64_MAX - 500 };
	struct pair *p = pair_new(sizes[mode & 3]);

	for (int d = 0; d < 2; d++)
		pair_seek(p, d, from[mode >> 2 & 3], mode & 0x10 ? UINT32_MAX - 3 : 0);
	if (mode & 0x20)
		pair_open_both(p);
	return p;
}

/* ---- the liar in its own thread: again and again what the input says */

struct liar {
	struct pair *p;
	struct input in;
	_Atomic int stop;
};

static void *lie(void *arg)
{
	struct liar *l = arg;

	while (!atomic_load(&l->stop)) {
		struct input in = l->in;

		for (int i = 0; i < 100 && in.left; i++)
			byte(&in) & 1 ? lie_in_header(l->p, &in) : scribble(l->p, &in);
		sched_yield();
	}
	return NULL;
}

static void race(struct pair *p, struct input *in)
{
	struct liar l = { .p = p };
	pthread_t t;

	l.in = (struct input){ in->p, in->left / 2 };
	in->p += in->left / 2;
	in->left -= in->left / 2;
	if (pthread_create(&t, NULL, lie, &l) != 0)
		abort();
	for (int i = 0; i < RACE_STEPS && in->left; i++) {
		we_do(p, byte(in), in);
		row_is_sane(p);
	}
	atomic_store(&l.stop, 1);
	pthread_join(t, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t mode = byte(&in);
	struct pair *p = start(mode);

	if (mode & 0x80)
		race(p, &in);
	for (int i = 0; i < MAX_STEPS && in.left; i++) {
		uint8_t op = byte(&in);

		switch (op & 3) {
		case 0:
			scribble(p, &in);
			break;
		case 1:
			lie_in_header(p, &in);
			break;
		case 2:
			be_honest(p, &in);
			break;
		default:
			we_do(p, op >> 2, &in);
			row_is_sane(p);
			break;
		}
	}
	the_end(p);
	return 0;
}
