/* SPDX-License-Identifier: Apache-2.0 */
/* A position in an array of buffers, the program's side of each copy. */
#ifndef OPENISM_SMC_IOV_H
#define OPENISM_SMC_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

struct iov_pos {
	const struct iovec *iov;
	size_t count; /* buffers left, the current one included */
	size_t off;   /* in the current one */
};

static inline struct iov_pos iov_pos_init(const struct iovec *iov, size_t count)
{
	return (struct iov_pos){ .iov = iov, .count = count };
}

/* Copy @len bytes between @mem and the buffers, and advance. @in: into the
 * buffers. The caller has made sure that the buffers hold @len. */
static inline void iov_copy(struct iov_pos *p, char *mem, size_t len, bool in)
{
	while (len) {
		size_t n = p->iov->iov_len - p->off;
		char *user = (char *)p->iov->iov_base + p->off;

		if (n == 0) {
			p->iov++;
			p->count--;
			p->off = 0;
			continue;
		}
		if (n > len)
			n = len;
		if (in)
			memcpy(user, mem, n);
		else
			memcpy(mem, user, n);
		p->off += n;
		mem += n;
		len -= n;
	}
}

static inline void iov_skip(struct iov_pos *p, size_t len)
{
	while (len && p->count) {
		size_t n = p->iov->iov_len - p->off;

		if (n > len) {
			p->off += len;
			return;
		}
		len -= n;
		p->iov++;
		p->count--;
		p->off = 0;
	}
}

/* The rest as an array of at most @max entries holding at most @limit bytes. */
static inline size_t iov_rest(const struct iov_pos *p, struct iovec *out, size_t max, size_t limit)
{
	size_t n = 0, off = p->off;

	for (size_t i = 0; i < p->count && n < max && limit; i++, off = 0) {
		size_t len = p->iov[i].iov_len - off;

		if (len == 0)
			continue;
		if (len > limit)
			len = limit;
		out[n].iov_base = (char *)p->iov[i].iov_base + off;
		out[n++].iov_len = len;
		limit -= len;
	}
	return n;
}

#endif
