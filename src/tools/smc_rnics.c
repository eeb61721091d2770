/* SPDX-License-Identifier: Apache-2.0 */
/* smc_rnics: the PCI functions that SMC can use, and the switch of their slots. */
#define _GNU_SOURCE
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/tool_out.h"

/* Exit statuses, as scripts know them. */
enum {
	RNICS_OK = 0,
	RNICS_NO_FABRIC = 1,
	RNICS_USAGE = 2,
	RNICS_BAD_FID = 3,
	RNICS_TWO_TASKS = 4,
	RNICS_NO_SLOT = 5,
	RNICS_ALREADY = 6,
	RNICS_FAILED = 7,
	RNICS_NOT_LISTED = 8,
};

enum { PFT_ISM = 5, FID_NONE = -1 };

struct options {
	bool all, ports, raw;
	int64_t fid; /* to list, or FID_NONE */
	int64_t switch_fid;
	bool on;
};

static void help(void)
{
	fputs("\nUsage: smc_rnics [ OPTIONS ] [ FID ]\n\n"
	      "List the functions that SMC can use, or power one on or off.\n\n"
	      "  -a, --all          also functions that are powered off\n"
	      "  -d, --disable FID  power the function off\n"
	      "  -e, --enable FID   power the function on\n"
	      "  -I, --IB-dev       InfiniBand devices in place of net devices\n"
	      "  -r, --rawids       ids as the hardware gives them\n"
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

/* Returns the status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "disable", required_argument, NULL, 'd' },
		{ "enable", required_argument, NULL, 'e' },
		{ "IB-dev", no_argument, NULL, 'I' },
		{ "rawids", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *to_switch = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "ad:e:Irhv", longs, NULL)) != -1) {
		switch (c) {
		case 'a':
			o->all = true;
			break;
		case 'I':
			o->ports = true;
			break;
		case 'r':
			o->raw = true;
			break;
		case 'd':
		case 'e':
			to_switch = optarg;
			o->on = c == 'e';
			break;
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
	if (to_switch && parse_fid(to_switch, &o->switch_fid))
		return RNICS_BAD_FID;
	if (optind < argc && parse_fid(argv[argc - 1], &o->fid))
		return RNICS_BAD_FID;
	if (to_switch && optind < argc) {
		help();
		return RNICS_TWO_TASKS;
	}
	return -1;
}

static void print_header(const struct options *o)
{
	printf("FID   Power  PCI_ID        PCHID  Type             PFT   %s  %s  "
	       "PNET_ID            %s\n",
	       o->raw ? "VFN" : "VF ", o->ports ? "IPrt" : "PPrt", o->ports ? "IB-Dev" : "Net-Dev");
	for (int i = 0; i < 100; i++)
		putchar('-');
	putchar('\n');
}

static void print_columns(uint32_t fid, const char *power, const char *pci, const char *pchid,
                          const char *type, const char *pft, const char *vf, const char *port,
                          const char *pnetid, const char *dev)
{
	printf("%4x  %-5s  %-12s  %-4s   %-15s  %-4s  %-3s  %-4s  %-17s  %s\n", fid, power, pci,
	       pchid, type, pft, vf, port, pnetid, dev);
}

static const char *or_na(const char *s)
{
	return *s ? s : "n/a";
}

static void print_function(struct json_object *f, const struct options *o)
{
	uint32_t fid = jget_u32(f, "fid"), vfn = jget_u32(f, "vfn"), pft = jget_u32(f, "pft");
	char pchid[16], type[32], pft_text[16], vf[16];
	bool known = pft == PFT_ISM && !o->raw;

	if (!jget_bool(f, "power")) {
		print_columns(fid, "0", "", "", "", "", "", "", "", "");
		return;
	}
	snprintf(pchid, sizeof(pchid), "%04x", jget_u32(f, "pchid"));
	if (known)
		snprintf(type, sizeof(type), "%s", jget_str(f, "type"));
	else
		snprintf(type, sizeof(type), "%04" PRIx64 ":%04" PRIx64, jget_hex(f, "vendor"),
		         jget_hex(f, "device"));
	if (known)
		snprintf(pft_text, sizeof(pft_text), "ISM");
	else
		snprintf(pft_text, sizeof(pft_text), "0x%02x", pft);
	/* An ISM function is a virtual one, whatever its number. */
	if (o->raw)
		snprintf(vf, sizeof(vf), "%u", vfn);
	else
		snprintf(vf, sizeof(vf), "%s", known || vfn ? "y" : "n");
	print_columns(fid, "1", or_na(jget_str(f, "pci_id")), pchid, type, pft_text, vf, "n/a",
	              or_na(jget_str(f, "pnetid")), "n/a");
}

static bool is_wanted(struct json_object *f, const struct options *o)
{
	if (o->fid != FID_NONE && o->fid != (int64_t)jget_u32(f, "fid"))
		return false;
	return o->all || (jget_bool(f, "power") && (o->raw || jget_u32(f, "pft") == PFT_ISM));
}

static int by_fid(const void *a, const void *b)
{
	uint32_t x = jget_u32(*(struct json_object *const *)a, "fid");
	uint32_t y = jget_u32(*(struct json_object *const *)b, "fid");

	return (x > y) - (x < y);
}

static int list_functions(const struct options *o)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get("functions", ISMD_START, &err);
	struct json_object *list;
	size_t rows = 0;

	print_header(o);
	if (!answer) {
		fflush(stdout);
		fprintf(stderr, "Error: %s\n", err.text);
		return RNICS_NO_FABRIC;
	}
	list = jget_array(answer, "functions");
	if (list)
		json_object_array_sort(list, by_fid);
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		if (!is_wanted(f, o))
			continue;
		print_function(f, o);
		rows++;
	}
	json_object_put(answer);
	return o->fid != FID_NONE && !rows ? RNICS_NOT_LISTED : RNICS_OK;
}

