/* SPDX-License-Identifier: Apache-2.0 */
/* ism.conf: what is refused, in which words; what is read; what rules say. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/keys.h"
#include "conf/parse.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#ifdef __SANITIZE_ADDRESS__
/* libconfig 1.5 loses the text that stands where a syntax error is. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}
#endif

/* Parse @text as file "f"; the complaints into @said. */
static int parse(const char *text, struct conf **c, char **said)
{
	struct complaints out = { .path = "f" };
	size_t len;
	FILE *f = open_memstream(said, &len);
	int r = conf_parse_text(text, strlen(text), c, &out);

	complaints_flush(&out, f);
	fclose(f);
	return r;
}

static struct conf *good(const char *text)
{
	struct conf *c = NULL;
	char *said;

	if (parse(text, &c, &said) < 0)
		fail_msg("refused: %s", said);
	assert_string_equal(said, "");
	free(said);
	return c;
}

static void refused(const char *text, const char *expected)
{
	struct conf *c = NULL;
	char *said;
	int r = parse(text, &c, &said);

	if (r != -EINVAL || c || strcmp(said, expected) != 0)
		fail_msg("%d for:\n%s\nsaid:\n%s\nexpected:\n%s", r, text, said, expected);
	free(said);
}

/* ------------------------------------------------------------------- faults */

#define N5 "n1234"
#define N65 N5 N5 N5 N5 N5 N5 N5 N5 N5 N5 N5 N5 N5
#define N50 N5 N5 N5 N5 N5 N5 N5 N5 N5 N5
#define LPAR(x) "lpars = ( { name = \"a\"; netns = \"/a\"; " x " } );"
#define FUNCTION(x) LPAR("functions = ( { fid = 1; " x " } );")
#define RULE(x) "policy = ( { " x " } );"
#define F(n) "{ fid = " #n "; }"

struct bad {
	const char *text, *said;
};

static const struct bad syntax[] = {
	{ "auto_lpars = true;\n= 3;",
	  "f:2: syntax error: here or just before, expected NAME = VALUE;\n" },
	{ "auto_lpars true;", "f:1: syntax error: here or just before, expected NAME = VALUE;\n" },
	{ "a = \"x\" = \"y\";",
	  "f:1: syntax error: here or just before, expected NAME = VALUE;\n" },
	{ "defer_us = 1;\n\ndefer_us = 2;", "f:3: syntax error: duplicate setting name\n" },
	{ "a = [ 1, \"x\" ];", "f:1: syntax error: mismatched element type in array\n" },
	{ "\n@include \"other.conf\"\n",
	  "f:2: \"@include\": not supported, expected everything in one file\n" },
	{ "\n state_dir = \"/x;\nauto_lpars = true;",
	  "f:2: '\"': a string is not closed, expected '\"' on the same line\n" },
	{ "state_dir = \"/x\\",
	  "f:1: '\"': a string is not closed, expected '\"' on the same line\n" },
	{ "state_dir = \"/x\\x00y\";", "f:1: \"\\x00\": no character of a text, expected none\n" },
	{ "\n/* all\n that is\n", "f:2: \"/*\": a comment is not closed, expected \"*/\"\n" },
	{ "/*/", "f:1: \"/*\": a comment is not closed, expected \"*/\"\n" },
	{ "lpars = (\n", "f:1: \"(\": not closed, expected \")\"\n" },
	{ "lpars = (\n}", "f:2: \"}\": closes \"(\" of line 1, expected \")\"\n" },
	{ "auto_lpar = { };\n}", "f:2: \"}\": closes nothing, expected no bracket\n" },
	{ "lpars = ( { name = \"a\"; uid = 1; },\n);",
	  "f:2: \")\": a comma before it, expected no comma after the last\n" },
	{ "a = (((((((((((((((((1)))))))))))))))));",
	  "f:1: \"(\": nested too deeply, expected at most 16 brackets in each other\n" },
	{ "defer_us = 9999999999999999999;",
	  "f:1: 9999999999999999999: out of range, expected at most 18 digits\n" },
	{ "defer_us = 0x1234567890abcdef;",
	  "f:1: 0x1234567890abcdef: out of range, expected at most 15 digits\n" },
	/* several at once, each on its line */
	{ "a = 9999999999999999999;\nb = [ 1, ];\nc = {",
	  "f:1: 9999999999999999999: out of range, expected at most 18 digits\n"
	  "f:2: \"]\": a comma before it, expected no comma after the last\n"
	  "f:3: \"{\": not closed, expected \"}\"\n" },
};

