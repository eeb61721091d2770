/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LPARs and their ISM functions, and the users of an LPAR with what they hold.
 * A per-user ismd has one LPAR, "host", with one function.
 *
 * An LPAR lives while the configuration names it or a client belongs to it; an
 * automatic one longer, since what its root has switched must not come back by
 * itself. A user lives while something is charged to him. One thread.
 */
#ifndef ISMD_LPAR_H
#define ISMD_LPAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "ismd/ident.h"
#include "ismd/list.h"
#include "ismd/log.h"
#include "ismd/loop.h"

struct ismd;

struct function {
	struct list link;                      /* lpar.functions, by FID */
	struct conf_function conf;             /* as it is now, whoever set it */
	char pnetid_conf[CONF_PNETID_MAX + 1]; /* what pnet_del gives back */
	bool pnetid_user;                      /* set with smc_pnet */
	uint64_t gid;
};

/* An interface's entry of the PNET table; the functions' are in struct function. */
struct pnet_interface {
	struct list link; /* lpar.interfaces */
	char pnetid[CONF_PNETID_MAX + 1];
	char name[16];
};

struct lpar {
	struct grave grave; /* first: see loop.h */
	struct list link;   /* ismd.lpars */
	char name[CONF_NAME_MAX + 1];
	enum conf_match match;
	bool automatic; /* of a network namespace that nobody named */
	bool in_conf;
	bool stored_taken; /* what is stored for it was taken; later changes count more */
	char path[CONF_PATH_MAX];
	uid_t uid;
	uint64_t netns_dev, netns_ino; /* with MATCH_HOST, MATCH_NETNS, automatic */
	uint64_t netns_cookie;         /* automatic: inodes are used again, this is not */
	struct list functions;
	unsigned nfunctions;
	struct list interfaces;
	bool seid;
	char ueids[CONF_UEIDS][CONF_EID_MAX + 1];
	unsigned nueids;
	struct conf_quota quota;
	struct list users;
	unsigned nclients;
	struct watch listener;           /* MATCH_SOCKET; fd -1 else */
	char listen_path[CONF_PATH_MAX]; /* of the listener */
};

/*
 * What one uid of an LPAR holds. Anybody can make network namespaces in a user namespace of
 * his own, and each is an LPAR with a quota; so in automatic ones, what he holds is
 * charged to a pool as well that they have in common. (Not user 0: without a user namespace
 * containers cannot make more of themselves.)
 */
struct user {
	struct list link; /* lpar.users */
	struct lpar *lpar;
	uid_t uid;
	struct user *pool; /* with a reference; NULL: none */
	unsigned refs;
	uint64_t processes; /* channels */
	uint64_t segments;
	uint64_t bytes; /* committed, his own receive buffers */
	double claims;  /* tokens left */
	uint64_t claims_ns;
	int64_t work_ns; /* of ismd's time, left for his affairs; below 0: he waits */
	uint64_t work_at_ns;
	unsigned stuck;   /* descriptors of his that could not be closed */
	uint64_t refused; /* things he asked for and did not get */
	struct log_budget log;
};

/* From d->conf; @before: the one that it replaces, or NULL. LPARs that it does not
 * name any more stay until lpars_reap(), and while somebody belongs to them. 0 or
 * -ENOMEM. */
int lpars_configure(struct ismd *d, const struct conf *before);
void lpars_reap(struct ismd *d);

/* The listener of @l and its name go. */
void lpar_close_listener(struct ismd *d, struct lpar *l);
void lpars_free(struct ismd *d);

/* The LPAR of a process; @via: the LPAR whose own socket it came through, or
 * NULL. An automatic one is made where needed. NULL: none (no memory, or
 * automatic ones are off). */
struct lpar *lpar_of(struct ismd *d, const struct ident *id, struct lpar *via);
struct lpar *lpar_known(struct ismd *d, const struct ident *id,
                        struct lpar *via); /* none is made */
struct lpar *lpar_find(struct ismd *d, const char *name);
bool lpar_is_host(const struct lpar *l);
void lpar_hold(struct lpar *l);
void lpar_release(struct ismd *d, struct lpar *l);

bool lpar_powered(const struct lpar *l);
struct function *lpar_function(struct lpar *l, uint32_t fid);
struct function *lpar_function_add(struct ismd *d, struct lpar *l, const struct conf_function *c);
void lpar_function_del(struct lpar *l, struct function *f);

/* Power, functions or PNETIDs of @l have changed: rows and proofs follow. */
void lpar_changed(struct ismd *d, struct lpar *l);

/*
 * May a client in @cl and a server in @sv talk? 0 and the two functions, or the
 * reason; *@by_client: it is the client that declines.
 */
uint32_t lpar_negotiate(struct lpar *cl, struct lpar *sv, struct function **cl_fn,
                        struct function **sv_fn, bool *by_client);

/* The box's system EID. */
const char *lpar_seid(void);

struct user *user_get(struct ismd *d, struct lpar *l, uid_t uid); /* NULL: no memory */
void user_hold(struct user *u);
void user_put(struct ismd *d, struct user *u);
/* Take the token of one claim; false: the second's share is used up. */
bool user_take_claim(struct user *u);
/*
 * ismd has one thread: half of its time is the most that one user gets when he keeps it
 * busy. Until when do his affairs wait (0: not at all)? And @ns of work were done for him.
 */
uint64_t user_waits_until(struct user *u, uint64_t now_ns);
void user_worked(struct user *u, uint64_t ns);
/* Has he room for so much more? Charge it, or take it off (negative). */
bool user_may(const struct user *u, uint64_t processes, uint64_t segments, uint64_t bytes);
void user_charge(struct user *u, int64_t processes, int64_t segments, int64_t bytes);
/* Say once in a while that @what was refused, and count it. */
void user_refused(struct user *u, const char *what);

#endif
