/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfig 1.5 takes a number that does not fit into an int and drops its upper
 * bits, takes an open comment for the end of the file, recurses as deep as the
 * brackets do, compares each name with all before it in its group (two minutes for a
 * group of 1 MiB), reads other files where "@include" says so, and says "syntax error"
 * for anything else. So the text is read here first: numbers get the "L" that makes
 * them 64 bits wide, the rest is named and refused.
 */
#include "conf/scan.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 16
#define SETTINGS_MAX 64 /* of one group; none needs as many */
#define DIGITS_MAX 18   /* fit into an int64_t */
#define HEX_MAX 15

struct bracket {
	char open;
	int line;
	unsigned settings; /* in it */
};

struct scan {
	const char *p, *end;
	char *to;
	int line;
	char before; /* the last character that means something */
	struct bracket open[NESTING_MAX];
	unsigned settings; /* outside all brackets */
	unsigned depth;
	struct complaints *out;
};

static char peek(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : '\0';
}

static void copy(struct scan *s, size_t n)
{
	for (; n && s->p < s->end; n--) {
		if (*s->p == '\n')
			s->line++;
		*s->to++ = *s->p++;
	}
}

static char partner(char bracket)
{
	return bracket == '(' ? ')' : bracket == '[' ? ']' : '}';
}

static void scan_open(struct scan *s)
{
	if (s->depth < NESTING_MAX) {
		s->open[s->depth].open = *s->p;
		s->open[s->depth].line = s->line;
		s->open[s->depth].settings = 0;
	} else if (s->depth == NESTING_MAX) {
		complain(s->out, s->line,
		         "\"%c\": nested too deeply, expected at most %d brackets in each other",
		         *s->p, NESTING_MAX);
	}
	s->depth++;
	copy(s, 1);
}

static void scan_close(struct scan *s)
{
	const struct bracket *b;

	if (s->before == ',')
		complain(s->out, s->line,
		         "\"%c\": a comma before it, expected no comma after the last", *s->p);
	if (!s->depth) {
		complain(s->out, s->line, "\"%c\": closes nothing, expected no bracket", *s->p);
	} else if (--s->depth < NESTING_MAX) {
		b = &s->open[s->depth];
		if (*s->p != partner(b->open))
			complain(s->out, s->line,
			         "\"%c\": closes \"%c\" of line %d, expected \"%c\"", *s->p,
			         b->open, b->line, partner(b->open));
	}
	copy(s, 1);
}

static void scan_string(struct scan *s)
{
	int line = s->line;

	copy(s, 1);
	while (s->p < s->end && *s->p != '"' && *s->p != '\n') {
		if (peek(s, 0) == '\\' && peek(s, 1) == 'x' && peek(s, 2) == '0' &&
		    peek(s, 3) == '0')
			complain(s->out, s->line,
			         "\"\\x00\": no character of a text, expected none");
		copy(s, *s->p == '\\' && peek(s, 1) != '\n' ? 2 : 1);
	}
	if (peek(s, 0) != '"')
		complain(s->out, line,
		         "'\"': a string is not closed, expected '\"' on the same line");
	else
		copy(s, 1);
}

static void scan_comment(struct scan *s)
{
	int line = s->line;

	copy(s, 2);
	while (s->p < s->end && !(peek(s, 0) == '*' && peek(s, 1) == '/'))
		copy(s, 1);
	if (s->p == s->end)
		complain(s->out, line, "\"/*\": a comment is not closed, expected \"*/\"");
	copy(s, 2);
}

/* Left out: libconfig knows no such comment without a newline behind it. */
static void scan_line_comment(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n')
		s->p++;
}

static void scan_word(struct scan *s)
{
	while (s->p < s->end && (isalnum((unsigned char)*s->p) || strchr("_-*", *s->p)) && *s->p)
		copy(s, 1);
}

