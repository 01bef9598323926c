// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * GRE without a GRE driver. A tunnel is a pair of virtual Ethernet devices: the stack sends into
 * the one, `gre_encap` on the other's ingress puts the outer headers on and sends by the underlay;
 * `gre_decap` on the underlay's ingress takes them off and hands the packet to the first.
 *
 * The XDP programs carry plain data only. Whatever needs thought (keepalives, path MTU, refusals,
 * fragments) they pass on, and the tc program behind them does it: no decision exists twice.
 *
 * Never decapsulates what does not come from a tunnel's exact peer to its exact end with its exact
 * key; such a program in an open network is a reflector for anyone (CVE-2024-7595).
 */
#include "gre_keepalive.h"
#include "gre_pmtu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Enough for outer IPv6 with an option, GRE with all fields, and the largest inner header. */
#define HEADERS 160

struct outer4 {
	struct iphdr ip;
	__be16 gre[2];
	__be32 key;
};

struct outer6 {
	struct ipv6hdr ip;
	__be16 gre[2];
	__be32 key;
};

/* RFC 6040: the ECN field is copied, whatever the rest of the byte is. */
INLINE __u8 outer_tos(const struct gre_tunnel *tunnel, __u8 inner)
{
	if (tunnel->flags & GRE_INHERIT_TOS)
		return inner;
	return (tunnel->tos & 0xfc) | (inner & 3);
}

/*
 * Without a key, the four bytes behind the header are the inner packet's and are left alone.
 *
 * DF is always set: fragments of outer packets would not be taken at the far side, and with it the
 * identification field may be zero (RFC 6864).
 */
INLINE void build4(struct outer4 *out, const struct gre_tunnel *tunnel, __u32 length, __u8 tos,
		   bool six, bool keyed)
{
	__u32 total = length + tunnel->overhead;
	__be32 *word = (void *)out;
	__u32 first, third;
	__u16 sum;

	/* whole words, summed as they are made: reading back what was written in parts is slow */
	first = bpf_htonl(0x45000000 | outer_tos(tunnel, tos) << 16 | (total & 0xffff));
	third = bpf_htonl((__u32)tunnel->ttl << 24 | IPPROTO_GRE << 16);
	word[0] = first;
	word[1] = bpf_htonl(0x4000);
	word[3] = *(__be32 *)tunnel->local;
	word[4] = *(__be32 *)tunnel->remote;
	sum = ~fold((__u64)first + bpf_htonl(0x4000) + third + word[3] + word[4]);
	word[2] = third | bpf_htonl(bpf_ntohs(sum));
	word[5] = bpf_htonl((keyed ? GRE_KEY << 16 : 0) | (six ? ETH_P_IPV6 : ETH_P_IP));
	if (keyed)
		out->key = tunnel->key;
}

INLINE void build6(struct outer6 *out, const struct gre_tunnel *tunnel, __u32 length, __u8 tos,
		   bool six, __u32 flow, bool keyed)
{
	__u8 class = outer_tos(tunnel, tos);

	__builtin_memset(&out->ip, 0, sizeof(out->ip));
	out->ip.version = 6;
	out->ip.priority = class >> 4;
	out->ip.flow_lbl[0] = class << 4 | (flow >> 16 & 0xf);
	out->ip.flow_lbl[1] = flow >> 8;
	out->ip.flow_lbl[2] = flow;
	out->ip.payload_len = bpf_htons(length + tunnel->overhead - sizeof(out->ip));
	out->ip.nexthdr = IPPROTO_GRE;
	out->ip.hop_limit = tunnel->ttl;
	__builtin_memcpy(&out->ip.saddr, tunnel->local, 16);
	__builtin_memcpy(&out->ip.daddr, tunnel->remote, 16);
	out->gre[0] = keyed ? bpf_htons(GRE_KEY) : 0;
	out->gre[1] = six ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (keyed)
		out->key = tunnel->key;
}

INLINE int drop(const struct gre_tunnel *tunnel, __u32 reason)
{
	struct gre_counters *c = counters(tunnel->counters);

	if (c && reason < GRE_DROPS)
		c->drops[reason]++;
	return TC_ACT_SHOT;
}

#define EALREADY 114

