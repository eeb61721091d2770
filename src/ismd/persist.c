/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/persist.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ismd/instance.h"
#include "ismd/ismd.h"
#include "ismd/lpar.h"

#define FILE_MAX (1 << 20)
#define PATH_BYTES (CONF_PATH_MAX + 32)

static void path_of(const struct ismd *d, char path[PATH_BYTES], const char *name)
{
	snprintf(path, PATH_BYTES, "%s/%s", d->conf->state_dir, name);
}

/* ------------------------------------------------------------------- save */

static void add(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static struct json_object *functions_of(const struct lpar *l)
{
	struct json_object *all = json_object_new_array();

	list_each(it, next, &l->functions)
	{
		const struct function *f = list_item(it, struct function, link);
		struct json_object *o = json_object_new_object();

		add(o, "fid", json_object_new_int64(f->conf.fid));
		add(o, "chid", json_object_new_int(f->conf.chid));
		add(o, "vlan", json_object_new_int(f->conf.vlan));
		add(o, "pnetid", json_object_new_string(f->conf.pnetid));
		add(o, "pnetid_conf", json_object_new_string(f->pnetid_conf));
		add(o, "pnetid_user", json_object_new_boolean(f->pnetid_user));
		add(o, "power", json_object_new_boolean(f->conf.power));
		json_object_array_add(all, o);
	}
	return all;
}

static struct json_object *lpar_state(const struct lpar *l)
{
	struct json_object *o = json_object_new_object(), *ueids = json_object_new_array(),
			   *pnet = json_object_new_array();

	for (unsigned i = 0; i < l->nueids; i++)
		json_object_array_add(ueids, json_object_new_string(l->ueids[i]));
	list_each(it, next, &l->interfaces)
	{
		const struct pnet_interface *p = list_item(it, struct pnet_interface, link);
		struct json_object *e = json_object_new_object();

		add(e, "pnetid", json_object_new_string(p->pnetid));
		add(e, "interface", json_object_new_string(p->name));
		json_object_array_add(pnet, e);
	}
	add(o, "functions", functions_of(l));
	add(o, "seid", json_object_new_boolean(l->seid));
	add(o, "ueids", ueids);
	add(o, "pnet", pnet);
	return o;
}

/* NULL: there is none, or it makes no sense; *err 0 or -errno. */
static struct json_object *read_file(const char *path, int *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct json_object *all = NULL;
	char *text = fd >= 0 ? malloc(FILE_MAX) : NULL;
	ssize_t n = -1;

	*err = fd < 0 ? (errno == ENOENT ? 0 : -errno) : 0;
	if (text)
		n = read(fd, text, FILE_MAX - 1);
	if (n >= 0) {
		text[n] = 0;
		all = json_tokener_parse(text);
		if (!json_object_is_type(all, json_type_object)) {
			json_object_put(all);
			all = NULL;
			*err = -EINVAL;
		}
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return all;
}

/* All or nothing: a full disk leaves the old file. */
static int write_file(const char *path, const char *tmp, const char *text)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t len = strlen(text);
	int r = 0;

	if (fd < 0)
		return -errno;
	errno = ENOSPC; /* for a write that takes a part only */
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(tmp);
	return r;
}

int persist_save(struct ismd *d, const struct lpar *l)
{
	char path[PATH_BYTES], tmp[PATH_BYTES];
	struct json_object *all;
	int r;

	if (!d->opt.system)
		return instance_power_save(d->dir, lpar_powered(l));
	if (l->automatic)
		return -ENOTSUP;
	path_of(d, path, "lpars.json");
	path_of(d, tmp, "lpars.json.new");
	all = read_file(path, &r);
	if (r < 0)
		return r;
	if (!all)
		all = json_object_new_object();
	add(all, l->name, lpar_state(l));
	r = write_file(path, tmp, json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
	json_object_put(all);
	return r;
}

/* ------------------------------------------------------------------- load */

static int64_t number(struct json_object *o, const char *key, int64_t def)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : def;
}

static bool flag(struct json_object *o, const char *key, bool def)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_boolean(v) : def;
}

static const char *string(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static struct json_object *array(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_array)
	               ? v
	               : NULL;
}

static size_t length(struct json_object *a)
{
	return a ? json_object_array_length(a) : 0;
}

