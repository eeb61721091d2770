/* SPDX-License-Identifier: Apache-2.0 */
#include "ismd/jsonout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct jsonout *j, const char *s, size_t n)
{
	if (j->failed)
		return;
	if (j->size - j->len < n) {
		size_t size = (j->size ? j->size * 2 : 4096) + n;
		char *text = realloc(j->text, size);

		if (!text) {
			j->failed = true;
			return;
		}
		j->text = text;
		j->size = size;
	}
	memcpy(j->text + j->len, s, n);
	j->len += n;
}

static void put_string(struct jsonout *j, const char *s)
{
	char esc[8];

	put(j, "\"", 1);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\') {
			put(j, "\\", 1);
			put(j, s, 1);
		} else if ((unsigned char)*s < ' ') {
			snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)(unsigned char)*s);
			put(j, esc, 6);
		} else {
			put(j, s, 1);
		}
	}
	put(j, "\"", 1);
}

static void begin(struct jsonout *j, const char *key)
{
	if (j->comma)
		put(j, ",", 1);
	if (key) {
		put_string(j, key);
		put(j, ":", 1);
	}
	j->comma = true;
}

void jout_open(struct jsonout *j, const char *key, char bracket)
{
	begin(j, key);
	put(j, &bracket, 1);
	j->comma = false;
}

void jout_close(struct jsonout *j, char bracket)
{
	put(j, &bracket, 1);
	j->comma = true;
}

void jout_str(struct jsonout *j, const char *key, const char *value)
{
	begin(j, key);
	put_string(j, value);
}

void jout_num(struct jsonout *j, const char *key, uint64_t value)
{
	char t[24];

	begin(j, key);
	put(j, t, (size_t)snprintf(t, sizeof(t), "%" PRIu64, value));
}

void jout_int(struct jsonout *j, const char *key, int64_t value)
{
	char t[24];

	begin(j, key);
	put(j, t, (size_t)snprintf(t, sizeof(t), "%" PRId64, value));
}

void jout_bool(struct jsonout *j, const char *key, bool value)
{
	begin(j, key);
	put(j, value ? "true" : "false", value ? 4 : 5);
}

void jout_hex64(struct jsonout *j, const char *key, uint64_t value)
{
	char t[24];

	snprintf(t, sizeof(t), "%016" PRIx64, value);
	jout_str(j, key, t);
}

void jout_free(struct jsonout *j)
{
	free(j->text);
	memset(j, 0, sizeof(*j));
}