static const struct bad top[] = {
	{ "lpar = 1;", "f:1: lpar: unknown, did you mean lpars?\n" },
	{ "qouta = { };", "f:1: qouta: unknown, did you mean quota?\n" },
	{ "AUTO_LPARS = true;", "f:1: AUTO_LPARS: unknown, did you mean auto_lpars?\n" },
	{ "colour = 1;",
	  "f:1: colour: unknown, expected one of quota, lpars, auto_lpars, auto_lpar, "
	  "policy, syn_option, defer_us, max_dmbs, max_dmb_bytes, state_dir\n" },
	{ "auto_lpars = 1;", "f:1: auto_lpars: is a number, expected true or false\n" },
	{ "syn_option = \"yes\";", "f:1: syn_option: is a text, expected true or false\n" },
	{ "defer_us = -1;", "f:1: defer_us: -1 is out of range, expected 0 to 1000000\n" },
	{ "defer_us = 1000001;",
	  "f:1: defer_us: 1000001 is out of range, expected 0 to 1000000\n" },
	/* 2^32 + 3000, which libconfig alone would take for 3000 */
	{ "defer_us = 4294970296;",
	  "f:1: defer_us: 4294970296 is out of range, expected 0 to 1000000\n" },
	{ "defer_us = 0x100000bb8;",
	  "f:1: defer_us: 4294970296 is out of range, expected 0 to 1000000\n" },
	{ "defer_us = 3e3;",
	  "f:1: defer_us: is a number with a fraction, expected a number from 0 to 1000000\n" },
	{ "max_dmbs = 4294967296;",
	  "f:1: max_dmbs: 4294967296 is out of range, expected 0 to 4294967295\n" },
	{ "max_dmb_bytes = \"1X\";",
	  "f:1: max_dmb_bytes: \"1X\" is no size, expected digits and perhaps one of K M G T\n" },
	{ "max_dmb_bytes = \"\";",
	  "f:1: max_dmb_bytes: \"\" is no size, expected digits and perhaps one of K M G T\n" },
	{ "max_dmb_bytes = \"1MB\";",
	  "f:1: max_dmb_bytes: \"1MB\" is no size, expected digits and perhaps one of K M G T\n" },
	{ "max_dmb_bytes = \"M\";",
	  "f:1: max_dmb_bytes: \"M\" is no size, expected digits and perhaps one of K M G T\n" },
	{ "max_dmb_bytes = \"1025T\";",
	  "f:1: max_dmb_bytes: is out of range, expected 0 to \"1024T\"\n" },
	{ "max_dmb_bytes = \"999999999999999999T\";",
	  "f:1: max_dmb_bytes: is out of range, expected 0 to \"1024T\"\n" },
	{ "max_dmb_bytes = -1;", "f:1: max_dmb_bytes: is out of range, expected 0 to \"1024T\"\n" },
	{ "max_dmb_bytes = true;",
	  "f:1: max_dmb_bytes: is true or false, expected bytes as a number or "
	  "as a text like \"512M\"\n" },
	{ "state_dir = 5;", "f:1: state_dir: is a number, expected an absolute path\n" },
	{ "state_dir = \"\";", "f:1: state_dir: is empty, expected an absolute path\n" },
	{ "state_dir = \"var/lib\";",
	  "f:1: state_dir: \"var/lib\" is relative, expected an absolute path\n" },
	{ "state_dir = \"/var/../lib\";",
	  "f:1: state_dir: \"/var/../lib\" has \".\" or \"..\" in it, expected a plain path\n" },
	{ "state_dir = \"/var/.\";",
	  "f:1: state_dir: \"/var/.\" has \".\" or \"..\" in it, expected a plain path\n" },
	{ "state_dir = \"/" N50 N50 N50 N50 N50 N5 "\";",
	  "f:1: state_dir: \"/" N50 N5 N5 N5 N5
	  "n12...\" has 256 characters, expected at most 255\n" },
	{ "quota = 5;", "f:1: quota: is a number, expected a group { }\n" },
	{ "quota = { processes = -1; };",
	  "f:1: quota, processes: -1 is out of range, expected 0 to 4294967295\n" },
	{ "quota = { segments = \"5\"; };",
	  "f:1: quota, segments: is a text, expected a number from 0 to 4294967295\n" },
	{ "quota = { claims_per_s = 5; };",
	  "f:1: quota, claims_per_s: unknown, expected one of processes, segments, bytes, "
	  "claims_per_second\n" },
	{ "auto_lpar = ( );", "f:1: auto_lpar: is a list ( ), expected a group { }\n" },
	{ "auto_lpar = { name = \"x\"; };",
	  "f:1: auto_lpar, name: unknown, expected one of functions, ueids, seid, quota\n" },
	{ "auto_lpar = { functions = ( { fid = 0; } ); };",
	  "f:1: auto_lpar, function 1, fid: 0 is out of range, expected 1 to 65535\n" },
	{ "auto_lpar = { seid = false; };",
	  "f:1: auto_lpar: no EID is left with seid = false, expected ueids\n" },
	/* in the order of the lines, whatever was checked first */
	{ "policy = 1;\nlpars = 2;\nquota = 3;\nwhat = 4;",
	  "f:1: policy: is a number, expected a list ( ) of groups { use = ...; }\n"
	  "f:2: lpars: is a number, expected a list ( ) of groups { name = ...; }\n"
	  "f:3: quota: is a number, expected a group { }\n"
	  "f:4: what: unknown, expected one of quota, lpars, auto_lpars, auto_lpar, policy, "
	  "syn_option, defer_us, max_dmbs, max_dmb_bytes, state_dir\n" },
};

