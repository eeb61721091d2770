/* SPDX-License-Identifier: Apache-2.0 */
/* smc_pnet: every message, every exit status, and what it asks ismd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/test_tool.h"

static const char table[] = "{\"pnet\":[{\"pnetid\":\"NETONE\",\"interface\":\"enp1s0\",\"fid\":0},"
			    "{\"pnetid\":\"NETTWO\",\"interface\":\"\",\"fid\":42},"
			    "{\"pnetid\":\"NETONE\",\"interface\":\"\",\"fid\":1}]}";
static const char other_table[] = "{\"pnet\":[{\"pnetid\":\"DB\",\"interface\":\"lo\",\"fid\":0}]}";

static const struct canned answers[] = {
	{ "pnet", table, "{\"op\":\"pnet\"}" },
	{ "pnet", table, "{\"op\":\"pnet\",\"lpar\":\"\"}" },
	{ "pnet", other_table, "{\"op\":\"pnet\",\"lpar\":\"db\"}" },
	{ "pnet_add", "{\"ok\":true}",
	  "{\"op\":\"pnet_add\",\"pnetid\":\"ABC\",\"interface\":\"lo\"}" },
	{ "pnet_add", "{\"ok\":true}", "{\"op\":\"pnet_add\",\"pnetid\":\"ABC\",\"fid\":42}" },
	{ "pnet_add", "{\"ok\":true}",
	  "{\"op\":\"pnet_add\",\"lpar\":\"db\",\"pnetid\":\"ABC\",\"interface\":\"no-such-if\","
	  "\"fid\":1,\"persist\":true}" },
	{ "pnet_add", "{\"error\":\"x\",\"code\":\"pnetid\"}",
	  "{\"op\":\"pnet_add\",\"pnetid\":\"\",\"interface\":\"lo\"}" },
	{ "pnet_del", "{\"ok\":true}", "{\"op\":\"pnet_del\",\"pnetid\":\"ABC\"}" },
	{ "pnet_flush", "{\"ok\":true}", "{\"op\":\"pnet_flush\",\"persist\":true}" },
	{ NULL, NULL },
};

static int setup(void **state)
{
	world_begin();
	fake_start(answers, FAKE_ANSWERS);
	return 0;
}

static int setup_alone(void **state)
{
	world_begin();
	return 0;
}

static int teardown(void **state)
{
	world_end();
	return 0;
}

static void check(const struct outcome *o, int status, const char *out, const char *err)
{
	assert_string_equal(o->err, err);
	assert_string_equal(o->out, out);
	assert_int_equal(o->status, status);
}

/* The message, and the help text behind it. */
static void check_usage(const struct outcome *o, const char *message)
{
	static const char help[] = "Usage: smc_pnet [ OPTIONS ] [pnetid]\n";

	assert_string_equal(o->out, "");
	assert_memory_equal(o->err, message, strlen(message));
	assert_memory_equal(o->err + strlen(message), help, sizeof(help) - 1);
	assert_int_equal(o->status, 1);
}

#define ROW_IF "NETONE enp1s0 n/a 255\n"
#define ROW_TWO "NETTWO n/a 002a:00:00.0 1\n"
#define ROW_ONE "NETONE n/a 0001:00:00.0 1\n"

static void test_show(void **state)
{
	check(run_tool("smc_pnet", NULL), 0, ROW_IF ROW_TWO ROW_ONE, "");
	check(run_tool("smc_pnet", "-s", NULL), 0, ROW_IF ROW_TWO ROW_ONE, "");
	check(run_tool("smc_pnet", "NETONE", "--sh", NULL), 0, ROW_IF ROW_ONE, "");
	check(run_tool("smc_pnet", "-s", "netone", NULL), 0, "", "");
	check(run_tool("smc_pnet", "-N", ".", NULL), 0, ROW_IF ROW_TWO ROW_ONE, "");
	check(run_tool("smc_pnet", "--lpar", "db", NULL), 0, "DB lo n/a 255\n", "");
}

static void test_add(void **state)
{
	check(run_tool("smc_pnet", "-a", "ABC", "-I", "lo", NULL), 0, "", "");
	check(run_tool("smc_pnet", "ABC", "-a", "-I", "lo", "-P", "2", NULL), 0, "", "");
	check(run_tool("smc_pnet", "-a", "ABC", "-D", "002a:00:00.0", NULL), 0, "", "");
	check(run_tool("smc_pnet", "-a", "ABC", "-D", "2A", "-P", "", NULL), 0, "", "");
	check(run_tool("smc_pnet", "-a", "ABC", "-D", "0x2a", "-P", "0x1", NULL), 0, "", "");
	check(run_tool("smc_pnet", "-a", "-I", "lo", NULL), 1, "",
	      "smc_pnet: Invalid input data or parameter\n");
	/* the interfaces of another LPAR are not here to be looked at */
	check(run_tool("smc_pnet", "-a", "ABC", "-I", "no-such-if", "-D", "1", "-N", "db",
	               "--persist", NULL),
	      0, "", "");
}

