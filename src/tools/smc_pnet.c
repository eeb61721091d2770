/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smc_pnet: the PNET table of an LPAR, which gives names of networks to its
 * interfaces and its ISM functions. An interface is one of the asker's network
 * namespace, so it is looked for here; a function is ismd's.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/tool_out.h"

enum { NO_PORT = 255, FID_MAX = 0xffff, OPT_PERSIST = 256 };

struct options {
	char command; /* a, d, s, f, or 0 */
	bool twice;   /* more than one of them */
	const char *pnetid, *interface, *device, *lpar;
	int port; /* -1 = not given */
	bool persist;
};

static const char *self;

static void help(FILE *out)
{
	fputs("Usage: smc_pnet [ OPTIONS ] [pnetid]\n\n"
	      "Show or change the PNET table.\n\n"
	      "  -a, --add             add entries for pnetid\n"
	      "  -d, --delete          delete the entries of pnetid\n"
	      "  -s, --show            show the entries of pnetid, or all\n"
	      "  -f, --flush           delete all entries\n"
	      "  -I, --interface NAME  Ethernet interface\n"
	      "  -D, --ibdevice ID     ISM function: its PCI id or its FID\n"
	      "  -P, --ibport PORT     port of the device, default 1\n"
	      "  -N, --lpar NAME       the table of that LPAR, '.' is the own one\n"
	      "      --persist         a change outlasts the daemon\n"
	      "  -h, --help            this text\n"
	      "  -v, --version         version\n",
	      out);
}

static int usage_error(void)
{
	help(stderr);
	return 1;
}

static int take_command(struct options *o, char command)
{
	o->twice = o->twice || o->command;
	o->command = command;
	return -1;
}

/* C notation; 0 and nothing at all mean the first port. */
static int take_port(struct options *o, const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 0);

	if (*end || n > 2) {
		fprintf(stderr, "%s invalid ib port:%s\n", self, arg);
		return usage_error();
	}
	o->port = n ? (int)n : 1;
	return -1;
}

static int take_option(int c, struct options *o)
{
	switch (c) {
	case 'a':
	case 'd':
	case 's':
	case 'f':
		return take_command(o, (char)c);
	case 'I':
		o->interface = optarg;
		return -1;
	case 'D':
		o->device = optarg;
		return -1;
	case 'P':
		return take_port(o, optarg);
	case 'N':
		o->lpar = optarg;
		return -1;
	case OPT_PERSIST:
		o->persist = true;
		return -1;
	case 'h':
		help(stdout);
		return 0;
	case 'v':
		tool_version("smc_pnet");
		return 0;
	default:
		return usage_error();
	}
}

/* What does not fit together, or NULL. */
static const char *find_fault(const struct options *o, int positional)
{
	if (positional > 1)
		return " too many parameters";
	if (o->pnetid && !o->command)
		return ": parameters without option";
	if (o->pnetid && o->command == 'f')
		return ": -f takes no parameters";
	if (o->command == 'a' && !o->interface && !o->device)
		return ": interface or device missing";
	return NULL;
}

/* Only an entry to be added has these. */
static void drop_properties(struct options *o)
{
	if (o->interface)
		fprintf(stderr, "%s: interface %s ignored\n", self, o->interface);
	if (o->device)
		fprintf(stderr, "%s: device %s ignored\n", self, o->device);
	if (o->port >= 0)
		fprintf(stderr, "%s: ibport %d ignored\n", self, o->port);
}

