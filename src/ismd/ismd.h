/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ismd knows: LPARs with their ISM functions (lpar.h), clients (channels), tables
 * (process families), procs (member processes), conns (rows that were seen), link
 * groups with their segments. Everything hangs off one struct ismd and is touched
 * by one thread.
 *
 * Who owns whom: a table lives while it has a member or an open channel; a conn
 * lives while its row is in use; a link group lives until one of its processes
 * is gone and its last connection is closed.
 */
#ifndef ISMD_ISMD_H
#define ISMD_ISMD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/rundir.h"
#include "conf/conf.h"
#include "fabric/layout.h"
#include "fabric/reason.h"
#include "fabric/wire.h"
#include "ismd/ident.h"
#include "ismd/list.h"
#include "ismd/log.h"
#include "ismd/loop.h"
#include "ismd/map.h"
#include "ismd/options.h"
#include "ismd/sockid.h"

struct client;
struct function;
struct lpar;
struct netns;
struct proof;
struct user;
struct table;
struct proc;
struct conn;
struct lgr;
struct segment;

/* ---------------------------------------------------------------- clients */

/* One accepted connection: a presence, a library's control channel, a tool. */
struct client {
	struct grave grave; /* first: see loop.h */
	struct watch watch; /* watch.fd is the channel */
	struct list link;   /* ismd.clients */
	unsigned id;
	struct ident ident; /* at connect, by the kernel */
	int pidfd;          /* of the process that connected; -1: the proc has it */
	struct lpar *lpar;
	struct user *user;
	struct netns *netns;   /* see netns.h */
	struct lpar *via;      /* whose own socket it came through, or NULL */
	bool counted;          /* in user->processes */
	struct list rest_link; /* ismd.resting, or unlinked */
	uint64_t rest_until_ns;
	bool marked;         /* proof_client_add() was done */
	struct table *table; /* after HELLO: the family whose channel it is */
	struct proc *proc;   /* the member that owns it; NULL once that is gone */
	bool asked;          /* a tool's request was answered just now */
	struct log_budget log;
};

/* --------------------------------------------------------------- families */

/* A row whose claim was seen, and when it is looked at. */
struct young {
	uint32_t row;
	uint64_t due_ns;
};

struct table {
	struct grave grave;
	struct watch bell; /* bell.fd: eventfd, one-shot in the loop */
	struct list link;  /* ismd.tables */
	uint32_t id;
	int memfd;
	struct fab_table *head;
	struct fab_row *rows;
	struct conn **conns; /* FAB_ROWS, by row */
	struct list members; /* proc.link */
	unsigned nchannels;  /* clients with client.table == this */
	unsigned nconns;
	struct list due_link; /* ismd.due while a look at it is scheduled */
	uint64_t due_ns;
	bool queued;
	bool foreign_pids;   /* a member has another pid than it believes */
	struct young *young; /* claims that wait for their time, oldest first */
	unsigned nyoung;
};

struct proc {
	struct grave grave;
	struct watch watch; /* watch.fd: pidfd */
	struct list link;   /* table.members */
	uint64_t id;
	pid_t pid;    /* as ismd sees it */
	int32_t told; /* as it sees itself, and its rows */
	uid_t uid;
	struct lpar *lpar;
	struct user *user; /* with a reference */
	bool counted;      /* in user->processes; its channel is not, then */
	char comm[16];
	int vector;
	struct table *table;
	struct client *client; /* NULL: mute, it hung up but lives */
	struct list conns;     /* conn.proc_link */
};

/* ------------------------------------------------------------ connections */

enum conn_state {
	CONN_UNKNOWN, /* the socket could not be looked at yet */
	CONN_LISTEN,  /* a listener; only shown */
	CONN_HALF,    /* connecting: only the local address is known */
	CONN_PENDING, /* known, no mate */
	CONN_MATCHED,
	CONN_DECLINED, /* stays in the index until its mate has been told */
};

enum conn_proof {
	PROOF_NONE,
	PROOF_NAMESPACE, /* mirrored addresses in one network namespace */
	PROOF_SYN_OPTION,
};

