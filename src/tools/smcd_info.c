/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/json_get.h"
#include "tools/smcd.h"

static int usage(void)
{
	fputs("Usage: smcd info [show]\n", stderr);
	return SMCD_FAILED;
}

static void print_line(const char *label, const char *value)
{
	printf("%-18s%s\n", label, *value ? value : "n/a");
}

static bool has_powered_function(struct json_object *answer)
{
	struct json_object *list = jget_array(answer, "functions");

	for (size_t i = 0; i < jget_len(list); i++)
		if (jget_bool(json_object_array_get_idx(list, i), "power"))
			return true;
	return false;
}

static const char *rights_text(const char *rights)
{
	static const struct {
		const char *word, *text;
	} texts[] = {
		{ "box", "box (all LPARs)" },
		{ "lpar", "LPAR (may change it)" },
		{ "none", "none (may look)" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].word, rights) == 0)
			return texts[i].text;
	return rights;
}

/*
 * Where we are. A per-user ismd has one LPAR, about which there is nothing to
 * say; then the output ends as the original's does, unless details are wanted.
 */
static void print_lpar(struct json_object *info)
{
	const char *missing = jget_str(info, "proof_missing");
	const char *fault = jget_str(info, "config_fault");

	puts("\nLogical Partition");
	print_line("Mode:", jget_str(info, "mode"));
	print_line("LPAR:", jget_str(info, "lpar"));
	print_line("Rights:", rights_text(jget_str(info, "rights")));
	print_line("Proof:", jget_str(info, "proof"));
	if (*missing)
		print_line("Proof missing:", missing);
	if (*fault)
		print_line("Config fault:", fault);
}

/* Ours, with -d only: what stands in the place of kernel and firmware. */
static void print_daemon(struct json_object *info)
{
	char number[32];

	puts("\nFabric Daemon");
	print_line("Version:", jget_str(info, "version"));
	snprintf(number, sizeof(number), "%" PRIu64, jget_u64(info, "pid"));
	print_line("PID:", number);
	snprintf(number, sizeof(number), "%" PRIu64 " s", jget_u64(info, "uptime_s"));
	print_line("Uptime:", number);
	print_line("Directory:", jget_str(info, "rundir"));
	print_line("Configuration:", jget_str(info, "config"));
	snprintf(number, sizeof(number), "%" PRIu64, jget_u64(info, "lpars"));
	print_line("LPARs:", number);
	snprintf(number, sizeof(number), "%" PRIu64, jget_u64(info, "clients"));
	print_line("Clients:", number);
	snprintf(number, sizeof(number), "%" PRIu64, jget_u64(info, "rows"));
	print_line("Sockets:", number);
	snprintf(number, sizeof(number), "%" PRIu64 " us", jget_u64(info, "defer_us"));
	print_line("Match delay:", number);
}

static void print_info(struct json_object *info, bool has_ism, int details)
{
	unsigned version = jget_u32(info, "smc_version");
	char number[32];

	puts("Kernel Capabilities");
	snprintf(number, sizeof(number), "%u.%u", version, jget_u32(info, "smc_release"));
	print_line("SMC Version:", number);
	print_line("SMC Hostname:", jget_str(info, "hostname"));
	print_line("SMC-D Features:", version >= 2 ? "v1 v2" : "v1");
	print_line("SMC-R Features:", "");
	puts("\nHardware Capabilities");
	print_line("SEID:", jget_str(info, "seid"));
	print_line("ISM:", !has_ism ? "" : jget_bool(info, "ism_v2") ? "v1 v2" : "v1");
	print_line("RoCE:", "");
	if (details || strcmp(jget_str(info, "mode"), "system") == 0)
		print_lpar(info);
	if (details)
		print_daemon(info);
}

int smcd_info(int argc, char **argv, const struct smcd_options *opt)
{
	/* the functions of other LPARs, which root may see, are not our hardware */
	const struct smcd_options own = { .lpar = "." };
	struct json_object *functions, *info;

	if (argc > 1 ||
	    (argc == 1 && (smcd_matches(argv[0], "help") || !smcd_matches(argv[0], "show"))))
		return usage();
	functions = smcd_ask("functions", opt->lpar ? opt : &own);
	if (!functions) {
		fputs("Error: Failed to retrieve ISM device count\n", stderr);
		return SMCD_FAILED;
	}
	info = smcd_ask("info", opt);
	if (info)
		print_info(info, has_powered_function(functions), opt->details);
	json_object_put(functions);
	json_object_put(info);
	return info ? 0 : SMCD_FAILED;
}
