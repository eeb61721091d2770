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
#include "ismd/closer.h"
#include "ismd/ctl.h"
#include "ismd/family.h"
#include "ismd/fetch.h"
#include "ismd/ismd.h"
#include "ismd/lgr.h"
#include "ismd/lpar.h"
#include "ismd/netns.h"
#include "ismd/rows.h"

#define MAX_CLIENTS 65536
#define MESSAGES_PER_TURN 32
#define ACCEPTS_PER_TURN 64

static void on_readable(struct ismd *d, struct watch *w, uint32_t events);

void client_mark(struct ismd *d, struct client *c)
{
	static int said;
	int r;

	if (!d->proof || c->marked)
		return;
	r = proof_client_add(d->proof, c->ident.pid, c->ident.cgroup);
	c->marked = r == 0;
	if (r == 0 || r == said)
		return;
	said = r;
	log_event("pid %d: no SYN-option proof: cgroup %s: %s", (int)c->ident.pid, c->ident.cgroup,
	          strerror(-r));
}

/* Who is it? In system mode the LPAR, its share and the marks depend on that. */
static bool identify(struct ismd *d, struct client *c, struct lpar *via)
{
	c->pidfd = ident_pidfd(c->watch.fd, c->ident.pid);
	if (c->pidfd < 0 || (d->opt.system && ident_read(&c->ident, c->watch.fd, c->pidfd) < 0))
		return false;
	c->lpar = lpar_of(d, &c->ident, via);
	if (!c->lpar) {
		log_event("pid %d, uid %u: belongs to no LPAR", (int)c->ident.pid,
		          (unsigned)c->ident.uid);
		return false;
	}
	lpar_hold(c->lpar);
	c->user = user_get(d, c->lpar, c->ident.uid);
	if (!c->user)
		return false;
	if (!user_may(c->user, 1, 0, 0)) {
		user_refused(c->user, "too many processes");
		return false;
	}
	if (closer_is_held_up_by(c->user)) {
		user_refused(c->user, "he keeps us waiting for files of his");
		return false;
	}
	user_charge(c->user, 1, 0, 0);
	c->counted = true;
	netns_join(d, c);
	return true;
}

static void forget(struct ismd *d, struct client *c)
{
	if (c->marked)
		proof_client_del(d->proof, c->ident.pid);
	netns_leave(d, c);
	if (c->counted)
		user_charge(c->user, -1, 0, 0);
	user_put(d, c->user);
	if (c->lpar)
		lpar_release(d, c->lpar);
	if (c->pidfd >= 0)
		close(c->pidfd);
	c->pidfd = -1;
}

struct client *client_new(struct ismd *d, int fd, pid_t pid, uid_t uid, struct lpar *via)
{
	struct client *c;
	int one = 1;

	c = d->nclients < MAX_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return NULL;
	}
	c->watch.fd = fd;
	c->pidfd = -1;
	c->ident.pid = pid;
	c->ident.uid = uid;
	c->via = via;
	list_init(&c->rest_link);
	c->id = ++d->next_client;
	if (!identify(d, c, via) ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    loop_watch(&d->loop, &c->watch, EPOLLIN | EPOLLRDHUP, on_readable) < 0) {
		forget(d, c);
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
	log_debug("client %u (pid %d): hung up", c->id, (int)c->ident.pid);
	list_del(&c->link);
	list_del(&c->rest_link);
	forget(d, c);
	loop_close(&d->loop, &c->watch);
	loop_bury(&d->loop, &c->grave);
	if (--d->nclients == 0)
		d->idle_since_ns = loop_now_ns();
}

static void move_proc(struct ismd *d, struct proc *p, struct client *c)
{
	struct user *old = p->user;

	p->lpar = c->lpar;
	p->user = c->user;
	user_hold(p->user);
	user_put(d, old);
}

void client_settle(struct ismd *d, struct client *c)
{
	struct lpar *to = lpar_of(d, &c->ident, c->via), *from = c->lpar;
	struct user *u = to && to != from ? user_get(d, to, c->ident.uid) : NULL;

	if (!u) /* no LPAR for it any more: it keeps the old one to its end */
		return;
	lpar_hold(to);
	if (c->counted || (c->proc && c->proc->counted)) {
		user_charge(c->user, -1, 0, 0);
		user_charge(u, 1, 0, 0);
	}
	user_put(d, c->user);
	c->user = u;
	c->lpar = to;
	if (c->proc)
		move_proc(d, c->proc, c);
	lpar_release(d, from);
}

