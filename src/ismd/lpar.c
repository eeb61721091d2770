/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/lpar.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fabric/reason.h"
#include "ismd/instance.h"
#include "ismd/ismd.h"
#include "ismd/lgr.h"
#include "ismd/netns.h"
#include "ismd/table.h"

#define MAX_IDLE 256 /* automatic LPARs without a client */

/* -------------------------------------------------------------- functions */

struct function *lpar_function(struct lpar *l, uint32_t fid)
{
	list_each(it, next, &l->functions)
	{
		struct function *f = list_item(it, struct function, link);

		if (f->conf.fid == fid)
			return f;
	}
	return NULL;
}

static void sort_in(struct lpar *l, struct function *f)
{
	struct list *before = &l->functions;

	list_each(it, next, &l->functions)
	{
		if (list_item(it, struct function, link)->conf.fid > f->conf.fid) {
			before = it;
			break;
		}
	}
	list_add_tail(before, &f->link);
	l->nfunctions++;
}

struct function *lpar_function_add(struct ismd *d, struct lpar *l, const struct conf_function *c)
{
	struct function *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->conf = *c;
	memcpy(f->pnetid_conf, c->pnetid, sizeof(f->pnetid_conf));
	/* per-user: the first by the user; else by LPAR and FID */
	f->gid = d->opt.system || c->fid != 1 ? instance_gid_of(l->name, c->fid)
	                                      : instance_gid(geteuid());
	sort_in(l, f);
	return f;
}

void lpar_function_del(struct lpar *l, struct function *f)
{
	list_del(&f->link);
	l->nfunctions--;
	free(f);
}

bool lpar_powered(const struct lpar *l)
{
	list_each(it, next, &l->functions)
	{
		if (list_item(it, struct function, link)->conf.power)
			return true;
	}
	return false;
}

void lpar_changed(struct ismd *d, struct lpar *l)
{
	tables_power_changed(d, l);
	lgrs_follow_power(d);
	netns_power_changed(d);
}

static bool fit(const struct function *a, const struct function *b)
{
	return a->conf.power && b->conf.power && a->conf.chid == b->conf.chid &&
	       a->conf.vlan == b->conf.vlan && !strcmp(a->conf.pnetid, b->conf.pnetid);
}

static bool common_eid(const struct lpar *a, const struct lpar *b)
{
	if (a->seid && b->seid)
		return true;
	for (unsigned i = 0; i < a->nueids; i++)
		for (unsigned k = 0; k < b->nueids; k++)
			if (!strcmp(a->ueids[i], b->ueids[k]))
				return true;
	return false;
}

static bool find_pair(struct lpar *a, struct lpar *b, struct function **fa, struct function **fb)
{
	list_each(ia, na, &a->functions)
	{
		list_each(ib, nb, &b->functions)
		{
			*fa = list_item(ia, struct function, link);
			*fb = list_item(ib, struct function, link);
			if (fit(*fa, *fb))
				return true;
		}
	}
	return false;
}

uint32_t lpar_negotiate(struct lpar *cl, struct lpar *sv, struct function **cl_fn,
                        struct function **sv_fn, bool *by_client)
{
	*by_client = true;
	if (!lpar_powered(cl))
		return FAB_REASON_NOSMCDEV;
	*by_client = false;
	if (!lpar_powered(sv))
		return FAB_REASON_NOSMCDEV;
	if (!find_pair(cl, sv, cl_fn, sv_fn))
		return FAB_REASON_NOSMCD2DEV;
	return cl == sv || common_eid(cl, sv) ? 0 : FAB_REASON_NOUEID;
}

const char *lpar_seid(void)
{
	static char seid[CONF_EID_MAX + 1];

	if (!seid[0])
		snprintf(seid, sizeof(seid), "OPENISM-%016llX",
		         (unsigned long long)instance_gid_of("box", 0));
	return seid;
}

/* -------------------------------------------------------------------- LPARs */

static struct lpar *lpar_new(struct ismd *d, const char *name)
{
	struct lpar *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->listener.fd = -1;
	list_init(&l->functions);
	list_init(&l->interfaces);
	list_init(&l->users);
	list_add_tail(&d->lpars, &l->link);
	return l;
}

void lpar_close_listener(struct ismd *d, struct lpar *l)
{
	if (l->listener.fd < 0)
		return;
	unlink(l->listen_path);
	loop_close(&d->loop, &l->listener);
	l->listener.fd = -1;
}

static void lpar_free(struct ismd *d, struct lpar *l)
{
	list_each(fi, fn, &l->functions) lpar_function_del(l, list_item(fi, struct function, link));
	list_each(pi, pn, &l->interfaces)
	{
		list_del(pi);
		free(list_item(pi, struct pnet_interface, link));
	}
	lpar_close_listener(d, l);
	list_del(&l->link);
	loop_bury(&d->loop, &l->grave);
}

