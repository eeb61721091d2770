// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's half of the proof: marks sockets of our clients, sends and answers the
 * option, and records both nonces at both ends.
 *
 * A marked socket has an entry in `socks`; whoever has none costs one failing lookup
 * when it is made and some early returns. The header callbacks of a socket are on from
 * connect() to the end of its handshake, and on a listener, so no data packet is ever
 * seen here; but for the first of a handshake that ended while nothing was attached.
 *
 * With a client in a cgroup and another in one above it the programs run twice for what
 * the first one's sockets do. The second time changes nothing.
 *
 * The server has no socket yet when it answers a SYN. So its nonce is a keyed function
 * of the SYN: a repeated SYN-ACK carries it again, and the accepted socket finds it
 * again from the SYN that the kernel saved (TCP_SAVE_SYN). Whether the SYN-ACK really
 * had it cannot be seen there (no room, power changed in between); if it had not, the
 * client says PLAIN. Nor can it be seen there whose the listener is: an answer may go
 * out for one that has our callbacks by another instance, and is recorded nowhere. A
 * proof needs both records.
 *
 * PLAIN comes out, on purpose, of SYN cookies (nothing is kept of the SYN), Fast Open
 * with data (established before the SYN-ACK is sent), simultaneous open and TCP repair.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "option.h"
#include "siphash.h"
#include "synproof.h"

/* of headers that do not compile for BPF */
#define SOCK_STREAM 1
#define SOL_TCP 6
#define ENOSPC 28
#define TCPHDR_SYN 0x02
#define TCPHDR_ACK 0x10

/* proof.h's */
#define PROOF_F_LOCAL 0x1u
#define PROOF_F_PEER 0x2u
#define PROOF_F_PLAIN 0x4u

char LICENSE[] SEC("license") = "Apache-2.0";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32); /* tgid */
	__type(value, struct proof_client);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64); /* netns cookie */
	__type(value, __u8);
} netns_power SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct proof_sk);
} socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct proof_config);
} config SEC(".maps");

static __always_inline struct proof_sk *entry_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&socks, sk, 0, 0) : 0;
}

static __always_inline const struct proof_config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

static __always_inline int netns_is_powered(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);

	return bpf_map_lookup_elem(&netns_power, &cookie) != 0;
}

/* Whoever is marked has them until it is established; asking is cheaper than a look at
 * the socket's storage. */
static __always_inline int has_callbacks(struct bpf_sock_ops *ctx)
{
	return ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
}

