/* SPDX-License-Identifier: Apache-2.0 */
/* Rings and their interrupts: bytes, positions, room, who is told when. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "smc/test_pair.h"

static struct pair *with_ring(uint32_t ring_bytes)
{
	struct pair *p = pair_new(ring_bytes);

	pair_open_both(p);
	return p;
}

/* Write and read @len bytes of direction 0 that begin at stream position @at. */
static void roundtrip(struct pair *p, uint64_t at, size_t len)
{
	unsigned char out[8192], in[8192];

	assert_true(len <= sizeof(out));
	pair_fill(0, at, out, len);
	assert_int_equal(pair_write(p, 0, out, len), len);
	assert_int_equal(conn_rx_in_ring(&p->c[1]), len);
	assert_int_equal(pair_read(p, 1, in, sizeof(in), 0), len);
	assert_true(pair_same(0, at, in, len));
}

/* ---------------------------------------------------------------- the ring */

static void a_message_wraps_at_every_offset(void **state)
{
	struct pair *p = with_ring(64);

	for (uint64_t start = 0; start < 64; start++)
		for (size_t len = 1; len <= 64; len++) {
			pair_seek(p, 0, start, 0);
			atomic_store(&p->c[0].row->tx_gate, 0);
			roundtrip(p, start, len);
		}
	pair_free(p);
}

static void positions_pass_2_to_the_32_and_64(void **state)
{
	static const uint64_t starts[] = { UINT32_MAX - 100, UINT32_MAX,       1ull << 32,
		                           INT64_MAX - 99,   UINT64_MAX - 100, UINT64_MAX };

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct pair *p = with_ring(4096);
		uint64_t at = starts[i];

		pair_seek(p, 0, at, 0);
		for (int n = 0; n < 20; n++, at += 1000)
			roundtrip(p, at, 1000);
		assert_true(atomic_load(&p->c[0].tx->prod) == at);
		assert_true(atomic_load(&p->c[1].rx->cons) == at);
		assert_int_equal(conn_tx_room(&p->c[0]), 4096);
		pair_free(p);
	}
}

static void switch_numbers_pass_2_to_the_32(void **state)
{
	struct pair *p = with_ring(4096);
	char c;

	pair_seek(p, 0, 0, UINT32_MAX - 3);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pair_write(p, 0, "r", 1), 1);
		assert_true(conn_tx_on_ring(&p->c[0]));
		assert_int_equal(pair_await(p, 1, &c, 1), 1);
		assert_int_equal(c, 'r');
		assert_true(conn_tx_to_tcp(&p->c[0]));
		assert_int_equal(pair_read(p, 1, &c, 1, 0), -EAGAIN); /* follows */
	}
	assert_int_equal(atomic_load(&p->c[1].rx->ack), UINT32_MAX - 3 + 16);
	pair_free(p);
}

static void full_and_empty(void **state)
{
	struct pair *p = with_ring(4096);
	unsigned char buf[5000];

	assert_int_equal(pair_read(p, 1, buf, 10, 0), -EAGAIN);
	pair_fill(0, 0, buf, sizeof(buf));
	assert_int_equal(pair_write(p, 0, buf, sizeof(buf)), 4096);
	assert_int_equal(conn_tx_room(&p->c[0]), 0);
	assert_int_equal(conn_tx_unread(&p->c[0]), 4096);
	assert_int_equal(pair_write(p, 0, buf, 1), -EAGAIN);
	assert_int_equal(atomic_load(&p->c[0].row->tx_full), 1);
	assert_int_equal(pair_read(p, 1, buf, 1, 0), 1);
	assert_int_equal(pair_write(p, 0, buf + 4096, 4), 1);
	assert_int_equal(pair_read(p, 1, buf, sizeof(buf), 0), 4096);
	assert_true(pair_same(0, 1, buf, 4095));
	assert_int_equal(conn_rx_in_ring(&p->c[1]), 0);
	assert_false(conn_rx_pending(&p->c[1]));
	assert_int_equal(pair_read(p, 1, buf, 10, CONN_ASK), -EAGAIN);
	pair_free(p);
}

