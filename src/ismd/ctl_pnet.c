/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PNET table of an LPAR. A function's entry is its PNETID from then on. An
 * interface's is kept and shown and decides nothing: it is for people and tools
 * that ask which network an interface is in.
 */
#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"

/* Root of a container must not fill ismd's memory. */
#define MAX_INTERFACES 256

static void put_entry(struct jsonout *j, const char *pnetid, const char *interface, uint32_t fid)
{
	jout_open(j, NULL, '{');
	jout_str(j, "pnetid", pnetid);
	jout_str(j, "interface", interface);
	jout_num(j, "fid", fid);
	jout_close(j, '}');
}

void ctl_pnet(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	jout_open(j, NULL, '{');
	jout_open(j, "pnet", '[');
	list_each(pi, pn, &a->lpar->interfaces)
	{
		const struct pnet_interface *p = list_item(pi, struct pnet_interface, link);

		put_entry(j, p->pnetid, p->name, 0);
	}
	list_each(fi, fn, &a->lpar->functions)
	{
		const struct function *f = list_item(fi, struct function, link);

		if (f->pnetid_user)
			put_entry(j, f->conf.pnetid, "", f->conf.fid);
	}
	jout_close(j, ']');
	jout_close(j, '}');
}

/* What pnet_add is asked for. */
struct entry {
	char pnetid[CONF_PNETID_MAX + 1];
	char interface[sizeof(((struct pnet_interface *)NULL)->name)]; /* or "" */
	struct function *function;                                     /* or NULL */
};

/* Stored in upper case, as in the kernel; what is looked for later is compared as
 * it is. */
static bool get_pnetid(struct jsonout *j, const struct ctl_ask *a, char id[CONF_PNETID_MAX + 1])
{
	const char *text = ctl_get_str(a->req, "pnetid");
	size_t len = text ? strlen(text) : 0;

	if (len <= CONF_PNETID_MAX) {
		for (size_t i = 0; i < len; i++)
			id[i] = (char)toupper((unsigned char)text[i]);
		id[len] = 0;
		if (conf_pnetid_ok(id))
			return true;
	}
	ctl_error(j, "pnetid", "a PNETID is up to 16 of A-Z and 0-9");
	return false;
}

/* As the kernel has it, and ASCII, since it is shown to others. */
static bool is_interface_name(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= sizeof(((struct entry *)NULL)->interface))
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || *name == '/' || *name == ':')
			return false;
	return true;
}

static bool get_interface(struct jsonout *j, const struct ctl_ask *a, struct entry *e)
{
	const char *name = ctl_get_str(a->req, "interface");

	e->interface[0] = 0;
	if (!name || !name[0])
		return true;
	if (!is_interface_name(name)) {
		ctl_error(j, "usage", "interface: this cannot be the name of one");
		return false;
	}
	snprintf(e->interface, sizeof(e->interface), "%s", name);
	return true;
}

static bool get_function(struct jsonout *j, const struct ctl_ask *a, struct entry *e)
{
	int64_t fid = 0;

	e->function = NULL;
	if (ctl_has(a->req, "fid") && !ctl_get_int(j, a->req, "fid", 0, UINT32_MAX, &fid))
		return false;
	if (!fid)
		return true;
	e->function = lpar_function(a->lpar, (uint32_t)fid);
	if (!e->function)
		ctl_error(j, "nodev", "FID %lld does not exist", (long long)fid);
	return e->function;
}

static bool get_entry(struct jsonout *j, const struct ctl_ask *a, struct entry *e)
{
	if (!get_pnetid(j, a, e->pnetid) || !get_interface(j, a, e) || !get_function(j, a, e))
		return false;
	if (!e->interface[0] && !e->function) {
		ctl_error(j, "usage", "pnet_add needs interface (string) or fid (number)");
		return false;
	}
	return true;
}

/* Is there room for it? Nothing has been changed yet, so both parts go in or none. */
static bool is_new(struct jsonout *j, const struct lpar *l, const struct entry *e)
{
	unsigned n = 0;

	list_each(it, next, &l->interfaces)
	{
		n++;
		if (strcmp(list_item(it, struct pnet_interface, link)->name, e->interface) != 0)
			continue;
		ctl_error(j, "exists", "interface %s has a PNETID", e->interface);
		return false;
	}
	if (e->function && e->function->pnetid_user) {
		ctl_error(j, "exists", "FID %u has a PNETID", (unsigned)e->function->conf.fid);
		return false;
	}
	if (e->interface[0] && n >= MAX_INTERFACES) {
		ctl_error(j, "full", "at most %d interfaces", MAX_INTERFACES);
		return false;
	}
	return true;
}

static bool add_interface(struct lpar *l, const struct entry *e)
{
	struct pnet_interface *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	memcpy(p->pnetid, e->pnetid, sizeof(p->pnetid));
	memcpy(p->name, e->interface, sizeof(p->name));
	list_add_tail(&l->interfaces, &p->link);
	log_event("LPAR %s: PNETID %s for interface %s", l->name, p->pnetid, p->name);
	return true;
}

static void set_function(struct lpar *l, struct function *f, const char *pnetid, bool user)
{
	memcpy(f->conf.pnetid, pnetid, sizeof(f->conf.pnetid));
	f->pnetid_user = user;
	log_event("LPAR %s, function %u: PNETID %s", l->name, (unsigned)f->conf.fid, pnetid);
}

void ctl_pnet_add(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct entry e;

	if (!get_entry(j, a, &e) || !is_new(j, a->lpar, &e))
		return;
	if (e.interface[0] && !add_interface(a->lpar, &e)) {
		ctl_error(j, "full", "no memory");
		return;
	}
	if (e.function)
		set_function(a->lpar, e.function, e.pnetid, true);
	if (ctl_changed(d, j, a))
		ctl_ok(j);
}

/* Takes out the entries of that PNETID, or all (NULL). How many there were. */
static unsigned take_out(struct lpar *l, const char *pnetid)
{
	unsigned n = 0;

	list_each(pi, pn, &l->interfaces)
	{
		struct pnet_interface *p = list_item(pi, struct pnet_interface, link);

		if (pnetid && strcmp(p->pnetid, pnetid) != 0)
			continue;
		log_event("LPAR %s: no PNETID for interface %s", l->name, p->name);
		list_del(pi);
		free(p);
		n++;
	}
	list_each(fi, fn, &l->functions)
	{
		struct function *f = list_item(fi, struct function, link);

		if (!f->pnetid_user || (pnetid && strcmp(f->conf.pnetid, pnetid) != 0))
			continue;
		set_function(l, f, f->pnetid_conf, false);
		n++;
	}
	return n;
}

void ctl_pnet_del(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	const char *pnetid = ctl_get_str(a->req, "pnetid");

	if (!pnetid || !conf_pnetid_ok(pnetid)) {
		ctl_error(j, pnetid && pnetid[0] ? "noent" : "pnetid",
		          "pnet_del needs the PNETID of an entry");
		return;
	}
	if (!take_out(a->lpar, pnetid)) {
		ctl_error(j, "noent", "no entry has that PNETID");
		return;
	}
	if (ctl_changed(d, j, a))
		ctl_ok(j);
}

void ctl_pnet_flush(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	take_out(a->lpar, NULL);
	if (ctl_changed(d, j, a))
		ctl_ok(j);
}
