/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the BPF program and proof.c share: the values of its maps. They outlive ismd;
 * any change here, or of what a field means, takes a new PROOF_LAYOUT.
 */
#ifndef OPENISM_PROOF_SYNPROOF_H
#define OPENISM_PROOF_SYNPROOF_H

#include <linux/types.h>

#define PROOF_LAYOUT 2

/* What a socket is to us. */
enum proof_role {
	PROOF_ROLE_MARKED, /* made by a client, or its handshake is none of ours */
	PROOF_ROLE_CLIENT, /* has called connect() */
	PROOF_ROLE_LISTEN,
	PROOF_ROLE_SERVER, /* came out of a marked listener */
};

#define PROOF_I_HDR_FLAG 0x1u /* the header callbacks were switched on by us */
#define PROOF_I_RESERVED 0x2u /* room was made for the option in this SYN */

/*
 * One for each marked socket, in its sk_storage. A listener's is copied to what it
 * accepts. flags stands first and is written last: a reader that copies upwards finds
 * what its flags promise.
 */
struct proof_sk {
	__u32 flags; /* PROOF_F_* of proof.h */
	__u16 role;
	__u16 internal; /* PROOF_I_* */
	__u64 local;
	__u64 peer;
};

/* One for each process that is a client. */
struct proof_client {
	__u32 count; /* how often it was added */
	__u32 unused;
	__u64 site; /* cgroup id, for ismd */
};

/* One for the instance. The key never leaves the kernel and ismd. */
struct proof_config {
	__u32 layout;
	__u32 tag; /* upper 16 bits of each nonce */
	__u64 key[2];
};

#endif
