/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): the tag of what PoPs send each other, and where a
 * client falls in tables that an outsider must not be able to fill on purpose.
 */
#ifndef BONGSU_RELAY_SIP_H
#define BONGSU_RELAY_SIP_H

#include "relay_maps.h"

#define ROTATE(x, b) ((x) << (b) | (x) >> (64 - (b)))

#define SIP_ROUND                            \
	do {                                 \
		v0 += v1;                    \
		v2 += v3;                    \
		v1 = ROTATE(v1, 13) ^ v0;    \
		v3 = ROTATE(v3, 16) ^ v2;    \
		v0 = ROTATE(v0, 32) + v3;    \
		v2 += v1;                    \
		v1 = ROTATE(v1, 17) ^ v2;    \
		v3 = ROTATE(v3, 21) ^ v0;    \
		v2 = ROTATE(v2, 32);         \
	} while (0)

/* Over `count` words of w->words, the last of which has the length in its highest byte. */
__noinline __u64 relay_sip(struct relay_work *w, __u32 count)
{
	struct relay_config *c = config();
	__u64 v0 = 0x736f6d6570736575ULL, v1 = 0x646f72616e646f6dULL;
	__u64 v2 = 0x6c7967656e657261ULL, v3 = 0x7465646279746573ULL;

	if (!w || !c)
		return 0;
	v0 ^= c->key[0];
	v1 ^= c->key[1];
	v2 ^= c->key[0];
	v3 ^= c->key[1];
	for (__u32 i = 0; i < 8; i++) {
		__u64 m;

		if (i >= count)
			break;
		m = w->words[i];
		v3 ^= m;
		SIP_ROUND;
		SIP_ROUND;
		v0 ^= m;
	}
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

/*
 * The tag of a packet of w->head whose inner addresses are these, with the four bytes behind its IP
 * header.
 */
INLINE __u64 tag(struct relay_work *w, const __u8 *source, const __u8 *target, bool six, __be32 four)
{
	struct relay_config *c = config();

	if (!c || !(c->flags & RELAY_KEYED))
		return 0;
	w->words[0] = (__u64)w->head.destination << 32 | w->head.kind << 8 | w->head.version;
	w->words[1] = (__u64)w->head.accelerator << 32 | w->head.source;
	if (!six) {
		w->words[2] = (__u64)four_of(target) << 32 | four_of(source);
		w->words[3] = 28ULL << 56 | four;
		return relay_sip(w, 4);
	}
	copy16(&w->words[2], source);
	copy16(&w->words[4], target);
	w->words[6] = 52ULL << 56 | four;
	return relay_sip(w, 7);
}

/* Of the client's address; with its ports also of its flow. */
INLINE __u64 place(struct relay_work *w, const struct relay_flow *flow, bool whole)
{
	copy16(&w->words[0], flow->client);
	if (!whole) {
		w->words[2] = 16ULL << 56;
		return relay_sip(w, 3);
	}
	copy16(&w->words[2], flow->address);
	w->words[4] = (__u64)flow->protocol << 32 | (__u64)flow->port << 16 | flow->client_port;
	w->words[5] = 40ULL << 56;
	return relay_sip(w, 6);
}

#endif
