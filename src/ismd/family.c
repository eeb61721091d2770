/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member is known by its pidfd. Its channel says less: a forked child inherits
 * it, so it may outlive the member, and a program may close it and live on. So:
 * pidfd readable = dead; channel hung up = mute (no new marriages, what runs
 * stays as long as the process has the socket); a channel without its member =
 * somebody unnamed still holds what the member held ("orphans").
 */
#define _GNU_SOURCE
#include "ismd/family.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ismd/client.h"
#include "ismd/closer.h"
#include "ismd/ismd.h"
#include "ismd/lgr.h"
#include "ismd/lpar.h"
#include "ismd/rows.h"
#include "ismd/table.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define MAX_MEMBERS 1024 /* of one family */
#define MAX_JOINED 4     /* times that one process is a member: it may lose a channel */

struct proc *family_member(struct table *t, int32_t told)
{
	struct proc *mute = NULL, *found = NULL;

	if (told <= 0)
		return NULL;
	list_each(it, next, &t->members)
	{
		struct proc *p = list_item(it, struct proc, link);

		if (p->told != told)
			continue;
		if (p->client && found)
			return NULL; /* of two pid namespaces: which one is meant? */
		if (p->client)
			found = p;
		else
			mute = p;
	}
	return found ? found : mute;
}

static struct proc *member_by_pid(struct table *t, pid_t pid)
{
	list_each(it, next, &t->members)
	{
		struct proc *p = list_item(it, struct proc, link);

		if (p->pid == pid)
			return p;
	}
	return NULL;
}

/* Does somebody hold a channel of this family whose member is gone? */
static bool has_unnamed(struct ismd *d, const struct table *t)
{
	list_each(it, next, &d->clients)
	{
		struct client *c = list_item(it, struct client, link);

		if (c->table == t && !c->proc)
			return true;
	}
	return false;
}

static void member_free(struct ismd *d, struct proc *p)
{
	struct table *t = p->table;

	log_event("%s, pid %d: gone", p->comm[0] ? p->comm : "process", (int)p->pid);
	if (p->client)
		p->client->proc = NULL;
	list_del(&p->link);
	rows_holder_gone(d, p);
	lgr_proc_gone(d, p);
	/* its channel, if still open, is looked at next: it hangs up or was inherited */
	if (!has_unnamed(d, t))
		rows_close_orphans(d, t);
	loop_close(&d->loop, &p->watch);
	close(p->vector);
	if (p->counted)
		user_charge(p->user, -1, 0, 0);
	user_put(d, p->user);
	loop_bury(&d->loop, &p->grave);
	table_reap(d, t);
}

static void on_death(struct ismd *d, struct watch *w, uint32_t events)
{
	member_free(d, list_item(w, struct proc, watch));
}

static void copy_comm(char to[16], const char from[16])
{
	unsigned i;

	for (i = 0; i < 15 && from[i]; i++)
		to[i] = from[i] < ' ' || from[i] > '~' ? '?' : from[i];
	to[i] = 0;
}

/* The pidfd that came with the channel, if the same process speaks. */
static int take_pidfd(struct client *c, pid_t pid)
{
	int pidfd = c->pidfd;

	if (c->ident.pid != pid || pidfd < 0)
		return (int)syscall(SYS_pidfd_open, pid, 0);
	c->pidfd = -1;
	return pidfd;
}

static struct proc *member_new(struct ismd *d, struct table *t, struct client *c,
                               const struct ucred *cred, const struct fab_msg_hello *m)
{
	struct proc *p;
	unsigned n = 0;

	list_each(it, next, &t->members) n++;
	if (n >= MAX_MEMBERS)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->pid = cred->pid;
	p->told = (int32_t)m->pid;
	p->uid = cred->uid;
	p->lpar = c->lpar;
	p->user = c->user;
	p->id = ++d->next_proc;
	p->table = t;
	p->client = c;
	list_init(&p->conns);
	copy_comm(p->comm, m->comm);
	p->vector = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->watch.fd = take_pidfd(c, cred->pid);
	if (p->vector < 0 || p->watch.fd < 0 ||
	    loop_watch(&d->loop, &p->watch, EPOLLIN, on_death) < 0) {
		if (p->vector >= 0)
			close(p->vector);
		if (p->watch.fd >= 0)
			close(p->watch.fd);
		free(p);
		return NULL;
	}
	user_hold(p->user);
	if (p->told != p->pid)
		t->foreign_pids = true;
	list_add_tail(&t->members, &p->link);
	return p;
}

static void welcome(struct ismd *d, struct client *c, uint32_t status)
{
	struct fab_msg_welcome m = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_WELCOME },
		.status = status,
		.layout = FAB_LAYOUT_VERSION,
		.defer_us = d->opt.defer_us,
	};
	int fds[3];

	if (status != FAB_WELCOME_OK) {
		client_send(c, &m, sizeof(m), NULL, 0);
		return;
	}
	m.table_id = c->table->id;
	fds[0] = c->table->memfd;
	fds[1] = c->table->bell.fd;
	fds[2] = c->proc->vector;
	client_send(c, &m, sizeof(m), fds, 3);
}

static void attach(struct client *c, struct table *t, struct proc *p)
{
	c->table = t;
	c->proc = p;
	p->client = c;
	t->nchannels++;
	if (c->counted && !p->counted) { /* a member costs as much without its channel */
		p->counted = true;
		c->counted = false;
	}
}

