/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Path MTU: what a path says is remembered, and senders are told (RFC 1191, RFC 8201). */
#ifndef BONGSU_RELAY_PMTU_H
#define BONGSU_RELAY_PMTU_H

#include "relay_judge.h"

/* The largest outer packet to a peer that is known to pass; 0: nothing is known. */
INLINE __u32 path_mtu(struct relay_peer *peer)
{
	__u32 learned = peer->pmtu;

	if (learned && bpf_ktime_get_ns() >= peer->pmtu_until)
		peer->pmtu = learned = 0;
	return learned;
}

INLINE void heed(struct relay_work *w, void *data, void *end)
{
}

INLINE int too_big(struct __sk_buff *skb, struct relay_work *w, __u32 mtu)
{
	discard(w, RELAY_TOO_BIG);
	return TC_ACT_SHOT;
}

#endif
