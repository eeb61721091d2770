/* SPDX-License-Identifier: Apache-2.0 */
/* smc_rnics: listings byte by byte, and every exit status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
	check(run_tool("smc_rnics", "-e", "1", NULL), 7, "", "Error: Failed to enable FID 1\n");
	check(run_tool("smc_rnics", "-d", "1", NULL), 7, "", "Error: Failed to disable FID 1\n");
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
