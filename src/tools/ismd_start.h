/* SPDX-License-Identifier: Apache-2.0 */
/* Starting this user's ismd when a tool needs one. */
#ifndef OPENISM_TOOLS_ISMD_START_H
#define OPENISM_TOOLS_ISMD_START_H

#include <stddef.h>

/*
 * See to it that an ismd runs: do nothing if one does, else run
 * `ismd --background` and wait (at most 3 s) until it says that it serves.
 * 0, or -errno with the reason in words in @why.
 */
int ismd_ensure(char *why, size_t size);

#endif
