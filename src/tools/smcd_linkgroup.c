/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/json_get.h"
#include "tools/smcd.h"

enum { EID_LENGTH = 32 };

/* What is to be shown: everything, one group, or nothing that exists. */
struct selection {
	bool none;
	uint32_t lgr_id; /* 0 = all */
};

static int usage(void)
{
	fputs("Usage: smcd linkgroup [show] [all | LG-ID]\n", stderr);
	return SMCD_FAILED;
}

static void parse_lgr_id(const char *word, struct selection *sel)
{
	unsigned long long n;
	char *end;

	n = strtoull(word, &end, 16);
	sel->none = end == word || n > UINT32_MAX;
	sel->lgr_id = (uint32_t)n;
}

/* 0, or SMCD_FAILED after the usage text. */
static int parse_words(int argc, char **argv, struct selection *sel)
{
	if (argc > 0 && (smcd_matches(argv[0], "show") || smcd_matches(argv[0], "link-show"))) {
		argc--;
		argv++;
	}
	if (argc == 0)
		return 0;
	if (argc > 1 || smcd_matches(argv[0], "help"))
		return usage();
	if (!smcd_matches(argv[0], "all"))
		parse_lgr_id(argv[0], sel);
	return 0;
}

/* The two ends, in the order that all these lists have. */
static void print_pair(const char *label, struct json_object *list)
{
	printf("%-9s:", label);
	for (size_t i = 0; i < jget_len(list); i++)
		printf(" %s", json_object_get_string(json_object_array_get_idx(list, i)));
	putchar('\n');
}

static void print_ends(struct json_object *g)
{
	printf("Segments : %u\n", jget_u32(g, "segments"));
	print_pair("PIDs", jget_array(g, "pids"));
	if (jget_has(g, "lpars"))
		print_pair("LPARs", jget_array(g, "lpars"));
	if (jget_has(g, "chid"))
		printf("CHID     : %04x\n", jget_u32(g, "chid"));
	if (jget_has(g, "gids"))
		print_pair("GIDs", jget_array(g, "gids"));
}

/* A user EID is shown as it is sent, filled up with blanks. */
static void print_eid(const char *eid)
{
	printf("EID      : %-*s\n", *eid ? EID_LENGTH : 0, eid);
}

static void print_details(struct json_object *g, int details)
{
	uint32_t version = jget_u32(g, "version");

	printf("LG-ID    : %08x\n", jget_u32(g, "lgr_id"));
	printf("VLAN     : %x\n", jget_u32(g, "vlan"));
	printf("PNET-ID  : %s\n", jget_str(g, "pnetid"));
	printf("Version  : %u\n", version ? version : 1);
	if (version >= 2) {
		printf("Peer-Rel : %u\n", jget_u32(g, "release"));
		printf("Peer-Host: %s\n", jget_str(g, "peer_host"));
		printf("Peer-OS  : %s\n", jget_str(g, "peer_os"));
		print_eid(jget_str(g, "eid"));
	}
	printf("#Conns   : %u\n", jget_u32(g, "conns"));
	printf("Sndbuf   : %" PRIu64 " B\n", jget_u64(g, "sndbuf"));
	printf("DMB      : %" PRIu64 " B\n", jget_u64(g, "dmb"));
	if (details > 1)
		print_ends(g);
}

static void print_row(struct json_object *g)
{
	printf("%08x %#4x  %6u  %-16s \n", jget_u32(g, "lgr_id"), jget_u32(g, "vlan"),
	       jget_u32(g, "conns"), jget_str(g, "pnetid"));
}

static void print_groups(struct json_object *list, const struct selection *sel, int details)
{
	size_t n = jget_len(list);
	bool first = true;

	if (n && !details)
		puts("LG-ID    VLAN  #Conns  PNET-ID ");
	for (size_t i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(list, i);

		if (sel->none || (sel->lgr_id && sel->lgr_id != jget_u32(g, "lgr_id")))
			continue;
		if (!details) {
			print_row(g);
			continue;
		}
		if (!first)
			putchar('\n');
		first = false;
		print_details(g, details);
	}
}

int smcd_linkgroup(int argc, char **argv, const struct smcd_options *opt)
{
	struct selection sel = { 0 };
	struct json_object *answer;

	if (parse_words(argc, argv, &sel))
		return SMCD_FAILED;
	answer = smcd_ask("linkgroups", opt);
	if (!answer)
		return SMCD_FAILED;
	print_groups(jget_array(answer, "linkgroups"), &sel, opt->absolute ? 0 : opt->details);
	json_object_put(answer);
	return 0;
}
