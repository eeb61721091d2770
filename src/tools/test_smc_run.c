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

/* ------------------------------------------------------------------- units */

#define MARK "# Written by smc_run --enable; smc_run --disable removes it.\n"
#define NO_SYSTEMD "systemd does not run here; it will find this when it starts\n"

static int setup_units(void **state)
{
	char dir[128];

	setup(state);
	add_library();
	shell("mkdir '%s/units'", home);
	snprintf(dir, sizeof(dir), "%s/units", home);
	setenv("OPENISM_UNIT_DIR", dir, 1);
	return 0;
}

static int teardown_units(void **state)
{
	unsetenv("OPENISM_UNIT_DIR");
	return teardown(state);
}

static void add_unit(const char *name, const char *text)
{
	shell("printf '[Service]\\nExecStart=/bin/true\\n%s' >'%s/units/%s'", text, home, name);
}

static const char *in_units(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/units/%s", home, name);
	return path;
}

static void check_file(const char *name, const char *expected)
{
	char text[1024] = "";
	FILE *f = fopen(in_units(name), "re");

	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, expected);
}

static void test_unit_errors(void **state)
{
	static const char *const bad[] = { "../x", "/x.service", ".x", "-x", "a b", "@x", "" };

	add_unit("there.service", "");
	shell("ln -s /dev/null '%s/units/masked.service'", home);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct outcome *o = RUN("--enable", bad[i]);

		assert_int_equal(o->status, 1);
		assert_non_null(strstr(o->err, "not the name of a unit"));
	}
	check(RUN("--enable", "x.socket"), 1, "",
	      "smc_run: Error: x.socket: only a service runs a program\n");
	check(RUN("--enable", "nowhere"), 1, "",
	      "smc_run: Error: nowhere.service: there is no such unit\n");
	check(RUN("--enable", "masked"), 1, "", "smc_run: Error: masked.service: is masked\n");
	check(RUN("--enable", "there", "true"), 1,
	      "smc_run: Error: A unit and a command cannot go together\n", "");
	assert_int_equal(RUN("--enable")->status, 1);
	/* nothing came of all that */
	assert_int_equal(access(in_units("there.service.d"), F_OK), -1);
}

static void test_unit_enable(void **state)
{
	char expected[512], text[512];

	add_unit("web.service", "");
	snprintf(text, sizeof(text),
	         MARK "[Unit]\nWants=ismd.service\nAfter=ismd.service\n\n[Service]\n"
	              "Environment=\"LD_PRELOAD=%s/libsmc-preload.so\"\n"
	              "Environment=\"SMC_DEBUG=1\"\nEnvironment=\"SMC_RCVBUF=8192\"\n"
	              "Environment=\"ISM_RUNTIME_DIR=%s\"\n",
	         home, world_dir());
	snprintf(expected, sizeof(expected),
	         "web.service: enabled (%s/units/web.service.d/50-openism.conf)\n" NO_SYSTEMD,
	         home);
	check(RUN("-d", "--enable", "web", "-r8k"), 0, expected, "");
	check_file("web.service.d/50-openism.conf", text);
	check(RUN("-r8k", "-d", "--enable", "web.service"), 0,
	      "web.service: already enabled\n" NO_SYSTEMD, "");
	/* other options: the file follows */
	check(RUN("--enable", "web"), 0, expected, "");
	check(RUN("--disable", "web"), 0, "web.service: disabled\n" NO_SYSTEMD, "");
	assert_int_equal(access(in_units("web.service.d"), F_OK), -1);
	check(RUN("--disable", "web"), 0, "web.service: not enabled\n", "");
}

/* A unit that is gone can be disabled, an instance has a template's file. */
static void test_unit_instance(void **state)
{
	add_unit("web@.service", "");
	assert_int_equal(RUN("--enable", "web@one")->status, 0);
	assert_int_equal(access(in_units("web@one.service.d/50-openism.conf"), F_OK), 0);
	unlink(in_units("web@.service"));
	assert_int_equal(RUN("--enable", "web@one")->status, 1);
	assert_int_equal(RUN("--disable", "web@one")->status, 0);
	assert_int_equal(access(in_units("web@one.service.d"), F_OK), -1);
}