static const struct bad lpars[] = {
	{ "lpars = { name = \"a\"; };",
	  "f:1: lpars: is a group { }, expected a list ( ) of groups { name = ...; }\n" },
	{ "lpars = ( 1,\n 2 );", "f:1: lpar 1: is a number, expected a group { }\n"
	                         "f:2: lpar 2: is a number, expected a group { }\n" },
	{ "lpars = ( ( ) );", "f:1: lpar 1: is a list ( ), expected a group { }\n" },
	{ "lpars = ( { netns = \"/a\"; } );", "f:1: lpar 1: name is missing\n" },
	{ "lpars = ( { name = \"\"; uid = 1; } );",
	  "f:1: lpar 1, name: is empty, expected a name\n" },
	{ "lpars = ( { name = 5; uid = 1; } );",
	  "f:1: lpar 1, name: is a number, expected a name\n" },
	{ "lpars = ( { name = \"-a\"; uid = 1; } );",
	  "f:1: lpar \"-a\", name: \"-a\" is no name, expected letters, digits, \".\", \"_\" and \"-\" "
	  "after a letter or digit\n" },
	{ "lpars = ( { name = \"a\x1b[2J\"; uid = 1; } );",
	  "f:1: lpar \"a?[2J\", name: \"a?[2J\" is no name, expected letters, digits, \".\", \"_\" and "
	  "\"-\" after a letter or digit\n" },
	{ "lpars = ( { uid = 1; name = \"" N65 "\"; } );",
	  "f:1: lpar \"" N65 "\", name: \"" N65 "\" has 65 characters, expected at most 64\n" },
	{ "lpars = (\n { name = \"a\"; },\n { name = \"b\"; uid = 5; netns = \"/x\"; } );",
	  "f:2: lpar \"a\": matches nothing, expected one of netns, cgroup, socket, uid\n"
	  "f:3: lpar \"b\": matches in several ways, expected only one of netns, cgroup, socket, uid\n" },
	{ "lpars = (\n { name = \"a\"; uid = 1; },\n { name = \"a\"; uid = 2; } );",
	  "f:3: lpar \"a\": the LPAR of line 2 has this name, expected another\n" },
	{ "lpars = (\n { name = \"host\"; },\n { name = \"host\"; } );",
	  "f:3: lpar \"host\": the LPAR of line 2 has this name, expected another\n" },
	{ "lpars = ( { name = \"host\"; netns = \"/x\"; } );",
	  "f:1: lpar \"host\": the host is matched by itself, expected no netns, cgroup, socket or "
	  "uid\n" },
	{ "lpars = (\n { name = \"a\"; uid = 1; },\n { name = \"b\"; uid = 1; } );",
	  "f:3: lpar \"b\": the LPAR of line 2 matches the same, expected another uid\n" },
	{ "lpars = (\n { name = \"a\"; netns = \"/x/y\"; },\n { name = \"b\"; netns = \"//x//y/\"; } );",
	  "f:3: lpar \"b\": the LPAR of line 2 matches the same, expected another netns\n" },
	{ "lpars = (\n { name = \"a\"; cgroup = \"/x\"; },\n { name = \"b\"; cgroup = \"/x\"; } );",
	  "f:3: lpar \"b\": the LPAR of line 2 matches the same, expected another cgroup\n" },
	{ "lpars = (\n { name = \"a\"; socket = \"/x\"; },\n { name = \"b\"; socket = \"/x\"; } );",
	  "f:3: lpar \"b\": the LPAR of line 2 matches the same, expected another socket\n" },
	{ "lpars = ( { name = \"a\"; netns = \"web\"; } );",
	  "f:1: lpar \"a\", netns: \"web\" is relative, expected an absolute path\n" },
	{ "lpars = ( { name = \"a\"; cgroup = \"/\"; } );",
	  "f:1: lpar \"a\", cgroup: \"/\" is all processes, expected a cgroup below\n" },
	{ "lpars = ( { name = \"a\"; cgroup = \"/sys/fs/cgroup/docker/x\"; } );",
	  "f:1: lpar \"a\", cgroup: \"/sys/fs/cgroup/docker/x\" begins with the mount point, expected "
	  "\"/docker/x\"\n" },
	{ "lpars = ( { name = \"a\"; socket = \"/" N50 N50 "1234567\"; } );",
	  "f:1: lpar \"a\", socket: \"/" N50 N5 N5 N5 N5
	  "n12...\" has 108 characters, expected at most 107\n" },
	{ "lpars = ( { name = \"a\"; uid = 4294967295; } );",
	  "f:1: lpar \"a\", uid: 4294967295 is out of range, expected 0 to 4294967294\n" },
	{ "lpars = ( { name = \"a\"; uid = \"www-data\"; } );",
	  "f:1: lpar \"a\", uid: is a text, expected a number from 0 to 4294967294\n" },
	{ LPAR("net = 1;"),
	  "f:1: lpar \"a\", net: unknown, expected one of name, netns, cgroup, socket, "
	  "uid, functions, ueids, seid, quota\n" },
	{ LPAR("quota = { procesess = 1; };"),
	  "f:1: lpar \"a\", quota, procesess: unknown, did you mean processes?\n" },
	{ LPAR("seid = 1;"), "f:1: lpar \"a\", seid: is a number, expected true or false\n" },
	{ LPAR("seid = false; ueids = [ ];"),
	  "f:1: lpar \"a\": no EID is left with seid = false, expected ueids\n" },
	{ LPAR("ueids = \"A\";"),
	  "f:1: lpar \"a\", ueids: is a text, expected a list ( ) of texts\n" },
	{ LPAR("ueids = [ 1 ];"), "f:1: lpar \"a\", ueid 1: expected a text\n" },
	{ LPAR("ueids = ( { name = \"X\"; } );"),
	  "f:1: lpar \"a\", ueid \"X\": expected a text\n" },
	{ LPAR("ueids = [ \"A\", \"B\", \"A\" ];"),
	  "f:1: lpar \"a\", ueid 3: \"A\" is there already, expected each once\n" },
	{ LPAR("ueids = [ \"A\", \"B\", \"C\", \"D\", \"E\" ];"),
	  "f:1: lpar \"a\", ueids: 5 user EIDs, expected at most 4\n" },
	{ LPAR("ueids = [ \"\", \"a\", \".A\", \"A..B\", \"A_B\" ];"),
	  "f:1: lpar \"a\", ueids: 5 user EIDs, expected at most 4\n"
	  "f:1: lpar \"a\", ueid 1: \"\" is empty, expected 1 to 32 of A-Z, 0-9, \".\" and \"-\"\n"
	  "f:1: lpar \"a\", ueid 2: \"a\" begins with neither letter nor digit, expected 1 to 32 of "
	  "A-Z, 0-9, \".\" and \"-\"\n"
	  "f:1: lpar \"a\", ueid 3: \".A\" begins with neither letter nor digit, expected 1 to 32 of "
	  "A-Z, 0-9, \".\" and \"-\"\n"
	  "f:1: lpar \"a\", ueid 4: \"A..B\" has consecutive dots, expected 1 to 32 of A-Z, 0-9, \".\" "
	  "and \"-\"\n"
	  "f:1: lpar \"a\", ueid 5: \"A_B\" has an unsupported character, expected 1 to 32 of A-Z, "
	  "0-9, \".\" and \"-\"\n" },
	{ LPAR("ueids = [ \"ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567\" ];"),
	  "f:1: lpar \"a\", ueid 1: \"ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567\" is longer than 32 characters, "
	  "expected 1 to 32 of A-Z, 0-9, \".\" and \"-\"\n" },
};

