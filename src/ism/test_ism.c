/* SPDX-License-Identifier: Apache-2.0 */
/* Client of the fabric without an ismd: what it takes in, and the table's protocol. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ism/client.h"

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int memfd(const void *head, size_t head_bytes, uint64_t bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	if (bytes >= head_bytes)
		assert_int_equal(pwrite(fd, head, head_bytes, 0), head_bytes);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---------------------------------------------------------------- segments */

static uint32_t next_id = 100;

static struct fab_segment good_head(void)
{
	return (struct fab_segment){ .magic = FAB_SEG_MAGIC,
		                     .version = FAB_LAYOUT_VERSION,
		                     .seg_id = ++next_id,
		                     .lgr_id = 0x100,
		                     .nslots = 2,
		                     .dmb_bytes = FAB_DMB_MIN_BYTES };
}

static uint64_t bytes_for(const struct fab_segment *h)
{
	return FAB_SEG_SLOTS_OFFSET + 2ull * h->nslots * (FAB_DMB_RING_OFFSET + h->dmb_bytes);
}

/* Let it arrive as ismd would send it; was it taken? */
static bool arrives(const struct fab_segment *h, uint64_t said, uint64_t is, int seals,
                    uint32_t said_id)
{
	struct fab_msg_segment m = { .seg_id = said_id, .lgr_id = h->lgr_id, .bytes = said };
	int fd = memfd(h, sizeof(*h), is, seals), vector = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	segment_arrived(&m, fd, vector, -1);
	assert_false(is_open(fd));
	assert_false(is_open(vector)); /* closed, or moved up */
	return ism_segment_get(said_id, 0, false) != NULL;
}

static bool is_taken(const struct fab_segment *h)
{
	return arrives(h, bytes_for(h), bytes_for(h), ALL_SEALS, h->seg_id);
}

static void a_good_segment_is_taken(void **state)
{
	struct fab_segment h = good_head();
	struct ism_segment *s;
	uint64_t v = 0;

	assert_true(is_taken(&h));
	s = ism_segment_get(h.seg_id, 1, false);
	assert_non_null(s);
	assert_int_equal(s->nslots, 2);
	assert_int_equal(s->dmb_bytes, FAB_DMB_MIN_BYTES);
	assert_true(s->bytes == bytes_for(&h));
	memset(s->base + FAB_SEG_SLOTS_OFFSET, 1, s->bytes - FAB_SEG_SLOTS_OFFSET);
	assert_true(privfd_is(*s->peer_vector));
	ism_ring(s);
	ism_ring(s);
	assert_int_equal(read(*s->peer_vector, &v, sizeof(v)), sizeof(v));
	assert_true(v == 2);
}

static void a_segment_comes_once(void **state)
{
	struct fab_segment h = good_head();
	struct ism_segment *s;

	assert_true(is_taken(&h));
	s = ism_segment_get(h.seg_id, 1, false);
	assert_true(is_taken(&h)); /* the second one was closed */
	assert_ptr_equal(s, ism_segment_get(h.seg_id, 1, false));
}

/* A group that is over: not found any more, its vector closed, its place used again. */
static void a_group_is_forgotten(void **state)
{
	struct fab_segment h = good_head();
	struct ism_segment *s;
	privfd_t *vector;

	assert_true(is_taken(&h));
	s = ism_segment_get(h.seg_id, 1, false);
	vector = s->peer_vector;
	segment_forget(h.lgr_id + 1);
	assert_ptr_equal(ism_segment_get(h.seg_id, 1, false), s);
	segment_forget(h.lgr_id);
	assert_null(ism_segment_get(h.seg_id, 1, false));
	assert_int_equal(*vector, -1);
	s->base[FAB_SEG_SLOTS_OFFSET] = 1; /* a late call may still look */
	h.seg_id++;
	assert_true(is_taken(&h));
	assert_ptr_equal(ism_segment_get(h.seg_id, 1, false)->peer_vector, vector);
	segment_forget(h.lgr_id);
}

/* The peer has written another group's id into the head before we saw it: then that
 * group's end would unmap what is in use. */
static void a_group_is_not_what_the_head_says(void **state)
{
	struct fab_segment h = good_head();
	struct fab_msg_segment m = { .seg_id = h.seg_id,
		                     .lgr_id = h.lgr_id + 0x100,
		                     .bytes = bytes_for(&h) };
	int fd = memfd(&h, sizeof(h), bytes_for(&h), ALL_SEALS);
	int vector = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	segment_arrived(&m, fd, vector, -1);
	assert_false(is_open(fd) || is_open(vector));
	assert_null(ism_segment_get(h.seg_id, 0, false));
}

