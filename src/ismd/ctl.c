/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the tools: parse strictly, see who may ask what, answer in a sealed
 * memfd that the tool reads at its own pace. */
#define _GNU_SOURCE
#include "ismd/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ismd/client.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"
#include "ismd/persist.h"

#define MAX_UNREAD 4096 /* bytes of the channel: at most a message or two */

static const struct op {
	const char *name;
	ctl_fn *fn;
	enum rights needs; /* in the LPAR that is asked for */
} ops[] = {
	{ "sockets", ctl_sockets, RIGHTS_NONE },
	{ "functions", ctl_functions, RIGHTS_NONE },
	{ "power", ctl_power, RIGHTS_LPAR },
	{ "function_add", ctl_function_add, RIGHTS_BOX },
	{ "function_del", ctl_function_del, RIGHTS_BOX },
	{ "linkgroups", ctl_linkgroups, RIGHTS_NONE },
	{ "info", ctl_info, RIGHTS_NONE },
	{ "stats", ctl_stats, RIGHTS_NONE },
	{ "lpars", ctl_lpars, RIGHTS_NONE },
	{ "explain", ctl_explain, RIGHTS_NONE },
	{ "eids", ctl_eids, RIGHTS_NONE },
	{ "ueid_add", ctl_ueid_add, RIGHTS_LPAR },
	{ "ueid_del", ctl_ueid_del, RIGHTS_LPAR },
	{ "ueid_flush", ctl_ueid_flush, RIGHTS_LPAR },
	{ "seid", ctl_seid, RIGHTS_LPAR },
	{ "pnet", ctl_pnet, RIGHTS_NONE },
	{ "pnet_add", ctl_pnet_add, RIGHTS_LPAR },
	{ "pnet_del", ctl_pnet_del, RIGHTS_LPAR },
	{ "pnet_flush", ctl_pnet_flush, RIGHTS_LPAR },
};

void ctl_error(struct jsonout *j, const char *code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	jout_open(j, NULL, '{');
	jout_str(j, "error", text);
	if (code)
		jout_str(j, "code", code);
	jout_close(j, '}');
}

void ctl_ok(struct jsonout *j)
{
	jout_open(j, NULL, '{');
	jout_bool(j, "ok", true);
	jout_close(j, '}');
}

bool ctl_has(struct json_object *req, const char *key)
{
	return json_object_object_get_ex(req, key, NULL);
}

bool ctl_get_int(struct jsonout *j, struct json_object *req, const char *key, int64_t min,
                 int64_t max, int64_t *value)
{
	struct json_object *o;

	if (json_object_object_get_ex(req, key, &o) && json_object_is_type(o, json_type_int)) {
		*value = json_object_get_int64(o);
		if (*value >= min && *value <= max)
			return true;
	}
	ctl_error(j, "usage", "%s: a number from %lld to %lld is expected", key, (long long)min,
	          (long long)max);
	return false;
}

const char *ctl_get_str(struct json_object *req, const char *key)
{
	struct json_object *o;

	if (!json_object_object_get_ex(req, key, &o) || !json_object_is_type(o, json_type_string))
		return NULL;
	return json_object_get_string(o);
}

bool ctl_sees(const struct ctl_ask *a, const struct lpar *l)
{
	return a->all || a->lpar == l;
}

bool ctl_changed(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	int r;

	lpar_changed(d, a->lpar);
	if (!a->persist && d->opt.system)
		return true;
	r = persist_save(d, a->lpar);
	if (r == -ENOTSUP)
		ctl_error(j, "io", "LPAR %s has no name of its own in ism.conf to store it for",
		          a->lpar->name);
	else if (r < 0)
		ctl_error(j, "io", "it is so now, but could not be stored: %s", strerror(-r));
	return r == 0;
}

/* Which LPAR is it about? */
static bool find_scope(struct ismd *d, struct jsonout *j, struct ctl_ask *a)
{
	const char *name = ctl_get_str(a->req, "lpar");

	a->lpar = a->client->lpar;
	if (!name) {
		a->all = a->rights == RIGHTS_BOX;
		return true;
	}
	if (!name[0] || !strcmp(name, a->lpar->name))
		return true;
	if (a->rights != RIGHTS_BOX) {
		ctl_error(j, "perm", "another LPAR is seen by root of the host only");
		return false;
	}
	a->lpar = lpar_find(d, name);
	if (!a->lpar)
		ctl_error(j, "nolpar", "there is no LPAR \"%.64s\"", name);
	return a->lpar;
}

static const struct op *find_op(const char *name)
{
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	return NULL;
}

static void answer(struct ismd *d, struct client *c, struct jsonout *j, struct json_object *req,
                   const struct ucred *sender)
{
	struct ctl_ask a = { .client = c, .req = req };
	struct json_object *persist;
	const struct op *op;

	a.op = json_object_is_type(req, json_type_object) ? ctl_get_str(req, "op") : NULL;
	if (!a.op) {
		ctl_error(j, "usage", "a request is an object with the string member op");
		return;
	}
	op = find_op(a.op);
	if (!op) {
		ctl_error(j, "op", "unknown operation");
		return;
	}
	a.rights = client_rights(d, c, sender);
	a.sender_uid = sender->uid;
	a.persist = json_object_object_get_ex(req, "persist", &persist) &&
	            json_object_get_boolean(persist);
	if (!find_scope(d, j, &a))
		return;
	if (a.rights < op->needs) {
		log_event("client %u (pid %d, uid %u): refused, \"%s\" of LPAR %s", c->id,
		          (int)c->ident.pid, (unsigned)c->ident.uid, op->name, a.lpar->name);
		ctl_error(j, "perm",
		          op->needs == RIGHTS_BOX ? "this takes root on the host"
		                                  : "this takes root of the LPAR, or on the host");
		return;
	}
	op->fn(d, j, &a);
}

static int sealed_copy(const struct jsonout *j)
{
	int fd = memfd_create("ism-reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	if (fd < 0)
		return -errno;
	while (at < j->len) {
		ssize_t n = write(fd, j->text + at, j->len - at);

		if (n <= 0) {
			close(fd);
			return -EIO;
		}
		at += (size_t)n;
	}
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return fd;
}

static void send_reply(struct client *c, struct jsonout *j)
{
	struct fab_msg_head m = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_REPLY };
	int fd = -1, unread = 0;

	/* who leaves answers lying about gets none: they are memory of ours */
	if (ioctl(c->watch.fd, SIOCOUTQ, &unread) < 0 || unread > MAX_UNREAD)
		j->failed = true;
	if (!j->failed)
		fd = sealed_copy(j);
	if (fd < 0) {
		client_send(c, &m, sizeof(m), NULL, 0);
		return;
	}
	client_send(c, &m, sizeof(m), &fd, 1);
	close(fd);
}

void ctl_request(struct ismd *d, struct client *c, const char *text, size_t len,
                 const struct ucred *sender)
{
	struct json_tokener *tok = json_tokener_new_ex(8);
	struct json_object *req = NULL;
	struct jsonout j = { 0 };

	if (!tok)
		return;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	/* a terminating NUL makes a complete text of a bare number as well */
	while (len && text[len - 1] == 0)
		len--;
	req = json_tokener_parse_ex(tok, text, (int)len);
	if (!req || json_tokener_get_error(tok) != json_tokener_success)
		ctl_error(&j, "json", "the request is not one JSON object");
	else
		answer(d, c, &j, req, sender);
	send_reply(c, &j);
	jout_free(&j);
	json_object_put(req);
	json_tokener_free(tok);
}
