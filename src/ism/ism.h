/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the fabric: this process's side of ismd's protocol (fabric/wire.h).
 * Knows tables, rows, segments, vectors and claims; knows nothing of sockets'
 * calls or of rings.
 *
 * Thread rule: everything may be called from any thread, also in signal
 * handlers where it says "no locks". Nothing here waits for ismd, except the
 * first registration, 250 ms at most. No function changes errno.
 *
 * After fork() the child calls ism_atfork_child(); it goes on using the rows and
 * segments it inherited, and registers itself when it makes its first own claim.
 */
#ifndef OPENISM_ISM_ISM_H
#define OPENISM_ISM_ISM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/privfd.h"
#include "fabric/layout.h"

/* A table this process (or the parent it was forked from) got from an ismd.
 * Never unmapped: rows in it may be in use until the process ends. */
struct ism_table {
	struct fab_table *head;
	struct fab_row *rows;
	uint32_t id;
	privfd_t bell;
	_Atomic bool dead; /* its ismd is gone */
};

/*
 * A link group segment, mapped once. It is unmapped some time after ismd has said that
 * no connection uses its link group any more: a pointer to it is good as long as the
 * row that it was found by is not CLOSED.
 */
struct ism_segment {
	uint32_t id;
	uint32_t lgr_id;
	struct fab_segment *head;
	char *base;
	uint64_t bytes;
	uint32_t nslots;
	uint32_t dmb_bytes;
	privfd_t *peer_vector;            /* rings the peer process */
	struct ism_segment *_Atomic next; /* list of all, newest first */
	uint64_t group;                   /* link group, of which ismd: see segment.c */
	uint64_t over_ns;                 /* when it ended */
};

/* This process's pid (follows fork). */
extern _Atomic int32_t ism_pid;

/* Constructor's part: connect to ismd if one is there. Never blocks. */
void ism_presence(void);

/*
 * A TCP socket is about to be made. The ismd of a box marks the sockets of processes
 * that it knows, so it has to know this one first: registers there, as ism_table().
 * Changes no errno.
 */
void ism_before_socket(void);

/* The table for new rows; registers with ismd at the first call. NULL: there is
 * no ismd now (tried again from time to time). */
struct ism_table *ism_table(void);

/* Take a free row (state HELD, zeroed, refs 1, a new gen). NULL: table full. */
struct fab_row *ism_row_alloc(struct ism_table *t);

/* Tell ismd to look at @row: set its dirty bit, ring if ismd sleeps. No locks. */
void ism_row_dirty(struct ism_table *t, struct fab_row *row);

/*
 * The segment @seg_id of @row's verdict: mapped and checked, or NULL as long as it
 * has not arrived (then it is asked for, if @ask). Takes the client lock only
 * when the segment is not known yet.
 */
struct ism_segment *ism_segment_get(uint32_t seg_id, uint32_t side, bool ask);

/* Hand ismd the socket of a row whose table says pass_fds. */
void ism_claim_fd(struct ism_table *t, struct fab_row *row, int fd);

/* Wake the process behind @seg. No locks. */
void ism_ring(const struct ism_segment *seg);

/* Wake the sleeping threads of this process itself. No locks. */
void ism_ring_self(void);

/*
 * Vectors that may be rung for this process: the own one, those inherited, and those
 * of link groups with other users' processes. Register each, edge-triggered, in the
 * epoll instance that a thread sleeps in. Never read them.
 *
 * They come and go: ism_vector_changes() counts the changes that added one, and
 * ism_vector_of_change() is the descriptor that change number @change (0 is the first)
 * added, or -1. Of changes longer ago than ISM_VECTORS nothing is known; then all of
 * ism_vector() from 0 to ISM_VECTORS - 1 are to be looked at (-1: none there).
 */
#define ISM_VECTORS 4096u
uint32_t ism_vector_changes(void);
int ism_vector_of_change(uint32_t change);
int ism_vector(unsigned i);

/* fork(): take and drop the client lock around it; in the child start afresh. */
void ism_atfork_prepare(void);
void ism_atfork_parent(void);
void ism_atfork_child(void);

#endif
