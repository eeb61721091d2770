/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EIDs of an LPAR. Never none at all: the system EID can be disabled only where a
 * user EID stands in for it, and comes back with the last one's end. They are
 * listed in ctl_info.c.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"

/* Its place, or l->nueids. */
static unsigned find_ueid(const struct lpar *l, const char *eid)
{
	unsigned i = 0;

	while (i < l->nueids && strcmp(l->ueids[i], eid) != 0)
		i++;
	return i;
}

static void drop_ueid(struct lpar *l, unsigned at)
{
	l->nueids--;
	memmove(l->ueids[at], l->ueids[at + 1], (l->nueids - at) * sizeof(l->ueids[0]));
	memset(l->ueids[l->nueids], 0, sizeof(l->ueids[0]));
}

/* After user EIDs went: is the system's needed now? */
static bool bring_seid_back(struct lpar *l)
{
	if (l->nueids || l->seid)
		return false;
	l->seid = true;
	log_event("LPAR %s: SEID enabled, it has no UEID any more", l->name);
	return true;
}

static void put_removed(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	bool seid_enabled = bring_seid_back(a->lpar);

	if (!ctl_changed(d, j, a))
		return;
	jout_open(j, NULL, '{');
	jout_bool(j, "ok", true);
	if (seid_enabled)
		jout_bool(j, "seid_enabled", true);
	jout_close(j, '}');
}

/* The request's EID, or NULL after an error. */
static const char *get_eid(struct jsonout *j, const struct ctl_ask *a)
{
	const char *eid = ctl_get_str(a->req, "eid");

	if (!eid)
		ctl_error(j, "usage", "%s needs eid (string)", a->op);
	return eid;
}

void ctl_ueid_add(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	const char *eid = get_eid(j, a);
	struct lpar *l = a->lpar;

	if (!eid)
		return;
	if (!conf_ueid_ok(eid)) {
		ctl_error(j, "eid", "a UEID is up to 32 of A-Z, 0-9, '-' and single dots");
	} else if (find_ueid(l, eid) < l->nueids) {
		ctl_error(j, "exists", "LPAR %s has that UEID", l->name);
	} else if (l->nueids >= CONF_UEIDS) {
		ctl_error(j, "full", "an LPAR has at most %d UEIDs", CONF_UEIDS);
	} else {
		snprintf(l->ueids[l->nueids++], sizeof(l->ueids[0]), "%s", eid);
		log_event("LPAR %s: UEID %s added", l->name, eid);
		if (ctl_changed(d, j, a))
			ctl_ok(j);
	}
}

void ctl_ueid_del(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	const char *eid = get_eid(j, a);
	struct lpar *l = a->lpar;
	unsigned at = eid ? find_ueid(l, eid) : 0;

	if (!eid)
		return;
	if (at == l->nueids) {
		ctl_error(j, "noent", "LPAR %s has no such UEID", l->name);
		return;
	}
	log_event("LPAR %s: UEID %s removed", l->name, l->ueids[at]);
	drop_ueid(l, at);
	put_removed(d, j, a);
}

void ctl_ueid_flush(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct lpar *l = a->lpar;

	if (l->nueids)
		log_event("LPAR %s: all UEIDs removed", l->name);
	while (l->nueids)
		drop_ueid(l, l->nueids - 1);
	put_removed(d, j, a);
}

void ctl_seid(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct lpar *l = a->lpar;
	struct json_object *on;
	bool want;

	if (!json_object_object_get_ex(a->req, "on", &on) ||
	    !json_object_is_type(on, json_type_boolean)) {
		ctl_error(j, "usage", "seid needs on (boolean)");
		return;
	}
	want = json_object_get_boolean(on);
	if (!want && !l->nueids) {
		ctl_error(j, "noueid", "the SEID stays while there is no UEID");
		return;
	}
	if (want != l->seid)
		log_event("LPAR %s: SEID %s", l->name, want ? "enabled" : "disabled");
	l->seid = want;
	if (ctl_changed(d, j, a))
		ctl_ok(j);
}
