/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do about a fallback. ismd knows best and is asked first; what follows
 * from the code alone is said here, for a daemon that has nothing to add and for
 * the case that there is none.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fabric/reason.h"
#include "tools/chk.h"
#include "tools/ismd_client.h"
#include "tools/json_get.h"

static const char no_daemon[] =
	"no ismd: in a container mount /run/ism of the host, on the host start ismd or run "
	"smc_run";
static const char other_end[] = "at the other end: ";

/* clang-format off: a table */
static const struct {
	uint32_t reason;
	const char *text;
} hints[] = {
	{ FAB_REASON_MEM, "no memory for the buffers: smaller ones (smc_run -r), or more memory" },
	{ FAB_REASON_PEERNOSMC,
	  "the other end is not known: start it under smc_run, on this host" },
	{ FAB_REASON_NOSMCDEV,
	  "no function with power: smc_rnics -a lists them, -e FID switches on" },
	{ FAB_REASON_NOSMCDDEV,
	  "no function with power: smc_rnics -a lists them, -e FID switches on" },
	{ FAB_REASON_NOSMCD2DEV,
	  "no function in the same fabric: compare PNET id (smc_rnics, smc_pnet), CHID and VLAN" },
	{ FAB_REASON_DIFFPREFIX,
	  "the PNET ids differ: compare smc_rnics of both, set with smc_pnet" },
	{ FAB_REASON_NOSEID,
	  "no EID in common: smcd seid enable, or smcd ueid add the same one in both" },
	{ FAB_REASON_NOUEID, "no EID in common: smcd ueid add the same one in both LPARs" },
	{ FAB_REASON_ISMVLANERR, "the VLANs differ: compare smcd -d device of both" },
	{ FAB_REASON_MAX_DMB,
	  "the box has no DMB left: fewer connections, or a higher max-dmb of ismd" },
	{ FAB_REASON_OI_NOPROOF,
	  "ismd may not look at the socket: smcd -d info says what it can prove, and how" },
	{ FAB_REASON_OI_ROWS, "too many sockets at a time in one program" },
};
/* clang-format on */

static const char *hint_of(uint32_t reason)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (hints[i].reason == reason)
			return hints[i].text;
	return NULL;
}

/* False: ismd does not know the connection, or has nothing to say. */
static bool ask_ismd(const struct chk_fallback *f, char hint[CHK_HINT_MAX])
{
	struct json_object *req, *answer;
	struct ismd_error err;
	int len = 0;

	if (!*f->laddr)
		return false;
	req = ismd_request("explain", ".");
	jadd_str(req, "laddr", f->laddr);
	jadd_num(req, "lport", f->lport);
	jadd_str(req, "raddr", f->raddr);
	jadd_num(req, "rport", f->rport);
	answer = ismd_do(req, 0, &err);
	if (answer)
		len = snprintf(hint, CHK_HINT_MAX, "%s", jget_str(answer, "hint"));
	json_object_put(answer);
	return len > 0;
}

void chk_hint(const struct chk_fallback *f, char hint[CHK_HINT_MAX])
{
	bool declined = f->reason == (uint32_t)FAB_REASON_PEERDECL && f->peer_reason;
	const char *text = hint_of(declined ? f->peer_reason : f->reason);

	if (f->no_daemon)
		snprintf(hint, CHK_HINT_MAX, "%s", no_daemon);
	else if (ask_ismd(f, hint))
		return;
	else if (f->reason == (uint32_t)FAB_REASON_OI_NODAEMON)
		snprintf(hint, CHK_HINT_MAX,
		         "ismd runs but does not know the connection: is it another one than the "
		         "program's (LPAR, runtime directory)?");
	else if (text)
		snprintf(hint, CHK_HINT_MAX, "%s%s", declined ? other_end : "", text);
	else
		hint[0] = '\0';
}
