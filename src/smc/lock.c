/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "smc/lock.h"

#include "smc/conn.h"

static __thread uint32_t self_id __attribute__((tls_model("initial-exec")));

uint32_t side_self(void)
{
	if (__builtin_expect(self_id == 0, 0))
		self_id = (uint32_t)sys_gettid();
	return self_id;
}

void conn_atfork_child(void)
{
	self_id = 0;
}

/* Spin a little, then yield, and every now and then look whether the owner is
 * still alive; a dead owner's lock is taken over. */
bool side_lock_slow(_Atomic uint32_t *lock, uint32_t self)
{
	uint32_t owner, none;

	for (unsigned i = 1;; i++) {
		owner = atomic_load_explicit(lock, memory_order_relaxed);
		if (owner == self)
			return false;
		none = 0;
		if (owner == 0 && atomic_compare_exchange_strong(lock, &none, self))
			return true;
		if (i < 100) {
			cpu_relax();
			continue;
		}
		if (i % 256 == 0 && owner && SYS2(SYS_tkill, owner, 0) == -ESRCH &&
		    atomic_compare_exchange_strong(lock, &owner, self))
			return true;
		sched_yield();
	}
}
