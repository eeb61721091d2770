/* SPDX-License-Identifier: Apache-2.0 */
/* One question to ismd, one JSON answer (fabric/wire.h, REQUEST and REPLY). */
#ifndef OPENISM_TOOLS_ISMD_CLIENT_H
#define OPENISM_TOOLS_ISMD_CLIENT_H

#include <json-c/json.h>
#include <stdbool.h>

enum ismd_fail {
	ISMD_ANSWERED = 0,
	ISMD_ABSENT,  /* none runs (and none was to be started) */
	ISMD_FAILED,  /* it cannot be reached or started */
	ISMD_SILENT,  /* no answer within the time limit */
	ISMD_VERSION, /* it speaks another version */
	ISMD_GARBLED, /* the answer is not what was agreed */
	ISMD_REFUSED, /* the answer says no; code has its code, or "" */
};

struct ismd_error {
	enum ismd_fail kind;
	char text[256]; /* one line without a full stop, for people */
	char code[16];
};

#define ISMD_START 0x1u /* start ismd if none runs */

/*
 * Send @request (a JSON object as text), return the answer, an object that the
 * caller puts. NULL with *@err filled in when there is none. Waits 2 s at most
 * for the answer. An answer may itself be {"error": "..."}.
 */
struct json_object *ismd_ask(const char *request, unsigned flags, struct ismd_error *err);

/*
 * A request for that operation, to which members may be added. @lpar: NULL says
 * nothing about LPARs, "." is the asker's own one, else a name.
 */
struct json_object *ismd_request(const char *op, const char *lpar);

/* Ask it, and put @request. An answer with "error" in it is a failure, too. */
struct json_object *ismd_do(struct json_object *request, unsigned flags, struct ismd_error *err);

/* The two in one, for a request with nothing to add. */
struct json_object *ismd_get(const char *op, const char *lpar, unsigned flags,
                             struct ismd_error *err);

bool ismd_refused_with(const struct ismd_error *err, const char *code);

/* The failure in the words of libnl, which is what smc_pnet and smcd have always
 * printed, as far as it has words for it. */
const char *ismd_error_nl(const struct ismd_error *err);

#endif
