/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/closer.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ismd/log.h"
#include "ismd/loop.h"
#include "ismd/lpar.h"

#define SLOTS 256     /* closes that may wait at a time */
#define OF_ONE_USER 8 /* after a while */
#define AT_ONCE 64    /* without waiting for that */
#define A_WHILE_NS 200000000

enum { IDLE, BUSY, DONE };

static struct slot {
	_Atomic int state; /* the thread sets DONE, all else is the main thread's */
	int fd;
	uint64_t since_ns;
	struct user *user; /* with a reference while it is not IDLE */
} slots[SLOTS];

static void *close_slowly(void *arg)
{
	struct slot *s = arg;

	close(s->fd);
	atomic_store(&s->state, DONE);
	return NULL;
}

static bool sol_int(int fd, int opt, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, opt, value, &len) == 0;
}

/* Of TCP and UNIX sockets it is known that only a linger time makes close() wait: ours
 * may be the last reference, if the program closed the socket this very moment. */
static bool is_quick(int fd)
{
	struct linger l = { 0 };
	socklen_t len = sizeof(l);
	int domain, proto;

	if (!sol_int(fd, SO_DOMAIN, &domain) || !sol_int(fd, SO_PROTOCOL, &proto) ||
	    getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) < 0)
		return false;
	if (domain != AF_UNIX &&
	    ((domain != AF_INET && domain != AF_INET6) || proto != IPPROTO_TCP))
		return false;
	return !l.l_onoff || l.l_linger == 0;
}

/* Who makes it wait: of somebody with many namespaces, he and not each of them. */
static struct user *account(struct user *u)
{
	return u->pool ? u->pool : u;
}

static void reap(struct ismd *d)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (atomic_load(&slots[i].state) != DONE)
			continue;
		atomic_store(&slots[i].state, IDLE);
		user_put(d, slots[i].user);
	}
}

/* The last quarter is for those who keep none waiting. */
static struct slot *free_slot(const struct user *u)
{
	struct slot *found = NULL;
	unsigned busy = 0, own = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		bool idle = atomic_load(&slots[i].state) == IDLE;

		if (idle && !found)
			found = &slots[i];
		busy += !idle;
		own += !idle && slots[i].user == u;
	}
	return own && busy >= SLOTS * 3 / 4 ? NULL : found;
}

static bool start(struct slot *s)
{
	pthread_attr_t attr;
	pthread_t t;
	int r = -1;

	if (pthread_attr_init(&attr) == 0) {
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, 65536);
		atomic_store(&s->state, BUSY);
		r = pthread_create(&t, &attr, close_slowly, s);
		pthread_attr_destroy(&attr);
	}
	if (r != 0)
		atomic_store(&s->state, IDLE);
	return r == 0;
}

void closer_close(struct ismd *d, struct user *u, int fd)
{
	struct slot *s;

	if (is_quick(fd)) {
		close(fd);
		return;
	}
	reap(d);
	u = account(u);
	user_hold(u);
	s = free_slot(u);
	if (s) {
		s->fd = fd;
		s->user = u;
		s->since_ns = loop_now_ns();
		if (start(s))
			return;
	}
	/* A descriptor that stays open is better than a daemon that stands still. He is not
	 * forgotten. */
	u->stuck++;
	log_event("ismd: descriptor %d cannot be closed without waiting, it stays open", fd);
}

bool closer_is_held_up_by(const struct user *u)
{
	const struct user *a = u->pool ? u->pool : u;
	unsigned all = a->stuck, late = a->stuck;

	for (unsigned i = 0; i < SLOTS; i++) {
		if (atomic_load(&slots[i].state) != BUSY || slots[i].user != a)
			continue;
		all++;
		late += loop_now_ns() - slots[i].since_ns > A_WHILE_NS;
	}
	return late >= OF_ONE_USER || all >= AT_ONCE;
}
