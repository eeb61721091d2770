/* SPDX-License-Identifier: Apache-2.0 */
#include "ismd/index.h"

#include <errno.h>
#include <string.h>

#include "ismd/ismd.h"

/* Addresses and ports, whatever the namespace. */
static uint64_t pair_hash(const struct sock_key *k)
{
	struct sock_key pair = *k;

	pair.netns = 0;
	pair.scope = 0;
	return map_hash(&pair, sizeof(pair));
}

static bool same_pair(const struct sock_key *a, const struct sock_key *b)
{
	return a->local_port == b->local_port && a->peer_port == b->peer_port &&
	       !memcmp(&a->local, &b->local, sizeof(a->local)) &&
	       !memcmp(&a->peer, &b->peer, sizeof(a->peer));
}

int index_add(struct ismd *d, struct conn *c)
{
	index_del(d, c);
	if (map_add(&d->index, &c->key_ent, map_hash(&c->id.key, sizeof(c->id.key))) < 0)
		return -ENOMEM;
	if (map_add(&d->pairs, &c->pair_ent, pair_hash(&c->id.key)) < 0) {
		map_del(&d->index, &c->key_ent);
		return -ENOMEM;
	}
	c->indexed = true;
	return 0;
}

void index_del(struct ismd *d, struct conn *c)
{
	if (c->indexed) {
		map_del(&d->index, &c->key_ent);
		map_del(&d->pairs, &c->pair_ent);
	}
	c->indexed = false;
}

struct conn *index_find_pair(struct ismd *d, const struct sock_key *key)
{
	struct mapent *e = map_first(&d->pairs, pair_hash(key));
	struct conn *found = NULL;

	for (; e; e = map_next(e)) {
		struct conn *c = list_item(e, struct conn, pair_ent);

		if (!same_pair(&c->id.key, key))
			continue;
		if (found)
			return NULL;
		found = c;
	}
	return found;
}

struct conn *index_find(struct ismd *d, const struct sock_key *key, const struct conn * not )
{
	struct mapent *e = map_first(&d->index, map_hash(key, sizeof(*key)));

	for (; e; e = map_next(e)) {
		struct conn *c = list_item(e, struct conn, key_ent);

		if (c != not &&!memcmp(&c->id.key, key, sizeof(*key)))
			return c;
	}
	return NULL;
}

void index_half_key(const struct sock_key *mate, struct sock_key *half)
{
	sockid_mirror(mate, half);
	memset(&half->peer, 0, sizeof(half->peer));
	half->peer_port = 0;
}

/* Both ends know the nonce of the SYN: the client sent it, the server got it. */
static bool syn_nonce(const struct proof_record *r, uint64_t *nonce)
{
	*nonce = r->is_client ? r->local : r->peer;
	return (r->flags & (r->is_client ? PROOF_F_LOCAL : PROOF_F_PEER)) != 0;
}

int index_add_nonce(struct ismd *d, struct conn *c)
{
	uint64_t nonce;
	int r;

	index_del_nonce(d, c);
	if (!syn_nonce(&c->id.nonces, &nonce))
		return 0;
	r = map_add(&d->nonces, &c->nonce_ent, map_hash(&nonce, sizeof(nonce)));
	c->has_nonce = r == 0;
	return r;
}

void index_del_nonce(struct ismd *d, struct conn *c)
{
	if (c->has_nonce)
		map_del(&d->nonces, &c->nonce_ent);
	c->has_nonce = false;
}

struct conn *index_find_nonce(struct ismd *d, const struct conn *c)
{
	uint64_t nonce, other;
	struct mapent *e;

	if (!syn_nonce(&c->id.nonces, &nonce))
		return NULL;
	for (e = map_first(&d->nonces, map_hash(&nonce, sizeof(nonce))); e; e = map_next(e)) {
		struct conn *o = list_item(e, struct conn, nonce_ent);

		if (o != c && syn_nonce(&o->id.nonces, &other) && other == nonce &&
		    o->id.nonces.is_client != c->id.nonces.is_client)
			return o;
	}
	return NULL;
}

int index_add_cookie(struct ismd *d, struct conn *c)
{
	int r = map_add(&d->cookies, &c->cookie_ent, map_hash(&c->id.cookie, sizeof(c->id.cookie)));

	c->has_id = r == 0;
	return r;
}

void index_del_cookie(struct ismd *d, struct conn *c)
{
	if (c->has_id)
		map_del(&d->cookies, &c->cookie_ent);
	c->has_id = false;
}

struct conn *index_find_cookie(struct ismd *d, const struct conn *c)
{
	struct mapent *e = map_first(&d->cookies, map_hash(&c->id.cookie, sizeof(c->id.cookie)));

	for (; e; e = map_next(e)) {
		struct conn *o = list_item(e, struct conn, cookie_ent);

		if (o != c && o->id.cookie == c->id.cookie)
			return o;
	}
	return NULL;
}
