/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/sockdiag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

static void put_address(uint32_t to[4], const struct in6_addr *a, int family)
{
	if (family == AF_INET)
		memcpy(to, &a->s6_addr[12], 4);
	else
		memcpy(to, a, sizeof(*a));
}

/* One socket, named by its addresses and its cookie: the kernel refuses if the socket
 * with these addresses has another cookie. */
static void ask_for(struct question *q, const struct sock_id *id)
{
	memset(q, 0, sizeof(*q));
	q->head.nlmsg_len = sizeof(*q);
	q->head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	q->head.nlmsg_flags = NLM_F_REQUEST;
	q->req.sdiag_family = (uint8_t)id->family;
	q->req.sdiag_protocol = IPPROTO_TCP;
	q->req.idiag_states = ~0u;
	q->req.id.idiag_sport = htons(id->key.local_port);
	q->req.id.idiag_dport = htons(id->key.peer_port);
	put_address(q->req.id.idiag_src, &id->key.local, id->family);
	put_address(q->req.id.idiag_dst, &id->key.peer, id->family);
	q->req.id.idiag_if = id->ifindex ? id->ifindex : id->key.scope;
	q->req.id.idiag_cookie[0] = (uint32_t)id->cookie;
	q->req.id.idiag_cookie[1] = (uint32_t)(id->cookie >> 32);
}

static bool same_netns(int fd, const struct sock_id *id)
{
	uint64_t netns = 0;
	socklen_t len = sizeof(netns);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &len) == 0 &&
	       netns == id->key.netns;
}

bool sockdiag_is(const struct sock_id *id, int *tcp_state)
{
	union {
		struct nlmsghdr head;
		char bytes[1024];
	} answer;
	const struct inet_diag_msg *m = NLMSG_DATA(&answer.head);
	struct question q;
	ssize_t n = -1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return false;
	ask_for(&q, id);
	if (same_netns(fd, id) && send(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q))
		n = recv(fd, &answer, sizeof(answer), 0);
	close(fd);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*m)) || answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	*tcp_state = m->idiag_state;
	return m->id.idiag_sport == q.req.id.idiag_sport &&
	       m->id.idiag_dport == q.req.id.idiag_dport &&
	       !memcmp(m->id.idiag_cookie, q.req.id.idiag_cookie, sizeof(m->id.idiag_cookie));
}
