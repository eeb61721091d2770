/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the programs are attached: the cgroups that clients are in, and no other, so
 * that who has nothing to do with us pays nothing. A site is such a cgroup, known by
 * its id (the inode number of its directory).
 */
#ifndef OPENISM_PROOF_SITES_H
#define OPENISM_PROOF_SITES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SITES_MAX 1024

struct site;

/* A client of an earlier ismd that has not come to us yet. */
struct missing {
	pid_t tgid;
	uint64_t site;
};

struct sites {
	struct site *all[SITES_MAX];
	unsigned n;
	struct missing *missing;
	unsigned nmissing;
	int root;              /* descriptor of the cgroup2 root */
	int programs[2];       /* records, marks */
	const char *pins;      /* directory */
	uint64_t due_ns;       /* UINT64_MAX: never */
	uint64_t next_look_ns; /* whether the missing still live */
};

/* All three are the caller's and stay until sites_end(). */
void sites_init(struct sites *s, int root, const char *pins, int records, int marks);

/* No site is attached any more, no pin is left. */
void sites_end(struct sites *s);

/* Take over the links that an earlier ismd left: they run our programs from now on. */
void sites_adopt(struct sites *s);

/* Process @tgid was a client of the earlier one at @site: while it lives and is not at
 * any site of ours (sites_found()), that stays. */
void sites_miss(struct sites *s, pid_t tgid, uint64_t site);
void sites_found(struct sites *s, pid_t tgid);

/* One more client in @cgroup (a path as /proc/PID/cgroup has it): its site is in *id.
 * 0 or -errno. */
int sites_hold(struct sites *s, const char *cgroup, uint64_t *id);
void sites_release(struct sites *s, uint64_t id);

/* Let go what nobody needs; after sites.due_ns, or it does nothing. */
void sites_tick(struct sites *s, uint64_t now_ns);

#endif