static int refusal(struct json_object *answer, const struct options *o)
{
	const char *code = jget_str(answer, "code");
	uint64_t fid = (uint64_t)o->switch_fid;

	if (strcmp(code, "nodev") == 0) {
		fprintf(stderr, "Error: FID %" PRIx64 " does not exist\n", fid);
		return RNICS_NO_SLOT;
	}
	if (strcmp(code, "already") == 0) {
		fprintf(stderr, "Error: FID %" PRIx64 " is already %s\n", fid,
		        o->on ? "enabled" : "disabled");
		return RNICS_ALREADY;
	}
	fprintf(stderr, "Error: Failed to %s FID %" PRIx64 "\n", o->on ? "enable" : "disable", fid);
	return RNICS_FAILED;
}

static int switch_power(const struct options *o)
{
	struct json_object *answer;
	struct ismd_error err;
	char request[96];
	int status = RNICS_OK;

	if (o->switch_fid > UINT32_MAX) {
		fprintf(stderr, "Error: FID %" PRIx64 " does not exist\n", (uint64_t)o->switch_fid);
		return RNICS_NO_SLOT;
	}
	snprintf(request, sizeof(request), "{\"op\":\"power\",\"fid\":%" PRId64 ",\"on\":%s}",
	         o->switch_fid, o->on ? "true" : "false");
	answer = ismd_ask(request, ISMD_START, &err);
	if (!answer) {
		fprintf(stderr, "Error: %s\n", err.text);
		return RNICS_NO_FABRIC;
	}
	if (!jget_bool(answer, "ok"))
		status = refusal(answer, o);
	json_object_put(answer);
	return status;
}

int main(int argc, char **argv)
{
	struct options o = { .fid = FID_NONE, .switch_fid = FID_NONE };
	int r = parse_options(argc, argv, &o);

	if (r < 0)
		r = o.switch_fid != FID_NONE ? switch_power(&o) : list_functions(&o);
	return tool_finish("smc_rnics", r);
}
