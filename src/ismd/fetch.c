/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/fetch.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ismd/closer.h"
#include "ismd/ismd.h"
#include "ismd/sockdiag.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

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
	return !d->opt.system || ident_is_open(p->pid, p->watch.fd, p->uid);
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

/* A copy of descriptor @fd of @p, and what it is. */
static enum fetch_outcome copy_and_read(struct ismd *d, const struct proc *p, int fd,
                                        struct sock_id *id, int *copy)
{
	*copy = fd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, p->watch.fd, fd, 0);
	if (*copy < 0)
		return fd < 0 ? FETCH_GONE : outcome_of_errno(errno);
	switch (fetch_read(d, *copy, id)) {
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

enum fetch_outcome fetch_identity(struct ismd *d, const struct proc *p, int fd, struct sock_id *id,
                                  int *keep)
{
	enum fetch_outcome o;
	int copy;

	if (keep)
		*keep = -1;
	if (d->opt.no_getfd)
		return FETCH_FORBIDDEN;
	o = copy_and_read(d, p, fd, id, &copy);
	if (copy >= 0 && !may_look(d, p)) {
		if (p->client && log_allowed(&p->client->log))
			log_event("%s, pid %d: not looked into, it has more rights than uid %u",
			          p->comm, (int)p->pid, (unsigned)p->uid);
		o = FETCH_FORBIDDEN;
	}
	if (o == FETCH_OK && keep)
		*keep = copy;
	else if (copy >= 0)
		closer_close(d, p->user, copy);
	return o;
}

/*
 * Where nobody may fetch, the kernel still tells which addresses the socket with that
 * cookie has now, if it is in our network namespace.
 */
static enum fetch_outcome ask_kernel(struct ismd *d, const struct conn *c, struct sock_id *now)
{
	*now = c->id;
	return sockdiag_is(&c->id, &now->tcp_state) ? FETCH_OK : FETCH_NO_PROOF;
}

/*
 * A socket that was passed: its holder has shown that he has it, so that we look at it
 * gives nothing away. What it was when it was passed is not what counts: its peer may be
 * another one by now.
 */
static enum fetch_outcome verify_passed(struct ismd *d, const struct conn *c, const struct proc *p,
                                        struct sock_id *now)
{
	enum fetch_outcome o = FETCH_FORBIDDEN;
	int copy = -1;

	if (!d->opt.no_getfd)
		o = copy_and_read(d, p, c->fd, now, &copy);
	if (copy >= 0)
		closer_close(d, p->user, copy);
	if (o == FETCH_FORBIDDEN) {
		o = proc_shows(p, c->fd, c->id.inode);
		return o == FETCH_OK ? ask_kernel(d, c, now) : o;
	}
	if ((o == FETCH_OK || o == FETCH_HALF) && now->cookie != c->id.cookie)
		return FETCH_GONE;
	return o;
}

static enum fetch_outcome verify_at(struct ismd *d, const struct conn *c, const struct proc *p,
                                    struct sock_id *now, int *keep)
{
	enum fetch_outcome o = fetch_identity(d, p, c->fd, now, keep);

	if (o == FETCH_FORBIDDEN && c->passed)
		return verify_passed(d, c, p, now);
	if ((o == FETCH_OK || o == FETCH_HALF) && now->cookie != c->id.cookie) {
		if (keep && *keep >= 0) {
			closer_close(d, p->user, *keep);
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
