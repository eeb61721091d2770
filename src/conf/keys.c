/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "conf/keys.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64 /* CONF_NAME_MAX as well */

/* ------------------------------------------------- what a setting is called */

/* Element of a list: by its name where it has a good one, else by its position. */
static void write_element(const config_setting_t *s, FILE *out)
{
	const char *list = s->parent->name ? s->parent->name : "", *name = NULL;
	int len = (int)strlen(list);

	if (len && list[len - 1] == 's')
		len--;
	if (s->type == CONFIG_TYPE_GROUP)
		config_setting_lookup_string(s, "name", &name);
	if (name && *name)
		fprintf(out, "%.*s %s", len, list, QUOTE(name));
	else
		fprintf(out, "%.*s %d", len, list, config_setting_index(s) + 1);
}

/* lpar "web", function 2, vlan. The nesting is bounded (scan.c). */
static void write_object(const config_setting_t *s, FILE *out)
{
	const config_setting_t *above = s->name ? s->parent : s->parent->parent;

	if (above->parent) {
		write_object(above, out);
		fputs(", ", out);
	}
	if (s->name)
		fputs(s->name, out);
	else
		write_element(s, out);
}

void fault(struct parse *p, const config_setting_t *s, const char *fmt, ...)
{
	char *text = NULL;
	size_t len;
	FILE *f;
	va_list ap;

	if (p->out->n == COMPLAINTS_MAX) { /* nobody will read how it is called */
		p->out->more++;
		return;
	}
	f = open_memstream(&text, &len);
	if (!f) {
		p->out->no_memory = true;
		return;
	}
	write_object(s, f);
	fputs(": ", f);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	if (fclose(f) == 0)
		complain(p->out, (int)config_setting_source_line(s), "%s", text);
	else
		p->out->no_memory = true;
	free(text);
}

static const char *kind_of(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a number with a fraction";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	default:
		return "a list ( )";
	}
}

bool is_group(struct parse *p, const config_setting_t *s)
{
	if (config_setting_is_group(s))
		return true;
	fault(p, s, "is %s, expected a group { }", kind_of(s));
	return false;
}

bool is_list(struct parse *p, const config_setting_t *s, const char *of)
{
	if (config_setting_is_list(s))
		return true;
	if (config_setting_is_array(s) && !config_setting_length(s))
		return true;
	fault(p, s, "is %s, expected a list ( ) of %s", kind_of(s), of);
	return false;
}

/* ------------------------------------------------------------ did you mean */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits from one to the other: insert, delete, change, swap neighbours. */
unsigned word_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned la = (unsigned)strnlen(a, WORD_MAX + 1), lb = (unsigned)strnlen(b, WORD_MAX + 1);
	unsigned *two = rows[0], *one = rows[1], *row = rows[2];

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned *spare = two;

		two = one;
		one = row;
		row = spare;
		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned change = tolower((unsigned char)a[i - 1]) !=
			                  tolower((unsigned char)b[j - 1]);

			row[j] = min3(one[j] + 1, row[j - 1] + 1, one[j - 1] + change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two[j - 2] + 1 < row[j])
				row[j] = two[j - 2] + 1;
		}
	}
	return row[lb];
}

const char *nearest(const char *word, const char *const *first, unsigned count, size_t stride)
{
	unsigned best = strlen(word) < 5 ? 2 : 3; /* this far is too far */
	const char *found = NULL;

	for (unsigned i = 0; i < count; i++) {
		const char *name = *(const char *const *)((const char *)first + i * stride);
		unsigned d = word_distance(word, name);

		if (d < best) {
			best = d;
			found = name;
		}
	}
	return found;
}

/* ------------------------------------------------------------------ groups */

static void unknown(struct parse *p, const config_setting_t *s, const struct key *keys, unsigned n)
{
	const char *like = nearest(s->name, &keys[0].name, n, sizeof(keys[0]));
	char all[256] = "";

	if (like) {
		fault(p, s, "unknown, did you mean %s?", like);
		return;
	}
	for (unsigned i = 0, len = 0; i < n && len < sizeof(all); i++)
		len += (unsigned)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
		                          keys[i].name);
	fault(p, s, "unknown, expected one of %s", all);
}

static bool is_key(const char *name, const struct key *keys, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(name, keys[i].name))
			return true;
	return false;
}

unsigned keys_read(struct parse *p, const config_setting_t *s, const struct key *keys, unsigned n,
                   void *base)
{
	int members = config_setting_length(s);
	unsigned seen = 0;

	for (int i = 0; i < members; i++) {
		const config_setting_t *m = config_setting_get_elem(s, (unsigned)i);

		if (!is_key(m->name, keys, n))
			unknown(p, m, keys, n);
	}
	for (unsigned i = 0; i < n; i++) {
		const config_setting_t *m = config_setting_get_member(s, keys[i].name);

		if (m) {
			keys[i].read(p, &keys[i], m, (char *)base + keys[i].offset);
			seen |= 1u << i;
		} else if (keys[i].required) {
			fault(p, s, "%s is missing", keys[i].name);
		}
	}
	return seen;
}

