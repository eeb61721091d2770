/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smc_run: execute a command with libsmc-preload.so in front of libc.
 *
 * This stands before every program that uses openism, so it does little: a few
 * look-ups, one connect() to see that ismd is there, exec. Errors of usage go
 * to stdout because scripts know them there; the rest goes to stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ismd_start.h"
#include "tools/run_unit.h"
#include "tools/size_arg.h"
#include "tools/tool_out.h"
#include "tools/tool_paths.h"

#define LIBRARY "libsmc-preload.so"

enum { EXIT_CANNOT_EXECUTE = 126, EXIT_NOT_FOUND = 127 };
enum { OPT_ENABLE = 256, OPT_DISABLE };

/* What is to be done with a unit; unit is NULL where a command is to be run. */
struct task {
	const char *unit;
	bool enable;
};

static void help(void)
{
	fputs("\nUsage: smc_run [ OPTIONS ] COMMAND\n"
	      "       smc_run [ OPTIONS ] --enable UNIT\n"
	      "       smc_run --disable UNIT\n\n"
	      "Run COMMAND so that its TCP connections to programs that also run under\n"
	      "smc_run on this host use shared memory, and all others stay on TCP.\n\n"
	      "  -d        debug messages of the library on stderr\n"
	      "  -h        this text\n"
	      "  -r SIZE   receive buffer in bytes, or with suffix k or m\n"
	      "  -t SIZE   transmit buffer in bytes, or with suffix k or m\n"
	      "  -v        version\n"
	      "  --enable UNIT\n"
	      "            have systemd run this service so, from its next start on\n"
	      "  --disable UNIT\n"
	      "            take that back\n",
	      stdout);
}

static int set_size(const char *variable, const char *arg)
{
	char text[16];
	unsigned bytes;

	if (size_arg_parse(arg, &bytes) < 0) {
		printf("Error: Invalid buffer size specified: '%s'\n", arg);
		return -1;
	}
	snprintf(text, sizeof(text), "%u", bytes);
	return setenv(variable, text, 1);
}

static int bad_option(char **argv, int c)
{
	/* a long one has no letter; getopt is past it */
	if (!optopt || optopt > 255) {
		fprintf(stderr, "%s: %s -- %s\n", argv[0],
		        c == ':' ? "option requires an argument" : "illegal option",
		        argv[optind - 1]);
		printf("smc_run: Error: Invalid option: %s\n", argv[optind - 1]);
		return 1;
	}
	fprintf(stderr, "%s: %s -- %c\n", argv[0],
	        c == ':' ? "option requires an argument" : "illegal option", optopt);
	printf("smc_run: Error: Invalid option: -%c\n", optopt);
	return 1;
}

/* The status to exit with if there is no sense in the words, or -1. */
static int check_words(int argc, const struct task *task)
{
	if (task->unit && optind < argc) {
		puts("smc_run: Error: A unit and a command cannot go together");
		return 1;
	}
	if (!task->unit && optind >= argc) {
		puts("smc_run: Error: Missing command parameter");
		return 1;
	}
	return -1;
}

/* Returns the status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct task *task)
{
	static const struct option longs[] = { { "enable", required_argument, NULL, OPT_ENABLE },
		                               { "disable", required_argument, NULL, OPT_DISABLE },
		                               { NULL, 0, NULL, 0 } };
	const char *debug = "0";
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:dhr:t:v", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			debug = "1";
			break;
		case 'h':
			help();
			return 0;
		case 'v':
			tool_version("smc_run");
			return 0;
		case 'r':
		case 't':
			if (set_size(c == 'r' ? "SMC_RCVBUF" : "SMC_SNDBUF", optarg) < 0)
				return 1;
			break;
		case OPT_ENABLE:
		case OPT_DISABLE:
			task->unit = optarg;
			task->enable = c == OPT_ENABLE;
			break;
		default:
			return bad_option(argv, c);
		}
	}
	c = check_words(argc, task);
	if (c >= 0)
		return c;
	return setenv("SMC_DEBUG", debug, 1) < 0 ? 1 : -1;
}

static int find_library(char path[PATH_MAX])
{
	static const char *const places[] = { LIBRARY, "../lib/openism/" LIBRARY,
		                              OPENISM_PRELOAD_FROM_BIN "/" LIBRARY,
		                              OPENISM_PRELOAD_DIR "/" LIBRARY, NULL };

	if (tool_find(places, R_OK, path) < 0) {
		fputs("smc_run: Error: " LIBRARY " not found beside smc_run or in its library "
		      "folder\n",
		      stderr);
		return -1;
	}
	return 0;
}

/* Is @item one of @list's items, which any character of @separators splits? */
static bool is_listed(const char *list, const char *item, const char *separators)
{
	size_t len = strlen(item);

	while (*list) {
		size_t n = strcspn(list, separators);

		if (n == len && memcmp(list, item, len) == 0)
			return true;
		list += n;
		list += strspn(list, separators);
	}
	return false;
}

/* Append @item to the environment's list, once and without an empty item. */
static int append(const char *variable, const char *item, const char *separators)
{
	const char *old = getenv(variable);
	char *list;
	int r;

	if (!old || !*old)
		return setenv(variable, item, 1);
	if (is_listed(old, item, separators))
		return 0;
	if (asprintf(&list, "%s:%s", old, item) < 0)
		return -1;
	r = setenv(variable, list, 1);
	free(list);
	return r;
}

/*
 * LD_PRELOAD is split at blanks and cannot quote them, the search path is not.
 * So a library below a folder with a blank in its name goes by its bare name,
 * and its folder into the search path.
 */
static int set_preload(char *path)
{
	char *slash = strrchr(path, '/');

	if (strpbrk(path, ":;")) {
		errno = EINVAL;
		return -1;
	}
	if (!strchr(path, ' '))
		return append("LD_PRELOAD", path, " :");
	*slash = '\0';
	if (append("LD_LIBRARY_PATH", path, ":;") < 0)
		return -1;
	*slash = '/';
	return append("LD_PRELOAD", LIBRARY, " :");
}

int main(int argc, char **argv)
{
	char library[PATH_MAX], why[200];
	struct task task = { NULL, false };
	int r = parse_options(argc, argv, &task);

	if (r >= 0)
		return tool_finish("smc_run", r);
	if (task.unit && !task.enable)
		return tool_finish("smc_run", run_unit_disable(task.unit));
	if (find_library(library) < 0)
		return 1;
	if (task.unit)
		return tool_finish("smc_run", run_unit_enable(task.unit, library));
	if (ismd_ensure(why, sizeof(why)) < 0)
		fprintf(stderr, "smc_run: Warning: %s; running on TCP\n", why);
	if (set_preload(library) < 0) {
		fprintf(stderr, "smc_run: Error: cannot preload '%s': %s\n", library,
		        strerror(errno));
		return 1;
	}
	execvp(argv[optind], argv + optind);
	r = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
	fprintf(stderr, "smc_run: %s: %s\n", argv[optind], strerror(errno));
	return r;
}