static void a_long_write_goes_in_pieces(void **state)
{
	struct pair *p = with_ring(65536);
	unsigned char *buf = malloc(65536), *in = malloc(65536);

	pair_seek(p, 0, 40000, 0);
	pair_fill(0, 40000, buf, 65536);
	assert_int_equal(pair_write(p, 0, buf, 65536), 65536);
	assert_int_equal(pair_read(p, 1, in, 65536, 0), 65536);
	assert_memory_equal(buf, in, 65536);
	assert_int_equal(atomic_load(&p->c[0].row->tx_smc_bytes), 65536);
	assert_int_equal(atomic_load(&p->c[0].row->tx_smc_calls), 1);
	assert_int_equal(atomic_load(&p->c[1].row->rx_smc_bytes), 65536);
	free(buf);
	free(in);
	pair_free(p);
}

static void many_buffers_one_stream(void **state)
{
	struct pair *p = with_ring(4096);
	unsigned char out[3000], in[3000];
	struct iovec src[5] = { { out, 0 },
		                { out, 1 },
		                { out + 1, 999 },
		                { out, 0 },
		                { out + 1000, 2000 } };
	struct iovec dst[3] = { { in, 7 }, { NULL, 0 }, { in + 7, 2993 } };
	struct iov_pos w = iov_pos_init(src, 5), r = iov_pos_init(dst, 3);

	pair_seek(p, 0, 4000, 0);
	pair_fill(0, 0, out, sizeof(out));
	assert_int_equal(conn_write(&p->c[0], p->fd[0], &w, 3000), 3000);
	assert_int_equal(conn_read(&p->c[1], p->fd[1], &r, 3000, 0), 3000);
	assert_true(pair_same(0, 0, in, 3000));
	pair_free(p);
}

static ssize_t fill_some(void *arg, char *mem, size_t room)
{
	size_t *want = arg, n = room < *want ? room : *want;

	memset(mem, 'f', n);
	*want -= n;
	return (ssize_t)n;
}

static ssize_t fill_fails(void *arg, char *mem, size_t room)
{
	return -EIO;
}

static void write_fill_stays_within_the_ring(void **state)
{
	struct pair *p = with_ring(4096);
	struct conn *c = &p->c[0];
	size_t want = 4096;
	char buf[4096];

	pair_seek(p, 0, 4000, 0);
	assert_int_equal(conn_write_fill(c, p->fd[0], 4096, fill_fails, NULL), -EIO);
	assert_int_equal(conn_tx_room(c), 4096);
	assert_int_equal(conn_write_fill(c, p->fd[0], 4096, fill_some, &want), 96);
	assert_int_equal(conn_write_fill(c, p->fd[0], 4096, fill_some, &want), 4000);
	want = 1;
	assert_int_equal(conn_write_fill(c, p->fd[0], 1, fill_some, &want), -EAGAIN);
	assert_int_equal(pair_read(p, 1, buf, sizeof(buf), 0), 4096);
	assert_int_equal(buf[0], 'f');
	assert_int_equal(buf[4095], 'f');
	pair_free(p);
}

static void peek_and_discard(void **state)
{
	struct pair *p = with_ring(64);
	unsigned char buf[64] = { 0 };

	pair_seek(p, 0, 50, 0);
	pair_fill(0, 0, buf, 40);
	assert_int_equal(pair_write(p, 0, buf, 40), 40);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(pair_read(p, 1, buf, 64, CONN_PEEK), 40);
	assert_true(pair_same(0, 0, buf, 40));
	assert_int_equal(conn_tx_unread(&p->c[0]), 40);
	assert_int_equal(pair_read(p, 1, NULL, 10, CONN_PEEK | CONN_DISCARD), 10);
	assert_int_equal(pair_read(p, 1, NULL, 10, CONN_DISCARD), 10);
	assert_int_equal(conn_rx_bytes(&p->c[1], p->fd[1]), 30);
	assert_int_equal(pair_read(p, 1, buf, 64, 0), 30);
	assert_true(pair_same(0, 10, buf, 30));
	pair_free(p);
}