struct lpar *lpar_find(struct ismd *d, const char *name)
{
	list_each(it, next, &d->lpars)
	{
		struct lpar *l = list_item(it, struct lpar, link);

		if (!strcmp(l->name, name))
			return l;
	}
	return NULL;
}

void lpar_hold(struct lpar *l)
{
	l->nclients++;
}

static bool is_idle(const struct lpar *l)
{
	return !l->nclients && !l->in_conf && list_empty(&l->users);
}

static void reap(struct ismd *d, struct lpar *l)
{
	if (is_idle(l) && !l->automatic)
		lpar_free(d, l);
}

/* Nobody says when a network namespace ends: of those that idle the oldest go, and
 * those whose inode belongs to another one now. */
static void reap_automatic(struct ismd *d, const struct ident *id)
{
	unsigned idle = 0;

	for (struct list *it = d->lpars.prev, *prev; it != &d->lpars; it = prev) {
		struct lpar *l = list_item(it, struct lpar, link);

		prev = it->prev;
		if (!l->automatic || !is_idle(l))
			continue;
		if (++idle > MAX_IDLE ||
		    (l->netns_ino == id->netns_ino && l->netns_dev == id->netns_dev))
			lpar_free(d, l);
	}
}

void lpar_release(struct ismd *d, struct lpar *l)
{
	l->nclients--;
	reap(d, l);
}

static const struct conf_function *conf_function(const struct conf_lpar *c, uint32_t fid)
{
	for (unsigned i = 0; i < c->nfunctions; i++)
		if (c->functions[i].fid == fid)
			return &c->functions[i];
	return NULL;
}

/* The file decides which functions there are, and how; what a tool has changed stays
 * unless the file was changed about it. */
static int set_functions(struct ismd *d, struct lpar *l, const struct conf_lpar *c,
                         const struct conf_lpar *before)
{
	list_each(it, next, &l->functions)
	{
		struct function *f = list_item(it, struct function, link);

		if (!conf_function(c, f->conf.fid) &&
		    (!before || conf_function(before, f->conf.fid)))
			lpar_function_del(l, f);
	}
	for (unsigned i = 0; i < c->nfunctions; i++) {
		const struct conf_function *cf = &c->functions[i];
		const struct conf_function *old = before ? conf_function(before, cf->fid) : NULL;
		struct function *f = lpar_function(l, cf->fid);
		bool power = f && old && old->power == cf->power ? f->conf.power : cf->power;

		if (!f && old) /* a tool has unplugged it */
			continue;
		if (!f)
			f = lpar_function_add(d, l, cf);
		if (!f)
			return -ENOMEM;
		memcpy(f->pnetid_conf, cf->pnetid, sizeof(f->pnetid_conf));
		if (!f->pnetid_user)
			memcpy(f->conf.pnetid, cf->pnetid, sizeof(f->conf.pnetid));
		if (!old || old->chid != cf->chid)
			f->conf.chid = cf->chid;
		if (!old || old->vlan != cf->vlan)
			f->conf.vlan = cf->vlan;
		f->conf.power = power;
	}
	return 0;
}

static void netns_of_path(struct lpar *l)
{
	struct stat st;

	if (l->match != CONF_MATCH_NETNS)
		return;
	l->netns_dev = l->netns_ino = 0;
	if (stat(l->path, &st) == 0) {
		l->netns_dev = st.st_dev;
		l->netns_ino = st.st_ino;
	}
}

static int configure_one(struct ismd *d, const struct conf_lpar *c, const struct conf_lpar *before)
{
	struct lpar *l = lpar_find(d, c->name);

	if (!l)
		l = lpar_new(d, c->name);
	if (!l)
		return -ENOMEM;
	l->in_conf = true;
	l->match = c->match;
	l->uid = c->uid;
	memcpy(l->path, c->path, sizeof(l->path));
	if (!before || before->seid != c->seid)
		l->seid = c->seid;
	if (!before || memcmp(before->ueids, c->ueids, sizeof(c->ueids)) != 0) {
		memcpy(l->ueids, c->ueids, sizeof(l->ueids));
		l->nueids = c->nueids;
	}
	l->quota = c->quota;
	if (l->match == CONF_MATCH_HOST)
		ident_own_netns(&l->netns_dev, &l->netns_ino);
	netns_of_path(l);
	return set_functions(d, l, c, before);
}

static const struct conf_lpar *in_conf(const struct conf *c, const char *name)
{
	if (!c)
		return NULL;
	if (!strcmp(c->host.name, name))
		return &c->host;
	for (unsigned i = 0; i < c->nlpars; i++)
		if (!strcmp(c->lpars[i].name, name))
			return &c->lpars[i];
	return NULL;
}

