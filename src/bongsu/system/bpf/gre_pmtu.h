/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Path MTU through the tunnel (RFC 1191, RFC 8201, RFC 4459 section 3.1): what the underlay says
 * lowers the tunnel's inside MTU, and inner senders are told when their packets exceed it.
 */
#ifndef BONGSU_GRE_PMTU_H
#define BONGSU_GRE_PMTU_H

#include "gre_rx.h"

#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMP6_TOO_BIG 2
#define FLOOR4 576  /* what any IPv4 host takes; lower claims are attacks or errors */
#define FLOOR6 1280 /* RFC 8200, section 5 */

/* The largest inner packet that passes now. Forgets what was learned too long ago. */
INLINE __u32 inside_mtu(const struct gre_tunnel *tunnel, struct gre_state *now)
{
	__u32 learned = now->pmtu;

	if (!learned)
		return tunnel->mtu;
	if (bpf_ktime_get_ns() >= now->pmtu_until) {
		now->pmtu = 0;
		return tunnel->mtu;
	}
	return learned < tunnel->mtu ? learned : tunnel->mtu;
}

/* Takes `mtu` as the underlay's towards the peer. It only ever lowers; equal values renew. */
INLINE bool lower(const struct gre_tunnel *tunnel, struct gre_state *now, __u32 mtu)
{
	__u64 time = bpf_ktime_get_ns();
	__u32 inside;

	if (mtu <= tunnel->overhead)
		return false;
	inside = mtu - tunnel->overhead;
	if (inside >= tunnel->mtu)
		return false;
	if (now->pmtu && time < now->pmtu_until && now->pmtu < inside)
		return false;
	now->pmtu_until = time + GRE_PMTU_AGE_NS;
	now->pmtu = inside;
	return true;
}

/* The same, told by the underlay. */
INLINE void learn(const struct gre_tunnel *tunnel, __u32 mtu)
{
	struct gre_state *now = state(tunnel);

	if (now && lower(tunnel, now, mtu))
		COUNT(tunnel->counters, too_big_received);
}

/* Old routers leave the MTU out: the next lower of the common ones (RFC 1191, section 7.1). */
INLINE __u32 plateau(__u32 length)
{
	if (length > 1492)
		return 1492;
	if (length > 1006)
		return 1006;
	return FLOOR4;
}

/* "Fragmentation needed" for an outer packet of ours: it must quote exactly that packet's header. */
INLINE void heed4(void *data, void *end, __u32 ifindex)
{
	struct iphdr *ip = data + ETH_HLEN, *quoted;
	struct gre_pair4 pair = {};
	struct gre_tunnel *tunnel;
	__be16 protocol;
	__u16 flags;
	__u8 *icmp;
	__u32 mtu, length;

	if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_ICMP || ip->ihl != 5 ||
	    ip->frag_off & bpf_htons(FRAGMENT_BITS))
		return;
	icmp = (void *)(ip + 1);
	quoted = (void *)(icmp + 8);
	if ((void *)(quoted + 1) > end || icmp[0] != ICMP_UNREACHABLE ||
	    icmp[1] != ICMP_FRAGMENTATION_NEEDED)
		return;
	if (quoted->version != 4 || quoted->ihl != 5 || quoted->protocol != IPPROTO_GRE ||
	    quoted->saddr != ip->daddr || quoted->frag_off & bpf_htons(FRAGMENT_BITS))
		return;
	if (!read_gre(quoted + 1, end, &flags, &protocol, &pair.key) || flags & ~GRE_KEY)
		return;
	pair.local = quoted->saddr;
	pair.remote = quoted->daddr;
	pair.keyed = !!(flags & GRE_KEY);
	tunnel = bpf_map_lookup_elem(&gre_by_pair4, &pair);
	if (!tunnel || !arrives(tunnel, ifindex) || tunnel->flags & GRE_KEEPALIVE_ONLY)
		return;
	mtu = bpf_ntohs(*(__be16 *)(icmp + 6));
	length = bpf_ntohs(quoted->tot_len);
	if (!mtu)
		mtu = plateau(length);
	if (mtu >= length)
		return; /* the packet it complains about would have fitted */
	learn(tunnel, mtu < FLOOR4 ? FLOOR4 : mtu);
}

