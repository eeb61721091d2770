/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a system-mode ismd, as ism.conf(5) describes it: parsed
 * with libconfig, checked as a whole, and handed out as plain structures.
 *
 * A configuration is read-only once loaded and has one owner, who frees it with
 * conf_free(). No function here keeps state; any thread may call.
 */
#ifndef OPENISM_CONF_CONF_H
#define OPENISM_CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define CONF_NAME_MAX 64   /* of an LPAR: [A-Za-z0-9._-], begins with a letter or digit */
#define CONF_PNETID_MAX 16 /* A-Z 0-9, upper case; "" = none */
#define CONF_EID_MAX 32    /* as smc-protocol.md says of UEIDs */
#define CONF_UEIDS 4       /* user EIDs of one LPAR */
#define CONF_PATH_MAX 256
#define CONF_FUNCTIONS 8 /* of one LPAR */

/* An ISM function of an LPAR. */
struct conf_function {
	uint32_t fid;                     /* 1..65535, unique inside its LPAR */
	uint16_t chid;                    /* default 0xffff; same CHID = same fabric */
	uint16_t vlan;                    /* 0 = none, 1..4094 */
	char pnetid[CONF_PNETID_MAX + 1]; /* default "OPENISM" */
	bool power;                       /* default on */
};

/* How ismd knows that a process belongs to an LPAR. */
enum conf_match {
	CONF_MATCH_HOST = 0,   /* ismd's own network namespace */
	CONF_MATCH_NETNS = 1,  /* path: of a network namespace, "/run/netns/web" */
	CONF_MATCH_CGROUP = 2, /* path: of a cgroup v2, below the root; with its children */
	CONF_MATCH_SOCKET = 3, /* path: a socket of its own, in a directory that is
	                        * mounted into the container */
	CONF_MATCH_UID = 4,    /* uid, as the host sees it */
};

/* What one user (uid) of an LPAR may have at a time; 0 = no limit. */
struct conf_quota {
	uint64_t processes;
	uint64_t segments;
	uint64_t bytes; /* of DMBs, his own receive buffers */
	uint64_t claims_per_s;
};

struct conf_lpar {
	char name[CONF_NAME_MAX + 1];
	enum conf_match match;
	char path[CONF_PATH_MAX];
	uid_t uid;
	struct conf_function functions[CONF_FUNCTIONS];
	unsigned nfunctions; /* 0: an LPAR without ISM */
	bool seid;           /* default on */
	char ueids[CONF_UEIDS][CONF_EID_MAX + 1];
	unsigned nueids;
	struct conf_quota quota; /* of each of its users */
	int line;                /* in the file; 0: made up, not written there */
};

enum conf_use { CONF_USE_ALWAYS = 0, CONF_USE_NEVER = 1, CONF_USE_AFTER = 2 };

/* One rule; the first that fits a connection counts. */
struct conf_policy {
	char lpar[CONF_NAME_MAX + 1]; /* "" = any */
	char program[16];             /* comm of either end; "" = any; fnmatch() pattern */
	uint16_t port_min, port_max;  /* of the server's end; 0..65535 = any */
	enum conf_use use;
	uint64_t after_bytes; /* with CONF_USE_AFTER: both directions together */
	int line;
};

struct conf {
	struct conf_lpar *lpars; /* all of the file except "host" */
	unsigned nlpars;
	struct conf_policy *policies;
	unsigned npolicies;
	bool auto_lpars;            /* default on: a network namespace that no LPAR names is one */
	struct conf_lpar auto_lpar; /* what such an LPAR looks like (name unused) */
	struct conf_lpar host;      /* the host LPAR; its entry where the file has one,
	                             * which then is not in lpars[] as well */
	bool syn_option;            /* default on: prove by SYN option, between LPARs */
	uint32_t defer_us;          /* default 3000 */
	uint64_t max_dmbs;          /* of the box; 0 = ismd's default */
	uint64_t max_dmb_bytes;     /* of the box; 0 = ismd's default */
	char state_dir[CONF_PATH_MAX]; /* default "/var/lib/ism": what tools made lasting */
};

/*
 * Load and check @path. 0 and *@out, or -errno after at least one complaint on
 * @complaints, each "PATH:LINE: OBJECT: what is wrong, what is expected"; all
 * faults that can be found are named, not only the first. -ENOENT: no such file
 * (one complaint as well). -EINVAL: faults in it, or no regular file of at most
 * 1 MiB. -EPERM: somebody else than root and ismd's user could have written it.
 * @complaints may be NULL.
 */
int conf_load(const char *path, struct conf **out, FILE *complaints);

/* The configuration that an empty file gives. NULL without memory. */
struct conf *conf_default(void);

void conf_free(struct conf *c);

/*
 * The use that the rules say for a connection between LPARs @lpar_a and @lpar_b
 * to server port @port, by programs @comm_a and @comm_b. *@after_bytes is set with
 * CONF_USE_AFTER. No rule fits: CONF_USE_ALWAYS.
 */
enum conf_use conf_policy(const struct conf *c, const char *lpar_a, const char *lpar_b,
                          uint16_t port, const char *comm_a, const char *comm_b,
                          uint64_t *after_bytes);

/* Is @eid a well-formed user EID? Is @pnetid a well-formed PNETID ("" is none)? */
bool conf_ueid_ok(const char *eid);
bool conf_pnetid_ok(const char *pnetid);

#endif