/* A pool that nobody belongs to, with the quota of automatic LPARs. */
static int configure_pool(struct ismd *d)
{
	if (!d->pool)
		d->pool = lpar_new(d, "");
	if (!d->pool)
		return -ENOMEM;
	list_del(&d->pool->link);
	d->pool->in_conf = true;
	d->pool->quota = d->conf->auto_lpar.quota;
	return 0;
}

int lpars_configure(struct ismd *d, const struct conf *before)
{
	int r = configure_pool(d);

	if (r < 0)
		return r;

	list_each(it, next, &d->lpars) list_item(it, struct lpar, link)->in_conf = false;
	r = configure_one(d, &d->conf->host, in_conf(before, d->conf->host.name));
	for (unsigned i = 0; r == 0 && i < d->conf->nlpars; i++)
		r = configure_one(d, &d->conf->lpars[i], in_conf(before, d->conf->lpars[i].name));
	return r;
}

void lpars_reap(struct ismd *d)
{
	list_each(it, next, &d->lpars) reap(d, list_item(it, struct lpar, link));
}

void lpars_free(struct ismd *d)
{
	if (d->pool)
		lpar_free(d, d->pool);
	d->pool = NULL;
	while (!list_empty(&d->lpars))
		lpar_free(d, list_item(d->lpars.next, struct lpar, link));
}

static bool in_netns(const struct lpar *l, const struct ident *id)
{
	return l->netns_ino && l->netns_ino == id->netns_ino && l->netns_dev == id->netns_dev &&
	       (!l->automatic || l->netns_cookie == id->netns_cookie);
}

static struct lpar *automatic(struct ismd *d, const struct ident *id)
{
	struct conf_lpar c;
	struct lpar *l;

	if (!d->conf->auto_lpars)
		return NULL;
	c = d->conf->auto_lpar;
	reap_automatic(d, id);
	snprintf(c.name, sizeof(c.name), "net-%llu", (unsigned long long)id->netns_ino);
	if (lpar_find(d, c.name)) /* its inode is used again, and it still has clients */
		snprintf(c.name, sizeof(c.name), "net-%llu.%llu", (unsigned long long)id->netns_ino,
		         (unsigned long long)id->netns_cookie);
	if (configure_one(d, &c, NULL) < 0) {
		l = lpar_find(d, c.name);
		if (l)
			lpar_free(d, l);
		return NULL;
	}
	l = lpar_find(d, c.name);
	l->in_conf = false;
	l->automatic = true;
	l->match = CONF_MATCH_NETNS;
	l->path[0] = 0;
	l->netns_dev = id->netns_dev;
	l->netns_ino = id->netns_ino;
	l->netns_cookie = id->netns_cookie;
	log_event("LPAR %s: new, of a network namespace", l->name);
	return l;
}

static bool in_cgroup(const char *cgroup, const char *of)
{
	size_t n = strlen(of);

	return n > 1 && !strncmp(cgroup, of, n) && (cgroup[n] == '/' || !cgroup[n]);
}

static bool belongs(struct lpar *l, const struct ident *id, enum conf_match match, bool on_host)
{
	if (l->match != match)
		return false;
	switch (match) {
	case CONF_MATCH_CGROUP:
		return in_cgroup(id->cgroup, l->path);
	case CONF_MATCH_NETNS:
		netns_of_path(l); /* may have been made since */
		return in_netns(l, id);
	case CONF_MATCH_UID: /* in a container, anybody may be anybody */
		return on_host && id->uid == l->uid;
	default:
		return in_netns(l, id);
	}
}

struct lpar *lpar_known(struct ismd *d, const struct ident *id, struct lpar *via)
{
	static const enum conf_match order[] = { CONF_MATCH_CGROUP, CONF_MATCH_NETNS,
		                                 CONF_MATCH_UID, CONF_MATCH_HOST };
	struct lpar *host = lpar_find(d, d->conf->host.name);
	bool on_host = host && in_netns(host, id);

	if (via)
		return via;
	if (!d->opt.system)
		return host;
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		list_each(it, next, &d->lpars)
		{
			struct lpar *l = list_item(it, struct lpar, link);

			/* a reload may have named who was automatic, or renamed */
			if (l->in_conf && belongs(l, id, order[i], on_host))
				return l;
		}
	}
	list_each(it, next, &d->lpars)
	{
		struct lpar *l = list_item(it, struct lpar, link);

		if (l->automatic && in_netns(l, id))
			return l;
	}
	return NULL;
}

struct lpar *lpar_of(struct ismd *d, const struct ident *id, struct lpar *via)
{
	struct lpar *l = lpar_known(d, id, via);

	return l ? l : automatic(d, id);
}

bool lpar_is_host(const struct lpar *l)
{
	return l->match == CONF_MATCH_HOST;
}
