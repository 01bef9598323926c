/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Headers read once, into struct relay_packet; tc and XDP share it. What follows looks at no packet
 * any more. Reference: bongsu.protocol.relay.ip and .content.
 *
 * IPv4 options and IPv6 extension headers other than the fragment header are refused: no client of
 * a listener sends any, and middle boxes drop them.
 */
#ifndef BONGSU_RELAY_PARSE_H
#define BONGSU_RELAY_PARSE_H

#include "relay_maps.h"

#define NAT_TRAVERSAL 4500 /* RFC 3948 */
#define IKE 500
#define IKE_HEADER 28 /* RFC 7296, 3.1 */

/* What a UDP payload on IKE's ports is (RFC 3948, section 2). */
enum relay_content {
	CONTENT_OTHER,
	CONTENT_IKE,
	CONTENT_ESP,
	CONTENT_KEEPALIVE,
};

struct fragment6 {
	__u8 next;
	__u8 zero;
	__be16 offset;
	__be32 id;
};

/* The transport header at `at`, `left` bytes of which the IP header claims. */
INLINE bool parse_transport(const void *at, const void *end, __u32 left, bool gso,
			    struct relay_packet *p)
{
	const __be32 *word = at;
	const __u8 *byte = at;

	if (p->protocol == IPPROTO_UDP) {
		__u32 claimed;

		if (left < 8 || at + 8 > end)
			return false;
		p->four = word[0];
		p->sport = *(const __be16 *)at;
		p->dport = *(const __be16 *)(at + 2);
		claimed = bpf_ntohs(*(const __be16 *)(at + 4));
		if (!gso && p->fragment == WHOLE && (claimed < 8 || claimed > left))
			return false;
		p->payload = p->fragment == WHOLE && !gso ? claimed - 8 : left - 8;
		if (at + 28 <= end) {
			p->raw[0] = word[2];
			p->raw[1] = word[3];
			p->raw[2] = word[4];
			p->raw[3] = word[5];
			p->raw[4] = word[6];
			p->have = 20;
		} else if (at + 16 <= end) {
			p->raw[0] = word[2];
			p->raw[1] = word[3];
			p->have = 8;
		} else if (at + 9 <= end) {
			p->raw[0] = byte[8]; /* in the lowest byte: the first in memory */
			p->have = 1;
		}
		if (p->have > p->payload)
			p->have = p->payload;
		return true;
	}
	if (p->protocol == IPPROTO_TCP) {
		__u32 header;

		if (left < 20 || at + 20 > end)
			return false;
		p->four = word[0];
		p->sport = *(const __be16 *)at;
		p->dport = *(const __be16 *)(at + 2);
		p->sequence = bpf_ntohl(word[1]);
		p->acknowledgement = bpf_ntohl(word[2]);
		header = (byte[12] >> 4) * 4;
		p->flags = byte[13];
		if (header < 20 || header > left)
			return false;
		p->payload = left - header;
		return true;
	}
	return true;
}

/* `room` bytes of packet are left for it. */
INLINE bool parse4(const void *at, const void *end, __u32 room, bool gso,
		   struct relay_packet *p)
{
	const struct iphdr *ip = at;
	__u16 fragment;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5)
		return false;
	p->length = bpf_ntohs(ip->tot_len);
	if (gso)
		p->length = room; /* tot_len may be that of one segment, or 0 */
	else if (p->length < sizeof(*ip) || p->length > room)
		return false;
	/* in whole words: reading back what was written in parts is slow */
	((__u64 *)p->source)[0] = 0;
	((__u64 *)p->target)[0] = 0;
	((__u64 *)p->source)[1] = (__u64)ip->saddr << 32 | bpf_htonl(0xffff);
	((__u64 *)p->target)[1] = (__u64)ip->daddr << 32 | bpf_htonl(0xffff);
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->protocol = ip->protocol;
	p->transport = sizeof(*ip);
	fragment = bpf_ntohs(ip->frag_off);
	p->fixed = !!(fragment & 0x4000);
	p->id = ip->id;
	p->fragment = fragment & 0x1fff ? LATER : fragment & 0x2000 ? FIRST : WHOLE;
	if (p->fragment == LATER) {
		/* a piece at offset 8 could write over the transport header (RFC 1858, 3.2) */
		if ((fragment & 0x1fff) < 2 && p->protocol == IPPROTO_TCP)
			return false;
		if ((void *)(ip + 1) + 4 > end || p->length < sizeof(*ip) + 4)
			return false;
		p->four = *(__be32 *)(ip + 1);
		return true;
	}
	return parse_transport(ip + 1, end, p->length - sizeof(*ip), gso, p);
}

