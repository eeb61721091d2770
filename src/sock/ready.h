/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readiness of one descriptor, as poll() and epoll see it: part of it is in the
 * rings, part is the kernel's.
 */
#ifndef OPENISM_SOCK_READY_H
#define OPENISM_SOCK_READY_H

#include <poll.h>

#include "sock/sock.h"

/* Is the readiness of @s (partly) ours to tell? Opens the receive side if that is
 * possible now. */
bool ready_is_smc(struct sock *s, int fd);

/* Of @events, those that the kernel must be asked for: input (data that came by
 * TCP, the end of the stream), errors, and output while the path is TCP. */
short ready_kernel_events(struct sock *s, short events);

/* Of @events, those that are true because of the rings. No system call. */
short ready_ring_events(struct sock *s, short events);

/* Ask the peer to tell us when one of @events becomes true. (And do what the peer
 * may have asked of us: the last moment before a sleep.) */
void ready_arm(struct sock *s, int fd, short events, uint32_t how);

#endif
