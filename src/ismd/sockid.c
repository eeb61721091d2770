/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/sockid.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static bool sol_int(int fd, int opt, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, opt, value, &len) == 0 && len == sizeof(*value);
}

static bool sol_u64(int fd, int opt, uint64_t *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, opt, value, &len) == 0 && len == sizeof(*value);
}

static bool is_tcp(int fd, int *family)
{
	int type, proto;

	return sol_int(fd, SO_DOMAIN, family) && sol_int(fd, SO_TYPE, &type) &&
	       sol_int(fd, SO_PROTOCOL, &proto) && (*family == AF_INET || *family == AF_INET6) &&
	       type == SOCK_STREAM && proto == IPPROTO_TCP;
}

bool sockid_normalise(const struct sockaddr_storage *sa, struct in6_addr *addr, uint16_t *port,
                      uint32_t *scope)
{
	*scope = 0;
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memset(addr, 0, sizeof(*addr));
		addr->s6_addr[10] = addr->s6_addr[11] = 0xff;
		memcpy(&addr->s6_addr[12], &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
		return true;
	}
	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		*addr = in6->sin6_addr;
		*port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_LINKLOCAL(addr))
			*scope = in6->sin6_scope_id;
		return true;
	}
	return false;
}

enum sockid_outcome sockid_read(int fd, struct sock_id *id)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	struct tcp_info ti = { 0 };
	socklen_t tilen = sizeof(ti);
	struct stat st;
	uint32_t peer_scope;
	int ifindex = 0;

	memset(id, 0, sizeof(*id));
	if (!is_tcp(fd, &id->family))
		return SOCKID_NOT_TCP;
	if (!sol_u64(fd, SO_COOKIE, &id->cookie) || !sol_u64(fd, SO_NETNS_COOKIE, &id->key.netns) ||
	    fstat(fd, &st) < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &tilen) < 0 ||
	    tilen < 1 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    !sockid_normalise(&sa, &id->key.local, &id->key.local_port, &id->key.scope))
		return SOCKID_NO_PROOF;
	id->inode = st.st_ino;
	id->tcp_state = ti.tcpi_state;
	if (sol_int(fd, SO_BINDTOIFINDEX, &ifindex))
		id->ifindex = (uint32_t)ifindex;
	len = sizeof(sa);
	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    !sockid_normalise(&sa, &id->key.peer, &id->key.peer_port, &peer_scope))
		return SOCKID_HALF;
	if (peer_scope)
		id->key.scope = peer_scope;
	return SOCKID_OK;
}

void sockid_mirror(const struct sock_key *k, struct sock_key *mirror)
{
	struct sock_key m = *k;

	m.local = k->peer;
	m.local_port = k->peer_port;
	m.peer = k->local;
	m.peer_port = k->local_port;
	*mirror = m;
}

bool sockid_can_marry(int tcp_state)
{
	return tcp_state == TCP_ESTABLISHED || tcp_state == TCP_FIN_WAIT1 ||
	       tcp_state == TCP_FIN_WAIT2 || tcp_state == TCP_CLOSE_WAIT;
}
