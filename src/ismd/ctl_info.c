/* SPDX-License-Identifier: Apache-2.0 */
/* "info": the box, and who the asker is to it. */
#define _GNU_SOURCE
#include <unistd.h>

#include "ismd/client.h"
#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"

static void put_eids(struct jsonout *j, const struct lpar *l)
{
	jout_str(j, "seid", lpar_seid());
	jout_bool(j, "seid_enabled", l->seid);
	jout_open(j, "ueids", '[');
	for (unsigned i = 0; i < l->nueids; i++)
		jout_str(j, NULL, l->ueids[i]);
	jout_close(j, ']');
}

static void put_box(struct ismd *d, struct jsonout *j)
{
	uint64_t rows = 0, lpars = 0;

	list_each(ti, tn, &d->tables) rows += list_item(ti, struct table, link)->nconns;
	list_each(li, ln, &d->lpars) lpars++;
	jout_num(j, "uptime_s", (loop_now_ns() - d->start_ns) / 1000000000u);
	jout_num(j, "clients", d->nclients);
	jout_num(j, "tables", d->ntables);
	jout_num(j, "rows", rows);
	jout_num(j, "lpars", lpars);
	jout_num(j, "defer_us", d->opt.defer_us);
	jout_str(j, "rundir", d->dir);
	jout_str(j, "mode", d->opt.system ? "system" : "user");
	jout_str(j, "config", d->conf_path);
	jout_str(j, "config_fault", d->conf_fault);
	jout_str(j, "proof", d->proof ? "namespace, syn-option" : "namespace");
	jout_str(j, "proof_missing", d->proof ? "" : d->proof_missing);
}

void ctl_info(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	static const char *const rights[] = { "none", "lpar", "box" };
	char host[65] = { 0 };

	gethostname(host, sizeof(host) - 1);
	jout_open(j, NULL, '{');
	jout_str(j, "version", OPENISM_VERSION);
	jout_int(j, "pid", getpid());
	jout_str(j, "hostname", host);
	jout_num(j, "smc_version", 2);
	jout_num(j, "smc_release", 1);
	jout_bool(j, "ism_v2", true);
	put_eids(j, a->lpar);
	put_box(d, j);
	jout_str(j, "lpar", a->lpar->name);
	jout_str(j, "rights", rights[a->rights]);
	jout_close(j, '}');
}

void ctl_eids(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	jout_open(j, NULL, '{');
	put_eids(j, a->lpar);
	jout_close(j, '}');
}
