/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_GRACE_NS 3000000000u
#define DEFAULT_DEFER_US 3000u
#define DEFAULT_MAX_DMBS 65536u

static const char usage[] =
	"Usage: ismd [ OPTIONS ]\n"
	"\n"
	"The daemon of openism: it owns the ISM function of this user and introduces\n"
	"the two ends of a TCP connection to each other. smc_run starts it when needed.\n"
	"\n"
	"  -f, --foreground         stay in the foreground and log to stderr (default)\n"
	"  -b, --background         run as a daemon; leave when nobody is there\n"
	"  -s, --system             serve the whole box: all users and LPARs\n"
	"  -c, --config FILE        read FILE, not /etc/ism/ism.conf (with -s or -n)\n"
	"  -n, --check              check the configuration and exit\n"
	"      --cleanup            remove what a killed \"ismd -s\" left in the kernel\n"
	"  -d, --debug              log more; in the background, log to ismd.log\n"
	"      --grace SECONDS      leave when nobody was there for so long\n"
	"      --defer-us N         look at new connections after N microseconds\n"
	"      --max-dmb BYTES      memory of all DMBs together\n"
	"      --max-slots N        number of DMBs, two for each connection\n"
	"  -v, --version            print the version\n"
	"  -h, --help               print this help\n";

enum { OPT_CLEANUP = 255, OPT_GRACE, OPT_DEFER, OPT_MAX_DMB, OPT_MAX_SLOTS };

static const struct option longopts[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "background", no_argument, NULL, 'b' },
	{ "system", no_argument, NULL, 's' },
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, 'n' },
	{ "cleanup", no_argument, NULL, OPT_CLEANUP },
	{ "debug", no_argument, NULL, 'd' },
	{ "grace", required_argument, NULL, OPT_GRACE },
	{ "defer-us", required_argument, NULL, OPT_DEFER },
	{ "max-dmb", required_argument, NULL, OPT_MAX_DMB },
	{ "max-slots", required_argument, NULL, OPT_MAX_SLOTS },
	{ "version", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool number(const char *text, uint64_t max, uint64_t *value)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || n > max)
		return false;
	*value = n;
	return true;
}

/* Seconds with an optional fraction ("0.2"), for the tests' sake. */
static bool seconds(const char *text, uint64_t *ns)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0) || s > 1e9)
		return false;
	*ns = (uint64_t)(s * 1e9);
	return true;
}

static void from_environment(struct options *o)
{
	const char *e;
	uint64_t n;

	if ((e = getenv("ISM_MAX_DMBS")) && number(e, UINT32_MAX, &n))
		o->max_dmbs = n, o->max_dmbs_set = true;
	if ((e = getenv("ISM_MAX_DMB_BYTES")) && number(e, INT64_MAX, &n))
		o->max_dmb_bytes = n, o->max_dmb_bytes_set = true;
	if ((e = getenv("ISM_LOG")) && !strcmp(e, "1"))
		o->log = true;
	o->strangers = (e = getenv("ISM_STRANGERS")) && !strcmp(e, "1");
	o->no_getfd = (e = getenv("ISM_NO_GETFD")) && !strcmp(e, "1");
}

void options_default(struct options *o)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	memset(o, 0, sizeof(*o));
	o->grace_ns = DEFAULT_GRACE_NS;
	o->defer_us = DEFAULT_DEFER_US;
	o->max_dmbs = DEFAULT_MAX_DMBS;
	o->max_dmb_bytes = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2
	                                         : (uint64_t)1 << 30;
	from_environment(o);
}

static int bad(const char *option, const char *arg)
{
	fprintf(stderr, "ismd: %s: bad value \"%s\"\n", option, arg);
	return 2;
}

static int take(struct options *o, int opt, const char *arg)
{
	uint64_t n;

	switch (opt) {
	case 'f':
		o->background = false;
		return -1;
	case 'b':
		o->background = o->grace_set = true;
		return -1;
	case 's':
		o->system = true;
		return -1;
	case 'c':
		o->conf_path = arg;
		return -1;
	case 'n':
		o->check = true;
		return -1;
	case OPT_CLEANUP:
		o->cleanup = true;
		return -1;
	case 'd':
		o->debug = o->log = true;
		return -1;
	case OPT_GRACE:
		o->grace_set = true;
		return seconds(arg, &o->grace_ns) ? -1 : bad("--grace", arg);
	case OPT_DEFER:
		if (!number(arg, 1000000, &n))
			return bad("--defer-us", arg);
		o->defer_us = (uint32_t)n;
		o->defer_set = true;
		return -1;
	case OPT_MAX_DMB:
		o->max_dmb_bytes_set = true;
		return number(arg, INT64_MAX, &o->max_dmb_bytes) ? -1 : bad("--max-dmb", arg);
	case OPT_MAX_SLOTS:
		o->max_dmbs_set = true;
		return number(arg, UINT32_MAX, &o->max_dmbs) ? -1 : bad("--max-slots", arg);
	case 'v':
		printf("ismd, openism %s\n", OPENISM_VERSION);
		return 0;
	case 'h':
		fputs(usage, stdout);
		return 0;
	default:
		fputs("ismd: try \"ismd --help\"\n", stderr);
		return 2;
	}
}

int options_parse(struct options *o, int argc, char **argv)
{
	int opt, r;

	while ((opt = getopt_long(argc, argv, "fbsc:ndvh", longopts, NULL)) != -1) {
		r = take(o, opt, optarg);
		if (r >= 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "ismd: unexpected argument \"%s\"\n", argv[optind]);
		return 2;
	}
	return -1;
}
