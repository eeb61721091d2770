/* SPDX-License-Identifier: Apache-2.0 */
/* The LPARs of the box: what belongs to each, and what its users have of what
 * they may have. Others than one's own are shown to root of the box. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/json_get.h"
#include "tools/smcd.h"

static int usage(void)
{
	fputs("Usage: smcd lpar [show] [all | NAME]\n", stderr);
	return SMCD_FAILED;
}

static uint64_t count_refused(struct json_object *users)
{
	uint64_t n = 0;

	for (size_t i = 0; i < jget_len(users); i++)
		n += jget_u64(json_object_array_get_idx(users, i), "refused");
	return n;
}

static void print_header(void)
{
	printf("%-16s %-7s %9s %8s %8s %7s %7s\n", "LPAR", "Match", "Functions", "Clients",
	       "#Conns", "#Users", "Refused");
}

static void print_row(struct json_object *l)
{
	struct json_object *users = jget_array(l, "users");
	char functions[32];

	snprintf(functions, sizeof(functions), "%u/%u", jget_u32(l, "powered"),
	         jget_u32(l, "functions"));
	printf("%-16s %-7s %9s %8" PRIu64 " %8" PRIu64 " %7zu %7" PRIu64 "\n", jget_str(l, "name"),
	       jget_str(l, "match"), functions, jget_u64(l, "clients"), jget_u64(l, "conns"),
	       jget_len(users), count_refused(users));
}

/* "3/10", or "3" where there is no limit. */
static void print_usage(const char *label, uint64_t have, uint64_t limit)
{
	if (limit)
		printf("  %s %" PRIu64 "/%" PRIu64, label, have, limit);
	else
		printf("  %s %" PRIu64, label, have);
}

static void print_user(struct json_object *u)
{
	static const char *const kinds[] = { "processes", "segments", "bytes" };
	struct json_object *limits = NULL;

	json_object_object_get_ex(u, "limits", &limits);
	printf("User     : %u", jget_u32(u, "uid"));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		print_usage(kinds[i], jget_u64(u, kinds[i]), jget_u64(limits, kinds[i]));
	if (jget_u64(limits, "claims_per_s"))
		printf("  claims at most %" PRIu64 "/s", jget_u64(limits, "claims_per_s"));
	print_usage("refused", jget_u64(u, "refused"), 0);
	putchar('\n');
}

static void print_details(struct json_object *l)
{
	struct json_object *users = jget_array(l, "users");
	const char *path = jget_str(l, "path");

	printf("LPAR     : %s\n", jget_str(l, "name"));
	printf("Match    : %s%s%s\n", jget_str(l, "match"), *path ? " " : "", path);
	if (jget_u64(l, "netns"))
		printf("Net-NS   : %" PRIu64 "\n", jget_u64(l, "netns"));
	printf("Functions: %u\n", jget_u32(l, "functions"));
	printf("Powered  : %u\n", jget_u32(l, "powered"));
	printf("Clients  : %" PRIu64 "\n", jget_u64(l, "clients"));
	printf("#Conns   : %" PRIu64 "\n", jget_u64(l, "conns"));
	for (size_t i = 0; i < jget_len(users); i++)
		print_user(json_object_array_get_idx(users, i));
}

/* How many were shown. */
static size_t print_lpars(struct json_object *list, const char *name, int details)
{
	size_t shown = 0;

	for (size_t i = 0; i < jget_len(list); i++) {
		struct json_object *l = json_object_array_get_idx(list, i);

		if (name && strcmp(name, jget_str(l, "name")) != 0)
			continue;
		if (!shown && !details)
			print_header();
		if (shown++ && details)
			putchar('\n');
		if (details)
			print_details(l);
		else
			print_row(l);
	}
	return shown;
}

int smcd_lpar(int argc, char **argv, const struct smcd_options *opt)
{
	const char *name = NULL;
	struct json_object *answer;
	size_t shown;

	if (argc > 0 && smcd_matches(argv[0], "show")) {
		argc--;
		argv++;
	}
	if (argc > 1 || (argc == 1 && smcd_matches(argv[0], "help")))
		return usage();
	if (argc == 1 && !smcd_matches(argv[0], "all"))
		name = argv[0];
	answer = smcd_ask("lpars", opt);
	if (!answer)
		return SMCD_FAILED;
	shown = print_lpars(jget_array(answer, "lpars"), name, opt->absolute ? 0 : opt->details);
	json_object_put(answer);
	if (shown || !name)
		return 0;
	fprintf(stderr, "Error: LPAR \"%s\" does not exist, or is not yours to see\n", name);
	return SMCD_FAILED;
}
