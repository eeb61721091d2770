/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof with the kernel's own sockets, in network namespaces of the test. Whatever
 * connection is made here, its records go on a list, and at the end no two ends of
 * different connections may agree.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "proof/proof.h"
#include "proof/siphash.h"
#include "proof/sites.h"
#include "proof/synproof.h"
#include "proof/test_cgroup.h"
#include "proof/test_net.h"

#define BOTH (PROOF_F_LOCAL | PROOF_F_PEER)
#define MAX_RECORDS 512

static struct proof *proof;
static char name[32];
static struct cgroup home;  /* where we came from */
static struct cgroup own;   /* where we are, mostly */
static struct cgroup *here; /* where we are now */

static struct proof_record all[MAX_RECORDS];
static int all_connection[MAX_RECORDS];
static unsigned all_count;
static int connections;

struct end {
	const struct net *net;
	int family;
	const char *addr; /* a server's, as its client knows it */
	uint16_t port;    /* the same; 0: any */
	bool unmarked;
};

struct conn {
	int listener, client, server;
	uint16_t port;
	struct proof_record c, s;
	int c_err, s_err;
};

/* ---- cgroups ---- */

static void go(struct cgroup *c)
{
	assert_int_equal(cgroup_enter(c), 0);
	here = c;
}

static struct cgroup below(const struct cgroup *parent, const char *which)
{
	struct cgroup c;

	assert_int_equal(cgroup_new(&c, parent, which), 0);
	return c;
}

static struct cgroup at_top(char which)
{
	char unique[64];

	snprintf(unique, sizeof(unique), "openism-%s-%c", name, which);
	return below(NULL, unique);
}

/* Time goes by: that long nobody had been there. */
static void wait_s(struct proof *p, unsigned s)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	proof_tick(p, ((uint64_t)ts.tv_sec + s) * 1000000000u);
}

/* How many programs are attached to this very cgroup, or -1: records, then marks. */
static int attached_to(const struct cgroup *c, enum bpf_attach_type type, uint32_t *ids)
{
	uint32_t room[64];
	uint32_t n = 64;
	int fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(bpf_prog_query(fd, type, 0, NULL, ids ? ids : room, &n), 0);
	close(fd);
	return (int)n;
}

static void assert_links(const struct cgroup *c, int expected)
{
	assert_int_equal(attached_to(c, BPF_CGROUP_SOCK_OPS, NULL), expected);
	assert_int_equal(attached_to(c, BPF_CGROUP_INET_SOCK_CREATE, NULL), expected);
}

/* ---- sockets ---- */

