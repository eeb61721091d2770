/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "ismd/ctl.h"
#include "ismd/family.h"
#include "ismd/fetch.h"
#include "ismd/ismd.h"
#include "ismd/lgr.h"
#include "ismd/rows.h"

#define MAX_CLIENTS 8192
#define MESSAGES_PER_TURN 32
#define ACCEPTS_PER_TURN 64

static void on_readable(struct ismd *d, struct watch *w, uint32_t events);

struct client *client_new(struct ismd *d, int fd, pid_t pid, uid_t uid)
{
	struct client *c;
	int one = 1;

	c = d->nclients < MAX_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return NULL;
	}
	c->watch.fd = fd;
	c->pid = pid;
	c->uid = uid;
	c->id = ++d->next_client;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    loop_watch(&d->loop, &c->watch, EPOLLIN | EPOLLRDHUP, on_readable) < 0) {
		close(fd);
		free(c);
		return NULL;
	}
	list_add_tail(&d->clients, &c->link);
	d->nclients++;
	d->idle_since_ns = 0;
	return c;
}

void client_free(struct ismd *d, struct client *c)
{
	family_channel_gone(d, c);
	log_debug("client %u (pid %d): hung up", c->id, (int)c->pid);
	list_del(&c->link);
	loop_close(&d->loop, &c->watch);
	loop_bury(&d->loop, &c->grave);
	if (--d->nclients == 0)
		d->idle_since_ns = loop_now_ns();
}

/* No descriptor left: give up the spare one to accept and drop the connection,
 * so that the listener does not stay readable for ever. */
static void drop_one(struct ismd *d)
{
	int fd;

	if (d->spare_fd >= 0)
		close(d->spare_fd);
	fd = accept4(d->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_event("ismd: out of descriptors, a client was refused");
}

static bool may_connect(int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) == 0 &&
	       (cred->uid == geteuid() || cred->uid == 0);
}

void client_accept(struct ismd *d)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct ucred cred = { 0 };
		struct client *c;
		int fd = accept4(d->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				drop_one(d);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (!may_connect(fd, &cred)) {
			log_event("ismd: uid %u is not welcome", (unsigned)cred.uid);
			close(fd);
			continue;
		}
		c = client_new(d, fd, cred.pid, cred.uid);
		if (c)
			log_debug("client %u (pid %d): connected", c->id, (int)c->pid);
	}
}

bool client_is_channel(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && domain == AF_UNIX &&
	       type == SOCK_SEQPACKET;
}

int client_send(struct client *c, const void *msg, size_t len, const int *fds, unsigned nfds)
{
	int r = fdpass_send(c->watch.fd, msg, len, fds, nfds);

	if (r < 0 && log_allowed(&c->log))
		log_event("client %u (pid %d): message lost, %s", c->id, (int)c->pid, strerror(-r));
	return r;
}

int client_send_segment(struct client *c, const struct segment *s, uint32_t side, int peer_vector)
{
	struct fab_msg_segment m = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_SEGMENT },
		.seg_id = s->id,
		.lgr_id = s->lgr->id,
		.side = side,
		.bytes = s->bytes,
	};
	int fds[2] = { s->memfd, peer_vector };

	return client_send(c, &m, sizeof(m), fds, 2);
}

/* ---------------------------------------------------------------- messages */

/* Has @t a connection on @side of @s? And who is at the other end? */
static bool segment_concerns(const struct segment *s, const struct table *t, unsigned side,
                             struct proc **peer)
{
	bool mine = false;

	*peer = s->lgr->proc[!side];
	for (unsigned i = 0; i < s->nslots; i++) {
		const struct slot *sl = &s->slots[i];

		if (!sl->conn[side] || sl->conn[side]->table != t)
			continue;
		mine = true;
		if (!*peer && sl->conn[!side])
			*peer = sl->conn[!side]->proc;
	}
	return mine;
}