/* Room for the outer headers, and what the kernel has to know to segment and checksum inside. */
INLINE long make_room(struct __sk_buff *skb, const struct gre_tunnel *tunnel, bool six, bool gso)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	bool outer6 = tunnel->family == 6;
	__u32 room = tunnel->overhead;
	long failed;

	flags |= outer6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	failed = bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags);
	if (failed != -EALREADY || gso)
		return failed;
	/*
	 * The packet came out of a tunnel in this very host, or by GRO, and still bears the mark
	 * (skb->encapsulation), which nothing here can take off. Room alone is had without it; the
	 * protocol is changed by a helper that adds 20 bytes for IPv6, or takes them for IPv4.
	 * Aggregates with the mark do not come here: the tunnel interface has them segmented.
	 */
	if (outer6 == six)
		return bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0);
	if (outer6)
		return bpf_skb_adjust_room(skb, room - 20, BPF_ADJ_ROOM_MAC, 0) ?:
		       bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0);
	return bpf_skb_adjust_room(skb, room + 20, BPF_ADJ_ROOM_MAC, 0) ?:
	       bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0);
}

SEC("tc")
int gre_encap(struct __sk_buff *skb)
{
	__u32 peer = skb->ifindex, length, segments, segment, limit;
	struct gre_counters *count;
	struct gre_tunnel *tunnel;
	struct bpf_fib_lookup fib;
	struct gre_state *now;
	struct inner in = {};
	void *data, *end;
	bool six, gso, keyed;
	__u32 why;
	long failed;

	tunnel = tunnel_of_peer(peer);
	if (!tunnel)
		return TC_ACT_SHOT;
	now = state(tunnel);
	if (!now)
		return TC_ACT_SHOT;
	if (silent(now))
		return drop(tunnel, GRE_TX_LINE_DOWN);
	six = skb->protocol == bpf_htons(ETH_P_IPV6);
	if ((!six && skb->protocol != bpf_htons(ETH_P_IP)) || skb->vlan_present)
		return drop(tunnel, GRE_TX_PROTOCOL);
	gso = skb->gso_size;
	if (skb->len < ETH_HLEN)
		return drop(tunnel, GRE_TX_MALFORMED);
	length = skb->len - ETH_HLEN;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (!read_inner(data + ETH_HLEN, end, length, six, gso, &in)) {
		/* pulling copies, so it is done only for headers that lie scattered */
		bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (!read_inner(data + ETH_HLEN, end, length, six, gso, &in))
			return drop(tunnel, GRE_TX_MALFORMED);
	}
	segment = gso ? skb->gso_size + in.header : in.length;
	segments = gso && skb->gso_segs ? skb->gso_segs : 1;
	limit = inside_mtu(tunnel, now);
	if (segment <= limit && tunnel->flags & GRE_ROUTED) {
		why = find_way(skb, tunnel, segment + tunnel->overhead, &fib);
		if (why && why != GRE_TX_TOO_BIG)
			return drop(tunnel, why);
		if (why) {
			/* the table leads over a smaller link than any that was planned */
			lower(tunnel, now, fib.mtu_result);
			limit = fib.mtu_result - tunnel->overhead;
		}
	}
	if (segment > limit) {
		drop(tunnel, GRE_TX_TOO_BIG);
		/*
		 * Without DF the interface's own MTU makes the stack fragment; this one slipped
		 * through before user space had lowered it to what was learned.
		 */
		if (!in.fixed)
			return TC_ACT_SHOT;
		return complain(skb, tunnel, now, six, limit);
	}
	keyed = tunnel->flags & GRE_KEYED;
	failed = make_room(skb, tunnel, six, gso);
	if (failed) {
		;
	} else if (tunnel->family == 4) {
		struct outer4 out = {};

		build4(&out, tunnel, length, in.tos, six, keyed);
		failed = keyed ? bpf_skb_store_bytes(skb, ETH_HLEN, &out, sizeof(out), 0) :
				 bpf_skb_store_bytes(skb, ETH_HLEN, &out, sizeof(out) - 4, 0);
	} else {
		struct outer6 out = {};

		/* RFC 6438: the flow label keeps a flow on one of several equal paths */
		build6(&out, tunnel, length, in.tos, six, bpf_get_hash_recalc(skb), keyed);
		failed = keyed ? bpf_skb_store_bytes(skb, ETH_HLEN, &out, sizeof(out), 0) :
				 bpf_skb_store_bytes(skb, ETH_HLEN, &out, sizeof(out) - 4, 0);
	}
	if (failed)
		return drop(tunnel, GRE_TX_ERROR);
	count = counters(tunnel->counters);
	if (count) {
		count->tx_packets += segments;
		count->tx_bytes += in.length + (segments - 1) * in.header;
	}
	return send_out(tunnel, &fib);
}

