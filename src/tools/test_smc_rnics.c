/* SPDX-License-Identifier: Apache-2.0 */
/* smc_rnics: listings byte by byte, and every exit status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tools/test_tool.h"

#define RULE                                                 \
	"--------------------------------------------------" \
	"--------------------------------------------------\n"
#define HEADER                                                                         \
	"FID   Power  PCI_ID        PCHID  Type             PFT   VF   PPrt  PNET_ID " \
	"           Net-Dev\n" RULE
#define BLANKS20 "                    "
#define ROW_OFF "  2a  0" BLANKS20 BLANKS20 BLANKS20 BLANKS20 "\n" /* 87 columns */
#define ROW_ISM \
	"   1  1      0001:00:00.0  ffff   ISM              ISM   y    n/a   OPENISM            n/a\n"
#define ROW_ODD \
	" 51a  1      0006:00:00.0  07d2   1b36:beef        0x00  n    n/a   n/a                n/a\n"

static const struct canned answers[] = {
	{ "functions",
	  "{\"functions\":["
	  "{\"fid\":1306,\"power\":true,\"pci_id\":\"0006:00:00.0\",\"pchid\":2002,\"type\":\"\","
	  "\"vendor\":\"0x1b36\",\"device\":\"0xbeef\",\"pft\":0,\"vfn\":0,\"pnetid\":\"\"},"
	  "{\"fid\":42,\"power\":false,\"pci_id\":\"0002:00:00.0\",\"pchid\":7,\"pft\":5},"
	  "{\"fid\":1,\"power\":true,\"pci_id\":\"0001:00:00.0\",\"pchid\":65535,\"chid\":65535,"
	  "\"type\":\"ISM\",\"vendor\":\"0x1014\",\"device\":\"0x04ed\",\"pft\":5,\"vfn\":0,"
	  "\"gid\":\"0000000000000001\",\"pnetid\":\"OPENISM\"}]}" },
	{ "power", "{\"ok\":true}" },
	{ NULL, NULL },
};

static void refuse(const char *answer)
{
	const struct canned refusal[] = { { "power", answer }, { NULL, NULL } };

	fake_start(refusal, FAKE_ANSWERS);
}

static int setup(void **state)
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
	assert_string_equal(o->out, out);
	assert_string_equal(o->err, err);
	assert_int_equal(o->status, status);
}

static void test_list(void **state)
{
	fake_start(answers, FAKE_ANSWERS);
	check(run_tool("smc_rnics", NULL), 0, HEADER ROW_ISM, "");
	check(run_tool("smc_rnics", "-a", NULL), 0, HEADER ROW_ISM ROW_OFF ROW_ODD, "");
	check(run_tool("smc_rnics", "0x0001", NULL), 0, HEADER ROW_ISM, "");
	check(run_tool("smc_rnics", "2A", NULL), 8, HEADER, "");
	check(run_tool("smc_rnics", "-a", "2A", NULL), 0, HEADER ROW_OFF, "");
	check(run_tool("smc_rnics", "100000001", NULL), 8, HEADER, "");
	check(run_tool("smc_rnics", "77", "1", NULL), 0, HEADER ROW_ISM, "");
}

static void test_list_raw(void **state)
{
	fake_start(answers, FAKE_ANSWERS);
	check(run_tool("smc_rnics", "-I", "-r", "1", NULL), 0,
	      "FID   Power  PCI_ID        PCHID  Type             PFT   VFN  IPrt  PNET_ID "
	      "           IB-Dev\n" RULE
	      "   1  1      0001:00:00.0  ffff   1014:04ed        0x05  0    n/a   OPENISM "
	      "           n/a\n",
	      "");
}