/* Another ismd may give the same id to another group. */
static void a_new_ismd_forgets_its_own(void **state)
{
	struct fab_segment h = good_head();
	struct ism_segment *s;

	assert_true(is_taken(&h));
	s = ism_segment_get(h.seg_id, 1, false);
	segments_of_the_past();
	segment_forget(h.lgr_id);
	assert_ptr_equal(ism_segment_get(h.seg_id, 1, false), s);
	assert_true(privfd_is(*s->peer_vector));
}

/* What is used later is a copy: the peer's scribbling does not reach it. */
static void a_head_is_read_once(void **state)
{
	struct fab_segment h = good_head();
	struct ism_segment *s;

	assert_true(is_taken(&h));
	s = ism_segment_get(h.seg_id, 0, false);
	memset(s->head, 0xff, offsetof(struct fab_segment, side));
	assert_int_equal(s->nslots, 2);
	assert_int_equal(s->dmb_bytes, FAB_DMB_MIN_BYTES);
	assert_ptr_equal(ism_segment_get(h.seg_id, 0, false), s);
}

#define REFUSED(change)                                                  \
	do {                                                             \
		struct fab_segment h = good_head();                      \
		uint32_t id = h.seg_id;                                  \
		uint64_t bytes = bytes_for(&h);                          \
		change;                                                  \
		if (bytes_for(&h) > bytes && bytes_for(&h) < 1ull << 30) \
			bytes = bytes_for(&h);                           \
		assert_false(arrives(&h, bytes, bytes, ALL_SEALS, id));  \
	} while (0)

static void a_hostile_head_is_refused(void **state)
{
	REFUSED(h.magic++);
	REFUSED(h.version++);
	REFUSED(h.seg_id += 5000);
	REFUSED(h.nslots = 0);
	REFUSED(h.nslots = FAB_SEG_MAX_SLOTS + 1);
	REFUSED(h.nslots = UINT32_MAX);
	REFUSED(h.nslots = 0x80000000u);
	REFUSED(h.dmb_bytes = 0);
	REFUSED(h.dmb_bytes = FAB_DMB_MIN_BYTES / 2);
	REFUSED(h.dmb_bytes = FAB_DMB_MAX_BYTES * 2);
	REFUSED(h.dmb_bytes = FAB_DMB_MIN_BYTES + 64);
	REFUSED(h.dmb_bytes = UINT32_MAX);
	REFUSED(h.dmb_bytes = 0x80000000u);
}

static void a_segment_too_small_for_its_slots_is_refused(void **state)
{
	struct fab_segment h = good_head();
	uint64_t less = bytes_for(&h) - 1;

	assert_false(arrives(&h, less, bytes_for(&h), ALL_SEALS, h.seg_id));
	assert_false(arrives(&h, 0, bytes_for(&h), ALL_SEALS, h.seg_id));
	assert_false(arrives(&h, UINT64_MAX, bytes_for(&h), ALL_SEALS, h.seg_id));
	assert_true(is_taken(&h));
}

static void a_short_memfd_is_refused(void **state)
{
	struct fab_segment h = good_head();

	assert_false(arrives(&h, bytes_for(&h), 0, ALL_SEALS, h.seg_id));
	assert_false(arrives(&h, bytes_for(&h), 4096, ALL_SEALS, h.seg_id));
	assert_false(arrives(&h, bytes_for(&h), bytes_for(&h) - 1, ALL_SEALS, h.seg_id));
}

/* Somebody could cut it off under our feet. */
static void a_memfd_that_can_shrink_is_refused(void **state)
{
	struct fab_segment h = good_head();

	assert_false(arrives(&h, bytes_for(&h), bytes_for(&h), 0, h.seg_id));
	assert_false(arrives(&h, bytes_for(&h), bytes_for(&h), F_SEAL_GROW, h.seg_id));
}

/* ---------------------------------------------------------------- tables */

static uint32_t table_id = 1;

static int bell_fd, vector_fd; /* copies that the test keeps */

static bool table_comes(struct fab_table *h, uint64_t bytes, int seals, uint32_t status)
{
	struct fab_msg_welcome m = { .status = status,
		                     .table_id = ++table_id,
		                     .layout = FAB_LAYOUT_VERSION };
	struct ism_table *was = atomic_load(&ism_client.table);
	int fd = memfd(h, sizeof(*h), bytes, seals), bell = eventfd(0, EFD_NONBLOCK),
	    vector = eventfd(0, EFD_NONBLOCK);

	bell_fd = dup(bell);
	vector_fd = dup(vector);
	table_arrived(&m, fd, bell, vector);
	assert_false(is_open(fd) || is_open(bell) || is_open(vector));
	return atomic_load(&ism_client.table) != was;
}

static struct fab_table table_head(void)
{
	return (struct fab_table){ .magic = FAB_TABLE_MAGIC,
		                   .version = FAB_LAYOUT_VERSION,
		                   .rows = FAB_ROWS,
		                   .row_bytes = sizeof(struct fab_row) };
}

