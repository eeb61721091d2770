/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel answers EFAULT to a bad buffer; a copy of ours would kill the
 * program. So buffers are checked before: the obviously wrong at once, others by
 * asking the kernel to populate their pages, and what was fine lately is
 * remembered per thread, so that the buffers of a running program cost a compare.
 */
#ifndef OPENISM_SOCK_USERMEM_H
#define OPENISM_SOCK_USERMEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define USERMEM_LOW 65536u              /* nothing is mapped below */
#define USERMEM_HIGH (1ull << 56)       /* nor above, on any machine we know */

static inline bool usermem_pointer_ok(const void *p)
{
	return (uintptr_t)p >= USERMEM_LOW && (uintptr_t)p < USERMEM_HIGH;
}

/* May all of @iov be read (or written, if @write)? */
bool usermem_ok(const struct iovec *iov, size_t cnt, bool write);

#endif