/* The ECN field of the inner packet, `at` bytes into the frame, becomes `ecn`. */
INLINE long set_ecn(struct __sk_buff *skb, __u32 at, bool six, __u8 ecn)
{
	__u8 byte, changed;

	if (six) {
		/* the traffic class straddles bytes: its last two bits are bits 5 and 4 here */
		if (bpf_skb_load_bytes(skb, at + 1, &byte, 1))
			return -1;
		changed = (byte & ~0x30) | ecn << 4;
		return bpf_skb_store_bytes(skb, at + 1, &changed, 1, 0);
	}
	if (bpf_skb_load_bytes(skb, at + 1, &byte, 1))
		return -1;
	changed = (byte & ~3) | ecn;
	return bpf_l3_csum_replace(skb, at + 10, bpf_htons(byte), bpf_htons(changed), 2) ?:
	       bpf_skb_store_bytes(skb, at + 1, &changed, 1, 0);
}

/* Removes the outer headers and leaves a frame for the tunnel interface, or for the peer. */
INLINE long strip(struct __sk_buff *skb, const struct gre_tunnel *tunnel,
		  const struct judgement *j)
{
	__s32 room = -(__s32)j->strip; /* 24, 28, 44, 48, 52 or 56 bytes */
	struct ethhdr eth;

	if (tunnel->family == 6 && j->length < sizeof(struct ipv6hdr)) {
		/*
		 * The kernel leaves at least an IPv6 header, which is more than this packet has,
		 * unless it is told that the packet is IPv4, which takes 20 bytes.
		 */
		if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0) ||
		    bpf_skb_adjust_room(skb, room + 20, BPF_ADJ_ROOM_MAC, 0))
			return -1;
	} else if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO)) {
		return -1;
	}
	/* the stack looks at the destination again, and drops what is not the interface's own */
	__builtin_memcpy(eth.h_dest, tunnel->device_mac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, tunnel->peer_mac, ETH_ALEN);
	eth.h_proto = j->protocol;
	return bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
}

/* One hop older: the IP packet whose header begins at `at`. 0, or why it goes no further. */
INLINE __u32 age(struct __sk_buff *skb, __u32 at, bool six)
{
	__u32 where = at + (six ? 7 : 8);
	__u8 word[2], less;

	if (bpf_skb_load_bytes(skb, where, word, 2) || word[0] <= 1)
		return GRE_RX_TTL;
	less = word[0] - 1;
	if (!six && bpf_l3_csum_replace(skb, at + 10, bpf_htons(word[0] << 8),
					bpf_htons(less << 8), 2))
		return GRE_RX_ERROR;
	return bpf_skb_store_bytes(skb, where, &less, 1, 0) ? GRE_RX_ERROR : 0;
}

/* The peer's own address as the destination of the IP packet whose header begins at `at`. */
INLINE long readdress(struct __sk_buff *skb, const struct gre_tunnel *tunnel, __u32 at)
{
	__be32 before;

	if (tunnel->family == 6)
		return bpf_skb_store_bytes(skb, at + 24, tunnel->remote, 16, 0);
	return bpf_skb_load_bytes(skb, at + 16, &before, 4) ?:
	       bpf_l3_csum_replace(skb, at + 10, before, *(__be32 *)tunnel->remote, 4) ?:
	       bpf_skb_store_bytes(skb, at + 16, tunnel->remote, 4, 0);
}

/* The outer header the other way round. Its addresses change places, so the sum stays. */
INLINE long turn(struct __sk_buff *skb, const struct gre_tunnel *tunnel)
{
	bool six = tunnel->family == 6;
	__u32 size = six ? 16 : 4, at = ETH_HLEN + (six ? 8 : 12);
	__u32 where = ETH_HLEN + (six ? 7 : 8);
	__u8 word[2];

	if (bpf_skb_load_bytes(skb, where, word, 2))
		return -1;
	if (!six && bpf_l3_csum_replace(skb, ETH_HLEN + 10, bpf_htons(word[0] << 8),
					bpf_htons(tunnel->ttl << 8), 2))
		return -1;
	if (six)
		return bpf_skb_store_bytes(skb, where, &tunnel->ttl, 1, 0) ?:
		       bpf_skb_store_bytes(skb, at, tunnel->local, 16, 0) ?:
		       bpf_skb_store_bytes(skb, at + size, tunnel->remote, 16, 0);
	return bpf_skb_store_bytes(skb, where, &tunnel->ttl, 1, 0) ?:
	       bpf_skb_store_bytes(skb, at, tunnel->local, 4, 0) ?:
	       bpf_skb_store_bytes(skb, at + size, tunnel->remote, 4, 0);
}

