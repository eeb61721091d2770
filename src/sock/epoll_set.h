/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epoll instances and their members: the books behind the epoll hooks.
 *
 * As long as no member has left TCP an instance is the kernel's, and only the
 * registrations of followed sockets are remembered. When a member's connection
 * leaves TCP, its registration in the kernel instance becomes that of its lifeline,
 * edge-triggered, with a marker as data, and the vectors are registered too; from
 * then on its readiness is computed here.
 *
 * The marker is the address of our struct member. A program's data could only be
 * mistaken for one if it pointed into our pages.
 *
 * Thread rule: everything that takes a member or a list is called with the lock
 * held (epset_lock()), but for those that say otherwise.
 */
#ifndef OPENISM_SOCK_EPOLL_SET_H
#define OPENISM_SOCK_EPOLL_SET_H

#include <sys/epoll.h>

#include "sock/sock.h"

#define EPOLLIN_BITS (EPOLLIN | EPOLLRDNORM)
#define EPOLLOUT_BITS (EPOLLOUT | EPOLLWRNORM)

struct epobj;

struct member {
	struct epobj *ep;
	struct sock *s;
	struct member *next;      /* of the instance */
	struct member *sock_next; /* of the socket */
	int fd;
	uint32_t events; /* the program's */
	uint64_t data;   /* the program's */
	bool smc;        /* readiness is ours */
	bool disabled;   /* one-shot that has fired */
	bool edge;       /* something new since the last report (edge-triggered) */
	uint32_t life;   /* what the lifeline said, sticky: HUP, RDHUP, ERR, IN */
	uint64_t seen_prod;
	uint64_t seen_full;
	bool out_wait; /* was not writable when looked at */
	bool skip_out; /* the kernel is about to report what is no news */
};

struct epobj {
	struct obj obj;
	_Atomic int fds;
	int fd;
	_Atomic unsigned nsmc;
	_Atomic bool nested;  /* watched itself: the kernel's descriptor must fire */
	uint32_t vectors;     /* changes of them followed in the kernel instance, or in aux */
	privfd_t aux;         /* nested: holds the vectors, so that their edges can be
	                    * taken without touching the program's events */
	_Atomic int sleepers; /* threads that are, or may be, in the kernel */
	unsigned turn;
	struct member *members;
	struct member *cursor; /* where the next scan begins: fairness */
	struct spin spin;
	struct epobj *next_free;
};

/* Where members live; its first one is the marker of the vectors. NULL: none yet. */
extern struct member *epset_slab;

/* False: a signal handler of the thread that holds it. */
bool epset_lock(void);
void epset_unlock(void);

/* ---- instances (no lock) */
struct epobj *epset_get(int fd);
int epset_track(int fd);

/* ---- members */
struct member *epset_find(struct epobj *ep, struct sock *s, int fd);
struct member *epset_member_make(struct epobj *ep, struct sock *s, int fd);
void epset_member_free(struct member *m);

/* ADD or MOD: what the program wants to know, and its data. */
void epset_member_set(struct member *m, const struct epoll_event *ev);

/* The member whose marker @data is, the slab's first for one that is nobody here,
 * NULL for a program's own data. */
struct member *epset_marker(uint64_t data);

void epset_watch_lifeline(struct member *m);
void epset_add_vectors(struct epobj *ep);

/* ---- readiness */

/* Report members that are ready; at most @max. */
int epset_scan(struct epobj *ep, struct epoll_event *out, int max);
bool epset_any_ready(struct epobj *ep);

/* The same for spin_until(); takes the lock, or says false if it is busy. */
bool epset_test_ready(void *ep);

/* Before sleeping: peers shall ring us. */
void epset_arm(struct epobj *ep);

/* ---- instances that are watched themselves (these take the lock) */
void epset_refresh_nested(struct epobj *ep);

/* After a change: wake who sleeps in it, or watches it. */
void epset_keep_awake(struct epobj *ep);

#endif
