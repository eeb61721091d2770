/* SPDX-License-Identifier: Apache-2.0 */
/* SMC's state of a connection, as smcss prints it, from the kernel's TCP state and
 * the CDC flags (smc-protocol.md, 9.1). */
#ifndef ISMD_STATE_H
#define ISMD_STATE_H

#include <stdint.h>

enum smc_state {
	STATE_ACTIVE = 1,
	STATE_INIT = 2,
	STATE_CLOSED = 7,
	STATE_LISTEN = 10,
	STATE_PEERCLOSEWAIT1 = 20,
	STATE_PEERCLOSEWAIT2 = 21,
	STATE_APPCLOSEWAIT1 = 22,
	STATE_APPCLOSEWAIT2 = 23,
	STATE_APPFINCLOSEWAIT = 24,
	STATE_PEERFINCLOSEWAIT = 25,
	STATE_PEERABORTWAIT = 26,
	STATE_PROCESSABORT = 27,
};

/* @own, @peer: CDC flags that this end and the other one have set (0 on TCP). */
enum smc_state state_derive(int tcp_state, uint32_t own, uint32_t peer);

/* Bit 0: receiving, bit 1: sending is shut down. */
unsigned state_shutdown(int tcp_state, uint32_t own, uint32_t peer);

#endif
