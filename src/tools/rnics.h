/* SPDX-License-Identifier: Apache-2.0 */
/* smc_rnics's tasks: to list functions, and to change something about one. */
#ifndef OPENISM_TOOLS_RNICS_H
#define OPENISM_TOOLS_RNICS_H

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses, as scripts know them. */
enum {
	RNICS_OK = 0,
	RNICS_NO_FABRIC = 1,
	RNICS_USAGE = 2,
	RNICS_BAD_FID = 3,
	RNICS_TWO_TASKS = 4,
	RNICS_NO_SLOT = 5,
	RNICS_ALREADY = 6,
	RNICS_FAILED = 7,
	RNICS_NOT_LISTED = 8,
};

enum { FID_NONE = -1 };

enum rnics_task { RNICS_LIST, RNICS_ENABLE, RNICS_DISABLE, RNICS_ADD, RNICS_REMOVE };

struct rnics_options {
	enum rnics_task task;
	int64_t fid; /* to list or to change, or FID_NONE; may be more than 32 bits */
	bool all, ports, raw, show_lpar;
	const char *lpar; /* NULL = as the task has it without */
	bool persist;
	/* of a function to add */
	const char *pnetid; /* NULL = ismd's choice */
	int64_t chid, vlan; /* -1 = ismd's choice */
};

/* Each returns the exit status. */
int rnics_list(const struct rnics_options *o);
int rnics_change(const struct rnics_options *o);

#endif
