/* SPDX-License-Identifier: Apache-2.0 */
/* smc_run: what it hands to its command, and what it says where it cannot. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/size_arg.h"
#include "tools/test_tool.h"

/* A folder with a copy of smc_run in it, and beside it what the test puts there. */
static char home[96], smc_run[160];

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

static void make_home(const char *name)
{
	world_begin();
	snprintf(home, sizeof(home), "%s.%s", world_dir(), name);
	snprintf(smc_run, sizeof(smc_run), "%s/smc_run", home);
	shell("mkdir '%s' && cp '%s' '%s'", home, beside("smc_run"), home);
}

static void add_library(void)
{
	shell("cp '%s' '%s/libsmc-preload.so'", beside("libtest_preload_stub.so"), home);
}

static void add_ismd(const char *script)
{
	shell("printf '#!/bin/sh\\n%s\\n' >'%s/ismd' && chmod +x '%s/ismd'", script, home, home);
}

static int setup(void **state)
{
	unsetenv("LD_PRELOAD");
	unsetenv("SMC_RCVBUF");
	setenv("SMC_DEBUG", "7", 1);
	make_home("home");
	return 0;
}

static int teardown(void **state)
{
	shell("rm -r '%s'", home);
	world_end();
	return 0;
}

static const struct outcome *run(const char *const args[])
{
	char *argv[16] = { smc_run };

	for (int i = 0; args[i]; i++)
		argv[i + 1] = (char *)args[i];
	return run_program(smc_run, argv);
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static void check(const struct outcome *o, int status, const char *out, const char *err)
{
	assert_string_equal(o->out, out);
	assert_string_equal(o->err, err);
	assert_int_equal(o->status, status);
}

static void test_usage(void **state)
{
	const struct outcome *o;

	o = RUN("-d");
	check(o, 1, "smc_run: Error: Missing command parameter\n", "");
	o = RUN("-x", "true");
	assert_string_equal(o->out, "smc_run: Error: Invalid option: -x\n");
	assert_int_equal(o->status, 1);
	o = RUN("-dr");
	assert_string_equal(o->out, "smc_run: Error: Invalid option: -r\n");
	assert_int_equal(o->status, 1);
	o = RUN("-r", "8|", "true");
	check(o, 1, "Error: Invalid buffer size specified: '8|'\n", "");
	o = RUN("-v");
	check(o, 0, "smc_run utility, openism-" OPENISM_VERSION "\n", "");
	o = RUN("-h");
	assert_memory_equal(o->out, "\nUsage: smc_run [ OPTIONS ] COMMAND\n", 36);
}

static void test_no_library(void **state)
{
	const struct outcome *o = RUN("echo", "not reached");

	assert_int_equal(o->status, 1);
	assert_string_equal(o->out, "");
	assert_non_null(strstr(o->err, "libsmc-preload.so not found"));
}

#define SHOW "echo $LD_PRELOAD $SMC_DEBUG $SMC_RCVBUF:$SMC_SNDBUF $STUB_LOADED"

static void test_environment(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };
	char expected[512];

	fake_start(none, FAKE_ANSWERS);
	add_library();
	snprintf(expected, sizeof(expected), "%s/libsmc-preload.so 0 : yes\n", home);
	check(RUN("sh", "-c", SHOW), 0, expected, "");
	snprintf(expected, sizeof(expected), "%s/libsmc-preload.so 1 8192:10485760 yes\n", home);
	check(RUN("-dr", "08k", "-t10M", "--", "sh", "-c", SHOW), 0, expected, "");
	/* options behind the command are the command's; so are its blanks */
	check(RUN("printf", "<%s>", "-d", "a b", ""), 0, "<-d><a b><>", "");
	/* in a command of its own it adds nothing, and a caller's value stays first */
	snprintf(expected, sizeof(expected), "%s/libsmc-preload.so 0 : yes\n", home);
	check(RUN(smc_run, "sh", "-c", SHOW), 0, expected, "");
}