INLINE void heed6(void *data, void *end, __u32 ifindex)
{
	struct ipv6hdr *ip = data + ETH_HLEN, *quoted;
	struct gre_pair6 pair = {};
	struct gre_tunnel *tunnel;
	__be16 protocol;
	__u16 flags;
	__u8 *icmp;
	__u32 mtu;

	if ((void *)(ip + 1) > end || ip->nexthdr != IPPROTO_ICMPV6)
		return;
	icmp = (void *)(ip + 1);
	quoted = (void *)(icmp + 8);
	if ((void *)(quoted + 1) > end || icmp[0] != ICMP6_TOO_BIG)
		return;
	if (quoted->version != 6 || quoted->nexthdr != IPPROTO_GRE ||
	    !same16(&quoted->saddr, &ip->daddr))
		return;
	if (!read_gre(quoted + 1, end, &flags, &protocol, &pair.key) || flags & ~GRE_KEY)
		return;
	__builtin_memcpy(pair.local, &quoted->saddr, 16);
	__builtin_memcpy(pair.remote, &quoted->daddr, 16);
	pair.keyed = !!(flags & GRE_KEY);
	tunnel = bpf_map_lookup_elem(&gre_by_pair6, &pair);
	if (!tunnel || !arrives(tunnel, ifindex) || tunnel->flags & GRE_KEEPALIVE_ONLY)
		return;
	mtu = bpf_ntohl(*(__be32 *)(icmp + 4));
	if (mtu >= bpf_ntohs(quoted->payload_len) + sizeof(*quoted))
		return;
	learn(tunnel, mtu < FLOOR6 ? FLOOR6 : mtu);
}

/* False when an ICMP error must not be sent about this packet (RFC 1812, 4.3.2.7). */
INLINE bool may_complain4(const struct iphdr *ip, void *end)
{
	__u32 source = bpf_ntohl(ip->saddr);
	const __u8 *type = (const void *)(ip + 1);

	if (!source || source >> 24 == 127 || source >= 0xe0000000 ||
	    bpf_ntohl(ip->daddr) >= 0xe0000000 || ip->frag_off & bpf_htons(0x1fff))
		return false;
	if (ip->protocol != IPPROTO_ICMP)
		return true;
	/* echo and its reply are the only ICMP large enough that are no errors */
	return ip->ihl == 5 && (const void *)(type + 1) <= (const void *)end &&
	       (*type == 8 || *type == 0);
}

/* RFC 4443, section 2.4 (e). */
INLINE bool may_complain6(const struct ipv6hdr *ip, void *end)
{
	const __u8 *source = (const void *)&ip->saddr, *type = (const void *)(ip + 1);
	const __u32 *word = (const void *)&ip->saddr;

	if (source[0] == 0xff || !(word[0] | word[1] | word[2]))
		return false;
	if (ip->nexthdr != IPPROTO_ICMPV6)
		return true;
	return (const void *)(type + 1) <= (const void *)end && *type >= 128;
}

/*
 * Leaves `length` bytes of what is going to be written over. The MAC header is kept.
 *
 * An offloaded checksum of the old packet (CHECKSUM_PARTIAL) must not be filled into the new one.
 * The kernel forgets it when headers are removed beyond the place where it would start, which older
 * ones look at before they remove: hence once far, and once more. Cutting the tail undoes an aggregate,
 * but is refused for a packet that came out of a tunnel and still bears the mark of it
 * (skb->encapsulation); then everything is taken from the front.
 */
INLINE long shorten(struct __sk_buff *skb, __u32 length, bool gso)
{
	__u32 rest;

	if (bpf_skb_change_tail(skb, length + 132, 0) && gso)
		return -1;
	rest = skb->len - length;
	if (rest < 132 || rest > 4000)
		return -1; /* bpf_skb_adjust_room takes 4095 at most */
	return bpf_skb_adjust_room(skb, -(__s32)(rest - 4), BPF_ADJ_ROOM_MAC, 0) ?:
	       bpf_skb_adjust_room(skb, -4, BPF_ADJ_ROOM_MAC, 0);
}

/*
 * Turns the packet into the message about itself and gives it to the tunnel interface, as if the
 * far side had sent it. Its source is the offender's destination: an address that is routed into
 * this tunnel passes the reverse path filter and every inner-source list, and unlike our own it is
 * no martian.
 */