static void test_no_device(void **state)
{
	static const char *const devices[] = {
		"mlx5_0", "", "0", "0x", "10000", "1:0", "0001:00:00.1",
	};
	static const char message[] = "smc_pnet: No such device\n";

	check(run_tool("smc_pnet", "-a", "ABC", "-I", "no-such-if", NULL), 1, "", message);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		check(run_tool("smc_pnet", "-a", "ABC", "-D", devices[i], NULL), 1, "", message);
}

static void test_delete(void **state)
{
	check(run_tool("smc_pnet", "-d", "ABC", NULL), 0, "", "");
	check(run_tool("smc_pnet", "-f", "--persist", NULL), 0, "", "");
}

static void test_ignored(void **state)
{
	check(run_tool("smc_pnet", "-I", "eth0", NULL), 0, ROW_IF ROW_TWO ROW_ONE,
	      "smc_pnet: interface eth0 ignored\n");
	check(run_tool("smc_pnet", "-d", "ABC", "-D", "x", "-P", "0", NULL), 0, "",
	      "smc_pnet: device x ignored\nsmc_pnet: ibport 1 ignored\n");
}

static void test_usage(void **state)
{
	check_usage(run_tool("smc_pnet", "-a", "-d", "ABC", NULL), "");
	check_usage(run_tool("smc_pnet", "-s", "-s", NULL), "");
	check_usage(run_tool("smc_pnet", "-P", "3", NULL), "smc_pnet invalid ib port:3\n");
	check_usage(run_tool("smc_pnet", "-P", "1x", NULL), "smc_pnet invalid ib port:1x\n");
	check_usage(run_tool("smc_pnet", "-P", "-1", NULL), "smc_pnet invalid ib port:-1\n");
	check_usage(run_tool("smc_pnet", "-s", "A", "B", NULL), "smc_pnet too many parameters\n");
	check_usage(run_tool("smc_pnet", "ABC", NULL), "smc_pnet: parameters without option\n");
	check_usage(run_tool("smc_pnet", "-f", "ABC", NULL), "smc_pnet: -f takes no parameters\n");
	check_usage(run_tool("smc_pnet", "-a", "ABC", NULL),
	            "smc_pnet: interface or device missing\n");
	assert_int_equal(run_tool("smc_pnet", "--add=ABC", NULL)->status, 1);
	assert_int_equal(run_tool("smc_pnet", "-x", NULL)->status, 1);
	check(run_tool("smc_pnet", "--version", NULL), 0,
	      "smc_pnet utility, openism-" OPENISM_VERSION "\n", "");
	assert_int_equal(run_tool("smc_pnet", "-h", NULL)->status, 0);
}

/* What ismd refuses is said in libnl's words. */
static void test_refusals(void **state)
{
	static const struct canned refusing[] = {
		{ "pnet_add", "{\"error\":\"there is one\",\"code\":\"exists\"}" },
		{ "pnet_del", "{\"error\":\"there is none\",\"code\":\"noent\"}" },
		{ "pnet_flush", "{\"error\":\"you may not\",\"code\":\"perm\"}" },
		{ "pnet", "{\"error\":\"there is no LPAR\",\"code\":\"nolpar\"}" },
		{ NULL, NULL },
	};

	fake_start(refusing, FAKE_ANSWERS);
	check(run_tool("smc_pnet", "-a", "ABC", "-I", "lo", NULL), 1, "",
	      "smc_pnet: Object exists\n");
	check(run_tool("smc_pnet", "-d", "ABC", NULL), 1, "", "smc_pnet: Object not found\n");
	check(run_tool("smc_pnet", "-f", NULL), 1, "", "smc_pnet: Operation not permitted\n");
	check(run_tool("smc_pnet", "-s", NULL), 1, "", "smc_pnet: there is no LPAR\n");
}

/* It was empty before: that is what was wanted. */
static void test_flush_empty(void **state)
{
	static const struct canned empty[] = {
		{ "pnet_flush", "{\"error\":\"empty\",\"code\":\"noent\"}" },
		{ NULL, NULL },
	};

	fake_start(empty, FAKE_ANSWERS);
	check(run_tool("smc_pnet", "-f", NULL), 0, "", "");
}

static void test_silent(void **state)
{
	fake_start(answers, FAKE_SILENT);
	check(run_tool("smc_pnet", NULL), 1, "", "smc_pnet: ismd does not answer (waited 2 s)\n");
}

#define WITH_FAKE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define WITHOUT(f) cmocka_unit_test_setup_teardown(f, setup_alone, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FAKE(test_show),   WITH_FAKE(test_add),     WITH_FAKE(test_no_device),
		WITH_FAKE(test_delete), WITH_FAKE(test_ignored), WITH_FAKE(test_usage),
		WITHOUT(test_refusals), WITHOUT(test_silent),    WITHOUT(test_flush_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