static void test_unit_odd_path(void **state)
{
	char text[512], dir[128];

	shell("rm -r '%s'", home);
	rmdir(world_dir());
	make_home("a % home\"");
	add_library();
	shell("mkdir '%s/units'", home);
	snprintf(dir, sizeof(dir), "%s/units", home);
	setenv("OPENISM_UNIT_DIR", dir, 1);
	add_unit("web.service", "");
	unsetenv("ISM_RUNTIME_DIR");
	assert_int_equal(RUN("--enable", "web")->status, 0);
	snprintf(text, sizeof(text),
	         MARK "[Unit]\nWants=ismd.service\nAfter=ismd.service\n\n[Service]\n"
	              "Environment=\"LD_LIBRARY_PATH=%s.a %%%% home\\\"\"\n"
	              "Environment=\"LD_PRELOAD=libsmc-preload.so\"\n",
	         world_dir());
	check_file("web.service.d/50-openism.conf", text);
}

static void test_unit_of_others(void **state)
{
	const struct outcome *o;

	add_unit("web.service", "");
	shell("mkdir '%s/units/web.service.d' && echo mine >'%s/units/web.service.d/"
	      "50-openism.conf' && echo other >'%s/units/web.service.d/10-other.conf'",
	      home, home, home);
	o = RUN("--enable", "web");
	assert_int_equal(o->status, 1);
	assert_non_null(strstr(o->err, "was not written by smc_run"));
	assert_int_equal(RUN("--disable", "web")->status, 1);
	check_file("web.service.d/50-openism.conf", "mine\n");
	unlink(in_units("web.service.d/50-openism.conf"));
	assert_int_equal(RUN("--enable", "web")->status, 0);
	assert_int_equal(RUN("--disable", "web")->status, 0);
	check_file("web.service.d/10-other.conf", "other\n");
}

static void test_unit_notes(void **state)
{
	const struct outcome *o;

	add_unit("web.service", "RestrictAddressFamilies=AF_INET AF_INET6\\nPrivateTmp=yes\\n"
	                        "RootDirectory=/srv\\nEnvironment=LD_PRELOAD=x.so\\n"
	                        "TemporaryFileSystem=/run\\n");
	o = RUN("--enable", "web");
	assert_int_equal(o->status, 0);
	assert_non_null(strstr(o->out, "AF_UNIX"));
	assert_non_null(strstr(o->out, "root of its own"));
	assert_non_null(strstr(o->out, "which this replaces"));
	assert_non_null(strstr(o->out, "hides /run"));
	if (!strncmp(home, "/tmp/", 5))
		assert_non_null(strstr(o->out, "(PrivateTmp=)"));
	add_unit("ok.service",
	         "RestrictAddressFamilies=AF_INET\\nRestrictAddressFamilies=AF_UNIX\\n"
	         "PrivateTmp=no\\n");
	o = RUN("--enable", "ok");
	assert_null(strstr(o->out, "Note:"));
}

static void test_unit_takes_root(void **state)
{
	add_unit("web.service", "");
	shell("chmod 755 '%s'", home);
	unsetenv("OPENISM_UNIT_DIR");
	if (geteuid() != 0)
		check(RUN("--enable", "web"), 1, "",
		      "smc_run: Error: web.service: changing a unit takes root\n");
	else
		check(run_program("/usr/bin/setpriv",
		                  (char *const[]){ (char *)"setpriv", (char *)"--reuid=65534",
		                                   (char *)"--clear-groups", smc_run,
		                                   (char *)"--disable", (char *)"web", NULL }),
		      1, "", "smc_run: Error: web.service: changing a unit takes root\n");
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
#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup_units, teardown_units)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_usage),           TEST(test_no_library),
		TEST(test_environment),     TEST(test_old_preload),
		TEST(test_exec_errors),     TEST(test_no_ismd),
		TEST(test_blank_in_path),   TEST(test_start_is_clean),
		UNIT(test_unit_errors),     UNIT(test_unit_enable),
		UNIT(test_unit_instance),   UNIT(test_unit_odd_path),
		UNIT(test_unit_of_others),  UNIT(test_unit_notes),
		UNIT(test_unit_takes_root), cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