INLINE bool parse6(const void *at, const void *end, __u32 room, bool gso,
		   struct relay_packet *p)
{
	const struct ipv6hdr *ip = at;
	const struct fragment6 *part = (void *)(ip + 1);
	__be32 four;
	__u16 offset;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return false;
	p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (gso)
		p->length = room;
	else if (p->length > room)
		return false;
	__builtin_memcpy(p->source, &ip->saddr, 16);
	__builtin_memcpy(p->target, &ip->daddr, 16);
	/* a mapped address on the wire would be taken for IPv4 */
	if (!*(__u64 *)p->source && *(__u32 *)(p->source + 8) == bpf_htonl(0xffff))
		return false;
	if (!*(__u64 *)p->target && *(__u32 *)(p->target + 8) == bpf_htonl(0xffff))
		return false;
	p->six = 1;
	p->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	p->ttl = ip->hop_limit;
	p->protocol = ip->nexthdr;
	p->transport = sizeof(*ip);
	p->fixed = 1;
	p->fragment = WHOLE;
	if (ip->nexthdr != IPPROTO_FRAGMENT)
		return parse_transport(ip + 1, end, p->length - sizeof(*ip), gso, p);
	if ((void *)(part + 1) > end || p->length < sizeof(*ip) + sizeof(*part))
		return false;
	p->protocol = part->next;
	p->transport += sizeof(*part);
	p->id = part->id;
	offset = bpf_ntohs(part->offset);
	four = *(__be32 *)part;
	if (offset & 0xfff8) {
		p->fragment = LATER;
	} else {
		/* "atomic" fragments (RFC 6946) are whole; as fragments they are carried all the same */
		p->fragment = FIRST;
		if (!parse_transport(part + 1, end, p->length - sizeof(*ip) - sizeof(*part), gso, p))
			return false;
	}
	p->four = four; /* the tag covers what stands behind the IP header */
	return true;
}

INLINE bool parse(const void *at, const void *end, __u32 room, bool six, bool gso,
		  struct relay_packet *p)
{
	*(__u64 *)&p->protocol = 0;
	return six ? parse6(at, end, room, gso, p) : parse4(at, end, room, gso, p);
}

/* What the carried packet is, seen from the accelerated side's port. */
INLINE void classify(struct relay_work *w, __be16 port, __u8 validation)
{
	const struct relay_packet *p = &w->in;

	w->what = CONTENT_OTHER;
	if (validation != RELAY_VALIDATE_IKE || p->protocol != IPPROTO_UDP || p->fragment == LATER)
		return;
	if (port == bpf_htons(IKE)) {
		if (p->payload < IKE_HEADER || p->have < 20)
			return;
		w->what = CONTENT_IKE;
		w->initiator = (__u64)p->raw[1] << 32 | p->raw[0];
		w->responder = (__u64)p->raw[3] << 32 | p->raw[2];
		return;
	}
	if (port != bpf_htons(NAT_TRAVERSAL))
		return;
	if (p->payload == 1 && p->have >= 1 && (p->raw[0] & 0xff) == 0xff) {
		w->what = CONTENT_KEEPALIVE;
		return;
	}
	if (p->payload < 8 || p->have < 8)
		return;
	if (p->raw[0]) {
		w->what = CONTENT_ESP;
		w->spi = bpf_ntohl(p->raw[0]);
		w->esp = bpf_ntohl(p->raw[1]);
		return;
	}
	/* the non-ESP marker: four zero bytes */
	if (p->payload < IKE_HEADER + 4 || p->have < 20)
		return;
	w->what = CONTENT_IKE;
	w->initiator = (__u64)p->raw[2] << 32 | p->raw[1];
	w->responder = (__u64)p->raw[4] << 32 | p->raw[3];
}

#endif
