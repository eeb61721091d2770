/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sock/usermem.h"

#include <errno.h>

#include "base/sys.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE 4096ull
#define REMEMBERED 4

struct range {
	uintptr_t from, to;
};

struct memory {
	struct range r[2][REMEMBERED]; /* [write] */
	unsigned next;
};

static __thread struct memory known __attribute__((tls_model("initial-exec")));

static bool probe(uintptr_t from, uintptr_t to, bool write)
{
	long r = SYS3(SYS_madvise, from, to - from,
	              write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);

	/* EINVAL: no write permission; or a kernel that does not know the advice,
	 * which then says so for any range. */
	if (r == -EINVAL) {
		static const char mine[1];
		uintptr_t page = (uintptr_t)mine & ~(PAGE - 1);

		return SYS3(SYS_madvise, page, PAGE, MADV_POPULATE_READ) == -EINVAL;
	}
	return r != -ENOMEM && r != -EFAULT;
}

static bool range_ok(const void *p, size_t len, bool write)
{
	uintptr_t a = (uintptr_t)p, from, to;
	struct range *r = known.r[write];

	if (len == 0)
		return true;
	for (int i = 0; i < REMEMBERED; i++)
		if (a >= r[i].from && a + len <= r[i].to)
			return true;
	if (!usermem_pointer_ok(p) || a + len < a || a + len > USERMEM_HIGH)
		return false;
	from = a & ~(PAGE - 1);
	to = (a + len + PAGE - 1) & ~(PAGE - 1);
	if (!probe(from, to, write))
		return false;
	r[known.next++ % REMEMBERED] = (struct range){ from, to };
	return true;
}

bool usermem_ok(const struct iov_pos *pos, size_t len, bool write)
{
	size_t off = pos->off;

	for (size_t i = 0; i < pos->count && len; i++, off = 0) {
		size_t n = pos->iov[i].iov_len - off;

		if (n > len)
			n = len;
		if (!range_ok((char *)pos->iov[i].iov_base + off, n, write))
			return false;
		len -= n;
	}
	return true;
}
