/* SPDX-License-Identifier: Apache-2.0 */
/* smc_rnics: the PCI functions that SMC can use, and the switch of their slots. */
#define _GNU_SOURCE
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/rnics.h"
#include "tools/tool_out.h"

enum { OPT_ADD = 256, OPT_REMOVE, OPT_PNETID, OPT_CHID, OPT_VLAN, OPT_PERSIST };
enum { CHID_MAX = 0xffff, VLAN_MAX = 4094 };

/* What the command line says, before it is known whether that fits together. */
struct words {
	const char *fid;      /* the last positional one */
	const char *task_fid; /* of -e, -d, --add=FID, --remove */
	bool only_add;        /* an option was given that says how to add */
};

static void help(void)
{
	fputs("\nUsage: smc_rnics [ OPTIONS ] [ FID ]\n\n"
	      "List the functions that SMC can use, power one on or off, add or remove one.\n\n"
	      "  -a, --all          also functions that are powered off\n"
	      "  -d, --disable FID  power the function off\n"
	      "  -e, --enable FID   power the function on\n"
	      "  -I, --IB-dev       InfiniBand devices in place of net devices\n"
	      "  -r, --rawids       ids as the hardware gives them\n"
	      "  -N, --lpar NAME    of that LPAR, '.' is the own one\n"
	      "  -L, --show-lpar    begin each row with the LPAR\n"
	      "      --add [FID]    hot-plug an ISM function; without FID the next free one,\n"
	      "                     which is printed\n"
	      "        --pnetid ID    its PNET id\n"
	      "        --chid CHID    its CHID, in hex\n"
	      "        --vlan ID      its VLAN, 0 for none\n"
	      "      --remove FID   unplug the function\n"
	      "      --persist      a change outlasts the daemon\n"
	      "  -h, --help         this text\n"
	      "  -v, --version      version\n\n",
	      stdout);
}

/* A FID is hexadecimal, 0x or not. 0 or RNICS_BAD_FID. */
static int parse_fid(const char *arg, int64_t *fid)
{
	const char *s = arg, *digits;
	uint64_t n = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	for (digits = s; isxdigit((unsigned char)*s); s++) {
		int digit = isdigit((unsigned char)*s) ? *s - '0'
		                                       : tolower((unsigned char)*s) - 'a' + 10;

		/* Beyond 32 bits there is none; stay there, do not wrap. */
		n = n > UINT32_MAX ? n : n * 16 + (unsigned)digit;
	}
	if (*s || s == digits) {
		fprintf(stderr, "Error: '%s' is not a valid FID\n", arg);
		return RNICS_BAD_FID;
	}
	*fid = (int64_t)n;
	return 0;
}

static int parse_number(const char *what, const char *arg, int base, unsigned long max,
                        int64_t *number)
{
	char *end;
	unsigned long n = strtoul(arg, &end, base);

	if (!isxdigit((unsigned char)*arg) || *end || n > max) {
		fprintf(stderr, "Error: '%s' is not a valid %s\n", arg, what);
		return RNICS_USAGE;
	}
	*number = (int64_t)n;
	return -1;
}

static int take_task(struct rnics_options *o, struct words *w, enum rnics_task task)
{
	o->task = task;
	w->task_fid = optarg;
	return -1;
}

/* How a function to be added is to be. */
static int take_property(int c, struct rnics_options *o, struct words *w)
{
	w->only_add = true;
	if (c == OPT_CHID)
		return parse_number("CHID", optarg, 16, CHID_MAX, &o->chid);
	if (c == OPT_VLAN)
		return parse_number("VLAN", optarg, 10, VLAN_MAX, &o->vlan);
	o->pnetid = optarg;
	return -1;
}

/* Returns the status to exit with, or -1 to go on. */
static int take_option(int c, struct rnics_options *o, struct words *w)
{
	switch (c) {
	case 'a':
		o->all = true;
		return -1;
	case 'I':
		o->ports = true;
		return -1;
	case 'r':
		o->raw = true;
		return -1;
	case 'L':
		o->show_lpar = true;
		return -1;
	case 'N':
		o->lpar = optarg;
		return -1;
	case OPT_PERSIST:
		o->persist = true;
		return -1;
	case 'd':
		return take_task(o, w, RNICS_DISABLE);
	case 'e':
		return take_task(o, w, RNICS_ENABLE);
	case OPT_ADD:
		return take_task(o, w, RNICS_ADD);
	case OPT_REMOVE:
		return take_task(o, w, RNICS_REMOVE);
	case OPT_PNETID:
	case OPT_CHID:
	case OPT_VLAN:
		return take_property(c, o, w);
	case 'h':
		help();
		return RNICS_OK;
	case 'v':
		tool_version("smc_rnics");
		return RNICS_OK;
	default:
		return RNICS_USAGE;
	}
}

/* Returns the status to exit with, or -1 to go on. */
static int check_words(struct rnics_options *o, struct words *w)
{
	bool adds = o->task == RNICS_ADD;

	/* "--add FID" reads better than "--add=FID", which is what getopt wants */
	if (adds && !w->task_fid) {
		w->task_fid = w->fid;
		w->fid = NULL;
	}
	if (w->task_fid && parse_fid(w->task_fid, &o->fid))
		return RNICS_BAD_FID;
	if (w->fid && parse_fid(w->fid, &o->fid))
		return RNICS_BAD_FID;
	if ((o->task != RNICS_LIST && w->fid) || (w->only_add && !adds)) {
		help();
		return RNICS_TWO_TASKS;
	}
	return -1;
}

/* Returns the status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct rnics_options *o)
{
	/* "a", "r", "v": --all, --rawids and --version have always had one letter,
	 * and keep it now that others begin with it. */
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "a", no_argument, NULL, 'a' },
		{ "disable", required_argument, NULL, 'd' },
		{ "enable", required_argument, NULL, 'e' },
		{ "IB-dev", no_argument, NULL, 'I' },
		{ "rawids", no_argument, NULL, 'r' },
		{ "r", no_argument, NULL, 'r' },
		{ "lpar", required_argument, NULL, 'N' },
		{ "show-lpar", no_argument, NULL, 'L' },
		{ "add", optional_argument, NULL, OPT_ADD },
		{ "remove", required_argument, NULL, OPT_REMOVE },
		{ "pnetid", required_argument, NULL, OPT_PNETID },
		{ "chid", required_argument, NULL, OPT_CHID },
		{ "vlan", required_argument, NULL, OPT_VLAN },
		{ "persist", no_argument, NULL, OPT_PERSIST },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ "v", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct words w = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "ad:e:IrLN:hv", longs, NULL)) != -1) {
		int r = take_option(c, o, &w);

		if (r >= 0)
			return r;
	}
	if (optind < argc)
		w.fid = argv[argc - 1];
	return check_words(o, &w);
}

int main(int argc, char **argv)
{
	struct rnics_options o = { .fid = FID_NONE, .chid = -1, .vlan = -1 };
	int r = parse_options(argc, argv, &o);

	if (r < 0)
		r = o.task == RNICS_LIST ? rnics_list(&o) : rnics_change(&o);
	return tool_finish("smc_rnics", r);
}
