/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/ss_row.h"

#include <stdio.h>
#include <string.h>

#include "tools/json_get.h"

static enum ss_mode parse_mode(const char *mode)
{
	if (strcmp(mode, "SMCD") == 0)
		return SS_MODE_SMCD;
	return strcmp(mode, "TCP") == 0 ? SS_MODE_TCP : SS_MODE_NONE;
}

void ss_row_parse(struct json_object *json, struct ss_row *row)
{
	row->json = json;
	row->state = jget_u32(json, "state");
	row->uid = jget_u32(json, "uid");
	row->intf = jget_u32(json, "intf");
	row->inode = jget_u64(json, "inode");
	row->family = jget_u32(json, "family");
	row->laddr = jget_str(json, "laddr");
	row->raddr = jget_str(json, "raddr");
	row->lport = jget_u32(json, "lport");
	row->rport = jget_u32(json, "rport");
	row->mode = parse_mode(jget_str(json, "mode"));
	row->reason = jget_u32(json, "reason");
	row->peer_reason = jget_u32(json, "peer_reason");
}

const char *ss_state_name(uint32_t state, char buf[16])
{
	switch (state) {
	case SS_ACTIVE:
		return "ACTIVE";
	case SS_INIT:
		return "INIT";
	case SS_CLOSED:
		return "CLOSED";
	case SS_LISTEN:
		return "LISTEN";
	case 20:
		return "PEERCLOSEWAIT1";
	case 21:
		return "PEERCLOSEWAIT2";
	case 22:
		return "APPCLOSEWAIT1";
	case 23:
		return "APPCLOSEWAIT2";
	case 24:
		return "APPFINCLOSEWAIT1";
	case 25:
		return "PEERFINCLOSEWAIT";
	case 26:
		return "PEERABORTWAIT";
	case 27:
		return "PROCESSABORT";
	default:
		snprintf(buf, 16, "0x%x?", state);
		return buf;
	}
}

bool ss_row_is_wanted(const struct ss_row *row, const struct ss_filter *filter)
{
	if (filter->listening && row->state != SS_LISTEN)
		return false;
	if (!filter->listening && !filter->all &&
	    (row->state == SS_LISTEN || row->state == SS_INIT))
		return false;
	if (filter->smcd && row->mode != SS_MODE_SMCD)
		return false;
	/* There is no SMC-R here; what is undecided carries its number. */
	if (filter->smcr && row->mode != SS_MODE_NONE)
		return false;
	return true;
}
