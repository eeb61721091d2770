/* SPDX-License-Identifier: Apache-2.0 */
/* smcd: its command line, its tables byte by byte, its exit statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
	"       OPTIONS := {-v[ersion] | -d[etails] | -a[bsolute]}\n"          \
	"also   OBJECT := {lpar}\n"                                            \
	"       OPTIONS := {-l[par] NAME | -p[ersist]}\n"
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
	check(run_tool("smcd", "-ad", "d", "show", "a", NULL), 0, table, "");
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

/* What an ismd with several LPARs says; @answers above is a per-user one's. */
static const struct canned box[] = {
	{ "info",
	  "{\"version\":\"0.1.0\",\"pid\":77,\"hostname\":\"hosta\",\"smc_version\":2,"
	  "\"smc_release\":1,\"ism_v2\":true,\"seid\":\"OPENISM-0123456789ABCDEF01234567\","
	  "\"rundir\":\"/run/ism\",\"mode\":\"system\",\"lpar\":\"web\",\"rights\":\"lpar\","
	  "\"lpars\":3,\"config\":\"/etc/ism.conf\",\"config_fault\":\"/etc/ism.conf:3: what\","
	  "\"proof\":\"namespace\",\"proof_missing\":\"no CAP_BPF: start ismd as root\"}" },
	{ "functions", "{\"functions\":[]}" },
	{ "functions",
	  "{\"functions\":[{\"lpar\":\"db\",\"fid\":42,\"power\":true,"
	  "\"pci_id\":\"002a:00:00.0\",\"pchid\":65535,\"chid\":418,\"vlan\":17,"
	  "\"type\":\"ISM\",\"in_use\":false,\"lgrs\":0,\"pnetid\":\"NET1\","
	  "\"pnetid_user\":true}]}",
	  "{\"op\":\"functions\",\"lpar\":\"db\"}" },
	{ "linkgroups", "{\"error\":\"?\",\"code\":\"perm\"}" },
	{ "linkgroups",
	  "{\"linkgroups\":[{\"lgr_id\":256,\"conns\":1,\"pnetid\":\"NET1\",\"version\":2,"
	  "\"release\":1,\"peer_host\":\"hosta\",\"peer_os\":\"LINUX\",\"eid\":\"SITE-A\","
	  "\"segments\":1,\"pids\":[11,0],\"lpars\":[\"web\",\"db\"],\"chid\":418,"
	  "\"gids\":[\"0000000000000011\",\"0000000000000022\"]}]}",
	  "{\"op\":\"linkgroups\",\"lpar\":\"\"}" },
	{ "eids", "{\"seid\":\"OPENISM-0123456789ABCDEF01234567\",\"seid_enabled\":true,"
	          "\"ueids\":[\"SITE-A.RACK-7\",\"LAB2\"]}" },
	{ "eids",
	  "{\"seid\":\"OPENISM-0123456789ABCDEF01234567\",\"seid_enabled\":false,\"ueids\":[]}",
	  "{\"op\":\"eids\",\"lpar\":\"db\"}" },
	{ "ueid_add", "{\"ok\":true}", "{\"op\":\"ueid_add\",\"eid\":\"LAB3\"}" },
	{ "ueid_add", "{\"ok\":true}",
	  "{\"op\":\"ueid_add\",\"lpar\":\"db\",\"eid\":\"LAB3\",\"persist\":true}" },
	{ "ueid_del", "{\"ok\":true}", "{\"op\":\"ueid_del\",\"eid\":\"LAB3\"}" },
	{ "ueid_del", "{\"ok\":true,\"seid_enabled\":true}",
	  "{\"op\":\"ueid_del\",\"eid\":\"LAST\"}" },
	{ "ueid_flush", "{\"ok\":true,\"seid_enabled\":true}", "{\"op\":\"ueid_flush\"}" },
	{ "seid", "{\"ok\":true}", "{\"op\":\"seid\",\"on\":false,\"persist\":true}" },
	{ "seid", "{\"ok\":true}", "{\"op\":\"seid\",\"lpar\":\"db\",\"on\":true}" },
	{ "lpars",
	  "{\"lpars\":[{\"name\":\"host\",\"match\":\"host\",\"path\":\"\",\"functions\":1,"
	  "\"powered\":1,\"clients\":3,\"conns\":12,\"users\":[]},"
	  "{\"name\":\"web\",\"match\":\"netns\",\"path\":\"/run/netns/web\",\"netns\":4026532281,"
	  "\"functions\":2,\"powered\":1,\"clients\":4,\"conns\":2,\"users\":["
	  "{\"uid\":1000,\"processes\":2,\"segments\":1,\"bytes\":65536,\"refused\":3,"
	  "\"limits\":{\"processes\":10,\"segments\":0,\"bytes\":1048576,\"claims_per_s\":500}},"
	  "{\"uid\":0,\"processes\":1,\"segments\":0,\"bytes\":0,\"refused\":1}]}]}" },
	{ NULL, NULL },
};

static int setup_box(void **state)
{
	world_begin();
	fake_start(box, FAKE_ANSWERS);
	return 0;
}

