/* SPDX-License-Identifier: Apache-2.0 */
/* smcd: its command line, its tables byte by byte, its exit statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/short_number.h"
#include "tools/test_tool.h"

static const struct canned answers[] = {
	{ "info",
	  "{\"version\":\"0.1.0\",\"pid\":77,\"hostname\":\"hosta\",\"smc_version\":2,"
	  "\"smc_release\":1,\"ism_v2\":true,\"seid\":\"\",\"uptime_s\":5,\"clients\":2,"
	  "\"tables\":2,\"rows\":4,\"defer_us\":1000,\"rundir\":\"/r\",\"proof\":\"same\"}" },
	{ "functions",
	  "{\"functions\":[{\"fid\":1,\"power\":true,\"pci_id\":\"0001:00:00.0\","
	  "\"pchid\":65535,\"type\":\"ISM\",\"in_use\":true,\"lgrs\":2,\"pnetid\":\"OPENISM\"},"
	  "{\"fid\":2,\"power\":false,\"pci_id\":\"0002:00:00.0\",\"pchid\":1,"
	  "\"type\":\"ISM\"}]}" },
	{ "linkgroups",
	  "{\"linkgroups\":[{\"lgr_id\":768,\"vlan\":0,\"conns\":2,\"pnetid\":\"OPENISM\","
	  "\"version\":2,\"release\":1,\"peer_host\":\"hostc\",\"peer_os\":\"LINUX\","
	  "\"eid\":\"\",\"sndbuf\":131072,\"dmb\":262144,\"segments\":1,\"pids\":[11,12]},"
	  "{\"lgr_id\":1024,\"vlan\":17,\"conns\":1,\"pnetid\":\"ABCDEFGHIJKLMNOP\","
	  "\"sndbuf\":1,\"dmb\":2}]}" },
	{ "stats",
	  "{\"smc_conns\":19,\"tcp_conns\":15,\"fallback\":["
	  "{\"side\":\"client\",\"reason\":83886080,\"count\":2},"
	  "{\"side\":\"server\",\"reason\":50528256,\"count\":3},"
	  "{\"side\":\"server\",\"reason\":50397184,\"count\":6}],"
	  "\"tx_smc_bytes\":34567890,\"rx_smc_bytes\":999,\"tx_tcp_bytes\":1,\"tx_full\":4}" },
	{ NULL, NULL },
};

static int setup(void **state)
{
	world_begin();
	fake_start(answers, FAKE_ANSWERS);
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

#define USAGE                                                                  \
	"Usage: smcd  [ OPTIONS ] OBJECT {COMMAND | help}\n"                   \
	"where  OBJECT := {info | linkgroup | device | stats | ueid | seid}\n" \
	"       OPTIONS := {-v[ersion] | -d[etails] | -a[bsolute]}\n"
#define LG_HEADER "LG-ID    VLAN  #Conns  PNET-ID \n"
#define LG_ROW1 "00000300    0       2  OPENISM          \n"
#define LG_ROW2 "00000400 0x11       1  ABCDEFGHIJKLMNOP \n"

static void test_options(void **state)
{
	check(run_tool("smcd", NULL), 0, "", USAGE);
	check(run_tool("smcd", "he", NULL), 0, "", USAGE);
	check(run_tool("smcd", "--h", NULL), 0, "", USAGE);
	check(run_tool("smcd", "--ver", NULL), 0, "smcd utility, openism-" OPENISM_VERSION "\n",
	      "");
	check(run_tool("smcd", "--xyz", "info", NULL), 255, "",
	      "Error: Option \"-xyz\" is unknown, try \"smcd help\".\n");
	check(run_tool("smcd", "devices", NULL), 1, "",
	      "Error: Object \"devices\" is unknown, try \"smcd help\".\n");
	check(run_tool("smcd", "", NULL), 1, "",
	      "Error: Object \"\" is unknown, try \"smcd help\".\n");
	check(run_tool("smcd", "--", "l", NULL), 0, LG_HEADER LG_ROW1 LG_ROW2, "");
}

static void test_info(void **state)
{
	static const char info[] = "Kernel Capabilities\n"
				   "SMC Version:      2.1\n"
				   "SMC Hostname:     hosta\n"
				   "SMC-D Features:   v1 v2\n"
				   "SMC-R Features:   n/a\n"
				   "\n"
				   "Hardware Capabilities\n"
				   "SEID:             n/a\n"
				   "ISM:              v1 v2\n"
				   "RoCE:             n/a\n";

	check(run_tool("smcd", "info", NULL), 0, info, "");
	check(run_tool("smcd", "i", "sh", NULL), 0, info, "");
	check(run_tool("smcd", "info", "-d", NULL), 255, "", "Usage: smcd info [show]\n");
	check(run_tool("smcd", "info", "help", NULL), 255, "", "Usage: smcd info [show]\n");
	assert_non_null(
		strstr(run_tool("smcd", "-d", "info", NULL)->out, "PID:              77\n"));
}

static void test_linkgroup(void **state)
{
	static const char usage[] = "Usage: smcd linkgroup [show] [all | LG-ID]\n";

	check(run_tool("smcd", "linkgroup", NULL), 0, LG_HEADER LG_ROW1 LG_ROW2, "");
	check(run_tool("smcd", "-a", "linkgroup", "link-show", "all", NULL), 0,
	      LG_HEADER LG_ROW1 LG_ROW2, "");
	check(run_tool("smcd", "l", "s", "0x300zz", NULL), 0, LG_HEADER LG_ROW1, "");
	check(run_tool("smcd", "l", "0", NULL), 0, LG_HEADER LG_ROW1 LG_ROW2, "");
	check(run_tool("smcd", "l", "-d", NULL), 0, LG_HEADER, "");
	check(run_tool("smcd", "l", "xyz", NULL), 0, LG_HEADER, "");
	check(run_tool("smcd", "l", "all", "300", NULL), 255, "", usage);
	check(run_tool("smcd", "l", "h", NULL), 255, "", usage);
}

static void test_linkgroup_details(void **state)
{
	static const char group1[] = "LG-ID    : 00000300\n"
				     "VLAN     : 0\n"
				     "PNET-ID  : OPENISM\n"
				     "Version  : 2\n"
				     "Peer-Rel : 1\n"
				     "Peer-Host: hostc\n"
				     "Peer-OS  : LINUX\n"
				     "EID      : \n"
				     "#Conns   : 2\n"
				     "Sndbuf   : 131072 B\n"
				     "DMB      : 262144 B\n";
	static const char both[] = "LG-ID    : 00000300\n"
				   "VLAN     : 0\n"
				   "PNET-ID  : OPENISM\n"
				   "Version  : 2\n"
				   "Peer-Rel : 1\n"
				   "Peer-Host: hostc\n"
				   "Peer-OS  : LINUX\n"
				   "EID      : \n"
				   "#Conns   : 2\n"
				   "Sndbuf   : 131072 B\n"
				   "DMB      : 262144 B\n"
				   "\n"
				   "LG-ID    : 00000400\n"
				   "VLAN     : 11\n"
				   "PNET-ID  : ABCDEFGHIJKLMNOP\n"
				   "Version  : 1\n"
				   "#Conns   : 1\n"
				   "Sndbuf   : 1 B\n"
				   "DMB      : 2 B\n";
	const struct outcome *o;

	check(run_tool("smcd", "-d", "l", NULL), 0, both, "");
	check(run_tool("smcd", "-a", "-d", "l", "show", "300", NULL), 0, group1, "");
	/* the last of -a and -d wins, and the fused ones count as absolute */
	check(run_tool("smcd", "-d", "-a", "l", "300", NULL), 0, LG_HEADER LG_ROW1, "");
	check(run_tool("smcd", "-daX", "l", "300", NULL), 0, LG_HEADER LG_ROW1, "");
	o = run_tool("smcd", "-dd", "l", "300", NULL);
	assert_memory_equal(o->out, group1, sizeof(group1) - 1);
	assert_string_equal(o->out + sizeof(group1) - 1, "Segments : 1\nPIDs     : 11 12\n");
}

