/* SPDX-License-Identifier: Apache-2.0 */
/* A question to the kernel's socket monitor, in the network namespace of ismd. */
#ifndef ISMD_SOCKDIAG_H
#define ISMD_SOCKDIAG_H

#include <stdbool.h>

#include "ismd/sockid.h"

/* Has the TCP socket with @id's cookie these very addresses now? *tcp_state then is its
 * state. False also for another network namespace, and where the kernel does not say. */
bool sockdiag_is(const struct sock_id *id, int *tcp_state);

#endif
