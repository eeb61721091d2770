/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of ismd without a daemon around them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ismd/index.h"
#include "ismd/ismd.h"
#include "ismd/jsonout.h"
#include "ismd/lgr.h"
#include "ismd/lpar.h"
#include "ismd/service.h"
#include "ismd/state.h"
#include "ismd/table.h"

/* ---------------------------------------------------------------- matching */

static void set_v4(struct sockaddr_storage *ss, const char *addr, uint16_t port)
{
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	inet_pton(AF_INET, addr, &in->sin_addr);
}

static void set_v6(struct sockaddr_storage *ss, const char *addr, uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	in->sin6_family = AF_INET6;
	in->sin6_port = htons(port);
	in->sin6_scope_id = scope;
	inet_pton(AF_INET6, addr, &in->sin6_addr);
}

static void v4_and_mapped_are_one(void **state)
{
	struct sockaddr_storage a, b;
	struct in6_addr x, y;
	uint16_t p, q;
	uint32_t s;

	set_v4(&a, "127.0.0.1", 80);
	set_v6(&b, "::ffff:127.0.0.1", 80, 0);
	assert_true(sockid_normalise(&a, &x, &p, &s));
	assert_true(sockid_normalise(&b, &y, &q, &s));
	assert_memory_equal(&x, &y, sizeof(x));
	assert_int_equal(p, q);
	a.ss_family = AF_UNIX;
	assert_false(sockid_normalise(&a, &x, &p, &s));
}

static void only_link_local_has_a_scope(void **state)
{
	struct sockaddr_storage a;
	struct in6_addr x;
	uint16_t p;
	uint32_t scope;

	set_v6(&a, "fe80::1", 80, 3);
	assert_true(sockid_normalise(&a, &x, &p, &scope));
	assert_int_equal(scope, 3);
	set_v6(&a, "::1", 80, 3);
	assert_true(sockid_normalise(&a, &x, &p, &scope));
	assert_int_equal(scope, 0);
}

static void file(struct conn *c, uint64_t netns, uint16_t local, uint16_t peer, uint64_t cookie)
{
	memset(c, 0, sizeof(*c));
	c->id.key.netns = netns;
	c->id.key.local = c->id.key.peer = in6addr_loopback;
	c->id.key.local_port = local;
	c->id.key.peer_port = peer;
	c->id.cookie = cookie;
}

static void mirrors_find_each_other(void **state)
{
	struct ismd d = { 0 };
	struct conn a, b, other_ns, half;
	struct sock_key m;

	file(&a, 1, 1000, 80, 1);
	file(&b, 1, 80, 1000, 2);
	file(&other_ns, 2, 80, 1000, 3);
	assert_int_equal(index_add(&d, &a), 0);
	assert_int_equal(index_add(&d, &other_ns), 0);
	sockid_mirror(&a.id.key, &m);
	assert_null(index_find(&d, &m, &a));
	assert_int_equal(index_add(&d, &b), 0);
	assert_ptr_equal(index_find(&d, &m, &a), &b);
	sockid_mirror(&b.id.key, &m);
	assert_ptr_equal(index_find(&d, &m, &b), &a);
	/* port reuse: the old one is taken out, the new one is found */
	index_del(&d, &b);
	index_del(&d, &b);
	sockid_mirror(&a.id.key, &m);
	assert_null(index_find(&d, &m, &a));
	/* connecting: found by its local half */
	file(&half, 1, 1000, 0, 4);
	memset(&half.id.key.peer, 0, sizeof(half.id.key.peer));
	assert_int_equal(index_add(&d, &half), 0);
	index_half_key(&b.id.key, &m);
	assert_ptr_equal(index_find(&d, &m, NULL), &half);
	map_deinit(&d.index);
	map_deinit(&d.pairs);
}

