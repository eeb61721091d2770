/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random schedules against the simplest model there is: each direction is a queue
 * of bytes whose content follows from their position. After each step: what was
 * read is what comes next; in the end all has arrived, and then the end.
 *
 *   test_model [seeds [first seed]]             one thread does everything
 *   test_model threads [seeds [first seed]]     a writer and a reader at each end,
 *                                               and one who looks without a lock
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "fabric/reason.h"
#include "smc/test_pair.h"

#define BUF 12288u

static _Atomic uint64_t moved_by_ring, moved_by_tcp, switches;

struct model {
	struct pair *p;
	struct rnd r;
	uint64_t seed;
	unsigned step;
	uint64_t written[2], got[2]; /* per direction */
	bool ended[2];               /* the writer of this direction said its last */
	bool gone[2];                /* this side was closed */
	unsigned char buf[BUF];
};

#define CHECK(m, cond)                              \
	do {                                        \
		if (!(cond))                        \
			broken(m, #cond, __LINE__); \
	} while (0)

static void broken(struct model *m, const char *what, int line)
{
	fprintf(stderr, "seed %llu step %u line %d: %s\n", (unsigned long long)m->seed, m->step,
	        line, what);
	for (int d = 0; d < 2; d++)
		fprintf(stderr, "  direction %d: %llu written, %llu read, switch %u, followed %u\n",
		        d, (unsigned long long)m->written[d], (unsigned long long)m->got[d],
		        atomic_load(&m->p->rows[d].tx_seq), atomic_load(&m->p->rows[d ^ 1].rx_seq));
	exit(1);
}

/* Small numbers often, around the ring's size now and then. */
static size_t some_len(struct rnd *r, uint32_t ring)
{
	uint32_t max = rnd(r, 4) == 0 ? ring + ring / 2 : rnd(r, 2) ? 16 : ring / 2;

	if (max > BUF)
		max = BUF;
	return 1 + rnd(r, max);
}

/* ---- steps; @s is a side, and the direction that it writes */

static void do_write(struct model *m, int s)
{
	size_t len = some_len(&m->r, m->p->c[s].size);
	ssize_t n;

	pair_fill(s, m->written[s], m->buf, len);
	n = pair_write(m->p, s, m->buf, len);
	CHECK(m, n == -EAGAIN || (n > 0 && (size_t)n <= len));
	if (n > 0)
		m->written[s] += (uint64_t)n;
}

/* Past the library: any program may do that as long as the path is TCP. */
static void do_raw_write(struct model *m, int s)
{
	size_t len = 1 + rnd(&m->r, 2000);
	ssize_t n;

	if (!conn_tx_enter_kernel(&m->p->c[s]))
		return;
	pair_fill(s, m->written[s], m->buf, len);
	n = send(m->p->fd[s], m->buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		m->written[s] += (uint64_t)n;
	conn_tx_done(&m->p->c[s], n);
}

static ssize_t do_read(struct model *m, int s, int flags)
{
	int d = s ^ 1;
	size_t len = some_len(&m->r, m->p->c[s].size);
	ssize_t n = pair_read(m->p, s, m->buf, len, flags);

	CHECK(m, n >= 0 || n == -EAGAIN || (m->gone[d] && n == -ECONNRESET));
	if (n <= 0) {
		CHECK(m, n || (m->ended[d] && (m->got[d] == m->written[d] || m->gone[d])));
		return n;
	}
	CHECK(m, (size_t)n <= len && m->got[d] + (uint64_t)n <= m->written[d]);
	CHECK(m, pair_same(d, m->got[d], m->buf, (size_t)n));
	if (!(flags & CONN_PEEK))
		m->got[d] += (uint64_t)n;
	return n;
}

static void do_discard(struct model *m, int s)
{
	int d = s ^ 1;
	ssize_t n;

	if (!conn_rx_is_open(&m->p->c[s]))
		return;
	n = pair_read(m->p, s, NULL, 1 + rnd(&m->r, 100), CONN_DISCARD);
	CHECK(m, n > 0 || n == -EAGAIN || m->ended[d]);
	if (n > 0)
		m->got[d] += (uint64_t)n;
	CHECK(m, m->got[d] <= m->written[d]);
}

static void do_questions(struct model *m, int s)
{
	struct conn *c = &m->p->c[s];
	int n;

	CHECK(m, conn_tx_room(c) <= c->size);
	CHECK(m, conn_tx_unread(c) <= c->size);
	CHECK(m, conn_rx_in_ring(c) <= c->size);
	if (!conn_rx_is_open(c))
		return;
	n = conn_rx_bytes(c, m->p->fd[s]);
	CHECK(m, n >= 0 && (uint64_t)n <= m->written[s ^ 1] - m->got[s ^ 1]);
	if (conn_rx_pending(c) && !m->ended[s ^ 1])
		CHECK(m, do_read(m, s, CONN_PEEK) != 0);
}

static void do_step(struct model *m)
{
	int s = (int)rnd(&m->r, 2);
	struct conn *c = &m->p->c[s];

	m->step++;
	switch (rnd(&m->r, 32)) {
	case 0 ... 9:
		do_write(m, s);
		break;
	case 10 ... 18:
		do_read(m, s, rnd(&m->r, 2) ? CONN_ASK : 0);
		break;
	case 19:
		do_read(m, s, CONN_PEEK);
		break;
	case 20:
		do_discard(m, s);
		break;
	case 21 ... 23:
		pair_open(m->p, s);
		break;
	case 24:
	case 25:
		conn_tx_to_tcp(c);
		break;
	case 26:
	case 27:
		do_raw_write(m, s);
		break;
	case 28:
		do_questions(m, s);
		break;
	case 29:
		if (rnd(&m->r, 40) == 0)
			conn_pin(c, FAB_REASON_OI_OOB);
		break;
	case 30:
		if (rnd(&m->r, 40) == 0)
			conn_return(c, FAB_REASON_OI_EXEC);
		break;
	default:
		if (conn_take_back_due(c))
			conn_take_back(c, m->p->fd[s]);
		break;
	}
}

/* Read on side @s until nothing is left of what was written. */
static void drain(struct model *m, int s)
{
	int d = s ^ 1;

	for (int patience = 10000; m->got[d] < m->written[d];) {
		if (conn_take_back_due(&m->p->c[d]))
			conn_take_back(&m->p->c[d], m->p->fd[d]);
		if (do_read(m, s, CONN_ASK) > 0)
			continue;
		CHECK(m, --patience > 0);
		usleep(1000);
	}
}

static void expect_end(struct model *m, int s, bool reset_too)
{
	ssize_t n = pair_await(m->p, s, m->buf, BUF);

	CHECK(m, n == 0 || (reset_too && n == -ECONNRESET));
	CHECK(m, pair_await(m->p, s, m->buf, BUF) == 0);
}

static void end_of_one_direction(struct model *m, int s)
{
	drain(m, s ^ 1); /* what is to be taken back has to be on its way */
	conn_shutdown_write(&m->p->c[s]);
	shutdown(m->p->fd[s], SHUT_WR);
	m->ended[s] = true;
	for (int i = 0; i < 20; i++)
		do_write(m, s ^ 1);
	drain(m, s);
	expect_end(m, s ^ 1, false);
}

static void end_of_all(struct model *m, int s)
{
	bool unread;

	drain(m, s);
	for (int i = 0; i < 5; i++)
		do_write(m, s);
	while (conn_take_back_due(&m->p->c[s]) && !conn_take_back(&m->p->c[s], m->p->fd[s]))
		do_read(m, s ^ 1, 0);
	unread = conn_close_begin(&m->p->c[s]);
	CHECK(m, !unread || atomic_load(&m->p->rows[s].rx_frozen));
	close(m->p->fd[s]);
	m->p->fd[s] = -1;
	m->ended[s] = true;
	drain(m, s ^ 1);
	expect_end(m, s ^ 1, false);
}

/* Closed with data unread: the other one gets what was on its way, as far as TCP
 * does not throw it away, in order; then a reset or the end. */
static void end_with_data_unread(struct model *m, int s)
{
	ssize_t n;

	conn_close_begin(&m->p->c[s]);
	close(m->p->fd[s]);
	m->p->fd[s] = -1;
	m->ended[s] = m->gone[s] = true;
	for (int i = 0; i < 2000; i++) {
		n = do_read(m, s ^ 1, CONN_ASK);
		if (n == 0 || n == -ECONNRESET)
			break;
		CHECK(m, i < 1999);
		if (n < 0)
			usleep(1000);
	}
	expect_end(m, s ^ 1, true);
}

static void seek_somewhere(struct model *m)
{
	static const uint64_t from[] = { 0, UINT32_MAX - 5000, UINT64_MAX - 5000 };

	for (int d = 0; d < 2; d++)
		pair_seek(m->p, d, from[rnd(&m->r, 3)] + rnd(&m->r, 5000),
		          rnd(&m->r, 2) ? 0 : UINT32_MAX - 3);
}

static void run_seed(uint64_t seed)
{
	struct model m = { .seed = seed, .r = { seed } };
	int small = 4096, window = 32768, s;
	unsigned steps;

	m.p = pair_new(64u << rnd(&m.r, 9));
	seek_somewhere(&m);
	if (rnd(&m.r, 8) == 0)
		for (int i = 0; i < 2; i++) {
			setsockopt(m.p->fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
			setsockopt(m.p->fd[i], SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
		}
	steps = rnd(&m.r, 600);
	while (m.step < steps)
		do_step(&m);
	s = (int)rnd(&m.r, 2);
	switch (rnd(&m.r, 3)) {
	case 0:
		end_of_one_direction(&m, s);
		break;
	case 1:
		end_of_all(&m, s);
		break;
	default:
		end_with_data_unread(&m, s);
	}
	for (int i = 0; i < 2; i++) {
		moved_by_ring += atomic_load(&m.p->rows[i].rx_smc_bytes);
		moved_by_tcp += atomic_load(&m.p->rows[i].rx_tcp_bytes);
		switches += atomic_load(&m.p->rows[i].switches_to_smc) +
		            atomic_load(&m.p->rows[i].switches_to_tcp);
	}
	pair_free(m.p);
}

/* ---- threads */

struct job {
	struct pair *p;
	uint64_t seed;
	int s;
	uint64_t total;
	bool flips;            /* this run changes paths at random */
	uint64_t ahead;        /* the writer gets this far ahead of its reader */
	_Atomic uint64_t *got; /* bytes read, per direction */
	_Atomic bool *stop;
};

static void job_broken(struct job *j, int d, const char *what, uint64_t pos, ssize_t n)
{
	fprintf(stderr, "seed %llu direction %d: %s at %llu (%zd), switch %u, followed %u\n",
	        (unsigned long long)j->seed, d, what, (unsigned long long)pos, n,
	        atomic_load(&j->p->rows[d].tx_seq), atomic_load(&j->p->rows[d ^ 1].rx_seq));
	exit(1);
}

/* Where in the stream do these bytes come from? */
static void job_wrong(struct job *j, uint64_t pos, const unsigned char *buf, size_t n)
{
	size_t good = 0;

	while (pair_same(j->s ^ 1, pos + good, buf + good, 1))
		good++;
	for (uint64_t at = 0; at < j->total && n - good >= 4; at++)
		if (pair_same(j->s ^ 1, at, buf + good, 4))
			fprintf(stderr, "from byte %zu on it is what lies at %llu\n", good,
			        (unsigned long long)at);
	job_broken(j, j->s ^ 1, "wrong bytes", pos, (ssize_t)n);
}

static void nap(struct rnd *r)
{
	if (rnd(r, 4) == 0)
		usleep(rnd(r, 300));
	else
		sched_yield();
}

static void *writer(void *arg)
{
	struct job *j = arg;
	struct conn *c = &j->p->c[j->s];
	struct rnd r = { j->seed * 4 + (uint64_t)j->s };
	uint64_t pos = 0, give_up = sys_now_ns() + 60000000000ull;
	unsigned char buf[BUF];

	while (pos < j->total) {
		size_t len = some_len(&r, c->size);
		ssize_t n = -EAGAIN;

		if (len > j->total - pos)
			len = (size_t)(j->total - pos);
		pair_fill(j->s, pos, buf, len);
		if (pos - atomic_load(&j->got[j->s]) < j->ahead)
			n = pair_write(j->p, j->s, buf, len);
		if (n > 0)
			pos += (uint64_t)n;
		else if (n != -EAGAIN)
			job_broken(j, j->s, "write", pos, n);
		else
			nap(&r);
		if (j->flips && rnd(&r, 8) == 0)
			conn_tx_to_tcp(c);
		if (conn_take_back_due(c))
			conn_take_back(c, j->p->fd[j->s]);
		if (sys_now_ns() > give_up)
			job_broken(j, j->s, "write stands still", pos, n);
	}
	while (conn_take_back_due(c) && !conn_take_back(c, j->p->fd[j->s]))
		nap(&r);
	conn_shutdown_write(c);
	shutdown(j->p->fd[j->s], SHUT_WR);
	return NULL;
}

static void *reader(void *arg)
{
	struct job *j = arg;
	struct rnd r = { j->seed * 4 + 2 + (uint64_t)j->s };
	uint64_t pos = 0, give_up = sys_now_ns() + 60000000000ull, open_at = rnd(&r, 30000);
	unsigned char buf[BUF];
	ssize_t n;

	for (;;) {
		if (pos >= open_at)
			pair_open(j->p, j->s);
		n = pair_read(j->p, j->s, buf, some_len(&r, j->p->c[j->s].size), CONN_ASK);
		if (n == 0)
			break;
		if (n < 0 && n != -EAGAIN)
			job_broken(j, j->s ^ 1, "read", pos, n);
		if (n > 0 && !pair_same(j->s ^ 1, pos, buf, (size_t)n))
			job_wrong(j, pos, buf, (size_t)n);
		if (n > 0)
			atomic_store(&j->got[j->s ^ 1], pos += (uint64_t)n);
		if (n < 0 || rnd(&r, 16) == 0)
			nap(&r);
		if (sys_now_ns() > give_up)
			job_broken(j, j->s ^ 1, "read stands still", pos, n);
	}
	if (pos != j->total)
		job_broken(j, j->s ^ 1, "end too early", pos, n);
	return NULL;
}

/* What poll() of another thread does, and now and then a program that changes its
 * mind about the path. */
static void *onlooker(void *arg)
{
	struct job *j = arg;
	struct conn *c = &j->p->c[j->s];
	struct rnd r = { j->seed * 4 + 7 };

	while (!atomic_load(j->stop)) {
		if (conn_tx_room(c) > c->size)
			job_broken(j, j->s, "more room than ring", conn_tx_room(c), 0);
		conn_tx_writable(c);
		conn_rx_pending(c);
		if (rnd(&r, 2))
			conn_tx_arm(c, FAB_ARM_MARK);
		if (j->flips && rnd(&r, 64) == 0)
			conn_tx_to_tcp(c);
		usleep(rnd(&r, 100));
	}
	return NULL;
}

static void run_threads(uint64_t seed)
{
	struct rnd r = { seed };
	_Atomic bool stop = false;
	struct job jobs[2];
	pthread_t w[2], rd[2], look;
	struct pair *p = pair_new(1024u << rnd(&r, 7));
	bool flips = rnd(&r, 4) != 0;
	uint64_t total = 100000 + rnd(&r, 400000), ahead = 1024u << rnd(&r, 8);
	_Atomic uint64_t got[2] = { 0, 0 };

	for (int s = 0; s < 2; s++) {
		jobs[s] = (struct job){ p, seed, s, total, flips, ahead, got, &stop };
		pthread_create(&w[s], NULL, writer, &jobs[s]);
		pthread_create(&rd[s], NULL, reader, &jobs[s]);
	}
	pthread_create(&look, NULL, onlooker, &jobs[rnd(&r, 2)]);
	if (rnd(&r, 2) == 0) {
		usleep(rnd(&r, 10000));
		if (rnd(&r, 3) == 0)
			conn_pin(&p->c[rnd(&r, 2)], FAB_REASON_OI_OOB);
		else
			conn_return(&p->c[rnd(&r, 2)], FAB_REASON_OI_EXEC);
	}
	for (int s = 0; s < 2; s++) {
		pthread_join(w[s], NULL);
		pthread_join(rd[s], NULL);
	}
	atomic_store(&stop, true);
	pthread_join(look, NULL);
	for (int i = 0; i < 2; i++) {
		moved_by_ring += atomic_load(&p->rows[i].rx_smc_bytes);
		moved_by_tcp += atomic_load(&p->rows[i].rx_tcp_bytes);
		switches += atomic_load(&p->rows[i].switches_to_smc) +
		            atomic_load(&p->rows[i].switches_to_tcp);
	}
	pair_free(p);
}

int main(int argc, char **argv)
{
	bool threads = argc > 1 && strcmp(argv[1], "threads") == 0;
	uint64_t n, first, start = sys_now_ns();

	argc -= threads;
	argv += threads;
	n = argc > 1 ? strtoull(argv[1], NULL, 0) : threads ? 20 : 300;
	first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	printf("seeds %llu to %llu\n", (unsigned long long)first,
	       (unsigned long long)(first + n - 1));
	fflush(stdout);
	for (uint64_t seed = first; seed < first + n; seed++)
		threads ? run_threads(seed) : run_seed(seed);
	printf("%llu bytes by ring, %llu by TCP, %llu switches, %.1f s\n",
	       (unsigned long long)moved_by_ring, (unsigned long long)moved_by_tcp,
	       (unsigned long long)switches, (double)(sys_now_ns() - start) / 1e9);
	return 0;
}
