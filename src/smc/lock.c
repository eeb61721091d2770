/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "smc/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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

/* Gone, or a zombie: that one answers to tkill(), but will never unlock. */
static bool thread_is_dead(uint32_t tid)
{
	char path[32], stat[256], *p;
	long fd, n;

	if (SYS2(SYS_tkill, tid, 0) == -ESRCH)
		return true;
	snprintf(path, sizeof(path), "/proc/%u/stat", tid);
	fd = SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	n = sys_read((int)fd, stat, sizeof(stat) - 1);
	sys_close((int)fd);
	if (n <= 0)
		return false;
	stat[n] = 0;
	p = strrchr(stat, ')'); /* the name may hold anything */
	return p && (p[1] == ' ') && (p[2] == 'Z' || p[2] == 'X');
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
		if (i % 256 == 0 && owner && thread_is_dead(owner) &&
		    atomic_compare_exchange_strong(lock, &owner, self))
			return true;
		sched_yield();
	}
}
