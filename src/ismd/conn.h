/* SPDX-License-Identifier: Apache-2.0 */
/* One row that ismd has seen, and what it says back in that row. */
#ifndef ISMD_CONN_H
#define ISMD_CONN_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct counters;
struct fab_row;
struct ismd;
struct lpar;
struct proc;
struct table;

struct conn *conn_new(struct ismd *d, struct table *t, uint32_t row, uint32_t gen);

/* The LPAR it is of; NULL while its family has no member. */
struct lpar *conn_lpar(const struct conn *c);

/* Unlink everywhere, give the slot back, add the row's counters to the totals. */
void conn_free(struct ismd *d, struct conn *c);

struct fab_row *conn_row(const struct conn *c);
bool conn_is_server(const struct conn *c);
void conn_set_holder(struct conn *c, struct proc *p, int fd);

/* Forget who the socket is; it is looked at again when there is a reason. */
void conn_set_unknown(struct ismd *d, struct conn *c);

/* Final: stays on TCP. @peer_reason 0: the decision is this end's. */
void conn_decline(struct ismd *d, struct conn *c, uint32_t reason, uint32_t peer_reason);

/* What an unmatched row shows, depending on the function's power. */
void conn_show_pending(struct ismd *d, struct conn *c);

/*
 * Where one LPAR has no power it sends no SYN option, so nothing proves whose end this
 * is. Nothing is shared then either, and for the codes that smcss shows the addresses
 * will do, if only one pair on the box has them. Stays PENDING: a proof may still come.
 */
void conn_show_hint(struct ismd *d, struct conn *c);

/* Tell the other end through shared memory that this one is gone (smcss shows
 * it; the program decides by its TCP socket). */
void conn_mark_aborted(struct ismd *d, struct conn *c);

/* The row's counters, each read once, onto @sum. */
void conn_add_counters(const struct conn *c, struct counters *sum);

void count_fallback(struct ismd *d, bool server, uint32_t reason);

#endif
