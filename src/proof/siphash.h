/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson, Bernstein 2012) of whole 64-bit words: a keyed function whose
 * outputs tell nothing about each other without the key. For BPF, so no loop that the
 * compiler cannot unroll.
 */
#ifndef OPENISM_PROOF_SIPHASH_H
#define OPENISM_PROOF_SIPHASH_H

#include <linux/types.h>

#define SIPHASH_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static __attribute__((always_inline)) inline void siphash_round(__u64 v[4])
{
	v[0] += v[1];
	v[1] = SIPHASH_ROTL(v[1], 13) ^ v[0];
	v[0] = SIPHASH_ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = SIPHASH_ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = SIPHASH_ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = SIPHASH_ROTL(v[1], 17) ^ v[2];
	v[2] = SIPHASH_ROTL(v[2], 32);
}

static __attribute__((always_inline)) inline void siphash_word(__u64 v[4], __u64 m)
{
	v[3] ^= m;
	siphash_round(v);
	siphash_round(v);
	v[0] ^= m;
}

/* @words in host order; the result is SipHash-2-4 of their little-endian bytes. */
static __attribute__((always_inline)) inline __u64 siphash(const __u64 key[2], const __u64 *words,
                                                           __u32 count)
{
	__u64 v[4] = { key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
		       key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL };

#pragma GCC unroll 8
	for (__u32 i = 0; i < count; i++)
		siphash_word(v, words[i]);
	siphash_word(v, (__u64)(count * 8) << 56);
	v[2] ^= 0xff;
	siphash_round(v);
	siphash_round(v);
	siphash_round(v);
	siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
