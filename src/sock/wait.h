/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping until something moves: each thread that has slept owns an epoll
 * instance with this process's vectors (edge-triggered, never read) and, while it
 * waits for one connection, that connection's TCP socket, the lifeline.
 */
#ifndef OPENISM_SOCK_WAIT_H
#define OPENISM_SOCK_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "sock/sock.h"

#define WAIT_FOREVER UINT64_MAX

/* Point in time that lies @sec and @nsec ahead; for ever if that is centuries. */
uint64_t wait_deadline_in(int64_t sec, int64_t nsec);

/* Point in time after @ns (0 = never) from now. */
uint64_t wait_deadline(uint64_t ns);

/*
 * Wait until @s may be readable (or writable). Spins first. 0: look again;
 * -EAGAIN: the socket is non-blocking or its time-out passed; -EINTR: a signal came
 * whose handler does not ask for a restart; -errno: the wait is not possible.
 * *deadline is 0 at a call's first wait; it is set when the first one sleeps.
 */
int wait_readable(struct sock *s, int fd, uint64_t *deadline);
int wait_writable(struct sock *s, int fd, uint64_t *deadline);

/* The same, until @bytes lie in the ring or the peer has ended (MSG_PEEK with
 * MSG_WAITALL). */
int wait_readable_bytes(struct sock *s, int fd, uint64_t bytes, uint64_t *deadline);

/* This thread's epoll instance with nothing but the vectors in it, for a poll()
 * among other descriptors; wait_vectors_clear() takes the edges that fired. */
int wait_vectors_fd(void);
void wait_vectors_clear(void);

/* Should a call that a signal interrupted go on? (What SA_RESTART decides for a
 * blocking read; @timed: a time-out is set, then the kernel never restarts.) */
bool wait_restarts(bool timed);

/* Register this process's vectors in @epfd, those of the changes from number @seen on,
 * edge-triggered with @data. Returns how many changes there were. */
uint32_t wait_add_vectors(int epfd, uint32_t seen, uint64_t data);

#endif
