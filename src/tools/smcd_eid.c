/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and system EIDs. One host has one LPAR so far and no EID separates
 * anything, so there is nothing to list and nothing can be added; what is
 * wrong with an argument is nevertheless said first.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tools/smcd.h"

enum { EID_MAX = 32 };

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

static int change_ueid(int argc, char **argv)
{
	if (argc != 2)
		return ueid_usage();
	if (check_ueid(argv[1]))
		return SMCD_FAILED;
	fputs("Error: User EIDs are not supported yet\n", stderr);
	return SMCD_FAILED;
}

int smcd_ueid(int argc, char **argv, const struct smcd_options *opt)
{
	const char *word = argc ? argv[0] : "show";

	if (smcd_matches(word, "help"))
		return ueid_usage();
	if (smcd_matches(word, "add") || smcd_matches(word, "del"))
		return change_ueid(argc, argv);
	/* An empty list is shown, and flushed, without a word. */
	if (argc > 1 || !(smcd_matches(word, "flush") || smcd_matches(word, "show")))
		return ueid_usage();
	return 0;
}

static int seid_usage(void)
{
	fputs("Usage: smcd seid [show]\n"
	      "       smcd seid enable\n"
	      "       smcd seid disable\n",
	      stderr);
	return SMCD_FAILED;
}

int smcd_seid(int argc, char **argv, const struct smcd_options *opt)
{
	const char *word = argc ? argv[0] : "show";

	if (argc > 1 || smcd_matches(word, "help"))
		return seid_usage();
	if (smcd_matches(word, "enable") || smcd_matches(word, "disable")) {
		fputs("Error: System EID not available\n", stderr);
		return SMCD_FAILED;
	}
	if (!smcd_matches(word, "show"))
		return seid_usage();
	puts("n/a");
	return 0;
}