static int setup_alone(void **state)
{
	world_begin();
	return 0;
}

static void test_box_info(void **state)
{
	static const char info[] = "Kernel Capabilities\n"
				   "SMC Version:      2.1\n"
				   "SMC Hostname:     hosta\n"
				   "SMC-D Features:   v1 v2\n"
				   "SMC-R Features:   n/a\n"
				   "\n"
				   "Hardware Capabilities\n"
				   "SEID:             OPENISM-0123456789ABCDEF01234567\n"
				   "ISM:              n/a\n"
				   "RoCE:             n/a\n"
				   "\n"
				   "Logical Partition\n"
				   "Mode:             system\n"
				   "LPAR:             web\n"
				   "Rights:           LPAR (may change it)\n"
				   "Proof:            namespace\n"
				   "Proof missing:    no CAP_BPF: start ismd as root\n"
				   "Config fault:     /etc/ism.conf:3: what\n";
	const struct outcome *o = run_tool("smcd", "-d", "info", NULL);

	assert_ptr_equal(strstr(o->out, info), o->out);
	assert_non_null(strstr(o->out, "\nConfiguration:    /etc/ism.conf\nLPARs:            3\n"));
	check(run_tool("smcd", "info", NULL), 0, info, "");
}

static void test_box_device(void **state)
{
	static const char plain[] =
		"FID  Type  PCI-ID        PCHID  InUse  #LGs  PNET-ID  \n"
		"002a ISM   002a:00:00.0  ffff   No        0  *NET1            \n";
	static const char details[] =
		"FID  Type  PCI-ID        PCHID  InUse  #LGs  PNET-ID           CHID  VLAN  LPAR\n"
		"002a ISM   002a:00:00.0  ffff   No        0  *NET1             01a2    17  db\n";

	check(run_tool("smcd", "device", NULL), 0, "", "");
	check(run_tool("smcd", "-l", "db", "device", NULL), 0, plain, "");
	check(run_tool("smcd", "--lpar=db", "-d", "device", NULL), 0, details, "");
	check(run_tool("smcd", "-d", "device", "--lpar", "db", NULL), 0, details, "");
	check(run_tool("smcd", "-N", "db", "device", "show", NULL), 0, plain, "");
	check(run_tool("smcd", "-l", NULL), 255, "",
	      "Error: Option \"-l\" is unknown, try \"smcd help\".\n");
}

static void test_box_linkgroup(void **state)
{
	static const char ends[] = "Segments : 1\n"
				   "PIDs     : 11 0\n"
				   "LPARs    : web db\n"
				   "CHID     : 01a2\n"
				   "GIDs     : 0000000000000011 0000000000000022\n";
	const struct outcome *o = run_tool("smcd", "-dd", "-lp", ".", "l", NULL);

	assert_int_equal(o->status, 0);
	assert_non_null(strstr(o->out, "EID      : SITE-A                          \n"));
	assert_string_equal(strstr(o->out, "Segments"), ends);
	check(run_tool("smcd", "l", "--lpar", "db", NULL), 255, "",
	      "Error: Operation not permitted\n");
}

static void test_lpar(void **state)
{
	static const char header[] =
		"LPAR             Match   Functions  Clients   #Conns  #Users Refused\n";
	static const char host[] =
		"host             host          1/1        3       12       0       0\n";
	static const char web[] =
		"web              netns         1/2        4        2       2       4\n";
	char table[256];

	snprintf(table, sizeof(table), "%s%s%s", header, host, web);
	check(run_tool("smcd", "lpar", NULL), 0, table, "");
	check(run_tool("smcd", "lp", "show", "all", NULL), 0, table, "");
	snprintf(table, sizeof(table), "%s%s", header, web);
	check(run_tool("smcd", "lpars", "web", NULL), 0, table, "");
	check(run_tool("smcd", "-d", "lpar", NULL), 0,
	      "LPAR     : host\n"
	      "Match    : host\n"
	      "Functions: 1\n"
	      "Powered  : 1\n"
	      "Clients  : 3\n"
	      "#Conns   : 12\n"
	      "\n"
	      "LPAR     : web\n"
	      "Match    : netns /run/netns/web\n"
	      "Net-NS   : 4026532281\n"
	      "Functions: 2\n"
	      "Powered  : 1\n"
	      "Clients  : 4\n"
	      "#Conns   : 2\n"
	      "User     : 1000  processes 2/10  segments 1  bytes 65536/1048576  claims at most "
	      "500/s  refused 3\n"
	      "User     : 0  processes 1  segments 0  bytes 0  refused 1\n",
	      "");
	check(run_tool("smcd", "lpar", "db", NULL), 255, "",
	      "Error: LPAR \"db\" does not exist, or is not yours to see\n");
	check(run_tool("smcd", "lpar", "web", "x", NULL), 255, "",
	      "Usage: smcd lpar [show] [all | NAME]\n");
}

