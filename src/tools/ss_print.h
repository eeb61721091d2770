/* SPDX-License-Identifier: Apache-2.0 */
/* smcss's header and rows as text. */
#ifndef OPENISM_TOOLS_SS_PRINT_H
#define OPENISM_TOOLS_SS_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/ss_row.h"

struct ss_format {
	bool debug, smcd, smcr, wide, explain;
	bool lpar; /* begin with the LPARs of both ends */
};

void ss_print_header(FILE *out, const struct ss_format *fmt);
void ss_print_row(FILE *out, const struct ss_row *row, const struct ss_format *fmt);

#endif
