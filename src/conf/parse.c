/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ism.conf(5) may hold, key by key, and what has to fit together. Reading goes
 * on after a fault, so that one run names them all; what was faulty keeps its
 * default and nobody gets to see it.
 */
#define _GNU_SOURCE
#include "conf/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/keys.h"
#include "conf/scan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define BYTES_MAX (1ull << 50)
#define LIKE_MAX 100 /* LPARs whose name is compared with a wrong one */
#define DEFER_US_MAX 1000000
#define CGROUP_ROOT "/sys/fs/cgroup/"

/* ------------------------------------------------------------------ quotas */

static const struct key quota_keys[] = {
	{ "processes", read_number, KEY_FIELD(struct conf_quota, processes), 0, UINT32_MAX },
	{ "segments", read_number, KEY_FIELD(struct conf_quota, segments), 0, UINT32_MAX },
	{ "bytes", read_size, KEY_FIELD(struct conf_quota, bytes), 0, BYTES_MAX },
	{ "claims_per_second", read_number, KEY_FIELD(struct conf_quota, claims_per_s), 0,
	  UINT32_MAX },
};

static void read_quota(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	if (is_group(p, s))
		keys_read(p, s, quota_keys, COUNT(quota_keys), field);
}

/* --------------------------------------------------------------- functions */

static const struct key function_keys[] = {
	{ "fid", read_number, KEY_FIELD(struct conf_function, fid), 1, 65535, true },
	{ "pnetid", read_pnetid, KEY_FIELD(struct conf_function, pnetid) },
	{ "chid", read_number, KEY_FIELD(struct conf_function, chid), 0, 65535 },
	{ "vlan", read_number, KEY_FIELD(struct conf_function, vlan), 0, 4094 },
	{ "power", read_power, KEY_FIELD(struct conf_function, power) },
};

static void read_function(struct parse *p, const config_setting_t *s, struct conf_lpar *l)
{
	struct conf_function f = { 0, 0xffff, 0, "OPENISM", true };

	if (!is_group(p, s))
		return;
	keys_read(p, s, function_keys, COUNT(function_keys), &f);
	for (unsigned i = 0; f.fid && i < l->nfunctions; i++)
		if (l->functions[i].fid == f.fid) {
			fault(p, s, "another function has fid %u, expected one of its own", f.fid);
			break;
		}
	if (l->nfunctions < CONF_FUNCTIONS)
		l->functions[l->nfunctions++] = f;
}

static void read_functions(struct parse *p, const struct key *k, const config_setting_t *s,
                           void *lpar)
{
	struct conf_lpar *l = lpar;
	int n = config_setting_length(s);

	if (!is_list(p, s, "groups { fid = ...; }"))
		return;
	memset(l->functions, 0, sizeof(l->functions));
	l->nfunctions = 0;
	if (n > CONF_FUNCTIONS)
		fault(p, s, "%d functions, expected at most %d", n, CONF_FUNCTIONS);
	for (int i = 0; i < n; i++)
		read_function(p, config_setting_get_elem(s, (unsigned)i), l);
}

/* -------------------------------------------------------------------- EIDs */

static void read_ueid(struct parse *p, const config_setting_t *s, struct conf_lpar *l)
{
	const char *eid = config_setting_get_string(s), *why;

	if (!eid) {
		fault(p, s, "expected a text");
		return;
	}
	why = conf_ueid_fault(eid);
	if (why) {
		fault(p, s, "%s %s, expected 1 to %d of A-Z, 0-9, \".\" and \"-\"", QUOTE(eid), why,
		      CONF_EID_MAX);
		return;
	}
	for (unsigned i = 0; i < l->nueids; i++)
		if (!strcmp(l->ueids[i], eid))
			fault(p, s, "%s is there already, expected each once", QUOTE(eid));
	if (l->nueids < CONF_UEIDS)
		strcpy(l->ueids[l->nueids++], eid);
}

static void read_ueids(struct parse *p, const struct key *k, const config_setting_t *s, void *lpar)
{
	int n = config_setting_length(s);

	if (!config_setting_is_array(s) && !is_list(p, s, "texts"))
		return;
	if (n > CONF_UEIDS)
		fault(p, s, "%d user EIDs, expected at most %d", n, CONF_UEIDS);
	for (int i = 0; i < n; i++)
		read_ueid(p, config_setting_get_elem(s, (unsigned)i), lpar);
}

/* ------------------------------------------------------------------- LPARs */

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void read_name(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	const char *name = text_of(p, s, CONF_NAME_MAX, "a name");

	if (!name)
		return;
	if (!strchr(ALNUM, *name) || name[strspn(name, ALNUM "._-")])
		fault(p, s,
		      "%s is no name, expected letters, digits, \".\", \"_\" and \"-\" after a letter "
		      "or digit",
		      QUOTE(name));
	else
		strcpy(field, name);
}

