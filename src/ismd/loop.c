/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "ismd/ismd.h"

#define BATCH 64

int loop_init(struct loop *l)
{
	l->graves = NULL;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	return l->epfd < 0 ? -errno : 0;
}

static void free_graves(struct loop *l)
{
	while (l->graves) {
		struct grave *g = l->graves;

		l->graves = g->next;
		free(g);
	}
}

void loop_deinit(struct loop *l)
{
	free_graves(l);
	if (l->epfd >= 0)
		close(l->epfd);
	l->epfd = -1;
}

int loop_watch(struct loop *l, struct watch *w, uint32_t events, watch_fn *fn)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, w->fd, &ev) < 0)
		return -errno;
	w->fn = fn;
	return 0;
}

int loop_rearm(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_close(struct loop *l, struct watch *w)
{
	if (w->fn)
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fn = NULL;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void loop_bury(struct loop *l, struct grave *g)
{
	g->next = l->graves;
	l->graves = g;
}

int loop_turn(struct ismd *d, int64_t timeout_ns)
{
	struct epoll_event ev[BATCH];
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	int n = epoll_pwait2(d->loop.epfd, ev, BATCH, timeout_ns < 0 ? NULL : &ts, NULL);

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct watch *w = ev[i].data.ptr;

		if (w->fn)
			w->fn(d, w, ev[i].events);
	}
	free_graves(&d->loop);
	return 0;
}

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
