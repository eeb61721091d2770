/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live test: a client under smc_run, and ismd's word on what became of its
 * connection. Nothing is guessed from settings.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fabric/reason.h"
#include "tools/chk.h"
#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/reason_text.h"
#include "tools/ss_row.h"
#include "tools/tool_paths.h"

enum {
	TEST_LIMIT_MS = 10000,
	POLL_MS = 20,
	STABLE_MS = 300,      /* a match needs a few ms: TCP must last to count */
	LATE_MS = 5000,       /* for a server that has not accepted yet */
	NO_ROW_MS = 1000,     /* connected, and ismd has never heard of it */
	ECHO_WAIT_MS = 500,   /* the echo is a bonus */
	SECOND_WAIT_MS = 5000 /* but once it began it has to go on */
};

enum verdict { UNDECIDED, NO_CONNECTION, ON_SMCD, ON_TCP };

struct test {
	const struct chk_target *target;
	bool debug;
	pid_t child;
	int control;
	bool hung_up;
	struct chk_report connected, echo; /* event 0 = not reported yet */
	bool answered;                     /* the server has sent something */
	long connected_ms, changed_ms, answered_ms;
	bool announced, no_daemon;
	uint32_t reason, peer_reason;
	char laddr[INET6_ADDRSTRLEN], raddr[INET6_ADDRSTRLEN]; /* in ismd's spelling */
	char hint[CHK_HINT_MAX];
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = 1;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

/* In the child: become "smc_run -- smc_chk --echo-client ...". */
static void exec_client(const struct chk_target *target, const char *runner, const char *self,
                        int control)
{
	const char *argv[6 + CHK_MAX_ADDRESSES + 1];
	char control_text[16], port_text[16];
	unsigned n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fcntl(control, F_SETFD, 0);
	snprintf(control_text, sizeof(control_text), "%d", control);
	snprintf(port_text, sizeof(port_text), "%u", target->port);
	argv[n++] = runner;
	argv[n++] = "--";
	argv[n++] = self;
	argv[n++] = CHK_CLIENT_MODE;
	argv[n++] = control_text;
	argv[n++] = port_text;
	for (unsigned i = 0; i < target->count; i++)
		argv[n++] = target->address[i];
	argv[n] = NULL;
	execv(runner, (char *const *)argv);
	_exit(127);
}

static int start_client(struct test *t)
{
	static const char *const places[] = { "smc_run", NULL };
	char runner[PATH_MAX], self[PATH_MAX];
	int pair[2];

	if (tool_find(places, X_OK, runner) < 0 || tool_self(self) < 0) {
		puts("Error: smc_run not found beside smc_chk");
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		printf("Error: %s\n", strerror(errno));
		return -1;
	}
	fflush(stdout);
	t->child = fork();
	if (t->child == 0)
		exec_client(t->target, runner, self, pair[1]);
	close(pair[1]);
	t->control = pair[0];
	if (t->child > 0)
		return 0;
	printf("Error: %s\n", strerror(errno));
	close(pair[0]);
	return -1;
}

static void announce(struct test *t, unsigned address)
{
	if (t->announced)
		return;
	t->announced = true;
	printf("Test with target IP %s and port %u\n", t->target->address[address],
	       t->target->port);
	puts("  Live test (SMC-D and SMC-R)");
	fflush(stdout);
}

static void take_answer(struct test *t)
{
	if (!t->answered)
		t->answered_ms = now_ms();
	t->answered = true;
}

/* Wait up to @ms for news of the client and take them. */
static void listen_to_client(struct test *t, int ms)
{
	struct pollfd p = { .fd = t->hung_up ? -1 : t->control, .events = POLLIN };
	struct chk_report report;
	ssize_t n;

	if (poll(&p, 1, ms) <= 0)
		return;
	n = recv(t->control, &report, sizeof(report), MSG_DONTWAIT);
	if (n != (ssize_t)sizeof(report)) {
		t->hung_up = true;
		return;
	}
	if (report.address >= t->target->count)
		return;
	switch (report.event) {
	case CHK_CONNECTED:
		t->connected_ms = t->changed_ms = now_ms();
		t->connected = report;
		announce(t, report.address);
		if (t->debug)
			printf("[DEBUG] client %d connected from port %u\n", (int)t->child,
			       report.lport);
		break;
	case CHK_NO_CONNECTION:
		t->connected = report;
		break;
	case CHK_ANSWERED:
		take_answer(t);
		break;
	default:
		t->echo = report;
		/* also the end of the connection, and a service that is no echo */
		if (report.event == CHK_ECHO || !report.error)
			take_answer(t);
	}
}

/* Copies the client's row; its strings are gone when we return. */
static bool find_row(struct test *t, struct ss_row *row, struct ismd_error *err)
{
	struct json_object *answer = ismd_get("sockets", ".", 0, err);
	struct json_object *list = answer ? jget_array(answer, "sockets") : NULL;
	bool found = false;

	for (size_t i = 0; !found && i < jget_len(list); i++) {
		ss_row_parse(json_object_array_get_idx(list, i), row);
		found = row->lport == t->connected.lport && row->rport == t->target->port &&
		        row->state != SS_LISTEN;
		if (!found)
			continue;
		snprintf(t->laddr, sizeof(t->laddr), "%s", row->laddr);
		snprintf(t->raddr, sizeof(t->raddr), "%s", row->raddr);
	}
	json_object_put(answer);
	return found;
}

/*
 * The code that stands there now is final when it has lasted. "No mate" means
 * little as long as the server may still be about to accept: it has not sent a
 * byte, so whether it would claim the connection cannot be known.
 */
static bool is_final(const struct test *t, long now)
{
	long since = t->changed_ms;

	if (t->reason == FAB_REASON_PEERNOSMC && !t->answered)
		return now - t->connected_ms >= LATE_MS;
	if (t->reason == FAB_REASON_PEERNOSMC && t->answered_ms > since)
		since = t->answered_ms;
	return t->reason && now - since >= STABLE_MS;
}

/* One look at ismd: is the matter settled? */
static enum verdict judge(struct test *t)
{
	struct ismd_error err;
	struct ss_row row;
	long now = now_ms();

