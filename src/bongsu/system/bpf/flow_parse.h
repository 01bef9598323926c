/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An IP packet's headers to a flow's key. Reads only what lies in the linear part, and says so when
 * that ends too early.
 *
 * RFC 791, RFC 8200 (extension headers), RFC 9293, RFC 2784 and 2890 (GRE).
 */
#ifndef BONGSU_FLOW_PARSE_H
#define BONGSU_FLOW_PARSE_H

#include "flow.h"
#include "ip.h"

#define FLOW_HEADERS 256 /* bytes that are made linear at most: two IP headers with their options */
#define FLOW_FURTHEST 512 /* no header is looked for beyond */
#define FLOW_EXTENSIONS 6 /* IPv6 extension headers that are passed */

enum flow_parsed {
	PARSED,
	PARSED_SHORT, /* the linear part ends inside a header */
	PARSED_BAD,
};

struct flow_packet {
	struct flow_key key;
	__u32 at;     /* of the IP header */
	__u32 length; /* of the IP packet; that of a whole aggregate */
	__u32 l4;     /* where the transport header is */
	__u32 room;   /* from there to the end of the packet */
	__u32 header; /* bytes of the transport header; 0: no whole one */
	__u32 sequence;
	__u8 tcp_flags;
	bool later; /* a fragment but the first */
};

INLINE int flow_transport(void *data, void *end, struct flow_packet *p)
{
	__u32 l4 = p->l4;
	__be16 *port;
	__u8 *byte;

	p->header = 0;
	if (p->later)
		return PARSED;
	if (l4 > FLOW_FURTHEST)
		return PARSED_BAD;
	byte = data + l4;
	port = (void *)byte;
	switch (p->key.proto) {
	case IPPROTO_TCP:
		if (p->room < 20)
			return PARSED;
		if ((void *)(byte + 20) > end)
			return PARSED_SHORT;
		p->key.sport = port[0];
		p->key.dport = port[1];
		p->header = (byte[12] >> 4) * 4;
		if (p->header < 20 || p->header > p->room)
			p->header = 0;
		p->sequence = bpf_ntohl(*(__be32 *)(byte + 4));
		p->tcp_flags = byte[13];
		return PARSED;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
		if (p->room < 8)
			return PARSED;
		if ((void *)(byte + 4) > end)
			return PARSED_SHORT;
		p->key.sport = port[0];
		p->key.dport = port[1];
		p->header = 8;
		return PARSED;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (p->room < 4)
			return PARSED;
		if ((void *)(byte + 2) > end)
			return PARSED_SHORT;
		p->key.dport = port[0];
		return PARSED;
	default:
		return PARSED;
	}
}

/* `rest`: bytes of the packet from the IP header on. */
INLINE int flow_ip4(void *data, void *end, __u32 rest, bool gso, struct flow_packet *p)
{
	__u64 *word = (__u64 *)&p->key;
	struct iphdr *ip = data + p->at;
	__u32 header;

	if ((void *)(ip + 1) > end)
		return PARSED_SHORT;
	header = ip->ihl * 4;
	p->length = bpf_ntohs(ip->tot_len);
	/* an aggregate's may be one segment's, or 0 for more than 64 kB */
	if (gso)
		p->length = rest;
	if (ip->version != 4 || header < sizeof(*ip) || p->length < header || p->length > rest)
		return PARSED_BAD;
	word[0] = ip->saddr;
	word[1] = 0;
	word[2] = ip->daddr;
	word[3] = 0;
	p->key.family = 4;
	p->key.proto = ip->protocol;
	p->key.dscp = ip->tos >> 2;
	p->later = ip->frag_off & bpf_htons(0x1fff);
	p->l4 = p->at + header;
	p->room = p->length - header;
	return PARSED;
}

INLINE int flow_ip6(void *data, void *end, __u32 rest, bool gso, struct flow_packet *p)
{
	struct ipv6hdr *ip = data + p->at;
	__u32 l4, last, i;
	__u8 next;

	if ((void *)(ip + 1) > end)
		return PARSED_SHORT;
	p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (gso)
		p->length = rest;
	if (ip->version != 6 || p->length > rest)
		return PARSED_BAD;
	__builtin_memcpy(p->key.saddr, &ip->saddr, 16);
	__builtin_memcpy(p->key.daddr, &ip->daddr, 16);
	p->key.family = 6;
	p->key.dscp = class6(ip) >> 2;
	p->later = false;
	next = ip->nexthdr;
	l4 = p->at + sizeof(*ip);
	last = p->at + p->length;
#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_EXTENSIONS; i++) {
		__u8 *option;
		__u32 size;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			break;
		if (l4 > FLOW_FURTHEST)
			return PARSED_BAD;
		if (l4 + 8 > last)
			return PARSED_BAD;
		option = data + l4;
		if ((void *)(option + 8) > end)
			return PARSED_SHORT;
		size = (option[1] + 1) * 8;
		if (next == IPPROTO_AH)
			size = (option[1] + 2) * 4;
		if (next == IPPROTO_FRAGMENT) {
			size = 8;
			p->later = *(__be16 *)(option + 2) & bpf_htons(0xfff8);
		}
		next = option[0];
		l4 += size;
		if (l4 > last)
			return PARSED_BAD;
		if (p->later)
			break;
	}
	p->key.proto = next;
	p->l4 = l4;
	p->room = last - l4;
	return PARSED;
}

/* `p` has `at`, and of its key what is not in the packet. */
INLINE int flow_parse(void *data, void *end, __u32 whole, __be16 protocol, bool gso,
		      struct flow_packet *p)
{
	__u32 rest;
	int parsed;

	if (p->at > FLOW_FURTHEST || whole < p->at)
		return PARSED_BAD;
	rest = whole - p->at;
	p->key.sport = 0;
	p->key.dport = 0;
	p->tcp_flags = 0;
	p->sequence = 0;
	if (protocol == bpf_htons(ETH_P_IP))
		parsed = flow_ip4(data, end, rest, gso, p);
	else
		parsed = flow_ip6(data, end, rest, gso, p);
	if (parsed != PARSED)
		return parsed;
	return flow_transport(data, end, p);
}

/*
 * What is inside a GRE packet: its protocol (0: nothing that we read), where, and which tunnel it
 * would be. Checksum and sequence number are read past; routing and later versions are not read.
 */
INLINE int flow_gre(void *data, void *end, const struct flow_packet *p, __u32 *at,
		    __be16 *protocol, __be32 *key, bool *keyed)
{
	__u32 l4 = p->l4, size = 4;
	__be16 *word;
	__u16 flags;

	*protocol = 0;
	*key = 0;
	*keyed = false;
	if (p->later || p->room < 4)
		return PARSED;
	if (l4 > FLOW_FURTHEST)
		return PARSED_BAD;
	word = data + l4;
	if ((void *)(word + 2) > end)
		return PARSED_SHORT;
	flags = bpf_ntohs(word[0]);
	if (flags & 0x4c07)
		return PARSED;
	if (flags & 0x8000)
		size += 4;
	if (flags & 0x2000) {
		__be32 *field = data + l4 + size;

		if (p->room < size + 4)
			return PARSED;
		if ((void *)(field + 1) > end)
			return PARSED_SHORT;
		*key = *field;
		*keyed = true;
		size += 4;
	}
	if (flags & 0x1000)
		size += 4;
	if (p->room < size)
		return PARSED;
	*at = l4 + size;
	if (word[1] == bpf_htons(ETH_P_IP) || word[1] == bpf_htons(ETH_P_IPV6))
		*protocol = word[1];
	return PARSED;
}

#endif