static int make_socket(const struct end *e, struct proof *p)
{
	struct timeval patience = { .tv_sec = 8 };
	int one = 1;
	int fd;

	if (!e->unmarked)
		assert_int_equal(proof_client_add(p, getpid(), here->path), 0);
	net_enter(e->net);
	fd = socket(e->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	net_leave();
	if (!e->unmarked)
		proof_client_del(p, getpid());
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

static socklen_t make_address(struct sockaddr_storage *ss, int family, const char *addr,
                              uint16_t port)
{
	struct sockaddr_in6 *six = (void *)ss;
	struct sockaddr_in *four = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		four->sin_port = htons(port);
		assert_int_equal(inet_pton(family, addr ? addr : "0.0.0.0", &four->sin_addr), 1);
		return sizeof(*four);
	}
	six->sin6_port = htons(port);
	assert_int_equal(inet_pton(family, addr ? addr : "::", &six->sin6_addr), 1);
	return sizeof(*six);
}

static void bind_any(int fd, int family, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t size = make_address(&ss, family, NULL, port);

	assert_int_equal(bind(fd, (void *)&ss, size), 0);
}

static uint16_t local_port(int fd)
{
	struct sockaddr_in6 sa;
	socklen_t size = sizeof(sa);

	assert_int_equal(getsockname(fd, (void *)&sa, &size), 0);
	return ntohs(sa.sin6_port); /* at the same place in both families */
}

static int make_listener(const struct end *e, struct proof *p, uint16_t port)
{
	int fd = make_socket(e, p);

	bind_any(fd, e->family, port);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int try_connect(int fd, int family, const char *addr, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t size = make_address(&ss, family, addr, port);

	return connect(fd, (void *)&ss, size);
}

/* Data and both FINs, so that the capture has seen all kinds of segments. */
static void talk(struct conn *c)
{
	char buffer[4000] = { 1 };

	assert_int_equal(send(c->client, buffer, sizeof(buffer), 0), sizeof(buffer));
	assert_int_equal(recv(c->server, buffer, sizeof(buffer), MSG_WAITALL), sizeof(buffer));
	assert_int_equal(send(c->server, buffer, sizeof(buffer), 0), sizeof(buffer));
	assert_int_equal(recv(c->client, buffer, sizeof(buffer), MSG_WAITALL), sizeof(buffer));
	shutdown(c->client, SHUT_WR);
	assert_int_equal(recv(c->server, buffer, 1, 0), 0);
	shutdown(c->server, SHUT_WR);
	assert_int_equal(recv(c->client, buffer, 1, 0), 0);
}

static void remember(const struct proof_record *r, int err)
{
	if (err)
		return;
	assert_true(all_count < MAX_RECORDS);
	all[all_count] = *r;
	all_connection[all_count++] = connections;
}

static void read_both(struct conn *c, struct proof *p)
{
	c->c_err = proof_read(p, c->client, &c->c);
	c->s_err = proof_read(p, c->server, &c->s);
	remember(&c->c, c->c_err);
	remember(&c->s, c->s_err);
	connections++;
}

/* From a socket that is there to a listener that is there. */
static void conn_establish(struct conn *c, const struct end *from, const struct end *to)
{
	if (try_connect(c->client, from->family, to->addr, to->port ? to->port : c->port))
		fail_msg("connect to %s: %s", to->addr, strerror(errno));
	c->server = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(c->server >= 0);
}

static void conn_finish(struct conn *c, const struct end *from, const struct end *to,
                        struct proof *p)
{
	conn_establish(c, from, to);
	read_both(c, p);
}

static struct conn conn_make_by(const struct end *from, const struct end *to, struct proof *p)
{
	struct conn c = { 0 };

	c.listener = make_listener(to, p, 0);
	c.port = local_port(c.listener);
	c.client = make_socket(from, p);
	conn_finish(&c, from, to, p);
	return c;
}

static struct conn conn_make(const struct end *from, const struct end *to)
{
	return conn_make_by(from, to, proof);
}

static void conn_close(struct conn *c)
{
	close(c->client);
	close(c->server);
	close(c->listener);
}

static bool agree(const struct proof_record *a, const struct proof_record *b)
{
	return a->flags == BOTH && b->flags == BOTH && a->is_client != b->is_client &&
	       a->local == b->peer && a->peer == b->local;
}

static void assert_proved(const struct conn *c)
{
	assert_int_equal(c->c_err, 0);
	assert_int_equal(c->s_err, 0);
	assert_int_equal(c->c.flags, BOTH);
	assert_int_equal(c->s.flags, BOTH);
	assert_true(c->c.is_client);
	assert_false(c->s.is_client);
	assert_true(agree(&c->c, &c->s));
	assert_true(c->c.local != c->c.peer);
}

static void assert_plain(int err, const struct proof_record *r)
{
	assert_int_equal(err, 0);
	assert_int_equal(r->flags & (PROOF_F_PLAIN | PROOF_F_PEER), PROOF_F_PLAIN);
	assert_int_equal(r->peer, 0);
}

/* The option as the records have it, and on nothing but the handshake. */
static void assert_wire_proved(const struct net *n, const struct conn *c, uint16_t port)
{
	struct seen s = net_seen(n, port);

	assert_true(s.syn > 0 && s.synack > 0 && s.other > 0);
	assert_int_equal(s.syn_plain + s.synack_plain + s.other_option + s.malformed, 0);
	assert_true(s.syn_nonce == c->c.local && s.synack_nonce == c->s.local);
	assert_false(s.syn_changed || s.synack_changed);
}

static void assert_wire_plain(const struct net *n, uint16_t port)
{
	struct seen s = net_seen(n, port);

	assert_true(s.syn_plain > 0 && s.synack_plain > 0 && s.other > 0);
	assert_int_equal(s.syn + s.synack + s.other_option + s.malformed, 0);
}

static struct net powered_net(void)
{
	struct net n = net_new();

	assert_int_equal(proof_netns_power(proof, n.cookie, true), 0);
	return n;
}

static void free_net(struct net *n)
{
	proof_netns_power(proof, n->cookie, false);
	net_free(n);
}

static void proves(const struct end *from, const struct end *to)
{
	struct conn c = conn_make(from, to);

	assert_proved(&c);
	talk(&c);
	assert_wire_proved(to->net, &c, to->net == from->net || !to->port ? c.port : 8080);
	conn_close(&c);
}

/* ---- the hash ---- */

static void siphash_is_the_published(void **state)
{
	const __u64 key[2] = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL };
	const __u64 words[1] = { 0x0706050403020100ULL };

	assert_true(siphash(key, words, 0) == 0x726fdb47dd0e0e31ULL);
	assert_true(siphash(key, words, 1) == 0x93f5f5799a932462ULL);
}

/* ---- ways between two sockets ---- */

static void loopback(void **state)
{
	struct net n = powered_net();

	proves(&(struct end){ &n, AF_INET }, &(struct end){ &n, AF_INET, "127.0.0.1" });
	proves(&(struct end){ &n, AF_INET6 }, &(struct end){ &n, AF_INET6, "::1" });
	free_net(&n);
}

/* An IPv6 listener that takes an IPv4 connection, and both ends mapped. */
static void mapped_addresses(void **state)
{
	struct net n = powered_net();

	proves(&(struct end){ &n, AF_INET }, &(struct end){ &n, AF_INET6, "127.0.0.1" });
	proves(&(struct end){ &n, AF_INET6 }, &(struct end){ &n, AF_INET6, "::ffff:127.0.0.1" });
	free_net(&n);
}

static void two_namespaces(void **state)
{
	struct net a = powered_net();
	struct net b = powered_net();

	net_link(&a, "a0", "10.1.0.1", &b, "b0", "10.1.0.2");
	net_sh(&a, "ip addr add fd00:1::1/64 dev a0 nodad");
	net_sh(&b, "ip addr add fd00:1::2/64 dev b0 nodad");
	proves(&(struct end){ &a, AF_INET }, &(struct end){ &b, AF_INET, "10.1.0.2" });
	proves(&(struct end){ &b, AF_INET }, &(struct end){ &a, AF_INET, "10.1.0.1" });
	proves(&(struct end){ &a, AF_INET6 }, &(struct end){ &b, AF_INET6, "fd00:1::2" });
	free_net(&a);
	free_net(&b);
}

static void over_a_bridge(void **state)
{
	struct net host = net_new();
	struct net a = powered_net();
	struct net b = powered_net();

	net_sh(&host, "ip link add br0 type bridge && ip link set br0 up");
	net_link(&host, "h0", NULL, &a, "e0", "10.2.0.1");
	net_link(&host, "h1", NULL, &b, "e0", "10.2.0.2");
	net_sh(&host, "ip link set h0 master br0 && ip link set h1 master br0");
	proves(&(struct end){ &a, AF_INET }, &(struct end){ &b, AF_INET, "10.2.0.2" });
	free_net(&a);
	free_net(&b);
	net_free(&host);
}

/* A published port, then with the client's address hidden as well. */
static void translated_addresses(void **state)
{
	struct net host = net_new();
	struct net a = powered_net();
	struct net b = powered_net();
	struct end to = { &b, AF_INET, "10.3.0.254", 80 };
	struct end from = { &a, AF_INET };
	struct conn c = { 0 };

	net_link(&host, "h0", "10.3.0.254", &a, "e0", "10.3.0.1");
	net_link(&host, "h1", "10.4.0.254", &b, "e0", "10.4.0.1");
	net_sh(&host, "echo 1 >/proc/sys/net/ipv4/ip_forward");
	net_sh(&b, "ip route add default via 10.4.0.254");
	net_sh(&host, "nft 'add table ip t; add chain ip t pre { type nat hook prerouting"
	              " priority -100; }; add rule ip t pre tcp dport 80 dnat to 10.4.0.1:8080'");
	c.listener = make_listener(&to, proof, 8080);
	for (int masquerade = 0; masquerade <= 1; masquerade++) {
		c.client = make_socket(&from, proof);
		conn_finish(&c, &from, &to, proof);
		assert_proved(&c);
		talk(&c);
		assert_wire_proved(&b, &c, 8080);
		close(c.client);
		close(c.server);
		net_sh(&host, "nft 'add chain ip t post { type nat hook postrouting priority 100;"
		              " }; add rule ip t post masquerade'");
	}
	close(c.listener);
	free_net(&a);
	free_net(&b);
	net_free(&host);
}

/* ---- what is lost on the way ---- */

static void drop_first(const struct net *n, const char *what)
{
	net_sh(n,
	       "nft 'add table inet t; add chain inet t in { type filter hook input priority 0; };"
	       " add rule inet t in tcp flags & (syn|ack) == %s"
	       " limit rate 1/day burst 1 packets drop'",
	       what);
}

static void repeated_handshake(void **state)
{
	struct net syn_lost = powered_net();
	struct net synack_lost = powered_net();
	struct end from[] = { { &syn_lost, AF_INET }, { &synack_lost, AF_INET } };
	struct conn c[2] = { { 0 } };

	drop_first(&syn_lost, "syn");
	drop_first(&synack_lost, "syn|ack");
	for (int i = 0; i < 2; i++) {
		c[i].listener = make_listener(&from[i], proof, 0);
		c[i].port = local_port(c[i].listener);
		c[i].client = make_socket(&from[i], proof);
		fcntl(c[i].client, F_SETFL, O_NONBLOCK);
		try_connect(c[i].client, AF_INET, "127.0.0.1", c[i].port);
	}
	for (int i = 0; i < 2; i++) {
		struct seen s;

		c[i].server = accept4(c[i].listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(c[i].server >= 0);
		read_both(&c[i], proof);
		assert_proved(&c[i]);
		s = net_seen(from[i].net, c[i].port);
		/* each is seen as it goes and as it comes */
		assert_true(i ? s.synack >= 4 : s.syn >= 4);
		assert_int_equal(s.syn_plain + s.synack_plain + s.other_option + s.malformed, 0);
		assert_false(s.syn_changed || s.synack_changed);
		assert_true(s.syn_nonce == c[i].c.local && s.synack_nonce == c[i].s.local);
		conn_close(&c[i]);
	}
	free_net(&syn_lost);
	free_net(&synack_lost);
}

static void cookies(void **state)
{
	struct net n = powered_net();
	struct end to = { &n, AF_INET, "127.0.0.1" };
	struct conn c;
	struct seen s;

	net_sh(&n, "echo 2 >/proc/sys/net/ipv4/tcp_syncookies");
	c = conn_make(&to, &to);
	assert_plain(c.c_err, &c.c);
	assert_plain(c.s_err, &c.s);
	assert_int_equal(c.s.flags, PROOF_F_PLAIN);
	talk(&c);
	s = net_seen(&n, c.port);
	assert_true(s.syn > 0 && s.synack_plain > 0);
	assert_int_equal(s.synack + s.other_option + s.malformed, 0);
	conn_close(&c);
	free_net(&n);
}

static void fast_open(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct conn c = { 0 };
	struct sockaddr_storage ss;
	struct tcp_info info;
	struct seen s;
	socklen_t size;
	int queue = 5;
	char buffer[8];

	/* client, server, and neither asks for a cookie */
	net_sh(&n, "echo 1543 >/proc/sys/net/ipv4/tcp_fastopen");
	c.listener = make_listener(&e, proof, 0);
	assert_int_equal(setsockopt(c.listener, SOL_TCP, TCP_FASTOPEN, &queue, sizeof(queue)), 0);
	c.port = local_port(c.listener);
	c.client = make_socket(&e, proof);
	size = make_address(&ss, AF_INET, e.addr, c.port);
	assert_int_equal(sendto(c.client, "hello", 5, MSG_FASTOPEN, (void *)&ss, size), 5);
	c.server = accept4(c.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(recv(c.server, buffer, sizeof(buffer), 0), 5);
	read_both(&c, proof);
	assert_plain(c.c_err, &c.c);
	assert_plain(c.s_err, &c.s);
	size = sizeof(info);
	assert_int_equal(getsockopt(c.client, SOL_TCP, TCP_INFO, &info, &size), 0);
	assert_true(info.tcpi_options & TCPI_OPT_SYN_DATA);
	talk(&c);
	s = net_seen(&n, c.port);
	assert_true(s.syn > 0 && s.synack_plain > 0);
	assert_int_equal(s.synack + s.other_option, 0);
	conn_close(&c);
	free_net(&n);
}

/* ---- one end only ---- */

static void unmarked_client(void **state)
{
	struct net n = powered_net();
	struct end from = { &n, AF_INET, .unmarked = true };
	struct conn c = conn_make(&from, &(struct end){ &n, AF_INET, "127.0.0.1" });

	assert_int_equal(c.c_err, -ENOENT);
	assert_int_equal(c.s_err, 0);
	assert_int_equal(c.s.flags, PROOF_F_PLAIN);
	assert_false(c.s.is_client);
	talk(&c);
	assert_wire_plain(&n, c.port);
	conn_close(&c);
	free_net(&n);
}

static void unmarked_listener(void **state)
{
	struct net n = powered_net();
	struct end to = { &n, AF_INET, "127.0.0.1", .unmarked = true };
	struct conn c = conn_make(&(struct end){ &n, AF_INET }, &to);
	struct seen s;

	assert_plain(c.c_err, &c.c);
	assert_int_equal(c.s_err, -ENOENT);
	talk(&c);
	s = net_seen(&n, c.port);
	assert_true(s.syn > 0 && s.synack_plain > 0);
	assert_int_equal(s.synack + s.other_option + s.malformed, 0);
	conn_close(&c);
	free_net(&n);
}

static void unpowered(void **state)
{
	struct net a = net_new();
	struct net b = powered_net();
	struct conn c;

	net_link(&a, "a0", "10.1.0.1", &b, "b0", "10.1.0.2");
	c = conn_make(&(struct end){ &a, AF_INET }, &(struct end){ &b, AF_INET, "10.1.0.2" });
	assert_plain(c.c_err, &c.c);
	assert_plain(c.s_err, &c.s);
	talk(&c);
	assert_wire_plain(&b, c.port);
	conn_close(&c);
	c = conn_make(&(struct end){ &b, AF_INET }, &(struct end){ &a, AF_INET, "10.1.0.1" });
	assert_plain(c.c_err, &c.c);
	assert_plain(c.s_err, &c.s);
	assert_int_equal(c.s.flags, PROOF_F_PLAIN); /* and not LOCAL */
	assert_int_equal(net_seen(&b, c.port).synack, 0);
	conn_close(&c);
	net_free(&a);
	free_net(&b);
}

static void power_lost_in_between(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct conn c = { 0 };

	drop_first(&n, "syn|ack");
	c.listener = make_listener(&e, proof, 0);
	c.port = local_port(c.listener);
	c.client = make_socket(&e, proof);
	fcntl(c.client, F_SETFL, O_NONBLOCK);
	try_connect(c.client, AF_INET, e.addr, c.port);
	assert_int_equal(proof_netns_power(proof, n.cookie, false), 0);
	c.server = accept4(c.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(c.server >= 0);
	read_both(&c, proof);
	assert_plain(c.c_err, &c.c);
	assert_plain(c.s_err, &c.s);
	conn_close(&c);
	free_net(&n);
}

static void self_connection(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET };
	struct proof_record r;
	int fd = make_socket(&e, proof);

	bind_any(fd, AF_INET, 5555);
	assert_int_equal(try_connect(fd, AF_INET, "127.0.0.1", 5555), 0);
	assert_plain(proof_read(proof, fd, &r), &r);
	assert_int_equal(net_seen(&n, 5555).other_option, 0);
	close(fd);
	free_net(&n);
}

/* ---- the same again ---- */

static void abort_conn(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void same_ports_again(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct conn c = { 0 };

	c.listener = make_listener(&e, proof, 0);
	c.port = local_port(c.listener);
	for (int i = 0; i < 20; i++) {
		c.client = make_socket(&e, proof);
		bind_any(c.client, AF_INET, 4444);
		conn_finish(&c, &e, &e, proof);
		assert_proved(&c);
		abort_conn(c.client);
		close(c.server);
	}
	close(c.listener);
	free_net(&n);
}

static void same_socket_again(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct conn c = { 0 };

	c.listener = make_listener(&e, proof, 0);
	c.port = local_port(c.listener);
	c.client = make_socket(&e, proof);
	for (int i = 0; i < 4; i++) {
		/* the last without power: nothing of the others is left */
		if (i == 3)
			proof_netns_power(proof, n.cookie, false);
		conn_finish(&c, &e, &e, proof);
		close(c.server);
		assert_int_equal(connect(c.client, &none, sizeof(none)), 0);
		if (i < 3)
			assert_proved(&c);
	}
	assert_int_equal(c.c.flags, PROOF_F_PLAIN);
	assert_int_equal(c.s.flags, PROOF_F_PLAIN);
	close(c.client);
	close(c.listener);
	free_net(&n);
}

static void program_keeps_its_save_syn(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct conn c = { 0 };
	int value = 2;
	socklen_t size = sizeof(value);

	c.listener = make_socket(&e, proof);
	bind_any(c.listener, AF_INET, 0);
	assert_int_equal(setsockopt(c.listener, SOL_TCP, TCP_SAVE_SYN, &value, size), 0);
	assert_int_equal(listen(c.listener, 8), 0);
	assert_int_equal(getsockopt(c.listener, SOL_TCP, TCP_SAVE_SYN, &value, &size), 0);
	assert_int_equal(value, 2);
	c.port = local_port(c.listener);
	c.client = make_socket(&e, proof);
	conn_finish(&c, &e, &e, proof);
	assert_proved(&c);
	conn_close(&c);
	free_net(&n);
}

static void clients_are_counted(void **state)
{
	struct net n = powered_net();
	struct end marked_by_hand = { &n, AF_INET, "127.0.0.1", .unmarked = true };
	struct conn c;

	assert_int_equal(proof_client_add(proof, getpid(), own.path), 0);
	assert_int_equal(proof_client_add(proof, getpid(), own.path), 0);
	proof_client_del(proof, getpid());
	c = conn_make(&marked_by_hand, &marked_by_hand);
	assert_proved(&c);
	conn_close(&c);
	proof_client_del(proof, getpid());
	proof_client_del(proof, getpid()); /* one too many: nothing */
	c = conn_make(&marked_by_hand, &marked_by_hand);
	assert_int_equal(c.c_err, -ENOENT);
	assert_int_equal(c.s_err, -ENOENT);
	conn_close(&c);
	free_net(&n);
}

static void not_a_tcp_socket(void **state)
{
	struct proof_record r;
	int fds[2];
	int udp;

	assert_int_equal(proof_client_add(proof, getpid(), own.path), 0);
	udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	proof_client_del(proof, getpid());
	assert_int_equal(proof_read(proof, udp, &r), -ENOENT);
	close(udp);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(proof_read(proof, fds[0], &r), -ENOTSOCK);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(proof_read(proof, fds[0], &r), -EBADF);
}

/* ---- instances ---- */

static int pin_get(const char *which, const char *object)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/bpf/openism-%s/%s", which, object);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/run/openism-bpf-%s/%s", which, object);
	return bpf_obj_get(path);
}

static bool is_attached(uint32_t id, enum bpf_attach_type type)
{
	uint32_t ids[64];
	int n = attached_to(&own, type, ids);

	while (n > 0)
		if (ids[--n] == id)
			return true;
	return false;
}

/* The programs in an instance's links at our cgroup. */
struct programs {
	uint32_t id[2];
};

static struct programs programs_of(const char *which)
{
	static const char *const links[] = { "mark-%llx", "ops-%llx" };
	struct programs p;
	struct stat st;

	assert_int_equal(stat(own.dir, &st), 0);
	for (int i = 0; i < 2; i++) {
		struct bpf_link_info info = { 0 };
		uint32_t size = sizeof(info);
		char pin[40];
		int fd;

		snprintf(pin, sizeof(pin), links[i], (unsigned long long)st.st_ino);
		fd = pin_get(which, pin);
		assert_true(fd >= 0);
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
		close(fd);
		p.id[i] = info.prog_id;
	}
	return p;
}

static void assert_attached(struct programs p, bool expected)
{
	assert_int_equal(is_attached(p.id[0], BPF_CGROUP_INET_SOCK_CREATE), expected);
	assert_int_equal(is_attached(p.id[1], BPF_CGROUP_SOCK_OPS), expected);
}

static bool has_pins(const char *of)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/fs/bpf/openism-%s", of);
	if (access(path, F_OK) == 0)
		return true;
	snprintf(path, sizeof(path), "/run/openism-bpf-%s", of);
	return access(path, F_OK) == 0;
}

static struct proof *open_named(const char *which)
{
	struct proof *p = NULL;
	char why[256] = "";

	if (proof_open(&p, which, why, sizeof(why)))
		fail_msg("%s", why);
	return p;
}

/* Opens it, makes @client one in @c, gives @n power, and is killed. */
static void leave_client(const char *which, const struct net *n, pid_t client,
                         const struct cgroup *c)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct proof *p = open_named(which);

		proof_client_add(p, client, c->path);
		proof_netns_power(p, n->cookie, true);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void leave_behind(const char *which, const struct net *n)
{
	leave_client(which, n, getpid(), &own);
}

static void killed_and_adopted(void **state)
{
	struct net n = net_new();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct end by_pid = { &n, AF_INET, "127.0.0.1", .unmarked = true };
	struct conn c = { 0 };
	struct conn other;
	struct programs left;
	struct programs ours;
	char which[40];
	struct proof *p;

	snprintf(which, sizeof(which), "%s-b", name);
	leave_behind(which, &n);
	left = programs_of(which);
	assert_attached(left, true);
	/* nobody is there, and it goes on */
	c.listener = make_listener(&by_pid, NULL, 0);
	c.port = local_port(c.listener);
	c.client = make_socket(&by_pid, NULL);
	conn_establish(&c, &by_pid, &by_pid);

	p = open_named(which);
	ours = programs_of(which);
	assert_attached(ours, true);
	assert_attached(left, false);
	/* a client of before still lives and may have listeners */
	wait_s(p, 100);
	assert_attached(ours, true);
	read_both(&c, p);
	assert_proved(&c);
	/* clients and power are forgotten, the marks are not */
	other = conn_make_by(&by_pid, &by_pid, p);
	assert_int_equal(other.c_err, -ENOENT);
	assert_int_equal(other.s_err, -ENOENT);
	conn_close(&other);
	other = conn_make_by(&e, &e, p);
	assert_int_equal(other.c.flags, PROOF_F_PLAIN);
	conn_close(&other);
	proof_netns_power(p, n.cookie, true);
	close(c.client);
	close(c.server);
	c.client = make_socket(&e, p);
	conn_finish(&c, &e, &by_pid, p);
	assert_proved(&c);
	conn_close(&c);
	proof_close(p);
	assert_attached(ours, false);
	assert_false(has_pins(which));
	net_free(&n);
}

static pid_t start_idle(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void end_idle(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Until the kernel has taken the links off it. */
static void remove_and_wait(const char *which, const struct cgroup *c)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	struct stat st;
	char pin[40];
	int fd;

	assert_int_equal(stat(c->dir, &st), 0);
	snprintf(pin, sizeof(pin), "ops-%llx", (unsigned long long)st.st_ino);
	fd = pin_get(which, pin);
	assert_true(fd >= 0);
	assert_int_equal(cgroup_remove(c), 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
		if (info.cgroup.cgroup_id == 0)
			break;
		usleep(10000);
	}
	close(fd);
	assert_int_equal(info.cgroup.cgroup_id, 0);
}

/* Who comes back, dies, or was in a cgroup that went. */
static void clients_of_before(void **state)
{
	struct cgroup a = at_top('a');
	struct net n = net_new();
	pid_t client = start_idle();
	struct proof *p;
	char which[40];

	snprintf(which, sizeof(which), "%s-h", name);
	for (int comes_back = 0; comes_back <= 1; comes_back++) {
		leave_client(which, &n, client, &a);
		assert_links(&a, 1);
		p = open_named(which);
		wait_s(p, 100);
		assert_links(&a, 1);
		if (comes_back) {
			assert_int_equal(proof_client_add(p, client, own.path), 0);
		} else {
			end_idle(client);
			wait_s(p, 200); /* it is looked for now and then */
			client = start_idle();
		}
		wait_s(p, comes_back ? 5 : 205);
		assert_links(&a, 1);
		wait_s(p, comes_back ? 20 : 220);
		assert_links(&a, 0);
		proof_close(p);
	}
	leave_client(which, &n, client, &a);
	remove_and_wait(which, &a);
	p = open_named(which);
	assert_true(proof_due_ns(p) == UINT64_MAX); /* nothing is there */
	proof_close(p);
	assert_false(has_pins(which));
	end_idle(client);
	net_free(&n);
}

static void map_write(const char *which, const char *map, const void *value)
{
	uint32_t zero = 0;
	int fd = pin_get(which, map);

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(fd, &zero, value, BPF_ANY), 0);
	close(fd);
}

/* Left by another version: all of it is made anew. */
static void another_layout(void **state)
{
	struct net n = net_new();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct proof_config strange = { .layout = PROOF_LAYOUT + 1, .tag = 1 };
	struct programs left;
	struct conn c;
	char which[40];
	struct proof *p;

	snprintf(which, sizeof(which), "%s-c", name);
	leave_behind(which, &n);
	left = programs_of(which);
	map_write(which, "config", &strange);
	p = open_named(which);
	assert_attached(left, false);
	proof_netns_power(p, n.cookie, true);
	c = conn_make_by(&e, &e, p);
	left = programs_of(which);
	assert_attached(left, true);
	assert_proved(&c);
	assert_true(c.c.local >> 48 != 1);
	conn_close(&c);
	proof_close(p);
	assert_attached(left, false);
	net_free(&n);
}

static void cleaned_up(void **state)
{
	struct net n = net_new();
	struct programs left;
	char which[40];

	snprintf(which, sizeof(which), "%s-d", name);
	assert_int_equal(proof_cleanup(which), 0);
	leave_behind(which, &n);
	assert_true(has_pins(which));
	left = programs_of(which);
	assert_attached(left, true);
	assert_int_equal(proof_cleanup(which), 6);
	assert_attached(left, false);
	assert_false(has_pins(which));
	assert_int_equal(proof_cleanup(which), 0);
	assert_int_equal(proof_cleanup("../etc"), -EINVAL);
	assert_int_equal(proof_cleanup(""), -EINVAL);
	net_free(&n);
}

/* Two in one namespace: each knows its own connections; who belongs to both has one. */
static void side_by_side(void **state)
{
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct end hand = { &n, AF_INET, "127.0.0.1", .unmarked = true };
	char which[40];
	struct proof *second;
	struct conn c;

	/* the first to be attached here */
	assert_int_equal(proof_client_add(proof, 100001, own.path), 0);
	snprintf(which, sizeof(which), "%s-e", name);
	second = open_named(which);
	proof_netns_power(second, n.cookie, true);
	c = conn_make_by(&e, &e, second);
	assert_proved(&c);
	assert_int_equal(proof_read(proof, c.client, &c.c), -ENOENT);
	conn_close(&c);
	c = conn_make(&e, &e);
	assert_proved(&c);
	assert_int_equal(proof_read(second, c.server, &c.s), -ENOENT);
	conn_close(&c);

	proof_client_add(second, getpid(), own.path);
	c = conn_make(&e, &e);
	proof_client_del(second, getpid());
	assert_proved(&c);
	talk(&c);
	assert_wire_proved(&n, &c, c.port);
	/* the first to be asked ends the callbacks for both */
	assert_int_equal(proof_read(second, c.client, &c.c), -ENOENT);
	assert_int_equal(proof_read(second, c.server, &c.s), -ENOENT);
	conn_close(&c);

	/* a client of the one, a server of the other */
	c.listener = make_listener(&e, second, 0);
	c.port = local_port(c.listener);
	c.client = make_socket(&e, proof);
	conn_finish(&c, &hand, &hand, proof);
	assert_int_equal(c.c_err, 0); /* answered or not: it has no mate */
	assert_int_equal(c.s_err, -ENOENT);
	read_both(&c, second);
	assert_int_equal(c.c_err, -ENOENT);
	assert_plain(c.s_err, &c.s);
	conn_close(&c);
	proof_close(second);
	proof_client_del(proof, 100001);
	free_net(&n);
}

/* ---- where clients are, and no other place ---- */

static void attached_while_needed(void **state)
{
	struct cgroup a = below(&own, "a");
	struct cgroup b = below(&own, "b");
	char which[40];
	struct proof *p;

	snprintf(which, sizeof(which), "%s-i", name);
	p = open_named(which);
	assert_true(proof_due_ns(p) == UINT64_MAX);
	assert_int_equal(proof_client_add(p, 100001, a.path), 0);
	assert_int_equal(proof_client_add(p, 100002, a.path), 0);
	assert_links(&a, 1);
	assert_links(&b, 0);
	proof_client_del(p, 100001);
	wait_s(p, 20);
	assert_links(&a, 1);
	proof_client_del(p, 100002);
	assert_true(proof_due_ns(p) != UINT64_MAX);
	wait_s(p, 5);
	assert_links(&a, 1);
	/* in time */
	assert_int_equal(proof_client_add(p, 100002, a.path), 0);
	wait_s(p, 20);
	assert_links(&a, 1);
	/* one that moved */
	assert_int_equal(proof_client_add(p, 100002, b.path), 0);
	wait_s(p, 20);
	assert_links(&a, 0);
	assert_links(&b, 1);
	proof_client_del(p, 100002);
	wait_s(p, 20);
	assert_links(&b, 1);
	proof_client_del(p, 100002);
	wait_s(p, 20);
	assert_links(&b, 0);
	assert_true(proof_due_ns(p) == UINT64_MAX);
	proof_close(p);
	assert_int_equal(cgroup_remove(&a), 0);
	assert_int_equal(cgroup_remove(&b), 0);
}

static void cgroup_that_goes(void **state)
{
	struct cgroup a = below(&own, "a");

	assert_int_equal(cgroup_remove(&a), 0);
	assert_int_equal(proof_client_add(proof, 100001, a.path), -ENOENT);
	for (int again = 0; again <= 1; again++) {
		a = below(&own, "a");
		assert_int_equal(proof_client_add(proof, 100001, a.path), 0);
		assert_links(&a, 1);
		assert_int_equal(cgroup_remove(&a), 0);
		proof_client_del(proof, 100001);
	}
	wait_s(proof, 20);
	/* the root has two spellings */
	assert_int_equal(proof_client_add(proof, 100001, ""), 0);
	assert_int_equal(proof_client_add(proof, 100001, "/"), 0);
	proof_client_del(proof, 100001);
	proof_client_del(proof, 100001);
	wait_s(proof, 20);
}

static void many_cgroups(void **state)
{
	static struct cgroup all_of_them[SITES_MAX + 1];
	char which[40];
	struct proof *p;

	snprintf(which, sizeof(which), "%s-j", name);
	p = open_named(which);
	for (int i = 0; i <= SITES_MAX; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%d", i);
		all_of_them[i] = below(&own, number);
		assert_int_equal(proof_client_add(p, 100001 + i, all_of_them[i].path),
		                 i < SITES_MAX ? 0 : -ENOSPC);
	}
	/* one that nobody needs makes room at once */
	proof_client_del(p, 100001 + 7);
	assert_int_equal(proof_client_add(p, 200000, all_of_them[SITES_MAX].path), 0);
	assert_links(&all_of_them[7], 0);
	assert_links(&all_of_them[SITES_MAX], 1);
	proof_close(p);
	for (int i = 0; i <= SITES_MAX; i++) {
		assert_links(&all_of_them[i], 0);
		assert_int_equal(cgroup_remove(&all_of_them[i]), 0);
	}
}

/* Each end in its own, and a plain program in a third. */
static void ends_in_different_cgroups(void **state)
{
	struct cgroup a = at_top('a');
	struct cgroup b = at_top('b');
	struct cgroup plain = at_top('c');
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct end by_hand = { &n, AF_INET, "127.0.0.1", .unmarked = true };
	struct conn c = { 0 };

	go(&a);
	c.listener = make_listener(&e, proof, 0);
	c.port = local_port(c.listener);
	go(&b);
	c.client = make_socket(&e, proof);
	go(&plain);
	conn_finish(&c, &e, &e, proof);
	assert_proved(&c);
	talk(&c);
	assert_wire_proved(&n, &c, c.port);
	close(c.client);
	close(c.server);
	assert_links(&plain, 0);
	c.client = make_socket(&by_hand, proof);
	conn_finish(&c, &by_hand, &e, proof);
	assert_int_equal(c.c_err, -ENOENT);
	assert_int_equal(c.s.flags, PROOF_F_PLAIN);
	conn_close(&c);
	go(&own);
	wait_s(proof, 20);
	assert_links(&a, 0);
	assert_links(&b, 0);
	assert_int_equal(cgroup_remove(&a), 0);
	assert_int_equal(cgroup_remove(&b), 0);
	assert_int_equal(cgroup_remove(&plain), 0);
	free_net(&n);
}

/* The programs run twice for one socket. */
static void nested_cgroups(void **state)
{
	/* no other options take the room for two of ours, so it would be seen */
	static const char *const settings[] = {
		"true", "cd /proc/sys/net/ipv4 && echo 0 >tcp_timestamps && echo 0 >tcp_sack &&"
			" echo 0 >tcp_window_scaling"
	};
	struct cgroup a = at_top('a');
	struct cgroup b = below(&a, "b");

	go(&b);
	for (int parent_first = 0; parent_first <= 1; parent_first++)
		for (int i = 0; i < 2; i++) {
			struct net n = powered_net();
			struct end e = { &n, AF_INET, "127.0.0.1" };
			struct conn c;

			net_sh(&n, "%s", settings[i]);
			if (parent_first)
				assert_int_equal(proof_client_add(proof, 100001, a.path), 0);
			assert_int_equal(proof_client_add(proof, 100002, b.path), 0);
			if (!parent_first)
				assert_int_equal(proof_client_add(proof, 100001, a.path), 0);
			assert_links(&a, 1);
			assert_links(&b, 1);
			proves(&e, &e);
			/* the one above goes before the connection comes */
			c.listener = make_listener(&e, proof, 0);
			c.port = local_port(c.listener);
			c.client = make_socket(&e, proof);
			proof_client_del(proof, 100001);
			wait_s(proof, 20);
			assert_links(&a, 0);
			assert_links(&b, 1);
			conn_finish(&c, &e, &e, proof);
			assert_proved(&c);
			conn_close(&c);
			proof_client_del(proof, 100002);
			wait_s(proof, 20);
			assert_links(&b, 0);
			free_net(&n);
		}
	go(&own);
	assert_int_equal(cgroup_remove(&b), 0);
	assert_int_equal(cgroup_remove(&a), 0);
}

static void nested_and_lost(void **state)
{
	struct cgroup a = at_top('a');
	struct cgroup b = below(&a, "b");

	go(&b);
	assert_int_equal(proof_client_add(proof, 100001, a.path), 0);
	repeated_handshake(state);
	same_socket_again(state);
	cookies(state);
	fast_open(state);
	unmarked_client(state);
	self_connection(state);
	proof_client_del(proof, 100001);
	go(&own);
	wait_s(proof, 20);
	assert_int_equal(cgroup_remove(&b), 0);
	assert_int_equal(cgroup_remove(&a), 0);
}

/* Sockets whose handshake ended while nothing was attached: known at the next packet. */
static void missed_handshake(void **state)
{
	struct cgroup a = at_top('a');
	struct net n = powered_net();
	struct end e = { &n, AF_INET, "127.0.0.1" };
	struct conn c = { 0 };

	go(&a);
	c.listener = make_listener(&e, proof, 0);
	c.port = local_port(c.listener);
	c.client = make_socket(&e, proof);
	wait_s(proof, 20);
	assert_links(&a, 0);
	conn_finish(&c, &e, &e, proof);
	assert_int_equal(c.c_err, -ENOENT);
	assert_int_equal(c.s_err, -ENOENT);
	assert_int_equal(proof_client_add(proof, getpid(), a.path), 0);
	talk(&c);
	assert_wire_plain(&n, c.port);
	assert_int_equal(proof_read(proof, c.server, &c.s), 0);
	assert_int_equal(c.s.flags, PROOF_F_PLAIN);
	assert_false(c.s.is_client);
	close(c.client);
	close(c.server);
	/* and the listener is what it was */
	c.client = make_socket(&e, proof);
	conn_finish(&c, &e, &e, proof);
	assert_proved(&c);
	conn_close(&c);
	proof_client_del(proof, getpid());
	go(&own);
	wait_s(proof, 20);
	assert_int_equal(cgroup_remove(&a), 0);
	free_net(&n);
}

/* ---- where it cannot be ---- */

/* What proof_open() says after @spoil, in a child. */
static void assert_refused(void (*spoil)(void), int expected, const char *about)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct proof *p;
		char why[256] = "";
		char which[48];
		int err;

		snprintf(which, sizeof(which), "%s-f", name);
		spoil();
		err = proof_open(&p, which, why, sizeof(why));
		if (err == expected && strstr(why, about) && !strchr(why, '\n'))
			_exit(0);
		fprintf(stderr, "%d, %s\n", err, why);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void drop_cap(int cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &header, data);
	data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	data[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	syscall(SYS_capset, &header, data);
}

static void without_bpf(void)
{
	drop_cap(CAP_BPF);
}

static void without_net_admin(void)
{
	drop_cap(CAP_NET_ADMIN);
}

static void in_cgroup_namespace(void)
{
	unshare(CLONE_NEWCGROUP);
}

static void in_pid_namespace(void)
{
	pid_t pid;
	int status;

	unshare(CLONE_NEWPID);
	pid = fork();
	if (pid == 0)
		return; /* goes on in there */
	waitpid(pid, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void private_mounts(void)
{
	unshare(CLONE_NEWNS);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* What ismd keeps for it while it serves. */
static int work_with_cap_bpf(const struct cgroup *a, const struct cgroup *b, int ready, int go_on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	struct proof *p;
	char why[256], which[48], byte;

	snprintf(which, sizeof(which), "%s-k", name);
	if (proof_open(&p, which, why, sizeof(why)))
		return 2;
	if (proof_client_add(p, getpid(), a->path))
		return 3;
	data[CAP_TO_INDEX(CAP_BPF)].effective = CAP_TO_MASK(CAP_BPF);
	data[CAP_TO_INDEX(CAP_BPF)].permitted = CAP_TO_MASK(CAP_BPF);
	if (syscall(SYS_capset, &header, data))
		return 4;
	if (proof_client_add(p, getpid(), b->path))
		return 5;
	wait_s(p, 20);
	if (write(ready, "x", 1) != 1 || read(go_on, &byte, 1) != 0)
		return 6;
	proof_close(p);
	return 0;
}

static void with_cap_bpf_only(void **state)
{
	struct cgroup a = below(&own, "a");
	struct cgroup b = below(&own, "b");
	int ready[2], go_on[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(go_on, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(go_on[1]);
		_exit(work_with_cap_bpf(&a, &b, ready[1], go_on[0]));
	}
	close(ready[1]);
	close(go_on[0]);
	if (read(ready[0], &byte, 1) == 1) {
		assert_links(&a, 0);
		assert_links(&b, 1);
	}
	close(go_on[1]);
	close(ready[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_links(&b, 0);
	assert_int_equal(cgroup_remove(&a), 0);
	assert_int_equal(cgroup_remove(&b), 0);
}

static void without_cgroup2(void)
{
	private_mounts();
	while (umount2("/sys/fs/cgroup/unified", MNT_DETACH) == 0)
		;
	while (umount2("/sys/fs/cgroup", MNT_DETACH) == 0)
		;
}

static void refusals(void **state)
{
	struct proof *p;
	char why[256];
	char one[1] = { 1 };

	assert_refused(without_bpf, -EPERM, "CAP_BPF");
	assert_refused(without_net_admin, -EPERM, "CAP_NET_ADMIN");
	assert_refused(in_pid_namespace, -EPERM, "pid namespace");
	assert_refused(in_cgroup_namespace, -EPERM, "cgroup namespace");
	assert_refused(without_cgroup2, -ENOENT, "cgroup2");
	assert_int_equal(proof_open(&p, "a.b", why, sizeof(why)), -EINVAL);
	assert_int_equal(proof_open(&p, "a/b", one, sizeof(one)), -EINVAL);
	assert_int_equal(one[0], 0);
	assert_int_equal(proof_open(&p, "", why, 0), -EINVAL);
}

/* With and without a bpffs at the usual place, where one is made then; seen by the child
 * only. */
static void usual_place(void **state)
{
	for (int shared = 0; shared <= 1; shared++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct proof *p;
			char why[256], which[40], path[80];
			bool right;

			snprintf(which, sizeof(which), "%s-g", name);
			private_mounts();
			umount2("/sys/fs/bpf", MNT_DETACH);
			if (shared && mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL))
				_exit(2);
			if (proof_open(&p, which, why, sizeof(why)))
				_exit(3);
			snprintf(path, sizeof(path), "/sys/fs/bpf/openism-%s/socks", which);
			right = access(path, F_OK) == 0;
			proof_close(p);
			_exit(right && !has_pins(which) ? 0 : 4);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* ---- all of them ---- */

static void no_two_connections_agree(void **state)
{
	unsigned agreed = 0;

	for (unsigned i = 0; i < all_count; i++)
		for (unsigned j = 0; j < all_count; j++) {
			if (i == j || !agree(&all[i], &all[j]))
				continue;
			assert_int_equal(all_connection[i], all_connection[j]);
			agreed++;
		}
	assert_true(agreed > 60);
	for (unsigned i = 0; i < all_count; i++)
		for (unsigned j = 0; j < i; j++)
			if (all[i].flags & all[j].flags & PROOF_F_LOCAL)
				assert_true(all[i].local != all[j].local);
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int enter_own(void)
{
	char which[64];

	snprintf(which, sizeof(which), "openism-%s", name);
	here = &own;
	return cgroup_own(&home) || cgroup_new(&own, NULL, which) || cgroup_enter(&own);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	if (type == FTW_DP)
		rmdir(path);
	return 0;
}

/* After a failure there may be more than our own. */
static void leave_own(void)
{
	char dir[sizeof(own.dir) + 4];

	cgroup_enter(&home);
	nftw(own.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	for (char which = 'a'; which <= 'c'; which++) {
		snprintf(dir, sizeof(dir), "%s-%c", own.dir, which);
		nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
}

/* After a failure they may still be there. */
static void clean_up_others(void)
{
	char which[40];

	for (char c = 'b'; c <= 'k'; c++) {
		snprintf(which, sizeof(which), "%s-%c", name, c);
		proof_cleanup(which);
	}
}

static void stopped(int signo)
{
	leave_own();
	clean_up_others();
	proof_cleanup(name);
	_exit(1);
}

static int can_test(void)
{
	char why[256] = "";
	int err;

	snprintf(name, sizeof(name), "test-%d", getpid());
	err = geteuid() ? -EPERM : proof_open(&proof, name, why, sizeof(why));
	if (!err && enter_own()) {
		proof_close(proof);
		err = -EPERM;
		snprintf(why, sizeof(why), "no cgroup of cgroup2 can be made");
	}
	if (err) {
		printf("skipped: %s\n", why[0] ? why : "not root");
		return 77;
	}
	if (system("ip -V >/dev/null && nft --version >/dev/null")) {
		printf("skipped: ip (iproute2) and nft (nftables) are needed\n");
		proof_close(proof);
		leave_own();
		return 77;
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_is_the_published),
		cmocka_unit_test(refusals),
		cmocka_unit_test(usual_place),
		cmocka_unit_test(loopback),
		cmocka_unit_test(mapped_addresses),
		cmocka_unit_test(two_namespaces),
		cmocka_unit_test(over_a_bridge),
		cmocka_unit_test(translated_addresses),
		cmocka_unit_test(repeated_handshake),
		cmocka_unit_test(cookies),
		cmocka_unit_test(fast_open),
		cmocka_unit_test(unmarked_client),
		cmocka_unit_test(unmarked_listener),
		cmocka_unit_test(unpowered),
		cmocka_unit_test(power_lost_in_between),
		cmocka_unit_test(self_connection),
		cmocka_unit_test(same_ports_again),
		cmocka_unit_test(same_socket_again),
		cmocka_unit_test(program_keeps_its_save_syn),
		cmocka_unit_test(clients_are_counted),
		cmocka_unit_test(not_a_tcp_socket),
		cmocka_unit_test(attached_while_needed),
		cmocka_unit_test(cgroup_that_goes),
		cmocka_unit_test(many_cgroups),
		cmocka_unit_test(ends_in_different_cgroups),
		cmocka_unit_test(nested_cgroups),
		cmocka_unit_test(nested_and_lost),
		cmocka_unit_test(missed_handshake),
		cmocka_unit_test(with_cap_bpf_only),
		cmocka_unit_test(killed_and_adopted),
		cmocka_unit_test(clients_of_before),
		cmocka_unit_test(another_layout),
		cmocka_unit_test(cleaned_up),
		cmocka_unit_test(side_by_side),
		cmocka_unit_test(no_two_connections_agree),
	};
	unsigned fds = open_fds();
	int result = can_test();

	if (result)
		return result;
	signal(SIGALRM, stopped);
	signal(SIGTERM, stopped);
	signal(SIGINT, stopped);
	alarm(60);
	net_start();
	result = cmocka_run_group_tests(tests, NULL, NULL);
	proof_close(proof);
	net_stop();
	clean_up_others();
	leave_own();
	if (has_pins(name) || open_fds() != fds) {
		printf("left: pins %d, descriptors %u of %u\n", has_pins(name), open_fds(), fds);
		result = 1;
	}
	return result;
}
