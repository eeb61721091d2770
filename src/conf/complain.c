/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "conf/complain.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void complain(struct complaints *c, int line, const char *fmt, ...)
{
	struct complaint *e = &c->list[c->n];
	va_list ap;

	if (c->n == COMPLAINTS_MAX) {
		c->more++;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&e->text, fmt, ap) < 0)
		c->no_memory = true;
	else
		c->n++;
	va_end(ap);
	e->line = line;
}

/* Stable: what was found first on a line comes first. Insertion does for so few. */
static void sort(struct complaints *c)
{
	for (unsigned i = 1; i < c->n; i++) {
		struct complaint e = c->list[i];
		unsigned j = i;

		for (; j && c->list[j - 1].line > e.line; j--)
			c->list[j] = c->list[j - 1];
		c->list[j] = e;
	}
}

static void write_one(const struct complaints *c, const struct complaint *e, FILE *out)
{
	if (e->line)
		fprintf(out, "%s:%d: %s\n", c->path, e->line, e->text);
	else
		fprintf(out, "%s: %s\n", c->path, e->text);
}

void complaints_flush(struct complaints *c, FILE *out)
{
	sort(c);
	for (unsigned i = 0; i < c->n; i++) {
		if (out)
			write_one(c, &c->list[i], out);
		free(c->list[i].text);
	}
	if (out && c->more)
		fprintf(out, "%s: %u more faults\n", c->path, c->more);
	if (out && c->no_memory)
		fprintf(out, "%s: out of memory\n", c->path);
	c->n = c->more = 0;
}

const char *quote(char buf[QUOTE_MAX], const char *text)
{
	static const char cut[] = "...\"";
	size_t n = 0;

	buf[n++] = '"';
	for (; *text && n < QUOTE_MAX - sizeof(cut); text++)
		buf[n++] = *text < ' ' || *text > '~' ? '?' : *text;
	strcpy(buf + n, *text ? cut : "\"");
	return buf;
}