static const struct bad functions[] = {
	{ LPAR("functions = { };"),
	  "f:1: lpar \"a\", functions: is a group { }, expected a list ( ) of "
	  "groups { fid = ...; }\n" },
	{ LPAR("functions = [ 1 ];"),
	  "f:1: lpar \"a\", functions: is an array [ ], expected a list ( ) "
	  "of groups { fid = ...; }\n" },
	{ LPAR("functions = ( { } );"), "f:1: lpar \"a\", function 1: fid is missing\n" },
	{ LPAR("functions = ( { fid = 65536; } );"),
	  "f:1: lpar \"a\", function 1, fid: 65536 is out of range, expected 1 to 65535\n" },
	{ LPAR("functions = (\n { fid = 1; },\n { fid = 2; },\n { fid = 1; } );"),
	  "f:4: lpar \"a\", function 3: another function has fid 1, expected one of its own\n" },
	{ LPAR("functions = (" F(1) "," F(2) "," F(3) "," F(4) "," F(5) "," F(6) "," F(7) "," F(
		  8) "," F(9) ");"),
	  "f:1: lpar \"a\", functions: 9 functions, expected at most 8\n" },
	{ FUNCTION("vlan = 4095;"),
	  "f:1: lpar \"a\", function 1, vlan: 4095 is out of range, expected 0 to 4094\n" },
	{ FUNCTION("chid = 0x10000;"),
	  "f:1: lpar \"a\", function 1, chid: 65536 is out of range, expected 0 to 65535\n" },
	{ FUNCTION("pnetid = \"net1\";"),
	  "f:1: lpar \"a\", function 1, pnetid: \"net1\" is no PNETID, expected 1 to 16 of A-Z and "
	  "0-9\n" },
	{ FUNCTION("pnetid = \"ABCDEFGHIJKLMNOPQ\";"),
	  "f:1: lpar \"a\", function 1, pnetid: \"ABCDEFGHIJKLMNOPQ\" has 17 characters, expected at "
	  "most 16\n" },
	{ FUNCTION("pnetid = 1;"),
	  "f:1: lpar \"a\", function 1, pnetid: is a number, expected a text\n" },
	{ FUNCTION("power = \"standby\";"),
	  "f:1: lpar \"a\", function 1, power: is \"standby\", expected \"on\" or \"off\"\n" },
	{ FUNCTION("power = 1;"),
	  "f:1: lpar \"a\", function 1, power: is a number, expected \"on\" or \"off\"\n" },
	{ FUNCTION("pnet_id = \"A\";"),
	  "f:1: lpar \"a\", function 1, pnet_id: unknown, did you mean pnetid?\n" },
};

