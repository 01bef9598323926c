/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The relay in an interface's driver: plain packets of sessions that are known, out of interfaces
 * that take them. Whatever else comes goes on to the tc program, as it came and counted nowhere.
 *
 * XDP cannot see that a neighbour on the same host has left a checksum for hardware to fill in;
 * between machines there are none.
 */
#ifndef BONGSU_RELAY_XDP_H
#define BONGSU_RELAY_XDP_H

#include "relay_pmtu.h"

/* Where packets between these addresses go; the routing table is asked once a tick of the clock. */
INLINE struct relay_hop *hop(struct xdp_md *ctx, struct relay_work *w, const __u8 *source,
			     const __u8 *target, bool six)
{
	const __u32 *s = (const void *)source, *t = (const void *)target;
	__u32 mixed = t[3] ^ t[2] ^ t[1] * 3 ^ s[3] * 5;
	__u64 tick = bpf_jiffies64();
	struct relay_hop *hop;

	mixed ^= mixed >> 16;
	mixed = (mixed ^ mixed >> 8) & (HOPS - 1);
	hop = bpf_map_lookup_elem(&rl_hops, &mixed);
	if (!hop)
		return NULL;
	if (hop->tick == tick && same16(hop->target, target) && same16(hop->source, source))
		return hop->ifindex ? hop : NULL;
	hop->ifindex = 0;
	hop->tick = tick;
	copy16(hop->target, target);
	copy16(hop->source, source);
	/* with a length to look at, the answer says what would pass */
	if (look_up(ctx, w, source, target, six, IPPROTO_UDP, 1))
		return NULL;
	if (!bpf_map_lookup_elem(&rl_devices, &w->fib.ifindex))
		return NULL;
	hop->mtu = w->fib.mtu_result;
	__builtin_memcpy(&hop->first, w->fib.dmac, ETH_ALEN);
	__builtin_memcpy((void *)&hop->first + ETH_ALEN, w->fib.smac, 2);
	__builtin_memcpy(&hop->rest, w->fib.smac + 2, 4);
	hop->ifindex = w->fib.ifindex;
	return hop;
}

/* The inner packet's addresses, ports and checksums, behind the Ethernet header. */
INLINE bool rewrite(void *data, void *end, const struct relay_work *w)
{
	void *at = data + ETH_HLEN;
	__be16 *check;
	__be32 *ports;
	__u32 change;

	if (w->in.six) {
		if (at + sizeof(struct ipv6hdr) + 8 > end)
			return false;
		ports = at + sizeof(struct ipv6hdr);
	} else {
		if (at + sizeof(struct iphdr) + 8 > end)
			return false;
		ports = at + sizeof(struct iphdr);
	}
	change = (__u32)w->addresses + w->ports;
	if (w->in.protocol == IPPROTO_UDP) {
		check = (void *)ports + 6;
		if (*check) {
			__be16 now = grown(*check, change);

			*check = now ?: 0xffff;
		}
	} else {
		check = (void *)ports + 16;
		if ((void *)(check + 1) > end)
			return false;
		*check = grown(*check, change);
	}
	*ports = ports_of(w->sport, w->dport);
	translate_ip(at, w);
	return true;
}

INLINE int leave_by(void *data, void *end, const struct relay_hop *next, bool six)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	*(__u64 *)data = next->first;
	*(__u32 *)(data + 8) = next->rest;
	eth->h_proto = six ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return bpf_redirect(next->ifindex, 0);
}

/* To another PoP between outer headers; `peer` is the next one. */
INLINE int wrap_fast(struct xdp_md *ctx, struct relay_work *w, struct relay_peer *peer)
{
	struct relay_config *c = config();
	struct relay_hop *next;
	bool six = peer->family == 6;
	__u32 total = w->in.length + overhead(peer), limit = path_mtu(peer);
	void *data, *end;

	next = hop(ctx, w, peer->local, peer->remote, six);
	if (!c || !next || total > next->mtu || (limit && total > limit))
		return XDP_PASS;
	if (relay_commit(RELAY_WRAP) != RELAY_WRAP)
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (w->translate && !rewrite(data, end, w))
		return XDP_DROP;
	if (six) {
		struct outer6 *out;

		if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*out)))
			return XDP_DROP;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		out = data + ETH_HLEN;
		if ((void *)(out + 1) > end)
			return XDP_DROP;
		build6(out, peer, w, c->port);
	} else {
		struct outer4 *out;

		if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*out)))
			return XDP_DROP;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		out = data + ETH_HLEN;
		if ((void *)(out + 1) > end)
			return XDP_DROP;
		build4(out, peer, w, c->port);
	}
	return leave_by(data, end, next, six);
}

/* On to another PoP: the outer headers anew, in their place. */
INLINE int forward_fast(struct xdp_md *ctx, struct relay_work *w, struct relay_peer *peer)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct relay_config *c = config();
	__u32 total = w->in.length + overhead(peer), limit = path_mtu(peer);
	struct relay_hop *next;
	bool six = peer->family == 6;

	if (w->ip.six != six)
		return XDP_PASS;
	next = hop(ctx, w, peer->local, peer->remote, six);
	if (!c || !next || total > next->mtu || (limit && total > limit))
		return XDP_PASS;
	if (six) {
		struct outer6 *out = data + ETH_HLEN;

		if ((void *)(out + 1) > end)
			return XDP_PASS;
		relay_commit(RELAY_FORWARD);
		build6(out, peer, w, c->port);
	} else {
		struct outer4 *out = data + ETH_HLEN;

		if ((void *)(out + 1) > end)
			return XDP_PASS;
		relay_commit(RELAY_FORWARD);
		build4(out, peer, w, c->port);
	}
	return leave_by(data, end, next, six);
}

/* The inner packet to a client or an endpoint. */
INLINE int send_fast(struct xdp_md *ctx, struct relay_work *w)
{
	const __u8 *source = w->translate ? w->source : w->in.source;
	const __u8 *target = w->translate ? w->target : w->in.target;
	struct relay_hop *next;
	void *data, *end;

	next = hop(ctx, w, source, target, w->in.six);
	if (!next || w->in.length > next->mtu)
		return XDP_PASS;
	if (relay_commit(RELAY_SEND) != RELAY_SEND)
		return XDP_DROP;
	if (w->wrapped && w->ip.six) {
		if (bpf_xdp_adjust_head(ctx, sizeof(struct outer6)))
			return XDP_DROP;
	} else if (w->wrapped) {
		if (bpf_xdp_adjust_head(ctx, sizeof(struct outer4)))
			return XDP_DROP;
	}
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (w->translate && !rewrite(data, end, w))
		return XDP_DROP;
	return leave_by(data, end, next, w->in.six);
}

SEC("xdp")
int relay_fast(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct relay_peer *peer;
	struct relay_work *w;
	__u32 flags;
	bool six;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	six = eth->h_proto == bpf_htons(ETH_P_IPV6);
	if (!six && eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	w = begin(true);
	if (!w)
		return XDP_PASS;
	flags = read(w, data + ETH_HLEN, end, end - data - ETH_HLEN, six);
	if (!flags)
		return XDP_PASS;
	w->segment = w->in.length;
	switch (judge(w, flags)) {
	case RELAY_WRAP:
		peer = peer_of(w->peer);
		return peer && peer->number ? wrap_fast(ctx, w, peer) : XDP_PASS;
	case RELAY_FORWARD:
		peer = peer_of(w->peer);
		return peer && peer->number ? forward_fast(ctx, w, peer) : XDP_PASS;
	case RELAY_SEND:
		return send_fast(ctx, w);
	default:
		return XDP_PASS;
	}
}

#endif
