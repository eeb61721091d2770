/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups of the test and of the measurement. All int functions: 0 or -errno. */
#ifndef OPENISM_PROOF_TEST_CGROUP_H
#define OPENISM_PROOF_TEST_CGROUP_H

#include <sys/types.h>

struct cgroup {
	char path[300]; /* as /proc/PID/cgroup has it */
	char dir[400];
};

/* The one we are in. */
int cgroup_own(struct cgroup *c);

/* A new one below @parent; NULL: the root. */
int cgroup_new(struct cgroup *c, const struct cgroup *parent, const char *name);

/* We, all threads, go there; descriptors stay. */
int cgroup_enter(const struct cgroup *c);

/* Nobody may be in it. */
int cgroup_remove(const struct cgroup *c);

#endif
