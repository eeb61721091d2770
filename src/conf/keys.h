/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of settings as tables: a key, where its value goes, who reads and checks
 * it. A reader writes its field only with a value that is right.
 */
#ifndef OPENISM_CONF_KEYS_H
#define OPENISM_CONF_KEYS_H

#include <libconfig.h>
#include <stddef.h>

#include "conf/complain.h"
#include "conf/conf.h"

struct parse {
	struct conf *conf;
	struct conf_quota quota; /* of LPARs that say nothing of it */
	struct complaints *out;
};

struct key;
typedef void key_read_fn(struct parse *p, const struct key *k, const config_setting_t *s,
                         void *field);

struct key {
	const char *name;
	key_read_fn *read;
	size_t offset, size; /* of the field */
	uint64_t min, max;   /* of a number */
	bool required;
};

#define KEY_FIELD(type, field) offsetof(type, field), sizeof(((type *)0)->field)

/*
 * Read the members of group @s into @base. Bit i of the answer: keys[i] is there,
 * right or wrong.
 */
unsigned keys_read(struct parse *p, const config_setting_t *s, const struct key *keys, unsigned n,
                   void *base);

/* Complain about @s; its place in the file and its name come before the text. */
void fault(struct parse *p, const config_setting_t *s, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Is it one? Else a complaint. */
bool is_group(struct parse *p, const config_setting_t *s);
bool is_list(struct parse *p, const config_setting_t *s, const char *of);

/* The name of @count, @stride apart, that @word may have been meant to be, or NULL. */
const char *nearest(const char *word, const char *const *first, unsigned count, size_t stride);
unsigned word_distance(const char *a, const char *b);

/* The text of @s if it is one of 1 to @max characters; else NULL and a complaint. */
const char *text_of(struct parse *p, const config_setting_t *s, size_t max, const char *expected);

/* Readers. */
key_read_fn read_bool, read_number, read_size, read_power, read_pnetid, read_path, read_text;

#endif
