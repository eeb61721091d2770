/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bell and bits: the bell is watched one-shot, so a client that keeps ringing
 * costs one event per look. A look takes the dirty words by exchange, arms the
 * bell and looks once more, so a bit that was set in between is never lost.
 *
 * A claim that a look sees first is kept for the next look, defer_us later: a busy
 * server's connections of a millisecond are closed by then and cost nothing, however
 * many of them there are.
 */
#define _GNU_SOURCE
#include "ismd/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ismd/ismd.h"
#include "ismd/lpar.h"
#include "ismd/rows.h"

#define MAX_TABLES 65536
#define CONNS_BYTES (FAB_ROWS * sizeof(struct conn *))
#define YOUNG_MAX 4096u      /* claims that wait; more are looked at without waiting */
#define ROWS_PER_LOOK 128u   /* then it is the others' turn */
#define CLAIM_WAIT_US 20000u /* between looks at a family that has used up its share */
#define BELL_DELAY_US 500u   /* from a bell to the first look: a burst rings once */

static int map_table(struct table *t)
{
	void *p;

	t->memfd = memfd_create("ism-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (t->memfd < 0 || ftruncate(t->memfd, (off_t)FAB_TABLE_BYTES) < 0 ||
	    fcntl(t->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    fallocate(t->memfd, 0, 0, FAB_TABLE_ROWS_OFFSET) < 0)
		return -errno;
	p = mmap(NULL, FAB_TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, t->memfd, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->head = p;
	t->rows = (struct fab_row *)((char *)p + FAB_TABLE_ROWS_OFFSET);
	return 0;
}

static void fill_head(struct ismd *d, struct table *t)
{
	struct fab_table *h = t->head;

	h->version = FAB_LAYOUT_VERSION;
	h->rows = FAB_ROWS;
	h->table_id = t->id;
	h->row_bytes = sizeof(struct fab_row);
	atomic_store(&h->power, 1);
	atomic_store(&h->bell_armed, 1);
	atomic_thread_fence(memory_order_release);
	h->magic = FAB_TABLE_MAGIC;
}

static void on_bell(struct ismd *d, struct watch *w, uint32_t events)
{
	uint32_t delay = d->opt.defer_us < BELL_DELAY_US ? d->opt.defer_us : BELL_DELAY_US;

	table_schedule(d, list_item(w, struct table, bell), delay);
}

static void release(struct ismd *d, struct table *t)
{
	loop_close(&d->loop, &t->bell);
	if (t->head)
		munmap(t->head, FAB_TABLE_BYTES);
	if (t->memfd >= 0)
		close(t->memfd);
	if (t->conns)
		munmap(t->conns, CONNS_BYTES);
	free(t->young);
	t->head = NULL;
	t->rows = NULL;
	t->conns = NULL;
	loop_bury(&d->loop, &t->grave);
}

/* A mapping: most of it is never touched, and none of it stays in the heap. */
static struct conn **conns_new(void)
{
	void *p =
		mmap(NULL, CONNS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct table *table_new(struct ismd *d)
{
	struct table *t;
	int r;

	if (d->ntables >= MAX_TABLES) {
		errno = EMFILE;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->memfd = -1;
	t->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->conns = conns_new();
	list_init(&t->members);
	list_init(&t->due_link);
	t->id = ++d->next_table;
	r = t->conns && t->bell.fd >= 0 ? map_table(t) : -ENOMEM;
	if (r == 0)
		r = loop_watch(&d->loop, &t->bell, EPOLLIN | EPOLLONESHOT, on_bell);
	if (r < 0) {
		release(d, t);
		errno = -r;
		return NULL;
	}
	fill_head(d, t);
	list_add_tail(&d->tables, &t->link);
	d->ntables++;
	return t;
}

void table_free(struct ismd *d, struct table *t)
{
	rows_close_all(d, t);
	list_del(&t->link);
	list_del(&t->due_link);
	d->ntables--;
	log_debug("table %u: freed", t->id);
	release(d, t);
}

struct table *table_find(struct ismd *d, uint32_t id)
{
	list_each(it, next, &d->tables)
	{
		struct table *t = list_item(it, struct table, link);

		if (t->id == id)
			return t;
	}
	return NULL;
}

void table_reap(struct ismd *d, struct table *t)
{
	if (list_empty(&t->members) && t->nchannels == 0)
		table_free(d, t);
}

void table_schedule(struct ismd *d, struct table *t, uint32_t delay_us)
{
	if (t->queued)
		return;
	t->queued = true;
	t->due_ns = loop_now_ns() + (uint64_t)delay_us * 1000;
	list_add_tail(&d->due, &t->due_link);
}

unsigned table_take_dirty(struct fab_table *head, uint32_t *rows, unsigned max, bool *more)
{
	unsigned n = 0;

	*more = false;
	for (unsigned s = 0; s < FAB_SUMMARY_WORDS; s++) {
		uint64_t words;

		if (!atomic_load_explicit(&head->summary[s], memory_order_relaxed))
			continue;
		words = atomic_exchange(&head->summary[s], 0);
		while (words) {
			unsigned w = s * 64 + (unsigned)__builtin_ctzll(words);
			uint64_t bits;

			if (n + 64 > max) { /* a word may bring 64 rows: put the rest back */
				atomic_fetch_or(&head->summary[s], words);
				*more = true;
				return n;
			}
			words &= words - 1;
			bits = atomic_exchange(&head->dirty[w], 0);
			for (; bits; bits &= bits - 1)
				rows[n++] = w * 64 + (unsigned)__builtin_ctzll(bits);
		}
	}
	return n;
}

static bool any_dirty(struct fab_table *head)
{
	for (unsigned s = 0; s < FAB_SUMMARY_WORDS; s++)
		if (atomic_load(&head->summary[s]))
			return true;
	return false;
}

/* Sleep until the next bell; seq_cst on both sides orders "armed, then look"
 * against the client's "set bit, then take the arming". */
static void arm(struct ismd *d, struct table *t)
{
	atomic_store(&t->head->bell_armed, 1);
	if (any_dirty(t->head) && atomic_exchange(&t->head->bell_armed, 0) == 1)
		table_schedule(d, t, d->opt.defer_us);
}

/* Is it a claim that nobody has looked at yet? Then it waits for its time. */
static bool keep_young(struct ismd *d, struct table *t, uint32_t row, uint64_t now_ns)
{
	if (!d->opt.defer_us || t->conns[row] || t->nyoung == YOUNG_MAX ||
	    atomic_load(&t->rows[row].state) != FAB_ROW_CLAIMED)
		return false;
	if (!t->young)
		t->young = malloc(YOUNG_MAX * sizeof(*t->young));
	if (!t->young)
		return false;
	t->young[t->nyoung].row = row;
	t->young[t->nyoung++].due_ns = now_ns + (uint64_t)d->opt.defer_us * 1000;
	return true;
}

/* Of those that have waited, as many as fit into @rows. */
static unsigned take_grown(struct table *t, uint32_t *rows, unsigned max, uint64_t now_ns)
{
	unsigned n = 0;

	while (n < max && n < t->nyoung && t->young[n].due_ns <= now_ns) {
		rows[n] = t->young[n].row;
		n++;
	}
	t->nyoung -= n;
	if (n && t->nyoung)
		memmove(t->young, t->young + n, t->nyoung * sizeof(*t->young));
	return n;
}

/* Who pays for a claim of this family: the user of its first member. */
static struct user *payer(const struct table *t)
{
	return list_empty(&t->members) ? NULL : list_item(t->members.next, struct proc, link)->user;
}

/* More claims a second than the user's share: the row waits, on TCP. */
static bool must_wait(struct ismd *d, struct table *t, uint32_t row)
{
	struct user *u = payer(t);

	if (!u || t->conns[row] || atomic_load(&t->rows[row].state) != FAB_ROW_CLAIMED ||
	    user_take_claim(u))
		return false;
	user_refused(u, "too many claims a second");
	atomic_fetch_or(&t->head->dirty[row / 64], 1ull << (row % 64));
	atomic_fetch_or(&t->head->summary[row / 4096], 1ull << (row / 64 % 64));
	return true;
}

static void process(struct ismd *d, struct table *t, uint32_t row, bool *waits)
{
	if (must_wait(d, t, row))
		*waits = true;
	else
		row_process(d, t, row);
}

/*
 * The bell's file is the client's as well, and O_NONBLOCK is a flag of the file: who
 * takes it off must not put us to sleep.
 */
static void take_bell(struct table *t)
{
	uint64_t rung;
	struct iovec iov = { &rung, sizeof(rung) };

	if (preadv2(t->bell.fd, &iov, 1, -1, RWF_NOWAIT) < 0)
		return; /* scheduled without a bell */
}

static void schedule_next(struct ismd *d, struct table *t, bool more, bool waits, uint64_t now_ns)
{
	uint64_t due;

	if (waits) {
		table_schedule(d, t, CLAIM_WAIT_US);
	} else if (more) {
		table_schedule(d, t, 0);
	} else if (t->nyoung) {
		due = t->young[0].due_ns;
		table_schedule(d, t, due > now_ns ? (uint32_t)((due - now_ns + 999) / 1000) : 0);
	} else {
		arm(d, t);
	}
}

static void look(struct ismd *d, struct table *t)
{
	uint32_t rows[ROWS_PER_LOOK];
	uint64_t now = loop_now_ns();
	bool more, waits = false;
	unsigned n;

	take_bell(t);
	n = take_grown(t, rows, ROWS_PER_LOOK, now);
	for (unsigned i = 0; i < n; i++)
		process(d, t, rows[i], &waits);
	n = table_take_dirty(t->head, rows, ROWS_PER_LOOK, &more);
	for (unsigned i = 0; i < n; i++)
		if (!keep_young(d, t, rows[i], now))
			process(d, t, rows[i], &waits);
	schedule_next(d, t, more, waits, now);
	loop_rearm(&d->loop, &t->bell, EPOLLIN | EPOLLONESHOT);
}

/* On the account of its user, if he has not used it up. */
static void look_in_turn(struct ismd *d, struct table *t)
{
	uint64_t start = loop_now_ns(), until;
	struct user *u = payer(t);

	until = u && d->opt.system ? user_waits_until(u, start) : 0;
	if (until) {
		table_schedule(d, t, (uint32_t)((until - start) / 1000 + 1));
		return;
	}
	if (u)
		user_hold(u); /* the look may end the family */
	look(d, t);
	if (u) {
		user_worked(u, loop_now_ns() - start);
		user_put(d, u);
	}
}

void tables_run_due(struct ismd *d, uint64_t now_ns)
{
	struct list todo;

	/* those that are due now, once: what they schedule waits for the next turn */
	list_init(&todo);
	list_each(it, next, &d->due)
	{
		struct table *t = list_item(it, struct table, due_link);

		if (t->due_ns > now_ns)
			continue;
		list_del(&t->due_link);
		list_add_tail(&todo, &t->due_link);
	}
	while (!list_empty(&todo)) {
		struct table *t = list_item(todo.next, struct table, due_link);

		list_del(&t->due_link);
		t->queued = false;
		look_in_turn(d, t);
	}
}

void table_set_power(struct table *t, bool on)
{
	atomic_store(&t->head->power, on);
}

static bool is_of(const struct table *t, const struct lpar *l)
{
	list_each(it, next, &t->members)
	{
		if (list_item(it, struct proc, link)->lpar == l)
			return true;
	}
	return false;
}

void tables_power_changed(struct ismd *d, const struct lpar *l)
{
	list_each(it, next, &d->tables)
	{
		struct table *t = list_item(it, struct table, link);

		if (!is_of(t, l))
			continue;
		table_set_power(t, lpar_powered(l));
		rows_power_changed(d, t);
	}
}
