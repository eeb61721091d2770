/* SPDX-License-Identifier: Apache-2.0 */
/* smcss's columns byte by byte: scripts count them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fabric/wire.h"
#include "tools/test_tool.h"

#define HEADER                                                                               \
	"State          UID   Inode   Local Address           Peer Address            Intf " \
	"Mode "

#define ADDR4(l, lp, r, rp) \
	"\"family\":4,\"laddr\":\"" l "\",\"lport\":" #lp ",\"raddr\":\"" r "\",\"rport\":" #rp ","
#define ADDR6(l, lp, r, rp) \
	"\"family\":6,\"laddr\":\"" l "\",\"lport\":" #lp ",\"raddr\":\"" r "\",\"rport\":" #rp ","
#define ROW(state, uid, inode, rest) \
	"{\"state\":" #state ",\"uid\":" #uid ",\"inode\":" #inode "," rest "},"

/* clang-format off */
static const char sockets[] =
	"{\"sockets\":["
	ROW(1, 0, 779,
	    ADDR6("2001:db8:aa:bb:cc:dd:1:2", 45680, "2001:db8:aa:bb:cc:dd:1:3", 8080)
	    "\"intf\":0,\"mode\":\"TCP\",\"reason\":50397184")
	ROW(1, 0, 790, ADDR6("::1", 9, "::ffff:10.1.2.3", 65535)
	    "\"mode\":\"TCP\",\"reason\":83886080,\"peer_reason\":50528256")
	ROW(10, 0, 791, ADDR6("::", 8080, "::", 0) "\"mode\":\"\"")
	ROW(10, 0, 34567, ADDR4("0.0.0.0", 8080, "0.0.0.0", 0) "\"mode\":\"\"")
	ROW(2, 1000, 45, "\"family\":4,\"laddr\":\"\",\"mode\":\"\"")
	ROW(1, 4294967294, 12345678, ADDR4("10.1.0.1", 8080, "10.1.0.2", 50112)
	    "\"intf\":18,\"mode\":\"SMCD\",\"reason\":0,\"peer_reason\":0,\"lgr_id\":768,"
	    "\"gid\":\"1122334455667788\",\"peer_gid\":\"8877665544332211\","
	    "\"token\":\"00000e8000000012\",\"peer_token\":\"f0000e9000000034\","
	    "\"conn_token\":2213,\"sndbuf\":65536,\"rcvbuf\":131072,\"peerbuf\":65536,"
	    "\"shutdown\":2,\"rx_prod\":139072,\"rx_cons\":139000,\"tx_prod\":65540,"
	    "\"tx_cons\":65537,\"rx_flags\":32896,\"tx_flags\":16")
	ROW(1, 0, 777, ADDR4("10.1.0.1", 8080, "10.1.0.3", 50113)
	    "\"intf\":0,\"mode\":\"TCP\",\"reason\":50397184,\"peer_reason\":0")
	ROW(7, 0, 781, ADDR4("10.1.0.1", 8080, "10.1.0.5", 50115)
	    "\"intf\":0,\"mode\":\"TCP\",\"reason\":50397184")
	ROW(25, 0, 783, ADDR4("10.1.0.1", 8080, "10.1.0.7", 50117)
	    "\"mode\":\"SMCD\",\"shutdown\":3")
	"{\"state\":99,\"uid\":5,\"inode\":1,\"family\":4,\"laddr\":\"1.1.1.1\",\"lport\":1,"
	"\"raddr\":\"2.2.2.2\",\"rport\":2,\"mode\":\"TCP\",\"reason\":0}]}";
/* clang-format on */

static const struct canned answers[] = { { "sockets", sockets }, { NULL, NULL } };

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

#define ROW_SMCD                                                                              \
	"ACTIVE         4294967294 12345678 10.1.0.1:8080           10.1.0.2:50112          " \
	"0012 SMCD "
#define ROW_TCP                                                                                  \
	"ACTIVE         00000 0000777 10.1.0.1:8080           10.1.0.3:50113          0000 TCP " \
	"0x03010000"
#define ROW_CLOSED \
	"CLOSED         00000 0000781 10.1.0.1:8080           10.1.0.5:50115          0000 \n"
#define ROW_LONG_STATE \
	"PEERFINCLOSEWAIT 00000 0000783 10.1.0.1:8080           10.1.0.7:50117          0000 SMCD "
