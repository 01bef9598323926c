/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Path MTU: what the way between PoPs says of itself is remembered, senders are told, and IPv4 packets
 * that may be fragmented are, before the outer headers: each piece travels and is translated alone.
 */
#ifndef BONGSU_RELAY_PMTU_H
#define BONGSU_RELAY_PMTU_H

#include "relay_judge.h"

/* A copy of a packet comes round again by its own interface, to be cut: what of it, in the mark. */
#define CUT_HEAD 0xb0450000
#define CUT_REST 0xb0460000
#define CUT_MASK 0xffff0000

/*
 * Who knows two PoPs' addresses can forge what a router between them would say, and one such message
 * must not leave the path a third of its size. Paths between PoPs that hold less than IPv6 asks of
 * every link are none that anybody builds.
 */
#define LEARNED_FLOOR FLOOR6

#define CHUNK 512 /* bytes that one call sums */
#define CHUNKS 24 /* of the largest packet that is cut: an Ethernet "jumbo" frame and more */
/* Behind this the place is where a checksum begins that hardware is to fill in. */
#define BEYOND 48

struct relay_chunk {
	__u8 bytes[CHUNK];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct relay_chunk);
} rl_chunks SEC(".maps");

/* The largest outer packet to a peer that is known to pass; 0: nothing is known. */
INLINE __u32 path_mtu(struct relay_peer *peer)
{
	__u32 learned = peer->pmtu;

	if (learned && bpf_ktime_get_coarse_ns() >= peer->pmtu_until)
		peer->pmtu = learned = 0;
	return learned;
}

/* Takes `mtu` as the path's to the peer with these ends. It only ever lowers; equal values renew. */
INLINE void learn(struct relay_work *w, __u32 mtu, __u32 floor)
{
	__u32 *found = bpf_map_lookup_elem(&rl_ends, &w->ends);
	struct relay_peer *peer = found ? peer_of(*found) : NULL;

	if (!peer || !same16(peer->remote, w->ends.remote))
		return;
	if (mtu < floor)
		mtu = floor;
	if (peer->pmtu && w->now < peer->pmtu_until && peer->pmtu < mtu)
		return;
	peer->pmtu_until = w->now + RELAY_PMTU_AGE_NS;
	peer->pmtu = mtu;
	COUNT(0, learned);
}

/* A message about an outer packet of ours: it must quote exactly that packet's headers. */
INLINE void heed4(struct relay_work *w, struct relay_config *c, void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN, *quoted;
	__u8 *icmp = (void *)(ip + 1);
	__be16 *ports;
	__u32 mtu, length;

	quoted = (void *)(icmp + 8);
	ports = (void *)(quoted + 1);
	if ((void *)(ports + 2) > end || icmp[0] != ICMP_UNREACHABLE ||
	    icmp[1] != ICMP_FRAGMENTATION_NEEDED)
		return;
	if (quoted->version != 4 || quoted->ihl != 5 || quoted->protocol != IPPROTO_UDP ||
	    quoted->saddr != ip->daddr || quoted->frag_off & bpf_htons(0x3fff) ||
	    ports[0] != c->port || ports[1] != c->port)
		return;
	copy16(w->ends.local, w->ip.target);
	copy16(w->ends.remote, w->ip.target); /* for the first twelve bytes, */
	((__be32 *)w->ends.remote)[3] = quoted->daddr;
	mtu = bpf_ntohs(*(__be16 *)(icmp + 6));
	length = bpf_ntohs(quoted->tot_len);
	if (!mtu)
		mtu = plateau(length);
	if (mtu < length) /* else what it complains about would have fitted */
		learn(w, mtu, LEARNED_FLOOR);
}

INLINE void heed6(struct relay_work *w, struct relay_config *c, void *data, void *end)
{
	struct ipv6hdr *ip = data + ETH_HLEN, *quoted;
	__u8 *icmp = (void *)(ip + 1);
	__be16 *ports;
	__u32 mtu;

	quoted = (void *)(icmp + 8);
	ports = (void *)(quoted + 1);
	if ((void *)(ports + 2) > end || icmp[0] != ICMP6_TOO_BIG)
		return;
	if (quoted->version != 6 || quoted->nexthdr != IPPROTO_UDP || ports[0] != c->port ||
	    ports[1] != c->port)
		return;
	__builtin_memcpy(w->ends.local, &quoted->saddr, 16);
	__builtin_memcpy(w->ends.remote, &quoted->daddr, 16);
	mtu = bpf_ntohl(*(__be32 *)(icmp + 4));
	if (same16(w->ends.local, w->ip.target) &&
	    mtu < bpf_ntohs(quoted->payload_len) + sizeof(*quoted))
		learn(w, mtu, FLOOR6);
}

