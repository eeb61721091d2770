/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets: values below HIST_SUB have one each. Above, the bucket's number is the
 * position of the highest bit (which power of two) followed by the next
 * HIST_SUB_BITS bits (which part of it).
 */
#include "hist.h"

#include <string.h>

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < HIST_SUB)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
	return (shift + 1) * HIST_SUB + (unsigned)(value >> shift) - HIST_SUB;
}

/* The largest value that falls into bucket @b. */
static uint64_t bucket_end(unsigned b)
{
	unsigned shift;

	if (b < 2 * HIST_SUB)
		return b;
	shift = b / HIST_SUB - 1;
	return (((uint64_t)(b % HIST_SUB) + HIST_SUB + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->bucket[bucket_of(value)]++;
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
	double wanted = (double)h->count * percent / 100.0;
	uint64_t seen = 0, end;

	for (unsigned b = 0; b < HIST_BUCKETS; b++) {
		seen += h->bucket[b];
		if (seen && (double)seen >= wanted) {
			end = bucket_end(b);
			return end < h->max ? end : h->max;
		}
	}
	return 0;
}

double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