INLINE int complain(struct __sk_buff *skb, const struct gre_tunnel *tunnel, struct gre_state *now,
		    bool six, __u32 mtu)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 header = six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr), zero = 0;
	__u32 length = header + 8 + GRE_QUOTE;
	struct gre_scratch *scratch;
	__u64 time;
	__u8 *icmp;
	__s64 sum;

	if (data + ETH_HLEN + header > end)
		return TC_ACT_SHOT;
	if (six ? !may_complain6(data + ETH_HLEN, end) : !may_complain4(data + ETH_HLEN, end))
		return TC_ACT_SHOT;
	time = bpf_ktime_get_ns();
	if (time < now->icmp_after)
		return TC_ACT_SHOT;
	now->icmp_after = time + GRE_ICMP_GAP_NS;
	scratch = bpf_map_lookup_elem(&gre_scratches, &zero);
	if (!scratch)
		return TC_ACT_SHOT;
	if (six) {
		struct ipv6hdr *out = (void *)scratch->bytes, *in;

		icmp = scratch->bytes + sizeof(*out);
		in = (void *)(icmp + 8);
		if (bpf_skb_load_bytes(skb, ETH_HLEN, in, GRE_QUOTE))
			return TC_ACT_SHOT;
		__builtin_memset(scratch->bytes, 0, sizeof(*out) + 8);
		icmp[0] = ICMP6_TOO_BIG;
		/* no link may claim less, and a claim of less is ignored (RFC 8201) */
		*(__be32 *)(icmp + 4) = bpf_htonl(mtu < FLOOR6 ? FLOOR6 : mtu);
		out->daddr = in->saddr;
		out->saddr = in->daddr;
		if (out->saddr.in6_u.u6_addr8[0] == 0xff)
			return TC_ACT_SHOT;
		/* the pseudo-header: the fields as they will be summed, before the true ones */
		out->payload_len = bpf_htons(8 + GRE_QUOTE);
		out->nexthdr = 0;
		out->hop_limit = IPPROTO_ICMPV6;
		sum = bpf_csum_diff(NULL, 0, (void *)out, sizeof(*out) + 8, 0);
		sum = bpf_csum_diff(NULL, 0, (void *)in, GRE_QUOTE, (__u32)sum);
		*(__u16 *)(icmp + 2) = ~fold((__u32)sum);
		out->version = 6;
		out->priority = 0xc;
		out->nexthdr = IPPROTO_ICMPV6;
		out->hop_limit = 64;
	} else {
		struct iphdr *out = (void *)scratch->bytes, *in;

		icmp = scratch->bytes + sizeof(*out);
		in = (void *)(icmp + 8);
		if (bpf_skb_load_bytes(skb, ETH_HLEN, in, GRE_QUOTE))
			return TC_ACT_SHOT;
		__builtin_memset(scratch->bytes, 0, sizeof(*out) + 8);
		icmp[0] = ICMP_UNREACHABLE;
		icmp[1] = ICMP_FRAGMENTATION_NEEDED;
		*(__be16 *)(icmp + 6) = bpf_htons(mtu);
		sum = bpf_csum_diff(NULL, 0, (void *)icmp, 8, 0);
		sum = bpf_csum_diff(NULL, 0, (void *)in, GRE_QUOTE, (__u32)sum);
		*(__u16 *)(icmp + 2) = ~fold((__u32)sum);
		out->version = 4;
		out->ihl = 5;
		out->tos = 0xc0;
		out->ttl = 64;
		out->protocol = IPPROTO_ICMP;
		out->tot_len = bpf_htons(length);
		out->saddr = in->daddr;
		out->daddr = in->saddr;
		out->check = ~sum_ip(out);
	}
	if (shorten(skb, ETH_HLEN + length, skb->gso_size))
		return TC_ACT_SHOT;
	if (six ? bpf_skb_store_bytes(skb, ETH_HLEN, scratch->bytes,
				      sizeof(struct ipv6hdr) + 8 + GRE_QUOTE, 0) :
		  bpf_skb_store_bytes(skb, ETH_HLEN, scratch->bytes,
				      sizeof(struct iphdr) + 8 + GRE_QUOTE, 0))
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, 0, tunnel->device_mac, ETH_ALEN, 0))
		return TC_ACT_SHOT;
	COUNT(tunnel->counters, too_big_sent);
	return bpf_redirect(tunnel->device, BPF_F_INGRESS);
}

#endif
