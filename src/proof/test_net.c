/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "proof/test_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proof/option.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static int home = -1;

void net_start(void)
{
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(home >= 0);
}

void net_stop(void)
{
	close(home);
}

void net_enter(const struct net *n)
{
	if (n)
		assert_int_equal(setns(n->fd, CLONE_NEWNET), 0);
}

void net_leave(void)
{
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
}

void net_sh(const struct net *n, const char *format, ...)
{
	char command[1024];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	net_enter(n);
	status = system(command);
	net_leave();
	if (status)
		fail_msg("%s: status %d", command, status);
}

static int capture_open(void)
{
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	int size = 4 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

struct net net_new(void)
{
	struct net n;
	socklen_t size = sizeof(n.cookie);

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	n.fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(n.fd >= 0);
	n.capture = capture_open();
	assert_int_equal(getsockopt(n.capture, SOL_SOCKET, SO_NETNS_COOKIE, &n.cookie, &size), 0);
	net_sh(&n, "ip link set lo up");
	return n;
}

void net_free(struct net *n)
{
	close(n->capture);
	close(n->fd);
}

static void address_add(const struct net *n, const char *dev, const char *addr)
{
	if (addr && strchr(addr, ':'))
		net_sh(n, "ip addr add %s/64 dev %s nodad", addr, dev);
	else if (addr)
		net_sh(n, "ip addr add %s/24 dev %s", addr, dev);
	net_sh(n, "ip link set %s up", dev);
}

void net_link(const struct net *a, const char *dev_a, const char *addr_a, const struct net *b,
              const char *dev_b, const char *addr_b)
{
	net_sh(a, "ip link add %s type veth peer name %s netns /proc/%d/fd/%d", dev_a, dev_b,
	       getpid(), b->fd);
	address_add(a, dev_a, addr_a);
	address_add(b, dev_b, addr_b);
}

static bool is_ours(const uint8_t *opt, unsigned len)
{
	static const uint8_t exid[] = { PROOF_OPT_EXID0, PROOF_OPT_EXID1, PROOF_OPT_EXID2,
		                        PROOF_OPT_EXID3 };

	return opt[0] == PROOF_OPT_KIND && len >= PROOF_OPT_EXID_LEN &&
	       memcmp(opt + 2, exid, sizeof(exid)) == 0;
}

/* 0: no option, 1: one with *nonce, -1: not as specified. */
static int find_option(const uint8_t *tcp, unsigned header_len, uint64_t *nonce)
{
	int found = 0;

	for (unsigned at = 20; at < header_len && tcp[at] != 0;) {
		unsigned len = tcp[at] == 1 ? 1 : tcp[at + 1];

		if (len == 0 || at + len > header_len)
			return -1;
		if (tcp[at] != 1 && is_ours(tcp + at, len)) {
			if (len != PROOF_OPT_LEN || found)
				return -1;
			found = 1;
			*nonce = 0;
			for (int i = 0; i < 8; i++)
				*nonce = *nonce << 8 | tcp[at + 6 + i];
		}
		at += len;
	}
	return found;
}

static void note(uint64_t *kept, bool *changed, uint64_t nonce)
{
	if (*kept && *kept != nonce)
		*changed = true;
	*kept = nonce;
}

static void see(struct seen *s, const struct tcphdr *tcp)
{
	uint64_t nonce = 0;
	int found = find_option((const uint8_t *)tcp, tcp->doff * 4u, &nonce);

	if (found < 0)
		s->malformed++;
	else if (!tcp->syn)
		*(found ? &s->other_option : &s->other) += 1;
	else if (!found)
		*(tcp->ack ? &s->synack_plain : &s->syn_plain) += 1;
	else if (tcp->ack)
		s->synack++, note(&s->synack_nonce, &s->synack_changed, nonce);
	else
		s->syn++, note(&s->syn_nonce, &s->syn_changed, nonce);
}

static const struct tcphdr *tcp_of(const uint8_t *packet, ssize_t n, unsigned protocol)
{
	if (protocol == ETH_P_IP && n >= 40 && packet[9] == IPPROTO_TCP)
		return (const struct tcphdr *)(packet + (packet[0] & 15) * 4);
	if (protocol == ETH_P_IPV6 && n >= 60 && packet[6] == IPPROTO_TCP)
		return (const struct tcphdr *)(packet + 40);
	return NULL;
}

struct seen net_seen(const struct net *n, uint16_t port)
{
	_Alignas(8) static uint8_t packet[1 << 16];
	struct seen s = { 0 };

	for (;;) {
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(n->capture, packet, sizeof(packet), 0, (void *)&from, &size);
		const struct tcphdr *tcp;

		if (got < 0)
			return s;
		tcp = tcp_of(packet, got, ntohs(from.sll_protocol));
		if (tcp && (ntohs(tcp->source) == port || ntohs(tcp->dest) == port))
			see(&s, tcp);
	}
}