static const struct bad policies[] = {
	{ "policy = { use = \"never\"; };",
	  "f:1: policy: is a group { }, expected a list ( ) of groups { use = ...; }\n" },
	{ RULE("port = 1;"), "f:1: policy 1: use is missing\n" },
	{ RULE("use = \"sometimes\";"),
	  "f:1: policy 1, use: is \"sometimes\", expected \"always\", \"never\" or \"after\"\n" },
	{ RULE("use = 1;"),
	  "f:1: policy 1, use: is a number, expected \"always\", \"never\" or \"after\"\n" },
	{ RULE("use = \"after\";"),
	  "f:1: policy 1: bytes is missing, expected it with use = \"after\"\n" },
	{ RULE("use = \"never\"; bytes = 5;"),
	  "f:1: policy 1: bytes is there, expected it only with use = \"after\"\n" },
	{ RULE("use = \"after\"; bytes = 0;"),
	  "f:1: policy 1, bytes: is out of range, expected 1 to \"1024T\"\n" },
	{ RULE("use = \"never\"; port = 0;"),
	  "f:1: policy 1, port: 0 is out of range, expected 1 to 65535\n" },
	{ RULE("use = \"never\"; port = true;"),
	  "f:1: policy 1, port: is true or false, expected a number from 1 to 65535\n" },
	{ RULE("use = \"never\"; port = \"9-8\";"),
	  "f:1: policy 1, port: \"9-8\" is the wrong way round, expected \"8-9\"\n" },
	{ RULE("use = \"never\"; port = \"80-\";"),
	  "f:1: policy 1, port: \"80-\" is no port, expected one from 1 to 65535 or a range like "
	  "\"8000-8999\"\n" },
	{ RULE("use = \"never\"; port = \"0-5\";"),
	  "f:1: policy 1, port: \"0-5\" is no port, expected one from 1 to 65535 or a range like "
	  "\"8000-8999\"\n" },
	{ RULE("use = \"never\"; port = \"1-65536\";"),
	  "f:1: policy 1, port: \"1-65536\" is no port, expected one from 1 to 65535 or a range like "
	  "\"8000-8999\"\n" },
	{ RULE("use = \"never\"; port = \"http\";"),
	  "f:1: policy 1, port: \"http\" is no port, expected one from 1 to 65535 or a range like "
	  "\"8000-8999\"\n" },
	{ RULE("use = \"never\"; program = \"\";"),
	  "f:1: policy 1, program: is empty, expected a text\n" },
	{ RULE("use = \"never\"; program = \"0123456789abcdef\";"),
	  "f:1: policy 1, program: \"0123456789abcdef\" has 16 characters, expected at most 15\n" },
	{ "lpars = ( { name = \"web\"; uid = 1; } );\n" RULE("use = \"never\"; lpar = \"wep\";"),
	  "f:2: policy 1, lpar: no LPAR is called \"wep\", did you mean \"web\"?\n" },
	{ RULE("use = \"never\"; lpar = \"hots\";"),
	  "f:1: policy 1, lpar: no LPAR is called \"hots\", did you mean \"host\"?\n" },
	{ RULE("use = \"never\"; lpar = \"database\";"),
	  "f:1: policy 1, lpar: no LPAR is called \"database\", expected a name out of lpars\n" },
	{ RULE("use = \"never\"; lpar = \"\";"),
	  "f:1: policy 1, lpar: is empty, expected the name of an LPAR\n" },
	{ "policy = (\n { use = \"never\"; },\n { use = \"nevr\"; }, 5 );",
	  "f:3: policy 2, use: is \"nevr\", expected \"always\", \"never\" or \"after\"\n"
	  "f:3: policy 3: is a number, expected a group { }\n" },
};

static void all_refused(const struct bad *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		refused(b[i].text, b[i].said);
}

static void syntax_faults(void **state)
{
	struct complaints out = { .path = "f" };
	struct conf *c;

	all_refused(syntax, COUNT(syntax));
	assert_int_equal(conf_parse_text("a = 1;\0b", 8, &c, &out), -EINVAL);
	assert_string_equal(out.list[0].text, "holds a NUL character, expected a text");
	complaints_flush(&out, NULL);
}

static void top_faults(void **state)
{
	all_refused(top, COUNT(top));
}

static void lpar_faults(void **state)
{
	all_refused(lpars, COUNT(lpars));
}

static void function_faults(void **state)
{
	all_refused(functions, COUNT(functions));
}

static void policy_faults(void **state)
{
	all_refused(policies, COUNT(policies));
}

/* @each @n times, its %d counting. */
static char *repeated(const char *before, const char *each, int n, const char *after)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fputs(before, f);
	for (int i = 0; i < n; i++)
		fprintf(f, each, i, i);
	fputs(after, f);
	fclose(f);
	return text;
}

/* Many faults: a hundred are told, the others counted. */
static void many_faults(void **state)
{
	char *text = repeated("lpars = ( 0", "\n, %d", 149, ");"), *said, *end;
	struct conf *c;

	assert_int_equal(parse(text, &c, &said), -EINVAL);
	end = strstr(said, "f:100: ");
	assert_non_null(end);
	assert_string_equal(strchr(end, '\n'), "\nf: 50 more faults\n");
	free(text);
	free(said);
}

/* What would keep libconfig busy for minutes, or us. */
static void too_many(void **state)
{
	char *text = repeated("lpars = ( 0", ", %d", CONF_LPARS_MAX, ");"), *said;
	struct conf *c;

	refused(text, "f:1: lpars: 4097 entries, expected at most 4096\n");
	free(text);
	text = repeated("", "z%d = 1;\n", 70000, "");
	refused(text, "f:65: \"=\": too many settings, expected at most 64 in a group\n");
	free(text);
	text = repeated("auto_lpar = {\n", "z%d : 1;\n", 70000, "};");
	refused(text, "f:66: \":\": too many settings, expected at most 64 in a group\n");
	free(text);
	text = repeated("auto_lpar = { functions = ( 0", ",0", 200000, "); };");
	assert_int_equal(parse(text, &c, &said), -EINVAL);
	assert_non_null(strstr(said, "\nf: 199902 more faults\n"));
	free(said);
	free(text);
	text = repeated("lpars = (\n{ name = \"a\"; uid = 7; }",
	                ",\n{ name = \"a%d\"; uid = 1%d; }", 4000, ");");
	conf_free(good(text));
	free(text);
}

/* -------------------------------------------------------------------- values */

static void is_default_lpar(const struct conf_lpar *l)
{
	assert_int_equal(l->nfunctions, 1);
	assert_int_equal(l->functions[0].fid, 1);
	assert_int_equal(l->functions[0].chid, 0xffff);
	assert_int_equal(l->functions[0].vlan, 0);
	assert_string_equal(l->functions[0].pnetid, "OPENISM");
	assert_true(l->functions[0].power);
	assert_true(l->seid);
	assert_int_equal(l->nueids, 0);
	assert_int_equal(l->quota.processes, 4096);
	assert_int_equal(l->quota.segments, 16384);
	assert_int_equal(l->quota.bytes, 8ull << 30);
	assert_int_equal(l->quota.claims_per_s, 20000);
	assert_int_equal(l->line, 0);
}

