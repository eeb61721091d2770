/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smc_chk: its verdicts byte by byte. The client, the server and the connection
 * are real, ismd and the library are not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/test_tool.h"

/* A folder with the two tools and a stand-in for the library. */
static char home[96], smc_chk[160];
static char port_text[16];
static int listener;
static pid_t server;

static void shell(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static int setup(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);

	world_begin();
	snprintf(home, sizeof(home), "%s.home", world_dir());
	snprintf(smc_chk, sizeof(smc_chk), "%s/smc_chk", home);
	shell("mkdir '%s' && cp '%s' '%s'", home, beside("smc_run"), home);
	shell("cp '%s' '%s'", beside("smc_chk"), home);
	shell("cp '%s' '%s/libsmc-preload.so'", beside("libtest_preload_stub.so"), home);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 4), 0);
	getsockname(listener, (struct sockaddr *)&sa, &len);
	fake_peer_port = ntohs(sa.sin_port);
	snprintf(port_text, sizeof(port_text), "%u", fake_peer_port);
	return 0;
}

static int teardown(void **state)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
		server = 0;
	}
	close(listener);
	shell("rm -r '%s'", home);
	world_end();
	return 0;
}

/* One connection; the first line goes back with twist0 added to each byte, what
 * follows with twist1. */
static void serve(char twist0, char twist1)
{
	char buf[256], twist = twist0;
	ssize_t n;
	int sock;

	fflush(NULL);
	server = fork();
	if (server)
		return;
	sock = accept(listener, NULL, NULL);
	while ((n = read(sock, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			buf[i] = (char)(buf[i] + twist);
		if (write(sock, buf, (size_t)n) != n)
			break;
		twist = twist1;
	}
	_exit(0);
}

static const struct outcome *run(const char *const args[])
{
	char *argv[16] = { smc_chk };

	for (int i = 0; args[i]; i++)
		argv[i + 1] = (char *)args[i];
	return run_program(smc_chk, argv);
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static void check(const struct outcome *o, int status, const char *out)
{
	assert_string_equal(o->err, "");
	assert_string_equal(o->out, out);
	assert_int_equal(o->status, status);
}

static const char *verdict(const char *lines)
{
	static char text[512];

	snprintf(text, sizeof(text),
	         "Test with target IP 127.0.0.1 and port %s\n"
	         "  Live test (SMC-D and SMC-R)\n%s\n",
	         port_text, lines);
	return text;
}

static void answer_row(const char *rest)
{
	static char text[1024];
	static struct canned answers[] = { { "sockets", text }, { NULL, NULL } };

	snprintf(text, sizeof(text),
	         "{\"sockets\":["
	         "{\"state\":10,\"lport\":%s,\"rport\":0,\"mode\":\"\"},"
	         "{\"state\":1,\"lport\":@PORT,\"rport\":%s,%s}]}",
	         port_text, port_text, rest);
	fake_start(answers, FAKE_ANSWERS);
}

static void test_usage(void **state)
{
	check(RUN("-C", "h", "-S"), 1,
	      "Error: Cannot combine options '-C/--connect' and '-S/--server'\n");
	check(RUN("--server", "--connect=h"), 1,
	      "Error: Cannot combine options '-S/--server' and '-C/--connect'\n");
	check(RUN("-C", "no such host"), 1, "Error: Unknown destination 'no such host'\n");
	check(RUN("-p", "65536", "-S"), 1, "Error: Invalid port '65536'\n");
	check(RUN("-i", "no-such-if"), 1, "Error: Interface no-such-if does not exist\n");
	check(RUN("-v"), 0, "smc_chk utility, openism-" OPENISM_VERSION "\n");
	assert_int_equal(RUN("-x")->status, 2);
	assert_int_equal(RUN("-d")->status, 0);
}

static void test_pnetid(void **state)
{
	static const struct canned answers[] = {
		{ "functions", "{\"functions\":[{\"fid\":1,\"pnetid\":\"OPENISM\"}]}" },
		{ NULL, NULL },
	};

	fake_start(answers, FAKE_ANSWERS);
	check(RUN("-i", "lo"), 0, "OPENISM\n");
}

/* smc_pnet's table comes first; functions that disagree say nothing. */
static void test_pnetid_table(void **state)
{
	static const struct canned answers[] = {
		{ "pnet",
		  "{\"pnet\":[{\"pnetid\":\"A\",\"interface\":\"eth9\",\"fid\":0},"
		  "{\"pnetid\":\"NET1\",\"interface\":\"lo\",\"fid\":0}]}",
		  "{\"op\":\"pnet\",\"lpar\":\"\"}" },
		{ NULL, NULL },
	};

	fake_start(answers, FAKE_ANSWERS);
	check(RUN("-i", "lo"), 0, "NET1*\n");
}

static void test_pnetid_unclear(void **state)
{
	static const struct canned answers[] = {
		{ "pnet", "{\"pnet\":[]}" },
		{ "functions", "{\"functions\":[{\"pnetid\":\"NET1\"},{\"pnetid\":\"NET2\"}]}" },
		{ NULL, NULL },
	};

	fake_start(answers, FAKE_ANSWERS);
	check(RUN("-i", "lo"), 0, "");
}

static void test_success(void **state)
{
	answer_row("\"mode\":\"SMCD\",\"reason\":0");
	serve(0, 0);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 0, verdict("     Success, using SMC-D\n"));
}

static void test_wrong_echo(void **state)
{
	answer_row("\"mode\":\"SMCD\",\"reason\":0");
	serve(0, 1);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict("     Failed, the connection lost or changed what was sent\n"));
}

/* A service that answers, but not with an echo. */
static void test_other_service(void **state)
{
	answer_row("\"mode\":\"SMCD\",\"reason\":0");
	serve(1, 0);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 0, verdict("     Success, using SMC-D\n"));
}

