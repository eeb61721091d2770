/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared-memory layouts of the fabric: the connection table that a process
 * family shares with ismd, and the segments (DMBs) that two processes share.
 *
 * Rules for every field here:
 *  - a peer may scribble on it at any time: read it once into a local, check
 *    it, use the local; no pointer is ever stored, only indices and offsets;
 *  - the comment says who writes it ("client": the library in the process that
 *    owns the row; "ismd": the daemon; "producer"/"consumer": of one DMB);
 *  - positions are 64-bit and only grow; ring indices are masked from them.
 *
 * This header declares; it contains no code that acts.
 */
#ifndef OPENISM_FABRIC_LAYOUT_H
#define OPENISM_FABRIC_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define FAB_LAYOUT_VERSION 3u
#define FAB_CACHE_LINE 64u

/* ------------------------------------------------------------------ table */

#define FAB_TABLE_MAGIC 0x4f49534d5441424cull /* "OISMTABL" */
#define FAB_ROWS 32768u                       /* rows of one table */
#define FAB_DIRTY_WORDS (FAB_ROWS / 64u)
#define FAB_SUMMARY_WORDS (FAB_DIRTY_WORDS / 64u)

/*
 * Life of a row. The client owns FREE..CLAIMED, ismd owns what follows, and
 * each change is one compare-and-swap, so that close() can race with ismd:
 *
 *   FREE -> HELD -> CLAIMED -> PENDING -> MATCHED ----> CLOSED -> FREE
 *   (client) (client)  |(ismd)    \-----> DECLINED -/   (client   (ismd)
 *                      \-> FREE (client: closed early)   or ismd)
 */
enum fab_row_state {
	FAB_ROW_FREE = 0,
	FAB_ROW_HELD = 1,     /* client: allocated, being filled in */
	FAB_ROW_CLAIMED = 2,  /* client: "I am this end of this TCP connection" */
	FAB_ROW_PENDING = 3,  /* ismd: seen, no mate yet: TCP, 0x03010000 */
	FAB_ROW_MATCHED = 4,  /* ismd: married; the verdict fields are valid */
	FAB_ROW_DECLINED = 5, /* ismd: stays TCP, reason/peer_reason say why */
	FAB_ROW_CLOSED = 6,   /* client: closed; ismd may release it */
};

enum fab_role {
	FAB_ROLE_NONE = 0,
	FAB_ROLE_LISTEN = 1,
	FAB_ROLE_CONNECT = 2, /* SMC client: connect() */
	FAB_ROLE_ACCEPT = 3,  /* SMC server: accept() */
};

/* fab_row.flags, written by the client family */
#define FAB_ROWF_NONBLOCK 0x0001u /* O_NONBLOCK of the open file description */
#define FAB_ROWF_PINNED 0x0002u   /* must stay on TCP; pin_reason says why */

/* One socket. 512 bytes, eight cache lines, grouped by writer. */
struct fab_row {
	/* line 0: claim (client), except state (both, by compare-and-swap) */
	_Atomic uint32_t state;
	_Atomic uint32_t gen;         /* client: +1 at each allocation */
	_Atomic uint32_t refs;        /* client: processes that hold the socket (a hint) */
	_Atomic int32_t pid;          /* client: process of the claim, in ismd's pid view */
	_Atomic int32_t fd;           /* client: descriptor in that process */
	_Atomic uint32_t role;        /* client: enum fab_role */
	_Atomic uint32_t flags;       /* client: FAB_ROWF_* */
	_Atomic uint32_t pin_reason;  /* client: with FAB_ROWF_PINNED */
	_Atomic uint32_t want_rcvbuf; /* client: wished DMB bytes, 0 = default */
	uint32_t line0_pad[7];

	/* line 1: verdict, written by ismd before state = MATCHED/DECLINED */
	_Atomic uint32_t reason;      /* fallback reason, 0 when matched */
	_Atomic uint32_t peer_reason; /* peer diagnosis */
	uint32_t seg_id;              /* segment that holds both DMBs */
	uint32_t side;                /* 0 or 1: our side of that segment */
	uint32_t slot;                /* slot in the segment */
	uint32_t lgr_id;              /* link group, 0x100, 0x200, ... */
	uint64_t token;               /* our DMB's token */
	uint64_t peer_token;
	_Atomic uint32_t suspended; /* ismd: 1 = send by TCP until it is 0 again: the
	                             * function is off, at this end or the other */
	uint32_t line1_pad[5];

