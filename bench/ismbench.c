/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ismbench: latency and throughput of one connection between two processes.
 *
 * It knows sockets and nothing of openism, so `smc_run ismbench` measures openism
 * with a program like any other; the report of the path it then adds comes from
 * the library by name, if it is there. By default it forks its own server before
 * any socket exists; --server and --client make two programs of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link.h"
#include "load.h"

struct options {
	enum transport transport;
	struct load load;
	bool json, server, client;
	int client_core, server_core; /* the n-th core that we may use; -1: any */
	uint16_t port;
};

static const char *const transport_names[] = { "tcp", "unix", "ring" };
static const char *const mode_names[] = { "pingpong", "stream" };

static const char usage[] =
	"usage: ismbench [OPTION]...\n"
	"Measure one connection between two processes on this machine.\n"
	"\n"
	"  -t, --tcp             TCP over 127.0.0.1 (default)\n"
	"  -u, --unix            a UNIX stream socket\n"
	"  -r, --ring            a bare ring in shared memory, both sides spinning: the limit\n"
	"  -p, --pingpong        round trips (default)\n"
	"  -s, --stream          one direction, as fast as it goes\n"
	"  -b, --size BYTES      message size, 1 to 16777216 (default 64)\n"
	"  -d, --seconds N       measured time (default 1)\n"
	"  -w, --warmup N        time before that, not counted (default 0.1)\n"
	"  -P, --pin WHERE       apart: client and server on a core of their own;\n"
	"                        together: both on one; free (default): as it comes\n"
	"  -S, --server PORT     only serve one TCP connection on 127.0.0.1 (0: any port)\n"
	"  -C, --client PORT     only be the client of such a server\n"
	"  -H, --host ADDRESS    with -S or -C: another IPv4 address than 127.0.0.1\n"
	"  -j, --json            one line of JSON\n"
	"  -h, --help            this text\n"
	"\n"
	"Under smc_run the TCP load runs over shared memory; the result then says so.\n";

static const struct option long_options[] = {
	{ "tcp", no_argument, NULL, 't' },
	{ "unix", no_argument, NULL, 'u' },
	{ "ring", no_argument, NULL, 'r' },
	{ "pingpong", no_argument, NULL, 'p' },
	{ "stream", no_argument, NULL, 's' },
	{ "size", required_argument, NULL, 'b' },
	{ "seconds", required_argument, NULL, 'd' },
	{ "warmup", required_argument, NULL, 'w' },
	{ "pin", required_argument, NULL, 'P' },
	{ "server", required_argument, NULL, 'S' },
	{ "client", required_argument, NULL, 'C' },
	{ "json", no_argument, NULL, 'j' },
	{ "host", required_argument, NULL, 'H' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void die(const char *what, int error)
{
	fprintf(stderr, "ismbench: %s: %s\n", what, strerror(error));
	exit(1);
}

static double number(const char *text, const char *what, double min, double max)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= min && v <= max)) {
		fprintf(stderr, "ismbench: bad %s: %s\n", what, text);
		exit(2);
	}
	return v;
}

static void place(struct options *o, const char *where)
{
	if (strcmp(where, "apart") != 0 && strcmp(where, "together") != 0 &&
	    strcmp(where, "free") != 0) {
		fprintf(stderr, "ismbench: bad place: %s\n", where);
		exit(2);
	}
	o->client_core = where[0] == 'f' ? -1 : 0;
	o->server_core = where[0] == 'f' ? -1 : where[0] == 'a';
}

static void parse(struct options *o, int argc, char **argv)
{
	int c;

	place(o, "free");
	o->load = (struct load){ LOAD_PINGPONG, 64, 100000000, 1000000000 };
	while ((c = getopt_long(argc, argv, "turpsb:d:w:P:S:C:jhH:", long_options, NULL)) != -1) {
		switch (c) {
		case 't':
			o->transport = TRANSPORT_TCP;
			break;
		case 'u':
			o->transport = TRANSPORT_UNIX;
			break;
		case 'r':
			o->transport = TRANSPORT_RING;
			break;
		case 'p':
			o->load.mode = LOAD_PINGPONG;
			break;
		case 's':
			o->load.mode = LOAD_STREAM;
			break;
		case 'b':
			o->load.size = (uint32_t)number(optarg, "size", 1, LOAD_MAX_SIZE);
			break;
		case 'd':
			o->load.run_ns = (uint64_t)(1e9 * number(optarg, "seconds", 0.001, 3600));
			break;
		case 'w':
			o->load.warmup_ns = (uint64_t)(1e9 * number(optarg, "warmup", 0, 3600));
			break;
		case 'P':
			place(o, optarg);
			break;
		case 'S':
			o->server = true;
			o->port = (uint16_t)number(optarg, "port", 0, 65535);
			break;
		case 'C':
			o->client = true;
			o->port = (uint16_t)number(optarg, "port", 1, 65535);
			break;
		case 'H':
			if (link_set_host(optarg))
				break;
			fprintf(stderr, "ismbench: host: \"%s\" is no IPv4 address\n", optarg);
			exit(2);
		case 'j':
			o->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			exit(2);
		}
	}
	if (optind < argc || (o->server && o->client) ||
	    ((o->server || o->client) && o->transport != TRANSPORT_TCP)) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* Stay on the @which-th core that we may use, counted around; -1: on any. Done by
 * the program itself, after its libraries have seen how many cores there are. */
static void pin_to(int which)
{
	cpu_set_t all, one;

	if (which < 0)
		return;
	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		die("sched_getaffinity", errno);
	which %= CPU_COUNT(&all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || which-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) < 0)
			die("sched_setaffinity", errno);
		return;
	}
}

