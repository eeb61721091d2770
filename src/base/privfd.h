/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that belong to the library and not to the program: moved to high
 * numbers, close-on-exec, and remembered, so that the hooks of close(),
 * close_range() and dup2() can keep the program from hitting them.
 *
 * Each lives in one variable, its owner, so that it can be moved when the
 * program wants its number.
 *
 * Thread rule: any thread; no locks.
 */
#ifndef OPENISM_BASE_PRIVFD_H
#define OPENISM_BASE_PRIVFD_H

#include <stdbool.h>

#define PRIVFD_MAX 65536 /* numbers above are not used */

typedef _Atomic int privfd_t; /* a private descriptor, -1 = none */

/* Take over @fd: move it up, remember it, store it in *owner. 0, or -errno
 * (then @fd is closed and *owner is -1). */
int privfd_adopt(int fd, privfd_t *owner);

/* Close *owner, if any, and set it to -1. */
void privfd_close(privfd_t *owner);

/* Is @fd one of ours? */
bool privfd_is(int fd);

/* The program takes number @fd (dup2): ours moves elsewhere, or is lost. */
void privfd_evict(int fd);

/* The lowest of ours that is >= @fd, or -1. */
int privfd_first_from(int fd);

#endif
