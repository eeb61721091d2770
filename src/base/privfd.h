/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that belong to the library and not to the program: moved to high
 * numbers, close-on-exec, and remembered, so that the hooks of close(),
 * close_range() and dup2() can keep the program from hitting them.
 *
 * Thread rule: any thread; no locks.
 */
#ifndef OPENISM_BASE_PRIVFD_H
#define OPENISM_BASE_PRIVFD_H

#include <stdbool.h>

#define PRIVFD_MAX 65536 /* numbers above are not remembered, and not used */

/*
 * Take ownership of @fd: moves it up and remembers it. Returns the new number,
 * or -errno (then @fd is closed).
 */
int privfd_adopt(int fd);

/* Close one of ours (< 0: nothing happens). */
void privfd_close(int fd);

/* Is @fd ours? */
bool privfd_is(int fd);

/* The lowest of ours that is >= @fd, or -1. */
int privfd_first_from(int fd);

#endif
