/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a row: seen, identified, followed, closed. */
#ifndef ISMD_ROWS_H
#define ISMD_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "ismd/sockid.h"

struct conn;
struct ismd;
struct proc;
struct table;

/* Row @idx was marked dirty: act on the state it is in now. */
void row_process(struct ismd *d, struct table *t, uint32_t idx);

/* CLAIM_FD: descriptor @fd (the caller's) is row @idx, generation @gen. */
void row_claim_fd(struct ismd *d, struct table *t, uint32_t idx, uint32_t gen, int fd);

/* If the row names another process or descriptor now, and it is the same
 * socket, remember that one. */
void conn_follow_row(struct ismd *d, struct conn *c);

/* Its holder has it no more: does another member, under the same number? */
bool conn_find_heir(struct ismd *d, struct conn *c);

/* @p is gone: hand its sockets to members that hold them too; others are orphans
 * for now. */
void rows_holder_gone(struct ismd *d, struct proc *p);

/* @p hung up but lives: close the rows whose socket it does not have any more. */
void rows_holder_mute(struct ismd *d, struct proc *p);

/* @p joined: rows that waited for it. */
void rows_member_joined(struct ismd *d, struct proc *p);

/* Close what no member holds. */
void rows_close_orphans(struct ismd *d, struct table *t);
void rows_close_all(struct ismd *d, struct table *t);
void rows_power_changed(struct ismd *d, struct table *t);

#endif