static void is_default(const struct conf *c)
{
	is_default_lpar(&c->host);
	is_default_lpar(&c->auto_lpar);
	assert_string_equal(c->host.name, "host");
	assert_int_equal(c->host.match, CONF_MATCH_HOST);
	assert_int_equal(c->auto_lpar.match, CONF_MATCH_NETNS);
	assert_int_equal(c->nlpars, 0);
	assert_int_equal(c->npolicies, 0);
	assert_true(c->auto_lpars);
	assert_true(c->syn_option);
	assert_int_equal(c->defer_us, 3000);
	assert_int_equal(c->max_dmbs, 0);
	assert_int_equal(c->max_dmb_bytes, 0);
	assert_string_equal(c->state_dir, "/var/lib/ism");
}

static void defaults(void **state)
{
	static const char *const nothing[] = {
		"",           "\n",   "# nothing",
		"// nothing", "/**/", "lpars = ( ); policy = [ ]; quota = { };"
	};
	struct conf *c = conf_default();

	is_default(c);
	conf_free(c);
	for (size_t i = 0; i < COUNT(nothing); i++) {
		c = good(nothing[i]);
		is_default(c);
		conf_free(c);
	}
	conf_free(NULL);
}

static char *whole_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	assert_non_null(f);
	assert_non_null(text);
	assert_in_range(fread(text, 1, (1 << 16) - 1, f), 1, (1 << 16) - 2);
	fclose(f);
	return text;
}

/* data/ism.conf shows the defaults, and what it has in comments is right, too. */
static void example_is_default(void **state)
{
	char *text = whole_file(EXAMPLE);
	struct conf *c = good(text);

	assert_int_not_equal(c->host.line, 0);
	c->host.line = c->auto_lpar.line = 0;
	is_default(c);
	conf_free(c);
	for (char *at = text; (at = strstr(at, "  # ")); at++)
		if (at[4] == '{' || at[4] == ',')
			at[2] = ' ';
	c = good(text);
	assert_int_equal(c->nlpars, 4);
	assert_int_equal(c->npolicies, 2);
	conf_free(c);
	free(text);
}

/* What the manual shows can be loaded. */
static void manual_is_right(void **state)
{
	char *text = whole_file(MANUAL), *at = strstr(text, ".Sh EXAMPLES"), *end;
	int n = 0;

	assert_non_null(at);
	for (; (at = strstr(at, ".Bd ")); at = end + 1, n++) {
		at = strchr(at, '\n');
		end = strstr(at, "\n.Ed");
		assert_non_null(end);
		*end = '\0';
		conf_free(good(at));
	}
	assert_int_equal(n, 3);
	free(text);
}

static const char whole[] =
	"# every key\n"
	"lpars = (\n"
	"  { name = \"host\"; ueids = [ \"MYCOMPANY.EID\", \"X-1\" ]; seid = false;\n"
	"    functions = ( { fid = 1; pnetid = \"NET1\"; chid = 0x1f0; vlan = 100; power = \"off\"; },\n"
	"                  { fid = 0xffff; pnetid = \"\"; power = true; } ); },\n"
	"  { name = \"web\"; netns = \"/run//netns/web/\"; functions = ( ); },\n"
	"  { name = \"db\"; cgroup = \"/docker/abc\"; quota = { processes = 200; bytes = \"1g\"; }; },\n"
	"  { name = \"ci\"; socket = \"/run/ism/lpars/ci/ismd.sock\"; },\n"
	"  { name = \"0.batch_x-\"; uid = 3000000000; }\n"
	");\n"
	"auto_lpars = false;\n"
	"auto_lpar = { functions = ( { fid = 7; } ); ueids = ( \"A\" ); };\n"
	"quota = { processes = 5; segments = 0; bytes = 8589934592; claims_per_second = 10L };\n"
	"policy = (\n"
	"  { port = 22; use = \"never\"; },\n"
	"  { program = \"nginx*\"; port = \"8000-8999\"; use = \"after\"; bytes = \"64K\"; },\n"
	"  { lpar = \"db\"; use = \"always\"; } );\n"
	"syn_option = false; defer_us = 000; max_dmbs = 4294967295; max_dmb_bytes = \"3T\";\n"
	"state_dir = \"/srv/\" /* in two */ \"ism\";\n";

static void whole_lpars(const struct conf *c)
{
	const struct conf_lpar *l = c->lpars;

	assert_int_equal(c->nlpars, 4);
	assert_string_equal(l[0].name, "web");
	assert_int_equal(l[0].match, CONF_MATCH_NETNS);
	assert_string_equal(l[0].path, "/run/netns/web");
	assert_int_equal(l[0].nfunctions, 0);
	assert_int_equal(l[0].line, 6);
	assert_int_equal(l[0].quota.processes, 5);
	assert_int_equal(l[0].quota.segments, 0);
	assert_int_equal(l[0].quota.bytes, 8ull << 30);
	assert_int_equal(l[0].quota.claims_per_s, 10);
	assert_int_equal(l[1].match, CONF_MATCH_CGROUP);
	assert_string_equal(l[1].path, "/docker/abc");
	assert_int_equal(l[1].nfunctions, 1);
	assert_int_equal(l[1].quota.processes, 200);
	assert_int_equal(l[1].quota.bytes, 1u << 30);
	assert_int_equal(l[1].quota.segments, 0);
	assert_int_equal(l[2].match, CONF_MATCH_SOCKET);
	assert_string_equal(l[2].path, "/run/ism/lpars/ci/ismd.sock");
	assert_int_equal(l[3].match, CONF_MATCH_UID);
	assert_int_equal(l[3].uid, 3000000000u);
	assert_string_equal(l[3].name, "0.batch_x-");
}