static void self_connection_mirrors_itself(void **state)
{
	struct ismd d = { 0 };
	struct conn a;
	struct sock_key m;

	file(&a, 1, 80, 80, 1);
	assert_int_equal(index_add(&d, &a), 0);
	sockid_mirror(&a.id.key, &m);
	assert_memory_equal(&m, &a.id.key, sizeof(m));
	assert_null(index_find(&d, &m, &a)); /* never its own mate */
	map_deinit(&d.index);
	map_deinit(&d.pairs);
}

static void many_keys_stay_apart(void **state)
{
	enum { N = 5000 };
	struct ismd d = { 0 };
	struct conn *c = calloc(N, sizeof(*c));
	struct sock_key k;

	assert_non_null(c);
	for (int i = 0; i < N; i++) {
		file(&c[i], 1, (uint16_t)(i + 1), 80, (uint64_t)i);
		assert_int_equal(index_add(&d, &c[i]), 0);
		assert_int_equal(index_add_cookie(&d, &c[i]), 0);
	}
	for (int i = 0; i < N; i++) {
		k = c[i].id.key;
		assert_ptr_equal(index_find(&d, &k, NULL), &c[i]);
		assert_null(index_find_cookie(&d, &c[i]));
	}
	for (int i = 0; i < N; i++) {
		index_del(&d, &c[i]);
		index_del_cookie(&d, &c[i]);
	}
	assert_int_equal(d.index.count, 0);
	map_deinit(&d.index);
	map_deinit(&d.pairs);
	map_deinit(&d.cookies);
	free(c);
}

/* ---------------------------------------------------------------- dirty bits */

static void mark(struct fab_table *t, uint32_t row)
{
	atomic_fetch_or(&t->dirty[row / 64], 1ull << (row % 64));
	atomic_fetch_or(&t->summary[row / 4096], 1ull << (row / 64 % 64));
}

static void every_mark_is_taken_once(void **state)
{
	struct fab_table *t = calloc(1, sizeof(*t));
	static uint32_t rows[FAB_ROWS];
	bool more;

	assert_non_null(t);
	assert_int_equal(table_take_dirty(t, rows, FAB_ROWS, &more), 0);
	mark(t, 0);
	mark(t, 63);
	mark(t, 64);
	mark(t, FAB_ROWS - 1);
	assert_int_equal(table_take_dirty(t, rows, FAB_ROWS, &more), 4);
	assert_false(more);
	assert_int_equal(rows[0], 0);
	assert_int_equal(rows[3], FAB_ROWS - 1);
	assert_int_equal(table_take_dirty(t, rows, FAB_ROWS, &more), 0);
	free(t);
}

static void a_full_look_is_continued(void **state)
{
	struct fab_table *t = calloc(1, sizeof(*t));
	static uint8_t seen[FAB_ROWS];
	uint32_t rows[256];
	bool more = true;
	unsigned looks = 0, n;

	assert_non_null(t);
	for (uint32_t i = 0; i < FAB_ROWS; i++)
		mark(t, i);
	while (more) {
		n = table_take_dirty(t, rows, 256, &more);
		for (unsigned i = 0; i < n; i++)
			seen[rows[i]]++;
		assert_true(++looks <= FAB_ROWS / 128);
	}
	for (uint32_t i = 0; i < FAB_ROWS; i++)
		assert_int_equal(seen[i], 1);
	free(t);
}

/* ---------------------------------------------------------------- segments */

static struct ismd *daemon_up(void)
{
	struct ismd *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	options_default(&d->opt);
	assert_int_equal(service_init(d), 0);
	return d;
}

/* Two processes of the host's LPAR, and the link group between them. */
static struct proc proc_of(struct ismd *d, uint64_t id)
{
	struct lpar *l = lpar_find(d, "host");
	struct proc p = { .id = id, .lpar = l, .user = user_get(d, l, geteuid()) };

	assert_non_null(p.user);
	return p;
}

static struct lgr *group(struct ismd *d, struct proc *a, struct proc *b)
{
	struct function *f = lpar_function(a->lpar, 1);

	return lgr_get(d, a, b, f, f);
}

