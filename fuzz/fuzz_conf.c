/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ism.conf with anything in it. The first byte chooses: the input is the text, or each
 * byte of it is a word of the table below, which gets further into the keys. What is
 * refused comes with a complaint, each in one line; what is taken holds what conf.h
 * promises.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 loses the text that stands where a syntax error is. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

static const char *const words[] = {
	"= ",
	"; ",
	", ",
	"( ",
	") ",
	"{ ",
	"} ",
	"[ ",
	"] ",
	"\n",
	"\" ",
	"lpars",
	"lpar",
	"name",
	"host",
	"netns",
	"cgroup",
	"socket",
	"uid",
	"functions",
	"fid",
	"pnetid",
	"chid",
	"vlan",
	"power",
	"ueids",
	"seid",
	"quota",
	"bytes",
	"processes",
	"auto_lpars",
	"auto_lpar",
	"policy",
	"use",
	"port",
	"program",
	"true",
	"false",
	"defer_us",
	"max_dmbs",
	"\"on\"",
	"\"host\"",
	"\"a\"",
	"\"/a/b\"",
	"\"A.B\"",
	"\"after\"",
	"\"never\"",
	"\"80-90\"",
	"\"5M\"",
	"1 ",
	"65535 ",
	"0x1 ",
	"-1 ",
	"99999999999 ",
	"1.5 ",
	"\"nginx*\"",
	"# ",
	"/* ",
	"*/ ",
	"@include ",
	"\\x00",
	"\"\"",
	"syn_option",
	"state_dir",
	/* whole phrases: few words in a row happen to make sense */
	"lpars = ( { name = \"a\"; netns = \"/a\"; ",
	"functions = ( { fid = 1; ",
	"}, { ",
	"}, { name = \"b\"; uid = 5; ",
	"} ); ",
	"policy = ( { use = \"never\"; ",
	"use = \"after\"; bytes = 5; ",
	"lpar = \"a\"; ",
	"port = \"1-2\"; ",
	"ueids = [ \"A\", \"B\" ]; ",
	"seid = false; ",
	"quota = { bytes = \"1G\"; }; ",
	"name = \"host\"; ",
	"auto_lpar = { ",
	"}; ",
};

#define NWORDS (sizeof(words) / sizeof(words[0]))

static size_t compose(char *text, const uint8_t *data, size_t size)
{
	char *end = text;

	for (size_t i = 0; i < size; i++)
		end = stpcpy(end, words[data[i] % NWORDS]);
	return (size_t)(end - text);
}

static void require(int truth)
{
	if (!truth)
		abort();
}

static void check_lpar(const struct conf_lpar *l)
{
	require(strnlen(l->path, sizeof(l->path)) < sizeof(l->path));
	require(l->nfunctions <= CONF_FUNCTIONS && l->nueids <= CONF_UEIDS);
	for (unsigned i = 0; i < l->nfunctions; i++) {
		const struct conf_function *f = &l->functions[i];

		require(f->fid >= 1 && f->fid <= 65535 && f->vlan <= 4094);
		require(!*f->pnetid || conf_pnetid_ok(f->pnetid));
		for (unsigned j = 0; j < i; j++)
			require(l->functions[j].fid != f->fid);
	}
	for (unsigned i = 0; i < l->nueids; i++)
		require(conf_ueid_ok(l->ueids[i]));
	require(l->seid || l->nueids);
}

static void check_named(const struct conf *c, const struct conf_lpar *l)
{
	check_lpar(l);
	require(*l->name && strcmp(l->name, "host") != 0 && l->line > 0);
	require(l->match >= CONF_MATCH_NETNS && l->match <= CONF_MATCH_UID);
	require(l->match == CONF_MATCH_UID || l->path[0] == '/');
	for (const struct conf_lpar *o = c->lpars; o < l; o++)
		require(strcmp(o->name, l->name) != 0);
}

static void check(const struct conf *c)
{
	uint64_t after = 0;

	require(!strcmp(c->host.name, "host") && c->host.match == CONF_MATCH_HOST);
	require(c->state_dir[0] == '/' && c->defer_us <= 1000000);
	check_lpar(&c->host);
	check_lpar(&c->auto_lpar);
	for (unsigned i = 0; i < c->nlpars; i++)
		check_named(c, &c->lpars[i]);
	for (unsigned i = 0; i < c->npolicies; i++) {
		const struct conf_policy *r = &c->policies[i];

		require(r->port_min <= r->port_max && r->use <= CONF_USE_AFTER);
		require((r->use == CONF_USE_AFTER) == (r->after_bytes > 0));
		require(strnlen(r->program, sizeof(r->program)) < sizeof(r->program));
	}
	if (conf_policy(c, "host", "a", 80, "nginx", "curl", &after) == CONF_USE_AFTER)
		require(after > 0);
}

static void check_complaints(const struct complaints *out)
{
	require(out->n > 0 && !out->no_memory);
	for (unsigned i = 0; i < out->n; i++)
		for (const char *t = out->list[i].text; *t; t++)
			require(*t >= ' ' && *t <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct complaints out = { .path = "f" };
	struct conf *c = NULL;
	char *text;
	size_t len;
	int r;

	if (!size)
		return 0;
	text = malloc(size * 64);
	if (data[0] & 1)
		len = compose(text, data + 1, size - 1);
	else
		memcpy(text, data + 1, len = size - 1);
	r = conf_parse_text(text, len, &c, &out);
	free(text);
	if (r == 0) {
		require(!out.n);
		check(c);
	} else {
		require(r == -EINVAL && !c);
		check_complaints(&out);
	}
	complaints_flush(&out, NULL);
	conf_free(c);
	return 0;
}
