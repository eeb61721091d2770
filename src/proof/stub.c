/* SPDX-License-Identifier: Apache-2.0 */
/* The proof where it was built without clang, bpftool or libbpf: there is none. */
#include "proof/proof.h"

#include <errno.h>
#include <stdio.h>

int proof_open(struct proof **out, const char *name, char *why, size_t size)
{
	snprintf(why, size,
	         "built without the SYN option: clang, bpftool and libbpf-dev are needed");
	return -ENOSYS;
}

void proof_close(struct proof *p)
{
}

int proof_cleanup(const char *name)
{
	return 0;
}

int proof_client_add(struct proof *p, pid_t tgid, const char *cgroup)
{
	return -ENOSYS;
}

void proof_client_del(struct proof *p, pid_t tgid)
{
}

uint64_t proof_due_ns(const struct proof *p)
{
	return UINT64_MAX;
}

void proof_tick(struct proof *p, uint64_t now_ns)
{
}

int proof_netns_power(struct proof *p, uint64_t netns_cookie, bool on)
{
	return -ENOSYS;
}

int proof_read(struct proof *p, int fd, struct proof_record *out)
{
	return -ENOSYS;
}