static void whole_host(const struct conf_lpar *h)
{
	assert_int_equal(h->match, CONF_MATCH_HOST);
	assert_int_equal(h->line, 3);
	assert_false(h->seid);
	assert_int_equal(h->nueids, 2);
	assert_string_equal(h->ueids[1], "X-1");
	assert_int_equal(h->nfunctions, 2);
	assert_int_equal(h->functions[0].chid, 0x1f0);
	assert_int_equal(h->functions[0].vlan, 100);
	assert_string_equal(h->functions[0].pnetid, "NET1");
	assert_false(h->functions[0].power);
	assert_int_equal(h->functions[1].fid, 65535);
	assert_int_equal(h->functions[1].chid, 0xffff);
	assert_string_equal(h->functions[1].pnetid, "");
	assert_true(h->functions[1].power);
	assert_int_equal(h->quota.processes, 5);
}

static void values(void **state)
{
	struct conf *c = good(whole);

	whole_lpars(c);
	whole_host(&c->host);
	assert_false(c->auto_lpars);
	assert_int_equal(c->auto_lpar.functions[0].fid, 7);
	assert_int_equal(c->auto_lpar.quota.processes, 5);
	assert_string_equal(c->auto_lpar.ueids[0], "A");
	assert_int_equal(c->npolicies, 3);
	assert_int_equal(c->policies[0].port_min, 22);
	assert_int_equal(c->policies[0].port_max, 22);
	assert_int_equal(c->policies[1].after_bytes, 65536);
	assert_int_equal(c->policies[1].line, 16);
	assert_int_equal(c->policies[2].port_min, 0);
	assert_int_equal(c->policies[2].port_max, 65535);
	assert_string_equal(c->policies[2].lpar, "db");
	assert_false(c->syn_option);
	assert_int_equal(c->defer_us, 0);
	assert_int_equal(c->max_dmbs, UINT32_MAX);
	assert_int_equal(c->max_dmb_bytes, 3ull << 40);
	assert_string_equal(c->state_dir, "/srv/ism");
	conf_free(c);
}

/* The longest that is allowed. */
static void limits(void **state)
{
	struct conf *c = good(LPAR(
		"functions = (" F(1) "," F(2) "," F(3) "," F(4) "," F(5) "," F(6) "," F(7) "," F(
			65535) ");"
			       "ueids = [ \"ABCDEFGHIJKLMNOPQRSTUVWXYZ-.1234\", \"B\", \"C\", "
			       "\"D\" ];") "policy = ( { use = \"never\"; program = \"012345678901234\"; "
	                                   "port = \"1-65535\"; } );"
	                                   "defer_us = 1000000; max_dmb_bytes = \"1024T\";");

	assert_int_equal(c->lpars[0].nfunctions, CONF_FUNCTIONS);
	assert_int_equal(c->lpars[0].nueids, CONF_UEIDS);
	assert_int_equal(strlen(c->lpars[0].ueids[0]), CONF_EID_MAX);
	assert_int_equal(strlen(c->policies[0].program), 15);
	assert_int_equal(c->max_dmb_bytes, 1ull << 50);
	conf_free(c);
}

static void identifiers(void **state)
{
	assert_false(conf_ueid_ok(""));
	assert_false(conf_ueid_ok("-A"));
	assert_false(conf_ueid_ok("a"));
	assert_false(conf_ueid_ok("A B"));
	assert_false(conf_ueid_ok("A..B"));
	assert_false(conf_ueid_ok("ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567"));
	assert_true(conf_ueid_ok("ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"));
	assert_true(conf_ueid_ok("A.B-C."));
	assert_false(conf_pnetid_ok(""));
	assert_false(conf_pnetid_ok("net1"));
	assert_false(conf_pnetid_ok("NET-1"));
	assert_false(conf_pnetid_ok("ABCDEFGHIJKLMNOPQ"));
	assert_true(conf_pnetid_ok("ABCDEFGHIJKLMNOP"));
	assert_true(conf_pnetid_ok("1"));
}

static void distances(void **state)
{
	assert_int_equal(word_distance("", ""), 0);
	assert_int_equal(word_distance("abc", ""), 3);
	assert_int_equal(word_distance("quota", "qouta"), 1);
	assert_int_equal(word_distance("FID", "fid"), 0);
	assert_int_equal(word_distance("kitten", "sitting"), 3);
	assert_int_equal(word_distance(N65, "a"), 64);
}

/* -------------------------------------------------------------------- policy */

struct asked {
	const char *lpar_a, *lpar_b;
	uint16_t port;
	const char *comm_a, *comm_b;
	enum conf_use use;
	uint64_t after;
};

static const struct asked asked[] = {
	{ "host", "host", 22, "ssh", "sshd", CONF_USE_NEVER, 0 },
	{ "db", "db", 22, "ssh", "sshd", CONF_USE_NEVER, 0 },     /* the first counts */
	{ "host", "host", 23, "ssh", "sshd", CONF_USE_NEVER, 0 }, /* the last, for all */
	{ "web", "host", 8000, "curl", "nginx", CONF_USE_AFTER, 65536 },
	{ "web", "host", 8999, "nginx-worker", "x", CONF_USE_AFTER, 65536 },
	{ "web", "host", 9000, "nginx", "x", CONF_USE_NEVER, 0 },
	{ "web", "host", 7999, "nginx", "x", CONF_USE_NEVER, 0 },
	{ "web", "host", 8000, "anginx", NULL, CONF_USE_NEVER, 0 },
	{ "host", "db", 5432, "psql", "postgres", CONF_USE_ALWAYS, 0 },
	{ "db", "host", 5432, "psql", "postgres", CONF_USE_ALWAYS, 0 },
	{ NULL, "dbx", 5432, "psql", "postgres", CONF_USE_NEVER, 0 },
	{ "db", "web", 8080, "psql", "postgres", CONF_USE_ALWAYS, 0 },
	{ "db", "web", 8080, "nginx", "nginx", CONF_USE_AFTER, 65536 },
	{ "host", "host", 1, "redis-server", "x", CONF_USE_AFTER, 1 },
	{ "db", "host", 1, "redis-server", "x", CONF_USE_ALWAYS, 0 },
};

