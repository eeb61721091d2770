/* SPDX-License-Identifier: Apache-2.0 */
#include "ismd/netns.h"

#include <stdlib.h>
#include <string.h>

#include "ismd/ismd.h"
#include "ismd/lpar.h"
#include "proof/proof.h"

struct netns {
	struct list link; /* ismd.netns */
	uint64_t cookie;
	unsigned nclients;
	bool on;
};

static void set_power(struct ismd *d, struct netns *n, bool on)
{
	int r;

	if (n->on == on || !d->proof)
		return;
	r = proof_netns_power(d->proof, n->cookie, on);
	if (r < 0)
		log_event("ismd: SYN-option proof of a network namespace: %s", strerror(-r));
	n->on = on;
}

static struct netns *find(struct ismd *d, uint64_t cookie)
{
	list_each(it, next, &d->netns)
	{
		struct netns *n = list_item(it, struct netns, link);

		if (n->cookie == cookie)
			return n;
	}
	return NULL;
}

void netns_join(struct ismd *d, struct client *c)
{
	struct netns *n;

	if (!d->proof || !c->ident.netns_cookie)
		return;
	n = find(d, c->ident.netns_cookie);
	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return;
		n->cookie = c->ident.netns_cookie;
		list_add_tail(&d->netns, &n->link);
	}
	n->nclients++;
	c->netns = n;
	if (c->lpar && lpar_powered(c->lpar))
		set_power(d, n, true);
}

void netns_leave(struct ismd *d, struct client *c)
{
	struct netns *n = c->netns;

	c->netns = NULL;
	if (!n || --n->nclients)
		return;
	set_power(d, n, false);
	list_del(&n->link);
	free(n);
}

void netns_power_changed(struct ismd *d)
{
	list_each(ni, nn, &d->netns)
	{
		struct netns *n = list_item(ni, struct netns, link);
		bool on = false;

		list_each(ci, cn, &d->clients)
		{
			struct client *c = list_item(ci, struct client, link);

			on = on || (c->netns == n && c->lpar && lpar_powered(c->lpar));
		}
		set_power(d, n, on);
	}
}
