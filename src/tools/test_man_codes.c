/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smcss(8) lists every fallback code with the text that the tools print, in the
 * order of reason.h, and no other. The page's path is the argument.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/reason.h"

static const struct {
	unsigned code;
	const char *text;
} reasons[] = {
#define REASON_ROW(c, sym, name, t) { c, t },
	FAB_REASONS(REASON_ROW)
#undef REASON_ROW
};

enum { NREASONS = sizeof(reasons) / sizeof(reasons[0]) };

int main(int argc, char **argv)
{
	char line[256], text[256], expected_it[32], expected_text[256];
	FILE *page = argc == 2 ? fopen(argv[1], "r") : NULL;
	size_t n = 0;

	if (!page) {
		fprintf(stderr, "usage: test_man_codes smcss.8\n");
		return 2;
	}
	while (fgets(line, sizeof(line), page)) {
		if (strncmp(line, ".It 0x", 6) != 0 || !fgets(text, sizeof(text), page))
			continue;
		if (n == NREASONS) {
			printf("the page has a code too many: %s", line);
			return 1;
		}
		snprintf(expected_it, sizeof(expected_it), ".It 0x%08x\n", reasons[n].code);
		snprintf(expected_text, sizeof(expected_text), "%s\n", reasons[n].text);
		if (strcmp(line, expected_it) != 0 || strcmp(text, expected_text) != 0) {
			printf("expected %s%sfound    %s%s", expected_it, expected_text, line,
			       text);
			return 1;
		}
		n++;
	}
	fclose(page);
	if (n == NREASONS)
		return 0;
	printf("the page ends before 0x%08x\n", reasons[n].code);
	return 1;
}