/* Nobody accepts, nobody echoes: the mode counts, and nothing hangs. */
static void test_no_echo(void **state)
{
	answer_row("\"mode\":\"SMCD\",\"reason\":0");
	check(RUN("-C", "127.0.0.1", "-p", port_text), 0, verdict("     Success, using SMC-D\n"));
}

#define NO_MATE                                   \
	"     Failed  (TCP fallback), reasons:\n" \
	"          Client:        0x03010000   peer does not support SMC\n"

/* A daemon that explains nothing: the code alone says something. */
static void test_fallback(void **state)
{
	struct timespec start, end;

	answer_row("\"mode\":\"TCP\",\"reason\":50397184");
	serve(0, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict(NO_MATE "          Hint:          the other end is not known: start it "
	                      "under smc_run, on this host\n"));
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* the server has answered: nobody to wait for */
	assert_true(end.tv_sec - start.tv_sec < 4);
}

/* Nobody accepts yet: SMC may still come, and does. */
static void test_late_server(void **state)
{
	static char text[512];
	static const struct canned answers[] = { { "sockets", text }, { NULL, NULL } };

	snprintf(text, sizeof(text),
	         "{\"sockets\":[{\"state\":1,\"lport\":@PORT,\"rport\":%s,\"mode\":\"@MODE\","
	         "\"reason\":50397184}]}",
	         port_text);
	fake_mode_late_ms = 1500;
	fake_start(answers, FAKE_ANSWERS);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 0, verdict("     Success, using SMC-D\n"));
}

static void test_never_accepted(void **state)
{
	answer_row("\"mode\":\"TCP\",\"reason\":50397184");
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict(NO_MATE "          Hint:          the other end is not known: start it "
	                      "under smc_run, on this host\n"));
}

/* ismd knows better than the code. */
static void test_explained(void **state)
{
	static char sockets[512], request[256];
	static const struct canned answers[] = {
		{ "sockets", sockets },
		{ "explain", "{\"state\":\"declined\",\"hint\":\"PNET ids differ: NET1 and NET2\"}",
		  request },
		{ NULL, NULL },
	};

	snprintf(sockets, sizeof(sockets),
	         "{\"sockets\":[{\"state\":1,\"laddr\":\"127.0.0.1\",\"lport\":@PORT,"
	         "\"raddr\":\"::ffff:127.0.0.1\",\"rport\":%s,\"mode\":\"TCP\","
	         "\"reason\":50528256}]}",
	         port_text);
	snprintf(request, sizeof(request),
	         "{\"op\":\"explain\",\"lpar\":\"\",\"laddr\":\"127.0.0.1\",\"lport\":@PORT,"
	         "\"raddr\":\"::ffff:127.0.0.1\",\"rport\":%s}",
	         port_text);
	fake_start(answers, FAKE_ANSWERS);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict("     Failed  (TCP fallback), reasons:\n"
	              "          Client:        0x03030000   no SMC device found\n"
	              "          Hint:          PNET ids differ: NET1 and NET2\n"));
}

