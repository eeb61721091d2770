/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets with descriptors. The system calls are made directly, not through
 * libc's names: inside the preload library those names are our own hooks.
 */
#define _GNU_SOURCE
#include "base/fdpass.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FDPASS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

int fdpass_send(int sock, const void *buf, size_t len, const int *fds, unsigned nfds)
{
	union control ctl;
	struct iovec iov = { (void *)buf, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	long n;

	if (nfds > FDPASS_MAX)
		return -EINVAL;
	if (nfds) {
		memset(&ctl, 0, sizeof(ctl));
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	do
		n = sys_sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n == -EINTR);
	return n < 0 ? (int)n : 0;
}

static void take_fds(const struct cmsghdr *c, int fds[FDPASS_MAX], unsigned *nfds)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < count; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*nfds < FDPASS_MAX)
			fds[(*nfds)++] = fd;
		else
			sys_close(fd);
	}
}

ssize_t fdpass_recv(int sock, void *buf, size_t size, int fds[FDPASS_MAX], unsigned *nfds,
                    struct ucred *cred, int flags)
{
	union control ctl;
	struct iovec iov = { buf, size };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = ctl.buf,
		            .msg_controllen = sizeof(ctl.buf) };
	long n;

	*nfds = 0;
	if (cred)
		memset(cred, 0, sizeof(*cred));
	do
		n = sys_recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
	while (n == -EINTR);
	if (n < 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			take_fds(c, fds, nfds);
		else if (c->cmsg_type == SCM_CREDENTIALS && cred &&
		         c->cmsg_len == CMSG_LEN(sizeof(*cred)))
			memcpy(cred, CMSG_DATA(c), sizeof(*cred));
	}
	return m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : n;
}
