/* SPDX-License-Identifier: Apache-2.0 */
/* smcss: the sockets that openism follows, with their mode and reasons. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/reason_text.h"
#include "tools/ss_print.h"
#include "tools/ss_row.h"
#include "tools/tool_out.h"

struct options {
	struct ss_filter filter;
	struct ss_format format;
	bool json;
	double watch;     /* seconds, 0 = once */
	const char *lpar; /* NULL = whatever the asker may see */
};

static void help(FILE *out)
{
	fputs("Usage: smcss [ OPTIONS ]\n\n"
	      "  -a, --all            also listening and not yet connected sockets\n"
	      "  -l, --listening      listening sockets only\n"
	      "  -d, --debug          append the connection's internals\n"
	      "  -W, --wide           do not shorten addresses\n"
	      "  -D, --smcd           SMC-D sockets only, with their DMBs\n"
	      "  -R, --smcr           SMC-R sockets only\n"
	      "  -N, --lpar NAME      sockets of that LPAR only, '.' is the own one\n"
	      "  -L, --show-lpar      begin each row with the LPARs of both ends\n"
	      "      --explain        append the reason of a fallback in words\n"
	      "      --json           one JSON array with all that is known\n"
	      "      --watch SECONDS  repeat until interrupted\n"
	      "  -h, --help           this text\n"
	      "  -v, --version        version\n",
	      out);
}

enum { OPT_JSON = 256, OPT_WATCH, OPT_EXPLAIN };

static int parse_seconds(const char *arg, double *seconds)
{
	char *end;

	*seconds = strtod(arg, &end);
	/* written so that a NaN is refused as well */
	if (end != arg && *end == '\0' && *seconds > 0 && *seconds <= 86400)
		return 0;
	fprintf(stderr, "smcss: invalid number of seconds '%s'\n", arg);
	return -1;
}

static int take_option(int c, struct options *o)
{
	switch (c) {
	case 'a':
		o->filter.all = true;
		return -1;
	case 'l':
		o->filter.listening = true;
		return -1;
	case 'd':
		o->format.debug = true;
		return -1;
	case 'W':
		o->format.wide = true;
		return -1;
	case 'D':
		o->filter.smcd = o->format.smcd = true;
		return -1;
	case 'R':
		o->filter.smcr = o->format.smcr = true;
		return -1;
	case 'L':
		o->format.lpar = true;
		return -1;
	case 'N':
		o->lpar = optarg;
		return -1;
	case OPT_EXPLAIN:
		o->format.explain = true;
		return -1;
	case OPT_JSON:
		o->json = true;
		return -1;
	case OPT_WATCH:
		return parse_seconds(optarg, &o->watch) < 0 ? 1 : -1;
	case 'h':
		help(stdout);
		return 0;
	case 'v':
		tool_version("smcss");
		return 0;
	default:
		help(stderr);
		return 1;
	}
}

/* What cannot be asked for together, in the order in which it is checked. */
static const char *find_conflict(const struct options *o)
{
	const struct ss_filter *f = &o->filter;

	if (f->smcd && f->smcr)
		return "--smcd together with --smcr";
	if (f->listening && o->format.debug)
		return "--listening together with --debug";
	if (f->listening && f->all)
		return "--listening together with --all";
	if (f->listening && f->smcr)
		return "--listening together with --smcr";
	if (f->listening && f->smcd)
		return "--listening together with --smcd";
	return NULL;
}

/* Returns the status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	/* "w", "l": short for --wide and --listening since before --watch and --lpar
	 * came, and they stay so. */
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "listening", no_argument, NULL, 'l' },
		{ "l", no_argument, NULL, 'l' },
		{ "debug", no_argument, NULL, 'd' },
		{ "wide", no_argument, NULL, 'W' },
		{ "w", no_argument, NULL, 'W' },
		{ "smcd", no_argument, NULL, 'D' },
		{ "smcr", no_argument, NULL, 'R' },
		{ "lpar", required_argument, NULL, 'N' },
		{ "show-lpar", no_argument, NULL, 'L' },
		{ "explain", no_argument, NULL, OPT_EXPLAIN },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "watch", required_argument, NULL, OPT_WATCH },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *conflict;
	int c;

	while ((c = getopt_long(argc, argv, "aldWDRLN:hv", longs, NULL)) != -1) {
		int r = take_option(c, o);

		if (r >= 0)
			return r;
	}
	conflict = find_conflict(o);
	if (!conflict)
		return -1;
	fprintf(stderr, "%s is not supported\n", conflict);
	help(stderr);
	return 1;
}

static void add_reason_text(struct json_object *obj, const char *key, uint32_t code)
{
	const char *text = code ? reason_text(code) : NULL;

	if (text)
		json_object_object_add(obj, key, json_object_new_string(text));
}

static void print_json_row(const struct ss_row *row, bool first)
{
	char buf[16];

	json_object_object_add(row->json, "state_name",
	                       json_object_new_string(ss_state_name(row->state, buf)));
	add_reason_text(row->json, "reason_text", row->reason);
	add_reason_text(row->json, "peer_reason_text", row->peer_reason);
	printf("%s%s", first ? "\n" : ",\n",
	       json_object_to_json_string_ext(row->json, JSON_C_TO_STRING_PLAIN |
	                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* Rows of one address family, as the kernel lists them: IPv4 first. */
static void print_family(struct json_object *list, bool v6, const struct options *o, bool *first)
{
	for (size_t i = 0; i < jget_len(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		struct ss_row row;

		if (!json_object_is_type(item, json_type_object))
			continue;
		ss_row_parse(item, &row);
		if ((row.family == 6) != v6 || !ss_row_is_wanted(&row, &o->filter))
			continue;
		if (o->json)
			print_json_row(&row, *first);
		else
			ss_print_row(stdout, &row, &o->format);
		*first = false;
	}
}

static int report_failure(const struct ismd_error *err)
{
	switch (err->kind) {
	case ISMD_ABSENT: /* no daemon, no sockets: an empty list is the truth */
		return 0;
	case ISMD_GARBLED:
	case ISMD_REFUSED:
		fprintf(stderr, "RTNETLINK answers: %s\n", err->text);
		return 1;
	default:
		fprintf(stderr, "Error: %s\n", err->text);
		return 1;
	}
}

static int list_sockets(const struct options *o)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get("sockets", o->lpar, 0, &err);
	struct json_object *list = answer ? jget_array(answer, "sockets") : NULL;
	bool first = true;
	int status = 0;

	if (o->json)
		fputc('[', stdout);
	else
		ss_print_header(stdout, &o->format);
	if (!answer) {
		fflush(stdout);
		status = report_failure(&err);
	}
	print_family(list, false, o, &first);
	print_family(list, true, o, &first);
	if (o->json)
		puts(first ? "]" : "\n]");
	json_object_put(answer);
	return tool_finish("smcss", status);
}

static void pause_for(double seconds)
{
	struct timespec ts = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int r = parse_options(argc, argv, &o);

	if (r >= 0)
		return tool_finish("smcss", r);
	for (;;) {
		if (o.watch > 0 && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		r = list_sockets(&o);
		if (o.watch <= 0 || ferror(stdout))
			return r;
		pause_for(o.watch);
	}
}