enum rights client_rights(struct ismd *d, const struct client *c, const struct ucred *sender)
{
	int pidfd = c->pidfd >= 0 ? c->pidfd : c->proc ? c->proc->watch.fd : -1;
	struct ident now = { .pid = c->ident.pid, .uid = sender->uid };

	if (!d->opt.system)
		return RIGHTS_BOX;
	/* not who inherited the channel, and not as who or where it once was */
	if (sender->pid != c->ident.pid || pidfd < 0 || ident_read(&now, c->watch.fd, pidfd) < 0 ||
	    lpar_known(d, &now, c->via) != c->lpar)
		return RIGHTS_NONE;
	return ident_rights(&now, pidfd, lpar_is_host(c->lpar), c->lpar->match == CONF_MATCH_NETNS);
}

/* No descriptor left: give up the spare one to accept and drop the connection,
 * so that the listener does not stay readable for ever. */
static void drop_one(struct ismd *d, int listener)
{
	int fd;

	if (d->spare_fd >= 0)
		close(d->spare_fd);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_event("ismd: out of descriptors, a client was refused");
}

static bool may_connect(const struct ismd *d, int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) == 0 &&
	       (d->opt.system || cred->uid == geteuid() || cred->uid == 0) && cred->pid > 0;
}

void client_accept(struct ismd *d, int listener, struct lpar *via)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct ucred cred = { 0 };
		struct client *c;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				drop_one(d, listener);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (!may_connect(d, fd, &cred)) {
			log_event("ismd: uid %u is not welcome", (unsigned)cred.uid);
			close(fd);
			continue;
		}
		c = client_new(d, fd, cred.pid, cred.uid, via);
		if (c)
			log_debug("client %u (pid %d): connected", c->id, (int)c->ident.pid);
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
		log_event("client %u (pid %d): message lost, %s", c->id, (int)c->ident.pid,
		          strerror(-r));
	return r;
}

int client_send_segment(struct client *c, const struct segment *s, uint32_t side)
{
	struct fab_msg_segment m = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_SEGMENT },
		.seg_id = s->id,
		.lgr_id = s->lgr->id,
		.side = side,
		.bytes = s->bytes,
	};
	unsigned own = side & 1;
	int fds[3] = { s->memfd, lgr_vector(s->lgr, !own), s->lgr->listen[own] };

	return client_send(c, &m, sizeof(m), fds, s->lgr->foreign ? 3 : 2);
}

/* ---------------------------------------------------------------- messages */

/* A child with another uid than the holder's gets what it holds itself, no more. */
static bool may_have(struct ismd *d, const struct client *c, const struct conn *o)
{
	return o->table == c->table &&
	       (!d->opt.system || !o->proc || o->proc->uid == c->proc->uid ||
	        fetch_is_held_by(d, o, c->proc));
}

/* Has @c's family a connection on @side of @s that @c may have? And is there
 * somebody at the other end? */
static bool segment_concerns(struct ismd *d, const struct segment *s, const struct client *c,
                             unsigned side)
{
	bool mine = false, peer = lgr_vector(s->lgr, !side) >= 0;

	for (unsigned i = 0; i < s->nslots && !mine; i++) {
		const struct conn *o = s->slots[i].conn[side];

		mine = o && may_have(d, c, o);
	}
	return mine && peer;
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
	uint32_t side = m->side;

	if (s && side == 2 && s->lgr->proc[0] == s->lgr->proc[1])
		side = 0;
	if (!s || side > 1 || !segment_concerns(d, s, c, side)) {
		if (log_allowed(&c->log))
			log_event("client %u (pid %d): segment %u refused, it has nothing there",
			          c->id, (int)c->ident.pid, m->seg_id);
		client_send(c, &no, sizeof(no), NULL, 0);
		return;
	}
	client_send_segment(c, s, m->side);
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
		if (c->proc && cred->pid == c->proc->pid)
			on_get_segment(d, c, &m->get_segment);
		break;
	case FAB_MSG_CLAIM_FD:
		on_claim_fd(d, c, &m->claim_fd, fd);
		break;
	case FAB_MSG_REQUEST:
		c->asked = true;
		ctl_request(d, c, m->bytes + sizeof(m->head), len - sizeof(m->head), cred);
		break;
	default:
		break;
	}
	if (fd >= 0)
		closer_close(d, c->user, fd);
}