static void forget_copies(void)
{
	close(bell_fd);
	close(vector_fd);
}

static void a_hostile_table_is_refused(void **state)
{
	uint32_t n = ism_vector_changes();
	struct fab_table h = table_head();

	for (int i = 0; i < 6; i++) {
		h = table_head();
		h.magic += i == 0;
		h.version += i == 1;
		h.rows -= i == 2;
		assert_false(table_comes(&h, i == 3 ? 4096 : FAB_TABLE_BYTES,
		                         i == 4 ? 0 : ALL_SEALS,
		                         i == 5 ? FAB_WELCOME_QUOTA : FAB_WELCOME_OK));
		forget_copies();
	}
	assert_int_equal(ism_vector_changes(), n);
}

static struct ism_table *fresh_table(void)
{
	struct fab_table h = table_head();

	assert_true(table_comes(&h, FAB_TABLE_BYTES, ALL_SEALS, FAB_WELCOME_OK));
	return atomic_load(&ism_client.table);
}

static uint64_t taken_from(int fd)
{
	uint64_t v = 0;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

static void a_table_brings_a_vector(void **state)
{
	uint32_t n = ism_vector_changes();
	struct ism_table *t = fresh_table();

	assert_int_equal(ism_vector_changes(), n + 1);
	assert_true(privfd_is(ism_vector_of_change(n)) && privfd_is(t->bell));
	ism_ring_self();
	assert_true(taken_from(vector_fd) == 1);
	forget_copies();
}

static void dirty_rings_only_the_sleeper(void **state)
{
	struct ism_table *t = fresh_table();
	struct fab_row *last = &t->rows[FAB_ROWS - 1];

	ism_row_dirty(t, last);
	assert_true(taken_from(bell_fd) == 0);
	assert_true(atomic_load(&t->head->dirty[FAB_DIRTY_WORDS - 1]) == 1ull << 63);
	assert_true(atomic_load(&t->head->summary[FAB_SUMMARY_WORDS - 1]) == 1ull << 63);
	atomic_store(&t->head->bell_armed, 1);
	ism_row_dirty(t, &t->rows[64]);
	ism_row_dirty(t, &t->rows[64]);
	assert_true(taken_from(bell_fd) == 1);
	assert_int_equal(atomic_load(&t->head->bell_armed), 0);
	assert_true(atomic_load(&t->head->dirty[1]) == 1);
	assert_true(atomic_load(&t->head->summary[0]) == 2);
	atomic_store(&t->dead, true);
	ism_row_dirty(t, &t->rows[0]);
	assert_true(atomic_load(&t->head->dirty[0]) == 0);
	atomic_store(&ism_client.table, NULL);
	forget_copies();
}

/* ---- nothing is missed: rows change while ismd takes and sleeps */

#define CHANGES 20000
#define CHANGERS 3
#define CHANGED_ROWS 500u

struct taker {
	struct ism_table *t;
	_Atomic unsigned running;
	uint32_t seen[FAB_ROWS];
	unsigned slept;
	bool missed;
};

static void *changer(void *arg)
{
	struct taker *k = arg;
	uint64_t x = (uintptr_t)&x;

	for (int i = 0; i < CHANGES; i++) {
		uint32_t row;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		row = (uint32_t)(x >> 40) % CHANGED_ROWS * 61 % FAB_ROWS;
		atomic_fetch_add_explicit(&k->t->rows[row].want_rcvbuf, 1, memory_order_relaxed);
		ism_row_dirty(k->t, &k->t->rows[row]);
		if (i % 64 == 0)
			usleep(50);
	}
	atomic_fetch_sub(&k->running, 1);
	return NULL;
}

static bool take_all(struct taker *k)
{
	struct fab_table *h = k->t->head;
	bool any = false;

	for (uint32_t s = 0; s < FAB_SUMMARY_WORDS; s++) {
		uint64_t words = atomic_exchange(&h->summary[s], 0);

		for (; words; words &= words - 1) {
			uint32_t w = s * 64 + (uint32_t)__builtin_ctzll(words);
			uint64_t rows = atomic_exchange(&h->dirty[w], 0);

			for (; rows; rows &= rows - 1) {
				uint32_t r = w * 64 + (uint32_t)__builtin_ctzll(rows);

				k->seen[r] = atomic_load(&k->t->rows[r].want_rcvbuf);
			}
			any = true;
		}
	}
	return any;
}

/* As ismd does it: arm, look once more, sleep. */
static void *taker(void *arg)
{
	struct taker *k = arg;
	struct pollfd p = { .fd = bell_fd, .events = POLLIN };

	for (;;) {
		if (take_all(k))
			continue;
		atomic_store(&k->t->head->bell_armed, 1);
		if (take_all(k))
			continue;
		if (atomic_load(&k->running) == 0)
			return NULL;
		k->slept++;
		/* the last changer may have ended since: then nobody rings */
		if (poll(&p, 1, 2000) == 0 && atomic_load(&k->running))
			k->missed = true;
		taken_from(bell_fd);
	}
}

static void no_change_is_missed(void **state)
{
	struct taker *k = calloc(1, sizeof(*k));
	pthread_t c[CHANGERS], t;

	k->t = fresh_table();
	atomic_store(&k->running, CHANGERS);
	pthread_create(&t, NULL, taker, k);
	for (int i = 0; i < CHANGERS; i++)
		pthread_create(&c[i], NULL, changer, k);
	for (int i = 0; i < CHANGERS; i++)
		pthread_join(c[i], NULL);
	taken_from(bell_fd);
	ism_row_dirty(k->t, &k->t->rows[FAB_ROWS - 1]);
	pthread_join(t, NULL);
	assert_false(k->missed);
	for (uint32_t r = 0; r < FAB_ROWS; r++)
		assert_int_equal(k->seen[r], atomic_load(&k->t->rows[r].want_rcvbuf));
	free(k);
	forget_copies();
}

/* ---- rows */

static void all_rows_then_none(void **state)
{
	struct ism_table *t = fresh_table();
	struct fab_row *row, *again;
	uint32_t gen;

	for (uint32_t i = 0; i < FAB_ROWS; i++) {
		row = ism_row_alloc(t);
		assert_non_null(row);
		assert_int_equal(atomic_load(&row->state), FAB_ROW_HELD);
		assert_int_equal(atomic_load(&row->refs), 1);
	}
	assert_null(ism_row_alloc(t));
	row = &t->rows[777];
	gen = atomic_load(&row->gen);
	memset((char *)row + offsetof(struct fab_row, refs), 0xee,
	       sizeof(*row) - offsetof(struct fab_row, refs));
	atomic_store(&row->state, FAB_ROW_FREE);
	again = ism_row_alloc(t);
	assert_ptr_equal(again, row);
	assert_int_equal(atomic_load(&row->gen), gen + 1);
	assert_int_equal(atomic_load(&row->fd), 0);
	assert_int_equal(row->lines67_pad[15], 0);
	assert_null(ism_row_alloc(t));
	forget_copies();
}

#define HELD_AT_ONCE 200
#define ROUNDS 60

/* Take many, sign them, see that the signatures stay, give them back. */
static void *take_and_give(void *arg)
{
	struct ism_table *t = atomic_load(&ism_client.table);
	uint64_t me = (uint64_t)gettid();
	struct fab_row *held[HELD_AT_ONCE];

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < HELD_AT_ONCE; i++) {
			held[i] = ism_row_alloc(t);
			if (!held[i] || atomic_load(&held[i]->rcvtimeo_ns))
				return arg;
			atomic_store(&held[i]->rcvtimeo_ns, me);
		}
		for (int i = 0; i < HELD_AT_ONCE; i++) {
			if (atomic_load(&held[i]->rcvtimeo_ns) != me)
				return arg;
			atomic_store(&held[i]->state, FAB_ROW_FREE);
		}
	}
	return NULL;
}

