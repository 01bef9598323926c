/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Replies to our own keepalives, judged and stamped where they arrive; the rate of what we send back
 * to the peer. A reply that our thread waits for ends here: no socket gets a copy.
 */
#ifndef BONGSU_GRE_KEEPALIVE_H
#define BONGSU_GRE_KEEPALIVE_H

#include "gre_maps.h"
#include "gre_rx.h"
#include "keepalive.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct ka_session);
} gre_keepalives SEC(".maps");

/* One that does not fit is found at the next tick instead: it is a wake-up, not a record. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} gre_notices SEC(".maps");

/* Identification and TTL of the packet whose header begins at `at`; negative if it is not there. */
INLINE long keepalive_mark(struct __sk_buff *skb, __u32 at, bool six, __u32 *identification,
			   __u8 *ttl)
{
	__be16 half;
	__be32 word;

	if (six) {
		if (bpf_skb_load_bytes(skb, at, &word, 4))
			return -1;
		*identification = bpf_ntohl(word) & KA_IDENTIFICATION;
		return bpf_skb_load_bytes(skb, at + 7, ttl, 1);
	}
	if (bpf_skb_load_bytes(skb, at + 4, &half, 2))
		return -1;
	*identification = bpf_ntohs(half);
	return bpf_skb_load_bytes(skb, at + 8, ttl, 1);
}

INLINE void keepalive_notice(__u32 slot, __u64 now, __u64 rtt, __u16 length, __u8 ttl)
{
	struct ka_notice notice = {
		.at = now, .rtt = rtt, .slot = slot, .length = length, .ttl = ttl,
	};

	bpf_ringbuf_output(&gre_notices, &notice, sizeof(notice), 0);
}

/*
 * A packet that looks like a reply to our keepalive: j->strip bytes of headers, j->inner_headers more
 * if it came through the tunnel, j->length bytes behind them.
 */
INLINE int keepalive_answer(struct __sk_buff *skb, const struct gre_tunnel *tunnel,
			    const struct judgement *j)
{
	bool six = tunnel->family == 6 && !j->inner_headers;
	__u32 at = j->inner_headers ? ETH_HLEN + j->strip : ETH_HLEN;
	__u32 rest = ETH_HLEN + j->strip + j->inner_headers;
	__u32 slot = tunnel->slot, identification, expected;
	struct ka_session *session;
	__u64 nonce = 0, now, rtt;
	__u8 ttl;

	session = bpf_map_lookup_elem(&gre_keepalives, &slot);
	COUNT(tunnel->counters, keepalives_received);
	/* nobody waits, or somebody behind the stack's own checks does */
	if (!session || session->mode != KA_KERNEL)
		return TC_ACT_UNSPEC;
	expected = session->flags & KA_NONCE ? KA_NONCE_BYTES : 0;
	if (j->length != expected ||
	    (expected && bpf_skb_load_bytes(skb, rest, &nonce, sizeof(nonce))) ||
	    keepalive_mark(skb, at, six, &identification, &ttl)) {
		__sync_fetch_and_add(&session->refused[KA_LENGTH], 1);
		return TC_ACT_SHOT;
	}
	now = bpf_ktime_get_ns();
	if (ka_judge(session, identification, nonce, now, &rtt) > 0 &&
	    (!KA_LOAD(session->line) || session->flags & KA_DEBUG))
		keepalive_notice(slot, now, rtt, rest - at + j->length, ttl);
	return TC_ACT_SHOT;
}

/*
 * Whether one more of the peer's keepalives may be sent back now: a virtual scheduling algorithm
 * (ITU-T I.371, GCRA), as bursts of GRE_REFLECT_BURST are no harm and a flood is. Of two CPUs that ask
 * at the same time, one is told no.
 */
INLINE bool reflection_due(const struct gre_tunnel *tunnel)
{
	__u64 gap = tunnel->reflect_gap * GRE_GAP_NS, now = bpf_ktime_get_ns(), expected, next;
	struct gre_state *own = state(tunnel);

	if (!own)
		return false;
	expected = KA_LOAD(own->reflect_after);
	next = expected > now ? expected : now;
	if (next - now > gap * (GRE_REFLECT_BURST - 1))
		return false;
	return __sync_val_compare_and_swap(&own->reflect_after, expected, next + gap) == expected;
}

#endif
