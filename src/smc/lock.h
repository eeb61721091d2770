/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of one side of a connection, in shared memory: it holds the thread id
 * of its owner, so that whoever waits for it can see that the owner died, and
 * take over. It is held for a copy, never while waiting; positions are published
 * by a single store, so a copy that was cut off by a kill is invisible.
 *
 * A signal handler that enters the same side of the same connection as the call
 * it interrupted finds its own thread as the owner: side_lock() says so instead
 * of waiting for ever.
 */
#ifndef OPENISM_SMC_LOCK_H
#define OPENISM_SMC_LOCK_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sys.h"

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

uint32_t side_self(void); /* this thread's id, cached, follows fork */
bool side_lock_slow(_Atomic uint32_t *lock, uint32_t self);

/* False: this very thread holds it already (a signal handler got here). */
static inline bool side_lock(_Atomic uint32_t *lock)
{
	uint32_t self = side_self(), none = 0;

	if (atomic_compare_exchange_strong_explicit(lock, &none, self, memory_order_acquire,
	                                            memory_order_relaxed))
		return true;
	return side_lock_slow(lock, self);
}

/* Not if anybody holds it. */
static inline bool side_trylock(_Atomic uint32_t *lock)
{
	uint32_t none = 0;

	return atomic_compare_exchange_strong_explicit(lock, &none, side_self(),
	                                               memory_order_acquire, memory_order_relaxed);
}

static inline void side_unlock(_Atomic uint32_t *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
