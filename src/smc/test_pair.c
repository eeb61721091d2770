/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "smc/test_pair.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"

#define SEG_ID 7u
#define LGR_ID 0x100u

/* ---- the fabric, faked: one pair at a time is being made */

static struct fab_table *table_head;
static struct ism_table table;
static struct pair *making;
static unsigned rows_taken;

_Atomic int32_t ism_pid;

struct ism_table *ism_table(void)
{
	return making ? &table : NULL;
}

struct fab_row *ism_row_alloc(struct ism_table *t)
{
	struct fab_row *row = rows_taken < 2 ? &making->rows[rows_taken++] : NULL;

	if (!row)
		return NULL;
	atomic_store(&row->state, FAB_ROW_HELD);
	atomic_fetch_add(&row->gen, 1);
	atomic_store(&row->refs, 1);
	return row;
}

void ism_row_dirty(struct ism_table *t, struct fab_row *row)
{
}

struct ism_segment *ism_segment_get(uint32_t seg_id, uint32_t side, bool ask)
{
	return making && seg_id == SEG_ID && side < 2 ? &making->side[side].seg : NULL;
}

void ism_claim_fd(struct ism_table *t, struct fab_row *row, int fd)
{
}

void ism_ring(const struct ism_segment *seg)
{
	atomic_fetch_add(&((struct pair_segment *)(uintptr_t)seg)->rung, 1);
}

void ism_ring_self(void)
{
}

/* ---- a pair */

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void *shared(size_t bytes)
{
	void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(m != MAP_FAILED);
	return m;
}

static void make_tcp(int fd[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	sigset_t all, old;

	/* The fuzzer's clock is an alarm that interrupts. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(l, (struct sockaddr *)&sa, len) == 0 && listen(l, 1) == 0);
	must(getsockname(l, (struct sockaddr *)&sa, &len) == 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(fd[0], (struct sockaddr *)&sa, sizeof(sa)) == 0);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	must(fd[1] >= 0);
	for (int i = 0; i < 2; i++)
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void make_segment(struct pair *p, uint32_t ring_bytes)
{
	uint64_t stride = (uint64_t)FAB_DMB_RING_OFFSET + ring_bytes;

	p->bytes = FAB_SEG_SLOTS_OFFSET + 2 * stride;
	p->head = shared(p->bytes);
	p->head->magic = FAB_SEG_MAGIC;
	p->head->version = FAB_LAYOUT_VERSION;
	p->head->seg_id = SEG_ID;
	p->head->lgr_id = LGR_ID;
	p->head->nslots = 1;
	p->head->dmb_bytes = ring_bytes;
	for (int i = 0; i < 2; i++) {
		struct ism_segment *s = &p->side[i].seg;

		s->id = SEG_ID;
		s->lgr_id = LGR_ID;
		s->head = p->head;
		s->base = (char *)p->head;
		s->bytes = p->bytes;
		s->nslots = 1;
		s->dmb_bytes = ring_bytes;
	}
}

/* What ismd writes into a row. */
static void marry(struct fab_row *row, uint32_t side)
{
	row->seg_id = SEG_ID;
	row->side = side;
	row->slot = 0;
	row->lgr_id = LGR_ID;
	atomic_store(&row->state, FAB_ROW_MATCHED);
}

struct pair *pair_new(uint32_t ring_bytes)
{
	struct pair *p = calloc(1, sizeof(*p));

	must(p != NULL);
	if (!table_head) {
		table_head = shared(FAB_TABLE_ROWS_OFFSET);
		table.head = table_head;
	}
	atomic_store(&ism_pid, getpid());
	make_tcp(p->fd);
	make_segment(p, ring_bytes);
	p->rows = shared(2 * sizeof(*p->rows));
	making = p;
	rows_taken = 0;
	table.rows = p->rows;
	for (uint32_t i = 0; i < 2; i++) {
		must(conn_claim(&p->c[i], FAB_ROLE_CONNECT + i, p->fd[i], 0));
		must(!conn_linked(&p->c[i]));
		marry(p->c[i].row, i);
		must(conn_linked(&p->c[i]));
	}
	making = NULL;
	return p;
}

void pair_free(struct pair *p)
{
	/* A reset, so that no port is blocked for a minute. */
	struct linger hard = { .l_onoff = 1 };

	for (int i = 0; i < 2; i++) {
		if (p->fd[i] < 0)
			continue;
		setsockopt(p->fd[i], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(p->fd[i]);
	}
	munmap(p->rows, 2 * sizeof(*p->rows));
	munmap(p->head, p->bytes);
	free(p);
}

bool pair_open(struct pair *p, int side)
{
	if (!conn_rx_open(&p->c[side]))
		return false;
	conn_rx_announce(&p->c[side]);
	return true;
}

void pair_open_both(struct pair *p)
{
	must(pair_open(p, 0) && pair_open(p, 1));
}

void pair_seek(struct pair *p, int d, uint64_t pos, uint32_t seq)
{
	struct conn *w = &p->c[d], *r = &p->c[d ^ 1];

	atomic_store(&w->row->tx_prod, pos);
	atomic_store(&w->row->tx_cons, pos);
	atomic_store(&w->row->tx_seq, seq);
	atomic_store(&r->row->rx_cons, pos);
	atomic_store(&r->row->rx_seq, seq);
	atomic_store(&w->tx->prod, pos);
	atomic_store(&w->tx->cons, pos);
	atomic_store(&w->tx->limit[seq % FAB_SWITCH_LIMITS], pos);
	atomic_store(&w->tx->seq, seq);
	atomic_store(&w->tx->ack, seq);
}

ssize_t pair_write(struct pair *p, int side, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct iov_pos pos = iov_pos_init(&iov, 1);
	ssize_t n = conn_write(&p->c[side], p->fd[side], &pos, len);

	if (n != CONN_USE_TCP)
		return n;
	n = send(p->fd[side], buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		n = -errno;
	conn_tx_done(&p->c[side], n);
	return n;
}

ssize_t pair_read(struct pair *p, int side, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	struct iov_pos pos = iov_pos_init(&iov, 1);
	struct conn *c = &p->c[side];
	ssize_t n;

	if (conn_rx_is_open(c) || !conn_rx_enter_kernel(c))
		return conn_read(c, p->fd[side], &pos, len, flags);
	n = recv(p->fd[side], buf, len, MSG_DONTWAIT | (flags & CONN_PEEK ? MSG_PEEK : 0));
	if (n < 0)
		n = -errno;
	conn_rx_leave_kernel(c);
	return n;
}

ssize_t pair_await(struct pair *p, int side, void *buf, size_t len)
{
	ssize_t n = -EAGAIN;

	for (int i = 0; i < 1000 && n == -EAGAIN; i++) {
		n = pair_read(p, side, buf, len, CONN_ASK);
		if (n == -EAGAIN)
			usleep(1000);
	}
	return n;
}

unsigned pair_rings(struct pair *p, int side)
{
	return atomic_exchange(&p->side[side ^ 1].rung, 0);
}

void pair_fill(int d, uint64_t pos, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)buf)[i] = pair_byte(d, pos + i);
}

bool pair_same(int d, uint64_t pos, const void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((const unsigned char *)buf)[i] != pair_byte(d, pos + i))
			return false;
	return true;
}
