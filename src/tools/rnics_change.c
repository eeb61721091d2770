/* SPDX-License-Identifier: Apache-2.0 */
/* The switch of a slot, and functions that come and go while the box runs. The
 * messages of the switch are the original's; ismd's words stand below them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/rnics.h"

static const struct {
	const char *op, *verb, *done;
} tasks[] = {
	[RNICS_ENABLE] = { "power", "enable", "enabled" },
	[RNICS_DISABLE] = { "power", "disable", "disabled" },
	[RNICS_ADD] = { "function_add", "add", "there" },
	[RNICS_REMOVE] = { "function_del", "remove", "gone" },
};

static struct json_object *build_request(const struct rnics_options *o)
{
	struct json_object *req = ismd_request(tasks[o->task].op, o->lpar);

	if (o->fid != FID_NONE)
		jadd_num(req, "fid", (uint64_t)o->fid);
	if (o->task == RNICS_ENABLE || o->task == RNICS_DISABLE)
		jadd_bool(req, "on", o->task == RNICS_ENABLE);
	if (o->pnetid)
		jadd_str(req, "pnetid", o->pnetid);
	if (o->chid >= 0)
		jadd_num(req, "chid", (uint64_t)o->chid);
	if (o->vlan >= 0)
		jadd_num(req, "vlan", (uint64_t)o->vlan);
	if (o->persist)
		jadd_bool(req, "persist", true);
	return req;
}

static int no_slot(const struct rnics_options *o)
{
	fprintf(stderr, "Error: FID %" PRIx64 " does not exist\n", (uint64_t)o->fid);
	return RNICS_NO_SLOT;
}

static int refusal(const struct ismd_error *err, const struct rnics_options *o)
{
	char name[32] = "a function";

	if (o->fid != FID_NONE)
		snprintf(name, sizeof(name), "FID %" PRIx64, (uint64_t)o->fid);
	if (err->kind != ISMD_REFUSED) {
		fprintf(stderr, "Error: %s\n", err->text);
		return RNICS_NO_FABRIC;
	}
	if (ismd_refused_with(err, "nodev"))
		return no_slot(o);
	if (ismd_refused_with(err, "nolpar")) {
		fprintf(stderr, "Error: LPAR %s does not exist\n", o->lpar);
		return RNICS_NO_SLOT;
	}
	if (ismd_refused_with(err, "already") || ismd_refused_with(err, "exists")) {
		fprintf(stderr, "Error: %s is already %s\n", name, tasks[o->task].done);
		return RNICS_ALREADY;
	}
	fprintf(stderr, "Error: Failed to %s %s\n", tasks[o->task].verb, name);
	fprintf(stderr, "       %s\n", err->text);
	return RNICS_FAILED;
}

int rnics_change(const struct rnics_options *o)
{
	struct json_object *answer;
	struct ismd_error err;

	if (o->fid > UINT32_MAX)
		return no_slot(o);
	answer = ismd_do(build_request(o), ISMD_START, &err);
	if (!answer)
		return refusal(&err, o);
	/* Which one it became is news only for who left the choice to ismd. */
	if (o->task == RNICS_ADD && o->fid == FID_NONE)
		printf("%x\n", jget_u32(answer, "fid"));
	json_object_put(answer);
	return RNICS_OK;
}