/* Returns the status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "add", no_argument, NULL, 'a' },
		{ "delete", no_argument, NULL, 'd' },
		{ "show", no_argument, NULL, 's' },
		{ "flush", no_argument, NULL, 'f' },
		{ "interface", required_argument, NULL, 'I' },
		{ "ibdevice", required_argument, NULL, 'D' },
		{ "ibport", required_argument, NULL, 'P' },
		{ "lpar", required_argument, NULL, 'N' },
		{ "persist", no_argument, NULL, OPT_PERSIST },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *fault;
	int c;

	while ((c = getopt_long(argc, argv, "adsfI:D:P:N:hv", longs, NULL)) != -1) {
		int r = take_option(c, o);

		if (r >= 0)
			return r;
	}
	o->pnetid = optind < argc ? argv[optind] : NULL;
	if (o->twice)
		return usage_error();
	fault = find_fault(o, argc - optind);
	if (fault) {
		fprintf(stderr, "%s%s\n", self, fault);
		return usage_error();
	}
	if (!o->command)
		o->command = 's';
	if (o->command != 'a')
		drop_properties(o);
	return -1;
}

static int complain(const char *text)
{
	fprintf(stderr, "%s: %s\n", self, text);
	return 1;
}

/* "002a:00:00.0" or "2a": both begin with the FID in hex. 0 if it is neither. */
static uint32_t device_fid(const char *device)
{
	size_t digits = strspn(device, "0123456789abcdefABCDEF");
	const char *rest = device + digits;
	unsigned long fid;

	if (digits == 1 && strncmp(device, "0x", 2) == 0) {
		rest = device + 2 + strspn(device + 2, "0123456789abcdefABCDEF");
		digits = (size_t)(rest - device);
	}
	if (!digits || (*rest && strcmp(rest, ":00:00.0") != 0))
		return 0;
	fid = strtoul(device, NULL, 16);
	return fid > FID_MAX ? 0 : (uint32_t)fid;
}

static int send_change(struct json_object *req, const struct options *o, struct ismd_error *err)
{
	struct json_object *answer;

	if (o->persist)
		jadd_bool(req, "persist", true);
	answer = ismd_do(req, ISMD_START, err);
	json_object_put(answer);
	return answer ? 0 : -1;
}

static int add(const struct options *o)
{
	struct json_object *req;
	struct ismd_error err;
	uint32_t fid = o->device ? device_fid(o->device) : 0;
	bool here = !o->lpar || strcmp(o->lpar, ".") == 0;

	if ((o->device && !fid) || (o->interface && here && !if_nametoindex(o->interface)))
		return complain("No such device");
	req = ismd_request("pnet_add", o->lpar);
	jadd_str(req, "pnetid", o->pnetid ? o->pnetid : "");
	if (o->interface)
		jadd_str(req, "interface", o->interface);
	if (fid)
		jadd_num(req, "fid", fid);
	return send_change(req, o, &err) ? complain(ismd_error_nl(&err)) : 0;
}

static int delete_id(const struct options *o)
{
	struct json_object *req = ismd_request("pnet_del", o->lpar);
	struct ismd_error err;

	jadd_str(req, "pnetid", o->pnetid ? o->pnetid : "");
	return send_change(req, o, &err) ? complain(ismd_error_nl(&err)) : 0;
}

/* A table that was empty before is flushed as well as any. */
static int flush(const struct options *o)
{
	struct ismd_error err;

	if (send_change(ismd_request("pnet_flush", o->lpar), o, &err) == 0 ||
	    ismd_refused_with(&err, "noent"))
		return 0;
	return complain(ismd_error_nl(&err));
}

/* An entry of both kinds is two lines, as the two that it was made of. */
static void print_entry(struct json_object *entry)
{
	const char *pnetid = jget_str(entry, "pnetid"), *interface = jget_str(entry, "interface");
	uint32_t fid = jget_u32(entry, "fid");

	if (*interface)
		printf("%s %s n/a %d\n", pnetid, interface, NO_PORT);
	if (fid)
		printf("%s n/a %04x:00:00.0 1\n", pnetid, fid);
}

static int show(const struct options *o)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get("pnet", o->lpar, ISMD_START, &err);
	struct json_object *list = answer ? jget_array(answer, "pnet") : NULL;

	if (!answer)
		return complain(ismd_error_nl(&err));
	for (size_t i = 0; i < jget_len(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (!o->pnetid || strcmp(o->pnetid, jget_str(entry, "pnetid")) == 0)
			print_entry(entry);
	}
	json_object_put(answer);
	return 0;
}

static int run(const struct options *o)
{
	switch (o->command) {
	case 'a':
		return add(o);
	case 'd':
		return delete_id(o);
	case 'f':
		return flush(o);
	default:
		return show(o);
	}
}

int main(int argc, char **argv)
{
	struct options o = { .port = -1 };
	int r;

	self = argc ? basename(argv[0]) : "smc_pnet";
	r = parse_options(argc, argv, &o);
	return tool_finish("smc_pnet", r >= 0 ? r : run(&o));
}
