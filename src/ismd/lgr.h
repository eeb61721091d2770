/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link groups: all segments between one pair of processes, and the slots in
 * them. A slot's memory is committed when it is first used, so that a lack of
 * memory is a decline and never a fault in a program; it stays committed for
 * the next connection of the same pair.
 */
#ifndef ISMD_LGR_H
#define ISMD_LGR_H

#include <stdbool.h>
#include <stdint.h>

struct ismd;
struct conn;
struct function;
struct lgr;
struct proc;
struct segment;

enum lgr_outcome {
	LGR_OK = 0,
	LGR_NO_MEMORY = 1, /* none left, or more than --max-dmb */
	LGR_NO_DMB = 2,    /* the device's DMB limit */
	LGR_QUOTA = 3,     /* the share of one of the two users */
};

/* Ring bytes for a wish (0: default): 16384 << code, at most 1 MiB. */
uint32_t lgr_round_dmb(uint32_t want);

/* The link group of @a and @b over their functions @fa and @fb, made if there is
 * none: @a becomes side 0 then. NULL without memory or descriptors. */
struct lgr *lgr_get(struct ismd *d, struct proc *a, struct proc *b, const struct function *fa,
                    const struct function *fb);

/* The eventfd that wakes @side, -1 if its process is gone. */
int lgr_vector(const struct lgr *g, unsigned side);

/* Reserve a slot with two empty DMBs of about @bytes; smaller ones where memory
 * is short. */
enum lgr_outcome lgr_reserve(struct ismd *d, struct lgr *g, uint32_t bytes, struct segment **seg,
                             unsigned *slot);

/* Put conns into a reserved slot; give one back; give an unused slot back. */
void lgr_occupy(struct segment *s, unsigned slot, struct conn *side0, struct conn *side1);
void lgr_leave(struct ismd *d, struct conn *c);
void lgr_unreserve(struct ismd *d, struct segment *s, unsigned slot);

/* Free @g if it is closing and empty, or was never used. */
void lgr_reap(struct ismd *d, struct lgr *g);

/* @p is gone: its link groups get no new connection. */
void lgr_proc_gone(struct ismd *d, struct proc *p);

/* Functions were switched, plugged or unplugged: connections of those that have no power
 * go on by TCP, and come back with it. */
void lgrs_follow_power(struct ismd *d);

/* Which sides' functions are without power? Bit 0 and bit 1. */
unsigned lgr_unpowered(struct ismd *d, const struct lgr *g);

struct segment *segment_find(struct ismd *d, uint32_t id);

struct fab_dmb *segment_dmb(const struct segment *s, unsigned slot, unsigned side);

#endif
