/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to the tools; docs/tools-protocol.md describes them. */
#ifndef ISMD_CTL_H
#define ISMD_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ismd/ident.h"

struct client;
struct conn;
struct ismd;
struct json_object;
struct jsonout;
struct lpar;
struct ucred;

/* REQUEST: @text is @len bytes of anything. Sends a REPLY. */
void ctl_request(struct ismd *d, struct client *c, const char *text, size_t len,
                 const struct ucred *sender);

/* Who asks, and for what. */
struct ctl_ask {
	struct client *client;
	enum rights rights;
	uid_t sender_uid;
	struct lpar *lpar; /* the one asked for, else the asker's */
	bool all;          /* none was asked for, and the asker may see all */
	bool persist;
	const char *op;
	struct json_object *req;
};

/* Is @l one of those that are asked for? */
bool ctl_sees(const struct ctl_ask *a, const struct lpar *l);

void ctl_error(struct jsonout *j, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ctl_ok(struct jsonout *j);

/* Members of a request. False: there but malformed, or missing without a default;
 * an error has been put. */
bool ctl_get_int(struct jsonout *j, struct json_object *req, const char *key, int64_t min,
                 int64_t max, int64_t *value);
bool ctl_has(struct json_object *req, const char *key);
const char *ctl_get_str(struct json_object *req, const char *key); /* NULL: not there */

/* @l was changed by a tool: takes effect, and is stored if the request says so. False:
 * it could not be stored; an error has been put. */
bool ctl_changed(struct ismd *d, struct jsonout *j, const struct ctl_ask *a);

typedef void ctl_fn(struct ismd *d, struct jsonout *j, const struct ctl_ask *a);

ctl_fn ctl_sockets, ctl_stats, ctl_explain;                            /* a file each */
ctl_fn ctl_functions, ctl_power, ctl_function_add, ctl_function_del;   /* ctl_functions.c */
ctl_fn ctl_linkgroups, ctl_lpars, ctl_info;                            /* ctl_lpars.c, ctl_info.c */
ctl_fn ctl_eids, ctl_ueid_add, ctl_ueid_del, ctl_ueid_flush, ctl_seid; /* ctl_eid.c */
ctl_fn ctl_pnet, ctl_pnet_add, ctl_pnet_del, ctl_pnet_flush;           /* ctl_pnet.c */

#endif
