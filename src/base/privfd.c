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
static privfd_t *_Atomic owners[PRIVFD_MAX]; /* untouched pages cost nothing */
static _Atomic uint32_t count;

static int base_number(void)
{
	struct rlimit rl;
	long top = PRIVFD_TOP;

	if (SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl) == 0 && (long)rl.rlim_cur < top)
		top = (long)rl.rlim_cur;
	return top > 2 * PRIVFD_ROOM ? (int)(top - PRIVFD_ROOM) : (int)(top / 2);
}

static int dup_high(int fd)
{
	int nfd = sys_fcntl(fd, F_DUPFD_CLOEXEC, base_number());

	if (nfd < 0)
		nfd = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (nfd >= PRIVFD_MAX) {
		sys_close(nfd);
		return -EMFILE;
	}
	return nfd;
}

static void remember(int fd, privfd_t *owner)
{
	atomic_store(&owners[fd], owner);
	atomic_fetch_or(&ours[fd / 64], 1ull << (fd % 64));
	atomic_fetch_add(&count, 1);
}

static privfd_t *forget(int fd)
{
	uint64_t bit = 1ull << (fd % 64);

	if (atomic_fetch_and(&ours[fd / 64], ~bit) & bit)
		atomic_fetch_sub(&count, 1);
	return atomic_exchange(&owners[fd], NULL);
}

int privfd_adopt(int fd, privfd_t *owner)
{
	int nfd = dup_high(fd);

	sys_close(fd);
	if (nfd < 0) {
		atomic_store(owner, -1);
		return nfd;
	}
	atomic_store(owner, nfd);
	remember(nfd, owner);
	return 0;
}

void privfd_close(privfd_t *owner)
{
	int fd = atomic_exchange(owner, -1);

	if (!privfd_is(fd))
		return;
	forget(fd);
	sys_close(fd);
}

bool privfd_is(int fd)
{
	return fd >= 0 && fd < PRIVFD_MAX &&
	       (atomic_load_explicit(&ours[fd / 64], memory_order_relaxed) >> (fd % 64) & 1);
}

void privfd_evict(int fd)
{
	privfd_t *owner;
	int nfd;

	if (!privfd_is(fd))
		return;
	nfd = dup_high(fd);
	owner = forget(fd);
	if (!owner) { /* closed meanwhile */
		sys_close(nfd);
		return;
	}
	atomic_store(owner, nfd < 0 ? -1 : nfd);
	if (nfd >= 0)
		remember(nfd, owner);
}

int privfd_first_from(int fd)
{
	if (fd < 0)
		fd = 0;
	if (atomic_load_explicit(&count, memory_order_relaxed) == 0)
		return -1;
	while (fd < PRIVFD_MAX) {
		uint64_t w = atomic_load_explicit(&ours[fd / 64], memory_order_relaxed) >>
		             (fd % 64);

		if (w)
			return fd + __builtin_ctzll(w);
		fd = (fd / 64 + 1) * 64;
	}
	return -1;
}
