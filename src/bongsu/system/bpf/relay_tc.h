/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The relay on an interface's tc ingress: every case, aggregates and packets that want an answer. */
#ifndef BONGSU_RELAY_TC_H
#define BONGSU_RELAY_TC_H

#include "relay_pmtu.h"

/* Room for outer headers, and what the kernel has to know to segment an aggregate inside. */
INLINE long make_room(struct __sk_buff *skb, const struct relay_work *w, bool outer6, __u32 room)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	long failed;

	if (w->gso || outer6 != w->in.six) {
		flags |= outer6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
		flags |= BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct relay_header));
		failed = bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags);
		if (failed != -EALREADY || w->gso)
			return failed;
		/*
		 * The packet came out of a tunnel in this very host and still bears the mark
		 * (skb->encapsulation). The helper that changes the protocol adds 20 bytes for
		 * IPv6, or takes them for IPv4.
		 */
		if (outer6)
			return bpf_skb_adjust_room(skb, room - 20, BPF_ADJ_ROOM_MAC, 0) ?:
			       bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0);
		return bpf_skb_adjust_room(skb, room + 20, BPF_ADJ_ROOM_MAC, 0) ?:
		       bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0);
	}
	return bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags);
}

/* Takes the outer headers off. */
INLINE long unwrap(struct __sk_buff *skb, const struct relay_work *w)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	__s32 room = sizeof(struct relay_header);

	if (w->trusted)
		return bpf_skb_adjust_room(skb, -room, BPF_ADJ_ROOM_MAC, flags);
	room = OVER_UDP + (w->ip.six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	if (w->ip.six == w->in.six)
		return bpf_skb_adjust_room(skb, -room, BPF_ADJ_ROOM_MAC, flags);
	if (w->gso)
		return -1;
	if (w->ip.six)
		return bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0) ?:
		       bpf_skb_adjust_room(skb, 20 - room, BPF_ADJ_ROOM_MAC, 0);
	return bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) ?:
	       bpf_skb_adjust_room(skb, -room - 20, BPF_ADJ_ROOM_MAC, 0);
}

/* The new addresses and ports, in a frame whose inner packet begins behind the Ethernet header. */
INLINE long translate(struct __sk_buff *skb, const struct relay_work *w)
{
	__u32 at = ETH_HLEN + w->in.transport, check = at + checksum_at(w);
	__u64 flags = w->in.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	void *data, *end;
	__be32 ports;

	if (bpf_skb_pull_data(skb, ETH_HLEN + w->in.transport))
		return -1;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + ETH_HLEN + sizeof(struct ipv6hdr) > end &&
	    (w->in.six || data + ETH_HLEN + sizeof(struct iphdr) > end))
		return -1;
	if (data + ETH_HLEN + sizeof(struct iphdr) > end)
		return -1;
	if (w->in.six) {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) > end)
			return -1;
		translate_ip(data + ETH_HLEN, w);
	} else {
		translate_ip(data + ETH_HLEN, w);
	}
	if (!has_transport(w))
		return 0;
	/* what is left for hardware to sum has only the pseudo-header in it yet, and no ports */
	if (bpf_l4_csum_replace(skb, check, 0, w->addresses, flags | BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, check, 0, w->ports, flags))
		return -1;
	ports = ports_of(w->sport, w->dport);
	return bpf_skb_store_bytes(skb, at, &ports, sizeof(ports), 0);
}

