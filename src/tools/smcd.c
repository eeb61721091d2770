/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smcd: the fabric as SMC-D sees it. The command line is iproute2's: options
 * stand before the object, every word may be shortened, the first match in
 * table order wins.
 */
#include "tools/smcd.h"

#include <stdio.h>
#include <string.h>

#include "tools/ismd_client.h"
#include "tools/tool_out.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, const struct smcd_options *opt);
} objects[] = {
	{ "device", smcd_device }, { "linkgroup", smcd_linkgroup }, { "info", smcd_info },
	{ "stats", smcd_stats },   { "ueid", smcd_ueid },           { "seid", smcd_seid },
};

bool smcd_matches(const char *word, const char *full)
{
	return strncmp(word, full, strlen(word)) == 0;
}

struct json_object *smcd_ask(const char *op)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get(op, ISMD_START, &err);

	if (!answer)
		fprintf(stderr, "Error: %s\n", err.text);
	return answer;
}

static void usage(void)
{
	fputs("Usage: smcd  [ OPTIONS ] OBJECT {COMMAND | help}\n"
	      "where  OBJECT := {info | linkgroup | device | stats | ueid | seid}\n"
	      "       OPTIONS := {-v[ersion] | -d[etails] | -a[bsolute]}\n",
	      stderr);
}

/* Returns the status to exit with, or -1 to go on. @word has lost its dash. */
static int take_option(const char *word, struct smcd_options *opt)
{
	if (strncmp(word, "ad", 2) == 0 || strncmp(word, "da", 2) == 0) {
		*opt = (struct smcd_options){ .absolute = true, .details = 1 };
	} else if (smcd_matches(word, "absolute")) {
		*opt = (struct smcd_options){ .absolute = true };
	} else if (smcd_matches(word, "version")) {
		tool_version("smcd");
		return 0;
	} else if (smcd_matches(word, "details")) {
		*opt = (struct smcd_options){ .details = 1 };
	} else if (smcd_matches(word, "ddetails")) {
		*opt = (struct smcd_options){ .details = 2 };
	} else if (smcd_matches(word, "help")) {
		usage();
		return 0;
	} else {
		fprintf(stderr, "Error: Option \"-%s\" is unknown, try \"smcd help\".\n", word);
		return SMCD_FAILED;
	}
	return -1;
}

static int run_object(int argc, char **argv, const struct smcd_options *opt)
{
	if (argc < 1) {
		usage();
		return 0;
	}
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]) && *argv[0]; i++)
		if (smcd_matches(argv[0], objects[i].name))
			return objects[i].run(argc - 1, argv + 1, opt);
	if (*argv[0] && smcd_matches(argv[0], "help")) {
		usage();
		return 0;
	}
	fprintf(stderr, "Error: Object \"%s\" is unknown, try \"smcd help\".\n", argv[0]);
	return 1;
}

int main(int argc, char **argv)
{
	struct smcd_options opt = { 0 };
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		int r;

		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		r = take_option(argv[i] + (argv[i][1] == '-' ? 2 : 1), &opt);
		if (r >= 0)
			return tool_finish("smcd", r);
	}
	return tool_finish("smcd", run_object(argc - i, argv + i, &opt));
}
