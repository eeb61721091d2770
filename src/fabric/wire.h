/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between ismd and its clients, over an AF_UNIX SOCK_SEQPACKET
 * socket: one packet is one message, host byte order (both ends are on one
 * box), descriptors travel with SCM_RIGHTS in the order named here. A receiver
 * checks type and exact length, and ignores the rest.
 *
 * Library conversation (one socket a process, "control channel"):
 *
 *   connect                       presence only: keeps ismd alive
 *   -> HELLO [fd?]                at the first stream socket; carries a new
 *                                 channel (one end of a socketpair) when a
 *                                 forked child uses an inherited channel
 *   <- WELCOME  table, bell, vector
 *   <- SEGMENT  segment memfd, peer's vector, own vector?   (pushed, before the
 *                                 row says MATCHED; or the answer to GET_SEGMENT)
 *   <- FORGET                     a link group is over: nobody uses its segments
 *   -> GET_SEGMENT                a forked child asks for a segment whose row
 *                                 it sees
 *   -> CLAIM_FD socket            where table.pass_fds says so
 *
 * The library never waits for an answer except for WELCOME, with a time limit.
 * ismd never waits for a client: a channel that is full is a client that loses
 * the message (and with it the marriage).
 *
 * Tool conversation: one REQUEST with a JSON object as text, one REPLY with a
 * sealed memfd that holds the JSON answer (so its size is not limited and a
 * slow tool does not hold ismd). See docs/tools-protocol.md.
 */
#ifndef OPENISM_FABRIC_WIRE_H
#define OPENISM_FABRIC_WIRE_H

#include <stdint.h>

#define FAB_WIRE_MAGIC 0x4d53494fu /* "OISM" */
#define FAB_WIRE_VERSION 2u
#define FAB_WIRE_MAX 4096u /* largest packet, request text included */

enum fab_msg_type {
	FAB_MSG_HELLO = 1,
	FAB_MSG_WELCOME = 2,
	FAB_MSG_SEGMENT = 3,
	FAB_MSG_GET_SEGMENT = 4,
	FAB_MSG_CLAIM_FD = 5,
	FAB_MSG_REQUEST = 6,
	FAB_MSG_REPLY = 7,
	FAB_MSG_FORGET = 8,
};

struct fab_msg_head {
	uint32_t magic; /* FAB_WIRE_MAGIC */
	uint16_t version;
	uint16_t type; /* enum fab_msg_type */
};

#define FAB_HELLO_CHILD 0x1u /* sent by a forked child: table_id names the family */

struct fab_msg_hello {
	struct fab_msg_head head;
	uint32_t flags;    /* FAB_HELLO_* */
	uint32_t table_id; /* with FAB_HELLO_CHILD, else 0 */
	uint32_t layout;   /* FAB_LAYOUT_VERSION of the library */
	uint32_t pid;      /* as the process sees itself, and writes into its rows: names
	                    * it inside its family, and says nothing else */
	char comm[16];     /* for the tools only */
};

enum fab_welcome_status {
	FAB_WELCOME_OK = 0,
	FAB_WELCOME_VERSION = 1, /* layout or wire version not spoken */
	FAB_WELCOME_QUOTA = 2,   /* too many clients or no memory */
};

/* fds: table memfd, bell eventfd (client writes), vector eventfd (client waits).
 * With a status other than OK no descriptor comes along. */
struct fab_msg_welcome {
	struct fab_msg_head head;
	uint32_t status; /* enum fab_welcome_status */
	uint32_t table_id;
	uint32_t layout;
	uint32_t defer_us; /* how long ismd waits before it looks at a claim */
};

/* fds: segment memfd, eventfd of the peer's vector, and between different users a
 * vector to sleep on for this link group (an epoll instance, never to be read). With
 * status != 0 (only as an answer to GET_SEGMENT) no descriptor comes along. */
struct fab_msg_segment {
	struct fab_msg_head head;
	uint32_t status;
	uint32_t seg_id;
	uint32_t lgr_id;
	uint32_t side;  /* which side's rows use this mapping; 2 = both (a process
	                * connected to itself) */
	uint64_t bytes; /* size of the memfd */
};

struct fab_msg_get_segment {
	struct fab_msg_head head;
	uint32_t seg_id;
	uint32_t side;
};

struct fab_msg_forget {
	struct fab_msg_head head;
	uint32_t lgr_id;
	uint32_t pad;
};

/* fds: the socket */
struct fab_msg_claim_fd {
	struct fab_msg_head head;
	uint32_t row;
	uint32_t gen;
};

/* REQUEST and REPLY: head, then (REQUEST) JSON text to the end of the packet,
 * (REPLY) nothing; REPLY's fd: sealed memfd with the JSON text. */

#endif
