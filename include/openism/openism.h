/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public view of a connection under smc_run. A program does not need this: it
 * is for tests and for programs that want to know which path their bytes take.
 * The functions live in libsmc-preload.so; without smc_run they are absent, so
 * declare them weak (as here) or look them up with dlsym().
 *
 * Thread rule: callable from any thread. They do not change errno.
 */
#ifndef OPENISM_OPENISM_H
#define OPENISM_OPENISM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum openism_mode {
	OPENISM_MODE_UNKNOWN = 0, /* not a stream socket that openism follows */
	OPENISM_MODE_TCP = 1,     /* TCP: pending (no mate yet) or declined */
	OPENISM_MODE_SMCD = 2,    /* married: shared memory is available */
};

struct openism_stat {
	uint32_t size;         /* in: sizeof(struct openism_stat) */
	uint32_t mode;         /* enum openism_mode */
	uint32_t reason;       /* fallback reason code, 0 with SMCD */
	uint32_t peer_reason;  /* peer diagnosis, 0 if none */
	uint32_t tx_path;      /* 1: what we send now goes by the ring; 0: by TCP */
	uint32_t rx_path;      /* 1: what we read now comes from the ring; 0: TCP */
	uint64_t tx_smc_bytes; /* bytes sent through the ring so far */
	uint64_t rx_smc_bytes; /* bytes received through the ring so far */
	uint64_t tx_tcp_bytes; /* bytes sent through TCP by calls that were seen */
	uint64_t rx_tcp_bytes;
};

/* State of @fd's connection. 0, or -1 when @fd is not followed. */
int openism_stat(int fd, struct openism_stat *st) __attribute__((weak));

/*
 * Wait up to @timeout_ms until ismd has decided about @fd's connection. If it is
 * married, declare that this end reads through the library, and wait a little
 * (100 ms at most) for the other end to declare the same. Returns the mode, or
 * -1 when @fd is not followed. For tests, which call it on both ends: nothing
 * needs to wait for this.
 */
int openism_settle(int fd, int timeout_ms) __attribute__((weak));

#ifdef __cplusplus
}
#endif

#endif
