/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration is when nothing is written, and what it says when asked. */
#define _GNU_SOURCE
#include "conf/conf.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "conf/parse.h"

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Far above what programs do, far below what hurts the box. */
static const struct conf_quota default_quota = {
	.processes = 4096,
	.segments = 16384,
	.bytes = 8ull << 30,
	.claims_per_s = 20000,
};

void conf_lpar_default(struct conf_lpar *l)
{
	memset(l, 0, sizeof(*l));
	l->match = CONF_MATCH_NETNS;
	l->functions[0] = (struct conf_function){ 1, 0xffff, 0, "OPENISM", true };
	l->nfunctions = 1;
	l->seid = true;
	l->quota = default_quota;
}

struct conf *conf_default(void)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->auto_lpars = true;
	c->syn_option = true;
	c->defer_us = 3000;
	strcpy(c->state_dir, "/var/lib/ism");
	conf_lpar_default(&c->auto_lpar);
	conf_lpar_default(&c->host);
	strcpy(c->host.name, "host");
	c->host.match = CONF_MATCH_HOST;
	return c;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	free(c->lpars);
	free(c->policies);
	free(c);
}

static bool program_fits(const char *pattern, const char *comm)
{
	return comm && !fnmatch(pattern, comm, 0);
}

static bool lpar_is(const char *name, const char *lpar)
{
	return lpar && !strcmp(name, lpar);
}

enum conf_use conf_policy(const struct conf *c, const char *lpar_a, const char *lpar_b,
                          uint16_t port, const char *comm_a, const char *comm_b,
                          uint64_t *after_bytes)
{
	for (unsigned i = 0; i < c->npolicies; i++) {
		const struct conf_policy *r = &c->policies[i];

		if (port < r->port_min || port > r->port_max)
			continue;
		if (*r->lpar && !lpar_is(r->lpar, lpar_a) && !lpar_is(r->lpar, lpar_b))
			continue;
		if (*r->program && !program_fits(r->program, comm_a) &&
		    !program_fits(r->program, comm_b))
			continue;
		if (r->use == CONF_USE_AFTER && after_bytes)
			*after_bytes = r->after_bytes;
		return r->use;
	}
	return CONF_USE_ALWAYS;
}

const char *conf_ueid_fault(const char *eid)
{
	if (!*eid)
		return "is empty";
	if (strlen(eid) > CONF_EID_MAX)
		return "is longer than 32 characters";
	if (!strchr(UPPER DIGITS, *eid))
		return "begins with neither letter nor digit";
	if (strstr(eid, ".."))
		return "has consecutive dots";
	if (eid[strspn(eid, UPPER DIGITS ".-")])
		return "has an unsupported character";
	return NULL;
}

bool conf_ueid_ok(const char *eid)
{
	return !conf_ueid_fault(eid);
}

bool conf_pnetid_ok(const char *pnetid)
{
	size_t n = strlen(pnetid);

	return n > 0 && n <= CONF_PNETID_MAX && strspn(pnetid, UPPER DIGITS) == n;
}
