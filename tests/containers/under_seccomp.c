/* SPDX-License-Identifier: Apache-2.0 */
/*
 * under-seccomp PROFILE COMMAND...: COMMAND under a system call profile in the OCI
 * runtime's format, as a container engine would run it. For engines that take none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <json-c/json.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void die(const char *what, int err)
{
	fprintf(stderr, "under-seccomp: %s: %s\n", what, strerror(err));
	exit(125);
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_string(v) : "";
}

static uint64_t number(struct json_object *o, const char *key)
{
	return (uint64_t)json_object_get_int64(json_object_object_get(o, key));
}

static uint32_t action(struct json_object *o, const char *key, const char *err_key)
{
	const char *name = text(o, key);

	if (!strcmp(name, "SCMP_ACT_ALLOW"))
		return SCMP_ACT_ALLOW;
	if (!strcmp(name, "SCMP_ACT_ERRNO"))
		return SCMP_ACT_ERRNO((uint32_t)number(o, err_key));
	die(name, EINVAL);
	return 0;
}

static struct scmp_arg_cmp argument(struct json_object *o)
{
	struct scmp_arg_cmp c = { .arg = (unsigned)number(o, "index"),
		                  .datum_a = number(o, "value") };
	const char *op = text(o, "op");

	if (!strcmp(op, "SCMP_CMP_EQ")) {
		c.op = SCMP_CMP_EQ;
	} else if (!strcmp(op, "SCMP_CMP_NE")) {
		c.op = SCMP_CMP_NE;
	} else if (!strcmp(op, "SCMP_CMP_MASKED_EQ")) {
		c.op = SCMP_CMP_MASKED_EQ;
		c.datum_b = number(o, "valueTwo");
	} else {
		die(op, EINVAL);
	}
	return c;
}

/* A name that libseccomp does not know cannot be allowed: the default stands. */
static void add(scmp_filter_ctx ctx, struct json_object *rule)
{
	struct json_object *names = json_object_object_get(rule, "names");
	struct json_object *args = json_object_object_get(rule, "args");
	uint32_t act = action(rule, "action", "errnoRet");
	struct scmp_arg_cmp cmp[6];
	unsigned n = 0;

	for (; args && n < 6 && n < json_object_array_length(args); n++)
		cmp[n] = argument(json_object_array_get_idx(args, n));
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		int r, nr = seccomp_syscall_resolve_name(name);

		if (nr == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add_array(ctx, act, nr, n, cmp);
		if (r < 0)
			die(name, -r);
	}
}

int main(int argc, char **argv)
{
	struct json_object *profile = argc > 2 ? json_object_from_file(argv[1]) : NULL;
	struct json_object *rules = json_object_object_get(profile, "syscalls");
	scmp_filter_ctx ctx;
	int r;

	if (!rules)
		die(argc > 2 ? argv[1] : "usage: under-seccomp PROFILE COMMAND...", EINVAL);
	ctx = seccomp_init(action(profile, "defaultAction", "defaultErrnoRet"));
	if (!ctx)
		die("seccomp", ENOMEM);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < json_object_array_length(rules); i++)
		add(ctx, json_object_array_get_idx(rules, i));
	r = seccomp_load(ctx);
	if (r < 0)
		die("seccomp", -r);
	seccomp_release(ctx);
	json_object_put(profile);
	execvp(argv[2], argv + 2);
	die(argv[2], errno);
}