static void test_ueid(void **state)
{
	check(run_tool("smcd", "ueid", NULL), 0,
	      "SITE-A.RACK-7                   \n"
	      "LAB2                            \n",
	      "");
	check(run_tool("smcd", "u", "show", "--lpar", "db", NULL), 0, "", "");
	check(run_tool("smcd", "ueid", "add", "LAB3", NULL), 0, "", "");
	check(run_tool("smcd", "-N", "db", "-p", "ueid", "add", "LAB3", NULL), 0, "", "");
	check(run_tool("smcd", "ueid", "add", "LAB3", "--persist", "--lpar=db", NULL), 0, "", "");
	check(run_tool("smcd", "ueid", "del", "LAB3", NULL), 0, "", "");
	/* it worked, so it succeeds; the original exits 255 */
	check(run_tool("smcd", "ueid", "del", "LAST", NULL), 0, "",
	      "Info: the System EID was activated because the last User EID was removed\n");
	check(run_tool("smcd", "ueid", "flush", NULL), 0, "", "");
	assert_int_equal(run_tool("smcd", "ueid", "add", NULL)->status, 255);
	assert_int_equal(run_tool("smcd", "ueid", "flush", "x", NULL)->status, 255);
}

static void test_seid(void **state)
{
	check(run_tool("smcd", "se", NULL), 0, "OPENISM-0123456789ABCDEF01234567 [enabled]\n", "");
	check(run_tool("smcd", "-l", "db", "seid", "sh", NULL), 0,
	      "OPENISM-0123456789ABCDEF01234567 [disabled]\n", "");
	check(run_tool("smcd", "--persist", "seid", "dis", NULL), 0, "", "");
	check(run_tool("smcd", "seid", "enable", "--lpar", "db", NULL), 0, "", "");
	assert_int_equal(run_tool("smcd", "seid", "enable", "x", NULL)->status, 255);
	assert_int_equal(run_tool("smcd", "seid", "help", NULL)->status, 255);
}

/* What ismd refuses, in the original's words. */
static void test_eid_refusals(void **state)
{
	static const struct {
		const char *object, *command, *eid, *code, *message;
	} cases[] = {
		{ "ueid", "add", "A", "eid", "specified User EID was rejected by the kernel" },
		{ "ueid", "add", "A", "exists", "specified User EID is already defined" },
		{ "ueid", "add", "A", "full",
		  "specified User EID was rejected because the maximum number of User EIDs is "
		  "reached" },
		{ "ueid", "add", "A", "op", "operation not supported by kernel" },
		{ "ueid", "add", "A", "perm", "Operation not permitted" },
		{ "ueid", "add", "A", "nolpar", "its own words" },
		{ "ueid", "del", "A", "noent", "specified User EID is not defined" },
		{ "ueid", "del", "A", "perm", "Operation not permitted" },
		{ "ueid", "flush", NULL, "perm", "Operation not permitted" },
		{ "ueid", "show", NULL, "other", "its own words" },
		{ "seid", "disable", NULL, "noueid",
		  "System EID cannot be disabled because no User EID is defined" },
		{ "seid", "enable", NULL, "perm", "Operation not permitted" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static char refusal[96], message[128];
		const struct canned refusing[] = {
			{ "eids", *cases[i].object == 'u' ? refusal : "{\"seid\":\"S\"}" },
			{ "ueid_add", refusal },
			{ "ueid_del", refusal },
			{ "ueid_flush", refusal },
			{ "seid", refusal },
			{ NULL, NULL },
		};

		snprintf(refusal, sizeof(refusal), "{\"error\":\"its own words\",\"code\":\"%s\"}",
		         cases[i].code);
		snprintf(message, sizeof(message), "Error: %s\n", cases[i].message);
		world_begin();
		fake_start(refusing, FAKE_ANSWERS);
		check(run_tool("smcd", cases[i].object, cases[i].command, cases[i].eid, NULL), 255,
		      "", message);
		world_end();
	}
}

static void test_no_seid(void **state)
{
	static const struct canned none[] = {
		{ "eids", "{\"seid\":\"\",\"seid_enabled\":false,\"ueids\":[]}" },
		{ NULL, NULL },
	};

	fake_start(none, FAKE_ANSWERS);
	check(run_tool("smcd", "seid", NULL), 0, "n/a\n", "");
	check(run_tool("smcd", "seid", "en", NULL), 255, "", "Error: System EID not available\n");
	check(run_tool("smcd", "ueid", NULL), 0, "", "");
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
#define BOX(f) cmocka_unit_test_setup_teardown(f, setup_box, teardown)
#define ALONE(f) cmocka_unit_test_setup_teardown(f, setup_alone, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_options),
		TEST(test_info),
		TEST(test_linkgroup),
		TEST(test_device),
		TEST(test_stats),
		TEST(test_linkgroup_details),
		TEST(test_bad_ueids),
		BOX(test_box_info),
		BOX(test_box_device),
		BOX(test_box_linkgroup),
		BOX(test_lpar),
		BOX(test_ueid),
		BOX(test_seid),
		ALONE(test_no_seid),
		cmocka_unit_test(test_eid_refusals),
		cmocka_unit_test(test_short_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
