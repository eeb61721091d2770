/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ismd/ismd.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static void *close_slowly(void *arg)
{
	close((int)(intptr_t)arg);
	return NULL;
}

void fetch_close(int fd)
{
	struct linger l = { 0 };
	socklen_t len = sizeof(l);
	pthread_attr_t attr;
	pthread_t t;
	int r = -1;

	/* Ours may be the last reference, if the program closed the socket this very
	 * moment; with a linger time close() would then block for it. */
	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0 && l.l_onoff && l.l_linger > 0 &&
	    pthread_attr_init(&attr) == 0) {
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, 65536);
		r = pthread_create(&t, &attr, close_slowly, (void *)(intptr_t)fd);
		pthread_attr_destroy(&attr);
	}
	if (r != 0)
		close(fd);
}

static enum fetch_outcome outcome_of_errno(int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
	case ENOSYS:
		return FETCH_FORBIDDEN;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return FETCH_LATER;
	default: /* EBADF, ESRCH */
		return FETCH_GONE;
	}
}

enum sockid_outcome fetch_read(struct ismd *d, int fd, struct sock_id *id)
{
	enum sockid_outcome o = sockid_read(fd, id);

	if ((o == SOCKID_OK || o == SOCKID_HALF) && d->proof &&
	    proof_read(d->proof, fd, &id->nonces) < 0)
		id->nonces.flags = 0;
	return o;
}

/*
 * We may look into any process, its user may not: a set-uid program has a pid that
 * said HELLO before exec() made another of it. Looked at after the descriptor was
 * taken, so what was taken before exec() was still his.
 */
static bool may_look(const struct ismd *d, const struct proc *p)
{
	return !d->opt.system || ident_is_open(p->pid, p->uid);
}

enum fetch_outcome fetch_identity(struct ismd *d, const struct proc *p, int fd, struct sock_id *id,
                                  int *keep)
{
	enum sockid_outcome o;
	int copy;

	if (keep)
		*keep = -1;
	if (fd < 0)
		return FETCH_GONE;
	if (d->opt.no_getfd)
		return FETCH_FORBIDDEN;
	copy = (int)syscall(SYS_pidfd_getfd, p->watch.fd, fd, 0);
	if (copy < 0)
		return outcome_of_errno(errno);
	if (!may_look(d, p)) {
		if (p->client && log_allowed(&p->client->log))
			log_event("%s, pid %d: not looked into, it has more rights than uid %u",
			          p->comm, (int)p->pid, (unsigned)p->uid);
		fetch_close(copy);
		return FETCH_FORBIDDEN;
	}
	o = fetch_read(d, copy, id);
	if (o == SOCKID_OK && keep)
		*keep = copy;
	else if (o == SOCKID_NOT_TCP)
		close(copy);
	else
		fetch_close(copy);
	switch (o) {
	case SOCKID_OK:
		return FETCH_OK;
	case SOCKID_HALF:
		return FETCH_HALF;
	case SOCKID_NO_PROOF:
		return FETCH_NO_PROOF;
	default:
		return FETCH_GONE;
	}
}

/* Does /proc show descriptor @fd of @p as the socket with this inode? */
static enum fetch_outcome proc_shows(const struct proc *p, int fd, uint64_t inode)
{
	char path[64], link[64], want[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)p->pid, fd);
	snprintf(want, sizeof(want), "socket:[%llu]", (unsigned long long)inode);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return errno == EACCES || errno == EPERM ? FETCH_NO_PROOF : FETCH_GONE;
	link[n] = 0;
	for (ssize_t i = 0; i <= n; i++)
		if (link[i] != want[i])
			return FETCH_GONE;
	return FETCH_OK;
}

static enum fetch_outcome verify_at(struct ismd *d, const struct conn *c, const struct proc *p,
                                    struct sock_id *now, int *keep)
{
	enum fetch_outcome o = fetch_identity(d, p, c->fd, now, keep);

	if (o == FETCH_FORBIDDEN && c->passed) {
		*now = c->id;
		return proc_shows(p, c->fd, c->id.inode);
	}
	if ((o == FETCH_OK || o == FETCH_HALF) && now->cookie != c->id.cookie) {
		if (keep && *keep >= 0) {
			fetch_close(*keep);
			*keep = -1;
		}
		return FETCH_GONE;
	}
	return o;
}

enum fetch_outcome fetch_verify(struct ismd *d, const struct conn *c, struct sock_id *now,
                                int *keep)
{
	if (keep)
		*keep = -1;
	if (!c->proc)
		return FETCH_GONE;
	return verify_at(d, c, c->proc, now, keep);
}

bool fetch_is_held_by(struct ismd *d, const struct conn *c, const struct proc *p)
{
	struct sock_id now;
	enum fetch_outcome o = verify_at(d, c, p, &now, NULL);

	return o == FETCH_OK || o == FETCH_HALF;
}
