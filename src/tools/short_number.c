/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/short_number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *short_number(uint64_t n, char buf[8])
{
	static const char units[] = "KMGTPE";
	char digits[32];
	uint64_t whole = n;
	double scale = 1;
	int unit = -1, decimals;

	if (n < 1000) {
		snprintf(buf, 8, "%" PRIu64, n);
		return buf;
	}
	for (; whole >= 1000; whole /= 1000, unit++)
		scale *= 1000;
	decimals = whole >= 100 ? 1 : whole >= 10 ? 2 : 3;
	/* Rounding may add a digit in front; then one behind has to go. */
	for (;; decimals--) {
		snprintf(digits, sizeof(digits), "%.*f", decimals, (double)n / scale);
		if (strlen(digits) <= 5 || decimals == 0)
			break;
	}
	snprintf(buf, 8, "%5.5s%c", digits, units[unit]);
	return buf;
}
