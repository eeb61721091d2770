/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles of the histogram against the exact ones, over all magnitudes. */
#include <stdio.h>
#include <stdlib.h>

#include "hist.h"

#define COUNT 20000

static uint64_t values[COUNT];

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Values of up to @bits bits, each magnitude equally likely. */
static void fill(struct hist *h, unsigned bits)
{
	hist_init(h);
	for (unsigned i = 0; i < COUNT; i++) {
		uint64_t r = ((uint64_t)random() << 31) ^ (uint64_t)random();

		values[i] = r >> (62 - (unsigned)random() % bits);
		hist_add(h, values[i]);
	}
	qsort(values, COUNT, sizeof(values[0]), ascending);
}

static int check(const struct hist *h, double percent)
{
	unsigned rank = (unsigned)(COUNT * percent / 100.0 + 0.999999);
	uint64_t exact = values[rank ? rank - 1 : 0], got = hist_percentile(h, percent);

	if (got < exact || got - exact > exact / HIST_SUB + 1) {
		printf("p%g: %llu, exact %llu\n", percent, (unsigned long long)got,
		       (unsigned long long)exact);
		return 1;
	}
	return 0;
}

int main(void)
{
	static const double percents[] = { 0, 1, 50, 90, 99, 99.9, 100 };
	static struct hist h;
	int bad = 0;

	hist_init(&h);
	bad |= hist_percentile(&h, 50) != 0 || hist_mean(&h) != 0;
	hist_add(&h, UINT64_MAX);
	bad |= hist_percentile(&h, 100) != UINT64_MAX;
	for (unsigned bits = 1; bits <= 60; bits++) {
		fill(&h, bits);
		bad |= h.min != values[0] || h.max != values[COUNT - 1];
		for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
			bad |= check(&h, percents[i]);
	}
	puts(bad ? "FAIL" : "ok");
	return bad;
}
