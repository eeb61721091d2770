/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The faults of a file, collected while it is checked and written in the order of
 * its lines. One owner; not for several threads.
 */
#ifndef OPENISM_CONF_COMPLAIN_H
#define OPENISM_CONF_COMPLAIN_H

#include <stdbool.h>
#include <stdio.h>

#define COMPLAINTS_MAX 100 /* what a reader will still look at; more are only counted */
#define QUOTE_MAX 80

struct complaint {
	int line; /* 0: of the file as a whole */
	char *text;
};

struct complaints {
	const char *path; /* as the user calls the file */
	struct complaint list[COMPLAINTS_MAX];
	unsigned n;    /* in the list */
	unsigned more; /* not in it */
	bool no_memory;
};

void complain(struct complaints *c, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Write all to @out (NULL: nowhere) and forget them. */
void complaints_flush(struct complaints *c, FILE *out);

/* @text in quotes, cut where it is long and without what a terminal would obey. */
const char *quote(char buf[QUOTE_MAX], const char *text);
#define QUOTE(text) quote((char[QUOTE_MAX]){ 0 }, text)

#endif
