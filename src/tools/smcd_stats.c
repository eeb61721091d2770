/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics as far as ismd counts. Lines and JSON keys are the original's; a
 * value that nobody counts has no line and no key here, rather than a zero that
 * would be believed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/json_get.h"
#include "tools/reason_text.h"
#include "tools/short_number.h"
#include "tools/smcd.h"

enum { REASONS_SHOWN = 3 };

static int usage(void)
{
	fputs("Usage: smcd stats [show | json]\n", stderr);
	return SMCD_FAILED;
}

static void print_count(const char *label, uint64_t n)
{
	printf("  %-27s%12" PRIu64 "\n", label, n);
}

static int by_count(const void *a, const void *b)
{
	uint64_t x = jget_u64(*(struct json_object *const *)a, "count");
	uint64_t y = jget_u64(*(struct json_object *const *)b, "count");

	return (x < y) - (x > y);
}

static void print_reasons(struct json_object *list, const char *title, const char *side)
{
	int shown = 0;

	for (size_t i = 0; i < json_object_array_length(list) && shown < REASONS_SHOWN; i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		if (strcmp(jget_str(f, "side"), side) != 0)
			continue;
		if (!shown++)
			printf("    %s\n", title);
		printf("     %-12s            %12" PRIu64 "\n", reason_name(jget_u32(f, "reason")),
		       jget_u64(f, "count"));
	}
}

static void print_direction(struct json_object *st, const char *title, const char *bytes_key,
                            const char *calls_key)
{
	uint64_t bytes = jget_u64(st, bytes_key);
	char buf[8];

	printf("\n%s\n", title);
	printf("  Data transmitted (Bytes) %14" PRIu64 " (%s)\n", bytes, short_number(bytes, buf));
	if (jget_has(st, calls_key))
		print_count("Total requests", jget_u64(st, calls_key));
}

static void print_text(struct json_object *st, int details)
{
	uint64_t smc = jget_u64(st, "smc_conns"), tcp = jget_u64(st, "tcp_conns");
	struct json_object *fallback = jget_array(st, "fallback");

	puts("SMC-D Connections Summary");
	print_count("Total connections handled", smc + tcp);
	print_count("SMC connections", smc);
	print_count("TCP fallback", tcp);
	if (details && fallback) {
		json_object_array_sort(fallback, by_count);
		print_reasons(fallback, "Server", "server");
		print_reasons(fallback, "Client", "client");
	}
	print_direction(st, "RX Stats", "rx_smc_bytes", "rx_smc_calls");
	print_direction(st, "TX Stats", "tx_smc_bytes", "tx_smc_calls");
	if (jget_has(st, "tx_full"))
		print_count("Buffer full (remote)", jget_u64(st, "tx_full"));
}

static void move_key(struct json_object *st, const char *from, struct json_object *to,
                     const char *key)
{
	if (jget_has(st, from))
		json_object_object_add(to, key, json_object_new_uint64(jget_u64(st, from)));
}

static void print_json(struct json_object *st)
{
	struct json_object *smcd = json_object_new_object();

	move_key(st, "tx_full", smcd, "SMC_INT_TX_BUF_FULL_PEER_CNT");
	move_key(st, "rx_smc_bytes", smcd, "SMC_RX_BYTES");
	move_key(st, "tx_smc_bytes", smcd, "SMC_TX_BYTES");
	move_key(st, "rx_smc_calls", smcd, "SMC_RX_CNT");
	move_key(st, "tx_smc_calls", smcd, "SMC_TX_CNT");
	printf("{\"SMCD\": %s,", json_object_to_json_string_ext(smcd, JSON_C_TO_STRING_PLAIN));
	printf("\"OPENISM\": %s}\n", json_object_to_json_string_ext(st, JSON_C_TO_STRING_PLAIN));
	json_object_put(smcd);
}

int smcd_stats(int argc, char **argv, const struct smcd_options *opt)
{
	const char *word = argc ? argv[0] : "show";
	struct json_object *answer;
	bool json = false;

	if (argc > 1 || smcd_matches(word, "help"))
		return usage();
	if (!smcd_matches(word, "show")) {
		if (smcd_matches(word, "reset")) {
			fputs("Error: stats reset is not supported yet\n", stderr);
			return SMCD_FAILED;
		}
		if (!smcd_matches(word, "json"))
			return usage();
		json = true;
	}
	answer = smcd_ask("stats", opt);
	if (!answer)
		return SMCD_FAILED;
	if (json)
		print_json(answer);
	else
		print_text(answer, opt->details);
	json_object_put(answer);
	return 0;
}