/* Sends the peer's keepalive back: what was inside, one hop older. */
INLINE int reflect(struct __sk_buff *skb, const struct gre_tunnel *tunnel,
		   const struct judgement *j)
{
	__u32 at = ETH_HLEN + j->strip, why;
	struct bpf_fib_lookup fib;

	if (tunnel->flags & GRE_KEEPS)
		/* the stack has been told the same */
		return tunnel->flags & GRE_KEEPALIVE_ONLY ? TC_ACT_UNSPEC : drop(tunnel, GRE_RX_KEPT);
	why = age(skb, at, j->protocol == bpf_htons(ETH_P_IPV6));
	if (why)
		return drop(tunnel, why);
	if (!reflection_due(tunnel))
		return drop(tunnel, GRE_RX_RATE);
	if (tunnel->flags & GRE_ROUTED) {
		why = find_way(skb, tunnel, 0, &fib);
		if (why)
			return drop(tunnel, why);
	}
	if (j->keepalive == KEEPALIVE_READDRESSED && readdress(skb, tunnel, at))
		return drop(tunnel, GRE_RX_ERROR);
	if (j->keepalive == KEEPALIVE_THROUGH ? turn(skb, tunnel) : strip(skb, tunnel, j))
		return drop(tunnel, GRE_RX_ERROR);
	COUNT(tunnel->counters, keepalives_reflected);
	return send_out(tunnel, &fib);
}

SEC("tc")
int gre_decap(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	bool six = skb->protocol == bpf_htons(ETH_P_IPV6), gso = skb->gso_size;
	__u32 ifindex = skb->ifindex, segments;
	struct gre_counters *count;
	struct gre_tunnel *tunnel;
	struct judgement j = {};
	__u8 protocol;
	int verdict;

	/*
	 * What is not ours is left to whatever other filters the interface has: UNSPEC, not OK.
	 * A tagged frame is of another network than the untagged one that the tunnel speaks on.
	 */
	if ((!six && skb->protocol != bpf_htons(ETH_P_IP)) || skb->vlan_present)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + (six ? 6 : 9), &protocol, 1))
		return TC_ACT_UNSPEC;
	if (protocol != IPPROTO_GRE && protocol != (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
	    !(six && protocol == IPPROTO_DSTOPTS))
		return TC_ACT_UNSPEC;
	verdict = RX_PASS;
	if (protocol != IPPROTO_ICMP && protocol != IPPROTO_ICMPV6)
		verdict = judge(data, end, skb->len, ifindex, gso, &j);
	if (verdict != RX_DELIVER && data + skb->len > end && data + HEADERS > end) {
		/* pulling copies, so it is done only when headers may lie scattered */
		/* judged from nothing: else the verifier follows every first verdict through here */
		__builtin_memset(&j, 0, sizeof(j));
		bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (protocol != IPPROTO_ICMP && protocol != IPPROTO_ICMPV6)
			verdict = judge(data, end, skb->len, ifindex, gso, &j);
	}
	switch (verdict) {
	case RX_PASS:
		if (protocol == IPPROTO_ICMP)
			heed4(data, end, ifindex);
		else if (protocol == IPPROTO_ICMPV6)
			heed6(data, end, ifindex);
		return TC_ACT_UNSPEC;
	case RX_UNKNOWN:
		COUNT(GRE_NO_SLOT, unknown);
		return TC_ACT_UNSPEC;
	case RX_FRAGMENT:
		COUNT(GRE_NO_SLOT, fragments);
		return TC_ACT_UNSPEC;
	default:
		break;
	}
	tunnel = j.tunnel;
	OPAQUE(tunnel);
	if (!tunnel)
		return TC_ACT_UNSPEC;
	switch (verdict) {
	case RX_ANSWER:
		return keepalive_answer(skb, tunnel, &j);
	case RX_REFLECT:
		return reflect(skb, tunnel, &j);
	case RX_DROP:
		if (tunnel->flags & GRE_KEEPALIVE_ONLY && j.reason != GRE_RX_LINE_DOWN)
			return TC_ACT_UNSPEC;
		return drop(tunnel, j.reason);
	case RX_DELIVER:
		break;
	default:
		return TC_ACT_UNSPEC;
	}
	if (tunnel->flags & GRE_KEEPALIVE_ONLY)
		return TC_ACT_UNSPEC;
	segments = gso && skb->gso_segs ? skb->gso_segs : 1;
	if (j.ecn != j.inner_ecn &&
	    set_ecn(skb, ETH_HLEN + j.strip, j.protocol == bpf_htons(ETH_P_IPV6), j.ecn))
		return drop(tunnel, GRE_RX_ERROR);
	if (strip(skb, tunnel, &j))
		return drop(tunnel, GRE_RX_ERROR);
	count = counters(tunnel->counters);
	if (count) {
		count->rx_packets += segments;
		count->rx_bytes += j.length + (segments - 1) * j.segment_header;
	}
	return bpf_redirect(tunnel->device, BPF_F_INGRESS);
}

