/* SPDX-License-Identifier: Apache-2.0 */
/* What tools may change about an LPAR's EIDs and its PNET table: the operations
 * one by one, without a daemon around them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"

static struct ismd d;
static struct lpar l;
static struct function fn1, fn2;
static struct conf *conf;

static void function_init(struct function *f, uint32_t fid)
{
	*f = (struct function){ .conf = { .fid = fid, .chid = 0xffff, .power = true } };
	strcpy(f->conf.pnetid, "OPENISM");
	strcpy(f->pnetid_conf, "OPENISM");
	list_add_tail(&l.functions, &f->link);
	l.nfunctions++;
}

/* An LPAR of the box: nothing is stored unless the request says so. */
static int setup(void **state)
{
	memset(&d, 0, sizeof(d));
	memset(&l, 0, sizeof(l));
	d.opt.system = true;
	d.conf = conf = conf_default();
	assert_non_null(conf);
	snprintf(conf->state_dir, sizeof(conf->state_dir), "/nonexistent/openism-test");
	list_init(&d.lpars);
	list_init(&d.netns);
	list_init(&d.tables);
	list_init(&d.clients);
	list_init(&d.lgrs);
	list_init(&l.functions);
	list_init(&l.interfaces);
	list_init(&l.users);
	strcpy(l.name, "web");
	l.in_conf = l.seid = true;
	l.listener.fd = -1;
	list_add_tail(&d.lpars, &l.link);
	function_init(&fn1, 1);
	function_init(&fn2, 42);
	return 0;
}

static int teardown(void **state)
{
	list_each(it, next, &l.interfaces) free(list_item(it, struct pnet_interface, link));
	conf_free(conf);
	return 0;
}

/* The answer, until the next question. */
static const char *ask(ctl_fn *fn, const char *request)
{
	static char text[4096];
	struct ctl_ask a = { .rights = RIGHTS_LPAR, .lpar = &l, .op = "op" };
	struct json_object *persist;
	struct jsonout j = { 0 };

	a.req = json_tokener_parse(request);
	assert_non_null(a.req);
	a.persist = json_object_object_get_ex(a.req, "persist", &persist);
	fn(&d, &j, &a);
	assert_false(j.failed);
	assert_true(j.len < sizeof(text));
	memcpy(text, j.text, j.len);
	text[j.len] = 0;
	jout_free(&j);
	json_object_put(a.req);
	return text;
}

static void refused(ctl_fn *fn, const char *request, const char *code)
{
	struct json_object *answer = json_tokener_parse(ask(fn, request)), *member;

	assert_non_null(answer);
	assert_true(json_object_object_get_ex(answer, "error", &member));
	assert_true(json_object_object_get_ex(answer, "code", &member));
	assert_string_equal(json_object_get_string(member), code);
	json_object_put(answer);
}

#define OK "{\"ok\":true}"
#define OK_SEID "{\"ok\":true,\"seid_enabled\":true}"

static void eids_are(const char *seid_enabled, const char *ueids)
{
	char expected[512];

	snprintf(expected, sizeof(expected), "{\"seid\":\"%s\",\"seid_enabled\":%s,\"ueids\":[%s]}",
	         lpar_seid(), seid_enabled, ueids);
	assert_string_equal(ask(ctl_eids, "{}"), expected);
}

static void malformed_ueids(void **state)
{
	refused(ctl_ueid_add, "{\"eid\":\"\"}", "eid");
	refused(ctl_ueid_add, "{\"eid\":\"lab\"}", "eid");
	refused(ctl_ueid_add, "{\"eid\":\"A..B\"}", "eid");
	refused(ctl_ueid_add, "{\"eid\":\"A23456789012345678901234567890123\"}", "eid");
	refused(ctl_ueid_add, "{}", "usage");
	refused(ctl_ueid_add, "{\"eid\":7}", "usage");
	refused(ctl_ueid_del, "{}", "usage");
	eids_are("true", "");
}

