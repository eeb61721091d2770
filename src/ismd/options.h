/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ISMD_OPTIONS_H
#define ISMD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	bool system;           /* one for the box: all users, LPARs, a configuration */
	bool check;            /* only check the configuration */
	bool cleanup;          /* only remove what a killed one left in the kernel */
	const char *conf_path; /* NULL: the default one, if it is there */
	bool defer_set, max_dmbs_set, max_dmb_bytes_set; /* stronger than the configuration */
	bool background;
	bool debug;
	bool log;       /* also to ismd.log when in the background */
	bool grace_set; /* leave when nobody is there */
	uint64_t grace_ns;
	uint32_t defer_us;
	uint64_t max_dmbs;      /* device limit, two for each connection */
	uint64_t max_dmb_bytes; /* committed memory of all segments */
	bool strangers;         /* test aid: as if all processes were of different users */
	bool no_getfd;          /* test aid: behave as if pidfd_getfd were forbidden */
};

void options_default(struct options *o);

/* From the command line. -1: go on; else the exit status (0 after -h or -v, 2
 * after a complaint on stderr). */
int options_parse(struct options *o, int argc, char **argv);

#endif