	/* line 2: receive side, shared by the family, under rx_lock */
	_Atomic uint32_t rx_lock;       /* thread id of the holder, 0 = free */
	_Atomic uint32_t rx_gate;       /* FAB_GATE_OPEN, or waiters in the kernel */
	_Atomic uint32_t rx_seq;        /* last path switch of the peer that we follow */
	_Atomic uint32_t rx_have_limit; /* rx_remaining is valid */
	_Atomic uint64_t rx_remaining;  /* TCP bytes left before the ring */
	_Atomic uint64_t rx_cons;       /* ring bytes consumed; mirrors dmb.cons */
	_Atomic uint32_t rx_error;      /* errno to deliver once */
	_Atomic uint32_t rx_frozen;     /* FAB_RX_RETURN was asked for: the ring is
	                                 * not read any more */
	uint32_t line2_pad[6];

	/* line 3: send side, shared by the family, under tx_lock */
	_Atomic uint32_t tx_lock;
	_Atomic uint32_t tx_seq;   /* last path switch we recorded */
	_Atomic uint64_t tx_prod;  /* ring bytes produced; mirrors dmb.prod */
	_Atomic uint64_t tx_cons;  /* consumer position last seen */
	_Atomic uint32_t tx_flags; /* FAB_TXF_* */
	_Atomic uint32_t tx_gate;  /* FAB_GATE_RING, or senders in the kernel */
	_Atomic uint64_t tx_back;  /* FAB_TXF_BACK: taken back and sent up to here */
	uint32_t line3_pad[6];

	/* line 4: counters (client) */
	_Atomic uint64_t tx_smc_bytes;
	_Atomic uint64_t rx_smc_bytes;
	_Atomic uint64_t tx_smc_calls;
	_Atomic uint64_t rx_smc_calls;
	_Atomic uint64_t tx_tcp_bytes; /* sent by calls of ours on the TCP path */
	_Atomic uint64_t rx_tcp_bytes;
	_Atomic uint32_t switches_to_smc; /* tx direction */
	_Atomic uint32_t switches_to_tcp;
	_Atomic uint64_t tx_full; /* times the peer's ring was full */

	/* line 5: time-outs (client; 0 = none) */
	_Atomic uint64_t rcvtimeo_ns;
	_Atomic uint64_t sndtimeo_ns;
	_Atomic uint64_t look_at_bytes; /* ismd: mark the row dirty when so many went
	                                 * by TCP, both directions; 0 = never */
	uint64_t line5_pad[5];

	uint64_t lines67_pad[16];
};

/*
 * The gates keep the two worlds of one direction apart inside a family: either
 * calls are in the kernel (they are counted), or the direction goes by ring
 * (the flag); the flag can be set only while nobody is counted.
 */
#define FAB_GATE_OPEN 0x80000000u /* rx_gate: reads go through the library */
#define FAB_GATE_RING 0x80000000u /* tx_gate: the send path is the ring */

#define FAB_TXF_NO_SMC 0x1u /* never switch to the ring again */
#define FAB_TXF_BACK 0x4u   /* taking unread bytes back, to send them by TCP */
#define FAB_TXF_SHUT 0x2u   /* shut down for writing: the kernel answers */

/*
 * Head of a table memfd; rows follow at FAB_TABLE_ROWS_OFFSET.
 *
 * A client that changed a row sets the row's bit in dirty[], then the bit of
 * that dirty word in summary[], then, if bell_armed was 1, clears it (exchange)
 * and writes the bell eventfd. ismd takes words with exchange. No queue, no
 * overflow, safe with any number of writers.
 */
struct fab_table {
	uint64_t magic;   /* ismd, last written at creation */
	uint32_t version; /* FAB_LAYOUT_VERSION */
	uint32_t rows;    /* FAB_ROWS */
	uint32_t table_id;
	uint32_t row_bytes; /* sizeof(struct fab_row) */
	uint8_t line0_pad[40];

	_Atomic uint32_t bell_armed; /* ismd: 1 = asleep, ring me */
	_Atomic uint32_t pass_fds;   /* ismd: 1 = it cannot fetch descriptors of
	                              * this family; send them with CLAIM_FD */
	_Atomic uint32_t power;      /* ismd: 1 = the LPAR's function is on */
	_Atomic uint32_t alloc_hint; /* client: where to look for a free row */
	uint8_t line1_pad[48];

	_Atomic uint64_t summary[FAB_SUMMARY_WORDS];
	_Atomic uint64_t dirty[FAB_DIRTY_WORDS];
};

#define FAB_TABLE_ROWS_OFFSET 8192u
#define FAB_TABLE_BYTES (FAB_TABLE_ROWS_OFFSET + FAB_ROWS * sizeof(struct fab_row))

/* ---------------------------------------------------------------- segment */

#define FAB_SEG_MAGIC 0x4f49534d53454721ull /* "OISMSEG!" */
#define FAB_SEG_MAX_SLOTS 64u               /* one ready word per side */

#define FAB_DMB_MIN_BYTES 16384u   /* size code 0: 16384 << code */
#define FAB_DMB_MAX_BYTES 1048576u /* size code 6, the largest of SMC-D */
#define FAB_DMB_DEFAULT_BYTES 262144u

