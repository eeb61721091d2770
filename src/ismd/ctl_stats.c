/* SPDX-License-Identifier: Apache-2.0 */
/* "stats": totals since ismd started, rows that live included. */
#include "ismd/conn.h"
#include "ismd/ctl.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"

/* Live rows that are undecided count as the fallback they show now. */
static const uint32_t shown[] = { FAB_REASON_PEERNOSMC, FAB_REASON_NOSMCDEV };

struct pending {
	uint64_t count[2][2]; /* by what is shown; client, server */
};

static void add_table(const struct table *t, struct counters *sum, struct pending *p)
{
	for (uint32_t i = 0, left = t->nconns; i < FAB_ROWS && left; i++) {
		const struct conn *c = t->conns[i];

		if (!c)
			continue;
		left--;
		conn_add_counters(c, sum);
		if (c->state == CONN_UNKNOWN || c->state == CONN_HALF || c->state == CONN_PENDING) {
			if (c->role == FAB_ROLE_LISTEN)
				continue;
			sum->tcp_conns++;
			p->count[c->reason == shown[1]][conn_is_server(c)]++;
		}
	}
}

static void put_fallback(struct jsonout *j, bool server, uint32_t reason, uint64_t count)
{
	if (!count)
		return;
	jout_open(j, NULL, '{');
	jout_str(j, "side", server ? "server" : "client");
	jout_num(j, "reason", reason);
	jout_num(j, "count", count);
	jout_close(j, '}');
}

static void put_fallbacks(struct ismd *d, struct jsonout *j, struct pending *p)
{
	jout_open(j, "fallback", '[');
	for (unsigned i = 0; i < d->nfallback; i++) {
		const struct fallback_count *f = &d->fallback[i];
		uint64_t n = f->count;

		for (unsigned k = 0; k < 2; k++) {
			if (f->reason != shown[k])
				continue;
			n += p->count[k][f->server];
			p->count[k][f->server] = 0;
		}
		put_fallback(j, f->server, f->reason, n);
	}
	for (unsigned k = 0; k < 2; k++) {
		put_fallback(j, false, shown[k], p->count[k][0]);
		put_fallback(j, true, shown[k], p->count[k][1]);
	}
	jout_close(j, ']');
}

void ctl_stats(struct ismd *d, struct jsonout *j, const struct ctl_ask *a)
{
	struct counters sum = d->total;
	struct pending pending = { { { 0 } } };

	list_each(it, next, &d->tables)
		add_table(list_item(it, struct table, link), &sum, &pending);
	jout_open(j, NULL, '{');
	jout_num(j, "smc_conns", sum.smc_conns);
	jout_num(j, "tcp_conns", sum.tcp_conns);
	put_fallbacks(d, j, &pending);
	jout_num(j, "tx_smc_bytes", sum.tx_smc_bytes);
	jout_num(j, "rx_smc_bytes", sum.rx_smc_bytes);
	jout_num(j, "tx_tcp_bytes", sum.tx_tcp_bytes);
	jout_num(j, "rx_tcp_bytes", sum.rx_tcp_bytes);
	jout_num(j, "tx_smc_calls", sum.tx_smc_calls);
	jout_num(j, "rx_smc_calls", sum.rx_smc_calls);
	jout_num(j, "switches_to_smc", sum.switches_to_smc);
	jout_num(j, "switches_to_tcp", sum.switches_to_tcp);
	jout_num(j, "claims", sum.claims);
	jout_num(j, "early_closed", sum.early_closed);
	jout_close(j, '}');
}
