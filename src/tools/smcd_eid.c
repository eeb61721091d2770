/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and system EIDs of the LPAR: two LPARs need one in common. What is wrong
 * with an argument is said before ismd is asked.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tools/json_get.h"
#include "tools/smcd.h"

enum { EID_MAX = 32 };

/* What ismd's refusals are called here; "*" fits any operation. */
static const struct {
	const char *op, *code, *text;
} refusals[] = {
	{ "ueid_add", "eid", "specified User EID was rejected by the kernel" },
	{ "ueid_add", "full",
	  "specified User EID was rejected because the maximum number of User EIDs is reached" },
	{ "ueid_add", "exists", "specified User EID is already defined" },
	{ "ueid_del", "noent", "specified User EID is not defined" },
	{ "ueid_del", "eid", "specified User EID is not defined" },
	{ "seid", "noueid", "System EID cannot be disabled because no User EID is defined" },
	{ "*", "op", "operation not supported by kernel" },
};

static int refusal(const char *op, const struct ismd_error *err)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (!ismd_refused_with(err, refusals[i].code) ||
		    (*refusals[i].op != '*' && strcmp(refusals[i].op, op) != 0))
			continue;
		fprintf(stderr, "Error: %s\n", refusals[i].text);
		return SMCD_FAILED;
	}
	return smcd_complain(err);
}

/* One change. The answer (to be put) or NULL after a message. */
static struct json_object *change(const char *op, const char *key, struct json_object *value,
                                  const struct smcd_options *opt)
{
	struct ismd_error err;
	struct json_object *answer = smcd_change(op, key, value, opt, &err);

	if (!answer)
		refusal(op, &err);
	return answer;
}

/* "eids" of one LPAR, the asker's own one unless another is named. */
static struct json_object *ask_eids(const struct smcd_options *opt)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get("eids", opt->lpar, ISMD_START, &err);

	if (!answer)
		refusal("eids", &err);
	return answer;
}

static int ueid_usage(void)
{
	fputs("Usage: smcd ueid [show]\n"
	      "       smcd ueid add <eid>\n"
	      "       smcd ueid del <eid>\n"
	      "       smcd ueid flush\n",
	      stderr);
	return SMCD_FAILED;
}

static int invalid(const char *what)
{
	fprintf(stderr, "Error: Invalid User EID specified: %s\n", what);
	return SMCD_FAILED;
}

static int check_ueid(const char *eid)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	size_t good = strspn(eid, allowed);
	char what[64];

	if (strlen(eid) > EID_MAX)
		return invalid("EID is longer than 32 characters");
	if (!*eid)
		return invalid("EID is empty");
	if (!isalnum((unsigned char)*eid))
		return invalid("first character must be alphanumeric");
	if (strstr(eid, ".."))
		return invalid("consecutive dots not allowed");
	if (!eid[good])
		return 0;
	snprintf(what, sizeof(what), "unsupported character: '%c'", eid[good]);
	invalid(what);
	fputs("       Supported characters are: A-Z, 0-9, '.' and '-'\n", stderr);
	return SMCD_FAILED;
}

static int change_ueid(const char *op, int argc, char **argv, const struct smcd_options *opt)
{
	struct json_object *answer;

	if (argc != 2)
		return ueid_usage();
	if (check_ueid(argv[1]))
		return SMCD_FAILED;
	answer = change(op, "eid", json_object_new_string(argv[1]), opt);
	if (!answer)
		return SMCD_FAILED;
	if (jget_bool(answer, "seid_enabled"))
		fputs("Info: the System EID was activated because the last User EID was removed\n",
		      stderr);
	json_object_put(answer);
	return 0;
}

static int flush_ueids(const struct smcd_options *opt)
{
	struct json_object *answer = change("ueid_flush", NULL, NULL, opt);

	json_object_put(answer);
	return answer ? 0 : SMCD_FAILED;
}

static int show_ueids(const struct smcd_options *opt)
{
	struct json_object *answer = ask_eids(opt);
	struct json_object *list = answer ? jget_array(answer, "ueids") : NULL;

	for (size_t i = 0; i < jget_len(list); i++)
		printf("%-*s\n", EID_MAX,
		       json_object_get_string(json_object_array_get_idx(list, i)));
	json_object_put(answer);
	return answer ? 0 : SMCD_FAILED;
}

int smcd_ueid(int argc, char **argv, const struct smcd_options *opt)
{
	const char *word = argc ? argv[0] : "show";

	if (smcd_matches(word, "help"))
		return ueid_usage();
	if (smcd_matches(word, "add"))
		return change_ueid("ueid_add", argc, argv, opt);
	if (smcd_matches(word, "del"))
		return change_ueid("ueid_del", argc, argv, opt);
	if (argc > 1)
		return ueid_usage();
	if (smcd_matches(word, "flush"))
		return flush_ueids(opt);
	return smcd_matches(word, "show") ? show_ueids(opt) : ueid_usage();
}

static int seid_usage(void)
{
	fputs("Usage: smcd seid [show]\n"
	      "       smcd seid enable\n"
	      "       smcd seid disable\n",
	      stderr);
	return SMCD_FAILED;
}

static void show_seid(struct json_object *eids)
{
	const char *seid = jget_str(eids, "seid");

	if (*seid)
		printf("%s [%s]\n", seid, jget_bool(eids, "seid_enabled") ? "enabled" : "disabled");
	else
		puts("n/a");
}

static int switch_seid(struct json_object *eids, bool on, const struct smcd_options *opt)
{
	struct json_object *answer;

	if (!*jget_str(eids, "seid")) {
		fputs("Error: System EID not available\n", stderr);
		return SMCD_FAILED;
	}
	answer = change("seid", "on", json_object_new_boolean(on), opt);
	json_object_put(answer);
	return answer ? 0 : SMCD_FAILED;
}

int smcd_seid(int argc, char **argv, const struct smcd_options *opt)
{
	const char *word = argc ? argv[0] : "show";
	bool enable = smcd_matches(word, "enable"), disable = smcd_matches(word, "disable");
	struct json_object *eids;
	int r = 0;

	if (argc > 1 || smcd_matches(word, "help") ||
	    !(enable || disable || smcd_matches(word, "show")))
		return seid_usage();
	eids = ask_eids(opt);
	if (!eids)
		return SMCD_FAILED;
	if (enable || disable)
		r = switch_seid(eids, enable, opt);
	else
		show_seid(eids);
	json_object_put(eids);
	return r;
}
