/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adaptive spinning. A wait first looks again and again for a while, because a
 * sleep and its wake-up cost some 30 us each; but only where that paid lately: each
 * hit doubles the budget, each miss halves it, down to nothing, and from nothing
 * one wait in SPIN_PROBE_EVERY tries a short spin again. A spinner offers its
 * processor to others all the time, so it is of use even where both ends have but
 * one.
 */
#ifndef OPENISM_SOCK_SPIN_H
#define OPENISM_SOCK_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SPIN_MAX_NS 100000u
#define SPIN_START_NS 50000u
#define SPIN_MIN_NS 2000u
#define SPIN_PROBE_NS 10000u
#define SPIN_PROBE_EVERY 16u

/* Several threads may share one: what they learn is a hint, and lost updates do not
 * matter. */
struct spin {
	_Atomic uint32_t budget_ns; /* 0 = do not spin */
	_Atomic uint32_t misses;    /* waits since the budget went to 0 */
};

typedef bool spin_test_fn(void *arg);

void spin_init(struct spin *s);

/* Spin until test(arg) or the budget is used up. True if the test came true. */
bool spin_until(struct spin *s, spin_test_fn *test, void *arg);

#endif
