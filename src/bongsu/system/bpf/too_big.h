/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * "Fragmentation needed" and "packet too big": told about a packet that does not fit, in its place
 * (RFC 1191, RFC 1812, RFC 4443, RFC 8201).
 */
#ifndef BONGSU_TOO_BIG_H
#define BONGSU_TOO_BIG_H

#include "ip.h"

/* Bytes of the offending packet that a message quotes: two headers and then some. */
#define TOO_BIG_QUOTE 128
#define TOO_BIG_LENGTH (sizeof(struct ipv6hdr) + 8 + TOO_BIG_QUOTE)

#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMP6_TOO_BIG 2
#define FLOOR4 576  /* what any IPv4 host takes; lower claims are attacks or errors */
#define FLOOR6 1280 /* RFC 8200, section 5 */

/* Old routers leave the MTU out: the next lower of the common ones (RFC 1191, section 7.1). */
INLINE __u32 plateau(__u32 length)
{
	if (length > 1492)
		return 1492;
	if (length > 1006)
		return 1006;
	return FLOOR4;
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
 * The packet becomes the message about itself, back to its sender; `bytes` is room for TOO_BIG_LENGTH.
 * Its source is where the packet went, an address that is routed there. The MAC header is kept.
 */
INLINE long describe(struct __sk_buff *skb, __u8 *bytes, bool six, __u32 mtu)
{
	__u32 length = (six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + 8 + TOO_BIG_QUOTE;
	__u8 *icmp;
	__s64 sum;

	if (six) {
		struct ipv6hdr *out = (void *)bytes, *in;

		icmp = bytes + sizeof(*out);
		in = (void *)(icmp + 8);
		if (bpf_skb_load_bytes(skb, ETH_HLEN, in, TOO_BIG_QUOTE))
			return -1;
		__builtin_memset(bytes, 0, sizeof(*out) + 8);
		icmp[0] = ICMP6_TOO_BIG;
		/* no link may claim less, and a claim of less is ignored (RFC 8201) */
		*(__be32 *)(icmp + 4) = bpf_htonl(mtu < FLOOR6 ? FLOOR6 : mtu);
		out->daddr = in->saddr;
		out->saddr = in->daddr;
		if (out->saddr.in6_u.u6_addr8[0] == 0xff)
			return -1;
		/* the pseudo-header: the fields as they will be summed, before the true ones */
		out->payload_len = bpf_htons(8 + TOO_BIG_QUOTE);
		out->nexthdr = 0;
		out->hop_limit = IPPROTO_ICMPV6;
		sum = bpf_csum_diff(NULL, 0, (void *)out, sizeof(*out) + 8, 0);
		sum = bpf_csum_diff(NULL, 0, (void *)in, TOO_BIG_QUOTE, (__u32)sum);
		*(__u16 *)(icmp + 2) = ~fold((__u32)sum);
		out->version = 6;
		out->priority = 0xc;
		out->nexthdr = IPPROTO_ICMPV6;
		out->hop_limit = 64;
	} else {
		struct iphdr *out = (void *)bytes, *in;

		icmp = bytes + sizeof(*out);
		in = (void *)(icmp + 8);
		if (bpf_skb_load_bytes(skb, ETH_HLEN, in, TOO_BIG_QUOTE))
			return -1;
		__builtin_memset(bytes, 0, sizeof(*out) + 8);
		icmp[0] = ICMP_UNREACHABLE;
		icmp[1] = ICMP_FRAGMENTATION_NEEDED;
		*(__be16 *)(icmp + 6) = bpf_htons(mtu);
		sum = bpf_csum_diff(NULL, 0, (void *)icmp, 8, 0);
		sum = bpf_csum_diff(NULL, 0, (void *)in, TOO_BIG_QUOTE, (__u32)sum);
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
		return -1;
	return six ? bpf_skb_store_bytes(skb, ETH_HLEN, bytes, TOO_BIG_LENGTH, 0) :
		     bpf_skb_store_bytes(skb, ETH_HLEN, bytes,
					 sizeof(struct iphdr) + 8 + TOO_BIG_QUOTE, 0);
}

#endif