	if (!find_row(t, &row, &err)) {
		if (now - t->connected_ms < (err.kind == ISMD_ABSENT ? STABLE_MS : NO_ROW_MS))
			return UNDECIDED;
		if (t->debug)
			printf("[DEBUG] %s\n", err.kind == ISMD_ANSWERED
			                               ? "ismd does not know the connection"
			                               : err.text);
		t->reason = (uint32_t)FAB_REASON_OI_NODAEMON;
		t->no_daemon = err.kind != ISMD_ANSWERED;
		return ON_TCP;
	}
	if (row.mode == SS_MODE_SMCD)
		return ON_SMCD;
	if (row.reason != t->reason || row.peer_reason != t->peer_reason) {
		t->changed_ms = now;
		t->reason = row.reason;
		t->peer_reason = row.peer_reason;
	}
	return is_final(t, now) ? ON_TCP : UNDECIDED;
}

static enum verdict run(struct test *t)
{
	long end = now_ms() + TEST_LIMIT_MS;
	enum verdict v = UNDECIDED;

	while (v == UNDECIDED && !interrupted && now_ms() < end) {
		listen_to_client(t, POLL_MS);
		if (t->connected.event == CHK_CONNECTED)
			v = judge(t);
		else if (t->connected.event == CHK_NO_CONNECTION || t->hung_up)
			v = NO_CONNECTION;
	}
	if (v != UNDECIDED)
		return v;
	return t->reason ? ON_TCP : NO_CONNECTION;
}

static void await_echo(struct test *t)
{
	long start = now_ms();

	while (!t->echo.event && !t->hung_up && !interrupted &&
	       now_ms() - start < (t->answered ? SECOND_WAIT_MS : ECHO_WAIT_MS))
		listen_to_client(t, POLL_MS);
}

static void stop_client(struct test *t)
{
	close(t->control);
	kill(t->child, SIGKILL);
	while (waitpid(t->child, NULL, 0) < 0 && errno == EINTR)
		;
}

static void print_reason(const char *side, uint32_t code)
{
	const char *text = reason_text(code);

	printf("          %s:        0x%08x   %s\n", side, code,
	       text ? text : "(Unknown error code)");
}

/* While the connection lives: ismd forgets it with its end. */
static void ask_hint(struct test *t)
{
	struct chk_fallback f = {
		.laddr = t->laddr,
		.raddr = t->raddr,
		.lport = t->connected.lport,
		.rport = t->target->port,
		.reason = t->reason,
		.peer_reason = t->peer_reason,
		.no_daemon = t->no_daemon,
	};

	chk_hint(&f, t->hint);
}

static void print_debug(const struct test *t)
{
	const struct chk_report *e = &t->echo;

	if (t->connected.event == CHK_NO_CONNECTION)
		printf("[DEBUG] connect: %s\n", strerror(t->connected.error));
	if (e->event == CHK_ECHO && e->has_stat)
		printf("[DEBUG] echo of %u bytes: %llu sent and %llu received through shared "
		       "memory\n",
		       e->bytes, (unsigned long long)e->ring_tx, (unsigned long long)e->ring_rx);
	else if (e->event == CHK_ECHO)
		printf("[DEBUG] echo of %u bytes: path unknown, library not loaded\n", e->bytes);
	else if (e->event == CHK_NO_ECHO)
		printf("[DEBUG] no echo: %s\n",
		       e->error ? strerror(e->error) : "the service answers something else");
	else if (t->connected.event == CHK_CONNECTED)
		puts("[DEBUG] no echo yet");
}

static int print_verdict(const struct test *t, enum verdict v)
{
	/* what began and did not come to its end is lost, too */
	bool differs = t->echo.event ? t->echo.event == CHK_ECHO && t->echo.differs : t->answered;

	if (t->debug)
		print_debug(t);
	if (v == ON_SMCD && !differs) {
		puts("     Success, using SMC-D\n");
		return 0;
	}
	if (v == ON_SMCD) {
		puts("     Failed, the connection lost or changed what was sent");
	} else if (v == NO_CONNECTION) {
		puts("     Failed, no connection");
	} else {
		puts("     Failed  (TCP fallback), reasons:");
		print_reason("Client", t->reason);
		if (t->peer_reason)
			print_reason("Server", t->peer_reason);
		if (*t->hint)
			printf("          Hint:          %s\n", t->hint);
	}
	putchar('\n');
	return 1;
}

int chk_live(const struct chk_target *target, bool debug)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct test t = { .target = target, .debug = debug };
	enum verdict v;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (target->count == 1)
		announce(&t, 0);
	if (start_client(&t) < 0)
		return 1;
	v = run(&t);
	if (v == ON_SMCD)
		await_echo(&t);
	if (v == ON_TCP)
		ask_hint(&t);
	stop_client(&t);
	if (interrupted)
		return 1;
	announce(&t, 0);
	return print_verdict(&t, v);
}