static void *contend(void)
{
	pthread_t t[3];
	void *r, *bad = NULL;

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, take_and_give, &t);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &r);
		bad = bad ? bad : r;
	}
	return bad;
}

static void a_row_has_one_owner(void **state)
{
	struct ism_table *t = fresh_table();
	pid_t pid = fork();
	int status;
	void *bad;

	if (pid == 0)
		_exit(contend() != NULL);
	bad = contend();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_null(bad);
	for (uint32_t i = 0; i < FAB_ROWS; i++)
		assert_int_equal(atomic_load(&t->rows[i].state), FAB_ROW_FREE);
	forget_copies();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_segment_is_taken),
		cmocka_unit_test(a_segment_comes_once),
		cmocka_unit_test(a_group_is_forgotten),
		cmocka_unit_test(a_group_is_not_what_the_head_says),
		cmocka_unit_test(a_new_ismd_forgets_its_own),
		cmocka_unit_test(a_head_is_read_once),
		cmocka_unit_test(a_hostile_head_is_refused),
		cmocka_unit_test(a_segment_too_small_for_its_slots_is_refused),
		cmocka_unit_test(a_short_memfd_is_refused),
		cmocka_unit_test(a_memfd_that_can_shrink_is_refused),
		cmocka_unit_test(a_hostile_table_is_refused),
		cmocka_unit_test(a_table_brings_a_vector),
		cmocka_unit_test(dirty_rings_only_the_sleeper),
		cmocka_unit_test(no_change_is_missed),
		cmocka_unit_test(all_rows_then_none),
		cmocka_unit_test(a_row_has_one_owner),
	};

	return cmocka_run_group_tests_name("ism", tests, NULL, NULL);
}
