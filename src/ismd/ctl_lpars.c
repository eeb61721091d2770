/* SPDX-License-Identifier: Apache-2.0 */
/* LPARs with what their users hold, and the link groups between them. */
#define _GNU_SOURCE
#include <unistd.h>

#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"

static const char *match_name(const struct lpar *l)
{
	static const char *const names[] = {
		[CONF_MATCH_HOST] = "host",     [CONF_MATCH_NETNS] = "netns",
		[CONF_MATCH_CGROUP] = "cgroup", [CONF_MATCH_SOCKET] = "socket",
		[CONF_MATCH_UID] = "uid",
	};

	return l->automatic ? "auto" : names[l->match];
}

static void put_user(struct jsonout *j, const struct user *u)
{
	const struct conf_quota *q = &u->lpar->quota;

	jout_open(j, NULL, '{');
	jout_num(j, "uid", u->uid);
	jout_num(j, "processes", u->processes);
	jout_num(j, "segments", u->segments);
	jout_num(j, "bytes", u->bytes);
	jout_num(j, "refused", u->refused);
	jout_open(j, "limits", '{');
	jout_num(j, "processes", q->processes);
	jout_num(j, "segments", q->segments);
	jout_num(j, "bytes", q->bytes);
	jout_num(j, "claims_per_s", q->claims_per_s);
	jout_close(j, '}');
	jout_close(j, '}');
}

static uint64_t conns_of(struct ismd *d, const struct lpar *l)
{
	uint64_t n = 0;

	list_each(ti, tn, &d->tables)
	{
		const struct table *t = list_item(ti, struct table, link);

		list_each(pi, pn, &t->members)
		{
			const struct proc *p = list_item(pi, struct proc, link);

			if (p->lpar == l)
				list_each(ci, cn, &p->conns) n++;
		}
	}
	return n;
}

static unsigned powered(const struct lpar *l)
{
	unsigned n = 0;

	list_each(it, next, &l->functions) n += list_item(it, struct function, link)->conf.power;
	return n;
}

static void put_lpar(struct ismd *d, struct jsonout *j, const struct lpar *l)
{
	jout_open(j, NULL, '{');
	jout_str(j, "name", l->name);
	jout_str(j, "match", match_name(l));
	jout_str(j, "path", l->path);
	jout_num(j, "netns", l->netns_ino);
	jout_num(j, "functions", l->nfunctions);
	jout_num(j, "powered", powered(l));
	jout_num(j, "clients", l->nclients);
	jout_num(j, "conns", conns_of(d, l));
	jout_open(j, "users", '[');
	list_each(it, next, &l->users) put_user(j, list_item(it, struct user, link));
	jout_close(j, ']');
	jout_close(j, '}');
}

void ctl_lpars(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	jout_open(j, NULL, '{');
	jout_open(j, "lpars", '[');
	list_each(it, next, &d->lpars)
	{
		const struct lpar *l = list_item(it, struct lpar, link);

		if (ctl_sees(a, l))
			put_lpar(d, j, l);
	}
	jout_close(j, ']');
	jout_close(j, '}');
}

static void put_pid(struct jsonout *j, const struct ctl_ask *a, const struct lgr *g, unsigned side)
{
	bool mine = a->rights == RIGHTS_BOX || g->user[side]->uid == a->sender_uid ||
	            (a->rights == RIGHTS_LPAR && g->user[side]->lpar == a->client->lpar);

	jout_int(j, NULL, mine && g->proc[side] ? g->proc[side]->pid : 0);
}

static void put_linkgroup(struct jsonout *j, const struct ctl_ask *a, const struct lgr *g,
                          const char *host)
{
	uint64_t bytes = 0;

	list_each(it, next, &g->segments)
	{
		const struct segment *s = list_item(it, struct segment, link);

		bytes += (uint64_t)s->nused * s->dmb_bytes;
	}
	jout_open(j, NULL, '{');
	jout_num(j, "lgr_id", g->id);
	jout_num(j, "vlan", g->vlan);
	jout_num(j, "conns", g->nconns);
	jout_str(j, "pnetid", g->pnetid);
	jout_num(j, "chid", g->chid);
	jout_num(j, "version", 2);
	jout_num(j, "release", 1);
	jout_str(j, "peer_host", host);
	jout_str(j, "peer_os", "LINUX");
	jout_str(j, "eid", "");
	jout_num(j, "sndbuf", bytes);
	jout_num(j, "dmb", bytes);
	jout_num(j, "segments", g->nsegments);
	jout_open(j, "pids", '[');
	put_pid(j, a, g, 0);
	put_pid(j, a, g, 1);
	jout_close(j, ']');
	jout_open(j, "lpars", '[');
	jout_str(j, NULL, g->user[0]->lpar->name);
	jout_str(j, NULL, g->user[1]->lpar->name);
	jout_close(j, ']');
	jout_open(j, "gids", '[');
	jout_hex64(j, NULL, g->gid[0]);
	jout_hex64(j, NULL, g->gid[1]);
	jout_close(j, ']');
	jout_close(j, '}');
}

void ctl_linkgroups(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	char host[65] = { 0 };

	gethostname(host, sizeof(host) - 1);
	jout_open(j, NULL, '{');
	jout_open(j, "linkgroups", '[');
	list_each(it, next, &d->lgrs)
	{
		const struct lgr *g = list_item(it, struct lgr, link);

		if (ctl_sees(a, g->user[0]->lpar) || ctl_sees(a, g->user[1]->lpar))
			put_linkgroup(j, a, g, host);
	}
	jout_close(j, ']');
	jout_close(j, '}');
}
