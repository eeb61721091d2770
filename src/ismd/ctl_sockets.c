/* SPDX-License-Identifier: Apache-2.0 */
/* "sockets": every row, with the socket's state as the kernel has it now. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fabric/reason.h"
#include "ismd/client.h"
#include "ismd/conn.h"
#include "ismd/ctl.h"
#include "ismd/fetch.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lgr.h"
#include "ismd/lpar.h"
#include "ismd/rows.h"
#include "ismd/state.h"

static void put_address(struct jsonout *j, const char *key, const struct in6_addr *a, int family)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (family == AF_INET)
		inet_ntop(AF_INET, &a->s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET6, a, text, sizeof(text));
	jout_str(j, key, text);
}

static const char *role_name(uint32_t role)
{
	switch (role) {
	case FAB_ROLE_LISTEN:
		return "listen";
	case FAB_ROLE_ACCEPT:
		return "server";
	default:
		return "client";
	}
}

#define LOOKING_NS 20000000 /* of one answer; then states are as last seen */

/* TCP state now; what cannot be looked at is as it was, what is gone is closed. */
static int tcp_state_now(struct ismd *d, struct conn *c, uint64_t until)
{
	enum fetch_outcome o;
	struct sock_id now;

	if (!c->id.cookie || loop_now_ns() > until)
		return c->id.cookie                 ? c->id.tcp_state
		       : c->role == FAB_ROLE_LISTEN ? TCP_LISTEN
		                                    : TCP_ESTABLISHED;
	o = fetch_verify(d, c, &now, NULL);
	/* a forking server's parent closes what its child serves */
	if (o == FETCH_GONE && conn_find_heir(d, c))
		o = fetch_verify(d, c, &now, NULL);
	switch (o) {
	case FETCH_OK:
	case FETCH_HALF:
		return now.tcp_state;
	case FETCH_GONE:
		return TCP_CLOSE;
	default:
		return c->id.tcp_state;
	}
}

static void put_counters(struct jsonout *j, const struct fab_row *r)
{
	jout_num(j, "tx_smc_bytes", atomic_load(&r->tx_smc_bytes));
	jout_num(j, "rx_smc_bytes", atomic_load(&r->rx_smc_bytes));
	jout_num(j, "tx_tcp_bytes", atomic_load(&r->tx_tcp_bytes));
	jout_num(j, "rx_tcp_bytes", atomic_load(&r->rx_tcp_bytes));
	jout_num(j, "tx_full", atomic_load(&r->tx_full));
}

static void put_smcd(struct ismd *d, struct jsonout *j, const struct conn *c,
                     const struct fab_dmb *own, const struct fab_dmb *peer)
{
	const struct fab_row *r = conn_row(c);
	uint32_t bytes = c->seg->dmb_bytes;

	jout_num(j, "lgr_id", c->seg->lgr->id);
	jout_num(j, "linkid", c->seg->lgr->id);
	jout_hex64(j, "gid", c->seg->lgr->gid[c->side]);
	jout_hex64(j, "peer_gid", c->seg->lgr->gid[!c->side]);
	jout_hex64(j, "token", c->token);
	jout_hex64(j, "peer_token", c->peer_token);
	jout_num(j, "conn_token", c->conn_token);
	jout_num(j, "sndbuf", bytes);
	jout_num(j, "rcvbuf", bytes);
	jout_num(j, "peerbuf", bytes);
	jout_num(j, "rx_prod", atomic_load(&own->prod));
	jout_num(j, "rx_cons", atomic_load(&own->cons));
	jout_num(j, "tx_prod", atomic_load(&peer->prod));
	jout_num(j, "tx_cons", atomic_load(&peer->cons));
	jout_num(j, "rx_flags", atomic_load(&own->cdc_flags) & 0xffff);
	jout_num(j, "tx_flags", atomic_load(&peer->cdc_flags) & 0xffff);
	jout_str(j, "rx_path", atomic_load(&r->rx_seq) & 1 ? "ring" : "tcp");
	jout_str(j, "tx_path", atomic_load(&r->tx_seq) & 1 ? "ring" : "tcp");
}

/* "0" for the end that is not known, in the socket's own family. */
static int shown_family(const struct conn *c)
{
	return c->id.family ? c->id.family : AF_INET;
}

static uint32_t pinned(const struct conn *c)
{
	const struct fab_row *r = c ? conn_row(c) : NULL;

	return r && (atomic_load(&r->flags) & FAB_ROWF_PINNED) ? atomic_load(&r->pin_reason) : 0;
}

/*
 * A married connection that one end has returned to TCP: shown as that end's
 * decline would be. False: it is on shared memory.
 */
