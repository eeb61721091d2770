/* SPDX-License-Identifier: Apache-2.0 */
/* smcd's objects: each takes the words behind its name. */
#ifndef OPENISM_TOOLS_SMCD_H
#define OPENISM_TOOLS_SMCD_H

#include <json-c/json.h>
#include <stdbool.h>

#include "tools/ismd_client.h"

/* Global options. There is one setting of -a and -d and the last one wins, only
 * the fused -ad asks for both: the original's rule, kept. */
struct smcd_options {
	bool absolute;
	int details;      /* 0, 1 (-d), 2 (-dd) */
	const char *lpar; /* NULL = as the object has it without */
	bool persist;     /* a change outlasts ismd */
};

/* Every error behind the object's name, also its usage text. */
enum { SMCD_FAILED = 255 };

/* Is @word a prefix of @full? The empty word is. */
bool smcd_matches(const char *word, const char *full);

/* ismd's answer, starting one if need be; NULL after a message. */
struct json_object *smcd_ask(const char *op, const struct smcd_options *opt);

/* A request to change something, and its answer; NULL with *@err filled in, and
 * nothing said. */
struct json_object *smcd_change(const char *op, const char *key, struct json_object *value,
                                const struct smcd_options *opt, struct ismd_error *err);

/* "Error: ..." on stderr, in libnl's words where it has some. SMCD_FAILED. */
int smcd_complain(const struct ismd_error *err);

int smcd_info(int argc, char **argv, const struct smcd_options *opt);
int smcd_linkgroup(int argc, char **argv, const struct smcd_options *opt);
int smcd_device(int argc, char **argv, const struct smcd_options *opt);
int smcd_stats(int argc, char **argv, const struct smcd_options *opt);
int smcd_ueid(int argc, char **argv, const struct smcd_options *opt);
int smcd_seid(int argc, char **argv, const struct smcd_options *opt);
int smcd_lpar(int argc, char **argv, const struct smcd_options *opt);

#endif