INLINE void heed(struct relay_work *w, void *data, void *end)
{
	struct relay_config *c = config();

	if (!c || w->ip.fragment != WHOLE)
		return;
	if (w->ip.six && w->ip.protocol == IPPROTO_ICMPV6)
		heed6(w, c, data, end);
	else if (!w->ip.six && w->ip.protocol == IPPROTO_ICMP)
		heed4(w, c, data, end);
}

/* Asks the routing table for the way of a packet of `total` bytes. */
INLINE long look_up(void *ctx, struct relay_work *w, const __u8 *source, const __u8 *target,
		    bool six, __u8 protocol, __u32 total)
{
	struct bpf_fib_lookup *fib = &w->fib;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = protocol;
	fib->tot_len = total;
	fib->ifindex = LOOPBACK;
	if (six) {
		fib->family = FAMILY6;
		__builtin_memcpy(fib->ipv6_src, source, 16);
		__builtin_memcpy(fib->ipv6_dst, target, 16);
	} else {
		fib->family = FAMILY4;
		fib->ipv4_src = four_of(source);
		fib->ipv4_dst = four_of(target);
	}
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
}

/* Sends by the way that the routing table gave last. */
INLINE long send_out(struct relay_work *w)
{
	struct bpf_redir_neigh next = {};

	next.nh_family = w->fib.family;
	if (w->fib.family == FAMILY4)
		next.ipv4_nh = w->fib.ipv4_dst;
	else
		__builtin_memcpy(next.ipv6_nh, w->fib.ipv6_dst, 16);
	return bpf_redirect_neigh(w->fib.ifindex, &next, sizeof(next), 0);
}

/* The packet as it arrived becomes the message about itself: `mtu` bytes would pass. */
INLINE int complain(struct __sk_buff *skb, struct relay_work *w, __u32 mtu)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct relay_config *c = config();
	struct relay_chunk *chunk;
	__u32 zero = 0;
	bool six = w->ip.six;

	if (!c || data + ETH_HLEN + sizeof(struct iphdr) > end)
		return TC_ACT_SHOT;
	if (six && data + ETH_HLEN + sizeof(struct ipv6hdr) > end)
		return TC_ACT_SHOT;
	if (six ? !may_complain6(data + ETH_HLEN, end) : !may_complain4(data + ETH_HLEN, end))
		return TC_ACT_SHOT;
	if (w->now < c->icmp_after)
		return TC_ACT_SHOT;
	chunk = bpf_map_lookup_elem(&rl_chunks, &zero);
	if (!chunk)
		return TC_ACT_SHOT;
	/* back by the routing table, for the accelerated address may be on no interface */
	if (look_up(skb, w, w->ip.target, w->ip.source, six, IPPROTO_ICMP, 0))
		return TC_ACT_SHOT;
	c->icmp_after = w->now + RELAY_ICMP_GAP_NS;
	if (describe(skb, chunk->bytes, six, mtu))
		return TC_ACT_SHOT;
	COUNT(w->slot, too_big_sent);
	return send_out(w);
}

/* The transport checksum of the IPv4 packet that arrived, as hardware would make it. */
INLINE long sum_packet(struct __sk_buff *skb, const struct relay_work *w, __u32 pseudo, __u16 *sum)
{
	__u32 at = ETH_HLEN + sizeof(struct iphdr), left = w->ip.length - sizeof(struct iphdr);
	__u32 zero = 0, size;
	struct relay_chunk *chunk = bpf_map_lookup_elem(&rl_chunks, &zero);
	__s64 total = pseudo;

	if (!chunk)
		return -1;
	for (int i = 0; i < CHUNKS; i++) {
		if (!left)
			break;
		size = left < CHUNK ? left : CHUNK;
		if (size < CHUNK)
			__builtin_memset(chunk->bytes, 0, CHUNK);
		/* it is so already, from 1 to CHUNK; verifiers before 6.3 see it only like this */
		OPAQUE(size);
		size = ((size - 1) & (CHUNK - 1)) + 1;
		if (bpf_skb_load_bytes(skb, at, chunk->bytes, size))
			return -1;
		total = bpf_csum_diff(NULL, 0, (void *)chunk->bytes, CHUNK, (__u32)total);
		at += size;
		left -= size;
	}
	*sum = fold((__u32)total);
	return left ? -1 : 0;
}

/*
 * A neighbour on the same host may have left the checksum for hardware to fill in: then it is that
 * of the pseudo-header, no hardware fills it into pieces, and it is filled in here. (A packet
 * whose true checksum happens to look like that gets the same one again.)
 */
