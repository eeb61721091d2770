/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor table: two levels, chunks made on demand and never freed. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "sock/sock.h"

struct obj *_Atomic *_Atomic fdtab_chunks[FDTAB_CHUNKS];
static _Atomic int end;

static struct obj *_Atomic *chunk_make(unsigned i)
{
	struct obj *_Atomic *none = NULL, *_Atomic * fresh;
	const size_t bytes = FDTAB_CHUNK * sizeof(*fresh);

	fresh = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fresh == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(&fdtab_chunks[i], &none, fresh))
		return fresh;
	munmap((void *)fresh, bytes);
	return none;
}

struct obj *fdtab_swap(int fd, struct obj *o)
{
	struct obj *_Atomic *chunk;
	int e;

	if ((unsigned)fd >= FDTAB_CHUNK * FDTAB_CHUNKS)
		return NULL;
	chunk = atomic_load(&fdtab_chunks[(unsigned)fd / FDTAB_CHUNK]);
	if (!chunk && o)
		chunk = chunk_make((unsigned)fd / FDTAB_CHUNK);
	if (!chunk)
		return NULL;
	e = atomic_load(&end);
	while (o && fd >= e && !atomic_compare_exchange_weak(&end, &e, fd + 1))
		;
	return atomic_exchange(&chunk[(unsigned)fd % FDTAB_CHUNK], o);
}

int fdtab_end(void)
{
	return atomic_load(&end);
}
