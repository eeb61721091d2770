/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many stream bytes a TCP socket has carried, as the kernel counts them. The
 * path switches stand on these: a count of our own would miss what went past the
 * library (stdio, a raw system call, a program that inherited the socket).
 */
#ifndef OPENISM_SMC_TCPCOUNT_H
#define OPENISM_SMC_TCPCOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes the kernel accepted for sending on @fd since the connection was made, and
 * how many of them it has not put on the way at all yet.
 * 0, or -errno; -EPROTO when the kernel's own figures do not agree. */
int tcp_count_written(int fd, uint64_t *bytes, uint64_t *unsent);

/* Has the peer's end arrived (a FIN or RST; not our own shutdown)? */
bool tcp_peer_finished(int fd);

/* A FIN, and no reset so far? */
bool tcp_peer_fin(int fd);

/* Bytes that were read from @fd, and those that wait there. @reset: the connection
 * was reset, nothing more comes, and @bytes may be one too small. 0 or -errno. */
int tcp_count_read(int fd, uint64_t *bytes, uint64_t *waiting, bool *reset);

#endif