INLINE long fill_in(struct __sk_buff *skb, const struct relay_work *w)
{
	__u32 at = ETH_HLEN + sizeof(struct iphdr) + (w->ip.protocol == IPPROTO_UDP ? 6 : 16);
	__u32 length = w->ip.length - sizeof(struct iphdr), pseudo;
	__u8 saved[BEYOND];
	__u16 check, sum;

	if (w->ip.fragment != WHOLE)
		return 0;
	pseudo = fold((__u64)four_of(w->ip.source) + four_of(w->ip.target) +
		      bpf_htons(w->ip.protocol) + bpf_htons(length));
	if (bpf_skb_load_bytes(skb, at, &check, 2))
		return -1;
	if (check != (__u16)pseudo)
		return 0;
	/* the field itself must count as zero: what stands there is what the sum begins with */
	if (sum_packet(skb, w, 0, &sum))
		return -1;
	sum = ~sum;
	if (w->ip.protocol == IPPROTO_UDP && !sum)
		sum = 0xffff;
	if (bpf_skb_store_bytes(skb, at, &sum, 2, 0) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, saved, BEYOND))
		return -1;
	/* what goes beyond where the checksum begins makes the kernel forget about it */
	return bpf_skb_adjust_room(skb, -BEYOND, BPF_ADJ_ROOM_MAC, 0) ?:
	       bpf_skb_adjust_room(skb, BEYOND, BPF_ADJ_ROOM_MAC, 0) ?:
	       bpf_skb_store_bytes(skb, ETH_HLEN, saved, BEYOND, 0);
}

/*
 * Sends the IPv4 packet that arrived round again as two copies, each of which then loses a part: the
 * first piece has as much as `mtu` bytes hold, the other the rest, to be cut again if need be.
 */
INLINE int fragment(struct __sk_buff *skb, struct relay_work *w, __u32 mtu)
{
	__u32 units = (mtu - sizeof(struct iphdr)) / 8, ifindex = skb->ifindex;

	if (mtu < FLOOR4 || w->ip.length > CHUNK * CHUNKS || fill_in(skb, w))
		return TC_ACT_SHOT;
	skb->mark = CUT_HEAD | units;
	if (bpf_clone_redirect(skb, ifindex, BPF_F_INGRESS))
		return TC_ACT_SHOT;
	skb->mark = CUT_REST | units;
	if (bpf_clone_redirect(skb, ifindex, BPF_F_INGRESS))
		return TC_ACT_SHOT;
	COUNT(w->slot, fragmented);
	return TC_ACT_STOLEN;
}

/* Makes a copy what its mark says. */
INLINE long cut(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, units = mark & 0x1fff, bytes = units * 8;
	__u16 offset;
	struct iphdr ip;

	skb->mark = 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.ihl != 5)
		return -1;
	offset = bpf_ntohs(ip.frag_off);
	if ((mark & CUT_MASK) == CUT_HEAD) {
		if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(ip) + bytes, 0))
			return -1;
		ip.frag_off = bpf_htons(offset | 0x2000);
		ip.tot_len = bpf_htons(sizeof(ip) + bytes);
	} else {
		if (bytes > 4000) {
			if (bpf_skb_adjust_room(skb, -4000, BPF_ADJ_ROOM_NET, 0) ||
			    bpf_skb_adjust_room(skb, -(__s32)(bytes - 4000), BPF_ADJ_ROOM_NET, 0))
				return -1;
		} else if (bpf_skb_adjust_room(skb, -(__s32)bytes, BPF_ADJ_ROOM_NET, 0)) {
			return -1;
		}
		ip.frag_off = bpf_htons((offset & 0xe000) | ((offset + units) & 0x1fff));
		ip.tot_len = bpf_htons(bpf_ntohs(ip.tot_len) - bytes);
	}
	ip.check = 0;
	ip.check = ~sum_ip(&ip);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}

/*
 * `mtu` bytes of inner packet would pass, which this one exceeds. Who sent it is told: a client, an
 * endpoint, or another PoP whose packet was only to be carried on. A client whose packet does not
 * fit behind the egress is not told: what came through the relay is smaller than what leaves there.
 */
INLINE int too_big(struct __sk_buff *skb, struct relay_work *w, int act, __u32 mtu)
{
	if (!w->wrapped && !w->in.fixed && !w->gso)
		return fragment(skb, w, mtu);
	discard(w, RELAY_TOO_BIG);
	if (!w->wrapped)
		return complain(skb, w, mtu);
	if (act == RELAY_FORWARD && !w->trusted)
		return complain(skb, w, mtu + w->ip.length - w->in.length);
	return TC_ACT_SHOT;
}

#endif
