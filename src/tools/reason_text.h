/* SPDX-License-Identifier: Apache-2.0 */
/* Fallback codes in words. */
#ifndef OPENISM_TOOLS_REASON_TEXT_H
#define OPENISM_TOOLS_REASON_TEXT_H

#include <stdint.h>

/* What the code means, or NULL for a code that nobody told us about. */
const char *reason_text(uint32_t code);

/* Its short name in "smcd stats", "[unknown]" where it has none. */
const char *reason_name(uint32_t code);

#endif
