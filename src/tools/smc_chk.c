/* SPDX-License-Identifier: Apache-2.0 */
/* smc_chk: does a connection to that host use SMC, and if not, why? */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/chk.h"
#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/tool_out.h"

/* An IPv6 server has always stood one port behind an IPv4 one. */
enum { DEFAULT_PORT = 37373, DEFAULT_PORT6 = 37374, USAGE = 2 };

struct options {
	char mode; /* C, S, i, or 0 */
	const char *target, *interface;
	unsigned port; /* 0 = default */
	bool v6, debug;
};

static void help(void)
{
	fputs("Usage: smc_chk [OPTIONS] -C <IP>\n"
	      "       smc_chk [OPTIONS] -S\n"
	      "       smc_chk -i <iface>\n\n"
	      "Find out with a real connection whether SMC is used, or why it is not.\n\n"
	      "  -C, --connect HOST   connect to HOST and report\n"
	      "  -S, --server         serve such connections until interrupted\n"
	      "  -i, --pnetid IFACE   print the interface's PNET id\n"
	      "  -p, --port PORT      port to use (default 37373, with -6 37374)\n"
	      "  -6, --ipv6           use IPv6\n"
	      "  -d, --debug          tell what is done\n"
	      "  -h, --help           this text\n"
	      "  -v, --version        version\n",
	      stdout);
}

static const char *mode_name(char mode)
{
	return mode == 'C' ? "-C/--connect" : mode == 'S' ? "-S/--server" : "-i/--pnetid";
}

static int set_mode(struct options *o, char mode)
{
	if (o->mode && o->mode != mode) {
		printf("Error: Cannot combine options '%s' and '%s'\n", mode_name(o->mode),
		       mode_name(mode));
		return 1;
	}
	o->mode = mode;
	return -1;
}

static int set_port(struct options *o, const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (*arg < '0' || *arg > '9' || *end || n < 1 || n > 65535) {
		printf("Error: Invalid port '%s'\n", arg);
		return 1;
	}
	o->port = (unsigned)n;
	return -1;
}

static int take_option(int c, struct options *o)
{
	switch (c) {
	case 'C':
		o->target = optarg;
		return set_mode(o, 'C');
	case 'S':
		return set_mode(o, 'S');
	case 'i':
		o->interface = optarg;
		return set_mode(o, 'i');
	case 'p':
		return set_port(o, optarg);
	case '6':
		o->v6 = true;
		return -1;
	case 'd':
		o->debug = true;
		return -1;
	case 'h':
		help();
		return 0;
	case 'v':
		tool_version("smc_chk");
		return 0;
	default:
		return USAGE;
	}
}

/* Returns the status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "connect", required_argument, NULL, 'C' },
		{ "server", no_argument, NULL, 'S' },
		{ "pnetid", required_argument, NULL, 'i' },
		{ "port", required_argument, NULL, 'p' },
		{ "ipv6", no_argument, NULL, '6' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "C:Si:p:6dhv", longs, NULL)) != -1) {
		int r = take_option(c, o);

		if (r >= 0)
			return r;
	}
	if (o->mode == 'i' && optind < argc) {
		puts("Error: Option -i/--pnetid takes no extra targets");
		return 1;
	}
	if (!o->port)
		o->port = o->v6 ? DEFAULT_PORT6 : DEFAULT_PORT;
	if (o->mode)
		return -1;
	help();
	return 0;
}

/* smc_pnet's entry for the interface. A daemon that keeps no table has none. */
static bool print_table_entry(const char *interface)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get("pnet", ".", ISMD_START, &err);
	struct json_object *list = answer ? jget_array(answer, "pnet") : NULL;
	bool found = false;

	for (size_t i = 0; i < jget_len(list) && !found; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		found = strcmp(jget_str(entry, "interface"), interface) == 0;
		if (found)
			printf("%s*\n", jget_str(entry, "pnetid"));
	}
	json_object_put(answer);
	return found;
}

/*
 * An ISM function serves every interface of its LPAR, so its network is theirs.
 * Where functions are in different networks, none of them is the interface's.
 */
static void print_functions_id(struct json_object *list)
{
	const char *id = "";

	for (size_t i = 0; i < jget_len(list); i++) {
		const char *other = jget_str(json_object_array_get_idx(list, i), "pnetid");

		if (i && strcmp(id, other) != 0)
			return;
		id = other;
	}
	if (*id)
		puts(id);
}

static int print_pnetid(const char *interface)
{
	struct json_object *answer;
	struct ismd_error err;

	if (!if_nametoindex(interface)) {
		printf("Error: Interface %s does not exist\n", interface);
		return 1;
	}
	if (print_table_entry(interface))
		return 0;
	answer = ismd_get("functions", ".", ISMD_START, &err);
	if (!answer) {
		printf("Error: %s\n", err.text);
		return 1;
	}
	print_functions_id(jget_array(answer, "functions"));
	json_object_put(answer);
	return 0;
}

static int resolve(const char *host, bool v6, struct addrinfo **list)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		                  .ai_family = v6 ? AF_INET6 : AF_UNSPEC };
	int r = getaddrinfo(host, NULL, &hints, list);

	if (r && v6) {
		hints.ai_family = AF_UNSPEC;
		r = getaddrinfo(host, NULL, &hints, list);
	}
	return r;
}

/* Asks the routing table; sends nothing. */
static bool has_route(const struct addrinfo *ai)
{
	int sock = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage sa;
	bool ok;

	if (sock < 0)
		return false;
	memcpy(&sa, ai->ai_addr, ai->ai_addrlen);
	((struct sockaddr_in *)&sa)->sin_port = htons(9); /* same place in IPv6's */
	ok = connect(sock, (struct sockaddr *)&sa, ai->ai_addrlen) == 0;
	close(sock);
	return ok;
}

static int find_target(const struct options *o, struct chk_target *target)
{
	struct addrinfo *list;

	target->host = o->target;
	target->port = o->port;
	if (resolve(o->target, o->v6, &list)) {
		printf("Error: Unknown destination '%s'\n", o->target);
		return 1;
	}
	for (struct addrinfo *ai = list; ai && target->count < CHK_MAX_ADDRESSES; ai = ai->ai_next)
		if (has_route(ai) &&
		    getnameinfo(ai->ai_addr, ai->ai_addrlen, target->address[target->count],
		                sizeof(target->address[0]), NULL, 0, NI_NUMERICHOST) == 0)
			target->count++;
	freeaddrinfo(list);
	if (target->count)
		return 0;
	printf("Error: No route to host: %s\n", o->target);
	return 1;
}

static int run(const struct options *o)
{
	struct chk_target target = { 0 };
	switch (o->mode) {
	case 'i':
		return print_pnetid(o->interface);
	case 'S':
		return chk_serve(o->port, o->v6, o->debug);
	default:
		if (find_target(o, &target))
			return 1;
		return chk_live(&target, o->debug);
	}
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int r;

	if (argc > 1 && strcmp(argv[1], CHK_CLIENT_MODE) == 0)
		return chk_echo_client(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], CHK_SERVER_MODE) == 0)
		return chk_echo_server(argc - 2, argv + 2);
	r = parse_options(argc, argv, &o);
	return tool_finish("smc_chk", r >= 0 ? r : run(&o));
}
