/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and rows: taking in the table that ismd sent, allocating rows, telling
 * ismd which rows changed; and the vectors, which come with a table. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "ism/client.h"

/* One table per ismd this process has met; each restart adds one. */
#define MAX_TABLES 128

static struct ism_table tables[MAX_TABLES];
static unsigned ntables;
/*
 * Vectors have a place each, places are used again. Sleepers follow by a log of the
 * changes, since they cannot see that a place below their count has another vector now.
 */
static privfd_t vectors[ISM_VECTORS];
static unsigned nplaces;
static _Atomic uint16_t changed[ISM_VECTORS]; /* place, by change */
static _Atomic uint32_t nchanges;
static _Atomic int self = -1; /* the place of this process's own */

static struct ism_table *table_by_id(uint32_t id)
{
	for (unsigned i = 0; i < ntables; i++)
		if (tables[i].id == id && !atomic_load(&tables[i].dead))
			return &tables[i];
	return NULL;
}

static struct ism_table *table_map(const struct fab_msg_welcome *m, int memfd)
{
	struct ism_table *t;
	struct fab_table *h;

	if (ntables == MAX_TABLES || !client_memfd_ok(memfd, FAB_TABLE_BYTES))
		return NULL;
	h = mmap(NULL, FAB_TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (h == MAP_FAILED)
		return NULL;
	if (h->magic != FAB_TABLE_MAGIC || h->version != FAB_LAYOUT_VERSION ||
	    h->rows != FAB_ROWS) {
		munmap(h, FAB_TABLE_BYTES);
		return NULL;
	}
	t = &tables[ntables++];
	t->head = h;
	t->rows = (struct fab_row *)((char *)h + FAB_TABLE_ROWS_OFFSET);
	t->id = m->table_id;
	atomic_store(&t->bell, -1);
	return t;
}

static int free_place(void)
{
	for (unsigned i = 0; i < nplaces; i++)
		if (atomic_load(&vectors[i]) < 0)
			return (int)i;
	return nplaces < ISM_VECTORS ? (int)nplaces : -1;
}

int vector_add(int vector)
{
	int place = free_place();
	uint32_t n = atomic_load(&nchanges);

	if (place < 0) {
		sys_close(vector);
		return -1;
	}
	if (privfd_adopt(vector, &vectors[place]) < 0)
		return -1;
	if ((unsigned)place == nplaces)
		nplaces++;
	atomic_store(&changed[n % ISM_VECTORS], (uint16_t)place);
	atomic_store(&nchanges, n + 1);
	return place;
}

void vector_drop(int place)
{
	privfd_close(&vectors[place]);
}

void table_arrived(const struct fab_msg_welcome *m, int memfd, int bell, int vector)
{
	struct ism_table *t = NULL;
	int own;

	if (m->status == FAB_WELCOME_OK && m->layout == FAB_LAYOUT_VERSION) {
		t = table_by_id(m->table_id);
		if (!t)
			t = table_map(m, memfd);
	}
	sys_close(memfd);
	if (!t) {
		sys_close(bell);
		sys_close(vector);
		return;
	}
	privfd_close(&t->bell); /* a child's inherited one */
	if (privfd_adopt(bell, &t->bell) < 0) {
		sys_close(vector);
		return;
	}
	own = vector_add(vector);
	if (own < 0)
		return;
	atomic_store(&self, own);
	ism_client.family_id = t->id;
	atomic_store_explicit(&ism_client.table, t, memory_order_release);
}

static void row_clear(struct fab_row *row)
{
	const size_t keep = offsetof(struct fab_row, refs);

	memset((char *)row + keep, 0, sizeof(*row) - keep);
	atomic_fetch_add(&row->gen, 1);
	atomic_store(&row->refs, 1);
}

struct fab_row *ism_row_alloc(struct ism_table *t)
{
	uint32_t at = atomic_load_explicit(&t->head->alloc_hint, memory_order_relaxed);

	for (uint32_t i = 0; i < FAB_ROWS; i++) {
		struct fab_row *row = &t->rows[(at + i) % FAB_ROWS];
		uint32_t want = FAB_ROW_FREE;

		if (atomic_load_explicit(&row->state, memory_order_relaxed) != FAB_ROW_FREE)
			continue;
		if (!atomic_compare_exchange_strong(&row->state, &want, FAB_ROW_HELD))
			continue;
		atomic_store_explicit(&t->head->alloc_hint, (at + i + 1) % FAB_ROWS,
		                      memory_order_relaxed);
		row_clear(row);
		return row;
	}
	return NULL;
}

void ism_row_dirty(struct ism_table *t, struct fab_row *row)
{
	uint32_t i = (uint32_t)(row - t->rows), word = i / 64;
	uint64_t one = 1;
	int bell;

	if (atomic_load_explicit(&t->dead, memory_order_relaxed))
		return;
	atomic_fetch_or(&t->head->dirty[word], 1ull << (i % 64));
	atomic_fetch_or(&t->head->summary[word / 64], 1ull << (word % 64));
	if (atomic_load(&t->head->bell_armed) && atomic_exchange(&t->head->bell_armed, 0)) {
		bell = atomic_load(&t->bell);
		if (bell >= 0)
			sys_write(bell, &one, sizeof(one));
	}
}

uint32_t ism_vector_changes(void)
{
	return atomic_load_explicit(&nchanges, memory_order_acquire);
}

int ism_vector_of_change(uint32_t change)
{
	return atomic_load(&vectors[atomic_load(&changed[change % ISM_VECTORS])]);
}

/* Places that were never used hold 0, which is nobody's vector. */
int ism_vector(unsigned i)
{
	int fd = atomic_load(&vectors[i]);

	return fd > 0 ? fd : -1;
}

void ism_ring_self(void)
{
	uint64_t one = 1;
	int i = atomic_load(&self), fd = i < 0 ? -1 : ism_vector((unsigned)i);

	if (fd >= 0)
		sys_write(fd, &one, sizeof(one));
}
