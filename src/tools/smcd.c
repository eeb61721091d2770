/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smcd: the fabric as SMC-D sees it. The command line is iproute2's: options
 * stand before the object, every word may be shortened, the first match in
 * table order wins. --lpar and --persist, which are ours, may also stand behind
 * it when they are spelled out.
 */
#include "tools/smcd.h"

#include <stdio.h>
#include <string.h>

#include "tools/json_get.h"
#include "tools/tool_out.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, const struct smcd_options *opt);
} objects[] = {
	{ "device", smcd_device }, { "linkgroup", smcd_linkgroup }, { "info", smcd_info },
	{ "stats", smcd_stats },   { "ueid", smcd_ueid },           { "seid", smcd_seid },
	{ "lpars", smcd_lpar },
};

bool smcd_matches(const char *word, const char *full)
{
	return strncmp(word, full, strlen(word)) == 0;
}

int smcd_complain(const struct ismd_error *err)
{
	fprintf(stderr, "Error: %s\n", ismd_error_nl(err));
	return SMCD_FAILED;
}

struct json_object *smcd_ask(const char *op, const struct smcd_options *opt)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get(op, opt->lpar, ISMD_START, &err);

	if (!answer)
		smcd_complain(&err);
	return answer;
}

struct json_object *smcd_change(const char *op, const char *key, struct json_object *value,
                                const struct smcd_options *opt, struct ismd_error *err)
{
	struct json_object *req = ismd_request(op, opt->lpar);

	if (key)
		json_object_object_add(req, key, value);
	if (opt->persist)
		jadd_bool(req, "persist", true);
	return ismd_do(req, ISMD_START, err);
}

static void usage(void)
{
	fputs("Usage: smcd  [ OPTIONS ] OBJECT {COMMAND | help}\n"
	      "where  OBJECT := {info | linkgroup | device | stats | ueid | seid}\n"
	      "       OPTIONS := {-v[ersion] | -d[etails] | -a[bsolute]}\n"
	      "also   OBJECT := {lpar}\n"
	      "       OPTIONS := {-l[par] NAME | -p[ersist]}\n",
	      stderr);
}

static void set_levels(struct smcd_options *opt, bool absolute, int details)
{
	opt->absolute = absolute;
	opt->details = details;
}

/* Returns the status to exit with, or -1 to go on. @word has lost its dash. */
static int take_option(const char *word, struct smcd_options *opt)
{
	if (strncmp(word, "ad", 2) == 0 || strncmp(word, "da", 2) == 0) {
		set_levels(opt, true, 1);
	} else if (smcd_matches(word, "absolute")) {
		set_levels(opt, true, 0);
	} else if (smcd_matches(word, "version")) {
		tool_version("smcd");
		return 0;
	} else if (smcd_matches(word, "details")) {
		set_levels(opt, false, 1);
	} else if (smcd_matches(word, "ddetails")) {
		set_levels(opt, false, 2);
	} else if (smcd_matches(word, "help")) {
		usage();
		return 0;
	} else if (smcd_matches(word, "persist")) {
		opt->persist = true;
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

/* Takes "--lpar NAME", "--lpar=NAME" and "--persist" out of the words behind the
 * options. Returns how many are left. */
static int take_late_options(int argc, char **argv, struct smcd_options *opt)
{
	int left = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--persist") == 0)
			opt->persist = true;
		else if (strncmp(argv[i], "--lpar=", 7) == 0)
			opt->lpar = argv[i] + 7;
		else if (strcmp(argv[i], "--lpar") == 0 && i + 1 < argc)
			opt->lpar = argv[++i];
		else
			argv[left++] = argv[i];
	}
	return left;
}

/* "-l NAME" in any of its forms. How many words it is, 0 if it is something else. */
static int take_lpar(int argc, char **argv, struct smcd_options *opt)
{
	const char *word = argv[0] + (argv[0][1] == '-' ? 2 : 1);

	if (strncmp(word, "lpar=", 5) == 0) {
		opt->lpar = word + 5;
		return 1;
	}
	if (argc < 2 || !*word || !(smcd_matches(word, "lpar") || strcmp(word, "N") == 0))
		return 0;
	opt->lpar = argv[1];
	return 2;
}

int main(int argc, char **argv)
{
	struct smcd_options opt = { 0 };
	int i = 1;

	while (i < argc && argv[i][0] == '-') {
		int r, words = take_lpar(argc - i, argv + i, &opt);

		i += words;
		if (words)
			continue;
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		r = take_option(argv[i] + (argv[i][1] == '-' ? 2 : 1), &opt);
		if (r >= 0)
			return tool_finish("smcd", r);
		i++;
	}
	argc = take_late_options(argc - i, argv + i, &opt);
	return tool_finish("smcd", run_object(argc, argv + i, &opt));
}
