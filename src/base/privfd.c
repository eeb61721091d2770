/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/privfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/sys.h"

/*
 * Just below 1024: high enough not to disturb programs that count on small
 * numbers, low enough that the kernel's descriptor table (which fork copies)
 * stays at its usual size.
 */
#define PRIVFD_TOP 1024
#define PRIVFD_ROOM 96

static _Atomic uint64_t ours[PRIVFD_MAX / 64];
static _Atomic uint32_t count;

static int base_number(void)
{
	struct rlimit rl;
	long top = PRIVFD_TOP;

	if (SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl) == 0 && (long)rl.rlim_cur < top)
		top = (long)rl.rlim_cur;
	return top > 2 * PRIVFD_ROOM ? (int)(top - PRIVFD_ROOM) : (int)(top / 2);
}

int privfd_adopt(int fd)
{
	int base = base_number(), nfd;

	nfd = sys_fcntl(fd, F_DUPFD_CLOEXEC, base);
	if (nfd < 0)
		nfd = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	sys_close(fd);
	if (nfd >= PRIVFD_MAX) {
		sys_close(nfd);
		return -EMFILE;
	}
	if (nfd >= 0) {
		atomic_fetch_or(&ours[nfd / 64], 1ull << (nfd % 64));
		atomic_fetch_add(&count, 1);
	}
	return nfd;
}

void privfd_close(int fd)
{
	if (!privfd_is(fd))
		return;
	atomic_fetch_and(&ours[fd / 64], ~(1ull << (fd % 64)));
	atomic_fetch_sub(&count, 1);
	sys_close(fd);
}

bool privfd_is(int fd)
{
	return fd >= 0 && fd < PRIVFD_MAX &&
	       (atomic_load_explicit(&ours[fd / 64], memory_order_relaxed) >> (fd % 64) & 1);
}

int privfd_first_from(int fd)
{
	if (fd < 0)
		fd = 0;
	if (atomic_load_explicit(&count, memory_order_relaxed) == 0)
		return -1;
	while (fd < PRIVFD_MAX) {
		uint64_t w = atomic_load_explicit(&ours[fd / 64], memory_order_relaxed) >> (fd % 64);

		if (w)
			return fd + __builtin_ctzll(w);
		fd = (fd / 64 + 1) * 64;
	}
	return -1;
}