static void load_function(struct ismd *d, struct lpar *l, struct json_object *o)
{
	struct conf_function c = { .fid = (uint32_t)number(o, "fid", 0),
		                   .chid = (uint16_t)number(o, "chid", 0xffff),
		                   .vlan = (uint16_t)number(o, "vlan", 0),
		                   .power = flag(o, "power", true) };
	struct function *f;

	if (!c.fid || c.fid > 65535 || !conf_pnetid_ok(string(o, "pnetid")) ||
	    l->nfunctions >= CONF_FUNCTIONS)
		return;
	snprintf(c.pnetid, sizeof(c.pnetid), "%s", string(o, "pnetid"));
	f = lpar_function_add(d, l, &c);
	if (!f)
		return;
	f->pnetid_user = flag(o, "pnetid_user", false);
	if (conf_pnetid_ok(string(o, "pnetid_conf")))
		snprintf(f->pnetid_conf, sizeof(f->pnetid_conf), "%s", string(o, "pnetid_conf"));
}

/* The functions as they were stored; the configuration's PNETIDs stay known. */
static void load_functions(struct ismd *d, struct lpar *l, struct json_object *a)
{
	struct conf_function was[CONF_FUNCTIONS];
	unsigned n = 0;

	list_each(it, next, &l->functions)
	{
		struct function *f = list_item(it, struct function, link);

		if (n < CONF_FUNCTIONS)
			was[n++] = f->conf;
		lpar_function_del(l, f);
	}
	for (size_t i = 0; i < length(a); i++)
		load_function(d, l, json_object_array_get_idx(a, i));
	for (unsigned i = 0; i < n; i++) {
		struct function *f = lpar_function(l, was[i].fid);

		if (f)
			memcpy(f->pnetid_conf, was[i].pnetid, sizeof(f->pnetid_conf));
	}
}

static void load_pnet(struct lpar *l, struct json_object *a)
{
	for (size_t i = 0; i < length(a); i++) {
		struct json_object *o = json_object_array_get_idx(a, i);
		struct pnet_interface *p = calloc(1, sizeof(*p));

		if (!p || !conf_pnetid_ok(string(o, "pnetid"))) {
			free(p);
			continue;
		}
		snprintf(p->pnetid, sizeof(p->pnetid), "%s", string(o, "pnetid"));
		snprintf(p->name, sizeof(p->name), "%.15s", string(o, "interface"));
		list_add_tail(&l->interfaces, &p->link);
	}
}

static void load_lpar(struct ismd *d, struct lpar *l, struct json_object *o)
{
	struct json_object *ueids = array(o, "ueids"), *functions = array(o, "functions");

	if (functions)
		load_functions(d, l, functions);
	l->seid = flag(o, "seid", l->seid);
	if (ueids)
		l->nueids = 0;
	for (size_t i = 0; i < length(ueids) && l->nueids < CONF_UEIDS; i++) {
		const char *eid = json_object_get_string(json_object_array_get_idx(ueids, i));

		if (eid && conf_ueid_ok(eid))
			snprintf(l->ueids[l->nueids++], sizeof(l->ueids[0]), "%s", eid);
	}
	list_each(it, next, &l->interfaces)
	{
		list_del(it);
		free(list_item(it, struct pnet_interface, link));
	}
	load_pnet(l, array(o, "pnet"));
}

void persist_load(struct ismd *d)
{
	struct json_object *all;
	char path[PATH_BYTES];
	int r;

	if (!d->opt.system) {
		struct lpar *host = lpar_find(d, d->conf->host.name);
		struct function *f = host ? lpar_function(host, 1) : NULL;

		if (f)
			f->conf.power = instance_power_load(d->dir);
		return;
	}
	path_of(d, path, "lpars.json");
	all = read_file(path, &r);
	if (r < 0)
		log_event("ismd: %s: %s; what tools stored there does not count", path,
		          r == -EINVAL ? "not a JSON object" : strerror(-r));
	if (!all)
		all = json_object_new_object();
	json_object_object_foreach(all, name, value)
	{
		struct lpar *l = lpar_find(d, name);

		if (l && !l->stored_taken && json_object_is_type(value, json_type_object))
			load_lpar(d, l, value);
	}
	list_each(it, next, &d->lpars) list_item(it, struct lpar, link)->stored_taken = true;
	json_object_put(all);
}
