/* SPDX-License-Identifier: Apache-2.0 */
/* "explain": one connection of the asker, with a line that says what is missing. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "ismd/conn.h"
#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lpar.h"

static bool address(const char *text, struct in6_addr *a)
{
	char mapped[64];

	if (text && inet_pton(AF_INET6, text, a) == 1)
		return true;
	snprintf(mapped, sizeof(mapped), "::ffff:%s", text ? text : "");
	return inet_pton(AF_INET6, mapped, a) == 1;
}

static bool is_asked(const struct conn *c, const struct sock_key *k)
{
	return c->role != FAB_ROLE_LISTEN && c->id.key.local_port == k->local_port &&
	       c->id.key.peer_port == k->peer_port &&
	       !memcmp(&c->id.key.local, &k->local, sizeof(k->local)) &&
	       !memcmp(&c->id.key.peer, &k->peer, sizeof(k->peer));
}

static struct conn *find(struct ismd *d, const struct ctl_ask *a, const struct sock_key *k)
{
	list_each(it, next, &d->tables)
	{
		struct table *t = list_item(it, struct table, link);

		for (uint32_t i = 0, left = t->nconns; i < FAB_ROWS && left; i++) {
			struct conn *c = t->conns[i];

			left -= c != NULL;
			if (c && conn_lpar(c) == a->lpar && is_asked(c, k))
				return c;
		}
	}
	return NULL;
}

/* Still looking for the other end: how far is it known? */
static const char *hint_pending(struct ismd *d, const struct conn *c)
{
	const struct lpar *l = conn_lpar(c);

	if (l && !lpar_powered(l))
		return "the ISM function of this LPAR is off or missing: smc_rnics -e FID";
	if (c->after_bytes)
		return "a policy of ism.conf waits until more bytes have been sent";
	if (!d->proof && d->opt.system)
		return "the SYN-option proof is off, so only connections inside one network "
		       "namespace can be proven: see smcd info";
	if (!d->opt.system)
		return "the peer is not under smc_run, or not of this user, or in another network "
		       "namespace: that takes an ismd for the box (ismd --system)";
	if (c->id.nonces.flags & PROOF_F_PLAIN)
		return "the peer's socket was not made under smc_run, or it has no ismd socket "
		       "(mount /run/ism), or its function is off, or the way drops TCP options";
	return "the peer is not under smc_run, or it has no ismd socket (mount /run/ism)";
}

static const char *hint_declined(uint32_t reason, bool peer)
{
	switch (reason) {
	case FAB_REASON_NOSMCDEV:
		return peer ? "the ISM function of the peer's LPAR is off or missing"
		            : "the ISM function of this LPAR is off or missing: smc_rnics -e FID";
	case FAB_REASON_NOSMCD2DEV:
		return "the functions of the two LPARs differ in PNETID, CHID or VLAN: see "
		       "smc_rnics";
	case FAB_REASON_NOUEID:
		return "the two LPARs have no EID in common: smcd seid enable, or smcd ueid add";
	case FAB_REASON_OI_POLICY:
		return "a policy of ism.conf says never";
	case FAB_REASON_OI_QUOTA:
		return "the quota of one of the two users is used up: see smcd lpar";
	case FAB_REASON_MAX_DMB:
		return "all DMBs of the box are in use: max_dmbs in ism.conf";
	case FAB_REASON_MEM:
		return "no memory left for DMBs: max_dmb_bytes in ism.conf";
	case FAB_REASON_OI_NOPROOF:
		return "ismd could not look at the socket: see its log";
	default:
		return "";
	}
}

static void put_verdict(struct ismd *d, struct jsonout *j, const struct conn *c)
{
	static const char *const proofs[] = { "", "namespace", "syn-option" };
	bool peer = c->reason == FAB_REASON_PEERDECL;
	const char *state = "pending", *hint = "";

	if (c->state == CONN_MATCHED) {
		state = "married";
	} else if (c->state == CONN_DECLINED) {
		state = "declined";
		hint = hint_declined(peer ? c->peer_reason : c->reason, peer);
	} else {
		hint = hint_pending(d, c);
	}
	jout_open(j, NULL, '{');
	jout_str(j, "state", state);
	jout_str(j, "mode", c->state == CONN_MATCHED ? "SMCD" : "TCP");
	jout_num(j, "reason", c->reason);
	jout_num(j, "peer_reason", c->peer_reason);
	jout_str(j, "proof", proofs[c->proof]);
	jout_str(j, "hint", hint);
	jout_close(j, '}');
}

void ctl_explain(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct sock_key k = { 0 };
	int64_t lport, rport;
	struct conn *c;

	if (!ctl_get_int(j, a->req, "lport", 1, 65535, &lport) ||
	    !ctl_get_int(j, a->req, "rport", 1, 65535, &rport))
		return;
	if (!address(ctl_get_str(a->req, "laddr"), &k.local) ||
	    !address(ctl_get_str(a->req, "raddr"), &k.peer)) {
		ctl_error(j, "usage", "laddr and raddr: addresses are expected");
		return;
	}
	k.local_port = (uint16_t)lport;
	k.peer_port = (uint16_t)rport;
	c = find(d, a, &k);
	if (!c)
		ctl_error(j, "noent", "no such socket of this LPAR is known");
	else
		put_verdict(d, j, c);
}