static void four_ueids(void **state)
{
	assert_string_equal(ask(ctl_ueid_add, "{\"eid\":\"A\"}"), OK);
	refused(ctl_ueid_add, "{\"eid\":\"A\"}", "exists");
	assert_string_equal(ask(ctl_ueid_add, "{\"eid\":\"B\"}"), OK);
	assert_string_equal(ask(ctl_ueid_add, "{\"eid\":\"C\"}"), OK);
	assert_string_equal(ask(ctl_ueid_add, "{\"eid\":\"A2345678901234567890123456789012\"}"),
	                    OK);
	refused(ctl_ueid_add, "{\"eid\":\"E\"}", "full");
	refused(ctl_ueid_add, "{\"eid\":\"C\"}", "exists");
	eids_are("true", "\"A\",\"B\",\"C\",\"A2345678901234567890123456789012\"");
	assert_string_equal(ask(ctl_ueid_del, "{\"eid\":\"B\"}"), OK);
	refused(ctl_ueid_del, "{\"eid\":\"B\"}", "noent");
	eids_are("true", "\"A\",\"C\",\"A2345678901234567890123456789012\"");
	assert_string_equal(ask(ctl_ueid_add, "{\"eid\":\"E\"}"), OK);
	assert_string_equal(ask(ctl_ueid_flush, "{}"), OK);
	eids_are("true", "");
}

/* There is always an EID. */
static void seid_comes_back(void **state)
{
	refused(ctl_seid, "{\"on\":false}", "noueid");
	refused(ctl_seid, "{}", "usage");
	refused(ctl_seid, "{\"on\":1}", "usage");
	ask(ctl_ueid_add, "{\"eid\":\"A\"}");
	ask(ctl_ueid_add, "{\"eid\":\"B\"}");
	assert_string_equal(ask(ctl_seid, "{\"on\":false}"), OK);
	assert_string_equal(ask(ctl_seid, "{\"on\":false}"), OK);
	eids_are("false", "\"A\",\"B\"");
	assert_string_equal(ask(ctl_ueid_del, "{\"eid\":\"A\"}"), OK);
	assert_string_equal(ask(ctl_ueid_del, "{\"eid\":\"B\"}"), OK_SEID);
	eids_are("true", "");
	ask(ctl_ueid_add, "{\"eid\":\"A\"}");
	ask(ctl_seid, "{\"on\":false}");
	assert_string_equal(ask(ctl_ueid_flush, "{}"), OK_SEID);
	assert_string_equal(ask(ctl_ueid_flush, "{}"), OK);
	assert_string_equal(ask(ctl_seid, "{\"on\":true}"), OK);
}

static void pnet_is(const char *entries)
{
	char expected[512];

	snprintf(expected, sizeof(expected), "{\"pnet\":[%s]}", entries);
	assert_string_equal(ask(ctl_pnet, "{}"), expected);
}

static void bad_entries(void **state)
{
	refused(ctl_pnet_add, "{\"interface\":\"lo\"}", "pnetid");
	refused(ctl_pnet_add, "{\"pnetid\":\"\",\"interface\":\"lo\"}", "pnetid");
	refused(ctl_pnet_add, "{\"pnetid\":\"NET-1\",\"interface\":\"lo\"}", "pnetid");
	refused(ctl_pnet_add, "{\"pnetid\":\"A2345678901234567\",\"fid\":1}", "pnetid");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\"}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"interface\":\"\",\"fid\":0}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"interface\":\"a/b\"}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"interface\":\"a b\"}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"interface\":\"sixteen-letters-\"}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"interface\":\"\\u00e9\"}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"fid\":\"1\"}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"fid\":-1}", "usage");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"fid\":2}", "nodev");
	pnet_is("");
}