/* 0, or why there is no way. With RELAY_TOO_BIG, w->fib.mtu_result is what would pass. */
INLINE __u32 reason_of(long answer)
{
	if (answer == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return RELAY_TOO_BIG;
	/* a neighbour that is not known yet is asked for when the packet is sent */
	if (answer && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return RELAY_NO_ROUTE;
	return 0;
}

INLINE int shot(struct relay_work *w, __u32 reason)
{
	discard(w, reason);
	return TC_ACT_SHOT;
}

/* Behind the Ethernet header: outer headers to a peer, for a packet that has room for them. */
INLINE long put_outer(struct __sk_buff *skb, struct relay_work *w, const struct relay_peer *peer,
		      __be16 port)
{
	if (peer->family == 6) {
		struct outer6 out;

		build6(&out, peer, w, port);
		return bpf_skb_store_bytes(skb, ETH_HLEN, &out, sizeof(out), 0);
	} else {
		struct outer4 out;

		build4(&out, peer, w, port);
		return bpf_skb_store_bytes(skb, ETH_HLEN, &out, sizeof(out), 0);
	}
}

/* To another PoP: from a client, from an endpoint, or (RELAY_FORWARD) from a third PoP. */
INLINE int to_peer(struct __sk_buff *skb, struct relay_work *w, int act)
{
	struct relay_config *c = config();
	struct relay_peer *peer = peer_of(w->peer);
	__u32 why, total, limit;
	bool outer6;

	if (!c || !peer || !peer->number)
		return shot(w, RELAY_UNKNOWN_NODE);
	outer6 = peer->family == 6;
	if (w->repair && !w->gso && !w->wrapped && engine_lives()) {
		if (relay_commit(act) != act)
			return TC_ACT_SHOT;
		if ((w->translate && translate(skb, w)) ||
		    bpf_skb_adjust_room(skb, sizeof(w->head), BPF_ADJ_ROOM_MAC, 0) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN, &w->head, sizeof(w->head), 0))
			return shot(w, RELAY_ERROR);
		return bpf_redirect(c->repair, 0);
	}
	w->repair = 0;
	total = w->segment + overhead(peer);
	limit = path_mtu(peer);
	if (limit && total > limit)
		return too_big(skb, w, act, limit - overhead(peer));
	why = reason_of(look_up(skb, w, peer->local, peer->remote, outer6, IPPROTO_UDP, total));
	if (why == RELAY_TOO_BIG && w->fib.mtu_result > overhead(peer))
		return too_big(skb, w, act, w->fib.mtu_result - overhead(peer));
	if (why)
		return shot(w, why);
	if (relay_commit(act) != act)
		return TC_ACT_SHOT;
	if (w->wrapped && unwrap(skb, w))
		return shot(w, RELAY_ERROR);
	if (w->translate && translate(skb, w))
		return shot(w, RELAY_ERROR);
	if (make_room(skb, w, outer6, overhead(peer)) || put_outer(skb, w, peer, c->port))
		return shot(w, RELAY_ERROR);
	return send_out(w);
}

/* To the client or to the endpoint. */
INLINE int to_end(struct __sk_buff *skb, struct relay_work *w)
{
	const __u8 *source = w->translate ? w->source : w->in.source;
	const __u8 *target = w->translate ? w->target : w->in.target;
	__u32 why;

	why = reason_of(look_up(skb, w, source, target, w->in.six, w->in.protocol, w->segment));
	if (why == RELAY_TOO_BIG)
		return too_big(skb, w, RELAY_SEND, w->fib.mtu_result);
	if (why)
		return shot(w, why);
	if (relay_commit(RELAY_SEND) != RELAY_SEND)
		return TC_ACT_SHOT;
	if (w->wrapped && unwrap(skb, w))
		return shot(w, RELAY_ERROR);
	if (w->translate && translate(skb, w))
		return shot(w, RELAY_ERROR);
	return send_out(w);
}

INLINE void measure(struct __sk_buff *skb, struct relay_work *w)
{
	w->segment = w->in.length;
	if (!w->gso)
		return;
	w->segments = skb->gso_segs ?: 1;
	w->segment = w->in.length - w->in.payload + skb->gso_size;
}

INLINE int carry(struct __sk_buff *skb, struct relay_work *w, int act)
{
	measure(skb, w);
	switch (act) {
	case RELAY_DISCARD:
		return TC_ACT_SHOT;
	case RELAY_WRAP:
	case RELAY_FORWARD:
		return to_peer(skb, w, act);
	case RELAY_SEND:
		return to_end(skb, w);
	default:
		/* not ours: left to whatever other filters there are */
		return TC_ACT_UNSPEC;
	}
}

SEC("tc")
int relay_ingress(struct __sk_buff *skb)
{
	bool six = skb->protocol == bpf_htons(ETH_P_IPV6), gso = skb->gso_size;
	void *data, *end;
	struct relay_work *w;
	__u32 flags;

	if ((!six && skb->protocol != bpf_htons(ETH_P_IP)) || skb->vlan_present ||
	    skb->pkt_type != 0 /* PACKET_HOST */)
		return TC_ACT_UNSPEC;
	if ((skb->mark & CUT_MASK) == CUT_HEAD || (skb->mark & CUT_MASK) == CUT_REST)
		if (cut(skb))
			return TC_ACT_SHOT;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + HEADERS > end && data + skb->len > end) {
		bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
	}
	w = begin(false);
	if (!w || skb->len < ETH_HLEN)
		return TC_ACT_UNSPEC;
	w->gso = gso;
	flags = read(w, data + ETH_HLEN, end, skb->len - ETH_HLEN, six);
	if (!flags)
		return TC_ACT_UNSPEC;
	if (!w->wrapped) {
		w->ip = w->in;
		if (flags & RELAY_LOCAL)
			heed(w, data, end);
	}
	return carry(skb, w, judge(w, flags));
}

/* On the engine's device: relay headers and inner packets, as if they had come by UDP. */
SEC("tc")
int relay_repaired(struct __sk_buff *skb)
{
	void *data, *end;
	struct relay_work *w;
	int verdict;

	if (bpf_skb_change_head(skb, ETH_HLEN, 0))
		return TC_ACT_SHOT;
	bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	w = begin(false);
	if (!w || skb->len < ETH_HLEN)
		return TC_ACT_SHOT;
	w->trusted = 1;
	read_wrapped(w, data + ETH_HLEN, end, skb->len - ETH_HLEN, false);
	verdict = carry(skb, w, relay_judge_wrapped());
	return verdict == TC_ACT_UNSPEC ? TC_ACT_SHOT : verdict;
}

#endif