/* ----------------------------------------------------------------- readers */

static bool is_whole(const config_setting_t *s)
{
	int type = config_setting_type(s);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static void store(const struct key *k, void *field, uint64_t n)
{
	if (k->size == sizeof(uint16_t))
		*(uint16_t *)field = (uint16_t)n;
	else if (k->size == sizeof(uint32_t))
		*(uint32_t *)field = (uint32_t)n;
	else
		*(uint64_t *)field = n;
}

void read_number(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	unsigned long long min = k->min, max = k->max;
	long long n;

	if (!is_whole(s)) {
		fault(p, s, "is %s, expected a number from %llu to %llu", kind_of(s), min, max);
		return;
	}
	n = config_setting_get_int64(s);
	if (n < 0 || (unsigned long long)n < min || (unsigned long long)n > max)
		fault(p, s, "%lld is out of range, expected %llu to %llu", n, min, max);
	else
		store(k, field, (uint64_t)n);
}

/* "512M". */
static bool size_of_text(const char *text, uint64_t max, uint64_t *size)
{
	static const char units[] = "KMGT";
	size_t digits = strspn(text, "0123456789");
	const char *unit = text[digits] ? strchr(units, toupper((unsigned char)text[digits]))
	                                : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (!digits || digits > 18 || (text[digits] && (!unit || text[digits + 1])))
		return false;
	*size = strtoull(text, NULL, 10);
	*size = *size > max >> shift ? UINT64_MAX : *size << shift;
	return true;
}

void read_size(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	const char *text = config_setting_get_string(s);
	uint64_t n = 0;

	if (!is_whole(s) && !text) {
		fault(p, s, "is %s, expected bytes as a number or as a text like \"512M\"",
		      kind_of(s));
		return;
	}
	if (text && !size_of_text(text, k->max, &n)) {
		fault(p, s, "%s is no size, expected digits and perhaps one of K M G T",
		      QUOTE(text));
		return;
	}
	if (!text)
		n = (uint64_t)config_setting_get_int64(s);
	if (n < k->min || n > k->max)
		fault(p, s, "is out of range, expected %llu to \"%lluT\"",
		      (unsigned long long)k->min, (unsigned long long)k->max >> 40);
	else
		store(k, field, n);
}

void read_bool(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		fault(p, s, "is %s, expected true or false", kind_of(s));
	else
		*(bool *)field = config_setting_get_bool(s);
}

void read_power(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	const char *text = config_setting_get_string(s);

	if (text && !strcmp(text, "on"))
		*(bool *)field = true;
	else if (text && !strcmp(text, "off"))
		*(bool *)field = false;
	else if (text)
		fault(p, s, "is %s, expected \"on\" or \"off\"", QUOTE(text));
	else if (config_setting_type(s) == CONFIG_TYPE_BOOL)
		*(bool *)field = config_setting_get_bool(s);
	else
		fault(p, s, "is %s, expected \"on\" or \"off\"", kind_of(s));
}

const char *text_of(struct parse *p, const config_setting_t *s, size_t max, const char *expected)
{
	const char *text = config_setting_get_string(s);
	size_t len = text ? strlen(text) : 0;

	if (text && len > 0 && len <= max)
		return text;
	if (!text)
		fault(p, s, "is %s, expected %s", kind_of(s), expected);
	else if (!len)
		fault(p, s, "is empty, expected %s", expected);
	else
		fault(p, s, "%s has %zu characters, expected at most %zu", QUOTE(text), len, max);
	return NULL;
}

void read_text(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	const char *text = text_of(p, s, k->size - 1, "a text");

	if (text)
		strcpy(field, text);
}

void read_pnetid(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	const char *text = config_setting_get_string(s);

	if (text && !*text) { /* none */
		*(char *)field = '\0';
		return;
	}
	text = text_of(p, s, CONF_PNETID_MAX, "a text");
	if (text && !conf_pnetid_ok(text))
		fault(p, s, "%s is no PNETID, expected 1 to %d of A-Z and 0-9", QUOTE(text),
		      CONF_PNETID_MAX);
	else if (text)
		strcpy(field, text);
}

/* One slash at a time and none at the end, so that equal paths are equal texts. */
static void tidy_path(char *to, const char *path)
{
	char *start = to;

	for (; *path; path++)
		if (*path != '/' || to == start || to[-1] != '/')
			*to++ = *path;
	if (to > start + 1 && to[-1] == '/')
		to--;
	*to = '\0';
}

static bool has_dots(const char *path)
{
	for (const char *at = path; (at = strstr(at, "/.")); at++)
		if (strchr("/", at[2]) || (at[2] == '.' && strchr("/", at[3])))
			return true;
	return false;
}

void read_path(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	size_t max = k->max ? k->max : k->size - 1;
	const char *text = text_of(p, s, max, "an absolute path");

	if (!text)
		return;
	if (*text != '/')
		fault(p, s, "%s is relative, expected an absolute path", QUOTE(text));
	else if (has_dots(text))
		fault(p, s, "%s has \".\" or \"..\" in it, expected a plain path", QUOTE(text));
	else
		tidy_path(field, text);
}
