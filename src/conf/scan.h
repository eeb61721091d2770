/* SPDX-License-Identifier: Apache-2.0 */
/* A look at the text of a file before libconfig sees it. */
#ifndef OPENISM_CONF_SCAN_H
#define OPENISM_CONF_SCAN_H

#include <stddef.h>

#include "conf/complain.h"

/*
 * A copy of @text as libconfig can be trusted with it; the caller frees it. NULL
 * after a complaint. Its lines are those of @text.
 */
char *scan_text(const char *text, size_t len, struct complaints *out);

#endif