#define ROW_ODD \
	"0x63?          00005 0000001 1.1.1.1:1               2.2.2.2:2               0000 TCP \n"
#define ROW_CUT                                                                                  \
	"ACTIVE         00000 0000779 2001:db8:aa:bb:..:45680 2001:db8:aa:bb:c..:8080 0000 TCP " \
	"0x03010000"
#define ROW_PAIR                                                                                 \
	"ACTIVE         00000 0000790 ::1:9                   ::ffff:10.1.2.3:65535   0000 TCP " \
	"0x05000000/0x03030000"
#define ROW_LISTEN4 "LISTEN         00000 0034567 0.0.0.0:8080            \n"
#define ROW_LISTEN6 "LISTEN         00000 0000791 :::8080                 \n"
#define ROW_INIT "INIT           01000 0000045 \n"

static void check(const struct outcome *o, const char *out)
{
	assert_string_equal(o->out, out);
	assert_string_equal(o->err, "");
	assert_int_equal(o->status, 0);
}

/* Neither listening nor connecting; IPv4 before IPv6. */
static void test_plain(void **state)
{
	check(run_tool("smcss", NULL),
	      HEADER "\n" ROW_SMCD "\n" ROW_TCP "\n" ROW_CLOSED ROW_LONG_STATE "\n" ROW_ODD ROW_CUT
	             "\n" ROW_PAIR "\n");
}

static void test_all(void **state)
{
	check(run_tool("smcss", "-a", NULL),
	      HEADER "\n" ROW_LISTEN4 ROW_INIT ROW_SMCD "\n" ROW_TCP "\n" ROW_CLOSED ROW_LONG_STATE
	             "\n" ROW_ODD ROW_CUT "\n" ROW_PAIR "\n" ROW_LISTEN6);
}

static void test_listening(void **state)
{
	check(run_tool("smcss", "-l", NULL), HEADER "\n" ROW_LISTEN4 ROW_LISTEN6);
	check(run_tool("smcss", "--l", NULL), HEADER "\n" ROW_LISTEN4 ROW_LISTEN6);
	check(run_tool("smcss", "--listen", "ignored", NULL), HEADER "\n" ROW_LISTEN4 ROW_LISTEN6);
}

static void test_wide(void **state)
{
	static const char wide[] = "ACTIVE         00000 0000779 2001:db8:aa:bb:cc:dd:1:2:45680 "
				   "2001:db8:aa:bb:cc:dd:1:3:8080 0000 TCP 0x03010000\n";

	assert_non_null(strstr(run_tool("smcss", "-W", NULL)->out, wide));
	assert_non_null(strstr(run_tool("smcss", "--w", NULL)->out, wide));
	assert_non_null(strstr(run_tool("smcss", "-W", NULL)->out, ROW_PAIR));
}

static void test_debug(void **state)
{
	check(run_tool("smcss", "-d", NULL),
	      HEADER "Shutd Token    Sndbuf   Rcvbuf   Peerbuf  rxprod-Cursor rxcons-Cursor "
	             "rxFlags txprod-Cursor txcons-Cursor txFlags txprep-Cursor txsent-Cursor "
	             "txfin-Cursor  \n" ROW_SMCD
	             " <-W  000008a5 00010000 00020000 00010000 0001:00001f40 0001:00000001 "
	             "80:80   0001:00000004 0001:00001ef8 10:00   0001:00000004 0001:00000004 "
	             "0001:00000001 \n" ROW_TCP "\n" ROW_CLOSED ROW_LONG_STATE
	             " R-W  00000000 00000000 00000000 00000000 0000:00000000 0000:00000000 "
	             "00:00   0000:00000000 0000:00000000 00:00   0000:00000000 0000:00000000 "
	             "0000:00000000 \n" ROW_ODD ROW_CUT "\n" ROW_PAIR "\n");
}

static void test_smcd(void **state)
{
	check(run_tool("smcss", "-aD", NULL),
	      HEADER "GID              Token            Peer-GID         Peer-Token       "
	             "Linkid\n" ROW_SMCD "1122334455667788 00000e8000000012 8877665544332211 "
	             "f0000e9000000034 00000300 \n" ROW_LONG_STATE
	             "0000000000000000 0000000000000000 0000000000000000 0000000000000000 "
	             "00000000 \n");
}

