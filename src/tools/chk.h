/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smc_chk's parts. The live test runs this same program twice under smc_run, in
 * two modes that are no options: an echo server and an echo client.
 */
#ifndef OPENISM_TOOLS_CHK_H
#define OPENISM_TOOLS_CHK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define CHK_SERVER_MODE "--echo-server" /* PORT 4|6 DEBUG */
#define CHK_CLIENT_MODE "--echo-client" /* CONTROL-FD PORT ADDRESS... */

enum { CHK_MAX_ADDRESSES = 8 };

struct chk_target {
	const char *host; /* as typed */
	unsigned port;
	unsigned count;
	char address[CHK_MAX_ADDRESSES][INET6_ADDRSTRLEN + 20]; /* numeric, with scope */
};

/* What the client tells its parent, one packet each. */
enum chk_event {
	CHK_CONNECTED = 1, /* address, lport */
	CHK_NO_CONNECTION, /* error */
	CHK_ANSWERED,      /* the first line came back: the server is there */
	CHK_ECHO,          /* bytes, differs, error, ring_* */
	CHK_NO_ECHO,       /* error, 0: the service says something else */
};

struct chk_report {
	uint32_t event; /* enum chk_event */
	int32_t error;
	uint32_t address; /* index in the list of addresses */
	uint32_t lport;
	uint32_t bytes;
	uint32_t differs;  /* the second echo was not what was sent, or did not come */
	uint32_t has_stat; /* the library was there to ask */
	uint64_t ring_tx, ring_rx;
};

/* What is missing, in one line for a person, for a connection of ours that is on
 * TCP: ismd's words, or what is known here. Empty if nobody knows. */
struct chk_fallback {
	const char *laddr, *raddr; /* as ismd wrote them; "" = it does not know it */
	unsigned lport, rport;
	uint32_t reason, peer_reason;
	bool no_daemon; /* there is none to ask */
};
#define CHK_HINT_MAX 300
void chk_hint(const struct chk_fallback *f, char hint[CHK_HINT_MAX]);

/* The live test; prints its verdict and returns the exit status. */
int chk_live(const struct chk_target *target, bool debug);

/* Become the echo server under smc_run; returns only on failure. */
int chk_serve(unsigned port, bool v6, bool debug);

/* The two hidden modes; @argv starts behind the mode's name. */
int chk_echo_server(int argc, char **argv);
int chk_echo_client(int argc, char **argv);

#endif