/* Another program may use the callbacks, too: only what we switched on goes off. */
static __always_inline void callbacks_on(struct bpf_sock_ops *ctx, struct proof_sk *e)
{
	__u32 flags = ctx->bpf_sock_ops_cb_flags;

	if (flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
		return;
	bpf_sock_ops_cb_flags_set(ctx, flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	e->internal |= PROOF_I_HDR_FLAG;
}

static __always_inline void callbacks_off(struct bpf_sock_ops *ctx, struct proof_sk *e)
{
	__u32 flags = ctx->bpf_sock_ops_cb_flags;

	if (e->internal & PROOF_I_HDR_FLAG)
		bpf_sock_ops_cb_flags_set(ctx, flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	e->internal = 0;
}

static __always_inline __u64 with_tag(const struct proof_config *c, __u64 hash)
{
	return (__u64)c->tag << PROOF_TAG_SHIFT | (hash & ((1ULL << PROOF_TAG_SHIFT) - 1));
}

/* Unlike any before: no socket has this cookie, or not at this time. */
static __always_inline __u64 client_nonce(struct bpf_sock_ops *ctx, const struct proof_config *c)
{
	__u64 words[3] = { bpf_get_socket_cookie(ctx), bpf_ktime_get_ns(),
		           (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() };

	return with_tag(c, siphash(c->key, words, 3));
}

static __always_inline void option_init(struct proof_option *opt, __u8 len, __u64 nonce)
{
	opt->kind = PROOF_OPT_KIND;
	opt->len = len;
	opt->exid[0] = PROOF_OPT_EXID0;
	opt->exid[1] = PROOF_OPT_EXID1;
	opt->exid[2] = PROOF_OPT_EXID2;
	opt->exid[3] = PROOF_OPT_EXID3;
	opt->nonce = bpf_cpu_to_be64(nonce);
}

/* The nonce on the packet at hand, or (BPF_LOAD_HDR_OPT_TCP_SYN) on the SYN. 0: none
 * of this instance; no nonce is 0, as no tag is. */
static __always_inline __u64 option_load(struct bpf_sock_ops *ctx, const struct proof_config *c,
                                         __u64 flags)
{
	struct proof_option opt;
	__u64 nonce;

	/* A search names kind and id, and their length instead of the option's. */
	option_init(&opt, PROOF_OPT_EXID_LEN, 0);
	if (bpf_load_hdr_opt(ctx, &opt, sizeof(opt), flags) != sizeof(opt))
		return 0;
	nonce = bpf_be64_to_cpu(opt.nonce);
	return nonce >> PROOF_TAG_SHIFT == c->tag ? nonce : 0;
}

static __always_inline int option_store(struct bpf_sock_ops *ctx, __u64 nonce)
{
	struct proof_option opt;

	option_init(&opt, PROOF_OPT_LEN, nonce);
	return bpf_store_hdr_opt(ctx, &opt, sizeof(opt), 0);
}

/*
 * What the server answers to @peer. Besides that nonce the first 40 bytes from the IP
 * header on, where both families have their addresses, and ports and sequence number:
 * the nonce in another SYN has another answer. The buffers are smaller than the headers
 * are, so the kernel fills them and says ENOSPC. 0: there is no SYN to look at.
 */
static __always_inline __u64 server_nonce(struct bpf_sock_ops *ctx, const struct proof_config *c,
                                          __u64 peer)
{
	__u64 words[7] = { peer };

	if (bpf_getsockopt(ctx, SOL_TCP, TCP_BPF_SYN_IP, &words[1], 40) != -ENOSPC)
		return 0;
	if (bpf_getsockopt(ctx, SOL_TCP, TCP_BPF_SYN, &words[6], 8) != -ENOSPC)
		return 0;
	return with_tag(c, siphash(c->key, words, 7));
}

static __always_inline void record(struct proof_sk *e, __u64 local, __u64 peer, __u32 flags)
{
	e->local = local;
	e->peer = peer;
	barrier();
	e->flags = flags;
}

/*
 * One function for each event, and none of them inlined: most calls end in the switch
 * below, and need neither their stack nor their code in the cache.
 *
 * Perhaps not its first: what an earlier connection left is forgotten.
 */
static __noinline void on_connect(struct bpf_sock_ops *ctx)
{
	struct proof_sk *e = entry_of(ctx);
	const struct proof_config *c = e ? config_get() : 0;

	if (!c)
		return;
	e->flags = 0;
	barrier();
	callbacks_off(ctx, e);
	record(e, netns_is_powered(ctx) ? client_nonce(ctx, c) : 0, 0, 0);
	e->role = PROOF_ROLE_CLIENT;
	callbacks_on(ctx, e); /* without power, too: what follows asks for them first */
}

/* On whether there is power or not: that may change while it listens. */
static __noinline void on_listen(struct bpf_sock_ops *ctx)
{
	struct proof_sk *e = entry_of(ctx);
	int save = 0;
	int one = 1;

	if (!e)
		return;
	record(e, 0, 0, 0);
	e->role = PROOF_ROLE_LISTEN;
	callbacks_on(ctx, e);
	/* The program's own 1 or 2 (with the link layer's header) serves us as well. */
	if (bpf_getsockopt(ctx, SOL_TCP, TCP_SAVE_SYN, &save, sizeof(save)) || !save)
		bpf_setsockopt(ctx, SOL_TCP, TCP_SAVE_SYN, &one, sizeof(one));
}

static __always_inline int is_our_syn(struct bpf_sock_ops *ctx, struct proof_sk *e)
{
	/* Somebody on the way may drop what he does not know: the last tries go plain. */
	return e->role == PROOF_ROLE_CLIENT && e->local && ctx->total_retrans < 2 &&
	       (ctx->skb_tcp_flags & (TCPHDR_SYN | TCPHDR_ACK)) == TCPHDR_SYN;
}

/* The nonce for this SYN-ACK, 0 for none. The same at each call for one SYN. */
static __noinline __u64 synack_nonce(struct bpf_sock_ops *ctx)
{
	const struct proof_config *c = config_get();
	__u64 peer;

	if (!c || ctx->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE || !netns_is_powered(ctx))
		return 0;
	peer = option_load(ctx, c, BPF_LOAD_HDR_OPT_TCP_SYN);
	return peer ? server_nonce(ctx, c, peer) : 0;
}

/* A socket of ours is past its handshake, and nobody was attached to see it. */
static __always_inline void on_missed(struct bpf_sock_ops *ctx, struct proof_sk *e)
{
	callbacks_off(ctx, e);
	if (e->role != PROOF_ROLE_CLIENT)
		e->role = PROOF_ROLE_SERVER;
	record(e, e->local, 0, (e->flags & PROOF_F_LOCAL) | PROOF_F_PLAIN);
}

/* RESERVED lasts from here to the writing of the same packet, so who runs twice makes
 * room once. For a SYN-ACK nothing can be kept: at worst there is more room than need,
 * which the kernel fills with no-operations. */
static __noinline void on_header_length(struct bpf_sock_ops *ctx)
{
	struct proof_sk *e;

	if (ctx->args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS)
		return;
	if (!ctx->is_fullsock) {
		if (synack_nonce(ctx))
			bpf_reserve_hdr_opt(ctx, PROOF_OPT_LEN, 0);
		return;
	}
	e = entry_of(ctx);
	if (!e)
		return;
	if (!(ctx->skb_tcp_flags & TCPHDR_SYN))
		on_missed(ctx, e);
	else if (is_our_syn(ctx, e) && !(e->internal & PROOF_I_RESERVED) &&
	         !bpf_reserve_hdr_opt(ctx, PROOF_OPT_LEN, 0))
		e->internal |= PROOF_I_RESERVED;
}

static __noinline void on_header_write(struct bpf_sock_ops *ctx)
{
	struct proof_sk *e;
	__u64 nonce;

	if (!ctx->is_fullsock) {
		nonce = synack_nonce(ctx);
		if (nonce)
			option_store(ctx, nonce);
		return;
	}
	e = entry_of(ctx);
	if (!e || !is_our_syn(ctx, e) || !(e->internal & PROOF_I_RESERVED))
		return;
	e->internal &= ~PROOF_I_RESERVED;
	if (!option_store(ctx, e->local))
		e->flags |= PROOF_F_LOCAL;
}

static __noinline void on_active(struct bpf_sock_ops *ctx)
{
	struct proof_sk *e = entry_of(ctx);
	const struct proof_config *c = e ? config_get() : 0;
	__u64 peer;

	if (!c)
		return;
	callbacks_off(ctx, e);
	peer = e->flags & PROOF_F_LOCAL ? option_load(ctx, c, 0) : 0;
	/* what comes back as it went is no answer */
	if (peer && peer != e->local)
		record(e, e->local, peer, PROOF_F_LOCAL | PROOF_F_PEER);
	else
		record(e, e->local, 0, (e->flags & PROOF_F_LOCAL) | PROOF_F_PLAIN);
}

/* Also the end of a simultaneous open, with an entry that says CLIENT. */
static __noinline void on_passive(struct bpf_sock_ops *ctx)
{
	struct proof_sk *e = entry_of(ctx);
	const struct proof_config *c = e ? config_get() : 0;
	__u64 local = 0;
	__u64 peer = 0;

	if (!c)
		return;
	callbacks_off(ctx, e);
	if (e->role == PROOF_ROLE_CLIENT) {
		record(e, e->local, 0, (e->flags & PROOF_F_LOCAL) | PROOF_F_PLAIN);
		return;
	}
	e->role = PROOF_ROLE_SERVER;
	/* With Fast Open it is the SYN that we are called for. */
	if (!(ctx->skb_tcp_flags & TCPHDR_SYN) && netns_is_powered(ctx))
		peer = option_load(ctx, c, BPF_LOAD_HDR_OPT_TCP_SYN);
	if (peer)
		local = server_nonce(ctx, c, peer);
	if (local)
		record(e, local, peer, PROOF_F_LOCAL | PROOF_F_PEER);
	else
		record(e, 0, 0, PROOF_F_PLAIN);
}

/* A refusal here would be the program's: always 1. */
SEC("cgroup/sock_create")
int synproof_mark(struct bpf_sock *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP &&
	    bpf_map_lookup_elem(&clients, &tgid))
		bpf_sk_storage_get(&socks, ctx, 0, BPF_SK_STORAGE_GET_F_CREATE);
	return 1;
}

/* Leaves ctx->reply alone: it answers questions that we are not asked. */
SEC("sockops")
int synproof_ops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(ctx);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		on_listen(ctx);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		on_header_length(ctx);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		on_header_write(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (has_callbacks(ctx))
			on_active(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		if (has_callbacks(ctx))
			on_passive(ctx);
		break;
	}
	return 1;
}