struct conn {
	struct list proc_link;    /* proc.conns, or unlinked */
	struct list unknown_link; /* ismd.unknown while CONN_UNKNOWN */
	struct mapent key_ent;    /* ismd.index while indexed */
	struct mapent cookie_ent; /* ismd.cookies while it has an identity */
	struct mapent nonce_ent;  /* ismd.nonces while it has a nonce */
	struct mapent pair_ent;   /* ismd.pairs while indexed */
	bool indexed;
	bool has_id;
	bool has_nonce;
	bool unsure; /* nobody was found who holds it, but not all were asked */
	bool passed; /* the identity came with CLAIM_FD, not by pidfd_getfd */
	enum conn_state state;
	struct table *table;
	uint32_t row;
	uint32_t gen;
	uint32_t role;
	struct proc *proc; /* holder of the socket, NULL if unknown or gone */
	int fd;            /* descriptor there */
	struct sock_id id;
	uint32_t reason;
	uint32_t peer_reason;
	uint64_t after_bytes; /* PENDING by policy until so many have gone by TCP */
	/* with CONN_MATCHED */
	enum conn_proof proof;
	struct segment *seg;
	unsigned side;
	unsigned slot;
	uint64_t token;
	uint64_t peer_token;
	uint32_t conn_token;
};

/* ------------------------------------------------------------ link groups */

struct slot {
	struct conn *conn[2]; /* by side; NULL: that end is closed */
	bool used;
	bool committed; /* its memory has been allocated once */
};

struct segment {
	struct list link;  /* lgr.segments */
	struct mapent ent; /* ismd.segments, by id */
	struct lgr *lgr;
	uint32_t id;
	int memfd;
	struct fab_segment *map;
	uint64_t bytes;
	uint64_t stride;
	uint32_t dmb_bytes;
	unsigned nslots;
	unsigned nused;
	bool pushed[2]; /* that side's process has it */
	struct slot slots[FAB_SEG_MAX_SLOTS];
};

struct lgr {
	struct list link;  /* ismd.lgrs */
	struct mapent ent; /* ismd.lgr_map, by the pair; not once closing */
	uint32_t id;
	struct proc *proc[2]; /* by side; NULL once it is gone */
	struct user *user[2]; /* by side, with references */
	uint32_t table_id[2]; /* the families', which may outlive the processes */
	uint64_t gid[2];      /* of the functions, by side */
	uint16_t chid;
	uint16_t vlan;
	char pnetid[CONF_PNETID_MAX + 1];
	bool foreign;  /* different users or LPARs: vectors of its own */
	int ring[2];   /* foreign: eventfd that side's peer writes */
	int listen[2]; /* foreign: epoll around ring[], for that side to sleep on */
	bool closing;
	struct list segments;
	unsigned nsegments;
	unsigned nconns;
};

/* ------------------------------------------------------------------ daemon */

/* Totals of rows that are gone; live rows are added when somebody asks. */
struct counters {
	uint64_t smc_conns, tcp_conns, claims, early_closed;
	uint64_t tx_smc_bytes, rx_smc_bytes, tx_tcp_bytes, rx_tcp_bytes;
	uint64_t tx_smc_calls, rx_smc_calls, switches_to_smc, switches_to_tcp;
};

#define FALLBACK_KINDS 64

struct fallback_count {
	uint32_t reason;
	bool server;
	uint64_t count;
};

struct ismd {
	struct options opt;
	struct loop loop;
	char dir[RUNDIR_PATH_MAX];
	struct watch listener;
	struct watch signals;
	struct conf *conf;
	const char *conf_path; /* "": none was read */
	char conf_fault[256];  /* the first of a reload that was refused */
	struct list lpars;
	struct lpar *pool; /* see struct user; in no list */
	struct list netns;
	struct proof *proof;
	char proof_missing[256]; /* why there is none */
	int lock_fd;
	int spare_fd; /* given up for a moment when accept() finds none left */
	bool stop;
	bool leaving; /* shared memory is not touched any more */
	uint64_t start_ns;
	uint64_t idle_since_ns; /* 0: somebody is there */

	struct list resting; /* clients of users that have used up ismd's time for them */
	struct list clients;
	unsigned nclients, next_client;
	struct list tables;
	unsigned ntables;
	uint32_t next_table;
	uint64_t next_proc;
	struct list due; /* tables to look at, soonest first */

	struct map index;   /* conns by (netns, local, peer) */
	struct map cookies; /* conns by SO_COOKIE */
	struct map nonces;  /* conns by the nonce of their SYN */
	struct map pairs;   /* conns by addresses alone: no proof, for reason codes */
	struct list unknown;

	struct list lgrs;
	struct map lgr_map;
	struct map segments;
	uint32_t next_lgr, next_segment, next_conn_token;
	uint64_t ndmbs;
	uint64_t dmb_bytes; /* committed */

	struct counters total;
	struct fallback_count fallback[FALLBACK_KINDS];
	unsigned nfallback;
};

#endif