static void first_of_family(struct ismd *d, struct client *c, const struct fab_msg_hello *m,
                            const struct ucred *cred)
{
	struct table *t = table_new(d);
	struct proc *p = t ? member_new(d, t, c, cred, m) : NULL;

	if (!p) {
		if (t)
			table_reap(d, t);
		log_event("client %u (pid %d): refused, no room", c->id, (int)cred->pid);
		welcome(d, c, FAB_WELCOME_QUOTA);
		return;
	}
	attach(c, t, p);
	client_mark(d, c);
	table_set_power(t, lpar_powered(c->lpar));
	log_event("client %u (%s, pid %d): LPAR %s, table %u", c->id, p->comm, (int)p->pid,
	          c->lpar->name, t->id);
	welcome(d, c, FAB_WELCOME_OK);
}

static void refuse(struct client *c, const struct ucred *cred, const char *why)
{
	if (log_allowed(&c->log))
		log_event("client %u (pid %d): HELLO of pid %d refused, %s", c->id,
		          (int)c->ident.pid, (int)cred->pid, why);
}

static unsigned times_joined(const struct table *t, pid_t pid)
{
	unsigned n = 0;

	list_each(it, next, &t->members) n += list_item(it, struct proc, link)->pid == pid;
	return n;
}

static void child_joins(struct ismd *d, struct client *via, const struct fab_msg_hello *m,
                        const struct ucred *cred, int fd)
{
	struct client *c = client_new(d, fd, cred->pid, cred->uid, via->via);
	struct table *t = via->table;
	struct proc *p;

	if (!c)
		return;
	if (!t || t->id != m->table_id) {
		refuse(via, cred, "it is of another family");
		welcome(d, c, FAB_WELCOME_QUOTA);
		return;
	}
	if (times_joined(t, cred->pid) >= MAX_JOINED) {
		user_refused(c->user, "one process joined its family too often");
		welcome(d, c, FAB_WELCOME_QUOTA);
		return;
	}
	p = member_by_pid(t, cred->pid);
	if (!p || p->client) /* else: one that lost its channel is back */
		p = member_new(d, t, c, cred, m);
	if (!p) {
		welcome(d, c, FAB_WELCOME_QUOTA);
		return;
	}
	attach(c, t, p);
	client_mark(d, c);
	log_event("client %u (%s, pid %d): joins table %u", c->id, p->comm, (int)p->pid, t->id);
	welcome(d, c, FAB_WELCOME_OK);
	rows_member_joined(d, p);
}

/* A channel belongs to the process that made it: nobody else can be named with it. */
static bool made_by(int fd, const struct ucred *cred)
{
	struct ucred maker;
	socklen_t len = sizeof(maker);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &len) == 0 && maker.pid == cred->pid;
}

static bool speaks_for_itself(const struct ismd *d, const struct client *c,
                              const struct fab_msg_hello *m, const struct ucred *cred)
{
	return !d->opt.system || m->flags & FAB_HELLO_CHILD || c->ident.pid == cred->pid;
}

void family_hello(struct ismd *d, struct client *c, const struct fab_msg_hello *m,
                  const struct ucred *cred, int fd)
{
	bool spoken = m->layout == FAB_LAYOUT_VERSION && m->head.version == FAB_WIRE_VERSION;

	if (cred->pid <= 0 || !speaks_for_itself(d, c, m, cred)) {
		refuse(c, cred, "another process connected");
		if (fd >= 0)
			closer_close(d, c->user, fd);
	} else if (m->flags & FAB_HELLO_CHILD) {
		if (fd < 0 || !client_is_channel(fd) || !made_by(fd, cred)) {
			refuse(c, cred, "it brings no channel that it made");
			if (fd >= 0)
				closer_close(d, c->user, fd);
		} else if (!spoken) {
			struct client *child = client_new(d, fd, cred->pid, cred->uid, c->via);

			if (child)
				welcome(d, child, FAB_WELCOME_VERSION);
		} else {
			child_joins(d, c, m, cred, fd);
		}
	} else {
		if (fd >= 0)
			closer_close(d, c->user, fd);
		if (!spoken)
			welcome(d, c, FAB_WELCOME_VERSION);
		else if (!c->table)
			first_of_family(d, c, m, cred);
		else if (c->proc && c->proc->pid == cred->pid)
			welcome(d, c, FAB_WELCOME_OK); /* asked twice */
	}
}

void family_channel_gone(struct ismd *d, struct client *c)
{
	struct table *t = c->table;
	struct proc *p = c->proc;

	if (!t)
		return;
	c->table = NULL;
	c->proc = NULL;
	t->nchannels--;
	if (p) {
		p->client = NULL;
		rows_holder_mute(d, p);
		if (list_empty(&p->conns) && !d->leaving) {
			t->nchannels++; /* the family is reaped below */
			member_free(d, p);
			t->nchannels--;
		}
	}
	if (!has_unnamed(d, t))
		rows_close_orphans(d, t);
	table_reap(d, t);
}

void family_drop_all(struct ismd *d)
{
	while (!list_empty(&d->tables)) {
		struct table *t = list_item(d->tables.next, struct table, link);

		list_each(it, next, &d->clients)
		{
			struct client *c = list_item(it, struct client, link);

			if (c->table == t) {
				c->table = NULL;
				c->proc = NULL;
			}
		}
		t->nchannels = 1; /* not freed with its last member, but here */
		while (!list_empty(&t->members)) {
			struct proc *p = list_item(t->members.next, struct proc, link);

			p->client = NULL;
			member_free(d, p);
		}
		table_free(d, t);
	}
}
