/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tools/ismd_conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/rundir.h"

enum { RETRY_MS = 5 };

static int connect_once(int sock, const struct sockaddr_un *sa, socklen_t len)
{
	int r;

	do
		r = connect(sock, (const struct sockaddr *)sa, len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* A daemon that is too busy to accept is waited for. */
static int connect_to(const char *dir, int *timeout_ms)
{
	const struct timespec pause = { 0, RETRY_MS * 1000000L };
	struct sockaddr_un sa;
	socklen_t len;
	int sock, r = rundir_check(dir);

	if (r == 0)
		r = rundir_socket(dir, &sa, &len);
	if (r < 0)
		return r;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	while ((r = connect_once(sock, &sa, len)) == -EAGAIN) {
		if (*timeout_ms <= 0) {
			r = -ETIMEDOUT;
			break;
		}
		nanosleep(&pause, NULL);
		*timeout_ms -= RETRY_MS;
	}
	if (r == 0)
		return sock;
	close(sock);
	return r;
}

int ismd_connect(int timeout_ms)
{
	char dir[RUNDIR_PATH_MAX];
	int sock = -ENOENT;

	for (unsigned n = 0;; n++) {
		int r = rundir_candidate(n, dir);

		if (r < 0)
			return r == -ENOENT ? sock : r;
		sock = connect_to(dir, &timeout_ms);
		if (sock >= 0 || !ismd_is_absent(sock))
			return sock;
	}
}

bool ismd_is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}