/* CDC producer flags and connection state flags (smc-protocol.md, 8.3) */
#define FAB_CDC_WRITE_BLOCKED 0x80u
#define FAB_CDC_URG_PENDING 0x40u
#define FAB_CDC_URG_PRESENT 0x20u
#define FAB_CDC_CONS_UPD_REQ 0x10u
#define FAB_CDC_DONE_WRITING 0x8000u /* state flags in the second byte */
#define FAB_CDC_CONN_CLOSED 0x4000u
#define FAB_CDC_CONN_ABORT 0x2000u

/* dmb.rx_arm / dmb.tx_arm: what the other side has to do at its next move (bits) */
#define FAB_ARM_NONE 0u /* nothing */
#define FAB_ARM_MARK 1u /* set the ready bit; ring if the process sleeps */
#define FAB_ARM_RING 2u /* set the ready bit and ring in any case */

/*
 * Path switch record of one direction, written by its producer.
 *
 * seq counts switches: even = the producer's path is TCP, odd = the ring.
 * limit[s & 3] belongs to switch number s: how much the *old* path carried in
 * all, TCP bytes (as the kernel counts them) for a switch to the ring, ring
 * bytes for a switch to TCP. The consumer follows switch s when it has read
 * that much from the old path, and then stores ack = s. At most three switches
 * may be ahead of ack.
 */
#define FAB_SWITCH_LIMITS 4u

/*
 * A DMB: the receive ring of one end. The header is followed by the ring at
 * FAB_DMB_RING_OFFSET from its start; the ring's size is a power of two.
 */
struct fab_dmb {
	/* line 0: producer (the peer) */
	_Atomic uint64_t prod;      /* ring bytes written */
	_Atomic uint32_t seq;       /* path switches recorded */
	_Atomic uint32_t cdc_flags; /* FAB_CDC_*, of the producer */
	_Atomic uint64_t limit[FAB_SWITCH_LIMITS];
	_Atomic uint64_t line0_pad[2];

	/* line 1: consumer (the owner) */
	_Atomic uint64_t cons;      /* ring bytes read */
	_Atomic uint32_t ack;       /* path switches followed */
	_Atomic uint32_t rx_open;   /* FAB_RX_* */
	_Atomic uint32_t rx_in_tcp; /* reading TCP without a limit right now: do not
	                             * switch twice behind my back */
	uint32_t line1_pad[11];

	/* line 2: armed by the consumer, taken by the producer */
	_Atomic uint32_t rx_arm;
	uint32_t line2_pad[15];

	/* line 3: armed by the producer (wants space), taken by the consumer */
	_Atomic uint32_t tx_arm;
	uint32_t line3_pad[15];
};

/* dmb.rx_open: may the producer use the ring? */
#define FAB_RX_CLOSED 0u /* no; what is in the ring will still be read */
#define FAB_RX_OPEN 1u   /* yes: the consumer reads through the library */
#define FAB_RX_RETURN \
	2u /* no, and the consumer stopped at cons: take back what
                          * lies behind it and send that by TCP */

#define FAB_RX_TAKEN 3u /* producer, by compare-and-swap from RETURN: it has begun */

#define FAB_DMB_RING_OFFSET 4096u

/* What one side of a segment offers to the other. */
struct fab_seg_side {
	_Atomic uint64_t ready; /* peer sets bit = slot; we exchange with 0 */
	uint8_t pad0[56];
	_Atomic uint32_t asleep; /* we: > 0 while a readiness call of ours sleeps */
	uint8_t pad1[60];
};

/*
 * Head of a segment memfd. Slot i holds two DMBs: that of side 0 at
 * FAB_SEG_SLOTS_OFFSET + (2 i) * dmb_stride, that of side 1 right behind it;
 * dmb_stride = FAB_DMB_RING_OFFSET + dmb_bytes.
 */
struct fab_segment {
	uint64_t magic;
	uint32_t version;
	uint32_t seg_id;
	uint32_t lgr_id;
	uint32_t nslots;    /* <= FAB_SEG_MAX_SLOTS */
	uint32_t dmb_bytes; /* ring bytes, power of two */
	uint32_t head_pad[9];
	struct fab_seg_side side[2];
};

#define FAB_SEG_SLOTS_OFFSET 4096u

_Static_assert(sizeof(struct fab_row) == 512, "a row is eight cache lines");
_Static_assert(sizeof(struct fab_table) <= FAB_TABLE_ROWS_OFFSET, "table head");
_Static_assert(sizeof(struct fab_dmb) == 256, "a DMB header is four cache lines");
_Static_assert(sizeof(struct fab_seg_side) == 128, "two cache lines per side");
_Static_assert(sizeof(struct fab_segment) <= FAB_SEG_SLOTS_OFFSET, "segment head");

#endif