static void daemon_down(struct ismd *d)
{
	service_deinit(d);
	free(d);
}

static void sizes_are_rounded(void **state)
{
	assert_int_equal(lgr_round_dmb(0), FAB_DMB_DEFAULT_BYTES);
	assert_int_equal(lgr_round_dmb(1), 16384);
	assert_int_equal(lgr_round_dmb(16384), 16384);
	assert_int_equal(lgr_round_dmb(16385), 32768);
	assert_int_equal(lgr_round_dmb(1048576), 1048576);
	assert_int_equal(lgr_round_dmb(UINT32_MAX), 1048576);
}

static void slots_are_given_and_taken_back(void **state)
{
	enum { N = 100 };
	struct ismd *d = daemon_up();
	struct proc a = proc_of(d, 1), b = proc_of(d, 2);
	struct lgr *g = group(d, &a, &b);
	struct segment *seg[N];
	unsigned slot[N];

	assert_non_null(g);
	assert_ptr_equal(group(d, &b, &a), g); /* unordered */
	for (int i = 0; i < N; i++) {
		assert_int_equal(lgr_reserve(d, g, 16384, &seg[i], &slot[i]), LGR_OK);
		for (int k = 0; k < i; k++)
			assert_false(seg[k] == seg[i] && slot[k] == slot[i]);
	}
	assert_int_equal(g->nsegments, 4); /* 4 + 16 + 64 + 64 */
	assert_int_equal(d->ndmbs, 2 * N);
	/* a peer's scribbles in the header do not reach the next connection */
	atomic_store(&segment_dmb(seg[0], slot[0], 1)->rx_open, 1);
	atomic_store(&seg[0]->map->side[0].ready, ~0ull);
	seg[0]->map->nslots = 9999;
	for (int i = 0; i < N; i++)
		lgr_unreserve(d, seg[i], slot[i]);
	assert_int_equal(d->ndmbs, 0);
	assert_int_equal(lgr_reserve(d, g, 16384, &seg[0], &slot[0]), LGR_OK);
	assert_int_equal(atomic_load(&segment_dmb(seg[0], slot[0], 1)->rx_open), 0);
	assert_false(atomic_load(&seg[0]->map->side[0].ready) >> slot[0] & 1);
	lgr_proc_gone(d, &a);
	assert_int_equal(g->nconns, 1); /* still used by the other one */
	assert_ptr_not_equal(group(d, &a, &b), g);
	lgr_proc_gone(d, &a);
	lgr_unreserve(d, seg[0], slot[0]);
	assert_int_equal(d->dmb_bytes, 0);
	assert_true(list_empty(&d->lgrs));
	user_put(d, a.user);
	user_put(d, b.user);
	daemon_down(d);
}

static void limits_are_kept(void **state)
{
	struct ismd *d = daemon_up();
	struct proc a = proc_of(d, 1);
	struct lgr *g;
	struct segment *s, *s2;
	unsigned slot, slot2;

	d->opt.max_dmbs = 3;
	g = group(d, &a, &a);
	assert_int_equal(lgr_reserve(d, g, 16384, &s, &slot), LGR_OK);
	assert_int_equal(lgr_reserve(d, g, 16384, &s2, &slot2), LGR_NO_DMB);
	d->opt.max_dmbs = 100;
	d->opt.max_dmb_bytes = d->dmb_bytes;
	assert_int_equal(lgr_reserve(d, g, 1048576, &s2, &slot2), LGR_NO_MEMORY);
	/* idle memory of one size serves another */
	lgr_unreserve(d, s, slot);
	assert_true(d->dmb_bytes > 0);
	d->opt.max_dmb_bytes = 2 * (FAB_DMB_RING_OFFSET + 32768);
	assert_int_equal(lgr_reserve(d, g, 1048576, &s2, &slot2), LGR_OK);
	assert_int_equal(s2->dmb_bytes, 32768);
	lgr_unreserve(d, s2, slot2);
	lgr_proc_gone(d, &a);
	assert_int_equal(d->dmb_bytes, 0);
	user_put(d, a.user);
	daemon_down(d);
}

