/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the tools: parse strictly, answer in a sealed memfd that the tool
 * reads at its own pace. */
#define _GNU_SOURCE
#include "ismd/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ismd/client.h"
#include "ismd/instance.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/table.h"

#define FID 1

static void put_error(struct jsonout *j, const char *code, const char *text)
{
	jout_open(j, NULL, '{');
	jout_str(j, "error", text);
	if (code)
		jout_str(j, "code", code);
	jout_close(j, '}');
}

static void put_functions(struct ismd *d, struct jsonout *j)
{
	unsigned lgrs = 0;

	list_each(it, next, &d->lgrs) lgrs++;
	jout_open(j, NULL, '{');
	jout_open(j, "functions", '[');
	jout_open(j, NULL, '{');
	jout_num(j, "fid", FID);
	jout_bool(j, "power", d->power);
	jout_str(j, "pci_id", "0001:00:00.0");
	jout_num(j, "pchid", 0xffff);
	jout_num(j, "chid", 0xffff);
	jout_str(j, "type", "ISM");
	jout_str(j, "vendor", "0x1014");
	jout_str(j, "device", "0x04ed");
	jout_num(j, "pft", 5);
	jout_num(j, "vfn", 0);
	jout_hex64(j, "gid", d->gid);
	jout_str(j, "pnetid", "OPENISM");
	jout_bool(j, "in_use", d->ndmbs != 0);
	jout_num(j, "lgrs", lgrs);
	jout_num(j, "dmbs", d->ndmbs);
	jout_num(j, "dmb_limit", d->opt.max_dmbs);
	jout_close(j, '}');
	jout_close(j, ']');
	jout_close(j, '}');
}

static void set_power(struct ismd *d, struct jsonout *j, struct json_object *req)
{
	struct json_object *fid, *on;
	bool want;
	int r;

	if (!json_object_object_get_ex(req, "fid", &fid) ||
	    !json_object_is_type(fid, json_type_int) ||
	    !json_object_object_get_ex(req, "on", &on) ||
	    !json_object_is_type(on, json_type_boolean)) {
		put_error(j, "usage", "power needs fid (number) and on (boolean)");
		return;
	}
	if (json_object_get_int64(fid) != FID) {
		char text[64];

		snprintf(text, sizeof(text), "FID %lld does not exist",
		         (long long)json_object_get_int64(fid));
		put_error(j, "nodev", text);
		return;
	}
	want = json_object_get_boolean(on);
	if (want == d->power) {
		put_error(j, "already",
		          want ? "FID 1 is already enabled" : "FID 1 is already disabled");
		return;
	}
	r = instance_power_save(d->dir, want);
	if (r < 0) {
		put_error(j, "io", strerror(-r));
		return;
	}
	d->power = want;
	tables_set_power(d, want);
	log_event("function 1: power %s", want ? "on" : "off");
	jout_open(j, NULL, '{');
	jout_bool(j, "ok", true);
	jout_close(j, '}');
}

static void put_linkgroup(struct jsonout *j, const struct lgr *g, const char *host)
{
	uint64_t bytes = 0;

	list_each(it, next, &g->segments)
	{
		const struct segment *s = list_item(it, struct segment, link);

		bytes += (uint64_t)s->nused * s->dmb_bytes;
	}
	jout_open(j, NULL, '{');
	jout_num(j, "lgr_id", g->id);
	jout_num(j, "vlan", 0);
	jout_num(j, "conns", g->nconns);
	jout_str(j, "pnetid", "OPENISM");
	jout_num(j, "version", 2);
	jout_num(j, "release", 1);
	jout_str(j, "peer_host", host);
	jout_str(j, "peer_os", "LINUX");
	jout_str(j, "eid", "");
	jout_num(j, "sndbuf", bytes);
	jout_num(j, "dmb", bytes);
	jout_num(j, "segments", g->nsegments);
	jout_open(j, "pids", '[');
	jout_int(j, NULL, g->proc[0] ? g->proc[0]->pid : 0);
	jout_int(j, NULL, g->proc[1] ? g->proc[1]->pid : 0);
	jout_close(j, ']');
	jout_close(j, '}');
}

static void put_linkgroups(struct ismd *d, struct jsonout *j)
{
	char host[65] = { 0 };

	gethostname(host, sizeof(host) - 1);
	jout_open(j, NULL, '{');
	jout_open(j, "linkgroups", '[');
	list_each(it, next, &d->lgrs) put_linkgroup(j, list_item(it, struct lgr, link), host);
	jout_close(j, ']');
	jout_close(j, '}');
}

static void put_info(struct ismd *d, struct jsonout *j)
{
	char host[65] = { 0 };
	uint64_t rows = 0;

	gethostname(host, sizeof(host) - 1);
	list_each(it, next, &d->tables) rows += list_item(it, struct table, link)->nconns;
	jout_open(j, NULL, '{');
	jout_str(j, "version", OPENISM_VERSION);
	jout_int(j, "pid", getpid());
	jout_str(j, "hostname", host);
	jout_num(j, "smc_version", 2);
	jout_num(j, "smc_release", 1);
	jout_bool(j, "ism_v2", true);
	jout_str(j, "seid", "");
	jout_num(j, "uptime_s", (loop_now_ns() - d->start_ns) / 1000000000u);
	jout_num(j, "clients", d->nclients);
	jout_num(j, "tables", d->ntables);
	jout_num(j, "rows", rows);
	jout_num(j, "defer_us", d->opt.defer_us);
	jout_str(j, "rundir", d->dir);
	jout_str(j, "proof", "same-namespace");
	jout_close(j, '}');
}

static void answer(struct ismd *d, struct jsonout *j, struct json_object *req)
{
	struct json_object *op_obj;
	const char *op;

	if (!json_object_is_type(req, json_type_object) ||
	    !json_object_object_get_ex(req, "op", &op_obj) ||
	    !json_object_is_type(op_obj, json_type_string)) {
		put_error(j, "usage", "a request is an object with the string member op");
		return;
	}
	op = json_object_get_string(op_obj);
	if (!strcmp(op, "sockets"))
		ctl_sockets(d, j);
	else if (!strcmp(op, "functions"))
		put_functions(d, j);
	else if (!strcmp(op, "power"))
		set_power(d, j, req);
	else if (!strcmp(op, "linkgroups"))
		put_linkgroups(d, j);
	else if (!strcmp(op, "info"))
		put_info(d, j);
	else if (!strcmp(op, "stats"))
		ctl_stats(d, j);
	else
		put_error(j, "op", "unknown operation");
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
	int fd = -1;

	if (!j->failed)
		fd = sealed_copy(j);
	if (fd < 0) {
		client_send(c, &m, sizeof(m), NULL, 0);
		return;
	}
	client_send(c, &m, sizeof(m), &fd, 1);
	close(fd);
}

void ctl_request(struct ismd *d, struct client *c, const char *text, size_t len)
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
		put_error(&j, "json", "the request is not one JSON object");
	else
		answer(d, &j, req);
	send_reply(c, &j);
	jout_free(&j);
	json_object_put(req);
	json_tokener_free(tok);
}
