/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ismd/client.h"
#include "ismd/family.h"
#include "ismd/instance.h"
#include "ismd/ismd.h"
#include "ismd/lpar.h"
#include "ismd/persist.h"
#include "ismd/table.h"
#include "proof/proof.h"

#define BOX_NOFILE 1048576

static void on_connect(struct ismd *d, struct watch *w, uint32_t events)
{
	client_accept(d, w->fd, NULL);
}

static void on_connect_lpar(struct ismd *d, struct watch *w, uint32_t events)
{
	client_accept(d, w->fd, list_item(w, struct lpar, listener));
}

static void on_signal(struct ismd *d, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo si;

	if (read(w->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP) {
		service_reload(d);
	} else {
		log_event("ismd: %s, leaving", strsignal((int)si.ssi_signo));
		d->stop = true;
	}
}

static void raise_nofile(bool system)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	/* ten for each process of the box: more than the usual limit, which root may raise */
	if (system && l.rlim_max < BOX_NOFILE) {
		struct rlimit more = { BOX_NOFILE, BOX_NOFILE };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

/* What the command line did not say. */
static void take_limits(struct ismd *d)
{
	if (!d->opt.defer_set && d->opt.system)
		d->opt.defer_us = d->conf->defer_us;
	if (!d->opt.max_dmbs_set && d->conf->max_dmbs)
		d->opt.max_dmbs = d->conf->max_dmbs;
	if (!d->opt.max_dmb_bytes_set && d->conf->max_dmb_bytes)
		d->opt.max_dmb_bytes = d->conf->max_dmb_bytes;
}

int service_init(struct ismd *d)
{
	uint32_t start = 0;

	d->listener.fd = d->signals.fd = d->lock_fd = -1;
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	list_init(&d->clients);
	list_init(&d->resting);
	list_init(&d->tables);
	list_init(&d->due);
	list_init(&d->unknown);
	list_init(&d->lgrs);
	list_init(&d->lpars);
	list_init(&d->netns);
	/* Ids of an earlier ismd are still in use in processes that outlived it. */
	if (getrandom(&start, sizeof(start), GRND_NONBLOCK) == sizeof(start)) {
		d->next_segment = start;
		d->next_lgr = (start >> 8 & 0xfffff) << 8;
	}
	if (!d->conf)
		d->conf = conf_default();
	if (!d->conf)
		return -ENOMEM;
	if (!d->conf_path)
		d->conf_path = "";
	take_limits(d);
	if (lpars_configure(d, NULL) < 0)
		return -ENOMEM;
	d->start_ns = d->idle_since_ns = loop_now_ns();
	raise_nofile(d->opt.system);
	return loop_init(&d->loop);
}

static int watch_signals(struct ismd *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	return loop_watch(&d->loop, &d->signals, EPOLLIN, on_signal);
}

static int listen_again(struct ismd *d)
{
	int fd = instance_listen(d->dir, d->opt.system ? 0666 : 0600);

	if (fd < 0)
		return fd;
	d->listener.fd = fd;
	return loop_watch(&d->loop, &d->listener, EPOLLIN, on_connect);
}

/* The sockets that LPARs have for themselves. */
static void listen_lpars(struct ismd *d)
{
	list_each(it, next, &d->lpars)
	{
		struct lpar *l = list_item(it, struct lpar, link);

		if (!l->in_conf || l->match != CONF_MATCH_SOCKET ||
		    strcmp(l->path, l->listen_path) != 0)
			lpar_close_listener(d, l);
		if (l->match != CONF_MATCH_SOCKET || l->listener.fd >= 0 || !l->in_conf)
			continue;
		memcpy(l->listen_path, l->path, sizeof(l->listen_path));
		l->listener.fd = instance_listen_path(l->path, 0666);
		if (l->listener.fd >= 0 &&
		    loop_watch(&d->loop, &l->listener, EPOLLIN, on_connect_lpar) == 0)
			continue;
		log_event("LPAR %s: %s: %s; nobody can come that way", l->name, l->path,
		          strerror(l->listener.fd < 0 ? -l->listener.fd : errno));
		l->listener.fd = -1;
	}
}

/* Of the runtime directory, so that several can stand side by side. */
static void proof_name(const struct ismd *d, char name[48])
{
	if (!strcmp(d->dir, RUNDIR_SYSTEM))
		snprintf(name, 48, "box");
	else
		snprintf(name, 48, "%016llx", (unsigned long long)instance_gid_of(d->dir, 0));
}

static void open_proof(struct ismd *d)
{
	char name[48];

	proof_name(d, name);
	if (!d->conf->syn_option)
		snprintf(d->proof_missing, sizeof(d->proof_missing),
		         "switched off by syn_option in ism.conf");
	else if (proof_open(&d->proof, name, d->proof_missing, sizeof(d->proof_missing)) < 0)
		d->proof = NULL;
}

int service_cleanup(const struct ismd *d)
{
	char name[48];

	proof_name(d, name);
	return proof_cleanup(name);
}

int service_listen(struct ismd *d)
{
	int r = listen_again(d);

	if (r < 0)
		return r;
	persist_load(d);
	if (d->opt.system) {
		listen_lpars(d);
		open_proof(d);
	}
	return watch_signals(d);
}

/* ------------------------------------------------------------------- reload */

/* Everybody to the LPAR that the new configuration says. What runs goes on. */
static void settle_again(struct ismd *d)
{
	list_each(it, next, &d->clients)
	{
		struct client *c = list_item(it, struct client, link);

		client_settle(d, c);
	}
	list_each(li, ln, &d->lpars) lpar_changed(d, list_item(li, struct lpar, link));
	lpars_reap(d);
}

/* The first complaint, for the tools; all of them into the log. */
static void take_complaints(struct ismd *d, char *text)
{
	char *rest = text, *line;

	d->conf_fault[0] = 0;
	while ((line = strsep(&rest, "\n"))) {
		if (!line[0])
			continue;
		log_event("ismd: %s", line);
		if (!d->conf_fault[0])
			snprintf(d->conf_fault, sizeof(d->conf_fault), "%s", line);
	}
}

void service_reload(struct ismd *d)
{
	struct conf *fresh = NULL, *before = d->conf;
	char *text = NULL;
	size_t size;
	FILE *complaints;
	int r;

	if (!d->conf_path[0]) {
		log_event("ismd: SIGHUP: there is no configuration to read");
		return;
	}
	complaints = open_memstream(&text, &size);
	r = conf_load(d->conf_path, &fresh, complaints);
	if (complaints)
		fclose(complaints);
	if (text)
		take_complaints(d, text);
	free(text);
	if (r < 0) {
		log_event("ismd: %s: not taken, all stays as it was", d->conf_path);
		return;
	}
	d->conf = fresh;
	take_limits(d);
	if (lpars_configure(d, before) < 0)
		log_event("ismd: no memory for all of %s", d->conf_path);
	persist_load(d);
	listen_lpars(d);
	settle_again(d);
	conf_free(before);
	log_event("ismd: %s: read again", d->conf_path);
}

/* Nobody is there. Take the name away first: whoever connected before that is
 * still served, whoever comes later starts a new ismd. */
static void try_to_leave(struct ismd *d)
{
	instance_unlink_socket(d->dir);
	client_accept(d, d->listener.fd, NULL);
	if (!d->nclients) {
		log_event("ismd: nobody is there any more, leaving");
		d->stop = true;
		return;
	}
	loop_close(&d->loop, &d->listener);
	if (listen_again(d) < 0)
		d->stop = true;
}

static bool leaves_when_idle(const struct ismd *d)
{
	return d->opt.grace_set && d->idle_since_ns;
}

static int64_t timeout_ns(const struct ismd *d, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	list_each(it, nx, &d->due)
	{
		const struct table *t = list_item(it, struct table, due_link);

		if (t->due_ns < next)
			next = t->due_ns;
	}
	if (clients_wake_ns(d) < next)
		next = clients_wake_ns(d);
	if (leaves_when_idle(d) && d->idle_since_ns + d->opt.grace_ns < next)
		next = d->idle_since_ns + d->opt.grace_ns;
	if (d->proof && proof_due_ns(d->proof) < next)
		next = proof_due_ns(d->proof);
	if (next == UINT64_MAX)
		return -1;
	return next > now ? (int64_t)(next - now) : 0;
}

void service_work(struct ismd *d)
{
	uint64_t now = loop_now_ns();

	tables_run_due(d, now);
	clients_wake(d, now);
	if (d->proof && now >= proof_due_ns(d->proof))
		proof_tick(d->proof, now);
	if (leaves_when_idle(d) && now >= d->idle_since_ns + d->opt.grace_ns)
		try_to_leave(d);
}

void service_run(struct ismd *d)
{
	while (!d->stop) {
		int r = loop_turn(d, timeout_ns(d, loop_now_ns()));

		if (r < 0) {
			log_event("ismd: epoll: %s", strerror(-r));
			return;
		}
		service_work(d);
	}
}

void service_deinit(struct ismd *d)
{
	/* running connections go on without us: rows and rings stay as they are */
	d->leaving = true;
	family_drop_all(d);
	while (!list_empty(&d->clients))
		client_free(d, list_item(d->clients.next, struct client, link));
	lpars_free(d);
	if (d->proof)
		proof_close(d->proof);
	d->proof = NULL;
	conf_free(d->conf);
	d->conf = NULL;
	loop_close(&d->loop, &d->listener);
	loop_close(&d->loop, &d->signals);
	loop_deinit(&d->loop);
	map_deinit(&d->index);
	map_deinit(&d->cookies);
	map_deinit(&d->nonces);
	map_deinit(&d->pairs);
	map_deinit(&d->lgr_map);
	map_deinit(&d->segments);
	if (d->spare_fd >= 0)
		close(d->spare_fd);
	d->spare_fd = -1;
}
