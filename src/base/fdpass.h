/* SPDX-License-Identifier: Apache-2.0 */
/* One packet with descriptors over an AF_UNIX SOCK_SEQPACKET socket. */
#ifndef OPENISM_BASE_FDPASS_H
#define OPENISM_BASE_FDPASS_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#define FDPASS_MAX 4

/* Send @len bytes and @nfds descriptors; never blocks, never raises SIGPIPE.
 * 0, or -errno (-EAGAIN: the channel is full; -EPIPE: the peer is gone). */
int fdpass_send(int sock, const void *buf, size_t len, const int *fds, unsigned nfds);

/*
 * Receive one packet. Returns its length (> 0), 0 when the peer is gone, or
 * -errno (-EAGAIN; -EMSGSIZE: it did not fit, everything in it was dropped).
 * @fds gets up to FDPASS_MAX descriptors, close-on-exec, owned by the caller;
 * *nfds says how many. @cred, if not NULL, gets the sender's credentials as the
 * kernel gives them (SO_PASSCRED must be set), pid 0 when there are none.
 * @flags: MSG_DONTWAIT or 0.
 */
ssize_t fdpass_recv(int sock, void *buf, size_t size, int fds[FDPASS_MAX], unsigned *nfds,
                    struct ucred *cred, int flags);

#endif