/* A function has the PNETID of its entry, and then the one that it had. */
static void function_entries(void **state)
{
	assert_string_equal(ask(ctl_pnet_add, "{\"pnetid\":\"net2\",\"fid\":42}"), OK);
	assert_string_equal(fn2.conf.pnetid, "NET2");
	assert_string_equal(fn1.conf.pnetid, "OPENISM");
	refused(ctl_pnet_add, "{\"pnetid\":\"NET3\",\"fid\":42}", "exists");
	pnet_is("{\"pnetid\":\"NET2\",\"interface\":\"\",\"fid\":42}");
	refused(ctl_pnet_del, "{\"pnetid\":\"net2\"}", "noent");
	refused(ctl_pnet_del, "{\"pnetid\":\"OPENISM\"}", "noent");
	refused(ctl_pnet_del, "{\"pnetid\":\"\"}", "pnetid");
	refused(ctl_pnet_del, "{}", "pnetid");
	assert_string_equal(ask(ctl_pnet_del, "{\"pnetid\":\"NET2\"}"), OK);
	assert_string_equal(fn2.conf.pnetid, "OPENISM");
	assert_false(fn2.pnetid_user);
	pnet_is("");
}

static void interface_entries(void **state)
{
	assert_string_equal(ask(ctl_pnet_add, "{\"pnetid\":\"N1\",\"interface\":\"eth0\"}"), OK);
	refused(ctl_pnet_add, "{\"pnetid\":\"N2\",\"interface\":\"eth0\"}", "exists");
	assert_string_equal(
		ask(ctl_pnet_add, "{\"pnetid\":\"N1\",\"interface\":\"eth1\",\"fid\":1}"), OK);
	assert_string_equal(ask(ctl_pnet_add, "{\"pnetid\":\"N2\",\"interface\":\"br0\"}"), OK);
	pnet_is("{\"pnetid\":\"N1\",\"interface\":\"eth0\",\"fid\":0},"
	        "{\"pnetid\":\"N1\",\"interface\":\"eth1\",\"fid\":0},"
	        "{\"pnetid\":\"N2\",\"interface\":\"br0\",\"fid\":0},"
	        "{\"pnetid\":\"N1\",\"interface\":\"\",\"fid\":1}");
	assert_string_equal(ask(ctl_pnet_del, "{\"pnetid\":\"N1\"}"), OK);
	pnet_is("{\"pnetid\":\"N2\",\"interface\":\"br0\",\"fid\":0}");
	assert_string_equal(ask(ctl_pnet_flush, "{}"), OK);
	assert_string_equal(ask(ctl_pnet_flush, "{}"), OK);
	pnet_is("");
}

/* Both parts of an entry, or none. */
static void half_an_entry(void **state)
{
	ask(ctl_pnet_add, "{\"pnetid\":\"N1\",\"fid\":1}");
	refused(ctl_pnet_add, "{\"pnetid\":\"N1\",\"interface\":\"eth0\",\"fid\":1}", "exists");
	refused(ctl_pnet_add, "{\"pnetid\":\"N1\",\"interface\":\"eth0\",\"fid\":7}", "nodev");
	pnet_is("{\"pnetid\":\"N1\",\"interface\":\"\",\"fid\":1}");
	ask(ctl_pnet_add, "{\"pnetid\":\"N2\",\"interface\":\"eth0\"}");
	refused(ctl_pnet_add, "{\"pnetid\":\"N2\",\"interface\":\"eth0\",\"fid\":42}", "exists");
	assert_false(fn2.pnetid_user);
}

static void many_interfaces(void **state)
{
	char request[96];

	for (unsigned i = 0; i < 256; i++) {
		snprintf(request, sizeof(request), "{\"pnetid\":\"N\",\"interface\":\"if%u\"}", i);
		assert_string_equal(ask(ctl_pnet_add, request), OK);
	}
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"interface\":\"one-more\"}", "full");
	assert_string_equal(ask(ctl_pnet_add, "{\"pnetid\":\"N\",\"fid\":1}"), OK);
}

/* What cannot be stored is said, and is so nevertheless. */
static void not_stored(void **state)
{
	refused(ctl_ueid_add, "{\"eid\":\"A\",\"persist\":true}", "io");
	refused(ctl_pnet_add, "{\"pnetid\":\"N\",\"fid\":1,\"persist\":true}", "io");
	eids_are("true", "\"A\"");
	assert_string_equal(fn1.conf.pnetid, "N");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(malformed_ueids), TEST(four_ueids),       TEST(seid_comes_back),
		TEST(bad_entries),     TEST(function_entries), TEST(interface_entries),
		TEST(half_an_entry),   TEST(many_interfaces),  TEST(not_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