/* Digits of the number at s->p, of base 10 or 16; 0 where it is something else. */
static size_t whole_number(const struct scan *s, size_t len, size_t *start)
{
	const char *p = s->p;
	bool hex = len > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
	size_t n = hex ? 2 : *p == '-' || *p == '+';

	*start = n;
	while (n < len && (hex ? isxdigit((unsigned char)p[n]) : isdigit((unsigned char)p[n])))
		n++;
	return n == len ? len - *start : 0;
}

static void scan_number(struct scan *s)
{
	size_t len = 1, start, digits;
	bool hex;

	while (isalnum((unsigned char)peek(s, len)) || peek(s, len) == '.')
		len++;
	while (len > 1 && s->p[len - 1] == 'L')
		len--;
	digits = whole_number(s, len, &start);
	hex = digits && start == 2;
	while (digits > 1 && s->p[start] == '0') { /* of no weight */
		start++;
		digits--;
	}
	if (digits > (size_t)(hex ? HEX_MAX : DIGITS_MAX))
		complain(s->out, s->line, "%.*s: out of range, expected at most %d digits",
		         (int)(len > 40 ? 40 : len), s->p, hex ? HEX_MAX : DIGITS_MAX);
	copy(s, len);
	if (!digits)
		return;
	*s->to++ = 'L';
	for (int i = 0; i < 2 && peek(s, 0) == 'L'; i++)
		s->p++;
}

static void scan_assign(struct scan *s)
{
	unsigned *n = &s->settings;

	if (s->depth > 0 && s->depth <= NESTING_MAX) /* deeper ones are refused anyway */
		n = &s->open[s->depth - 1].settings;
	if (s->depth <= NESTING_MAX && ++*n == SETTINGS_MAX + 1)
		complain(s->out, s->line,
		         "\"%c\": too many settings, expected at most %d in a group", *s->p,
		         SETTINGS_MAX);
	copy(s, 1);
}

static void scan_token(struct scan *s)
{
	char c = *s->p, next = peek(s, 1);

	if (c == '(' || c == '[' || c == '{')
		scan_open(s);
	else if (c == ')' || c == ']' || c == '}')
		scan_close(s);
	else if (c == '=' || c == ':')
		scan_assign(s);
	else if (c == '"')
		scan_string(s);
	else if (isalpha((unsigned char)c) || c == '*')
		scan_word(s);
	else if (isdigit((unsigned char)c) ||
	         ((c == '-' || c == '+') && isdigit((unsigned char)next)))
		scan_number(s);
	else
		copy(s, 1);
	s->before = c;
}

static void scan_step(struct scan *s)
{
	char c = *s->p, next = peek(s, 1);

	if (c == '#' || (c == '/' && next == '/')) {
		scan_line_comment(s);
	} else if (c == '/' && next == '*') {
		scan_comment(s);
	} else if (isspace((unsigned char)c)) {
		copy(s, 1);
	} else if (c == '@') {
		complain(s->out, s->line,
		         "\"@include\": not supported, expected everything in one file");
		scan_line_comment(s);
	} else {
		scan_token(s);
	}
}

static void scan_end(struct scan *s)
{
	while (s->depth-- > 0)
		if (s->depth < NESTING_MAX)
			complain(s->out, s->open[s->depth].line,
			         "\"%c\": not closed, expected \"%c\"", s->open[s->depth].open,
			         partner(s->open[s->depth].open));
}

char *scan_text(const char *text, size_t len, struct complaints *out)
{
	unsigned before = out->n;
	char *copied = malloc(2 * len + 1); /* an "L" after each digit is the worst */
	struct scan s = { text, text + len, copied, 1, '\0', { { 0 } }, 0, 0, out };

	if (!copied) {
		out->no_memory = true;
		return NULL;
	}
	if (memchr(text, '\0', len)) {
		complain(out, 0, "holds a NUL character, expected a text");
	} else {
		while (s.p < s.end)
			scan_step(&s);
		scan_end(&s);
	}
	*s.to = '\0';
	if (out->n == before && !out->no_memory)
		return copied;
	free(copied);
	return NULL;
}
