/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
#include "ismd/table.h"

static void on_connect(struct ismd *d, struct watch *w, uint32_t events)
{
	client_accept(d);
}

static void on_signal(struct ismd *d, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo si;

	if (read(w->fd, &si, sizeof(si)) == sizeof(si)) {
		log_event("ismd: %s, leaving", strsignal((int)si.ssi_signo));
		d->stop = true;
	}
}

static void raise_nofile(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int service_init(struct ismd *d)
{
	uint32_t start = 0;

	d->listener.fd = d->signals.fd = d->lock_fd = -1;
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	list_init(&d->clients);
	list_init(&d->tables);
	list_init(&d->due);
	list_init(&d->unknown);
	list_init(&d->lgrs);
	/* Ids of an earlier ismd are still in use in processes that outlived it. */
	if (getrandom(&start, sizeof(start), GRND_NONBLOCK) == sizeof(start)) {
		d->next_segment = start;
		d->next_lgr = (start >> 8 & 0xfffff) << 8;
	}
	d->power = true;
	d->gid = instance_gid(geteuid());
	d->start_ns = d->idle_since_ns = loop_now_ns();
	raise_nofile();
	return loop_init(&d->loop);
}

static int watch_signals(struct ismd *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	return loop_watch(&d->loop, &d->signals, EPOLLIN, on_signal);
}

static int listen_again(struct ismd *d)
{
	int fd = instance_listen(d->dir);

	if (fd < 0)
		return fd;
	d->listener.fd = fd;
	return loop_watch(&d->loop, &d->listener, EPOLLIN, on_connect);
}

int service_listen(struct ismd *d)
{
	int r = listen_again(d);

	if (r < 0)
		return r;
	d->power = instance_power_load(d->dir);
	return watch_signals(d);
}

/* Nobody is there. Take the name away first: whoever connected before that is
 * still served, whoever comes later starts a new ismd. */
static void try_to_leave(struct ismd *d)
{
	instance_unlink_socket(d->dir);
	client_accept(d);
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
	if (leaves_when_idle(d) && d->idle_since_ns + d->opt.grace_ns < next)
		next = d->idle_since_ns + d->opt.grace_ns;
	if (next == UINT64_MAX)
		return -1;
	return next > now ? (int64_t)(next - now) : 0;
}

void service_work(struct ismd *d)
{
	uint64_t now = loop_now_ns();

	tables_run_due(d, now);
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
	loop_close(&d->loop, &d->listener);
	loop_close(&d->loop, &d->signals);
	loop_deinit(&d->loop);
	map_deinit(&d->index);
	map_deinit(&d->cookies);
	map_deinit(&d->lgr_map);
	map_deinit(&d->segments);
	if (d->spare_fd >= 0)
		close(d->spare_fd);
	d->spare_fd = -1;
}