static void test_power(void **state)
{
	fake_start(answers, FAKE_ANSWERS);
	check(run_tool("smc_rnics", "-e", "1", NULL), 0, "", "");
	check(run_tool("smc_rnics", "-d", "zz", NULL), 3, "", "Error: 'zz' is not a valid FID\n");
	check(run_tool("smc_rnics", "-d", "", NULL), 3, "", "Error: '' is not a valid FID\n");
	check(run_tool("smc_rnics", "-d", "0x", NULL), 3, "", "Error: '0x' is not a valid FID\n");
	check(run_tool("smc_rnics", "-e", "100000001", NULL), 5, "",
	      "Error: FID 100000001 does not exist\n");
	assert_int_equal(run_tool("smc_rnics", "-e", "1", "1", NULL)->status, 4);
	assert_int_equal(run_tool("smc_rnics", "-x", NULL)->status, 2);
}

static void test_no_slot(void **state)
{
	refuse("{\"error\":\"no such function\",\"code\":\"nodev\"}");
	check(run_tool("smc_rnics", "-e", "0005", NULL), 5, "", "Error: FID 5 does not exist\n");
}

static void test_already(void **state)
{
	refuse("{\"error\":\"it is\",\"code\":\"already\"}");
	check(run_tool("smc_rnics", "-e", "1", NULL), 6, "", "Error: FID 1 is already enabled\n");
	check(run_tool("smc_rnics", "-e", "5", "-d", "1", NULL), 6, "",
	      "Error: FID 1 is already disabled\n");
}

static void test_refused(void **state)
{
	refuse("{\"error\":\"disk full\"}");
	check(run_tool("smc_rnics", "-e", "1", NULL), 7, "",
	      "Error: Failed to enable FID 1\n       disk full\n");
	check(run_tool("smc_rnics", "-d", "1", NULL), 7, "",
	      "Error: Failed to disable FID 1\n       disk full\n");
}

static void test_no_rights(void **state)
{
	refuse("{\"error\":\"this takes root\",\"code\":\"perm\"}");
	check(run_tool("smc_rnics", "-e", "1", NULL), 7, "",
	      "Error: Failed to enable FID 1\n"
	      "       this takes root\n");
}

static void test_no_lpar(void **state)
{
	static const struct canned answer[] = {
		{ "functions", "{\"error\":\"?\",\"code\":\"nolpar\"}" },
		{ "functions", "{\"error\":\"this takes root\",\"code\":\"perm\"}",
		  "{\"op\":\"functions\",\"lpar\":\"db\"}" },
		{ "power", "{\"error\":\"?\",\"code\":\"nolpar\"}" },
		{ NULL, NULL },
	};

	fake_start(answer, FAKE_ANSWERS);
	check(run_tool("smc_rnics", "-e", "1", "-N", "web", NULL), 5, "",
	      "Error: LPAR web does not exist\n");
	check(run_tool("smc_rnics", "-N", "web", NULL), 5, HEADER,
	      "Error: LPAR web does not exist\n");
	check(run_tool("smc_rnics", "-N", "db", NULL), 7, HEADER, "Error: this takes root\n");
}

/* Functions of several LPARs; one PNET id is the user's. */
static void test_lpars(void **state)
{
#define ISM "\"pft\":5,\"pchid\":65535,\"type\":\"ISM\","
	static const char list[] =
		"{\"functions\":["
		"{\"lpar\":\"web\",\"fid\":1,\"power\":true,\"pci_id\":\"0001:00:00.0\"," ISM
		"\"pnetid\":\"NET1\",\"pnetid_user\":true},"
		"{\"lpar\":\"web\",\"fid\":65535,\"power\":false},"
		"{\"lpar\":\"db\",\"fid\":42,\"power\":true,\"pci_id\":\"002a:00:00.0\"," ISM
		"\"pnetid\":\"NET1\",\"pnetid_user\":false}]}";
	static const struct canned answer[] = {
		{ "functions", list, "{\"op\":\"functions\"}" },
		{ NULL, NULL },
	};
	static const char web[] = "   1  1      0001:00:00.0  ffff   ISM              ISM   y    "
				  "n/a   NET1*              n/a\n";
	static const char db[] = "  2a  1      002a:00:00.0  ffff   ISM              ISM   y    "
				 "n/a   NET1               n/a\n";
	char text[1024];

	fake_start(answer, FAKE_ANSWERS);
	snprintf(text, sizeof(text), "%s%s%s", HEADER, web, db);
	check(run_tool("smc_rnics", NULL), 0, text, "");
	snprintf(text, sizeof(text),
	         "LPAR              %.*s------------------%s"
	         "db                %sweb               %sweb               ffff%s",
	         (int)(sizeof(HEADER) - sizeof(RULE)), HEADER, RULE, db, web, &ROW_OFF[4]);
	check(run_tool("smc_rnics", "-aL", NULL), 0, text, "");
	check(run_tool("smc_rnics", "--show-lpar", "--a", NULL), 0, text, "");
}

