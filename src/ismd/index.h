/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which conns are known, by (netns, local, peer) and by SO_COOKIE. While a
 * connect() is under way only the local half is known; such a conn is filed
 * under a key with an empty peer and found by the half of its mate's key.
 */
#ifndef ISMD_INDEX_H
#define ISMD_INDEX_H

#include <stdbool.h>

struct ismd;
struct conn;
struct sock_key;

int index_add(struct ismd *d, struct conn *c); /* by c->id.key; 0 or -ENOMEM */
void index_del(struct ismd *d, struct conn *c);

/* A conn filed under exactly @key, other than @not; NULL if none. */
struct conn *index_find(struct ismd *d, const struct sock_key *key, const struct conn * not );

/* The only conn of the whole box with these addresses, in whatever namespace. No
 * proof of anything. */
struct conn *index_find_pair(struct ismd *d, const struct sock_key *key);

/* The key under which a conn with @mate's key would be filed while connecting. */
void index_half_key(const struct sock_key *mate, struct sock_key *half);

/* By the nonce that went with the SYN, if there was one; 0 or -ENOMEM. */
int index_add_nonce(struct ismd *d, struct conn *c);
void index_del_nonce(struct ismd *d, struct conn *c);
/* A conn of the other role with the same one. */
struct conn *index_find_nonce(struct ismd *d, const struct conn *c);

/* Cookies stay filed for the life of the conn, also after a marriage. */
int index_add_cookie(struct ismd *d, struct conn *c);
void index_del_cookie(struct ismd *d, struct conn *c);
struct conn *index_find_cookie(struct ismd *d, const struct conn *c);

#endif