static void peek_and_discard_on_tcp(void **state)
{
	struct pair *p = pair_new(4096);
	unsigned char buf[64];

	assert_true(pair_open(p, 1));
	assert_int_equal(send(p->fd[0], "abcdef", 6, 0), 6);
	assert_int_equal(pair_write(p, 0, "ghi", 3), 3); /* by ring */
	assert_int_equal(pair_read(p, 1, buf, 64, CONN_PEEK), 6);
	assert_int_equal(pair_read(p, 1, NULL, 2, CONN_DISCARD), 2);
	assert_false(conn_rx_pending(&p->c[1]));
	assert_int_equal(pair_read(p, 1, buf, 64, 0), 4);
	assert_memory_equal(buf, "cdef", 4);
	assert_true(conn_rx_pending(&p->c[1]));
	assert_int_equal(pair_read(p, 1, buf, 64, 0), 3);
	assert_memory_equal(buf, "ghi", 3);
	pair_free(p);
}

static void zero_bytes_change_nothing(void **state)
{
	struct pair *p = with_ring(64);
	char buf[64];

	assert_int_equal(pair_write(p, 0, buf, 0), 0);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_read(p, 1, buf, 0, 0), 0);
	assert_int_equal(conn_rx_in_ring(&p->c[1]), 1);
	pair_free(p);
}

/* ---------------------------------------------------------------- room */

static void writable_from_half_a_ring_on(void **state)
{
	struct pair *p = with_ring(4096);
	struct conn *c = &p->c[0];
	char buf[4096] = { 0 };

	assert_true(conn_tx_writable(c));
	assert_int_equal(pair_write(p, 0, buf, 2048), 2048);
	assert_true(conn_tx_writable(c));
	assert_int_equal(pair_write(p, 0, buf, 1), 1);
	assert_false(conn_tx_writable(c));
	assert_int_equal(conn_tx_room(c), 2047);
	assert_int_equal(pair_read(p, 1, buf, 1, 0), 1);
	assert_true(conn_tx_writable(c));
	assert_true(conn_tx_consumed(c) == 1);
	pair_free(p);
}

static void a_lying_consumer_gets_no_room(void **state)
{
	static const uint64_t lies[] = { 1, 200000, UINT64_MAX, 1ull << 63, 100000 - 4096 - 1 };
	struct pair *p = with_ring(4096);
	char buf[4096] = { 0 };

	pair_seek(p, 0, 100000 - 4096, 0);
	assert_int_equal(pair_write(p, 0, buf, 4096), 4096);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		atomic_store(&p->c[0].tx->cons, lies[i]);
		assert_int_equal(conn_tx_room(&p->c[0]), 0);
		assert_int_equal(pair_write(p, 0, buf, 1), -EAGAIN);
		assert_true(conn_tx_unread(&p->c[0]) <= 4096);
	}
	pair_free(p);
}

static void a_lying_producer_ends_the_connection(void **state)
{
	struct pair *p = with_ring(4096);
	char buf[8192];

	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_read(p, 1, buf, 1, 0), 1);
	atomic_store(&p->c[1].rx->prod, 4098);
	assert_true(conn_rx_in_ring(&p->c[1]) <= 4096);
	assert_int_equal(pair_read(p, 1, buf, sizeof(buf), 0), -ECONNRESET);
	assert_int_equal(pair_read(p, 1, buf, sizeof(buf), 0), 0);
	pair_free(p);
}

static void a_lying_switch_ends_the_connection(void **state)
{
	static const uint32_t seqs[] = { 5, 4, UINT32_MAX, 1u << 31 };
	char buf[64];

	for (size_t i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
		struct pair *p = with_ring(4096);

		atomic_store(&p->c[1].rx->seq, seqs[i]);
		assert_int_equal(pair_read(p, 1, buf, sizeof(buf), 0), -ECONNRESET);
		assert_int_equal(pair_read(p, 1, buf, sizeof(buf), 0), 0);
		pair_free(p);
	}
}

/* ---------------------------------------------------------------- interrupts */

static uint64_t take_ready(struct pair *p, int side)
{
	return atomic_exchange(&p->head->side[side].ready, 0);
}

static void nothing_armed_nobody_is_told(void **state)
{
	struct pair *p = with_ring(4096);
	char c;

	atomic_store(&p->head->side[1].asleep, 1);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_read(p, 1, &c, 1, 0), 1);
	assert_int_equal(pair_rings(p, 0) + pair_rings(p, 1), 0);
	assert_true(take_ready(p, 0) == 0 && take_ready(p, 1) == 0);
	assert_int_equal(atomic_load(&p->head->side[1].asleep), 1);
	pair_free(p);
}

