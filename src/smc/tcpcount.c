/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP_INFO and the queue ioctls are two calls; the figures belong together only
 * if nothing moved in between, so each count is taken until the moving part reads
 * the same before and after.
 *
 * Written, counted twice:  bytes_acked + unacknowledged queue  (the SYN counts as
 * one byte on the connecting side), and  bytes_sent - retransmitted + not yet
 * sent.  If they differ by more than the SYN, something is not as we know it and
 * the connection had better stay on TCP.
 */
#define _GNU_SOURCE
#include "smc/tcpcount.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/sys.h"

#define TRIES 16
#define SOL_TCP_LEVEL 6

/* Kernel TCP states after a FIN was received (linux/include/net/tcp_states.h). */
#define TCPS_CLOSE_WAIT 8
#define TCPS_LAST_ACK 9
#define TCPS_CLOSING 11
#define TCPS_CLOSE 7
#define TCPS_TIME_WAIT 6

static int info(int fd, struct tcp_info *ti)
{
	socklen_t len = sizeof(*ti);
	int r;

	memset(ti, 0, sizeof(*ti));
	r = sys_getsockopt(fd, SOL_TCP_LEVEL, TCP_INFO, ti, &len);
	if (r < 0)
		return r;
	if (len < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(ti->tcpi_bytes_retrans))
		return -EOPNOTSUPP;
	return 0;
}

int tcp_count_written(int fd, uint64_t *bytes, uint64_t *unsent)
{
	struct tcp_info before, after;
	uint64_t by_sent, by_acked;
	int queued, r;

	r = info(fd, &before);
	for (int i = 0; r == 0 && i < TRIES; i++, before = after) {
		r = sys_ioctl(fd, SIOCOUTQ, &queued);
		if (r == 0)
			r = info(fd, &after);
		if (r < 0)
			return r;
		if (before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
		    before.tcpi_bytes_sent != after.tcpi_bytes_sent)
			continue;
		by_acked = after.tcpi_bytes_acked + (uint64_t)queued;
		by_sent =
			after.tcpi_bytes_sent - after.tcpi_bytes_retrans + after.tcpi_notsent_bytes;
		if (by_acked - by_sent > 1)
			return -EPROTO;
		*bytes = by_sent;
		*unsent = after.tcpi_notsent_bytes;
		return 0;
	}
	return r < 0 ? r : -EAGAIN;
}

/*
 * When both ends have finished, the kernel keeps TIME_WAIT elsewhere and our socket
 * shows CLOSE, with the FIN counted; after a reset too, and then it may be counted
 * or not.
 */
static bool fin_received(unsigned state)
{
	return state == TCPS_CLOSE || state == TCPS_CLOSE_WAIT || state == TCPS_LAST_ACK ||
	       state == TCPS_CLOSING || state == TCPS_TIME_WAIT;
}

bool tcp_peer_fin(int fd)
{
	struct tcp_info ti;

	return info(fd, &ti) == 0 &&
	       (ti.tcpi_state == TCPS_CLOSE_WAIT || ti.tcpi_state == TCPS_LAST_ACK ||
	        ti.tcpi_state == TCPS_CLOSING);
}

bool tcp_peer_finished(int fd)
{
	struct tcp_info ti;

	return info(fd, &ti) == 0 && fin_received(ti.tcpi_state);
}

int tcp_count_read(int fd, uint64_t *bytes, uint64_t *waiting, bool *reset)
{
	struct tcp_info before, after;
	int unread, r;

	r = info(fd, &before);
	for (int i = 0; r == 0 && i < TRIES; i++, before = after) {
		r = sys_ioctl(fd, SIOCINQ, &unread);
		if (r == 0)
			r = info(fd, &after);
		if (r < 0)
			return r;
		if (before.tcpi_bytes_received != after.tcpi_bytes_received ||
		    before.tcpi_state != after.tcpi_state)
			continue;
		*bytes = after.tcpi_bytes_received - fin_received(after.tcpi_state) -
		         (uint64_t)unread;
		*waiting = (uint64_t)unread;
		*reset = after.tcpi_state == TCPS_CLOSE && (sys_poll_now(fd, 0) & POLLERR);
		return 0;
	}
	return r < 0 ? r : -EAGAIN;
}