/* ---------------------------------------------------------------- states */

static void states_follow_tcp_and_flags(void **state)
{
	const uint32_t done = FAB_CDC_DONE_WRITING, closed = FAB_CDC_CONN_CLOSED,
		       gone = FAB_CDC_CONN_CLOSED | FAB_CDC_CONN_ABORT;

	assert_int_equal(state_derive(TCP_ESTABLISHED, 0, 0), STATE_ACTIVE);
	assert_int_equal(state_derive(TCP_SYN_SENT, 0, 0), STATE_INIT);
	assert_int_equal(state_derive(TCP_LISTEN, 0, 0), STATE_LISTEN);
	assert_int_equal(state_derive(TCP_CLOSE, 0, gone), STATE_CLOSED);
	assert_int_equal(state_derive(TCP_FIN_WAIT2, 0, 0), STATE_PEERCLOSEWAIT1);
	assert_int_equal(state_derive(TCP_CLOSE_WAIT, 0, 0), STATE_APPCLOSEWAIT1);
	assert_int_equal(state_derive(TCP_LAST_ACK, 0, 0), STATE_PEERFINCLOSEWAIT);
	assert_int_equal(state_derive(TCP_ESTABLISHED, done, 0), STATE_PEERCLOSEWAIT1);
	assert_int_equal(state_derive(TCP_ESTABLISHED, 0, done), STATE_APPCLOSEWAIT1);
	assert_int_equal(state_derive(TCP_ESTABLISHED, done, done), STATE_PEERCLOSEWAIT2);
	assert_int_equal(state_derive(TCP_ESTABLISHED, done, closed), STATE_APPFINCLOSEWAIT);
	assert_int_equal(state_derive(TCP_ESTABLISHED, 0, gone), STATE_PROCESSABORT);
	assert_int_equal(state_derive(TCP_ESTABLISHED, gone, 0), STATE_PEERABORTWAIT);
	assert_int_equal(state_derive(9999, ~0u, ~0u), STATE_CLOSED);
	assert_int_equal(state_shutdown(TCP_ESTABLISHED, 0, 0), 0);
	assert_int_equal(state_shutdown(TCP_CLOSE_WAIT, 0, 0), 1);
	assert_int_equal(state_shutdown(TCP_ESTABLISHED, done, 0), 2);
	assert_int_equal(state_shutdown(TCP_LAST_ACK, 0, 0), 3);
}

static void json_is_escaped(void **state)
{
	struct jsonout j = { 0 };

	jout_open(&j, NULL, '{');
	jout_str(&j, "a", "q\"\\\n");
	jout_open(&j, "b", '[');
	jout_num(&j, NULL, 1);
	jout_int(&j, NULL, -1);
	jout_close(&j, ']');
	jout_bool(&j, "c", true);
	jout_close(&j, '}');
	assert_false(j.failed);
	assert_int_equal(j.len, strlen("{\"a\":\"q\\\"\\\\\\u000a\",\"b\":[1,-1],\"c\":true}"));
	assert_memory_equal(j.text, "{\"a\":\"q\\\"\\\\\\u000a\",\"b\":[1,-1],\"c\":true}", j.len);
	jout_free(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4_and_mapped_are_one),
		cmocka_unit_test(only_link_local_has_a_scope),
		cmocka_unit_test(mirrors_find_each_other),
		cmocka_unit_test(self_connection_mirrors_itself),
		cmocka_unit_test(many_keys_stay_apart),
		cmocka_unit_test(every_mark_is_taken_once),
		cmocka_unit_test(a_full_look_is_continued),
		cmocka_unit_test(sizes_are_rounded),
		cmocka_unit_test(slots_are_given_and_taken_back),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(states_follow_tcp_and_flags),
		cmocka_unit_test(json_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
