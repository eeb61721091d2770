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

#include "smc/iov.h"

#define USERMEM_LOW 65536u        /* nothing is mapped below */
#define USERMEM_HIGH (1ull << 56) /* nor above, on any machine we know */

static inline bool usermem_pointer_ok(const void *p)
{
	return (uintptr_t)p >= USERMEM_LOW && (uintptr_t)p < USERMEM_HIGH;
}

/* May the next @len bytes at @pos be read (or written, if @write)? Asked piece by piece
 * as a call goes on, because pages that are asked for get populated. */
bool usermem_ok(const struct iov_pos *pos, size_t len, bool write);

#endif