/* Where outer packets go next; the routing table is asked once a tick of the kernel's clock. */
INLINE struct gre_hop *hop(struct xdp_md *ctx, const struct gre_tunnel *tunnel)
{
	struct bpf_fib_lookup fib;
	__u64 tick = bpf_jiffies64();
	__u32 slot = tunnel->slot;
	struct gre_hop *hop;
	bool there;

	hop = bpf_map_lookup_elem(&gre_hops, &slot);
	if (!hop)
		return NULL;
	if (hop->tick == tick)
		return hop->ifindex ? hop : NULL;
	there = !look_up(ctx, tunnel, 0, &fib);
	if (tunnel->flags & GRE_ROUTED)
		there = there && !into_tunnel(tunnel, fib.ifindex);
	else
		there = there && fib.ifindex == tunnel->underlay;
	hop->ifindex = there ? fib.ifindex : 0;
	hop->tick = tick;
	__builtin_memcpy(hop->destination, fib.dmac, ETH_ALEN);
	__builtin_memcpy(hop->source, fib.smac, ETH_ALEN);
	return there ? hop : NULL;
}

SEC("xdp")
int gre_encap_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 peer = ctx->ingress_ifindex, length = end - data;
	struct gre_counters *count;
	struct gre_tunnel *tunnel;
	struct gre_state *now;
	struct ethhdr *eth = data;
	struct inner in = {};
	struct gre_hop *next;
	bool six, keyed;

	tunnel = tunnel_of_peer(peer);
	if (!tunnel || (void *)(eth + 1) > end)
		return XDP_PASS;
	now = state(tunnel);
	if (!now || silent(now))
		return XDP_PASS;
	six = eth->h_proto == bpf_htons(ETH_P_IPV6);
	if (!six && eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	length -= ETH_HLEN;
	if (!read_inner(data + ETH_HLEN, end, length, six, false, &in))
		return XDP_PASS;
	if (in.length > inside_mtu(tunnel, now))
		return XDP_PASS;
	next = hop(ctx, tunnel);
	if (!next)
		return XDP_PASS;
	keyed = tunnel->flags & GRE_KEYED;
	if (tunnel->family == 4) {
		struct outer4 *out;

		if (bpf_xdp_adjust_head(ctx, keyed ? -28 : -24))
			return XDP_PASS;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		out = data + ETH_HLEN;
		if ((void *)(out + 1) > end)
			return XDP_DROP;
		build4(out, tunnel, length, in.tos, six, keyed);
	} else {
		struct outer6 *out;

		if (bpf_xdp_adjust_head(ctx, keyed ? -48 : -44))
			return XDP_PASS;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		out = data + ETH_HLEN;
		if ((void *)(out + 1) > end)
			return XDP_DROP;
		build6(out, tunnel, length, in.tos, six, 0, keyed);
	}
	eth = data;
	__builtin_memcpy(eth->h_dest, next->destination, ETH_ALEN);
	__builtin_memcpy(eth->h_source, next->source, ETH_ALEN);
	eth->h_proto = tunnel->family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	count = counters(tunnel->counters);
	if (count) {
		count->tx_packets++;
		count->tx_bytes += in.length;
	}
	return bpf_redirect(next->ifindex, 0);
}

SEC("xdp")
int gre_decap_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct gre_counters *count;
	struct gre_tunnel *tunnel;
	struct judgement j = {};
	struct ethhdr *eth;

	if (judge(data, end, end - data, ctx->ingress_ifindex, false, &j) != RX_DELIVER)
		return XDP_PASS;
	tunnel = j.tunnel;
	OPAQUE(tunnel);
	if (!tunnel || j.ecn != j.inner_ecn || tunnel->flags & GRE_KEEPALIVE_ONLY)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, j.strip))
		return XDP_PASS;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(eth->h_dest, tunnel->device_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, tunnel->peer_mac, ETH_ALEN);
	eth->h_proto = j.protocol;
	count = counters(tunnel->counters);
	if (count) {
		count->rx_packets++;
		count->rx_bytes += j.length;
	}
	/* sent by the far half of the pair, it arrives at the near one: the tunnel interface */
	return bpf_redirect(tunnel->peer, 0);
}
