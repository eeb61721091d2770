/* SPDX-License-Identifier: Apache-2.0 */
/* One question to ismd, one JSON answer (fabric/wire.h, REQUEST and REPLY). */
#ifndef OPENISM_TOOLS_ISMD_CLIENT_H
#define OPENISM_TOOLS_ISMD_CLIENT_H

#include <json-c/json.h>

enum ismd_fail {
	ISMD_ANSWERED = 0,
	ISMD_ABSENT,  /* none runs (and none was to be started) */
	ISMD_FAILED,  /* it cannot be reached or started */
	ISMD_SILENT,  /* no answer within the time limit */
	ISMD_VERSION, /* it speaks another version */
	ISMD_GARBLED, /* the answer is not what was agreed */
};

struct ismd_error {
	enum ismd_fail kind;
	char text[256]; /* one line without a full stop, for people */
};

#define ISMD_START 0x1u /* start ismd if none runs */

/*
 * Send @request (a JSON object as text), return the answer, an object that the
 * caller puts. NULL with *@err filled in when there is none. Waits 2 s at most
 * for the answer. An answer may itself be {"error": "..."}.
 */
struct json_object *ismd_ask(const char *request, unsigned flags, struct ismd_error *err);

/* ismd_ask(), but an answer with "error" in it is a failure as well. */
struct json_object *ismd_get(const char *op, unsigned flags, struct ismd_error *err);

#endif