static void close_all(struct ismd *d, const struct client *c, const int *fds, unsigned n)
{
	while (n)
		closer_close(d, c->user, fds[--n]);
}

void client_on_message(struct ismd *d, struct client *c, const void *buf, size_t len, int *fds,
                       unsigned nfds, const struct ucred *cred)
{
	union message m;

	while (nfds > 1) /* no message brings two */
		closer_close(d, c->user, fds[--nfds]);
	if (len < sizeof(m.head) || len > sizeof(m)) {
		close_all(d, c, fds, nfds);
		return;
	}
	memcpy(&m, buf, len);
	/* HELLO may be of another wire version: it is answered with ours */
	if (m.head.magic != FAB_WIRE_MAGIC || !has_length(m.head.type, len) ||
	    (m.head.version != FAB_WIRE_VERSION && m.head.type != FAB_MSG_HELLO)) {
		close_all(d, c, fds, nfds);
		if (log_allowed(&c->log))
			log_event("client %u (pid %d): nonsense of %zu bytes dropped", c->id,
			          (int)c->ident.pid, len);
		return;
	}
	dispatch(d, c, &m, len, nfds ? fds[0] : -1, cred);
}

/* Until his user's time comes again. A channel that hung up is seen to all the same. */
static bool must_rest(struct ismd *d, struct client *c, uint32_t events)
{
	uint64_t until = d->opt.system ? user_waits_until(c->user, loop_now_ns()) : 0;

	if (!until || events & (EPOLLHUP | EPOLLERR))
		return false;
	loop_rearm(&d->loop, &c->watch, 0);
	c->rest_until_ns = until;
	list_del(&c->rest_link);
	list_add_tail(&d->resting, &c->rest_link);
	return true;
}

void clients_wake(struct ismd *d, uint64_t now_ns)
{
	list_each(it, next, &d->resting)
	{
		struct client *c = list_item(it, struct client, rest_link);

		if (c->rest_until_ns > now_ns)
			continue;
		list_del(&c->rest_link);
		loop_rearm(&d->loop, &c->watch, EPOLLIN | EPOLLRDHUP);
	}
}

uint64_t clients_wake_ns(const struct ismd *d)
{
	uint64_t next = UINT64_MAX;

	list_each(it, nx, &d->resting)
	{
		const struct client *c = list_item(it, struct client, rest_link);

		if (c->rest_until_ns < next)
			next = c->rest_until_ns;
	}
	return next;
}

/* One message. False: @c is gone, or it is the others' turn. */
static bool take_message(struct ismd *d, struct client *c)
{
	static char buf[FAB_WIRE_MAX];
	struct watch *w = &c->watch;
	int fds[FDPASS_MAX];
	unsigned nfds;
	struct ucred cred;
	ssize_t n = fdpass_recv(w->fd, buf, sizeof(buf), fds, &nfds, &cred, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return false;
	if (n == -EMSGSIZE) {
		close_all(d, c, fds, nfds);
		return true;
	}
	if (n <= 0 || closer_is_held_up_by(c->user)) {
		close_all(d, c, fds, nfds);
		client_free(d, c);
		return false;
	}
	client_on_message(d, c, buf, (size_t)n, fds, nfds, &cred);
	if (!w->fn)
		return false; /* freed by what it said */
	if (!c->asked)
		return true;
	c->asked = false;
	return false; /* an answer is long work: one, then the others' turn */
}

static void on_readable(struct ismd *d, struct watch *w, uint32_t events)
{
	struct client *c = list_item(w, struct client, watch);
	uint64_t start = loop_now_ns();
	struct user *u = c->user;

	if (must_rest(d, c, events))
		return;
	user_hold(u);
	for (int i = 0; i < MESSAGES_PER_TURN && take_message(d, c); i++)
		;
	user_worked(u, loop_now_ns() - start);
	user_put(d, u);
}
