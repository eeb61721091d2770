/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proof puts on a SYN and on a SYN-ACK, and on no other packet: one TCP option
 * in the form that RFC 6994 gives to experiments,
 *
 *	kind 254 (RFC 4727), length 14, 32-bit experiment id, 8 bytes of nonce
 *
 * all of it in network order. The experiment id is ours: not registered with IANA, and
 * above all not the one of SMC-R (E2D4C3D9), since a kernel's AF_SMC that sees that one
 * waits for a CLC handshake in the stream. 14 bytes fit beside what Linux sends (MSS,
 * SACK, timestamps, window scale: 20 of 40), but not beside a Fast Open cookie as well.
 *
 * The nonce: the upper 16 bits are the tag of the instance, made of its name, the other
 * 48 cannot be guessed. An instance takes notice of its own tag only; so a second one
 * (a test's beside the system's) leaves the first one's connections alone. Nothing
 * rests on the tag: of two instances with one tag each finds nonces that agree with no
 * record of its own.
 *
 * Included by the BPF program and by user space.
 */
#ifndef OPENISM_PROOF_OPTION_H
#define OPENISM_PROOF_OPTION_H

#include <linux/types.h>

#define PROOF_OPT_KIND 254
#define PROOF_OPT_LEN 14
#define PROOF_OPT_EXID_LEN 6 /* kind, length and experiment id */

/* "iSM" and a version */
#define PROOF_OPT_EXID0 0x69
#define PROOF_OPT_EXID1 0x53
#define PROOF_OPT_EXID2 0x4d
#define PROOF_OPT_EXID3 0x01

#define PROOF_TAG_SHIFT 48

struct proof_option {
	__u8 kind;
	__u8 len;
	__u8 exid[4];
	__be64 nonce;
} __attribute__((packed));

_Static_assert(sizeof(struct proof_option) == PROOF_OPT_LEN, "length on the wire");

#endif
