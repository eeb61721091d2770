/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON text into a growing buffer. Written straight, not through a tree: ten
 * thousand sockets have to be answered in a few milliseconds each thousand.
 * Lack of memory is remembered and seen once, at the end.
 */
#ifndef ISMD_JSONOUT_H
#define ISMD_JSONOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jsonout {
	char *text;
	size_t len, size;
	bool failed;
	bool comma; /* the next member needs one in front */
};

/* @key NULL: inside an array, or the outermost value */
void jout_open(struct jsonout *j, const char *key, char bracket); /* '{' or '[' */
void jout_close(struct jsonout *j, char bracket);
void jout_str(struct jsonout *j, const char *key, const char *value);
void jout_num(struct jsonout *j, const char *key, uint64_t value);
void jout_int(struct jsonout *j, const char *key, int64_t value);
void jout_bool(struct jsonout *j, const char *key, bool value);
void jout_hex64(struct jsonout *j, const char *key, uint64_t value);
void jout_free(struct jsonout *j);

#endif