/* There is no SMC-R, and what is undecided counts as it, as in smc_diag. */
static void test_smcr(void **state)
{
	static const char header[] = HEADER
		"Role IB-device       Port Linkid GID                                  "
		"    Peer-GID\n";
	char with_rows[512];

	check(run_tool("smcss", "-R", NULL), header);
	snprintf(with_rows, sizeof(with_rows), "%s%s", header, ROW_LISTEN4 ROW_INIT ROW_LISTEN6);
	check(run_tool("smcss", "-Ra", NULL), with_rows);
}

static void test_explain(void **state)
{
	check(run_tool("smcss", "--explain", NULL), HEADER
	      "\n" ROW_SMCD "\n" ROW_TCP "  peer does not support SMC\n" ROW_CLOSED ROW_LONG_STATE
	      "\n" ROW_ODD ROW_CUT "  peer does not support SMC\n" ROW_PAIR
	      "  peer declined during handshake; peer: no SMC device found\n");
}

static void test_json(void **state)
{
	const struct outcome *o = run_tool("smcss", "--json", "-D", NULL);

	assert_int_equal(o->status, 0);
	assert_ptr_equal(strstr(o->out, "[\n{\"state\":1,\"uid\":4294967294,"), o->out);
	assert_non_null(strstr(o->out, "\"rx_prod\":139072"));
	assert_non_null(strstr(o->out, "\"state_name\":\"PEERFINCLOSEWAIT\"}\n]\n"));
	o = run_tool("smcss", "--json", NULL);
	assert_non_null(strstr(o->out, "\"peer_reason_text\":\"no SMC device found\""));
}

static const struct canned lpar_answers[] = {
	{ "sockets", "{\"error\":\"there is no LPAR\",\"code\":\"nolpar\"}" },
	{ "sockets", "{\"error\":\"not yours\",\"code\":\"perm\"}",
	  "{\"op\":\"sockets\",\"lpar\":\"db\"}" },
	{ "sockets",
	  "{\"sockets\":[" ROW(10, 0, 34567,
	                       ADDR4("0.0.0.0", 8080, "0.0.0.0",
	                             0) "\"mode\":\"\",\"lpar\":\"web\",\"peer_lpar\":\"\"")
	          ROW(1, 0, 777,
	              ADDR4("10.1.0.1", 8080, "10.1.0.3",
	                    50113) "\"mode\":\"SMCD\",\"lpar\":\"web\",\"peer_lpar\":\"db\","
	                           "\"proof\":\"syn-option\"") "{}]}",
	  "{\"op\":\"sockets\",\"lpar\":\"\"}" },
	{ NULL, NULL },
};

/* The LPARs stand in front, and only where they are asked for. */
static void test_lpar(void **state)
{
	static const char row[] = "ACTIVE         00000 0000777 10.1.0.1:8080           "
				  "10.1.0.3:50113          0000 SMCD \n";
	const struct outcome *o;

	fake_start(lpar_answers, FAKE_ANSWERS);
	o = run_tool("smcss", "-N", ".", NULL);
	assert_non_null(strstr(o->out, HEADER "\n"));
	assert_ptr_equal(strstr(o->out, row), o->out + sizeof(HEADER "\n") - 1);
	o = run_tool("smcss", "-aL", "--lpar=", NULL);
	assert_ptr_equal(strstr(o->out, "LPAR             Peer-LPAR        " HEADER "\n"
	                                "web              -                " ROW_LISTEN4
	                                "web              db               ACTIVE "),
	                 o->out);
	o = run_tool("smcss", "--show-lpar", "--lpar", ".", "--json", NULL);
	assert_non_null(strstr(o->out, "\"lpar\":\"web\",\"peer_lpar\":\"db\","
	                               "\"proof\":\"syn-option\""));
}

static void test_lpar_refused(void **state)
{
	const struct outcome *o;

	fake_start(lpar_answers, FAKE_ANSWERS);
	o = run_tool("smcss", "-N", "web", NULL);
	assert_string_equal(o->err, "RTNETLINK answers: there is no LPAR\n");
	assert_string_equal(o->out, HEADER "\n");
	assert_int_equal(o->status, 1);
	o = run_tool("smcss", "-N", "db", NULL);
	assert_string_equal(o->err, "RTNETLINK answers: not yours\n");
}