static void on_get_segment(struct ismd *d, struct client *c, const struct fab_msg_get_segment *m)
{
	struct segment *s = c->proc ? segment_find(d, m->seg_id) : NULL;
	struct fab_msg_segment no = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_SEGMENT },
		.status = 1,
		.seg_id = m->seg_id,
		.side = m->side,
	};
	struct proc *peer = NULL;
	uint32_t side = m->side;

	if (s && side == 2 && s->lgr->proc[0] == s->lgr->proc[1])
		side = 0;
	if (!s || side > 1 || !segment_concerns(s, c->table, side, &peer) || !peer) {
		client_send(c, &no, sizeof(no), NULL, 0);
		return;
	}
	client_send_segment(c, s, m->side, peer->vector);
}

static void on_claim_fd(struct ismd *d, struct client *c, const struct fab_msg_claim_fd *m, int fd)
{
	if (c->proc && fd >= 0)
		row_claim_fd(d, c->table, m->row, m->gen, fd);
}

/* A message of exactly this type is complete; variable ones check themselves. */
static bool has_length(uint16_t type, size_t len)
{
	switch (type) {
	case FAB_MSG_HELLO:
		return len == sizeof(struct fab_msg_hello);
	case FAB_MSG_GET_SEGMENT:
		return len == sizeof(struct fab_msg_get_segment);
	case FAB_MSG_CLAIM_FD:
		return len == sizeof(struct fab_msg_claim_fd);
	case FAB_MSG_REQUEST:
		return len > sizeof(struct fab_msg_head) && len <= FAB_WIRE_MAX;
	default:
		return false;
	}
}

union message {
	struct fab_msg_head head;
	struct fab_msg_hello hello;
	struct fab_msg_get_segment get_segment;
	struct fab_msg_claim_fd claim_fd;
	char bytes[FAB_WIRE_MAX];
};

static void dispatch(struct ismd *d, struct client *c, const union message *m, size_t len, int fd,
                     const struct ucred *cred)
{
	switch (m->head.type) {
	case FAB_MSG_HELLO:
		family_hello(d, c, &m->hello, cred, fd);
		return; /* took the descriptor over */
	case FAB_MSG_GET_SEGMENT:
		on_get_segment(d, c, &m->get_segment);
		break;
	case FAB_MSG_CLAIM_FD:
		on_claim_fd(d, c, &m->claim_fd, fd);
		break;
	case FAB_MSG_REQUEST:
		c->asked = true;
		ctl_request(d, c, m->bytes + sizeof(m->head), len - sizeof(m->head));
		break;
	default:
		break;
	}
	if (fd >= 0)
		fetch_close(fd);
}

void client_on_message(struct ismd *d, struct client *c, const void *buf, size_t len, int *fds,
                       unsigned nfds, const struct ucred *cred)
{
	union message m;

	while (nfds > 1) /* no message brings two */
		close(fds[--nfds]);
	if (len < sizeof(m.head) || len > sizeof(m)) {
		if (nfds)
			close(fds[0]);
		return;
	}
	memcpy(&m, buf, len);
	/* HELLO may be of another wire version: it is answered with ours */
	if (m.head.magic != FAB_WIRE_MAGIC || !has_length(m.head.type, len) ||
	    (m.head.version != FAB_WIRE_VERSION && m.head.type != FAB_MSG_HELLO)) {
		if (nfds)
			close(fds[0]);
		if (log_allowed(&c->log))
			log_event("client %u (pid %d): nonsense of %zu bytes dropped", c->id,
			          (int)c->pid, len);
		return;
	}
	dispatch(d, c, &m, len, nfds ? fds[0] : -1, cred);
}

static void on_readable(struct ismd *d, struct watch *w, uint32_t events)
{
	struct client *c = list_item(w, struct client, watch);
	static char buf[FAB_WIRE_MAX];

	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		int fds[FDPASS_MAX];
		unsigned nfds;
		struct ucred cred;
		ssize_t n = fdpass_recv(w->fd, buf, sizeof(buf), fds, &nfds, &cred, MSG_DONTWAIT);

		if (n == -EAGAIN)
			return;
		if (n == -EMSGSIZE)
			continue;
		if (n <= 0) {
			while (nfds)
				close(fds[--nfds]);
			client_free(d, c);
			return;
		}
		client_on_message(d, c, buf, (size_t)n, fds, nfds, &cred);
		if (!w->fn)
			return; /* freed by what it said */
		if (c->asked) {
			c->asked = false;
			return; /* an answer is long work: one, then the others' turn */
		}
	}
}
