/* SPDX-License-Identifier: Apache-2.0 */
/* Large counters in at most six characters, decimal units. */
#ifndef OPENISM_TOOLS_SHORT_NUMBER_H
#define OPENISM_TOOLS_SHORT_NUMBER_H

#include <stdint.h>

/* Below 1000 the number itself; else a value right-justified in five characters
 * and one of K M G T P E. Returns @buf. */
const char *short_number(uint64_t n, char buf[8]);

#endif
