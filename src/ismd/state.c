/* SPDX-License-Identifier: Apache-2.0 */
#include "ismd/state.h"

#include <netinet/tcp.h>

#include "fabric/layout.h"

#define ENDED (FAB_CDC_DONE_WRITING | FAB_CDC_CONN_CLOSED)

static enum smc_state of_tcp(int tcp_state)
{
	switch (tcp_state) {
	case TCP_ESTABLISHED:
		return STATE_ACTIVE;
	case TCP_SYN_SENT:
	case TCP_SYN_RECV:
		return STATE_INIT;
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
		return STATE_PEERCLOSEWAIT1;
	case TCP_CLOSE_WAIT:
		return STATE_APPCLOSEWAIT1;
	case TCP_CLOSING:
		return STATE_PEERCLOSEWAIT2;
	case TCP_LAST_ACK:
		return STATE_PEERFINCLOSEWAIT;
	case TCP_LISTEN:
		return STATE_LISTEN;
	default: /* CLOSE, TIME_WAIT */
		return STATE_CLOSED;
	}
}

enum smc_state state_derive(int tcp_state, uint32_t own, uint32_t peer)
{
	enum smc_state s = of_tcp(tcp_state);

	if (s == STATE_CLOSED || s == STATE_LISTEN || s == STATE_INIT)
		return s;
	if (own & FAB_CDC_CONN_ABORT)
		return STATE_PEERABORTWAIT;
	if (peer & FAB_CDC_CONN_ABORT)
		return STATE_PROCESSABORT;
	if (s != STATE_ACTIVE || !((own | peer) & ENDED))
		return s;
	/* the flags are ahead of FIN for a moment */
	if ((own & ENDED) && (peer & FAB_CDC_CONN_CLOSED))
		return STATE_APPFINCLOSEWAIT;
	if ((own & ENDED) && (peer & ENDED))
		return STATE_PEERCLOSEWAIT2;
	return own & ENDED ? STATE_PEERCLOSEWAIT1 : STATE_APPCLOSEWAIT1;
}

unsigned state_shutdown(int tcp_state, uint32_t own, uint32_t peer)
{
	unsigned bits = 0;

	switch (tcp_state) {
	case TCP_CLOSE_WAIT:
		bits = 1;
		break;
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
		bits = 2;
		break;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
	case TCP_CLOSE:
	case TCP_TIME_WAIT:
		bits = 3;
		break;
	default:
		break;
	}
	if (peer & (ENDED | FAB_CDC_CONN_ABORT))
		bits |= 1;
	if (own & (ENDED | FAB_CDC_CONN_ABORT))
		bits |= 2;
	return bits;
}