/* The refused pairs, in their order. */
static void test_conflicts(void **state)
{
	static const struct {
		const char *options, *message;
	} pairs[] = {
		{ "-RDl", "--smcd together with --smcr is not supported\n" },
		{ "-ldaRv", "" }, /* -v acts before any check */
		{ "-ldaR", "--listening together with --debug is not supported\n" },
		{ "-laR", "--listening together with --all is not supported\n" },
		{ "-lR", "--listening together with --smcr is not supported\n" },
		{ "-lD", "--listening together with --smcd is not supported\n" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct outcome *o = run_tool("smcss", pairs[i].options, NULL);
		size_t len = strlen(pairs[i].message);

		assert_int_equal(o->status, len ? 1 : 0);
		if (!len)
			continue;
		assert_string_equal(o->out, "");
		assert_memory_equal(o->err, pairs[i].message, len);
		assert_ptr_equal(strstr(o->err, "Usage: smcss [ OPTIONS ]\n"), o->err + len);
	}
}

static void test_usage(void **state)
{
	const struct outcome *o = run_tool("smcss", "--s", NULL);

	assert_int_equal(o->status, 1);
	assert_non_null(strstr(o->err, "ambiguous"));
	assert_non_null(strstr(o->err, "Usage: smcss"));
	assert_int_equal(run_tool("smcss", "--watch", "nan", NULL)->status, 1);
	assert_int_equal(run_tool("smcss", "--watch", "0", NULL)->status, 1);
	check(run_tool("smcss", "-v", NULL), "smcss utility, openism-" OPENISM_VERSION "\n");
	o = run_tool("smcss", "--help", NULL);
	assert_int_equal(o->status, 0);
	assert_ptr_equal(strstr(o->out, "Usage: smcss [ OPTIONS ]\n"), o->out);
}

/* No daemon, no sockets, no error; and none is started for a list. */
static void test_alone(void **state)
{
	check(run_tool("smcss", NULL), HEADER "\n");
	check(run_tool("smcss", "--json", NULL), "[]\n");
}

static void test_silent(void **state)
{
	const struct outcome *o;

	fake_start(answers, FAKE_SILENT);
	o = run_tool("smcss", NULL);
	assert_int_equal(o->status, 1);
	assert_string_equal(o->out, HEADER "\n");
	assert_string_equal(o->err, "Error: ismd does not answer (waited 2 s)\n");
}

static void test_other_version(void **state)
{
	const struct outcome *o;
	char expected[96];

	fake_start(answers, FAKE_OTHER_VERSION);
	o = run_tool("smcss", NULL);
	assert_int_equal(o->status, 1);
	snprintf(expected, sizeof(expected),
	         "Error: ismd speaks version 99 of the protocol, this tool %u\n",
	         (unsigned)FAB_WIRE_VERSION);
	assert_string_equal(o->err, expected);
}

static void test_hung_up(void **state)
{
	fake_start(answers, FAKE_HANGS_UP);
	assert_int_equal(run_tool("smcss", NULL)->status, 1);
}

static void test_refused(void **state)
{
	static const struct canned none[] = { { NULL, NULL } };
	const struct outcome *o;

	fake_start(none, FAKE_ANSWERS);
	o = run_tool("smcss", NULL);
	assert_int_equal(o->status, 1);
	assert_string_equal(o->out, HEADER "\n");
	assert_string_equal(o->err, "RTNETLINK answers: unknown operation\n");
}

static void test_full_disk(void **state)
{
	char *args[] = { (char *)"sh", (char *)"-c", (char *)"exec \"$0\" >/dev/full",
		         (char *)beside("smcss"), NULL };

	assert_int_equal(run_program("/bin/sh", args)->status, 1);
}

#define WITH_FAKE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define WITHOUT(f) cmocka_unit_test_setup_teardown(f, setup_alone, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FAKE(test_plain),      WITH_FAKE(test_all),     WITH_FAKE(test_listening),
		WITH_FAKE(test_wide),       WITH_FAKE(test_debug),   WITH_FAKE(test_smcd),
		WITH_FAKE(test_smcr),       WITH_FAKE(test_explain), WITH_FAKE(test_json),
		WITH_FAKE(test_conflicts),  WITH_FAKE(test_usage),   WITH_FAKE(test_full_disk),
		WITHOUT(test_alone),        WITHOUT(test_silent),    WITHOUT(test_other_version),
		WITHOUT(test_hung_up),      WITHOUT(test_refused),   WITHOUT(test_lpar),
		WITHOUT(test_lpar_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