static void policy(void **state)
{
	struct conf *c =
		good("lpars = ( { name = \"db\"; uid = 1; } );"
	             "policy = ( { port = 22; use = \"never\"; },"
	             "{ program = \"nginx*\"; port = \"8000-8999\"; use = \"after\";"
	             "  bytes = 65536; },"
	             "{ lpar = \"db\"; use = \"always\"; },"
	             "{ program = \"redi?-[a-z]*\"; lpar = \"host\"; use = \"after\"; bytes = 1; },"
	             "{ use = \"never\"; } );");

	for (size_t i = 0; i < COUNT(asked); i++) {
		const struct asked *a = &asked[i];
		uint64_t after = 0;

		if (conf_policy(c, a->lpar_a, a->lpar_b, a->port, a->comm_a, a->comm_b, &after) !=
		            a->use ||
		    after != a->after)
			fail_msg("question %zu", i);
	}
	assert_int_equal(conf_policy(c, "a", "b", 8000, "nginx", "", NULL), CONF_USE_AFTER);
	conf_free(c);
	c = conf_default();
	assert_int_equal(conf_policy(c, "host", "host", 22, "ssh", "sshd", NULL), CONF_USE_ALWAYS);
	conf_free(c);
}

/* --------------------------------------------------------------------- files */

static char dir[] = "/tmp/test-conf-XXXXXX";
static char file[64];

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/ism.conf", dir);
	return 0;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

static void write_file(const char *text, mode_t mode)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fchmod(fileno(f), mode), 0);
	fclose(f);
}

/* Load the file; @said is what follows its path in the only complaint. */
static void load_says(int expected, const char *said)
{
	struct conf *c = NULL;
	char *all = NULL;
	size_t len;
	FILE *f = open_memstream(&all, &len);

	assert_int_equal(conf_load(file, &c, f), expected);
	fclose(f);
	assert_null(c);
	assert_int_equal(strncmp(all, file, strlen(file)), 0);
	assert_string_equal(all + strlen(file), said);
	free(all);
	assert_int_equal(conf_load(file, &c, NULL), expected);
	unlink(file);
}

static void strange_files(void **state)
{
	load_says(-ENOENT, ": cannot be opened: No such file or directory\n");
	assert_int_equal(mkfifo(file, 0600), 0);
	load_says(-EINVAL, ": is a pipe, device or socket, expected a regular file\n");
	assert_int_equal(mkdir(file, 0700), 0);
	load_says(-EINVAL, ": is a directory, expected a regular file\n");
	assert_int_equal(rmdir(file), 0);
	assert_int_equal(symlink("/dev/null", file), 0);
	load_says(-EINVAL, ": is a pipe, device or socket, expected a regular file\n");
	write_file("", 0600);
	assert_int_equal(truncate(file, (1 << 20) + 1), 0);
	load_says(-EINVAL, ": 1048577 bytes are too large, expected at most 1048576\n");
	write_file("", 0600);
	assert_int_equal(truncate(file, 1 << 20), 0);
	load_says(-EINVAL, ": holds a NUL character, expected a text\n");
	write_file("\n\nx = 1", 0644);
	load_says(-EINVAL, ":3: x: unknown, expected one of quota, lpars, auto_lpars, auto_lpar, "
	                   "policy, syn_option, defer_us, max_dmbs, max_dmb_bytes, state_dir\n");
}

static void untrusted_files(void **state)
{
	write_file("", 0646);
	load_says(-EPERM, ": may be written by everybody (mode 0646), expected chmod o-w\n");
	if (geteuid() != 0)
		return; /* the rest needs somebody else */
	write_file("", 0664);
	assert_int_equal(chown(file, 0, 12345), 0);
	load_says(-EPERM, ": may be written by group 12345 (mode 0664), expected chmod g-w\n");
	write_file("", 0644);
	assert_int_equal(chown(file, 12345, 0), 0);
	load_says(-EPERM, ": belongs to user 12345, expected root or the user of ismd\n");
}

static void good_file(void **state)
{
	struct conf *c = NULL;

	write_file(whole, 0644);
	assert_int_equal(conf_load(file, &c, stderr), 0);
	whole_lpars(c);
	conf_free(c);
	unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syntax_faults),
		cmocka_unit_test(top_faults),
		cmocka_unit_test(lpar_faults),
		cmocka_unit_test(function_faults),
		cmocka_unit_test(policy_faults),
		cmocka_unit_test(many_faults),
		cmocka_unit_test(too_many),
		cmocka_unit_test(strange_files),
		cmocka_unit_test(untrusted_files),
		cmocka_unit_test(defaults),
		cmocka_unit_test(example_is_default),
		cmocka_unit_test(values),
		cmocka_unit_test(limits),
		cmocka_unit_test(identifiers),
		cmocka_unit_test(distances),
		cmocka_unit_test(policy),
		cmocka_unit_test(good_file),
		cmocka_unit_test(manual_is_right),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
