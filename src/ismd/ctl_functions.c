/* SPDX-License-Identifier: Apache-2.0 */
/* ISM functions: listed, switched, plugged and unplugged. */
#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lgr.h"
#include "ismd/lpar.h"

static void count_use(struct ismd *d, const struct function *f, uint64_t *lgrs, uint64_t *dmbs)
{
	*lgrs = *dmbs = 0;
	list_each(it, next, &d->lgrs)
	{
		const struct lgr *g = list_item(it, struct lgr, link);
		bool mine[2] = { g->gid[0] == f->gid, g->gid[1] == f->gid };

		*lgrs += mine[0] || mine[1];
		*dmbs += (uint64_t)g->nconns * (unsigned)(mine[0] + mine[1]);
	}
}

static void put_function(struct ismd *d, struct jsonout *j, const struct lpar *l,
                         const struct function *f)
{
	uint64_t lgrs, dmbs;
	char pci[24];

	count_use(d, f, &lgrs, &dmbs);
	snprintf(pci, sizeof(pci), "%04x:00:00.0", (unsigned)f->conf.fid);
	jout_open(j, NULL, '{');
	jout_str(j, "lpar", l->name);
	jout_num(j, "fid", f->conf.fid);
	jout_bool(j, "power", f->conf.power);
	jout_str(j, "pci_id", pci);
	jout_num(j, "pchid", f->conf.chid);
	jout_num(j, "chid", f->conf.chid);
	jout_num(j, "vlan", f->conf.vlan);
	jout_str(j, "type", "ISM");
	jout_str(j, "vendor", "0x1014");
	jout_str(j, "device", "0x04ed");
	jout_num(j, "pft", 5);
	jout_num(j, "vfn", 0);
	jout_hex64(j, "gid", f->gid);
	jout_str(j, "pnetid", f->conf.pnetid);
	jout_bool(j, "pnetid_user", f->pnetid_user);
	jout_bool(j, "in_use", dmbs != 0);
	jout_num(j, "lgrs", lgrs);
	jout_num(j, "dmbs", dmbs);
	jout_num(j, "dmb_limit", d->opt.max_dmbs);
	jout_close(j, '}');
}

void ctl_functions(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	jout_open(j, NULL, '{');
	jout_open(j, "functions", '[');
	list_each(li, ln, &d->lpars)
	{
		struct lpar *l = list_item(li, struct lpar, link);

		if (!ctl_sees(a, l))
			continue;
		list_each(fi, fn, &l->functions)
			put_function(d, j, l, list_item(fi, struct function, link));
	}
	jout_close(j, ']');
	jout_close(j, '}');
}

static struct function *the_function(struct jsonout *j, const struct ctl_ask *a)
{
	struct function *f;
	int64_t fid;

	if (!ctl_get_int(j, a->req, "fid", INT32_MIN, UINT32_MAX, &fid))
		return NULL;
	f = fid > 0 ? lpar_function(a->lpar, (uint32_t)fid) : NULL;
	if (!f)
		ctl_error(j, "nodev", "FID %lld does not exist", (long long)fid);
	return f;
}

void ctl_power(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct json_object *on;
	struct function *f;
	bool want;

	if (!json_object_object_get_ex(a->req, "on", &on) ||
	    !json_object_is_type(on, json_type_boolean)) {
		ctl_error(j, "usage", "power needs fid (number) and on (boolean)");
		return;
	}
	f = the_function(j, a);
	if (!f)
		return;
	want = json_object_get_boolean(on);
	if (want == f->conf.power) {
		ctl_error(j, "already", "FID %u is already %s", (unsigned)f->conf.fid,
		          want ? "enabled" : "disabled");
		return;
	}
	f->conf.power = want;
	log_event("LPAR %s, function %u: power %s", a->lpar->name, (unsigned)f->conf.fid,
	          want ? "on" : "off");
	if (ctl_changed(d, j, a))
		ctl_ok(j);
}

static uint32_t free_fid(struct lpar *l)
{
	uint32_t fid = 1;

	while (lpar_function(l, fid))
		fid++;
	return fid;
}

/* What the request says, on top of what a function is by default. */
static bool new_function(struct jsonout *j, const struct ctl_ask *a, struct conf_function *c)
{
	const char *pnetid = ctl_get_str(a->req, "pnetid");
	int64_t fid = free_fid(a->lpar), chid = 0xffff, vlan = 0;

	if ((ctl_has(a->req, "fid") && !ctl_get_int(j, a->req, "fid", 1, 65535, &fid)) ||
	    (ctl_has(a->req, "chid") && !ctl_get_int(j, a->req, "chid", 0, 65535, &chid)) ||
	    (ctl_has(a->req, "vlan") && !ctl_get_int(j, a->req, "vlan", 0, 4094, &vlan)))
		return false;
	memset(c, 0, sizeof(*c));
	snprintf(c->pnetid, sizeof(c->pnetid), "%s", pnetid ? pnetid : "OPENISM");
	for (char *p = c->pnetid; *p; p++) /* stored in upper case, as SMC does */
		*p = (char)toupper((unsigned char)*p);
	if (!conf_pnetid_ok(c->pnetid) ||
	    strlen(c->pnetid) != strlen(pnetid ? pnetid : "OPENISM")) {
		ctl_error(j, "usage", "pnetid: up to 16 of A-Z and 0-9 are expected");
		return false;
	}
	c->fid = (uint32_t)fid;
	c->chid = (uint16_t)chid;
	c->vlan = (uint16_t)vlan;
	c->power = true;
	return true;
}

void ctl_function_add(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct conf_function c;

	if (!new_function(j, a, &c))
		return;
	if (lpar_function(a->lpar, c.fid)) {
		ctl_error(j, "exists", "FID %u exists", (unsigned)c.fid);
		return;
	}
	if (a->lpar->nfunctions >= CONF_FUNCTIONS || !lpar_function_add(d, a->lpar, &c)) {
		ctl_error(j, "full", "an LPAR has at most %d functions", CONF_FUNCTIONS);
		return;
	}
	log_event("LPAR %s, function %u: plugged in", a->lpar->name, (unsigned)c.fid);
	if (!ctl_changed(d, j, a))
		return;
	jout_open(j, NULL, '{');
	jout_bool(j, "ok", true);
	jout_num(j, "fid", c.fid);
	jout_close(j, '}');
}

void ctl_function_del(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct function *f = the_function(j, a);

	if (!f)
		return;
	log_event("LPAR %s, function %u: unplugged", a->lpar->name, (unsigned)f->conf.fid);
	lpar_function_del(a->lpar, f);
	if (ctl_changed(d, j, a))
		ctl_ok(j);
}