/* The requests are what they should be, or the answer is another one. */
static void test_change(void **state)
{
	static const struct canned answer[] = {
		{ "power", "{\"ok\":true}",
		  "{\"op\":\"power\",\"lpar\":\"web\",\"fid\":42,\"on\":false,\"persist\":true}" },
		{ "power", "{\"ok\":true}",
		  "{\"op\":\"power\",\"lpar\":\"\",\"fid\":42,\"on\":true}" },
		{ "function_add", "{\"ok\":true,\"fid\":43}", "{\"op\":\"function_add\"}" },
		{ "function_add", "{\"ok\":true,\"fid\":42}",
		  "{\"op\":\"function_add\",\"lpar\":\"web\",\"fid\":42,\"pnetid\":\"NET1\","
		  "\"chid\":418,\"vlan\":100}" },
		{ "function_del", "{\"ok\":true,\"fid\":42}",
		  "{\"op\":\"function_del\",\"fid\":42}" },
		{ NULL, NULL },
	};

	fake_start(answer, FAKE_ANSWERS);
	check(run_tool("smc_rnics", "-d", "2a", "--lpar", "web", "--persist", NULL), 0, "", "");
	check(run_tool("smc_rnics", "-e", "2a", "-N.", NULL), 0, "", "");
	check(run_tool("smc_rnics", "--add", NULL), 0, "2b\n", "");
	check(run_tool("smc_rnics", "--add", "2A", "--pnetid", "NET1", "--chid", "1a2", "--vlan",
	               "100", "-N", "web", NULL),
	      0, "", "");
	check(run_tool("smc_rnics", "--remove", "2a", NULL), 0, "", "");
}

static void test_change_refused(void **state)
{
	static const struct canned answer[] = {
		{ "function_add", "{\"error\":\"?\",\"code\":\"exists\"}" },
		{ "function_add", "{\"error\":\"8 functions at most\",\"code\":\"full\"}",
		  "{\"op\":\"function_add\"}" },
		{ "function_del", "{\"error\":\"?\",\"code\":\"nodev\"}" },
		{ NULL, NULL },
	};

	fake_start(answer, FAKE_ANSWERS);
	check(run_tool("smc_rnics", "--add=2", NULL), 6, "", "Error: FID 2 is already there\n");
	check(run_tool("smc_rnics", "--add", NULL), 7, "",
	      "Error: Failed to add a function\n       8 functions at most\n");
	check(run_tool("smc_rnics", "--remove", "02", NULL), 5, "",
	      "Error: FID 2 does not exist\n");
	check(run_tool("smc_rnics", "--add", "--vlan", "4095", NULL), 2, "",
	      "Error: '4095' is not a valid VLAN\n");
	check(run_tool("smc_rnics", "--add", "--chid", "0x1ffff", NULL), 2, "",
	      "Error: '0x1ffff' is not a valid CHID\n");
	check(run_tool("smc_rnics", "--add", "net", NULL), 3, "",
	      "Error: 'net' is not a valid FID\n");
	assert_int_equal(run_tool("smc_rnics", "--pnetid", "A", NULL)->status, 4);
	assert_int_equal(run_tool("smc_rnics", "--add=1", "2", NULL)->status, 4);
	assert_int_equal(run_tool("smc_rnics", "--remove", "1", "2", NULL)->status, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_raw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_power, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_already, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_lpar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lpars, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
