/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sock/libc.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>

#include "base/sys.h"
#include "ism/ism.h"

struct libc_functions libc_next;
_Atomic int libc_ready;

/* A function this libc does not have: its hook can only be called by a program
 * that found the name in our library, and gets what an old kernel would say. */
static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

void libc_init(void)
{
	int saved = errno;
	void *f;

	if (!atomic_load(&ism_pid)) /* a hook may run before any constructor */
		atomic_store(&ism_pid, sys_getpid());

#define LIBC_LOOKUP(ret, name, args) \
	f = dlsym(RTLD_NEXT, #name); \
	__atomic_store_n((void **)&libc_next.name, f ? f : (void *)missing, __ATOMIC_RELAXED);
	LIBC_FUNCTIONS(LIBC_LOOKUP)
#undef LIBC_LOOKUP
	atomic_store(&libc_ready, 1);
	errno = saved;
}
