/* SPDX-License-Identifier: Apache-2.0 */
/* The tools' way to this user's ismd: the socket only, no messages. */
#ifndef OPENISM_TOOLS_ISMD_CONN_H
#define OPENISM_TOOLS_ISMD_CONN_H

#include <stdbool.h>

/*
 * Connect to ismd's socket. A daemon whose queue is full is given @timeout_ms.
 * Returns a close-on-exec, non-blocking descriptor, or -errno; -ETIMEDOUT says
 * that there is a daemon but it does not come round to us.
 */
int ismd_connect(int timeout_ms);

/* Does this error of ismd_connect() mean that no ismd runs? */
bool ismd_is_absent(int err);

#endif