static void test_device(void **state)
{
	static const char table[] =
		"FID  Type  PCI-ID        PCHID  InUse  #LGs  PNET-ID  \n"
		"0001 ISM   0001:00:00.0  ffff   Yes       2  OPENISM          \n";

	check(run_tool("smcd", "device", NULL), 0, table, "");
	check(run_tool("smcd", "-d", "d", "show", "a", NULL), 0, table, "");
	check(run_tool("smcd", "d", "xyz", NULL), 255, "", "Usage: smcd device [show] [all]\n");
}

static void test_stats(void **state)
{
	check(run_tool("smcd", "-d", "s", NULL), 0,
	      "SMC-D Connections Summary\n"
	      "  Total connections handled            34\n"
	      "  SMC connections                      19\n"
	      "  TCP fallback                         15\n"
	      "    Server\n"
	      "     PEER_NO_SMC                        6\n"
	      "     NOSMCDEV                           3\n"
	      "    Client\n"
	      "     PEERDECL                           2\n"
	      "\n"
	      "RX Stats\n"
	      "  Data transmitted (Bytes)            999 (999)\n"
	      "\n"
	      "TX Stats\n"
	      "  Data transmitted (Bytes)       34567890 (34.57M)\n"
	      "  Buffer full (remote)                  4\n",
	      "");
	assert_non_null(strstr(run_tool("smcd", "stats", "json", NULL)->out,
	                       "{\"SMCD\": {\"SMC_INT_TX_BUF_FULL_PEER_CNT\":4,"
	                       "\"SMC_RX_BYTES\":999,\"SMC_TX_BYTES\":34567890}"));
	assert_int_equal(run_tool("smcd", "stats", "reset", NULL)->status, 255);
	assert_int_equal(run_tool("smcd", "stats", "show", "x", NULL)->status, 255);
}

