/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tools/test_tool.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "base/rundir.h"
#include "fabric/wire.h"
#include "tools/json_get.h"
#include "tools/tool_paths.h"

enum { MAX_ARGS = 32, MAX_OUTPUT = 1 << 20 };

unsigned fake_peer_port;
long fake_mode_late_ms;
static char dir[64];
static pid_t fake;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

const char *world_dir(void)
{
	return dir;
}

/* The address sanitizer wants to come first in the list of libraries; with a
 * preloaded one in front it has to be told that this is meant. */
static void tolerate_preload(void)
{
	const char *old = getenv("ASAN_OPTIONS");
	char options[512];

	if (old && strstr(old, "verify_asan_link_order"))
		return;
	snprintf(options, sizeof(options), "%s%sverify_asan_link_order=0", old ? old : "",
	         old ? ":" : "");
	setenv("ASAN_OPTIONS", options, 1);
}

void world_begin(void)
{
	tolerate_preload();
	snprintf(dir, sizeof(dir), "/tmp/openism-test-XXXXXX");
	must(mkdtemp(dir) != NULL, "mkdtemp");
	setenv("ISM_RUNTIME_DIR", dir, 1);
}

void world_end(void)
{
	char path[96];

	if (fake > 0) {
		kill(fake, SIGKILL);
		waitpid(fake, NULL, 0);
		fake = 0;
	}
	snprintf(path, sizeof(path), "%s/ismd.sock", dir);
	unlink(path);
	must(rmdir(dir) == 0, dir); /* a tool that leaves files fails here */
}

/* The kernel's list of IPv4 connections knows what the client will not tell. */
static unsigned connected_port(unsigned peer_port)
{
	unsigned lport, rport, state, found = 0;
	FILE *f = fopen("/proc/net/tcp", "r");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d: %*8x:%4x %*8x:%4x %2x", &lport, &rport, &state) == 3 &&
		    rport == peer_port && state == 1)
			found = lport;
	if (f)
		fclose(f);
	return found;
}

static const char *late_mode(void)
{
	static long first;
	struct timespec ts;
	long now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
	first = first ? first : now;
	return now - first < fake_mode_late_ms ? "TCP" : "SMCD";
}

/* @text with @mark, if it is there, replaced; in @filled, or as it is. */
static const char *replace(const char *text, const char *mark, const char *by, char filled[4096])
{
	const char *at = strstr(text, mark);

	if (!at)
		return text;
	snprintf(filled, 4096, "%.*s%s%s", (int)(at - text), text, by, at + strlen(mark));
	return filled;
}

static const char *fill_in(const char *text)
{
	static char with_port[4096], with_mode[4096];
	char port[16];

	if (strstr(text, "@PORT")) {
		snprintf(port, sizeof(port), "%u", connected_port(fake_peer_port));
		text = replace(text, "@PORT", port, with_port);
	}
	return strstr(text, "@MODE") ? replace(text, "@MODE", late_mode(), with_mode) : text;
}

static const char *find_answer(const struct canned *answers, const char *request)
{
	struct json_object *obj = json_tokener_parse(request);
	const char *found = "{\"error\":\"unknown operation\"}";

	for (; obj && answers->op; answers++)
		if (strcmp(answers->op, jget_str(obj, "op")) == 0 &&
		    (!answers->request || strcmp(fill_in(answers->request), request) == 0))
			found = answers->answer;
	json_object_put(obj);
	return found;
}

static void serve_one(int sock, const struct canned *answers, enum fake_mood mood)
{
	struct fab_msg_head head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_REPLY };
	char packet[FAB_WIRE_MAX + 1];
	int fds[FDPASS_MAX], memfd;
	const char *text;
	unsigned nfds;
	ssize_t n;

	n = fdpass_recv(sock, packet, FAB_WIRE_MAX, fds, &nfds, NULL, 0);
	if (n <= (ssize_t)sizeof(head) || mood == FAKE_HANGS_UP)
		return;
	if (mood == FAKE_SILENT)
		pause();
	if (mood == FAKE_OTHER_VERSION)
		head.version = 99;
	packet[n] = '\0';
	text = fill_in(find_answer(answers, packet + sizeof(head)));
	memfd = memfd_create("answer", MFD_CLOEXEC);
	must(write(memfd, text, strlen(text)) == (ssize_t)strlen(text), "memfd");
	fdpass_send(sock, &head, sizeof(head), &memfd, 1);
	close(memfd);
}

void fake_start(const struct canned *answers, enum fake_mood mood)
{
	struct sockaddr_un sa;
	socklen_t len;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	must(rundir_socket(dir, &sa, &len) == 0, "rundir_socket");
	must(bind(sock, (struct sockaddr *)&sa, len) == 0, "bind");
	must(listen(sock, 8) == 0, "listen");
	fflush(NULL);
	fake = fork();
	must(fake >= 0, "fork");
	while (fake == 0) {
		int client = accept(sock, NULL, NULL);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (client < 0)
			continue;
		serve_one(client, answers, mood);
		close(client);
	}
	close(sock);
}

const char *beside(const char *name)
{
	static char path[PATH_MAX];
	const char *const places[] = { name, NULL };

	if (tool_find(places, R_OK, path) < 0) {
		fprintf(stderr, "%s is not built\n", name);
		abort();
	}
	return path;
}

static void drain(int out, int err, struct outcome *o)
{
	struct pollfd p[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
	char *text[2] = { o->out, o->err };
	size_t have[2] = { 0, 0 };

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		must(poll(p, 2, 20000) > 0, "the tool hangs");
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			n = read(p[i].fd, text[i] + have[i], MAX_OUTPUT - 1 - have[i]);
			if (n <= 0)
				p[i].fd = -1;
			else
				have[i] += (size_t)n;
		}
	}
	text[0][have[0]] = '\0';
	text[1][have[1]] = '\0';
}

const struct outcome *run_program(const char *path, char *const argv[])
{
	static char out_text[MAX_OUTPUT], err_text[MAX_OUTPUT];
	static struct outcome o;
	int out[2], err[2], status;
	pid_t pid;

	o = (struct outcome){ .out = out_text, .err = err_text };
	must(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(err[1], 2);
		execv(path, argv);
		_exit(125);
	}
	close(out[1]);
	close(err[1]);
	drain(out[0], err[0], &o);
	close(out[0]);
	close(err[0]);
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	o.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return &o;
}

const struct outcome *run_tool(const char *name, ...)
{
	char *argv[MAX_ARGS] = { (char *)name };
	va_list ap;
	int n = 1;

	va_start(ap, name);
	while (n < MAX_ARGS - 1 && (argv[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	return run_program(beside(name), argv);
}
