/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll with a callback per descriptor. An object that is
 * removed in a callback may still have an event waiting in the same batch, so
 * its memory is buried and only freed after the batch.
 */
#ifndef ISMD_LOOP_H
#define ISMD_LOOP_H

#include <stdint.h>

struct ismd;
struct watch;

typedef void watch_fn(struct ismd *d, struct watch *w, uint32_t events);

struct watch {
	int fd;
	watch_fn *fn; /* NULL: not watched */
};

/* First member of whatever is freed with loop_bury(). */
struct grave {
	struct grave *next;
};

struct loop {
	int epfd;
	struct grave *graves;
};

int loop_init(struct loop *l);
void loop_deinit(struct loop *l);
int loop_watch(struct loop *l, struct watch *w, uint32_t events, watch_fn *fn);
int loop_rearm(struct loop *l, struct watch *w, uint32_t events);
void loop_close(struct loop *l, struct watch *w); /* also closes the descriptor */
void loop_bury(struct loop *l, struct grave *g);  /* free() after this batch */

/* One batch; @timeout_ns < 0: wait for ever. 0 or -errno (not -EINTR). */
int loop_turn(struct ismd *d, int64_t timeout_ns);

uint64_t loop_now_ns(void); /* CLOCK_MONOTONIC */

#endif