static void read_cgroup(struct parse *p, const struct key *k, const config_setting_t *s,
                        void *field)
{
	const char *path = config_setting_get_string(s);

	read_path(p, k, s, field);
	if (path && !strncmp(path, CGROUP_ROOT, strlen(CGROUP_ROOT)))
		fault(p, s, "%s begins with the mount point, expected %s", QUOTE(path),
		      QUOTE(path + strlen(CGROUP_ROOT) - 1));
	else if (path && *path && !path[strspn(path, "/")])
		fault(p, s, "%s is all processes, expected a cgroup below", QUOTE(path));
}

/* KEY_NETNS and so on are CONF_MATCH_NETNS and so on. */
enum { KEY_NAME, KEY_NETNS, KEY_CGROUP, KEY_SOCKET, KEY_UID, KEY_ANY_LPAR };

static const struct key lpar_keys[] = {
	[KEY_NAME] = { "name", read_name, KEY_FIELD(struct conf_lpar, name), 0, 0, true },
	[KEY_NETNS] = { "netns", read_path, KEY_FIELD(struct conf_lpar, path) },
	[KEY_CGROUP] = { "cgroup", read_cgroup, KEY_FIELD(struct conf_lpar, path) },
	[KEY_SOCKET] = { "socket", read_path, KEY_FIELD(struct conf_lpar, path), 0,
	                 sizeof(((struct sockaddr_un *)0)->sun_path) - 1 },
	[KEY_UID] = { "uid", read_number, KEY_FIELD(struct conf_lpar, uid), 0, UINT32_MAX - 1 },
	/* from here on also of auto_lpar */
	[KEY_ANY_LPAR] = { "functions", read_functions, 0, 0 },
	{ "ueids", read_ueids, 0, 0 },
	{ "seid", read_bool, KEY_FIELD(struct conf_lpar, seid) },
	{ "quota", read_quota, KEY_FIELD(struct conf_lpar, quota) },
};

_Static_assert((int)KEY_NETNS == (int)CONF_MATCH_NETNS && (int)KEY_UID == (int)CONF_MATCH_UID,
               "a key that matches is a kind of match");

static void check_eids(struct parse *p, const config_setting_t *s, const struct conf_lpar *l)
{
	const config_setting_t *ueids = config_setting_get_member(s, "ueids");

	if (!l->seid && (!ueids || !config_setting_length(ueids)))
		fault(p, s, "no EID is left with seid = false, expected ueids");
}

static bool same_match(const struct conf_lpar *a, const struct conf_lpar *b)
{
	if (a->match != b->match)
		return false;
	return a->match == CONF_MATCH_UID ? a->uid == b->uid
	                                  : *a->path && !strcmp(a->path, b->path);
}

static void check_name(struct parse *p, const config_setting_t *s, const struct conf_lpar *l)
{
	const struct conf *c = p->conf;

	for (unsigned i = 0; *l->name && i < c->nlpars; i++)
		if (!strcmp(l->name, c->lpars[i].name)) {
			fault(p, s, "the LPAR of line %d has this name, expected another",
			      c->lpars[i].line);
			return;
		}
}

static void check_match(struct parse *p, const config_setting_t *s, const struct conf_lpar *l)
{
	const struct conf *c = p->conf;

	for (unsigned i = 0; i < c->nlpars; i++)
		if (same_match(l, &c->lpars[i])) {
			fault(p, s, "the LPAR of line %d matches the same, expected another %s",
			      c->lpars[i].line, lpar_keys[l->match].name);
			return;
		}
}

/* How many ways of matching are there? The last one counts. */
static unsigned set_match(struct conf_lpar *l, unsigned seen)
{
	unsigned n = 0;

	for (unsigned i = KEY_NETNS; i <= KEY_UID; i++)
		if (seen & 1u << i) {
			l->match = (enum conf_match)i;
			n++;
		}
	return n;
}

static void take_host(struct parse *p, const config_setting_t *s, const struct conf_lpar *l,
                      unsigned matches)
{
	struct conf *c = p->conf;

	if (matches)
		fault(p, s,
		      "the host is matched by itself, expected no netns, cgroup, socket or uid");
	if (c->host.line) {
		fault(p, s, "the LPAR of line %d has this name, expected another", c->host.line);
		return;
	}
	c->host = *l;
	c->host.match = CONF_MATCH_HOST;
	c->host.path[0] = '\0';
}