/* There is no daemon at all, and none can be started. */
static void test_no_daemon(void **state)
{
	const struct outcome *o = RUN("-C", "127.0.0.1", "-p", port_text);

	assert_string_equal(
		o->out,
		verdict("     Failed  (TCP fallback), reasons:\n"
	                "          Client:        0x0a010000   openism: no ismd when the "
	                "connection was made\n"
	                "          Hint:          no ismd: in a container mount /run/ism of the "
	                "host, on the host start ismd or run smc_run\n"));
	assert_int_equal(o->status, 1);
}

static void test_declined(void **state)
{
	answer_row("\"mode\":\"TCP\",\"reason\":83886080,\"peer_reason\":305419896");
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict("     Failed  (TCP fallback), reasons:\n"
	              "          Client:        0x05000000   peer declined during handshake\n"
	              "          Server:        0x12345678   (Unknown error code)\n"));
}

static void test_declined_hint(void **state)
{
	answer_row("\"mode\":\"TCP\",\"reason\":83886080,\"peer_reason\":50528264");
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict("     Failed  (TCP fallback), reasons:\n"
	              "          Client:        0x05000000   peer declined during handshake\n"
	              "          Server:        0x03030008   peer sent no UEID\n"
	              "          Hint:          at the other end: no EID in common: smcd ueid add "
	              "the same one in both LPARs\n"));
}

static void test_unknown_to_ismd(void **state)
{
	static const struct canned none[] = { { "sockets", "{\"sockets\":[]}" }, { NULL, NULL } };

	fake_start(none, FAKE_ANSWERS);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1,
	      verdict("     Failed  (TCP fallback), reasons:\n"
	              "          Client:        0x0a010000   openism: no ismd when the "
	              "connection was made\n"
	              "          Hint:          ismd runs but does not know the connection: is it "
	              "another one than the program's (LPAR, runtime directory)?\n"));
}

static void test_no_connection(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };

	close(listener); /* first: the false ismd would keep a copy open */
	listener = -1;
	fake_start(none, FAKE_ANSWERS);
	check(RUN("-C", "127.0.0.1", "-p", port_text), 1, verdict("     Failed, no connection\n"));
}

/* -S says where it is, moves on where the port is taken, and ends at SIGTERM. */
static void test_server(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };
	unsigned port = 0;
	char said[64] = "";
	int fds[2], status;

	fake_start(none, FAKE_ANSWERS);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fflush(NULL);
	server = fork();
	if (server == 0) {
		dup2(fds[1], 1);
		execl(smc_chk, smc_chk, "-S", "-p", port_text, (char *)NULL);
		_exit(125);
	}
	close(fds[1]);
	assert_true(read(fds[0], said, sizeof(said) - 1) > 0);
	close(fds[0]);
	kill(server, SIGTERM);
	waitpid(server, &status, 0);
	server = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_int_equal(sscanf(said, "Server started on port %u\n", &port), 1);
	assert_true(port > fake_peer_port);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_usage),         TEST(test_pnetid),         TEST(test_success),
		TEST(test_wrong_echo),    TEST(test_no_echo),        TEST(test_fallback),
		TEST(test_declined),      TEST(test_server),         TEST(test_unknown_to_ismd),
		TEST(test_no_connection), TEST(test_other_service),  TEST(test_late_server),
		TEST(test_explained),     TEST(test_no_daemon),      TEST(test_declined_hint),
		TEST(test_pnetid_table),  TEST(test_pnetid_unclear), TEST(test_never_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
