/* SPDX-License-Identifier: Apache-2.0 */
/* Chained hash map that doubles when it is full; it never shrinks. */
#include "ismd/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct mapent **bucket_of(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->nbuckets - 1)];
}

static int grow(struct map *m)
{
	size_t n = m->nbuckets ? m->nbuckets * 2 : 64;
	struct map bigger = { calloc(n, sizeof(*bigger.buckets)), n, m->count };

	if (!bigger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < m->nbuckets; i++) {
		for (struct mapent *e = m->buckets[i], *next; e; e = next) {
			struct mapent **b = bucket_of(&bigger, e->hash);

			next = e->next;
			e->next = *b;
			*b = e;
		}
	}
	free(m->buckets);
	*m = bigger;
	return 0;
}

int map_add(struct map *m, struct mapent *e, uint64_t hash)
{
	struct mapent **b;

	/* without memory to grow, longer chains still work */
	if (m->count >= m->nbuckets && grow(m) < 0 && !m->nbuckets)
		return -ENOMEM;
	b = bucket_of(m, hash);
	e->hash = hash;
	e->next = *b;
	*b = e;
	m->count++;
	return 0;
}

void map_del(struct map *m, struct mapent *e)
{
	struct mapent **p;

	if (!m->nbuckets)
		return;
	for (p = bucket_of(m, e->hash); *p; p = &(*p)->next) {
		if (*p == e) {
			*p = e->next;
			e->next = NULL;
			m->count--;
			return;
		}
	}
}

static struct mapent *same_hash(struct mapent *e, uint64_t hash)
{
	while (e && e->hash != hash)
		e = e->next;
	return e;
}

struct mapent *map_first(const struct map *m, uint64_t hash)
{
	return m->nbuckets ? same_hash(*bucket_of(m, hash), hash) : NULL;
}

struct mapent *map_next(const struct mapent *e)
{
	return same_hash(e->next, e->hash);
}

void map_deinit(struct map *m)
{
	free(m->buckets);
	memset(m, 0, sizeof(*m));
}

uint64_t map_hash(const void *data, size_t len)
{
	static uint64_t seed;
	const unsigned char *p = data;
	uint64_t h;

	if (!seed && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = 0x9e3779b97f4a7c15ull;
	h = seed ^ len;
	while (len) {
		uint64_t w = 0;
		size_t n = len < sizeof(w) ? len : sizeof(w);

		memcpy(&w, p, n);
		h = (h ^ w) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
		p += n;
		len -= n;
	}
	return h * 0xc4ceb9fe1a85ec53ull ^ h >> 29;
}