static void test_old_preload(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };
	char expected[512], old[256];

	fake_start(none, FAKE_ANSWERS);
	add_library();
	snprintf(old, sizeof(old), "LD_PRELOAD=%s", beside("libtest_preload_stub.so"));
	snprintf(expected, sizeof(expected), "%s:%s/libsmc-preload.so 0 : yes\n",
	         old + strlen("LD_PRELOAD="), home);
	check(run_program("/usr/bin/env",
	                  (char *const[]){ (char *)"env", old, smc_run, (char *)"sh", (char *)"-c",
	                                   (char *)SHOW, NULL }),
	      0, expected, "");
}

static void test_exec_errors(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };

	fake_start(none, FAKE_ANSWERS);
	add_library();
	check(RUN("./no-such-command"), 127, "",
	      "smc_run: ./no-such-command: No such file or directory\n");
	check(RUN("/etc/passwd"), 126, "", "smc_run: /etc/passwd: Permission denied\n");
	check(RUN("sh", "-c", "exit 42"), 42, "", "");
}

static void test_no_ismd(void **state)
{
	add_library();
	check(RUN("echo", "hi"), 0, "hi\n",
	      "smc_run: Warning: ismd is not installed beside this program; running on TCP\n");
	add_ismd("echo ismd: the roof is open >&2; echo more >&2; exit 3");
	check(RUN("echo", "hi"), 0, "hi\n",
	      "smc_run: Warning: ismd did not start: the roof is open; running on TCP\n");
	add_ismd("exit 3");
	check(RUN("echo", "hi"), 0, "hi\n",
	      "smc_run: Warning: ismd did not start (exit status 3); running on TCP\n");
}

/* What the daemon would inherit: nothing but 0, 1 and 2, and not our library. */
static void test_start_is_clean(void **state)
{
	add_library();
	add_ismd("echo $* $LD_PRELOAD `ls -m /proc/self/fd` >&2; exit 1");
	check(run_program("/bin/sh",
	                  (char *const[]){ (char *)"sh", (char *)"-c",
	                                   (char *)"exec 7</dev/null; exec \"$0\" \"$0\" echo hi",
	                                   smc_run, NULL }),
	      0, "hi\n",
	      "smc_run: Warning: ismd did not start: --background 0, 1, 2, 3; running on TCP\n"
	      "smc_run: Warning: ismd did not start: --background 0, 1, 2, 3; running on "
	      "TCP\n");
}

/* LD_PRELOAD cannot hold a blank, so another way has to be taken. */
static void test_blank_in_path(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };

	shell("rm -r '%s'", home);
	rmdir(world_dir());
	make_home("a home");
	fake_start(none, FAKE_ANSWERS);
	add_library();
	check(RUN("sh", "-c", "echo $LD_PRELOAD $STUB_LOADED"), 0, "libsmc-preload.so yes\n", "");
}

static void test_sizes(void **state)
{
	static const char *const bad[] = { "",
		                           "k",
		                           "-1",
		                           "+1",
		                           "1kk",
		                           "1 k",
		                           "1g",
		                           "2147483648",
		                           "2097152k",
		                           "2048M",
		                           "99999999999999999999999" };
	unsigned n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(size_arg_parse(bad[i], &n) < 0);
	assert_int_equal(size_arg_parse("010k", &n), 0);
	assert_int_equal(n, 10240);
	assert_int_equal(size_arg_parse("2147483647", &n), 0);
	assert_int_equal(n, 2147483647);
	assert_int_equal(size_arg_parse("2047m", &n), 0);
	assert_int_equal(n, 2047u << 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_usage),         TEST(test_no_library),     TEST(test_environment),
		TEST(test_old_preload),   TEST(test_exec_errors),    TEST(test_no_ismd),
		TEST(test_blank_in_path), TEST(test_start_is_clean), cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