static bool returned_to_tcp(struct ismd *d, const struct conn *c, uint32_t *reason,
                            uint32_t *peer_reason)
{
	uint32_t own = pinned(c), mate = pinned(c->seg->slots[c->slot].conn[!c->side]);
	unsigned off = lgr_unpowered(d, c->seg->lgr);

	if (!own && off >> c->side & 1)
		own = FAB_REASON_NOSMCDEV;
	if (!mate && off >> !c->side & 1)
		mate = FAB_REASON_NOSMCDEV;
	if (!own && !mate)
		return false;
	*reason = own ? own : FAB_REASON_PEERDECL;
	*peer_reason = own ? 0 : mate;
	return true;
}

/* Whose it is, for those who may know; the kernel's own tools are as discreet. */
static void put_owner(struct jsonout *j, const struct conn *c, bool mine)
{
	const struct fab_row *r = conn_row(c);

	if (!mine) {
		jout_int(j, "pid", 0);
		jout_str(j, "comm", "");
		jout_int(j, "fd", -1);
		return;
	}
	jout_int(j, "pid", c->proc ? c->proc->pid : atomic_load(&r->pid));
	jout_str(j, "comm", c->proc ? c->proc->comm : "");
	jout_int(j, "fd", atomic_load(&r->fd));
}

static bool may_know_owner(const struct ctl_ask *a, const struct conn *c)
{
	if (a->rights == RIGHTS_BOX || (c->proc && c->proc->uid == a->sender_uid))
		return true;
	return a->rights == RIGHTS_LPAR && conn_lpar(c) == a->client->lpar;
}

static void put_lpars(struct jsonout *j, const struct conn *c)
{
	static const char *const proofs[] = { "", "namespace", "syn-option" };
	const struct lpar *own = conn_lpar(c);
	const struct lpar *peer = NULL;
	const struct conn *mate;

	if (c->state == CONN_MATCHED && c->seg) {
		/* its end may be closed; then who pays for its buffer */
		mate = c->seg->slots[c->slot].conn[!c->side];
		peer = mate ? conn_lpar(mate) : c->seg->lgr->user[!c->side]->lpar;
	}
	jout_str(j, "lpar", own ? own->name : "");
	jout_str(j, "peer_lpar", peer ? peer->name : "");
	jout_str(j, "proof", peer ? proofs[c->proof] : "");
}

static void put_socket(struct ismd *d, struct jsonout *j, const struct ctl_ask *a, struct conn *c,
                       uint64_t until)
{
	const struct fab_row *r = conn_row(c);
	const struct fab_dmb *own = NULL, *peer = NULL;
	bool smcd = c->state == CONN_MATCHED && c->seg;
	int tcp = tcp_state_now(d, c, until), family = shown_family(c);
	uint32_t own_flags = 0, peer_flags = 0;
	uint32_t reason = c->reason, peer_reason = c->peer_reason;

	if (smcd) {
		own = segment_dmb(c->seg, c->slot, c->side);
		peer = segment_dmb(c->seg, c->slot, !c->side);
		own_flags = atomic_load(&peer->cdc_flags);
		peer_flags = atomic_load(&own->cdc_flags);
		smcd = !returned_to_tcp(d, c, &reason, &peer_reason);
	}
	jout_open(j, NULL, '{');
	jout_num(j, "state", state_derive(tcp, own_flags, peer_flags));
	jout_num(j, "uid", c->proc ? c->proc->uid : geteuid());
	jout_num(j, "inode", c->id.inode);
	jout_num(j, "family", family == AF_INET6 ? 6 : 4);
	put_address(j, "laddr", &c->id.key.local, family);
	jout_num(j, "lport", c->id.key.local_port);
	put_address(j, "raddr", &c->id.key.peer, family);
	jout_num(j, "rport", c->id.key.peer_port);
	jout_num(j, "intf", c->id.ifindex);
	jout_str(j, "mode", smcd ? "SMCD" : c->role == FAB_ROLE_LISTEN ? "" : "TCP");
	jout_num(j, "reason", reason);
	jout_num(j, "peer_reason", peer_reason);
	put_owner(j, c, may_know_owner(a, c));
	put_lpars(j, c);
	jout_str(j, "role", role_name(c->role));
	jout_num(j, "table", c->table->id);
	jout_num(j, "row", c->row);
	jout_num(j, "shutdown", state_shutdown(tcp, own_flags, peer_flags));
	if (smcd)
		put_smcd(d, j, c, own, peer);
	put_counters(j, r);
	jout_close(j, '}');
}

void ctl_sockets(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	uint64_t until = loop_now_ns() + LOOKING_NS;

	jout_open(j, NULL, '{');
	jout_open(j, "sockets", '[');
	list_each(it, next, &d->tables)
	{
		struct table *t = list_item(it, struct table, link);

		for (uint32_t i = 0, left = t->nconns; i < FAB_ROWS && left; i++) {
			if (!t->conns[i])
				continue;
			left--;
			if (a->all || conn_lpar(t->conns[i]) == a->lpar)
				put_socket(d, j, a, t->conns[i], until);
		}
	}
	jout_close(j, ']');
	jout_close(j, '}');
}