static void ring_rings_once(void **state)
{
	struct pair *p = with_ring(4096);

	conn_rx_arm(&p->c[1], FAB_ARM_RING);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_rings(p, 1), 1);
	assert_true(take_ready(p, 1) == 1);
	assert_int_equal(atomic_load(&p->c[1].rx->rx_arm), FAB_ARM_NONE);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_rings(p, 1), 0);
	assert_int_equal(pair_rings(p, 0), 0);
	pair_free(p);
}

static void mark_rings_only_a_sleeper(void **state)
{
	struct pair *p = with_ring(4096);

	conn_rx_arm(&p->c[1], FAB_ARM_MARK);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_rings(p, 1), 0);
	assert_true(take_ready(p, 1) == 1);

	conn_rx_arm(&p->c[1], FAB_ARM_MARK);
	atomic_store(&p->head->side[1].asleep, 2);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_rings(p, 1), 1);
	assert_int_equal(atomic_load(&p->head->side[1].asleep), 0);
	pair_free(p);
}

static void mark_and_ring_together(void **state)
{
	struct pair *p = with_ring(4096);

	conn_rx_arm(&p->c[1], FAB_ARM_MARK);
	conn_rx_arm(&p->c[1], FAB_ARM_RING);
	assert_int_equal(atomic_load(&p->c[1].rx->rx_arm), FAB_ARM_MARK | FAB_ARM_RING);
	conn_rx_arm(&p->c[1], FAB_ARM_MARK); /* takes nothing away */
	assert_int_equal(atomic_load(&p->c[1].rx->rx_arm), FAB_ARM_MARK | FAB_ARM_RING);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_int_equal(pair_rings(p, 1), 1);
	assert_true(take_ready(p, 1) == 1);
	pair_free(p);
}

static void room_is_told_at_half(void **state)
{
	struct pair *p = with_ring(4096);
	char buf[4096] = { 0 };

	assert_int_equal(pair_write(p, 0, buf, 4096), 4096);
	conn_tx_arm(&p->c[0], FAB_ARM_RING);
	assert_int_equal(pair_read(p, 1, buf, 2047, 0), 2047);
	assert_int_equal(pair_rings(p, 0), 0);
	assert_int_equal(pair_read(p, 1, buf, 1, CONN_PEEK), 1);
	assert_int_equal(pair_rings(p, 0), 0);
	assert_int_equal(pair_read(p, 1, buf, 1, 0), 1);
	assert_int_equal(pair_rings(p, 0), 1);
	assert_true(take_ready(p, 0) == 1);
	assert_true(conn_tx_writable(&p->c[0]));
	assert_int_equal(pair_read(p, 1, buf, 4096, 0), 2048);
	assert_int_equal(pair_rings(p, 0), 0);
	pair_free(p);
}

static void ready_bit_is_the_slot(void **state)
{
	struct pair *p = with_ring(4096);

	p->c[0].slot = 63; /* only the bit depends on it */
	conn_rx_arm(&p->c[1], FAB_ARM_MARK);
	assert_int_equal(pair_write(p, 0, "x", 1), 1);
	assert_true(take_ready(p, 1) == 1ull << 63);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_wraps_at_every_offset),
		cmocka_unit_test(positions_pass_2_to_the_32_and_64),
		cmocka_unit_test(switch_numbers_pass_2_to_the_32),
		cmocka_unit_test(full_and_empty),
		cmocka_unit_test(a_long_write_goes_in_pieces),
		cmocka_unit_test(many_buffers_one_stream),
		cmocka_unit_test(write_fill_stays_within_the_ring),
		cmocka_unit_test(peek_and_discard),
		cmocka_unit_test(peek_and_discard_on_tcp),
		cmocka_unit_test(zero_bytes_change_nothing),
		cmocka_unit_test(writable_from_half_a_ring_on),
		cmocka_unit_test(a_lying_consumer_gets_no_room),
		cmocka_unit_test(a_lying_producer_ends_the_connection),
		cmocka_unit_test(a_lying_switch_ends_the_connection),
		cmocka_unit_test(nothing_armed_nobody_is_told),
		cmocka_unit_test(ring_rings_once),
		cmocka_unit_test(mark_rings_only_a_sleeper),
		cmocka_unit_test(mark_and_ring_together),
		cmocka_unit_test(room_is_told_at_half),
		cmocka_unit_test(ready_bit_is_the_slot),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