static void test_eids(void **state)
{
	check(run_tool("smcd", "se", NULL), 0, "n/a\n", "");
	check(run_tool("smcd", "seid", "en", NULL), 255, "", "Error: System EID not available\n");
	check(run_tool("smcd", "ueid", NULL), 0, "", "");
	check(run_tool("smcd", "ueid", "flush", NULL), 0, "", "");
	assert_int_equal(run_tool("smcd", "ueid", "add", NULL)->status, 255);
}

static void test_bad_ueids(void **state)
{
	static const struct {
		const char *eid, *message;
	} bad[] = {
		{ "A23456789.123456789.123456789.123", "EID is longer than 32 characters\n" },
		{ "", "EID is empty\n" },
		{ ".A", "first character must be alphanumeric\n" },
		{ "A..B", "consecutive dots not allowed\n" },
		{ "lab", "unsupported character: 'l'\n"
		         "       Supported characters are: A-Z, 0-9, '.' and '-'\n" },
		{ "A_B", "unsupported character: '_'\n"
		         "       Supported characters are: A-Z, 0-9, '.' and '-'\n" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		static const char prefix[] = "Error: Invalid User EID specified: ";
		const struct outcome *o = run_tool("smcd", "ueid", "add", bad[i].eid, NULL);

		assert_int_equal(o->status, 255);
		assert_memory_equal(o->err, prefix, sizeof(prefix) - 1);
		assert_string_equal(o->err + sizeof(prefix) - 1, bad[i].message);
	}
	check(run_tool("smcd", "ueid", "add", "LAB2", NULL), 255, "",
	      "Error: User EIDs are not supported yet\n");
}

static void test_short_numbers(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 999, "999" },
		{ 1000, "1.000K" },
		{ 9999, "9.999K" },
		{ 10000, "10.00K" },
		{ 12345, "12.35K" },
		{ 99994, "99.99K" },
		{ 99995, "100.0K" },
		{ 999949, "999.9K" },
		{ 999950, " 1000K" },
		{ 1048576, "1.049M" },
		{ 12345678901234, "12.35T" },
		{ 123456789012345, "123.5T" },
		{ 1000000000000000, "1.000P" },
		{ UINT64_MAX, "18.45E" },
	};
	char buf[8];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(short_number(cases[i].n, buf), cases[i].text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_options), TEST(test_info),      TEST(test_linkgroup),
		TEST(test_device),  TEST(test_stats),     TEST(test_linkgroup_details),
		TEST(test_eids),    TEST(test_bad_ueids), cmocka_unit_test(test_short_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
