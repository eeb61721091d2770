/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of durations with bounded relative error (log-linear buckets):
 * every power of two is cut into HIST_SUB equal buckets, so a value is known to
 * within 1/HIST_SUB of itself (0.8 %) from 1 ns to minutes, in 64 KiB, and
 * recording costs a few instructions and no branch that depends on the value.
 */
#ifndef OPENISM_BENCH_HIST_H
#define OPENISM_BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 7
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_BUCKETS ((64u - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t count;
	uint64_t sum;
	uint64_t min;
	uint64_t max;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);

/* The smallest recorded value that at least @percent of all values do not
 * exceed, rounded up to its bucket's end (never above the maximum). 0 if empty. */
uint64_t hist_percentile(const struct hist *h, double percent);

double hist_mean(const struct hist *h);

#endif
