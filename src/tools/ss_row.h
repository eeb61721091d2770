/* SPDX-License-Identifier: Apache-2.0 */
/* One socket as smcss and smc_chk see it, taken from ismd's answer. */
#ifndef OPENISM_TOOLS_SS_ROW_H
#define OPENISM_TOOLS_SS_ROW_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* Numbers of net/smc's socket states; the names are in ss_state_name(). */
enum ss_state {
	SS_ACTIVE = 1,
	SS_INIT = 2,
	SS_CLOSED = 7,
	SS_LISTEN = 10,
};

/* SS_MODE_NONE: no decision yet (listening, connecting), which smc_diag reports
 * with the number of SMC-R. */
enum ss_mode { SS_MODE_NONE = 0, SS_MODE_TCP = 1, SS_MODE_SMCD = 2 };

struct ss_row {
	struct json_object *json; /* borrowed; the strings below are in it */
	uint32_t state, uid, intf;
	uint64_t inode;
	unsigned family; /* 4 or 6 */
	const char *laddr, *raddr;
	unsigned lport, rport;
	enum ss_mode mode;
	uint32_t reason, peer_reason;
};

void ss_row_parse(struct json_object *json, struct ss_row *row);

/* @buf is used for the states that have no name. */
const char *ss_state_name(uint32_t state, char buf[16]);

/* Which sockets to show. */
struct ss_filter {
	bool all, listening, smcd, smcr;
};

bool ss_row_is_wanted(const struct ss_row *row, const struct ss_filter *filter);

#endif
