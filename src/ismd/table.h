/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a process family: its shared memory, and when ismd looks at it.
 */
#ifndef ISMD_TABLE_H
#define ISMD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct ismd;
struct lpar;
struct table;
struct fab_table;

/* A new empty table with memory and bell. NULL: errno says why. */
struct table *table_new(struct ismd *d);

/* Close every connection in it, release everything. */
void table_free(struct ismd *d, struct table *t);

struct table *table_find(struct ismd *d, uint32_t id);

/* Free it if nobody is left who could use it. */
void table_reap(struct ismd *d, struct table *t);

/* Look at the tables whose time has come. */
void tables_run_due(struct ismd *d, uint64_t now_ns);

/* Look at @t in @delay_us, unless a look is already scheduled. */
void table_schedule(struct ismd *d, struct table *t, uint32_t delay_us);

/* What the family sees of its LPAR's power; likewise of all families of @l, whose
 * functions have changed. */
void table_set_power(struct table *t, bool on);
void tables_power_changed(struct ismd *d, const struct lpar *l);

/*
 * Take dirty rows out of @head: up to @max row numbers into @rows. Returns how
 * many; *more says whether it stopped because of @max. Rows are in ascending
 * order and below FAB_ROWS whatever the memory contains.
 */
unsigned table_take_dirty(struct fab_table *head, uint32_t *rows, unsigned max, bool *more);

#endif
