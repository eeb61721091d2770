/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up what ismd needs to start and not to run. */
#ifndef ISMD_PRIVILEGES_H
#define ISMD_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Call once, from the only thread, after everything that takes rights is done:
 * limits raised, sockets and directories made, BPF objects loaded and attached.
 * For ever after, in this process and its threads:
 *
 * - of the capabilities there were, at most CAP_SYS_PTRACE (to look at clients of
 *   other users) and CAP_DAC_READ_SEARCH (their /proc/PID/fd) are left, and with
 *   @with_proof CAP_BPF (BPF maps, on kernels before 5.19); none of them can come
 *   back, by exec or otherwise;
 * - the process cannot be traced nor dumped by others of its user;
 * - system calls that ismd does not make fail with EPERM, and those that only an
 *   intruder would make (exec, ptrace, mount, loading BPF programs or modules) end
 *   the process.
 *
 * A build with a sanitizer gives up capabilities only: its runtime makes system
 * calls of its own and traces us when it looks for leaks.
 *
 * 0, or -errno and one line in @why; what was given up by then stays so.
 */
int privileges_drop(bool with_proof, char *why, size_t size);

#endif
