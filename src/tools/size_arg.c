/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/size_arg.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

static int suffix_factor(const char *s)
{
	if (s[0] == '\0')
		return 1;
	if (s[1] != '\0')
		return 0;
	switch (s[0]) {
	case 'k':
	case 'K':
		return 1024;
	case 'm':
	case 'M':
		return 1024 * 1024;
	default:
		return 0;
	}
}

int size_arg_parse(const char *arg, unsigned *bytes)
{
	const char *s = arg;
	uint64_t n = 0;
	int factor;

	for (; *s >= '0' && *s <= '9'; s++)
		if (n <= INT_MAX)
			n = n * 10 + (uint64_t)(*s - '0');
	factor = suffix_factor(s);
	if (s == arg || !factor)
		return -EINVAL;
	if (n > (uint64_t)(INT_MAX / factor))
		return -ERANGE;
	*bytes = (unsigned)n * (unsigned)factor;
	return 0;
}