static void read_lpar(struct parse *p, const config_setting_t *s)
{
	struct conf *c = p->conf;
	struct conf_lpar l;
	unsigned matches;

	if (!is_group(p, s))
		return;
	conf_lpar_default(&l);
	l.quota = p->quota;
	l.line = (int)config_setting_source_line(s);
	matches = set_match(&l, keys_read(p, s, lpar_keys, COUNT(lpar_keys), &l));
	check_eids(p, s, &l);
	if (!strcmp(l.name, "host")) {
		take_host(p, s, &l, matches);
		return;
	}
	if (!matches)
		fault(p, s, "matches nothing, expected one of netns, cgroup, socket, uid");
	else if (matches > 1)
		fault(p, s,
		      "matches in several ways, expected only one of netns, cgroup, socket, uid");
	else
		check_match(p, s, &l);
	check_name(p, s, &l);
	c->lpars[c->nlpars++] = l;
}

/* Room for each element of list @s. NULL: no memory, too many, or none there. */
static void *make_room(struct parse *p, const config_setting_t *s, int max, size_t size)
{
	int n = config_setting_length(s);
	void *room;

	if (n > max) {
		fault(p, s, "%d entries, expected at most %d", n, max);
		return NULL;
	}
	if (!n)
		return NULL;
	room = calloc((size_t)n, size);
	if (!room)
		p->out->no_memory = true;
	return room;
}

static void read_lpars(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	struct conf *c = p->conf;

	if (!is_list(p, s, "groups { name = ...; }"))
		return;
	c->lpars = make_room(p, s, CONF_LPARS_MAX, sizeof(*c->lpars));
	for (int i = 0; c->lpars && i < config_setting_length(s); i++)
		read_lpar(p, config_setting_get_elem(s, (unsigned)i));
}

static void read_auto_lpar(struct parse *p, const struct key *k, const config_setting_t *s,
                           void *field)
{
	struct conf_lpar *l = field;

	if (!is_group(p, s))
		return;
	l->line = (int)config_setting_source_line(s);
	keys_read(p, s, lpar_keys + KEY_ANY_LPAR, COUNT(lpar_keys) - KEY_ANY_LPAR, l);
	check_eids(p, s, l);
}

/* ------------------------------------------------------------------ policy */

static void read_use(struct parse *p, const struct key *k, const config_setting_t *s, void *field)
{
	static const char *const words[] = { "always", "never", "after" };
	const char *text = text_of(p, s, 64, "\"always\", \"never\" or \"after\"");

	for (unsigned i = 0; text && i < COUNT(words); i++)
		if (!strcmp(text, words[i])) {
			*(enum conf_use *)field = (enum conf_use)i;
			return;
		}
	if (text)
		fault(p, s, "is %s, expected \"always\", \"never\" or \"after\"", QUOTE(text));
}

/* Blank-free decimal number at *@at, of one port. */
static bool one_port(const char **at, uint16_t *port)
{
	size_t digits = strspn(*at, "0123456789");
	unsigned long n = strtoul(*at, NULL, 10);

	if (!digits || digits > 5 || n < 1 || n > 65535)
		return false;
	*at += digits;
	*port = (uint16_t)n;
	return true;
}

static bool port_range(const char *text, struct conf_policy *r)
{
	if (!one_port(&text, &r->port_min))
		return false;
	r->port_max = r->port_min;
	if (*text != '-')
		return !*text;
	text++;
	return one_port(&text, &r->port_max) && !*text;
}

static void read_port(struct parse *p, const struct key *k, const config_setting_t *s, void *rule)
{
	static const struct key number = { "", read_number, 0, sizeof(uint16_t), 1, 65535 };
	const char *text = config_setting_get_string(s);
	struct conf_policy *r = rule;

	if (!text) {
		read_number(p, &number, s, &r->port_min);
		r->port_max = r->port_min;
	} else if (!port_range(text, r)) {
		fault(p, s,
		      "%s is no port, expected one from 1 to 65535 or a range like \"8000-8999\"",
		      QUOTE(text));
	} else if (r->port_min > r->port_max) {
		fault(p, s, "%s is the wrong way round, expected \"%u-%u\"", QUOTE(text),
		      r->port_max, r->port_min);
	}
}

static bool lpar_exists(const struct conf *c, const char *name)
{
	for (unsigned i = 0; i < c->nlpars; i++)
		if (!strcmp(c->lpars[i].name, name))
			return true;
	return !strcmp(name, "host");
}

static const char *lpar_like(const struct conf *c, const char *name)
{
	const char *host = "host";
	const char *best = nearest(name, &host, 1, sizeof(host));

	/* enough is enough: the whole file has to be read in a moment */
	for (unsigned i = 0; i < c->nlpars && i < LIKE_MAX; i++) {
		const char *other = c->lpars[i].name;
		const char *like = *other ? nearest(name, &other, 1, sizeof(other)) : NULL;

		if (like && (!best || word_distance(name, like) < word_distance(name, best)))
			best = like;
	}
	return best;
}