static void serve(const struct options *o, struct ring *rings, int port_pipe)
{
	struct link l;
	int r;

	pin_to(o->server_core);
	r = link_serve(&l, o->transport, rings, o->port, port_pipe);
	if (r < 0)
		die("serve", -r);
	r = load_server(&l);
	if (r < 0)
		die("server", -r);
	if (l.fd >= 0)
		close(l.fd);
}

static pid_t fork_server(const struct options *o, struct ring *rings, uint16_t *port)
{
	int p[2];
	pid_t parent = getpid(), pid;

	if (pipe(p) < 0)
		die("pipe", errno);
	pid = fork();
	if (pid < 0)
		die("fork", errno);
	if (pid == 0) {
		/* A client that was killed must not leave a server behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(p[0]);
		serve(o, rings, p[1]);
		exit(0);
	}
	close(p[1]);
	if (read(p[0], port, sizeof(*port)) != (ssize_t)sizeof(*port))
		exit(1); /* the server has said why */
	close(p[0]);
	return pid;
}

static void print(const struct options *o, const struct load_result *res,
                  const struct path_report *path)
{
	const struct hist *h = &res->rtt;
	double seconds = (double)res->ns / 1e9;
	double mb_per_s = seconds > 0 ? (double)res->bytes / 1e6 / seconds : 0;
	double msg_per_s = seconds > 0 ? (double)res->messages / seconds : 0;
	bool pingpong = o->load.mode == LOAD_PINGPONG;

	if (!o->json) {
		printf("%s %s %u bytes: ", transport_names[o->transport], mode_names[o->load.mode],
		       o->load.size);
		if (pingpong)
			printf("round trip median %.2f us, p99 %.2f us, p99.9 %.2f us",
			       (double)hist_percentile(h, 50) / 1e3,
			       (double)hist_percentile(h, 99) / 1e3,
			       (double)hist_percentile(h, 99.9) / 1e3);
		else
			printf("%.0f MB/s, %.0f messages/s", mb_per_s, msg_per_s);
		if (strcmp(path->mode, "none") != 0)
			printf(" (%s, %llu bytes by shared memory)", path->mode,
			       (unsigned long long)path->smc_bytes);
		puts("");
		return;
	}
	printf("{\"transport\": \"%s\", \"load\": \"%s\", \"size\": %u, \"seconds\": %.6f, "
	       "\"messages\": %llu, \"mb_per_s\": %.3f, \"msg_per_s\": %.1f",
	       transport_names[o->transport], mode_names[o->load.mode], o->load.size, seconds,
	       (unsigned long long)res->messages, mb_per_s, msg_per_s);
	if (pingpong)
		printf(", \"rtt_ns\": {\"min\": %llu, \"p50\": %llu, \"p99\": %llu, "
		       "\"p99.9\": %llu, \"max\": %llu, \"mean\": %.1f}",
		       (unsigned long long)h->min, (unsigned long long)hist_percentile(h, 50),
		       (unsigned long long)hist_percentile(h, 99),
		       (unsigned long long)hist_percentile(h, 99.9), (unsigned long long)h->max,
		       hist_mean(h));
	printf(", \"path\": {\"mode\": \"%s\", \"reason\": \"0x%08x\", \"smc_bytes\": %llu, "
	       "\"tcp_bytes\": %llu}}\n",
	       path->mode, path->reason, (unsigned long long)path->smc_bytes,
	       (unsigned long long)path->tcp_bytes);
}

static int wait_for(pid_t server)
{
	int status;

	if (server > 0 && (waitpid(server, &status, 0) < 0 || status != 0)) {
		fputs("ismbench: the server failed\n", stderr);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct load_result res;
	static struct options o;
	struct path_report path;
	struct ring *rings = NULL;
	struct link l;
	pid_t server = 0;
	int r;

	parse(&o, argc, argv);
	if (o.transport == TRANSPORT_RING) {
		rings = link_new_rings();
		if (!rings)
			die("rings", ENOMEM);
	}
	if (o.server) {
		serve(&o, NULL, -1);
		return 0;
	}
	if (!o.client)
		server = fork_server(&o, rings, &o.port);
	pin_to(o.client_core);
	r = link_connect(&l, o.transport, rings, o.port, server);
	if (r < 0)
		die("connect", -r);
	r = load_client(&l, &o.load, &res);
	if (r < 0)
		die("client", -r);
	link_path(&l, &path);
	if (l.fd >= 0)
		close(l.fd);
	if (wait_for(server))
		return 1;
	print(&o, &res, &path);
	return 0;
}
