/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive hash map. The caller compares keys: map_first() and map_next() walk
 * the entries with one hash value, in no order.
 */
#ifndef ISMD_MAP_H
#define ISMD_MAP_H

#include <stddef.h>
#include <stdint.h>

struct mapent {
	struct mapent *next;
	uint64_t hash;
};

struct map {
	struct mapent **buckets;
	size_t nbuckets; /* power of two, 0 until the first entry */
	size_t count;
};

int map_add(struct map *m, struct mapent *e, uint64_t hash); /* 0 or -ENOMEM */
void map_del(struct map *m, struct mapent *e);
struct mapent *map_first(const struct map *m, uint64_t hash);
struct mapent *map_next(const struct mapent *e);
void map_deinit(struct map *m); /* the entries are the caller's */

/* A hash of @len bytes, seeded once per process so that it cannot be aimed at. */
uint64_t map_hash(const void *data, size_t len);

#endif