static void read_policy_lpar(struct parse *p, const struct key *k, const config_setting_t *s,
                             void *field)
{
	const char *like, *name = text_of(p, s, CONF_NAME_MAX, "the name of an LPAR");

	if (!name)
		return;
	if (lpar_exists(p->conf, name)) {
		strcpy(field, name);
		return;
	}
	like = lpar_like(p->conf, name);
	if (like)
		fault(p, s, "no LPAR is called %s, did you mean %s?", QUOTE(name), QUOTE(like));
	else
		fault(p, s, "no LPAR is called %s, expected a name out of lpars", QUOTE(name));
}

enum { KEY_USE, KEY_BYTES };

static const struct key policy_keys[] = {
	[KEY_USE] = { "use", read_use, KEY_FIELD(struct conf_policy, use), 0, 0, true },
	[KEY_BYTES] = { "bytes", read_size, KEY_FIELD(struct conf_policy, after_bytes), 1,
	                BYTES_MAX },
	{ "lpar", read_policy_lpar, KEY_FIELD(struct conf_policy, lpar) },
	{ "program", read_text, KEY_FIELD(struct conf_policy, program) },
	{ "port", read_port, 0, 0 },
};

static void read_rule(struct parse *p, const config_setting_t *s)
{
	struct conf_policy r = { .port_max = 65535, .use = (enum conf_use) - 1 };
	bool bytes;

	if (!is_group(p, s))
		return;
	r.line = (int)config_setting_source_line(s);
	bytes = keys_read(p, s, policy_keys, COUNT(policy_keys), &r) & 1u << KEY_BYTES;
	if (r.use == CONF_USE_AFTER && !bytes)
		fault(p, s, "bytes is missing, expected it with use = \"after\"");
	if (r.use != CONF_USE_AFTER && r.use != (enum conf_use) - 1 && bytes)
		fault(p, s, "bytes is there, expected it only with use = \"after\"");
	p->conf->policies[p->conf->npolicies++] = r;
}

static void read_policy(struct parse *p, const struct key *k, const config_setting_t *s,
                        void *field)
{
	struct conf *c = p->conf;

	if (!is_list(p, s, "groups { use = ...; }"))
		return;
	c->policies = make_room(p, s, CONF_POLICIES_MAX, sizeof(*c->policies));
	for (int i = 0; c->policies && i < config_setting_length(s); i++)
		read_rule(p, config_setting_get_elem(s, (unsigned)i));
}

/* --------------------------------------------------------------- everything */

/* What every other LPAR starts from, so it is read first. */
static void read_main_quota(struct parse *p, const struct key *k, const config_setting_t *s,
                            void *field)
{
	read_quota(p, k, s, &p->quota);
	p->conf->host.quota = p->conf->auto_lpar.quota = p->quota;
}

/* In the order in which one builds on the other. */
static const struct key top_keys[] = {
	{ "quota", read_main_quota, 0, 0 },
	{ "lpars", read_lpars, 0, 0 },
	{ "auto_lpars", read_bool, KEY_FIELD(struct conf, auto_lpars) },
	{ "auto_lpar", read_auto_lpar, KEY_FIELD(struct conf, auto_lpar) },
	{ "policy", read_policy, 0, 0 },
	{ "syn_option", read_bool, KEY_FIELD(struct conf, syn_option) },
	{ "defer_us", read_number, KEY_FIELD(struct conf, defer_us), 0, DEFER_US_MAX },
	{ "max_dmbs", read_number, KEY_FIELD(struct conf, max_dmbs), 0, UINT32_MAX },
	{ "max_dmb_bytes", read_size, KEY_FIELD(struct conf, max_dmb_bytes), 0, BYTES_MAX },
	{ "state_dir", read_path, KEY_FIELD(struct conf, state_dir) },
};

static void syntax_error(struct complaints *out, const config_t *cfg)
{
	const char *text = config_error_text(cfg);

	if (!text || !strcmp(text, "syntax error"))
		text = "here or just before, expected NAME = VALUE;";
	complain(out, config_error_line(cfg), "syntax error: %s", text);
}

static void parse_clean(const char *text, struct parse *p)
{
	config_t cfg;

	config_init(&cfg);
	if (config_read_string(&cfg, text))
		keys_read(p, config_root_setting(&cfg), top_keys, COUNT(top_keys), p->conf);
	else
		syntax_error(p->out, &cfg);
	config_destroy(&cfg);
}

int conf_parse_text(const char *text, size_t len, struct conf **conf, struct complaints *out)
{
	struct parse p = { conf_default(), { 0 }, out };
	char *clean;

	if (!p.conf) {
		out->no_memory = true;
		return -ENOMEM;
	}
	p.quota = p.conf->host.quota;
	clean = scan_text(text, len, out);
	if (clean)
		parse_clean(clean, &p);
	free(clean);
	if (out->n || out->no_memory) {
		conf_free(p.conf);
		return out->no_memory ? -ENOMEM : -EINVAL;
	}
	*conf = p.conf;
	return 0;
}
