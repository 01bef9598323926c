/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What to do with a packet that arrived on an underlay interface. tc and XDP share this judgement;
 * it reads the packet and changes nothing but counters.
 *
 * RFC 2784 (GRE), RFC 2890 (key), RFC 6040 (ECN). The checksum and the sequence number are refused,
 * as Linux's own driver refuses them on a tunnel that was not set up for them.
 */
#ifndef BONGSU_GRE_RX_H
#define BONGSU_GRE_RX_H

#include "gre_maps.h"
#include "gre_way.h"
#include "keepalive.h"

#define GRE_CSUM 0x8000
#define GRE_ROUTING 0x4000
#define GRE_KEY 0x2000
#define GRE_SEQ 0x1000
#define GRE_MUST_BE_ZERO 0x4c07 /* routing, strict source route, recursion's top bit, version */

#define FRAGMENT_BITS 0x3fff /* more fragments, or an offset */

enum gre_verdict {
	RX_PASS,     /* not GRE, or no business of ours: on to the stack */
	RX_UNKNOWN,  /* GRE of no tunnel */
	RX_FRAGMENT, /* a fragment of GRE: its key and inner header may be elsewhere */
	RX_ANSWER,   /* our keepalive, reflected by the peer */
	RX_REFLECT,  /* the peer's keepalive */
	RX_DELIVER,
	RX_DROP, /* judgement.reason says why */
};

struct judgement {
	struct gre_tunnel *tunnel;
	__u32 strip;  /* bytes of outer IP and GRE headers */
	__u32 length; /* of the inner IP packet; that of the whole aggregate for a GSO packet */
	__u32 segment_header; /* inner IP and transport header of a GSO packet */
	__be16 protocol; /* of the inner packet */
	__u8 ecn;     /* what the inner packet's becomes */
	__u8 inner_ecn;
	__u8 reason;
	__u8 keepalive;      /* enum keepalive, of RX_REFLECT */
	__u8 inner_headers; /* of an answer that came through the tunnel: those to be skipped */
};

/* RFC 6040, figure 4: the ECN field after decapsulation; 0xff drops the packet. */
INLINE __u8 ecn_out(__u8 inner, __u8 outer)
{
	if (outer == 3)
		return inner ? 3 : 0xff;
	if (outer == 1 && inner == 2)
		return 1;
	return inner;
}

/* The length of a TCP or UDP header at `at`, 0 if there is neither. */
INLINE __u32 transport_header(void *at, void *end, __u8 protocol)
{
	if (protocol == IPPROTO_UDP)
		return 8;
	if (protocol == IPPROTO_TCP && at + 20 <= end)
		return (((__u8 *)at)[12] >> 4) * 4;
	return 0;
}

/*
 * The inner header against the packet it came in. `room` bytes of packet are left for it.
 * `sum` is the header that every segment of a GSO packet repeats.
 */
struct inner {
	__u32 length;
	__u32 header; /* with the transport header, when it is known */
	__u8 tos;
	__u8 protocol;
	bool fixed; /* IPv4 DF, or IPv6: may not be fragmented */
	bool later; /* a fragment other than the first */
};

INLINE bool read_inner4(void *at, void *end, __u32 room, bool gso, struct inner *in)
{
	struct iphdr *ip = at;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return false;
	in->length = bpf_ntohs(ip->tot_len);
	if (gso)
		in->length = room; /* tot_len may be that of one segment, or 0 */
	else if (in->length < ip->ihl * 4 || in->length > room)
		return false;
	in->tos = ip->tos;
	in->protocol = ip->protocol;
	in->fixed = ip->frag_off & bpf_htons(0x4000);
	in->later = ip->frag_off & bpf_htons(0x1fff);
	in->header = sizeof(*ip);
	/* an aggregate has no options: neither GRO nor TCP makes one that has */
	if (gso)
		in->header += transport_header(ip + 1, end, ip->protocol);
	return true;
}

INLINE bool read_inner6(void *at, void *end, __u32 room, bool gso, struct inner *in)
{
	struct ipv6hdr *ip = at;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return false;
	in->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (gso)
		in->length = room;
	else if (in->length > room)
		return false;
	in->tos = class6(ip);
	in->protocol = ip->nexthdr;
	in->fixed = true;
	in->later = false;
	in->header = sizeof(*ip);
	if (gso)
		in->header += transport_header(ip + 1, end, ip->nexthdr);
	return true;
}

INLINE bool read_inner(void *at, void *end, __u32 room, bool six, bool gso, struct inner *in)
{
	return six ? read_inner6(at, end, room, gso, in) : read_inner4(at, end, room, gso, in);
}

/* Huawei's outer protocol type of a keepalive, assigned to nobody. */
#define GRE_PROTOCOL_HUAWEI 0x0004

enum keepalive {
	KEEPALIVE_NONE,
	KEEPALIVE_BACK,	      /* the peer's, to be sent back as it is */
	KEEPALIVE_READDRESSED, /* the peer's, to be sent back to the peer, whatever it says */
	KEEPALIVE_THROUGH,    /* the peer's, to be sent back through the tunnel */
	KEEPALIVE_ANSWER,     /* ours, come back through the tunnel */
};

/* A type that stands for IP too is a keepalive's only where no IP header follows. */
INLINE bool keepalive_rest(__u32 bytes)
{
	return !bytes || bytes == KA_NONCE_BYTES;
}

/*
 * Inside a keepalive: GRE with protocol 0, or `mark`, and the tunnel's own key if it has a key at
 * all. `room` bytes of packet are left for it; 0 if it is none, else the length of its header.
 */
INLINE __u32 keepalive_gre(__be16 *gre, void *end, __u32 room, __be16 mark,
			   const struct gre_tunnel *tunnel)
{
	__u32 header = 4;

	if ((void *)(gre + 2) > end)
		return 0;
	if (gre[0]) {
		if (gre[0] != bpf_htons(GRE_KEY) || !(tunnel->flags & GRE_KEYED) ||
		    (void *)(gre + 4) > end || *(__be32 *)(gre + 2) != tunnel->key)
			return 0;
		header = 8;
	}
	if (room < header)
		return 0;
	if (gre[1] && (gre[1] != mark || !keepalive_rest(room - header)))
		return 0;
	return header;
}

/*
 * Cisco's keepalive: the peer packs the answer it wants into a GRE packet, so that it comes back
 * without our knowing. Only the answer to the tunnel's own peer, from our own end, is sent.
 * `length` is the inner packet's; `*header` becomes that of all its headers.
 */
INLINE int keepalive4(void *at, void *end, __u32 length, const struct gre_tunnel *tunnel,
		      __u32 *header)
{
	struct iphdr *ip = at;
	__u32 gre;

	if ((void *)(ip + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_GRE ||
	    ip->frag_off & bpf_htons(FRAGMENT_BITS) || sum_ip(ip) != 0xffff)
		return KEEPALIVE_NONE;
	gre = keepalive_gre((void *)(ip + 1), end, length - sizeof(*ip), 0, tunnel);
	if (!gre)
		return KEEPALIVE_NONE;
	*header = sizeof(*ip) + gre;
	if (tunnel->family == 4 && ip->saddr == *(__be32 *)tunnel->local) {
		if (ip->daddr == *(__be32 *)tunnel->remote)
			return KEEPALIVE_BACK;
		if (tunnel->peer_dialect == GRE_MIKROTIK)
			return KEEPALIVE_READDRESSED;
	}
	if (!tunnel->inside_local)
		return KEEPALIVE_NONE;
	if (tunnel->peer_dialect == GRE_VELOCLOUD && ip->saddr == tunnel->inside_local &&
	    ip->daddr == tunnel->inside_remote)
		return KEEPALIVE_THROUGH;
	if (tunnel->dialect == GRE_VELOCLOUD && ip->saddr == tunnel->inside_remote &&
	    ip->daddr == tunnel->inside_local)
		return KEEPALIVE_ANSWER;
	return KEEPALIVE_NONE;
}

INLINE int keepalive6(void *at, void *end, __u32 length, const struct gre_tunnel *tunnel)
{
	__be16 mark = tunnel->peer_dialect == GRE_MIKROTIK ? bpf_htons(ETH_P_IPV6) : 0;
	struct ipv6hdr *ip = at;

	if (tunnel->family != 6 || (void *)(ip + 1) > end || ip->nexthdr != IPPROTO_GRE ||
	    !same16(&ip->saddr, tunnel->local) ||
	    !keepalive_gre((void *)(ip + 1), end, length - sizeof(*ip), mark, tunnel))
		return KEEPALIVE_NONE;
	if (same16(&ip->daddr, tunnel->remote))
		return KEEPALIVE_BACK;
	return mark ? KEEPALIVE_READDRESSED : KEEPALIVE_NONE;
}

#define REFUSE(why)                  \
	do {                         \
		j->reason = (why);   \
		return RX_DROP;      \
	} while (0)

/*
 * `sane`: the outer header is one we carry. `room`: bytes from `gre` to the end of the outer
 * packet. `tos`: the outer one. `tunnel` has been found by addresses and key.
 */
INLINE int judge_inner(void *gre, void *end, __u32 room, __u16 flags, __be16 protocol, bool sane,
		       bool gso, __u8 tos, struct judgement *j)
{
	__u32 header = flags & GRE_KEY ? 8 : 4;
	struct gre_tunnel *tunnel = j->tunnel;
	struct gre_state *now = state(tunnel);
	struct inner in = {};
	bool huawei;
	void *at;

	if (!now)
		return RX_PASS;
	if (!sane || flags & GRE_MUST_BE_ZERO)
		REFUSE(GRE_RX_HEADER);
	if (flags & GRE_CSUM)
		REFUSE(GRE_RX_CHECKSUM);
	if (flags & GRE_SEQ)
		REFUSE(GRE_RX_SEQUENCE);
	if (room < header)
		REFUSE(GRE_RX_HEADER);
	at = gre + header;
	room -= header;
	j->strip += header;
	if (!protocol || (tunnel->dialect == GRE_MIKROTIK && tunnel->family == 6 &&
			  protocol == bpf_htons(ETH_P_IPV6) && keepalive_rest(room))) {
		j->length = room;
		return RX_ANSWER;
	}
	huawei = tunnel->peer_dialect == GRE_HUAWEI && protocol == bpf_htons(GRE_PROTOCOL_HUAWEI);
	j->protocol = huawei ? bpf_htons(ETH_P_IP) : protocol;
	if (j->protocol == bpf_htons(ETH_P_IP)) {
		if (!read_inner4(at, end, room, gso, &in))
			REFUSE(GRE_RX_MALFORMED);
		j->length = in.length;
		j->keepalive = keepalive4(at, end, in.length, tunnel, &header);
		if (j->keepalive == KEEPALIVE_ANSWER) {
			j->length = in.length - header;
			j->inner_headers = header;
			return RX_ANSWER;
		}
		if (j->keepalive)
			return RX_REFLECT;
		if (huawei)
			REFUSE(GRE_RX_PROTOCOL);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		if (!read_inner6(at, end, room, gso, &in))
			REFUSE(GRE_RX_MALFORMED);
		j->length = in.length;
		j->keepalive = keepalive6(at, end, in.length, tunnel);
		if (j->keepalive)
			return RX_REFLECT;
	} else {
		REFUSE(GRE_RX_PROTOCOL);
	}
	if (silent(now))
		REFUSE(GRE_RX_LINE_DOWN);
	j->length = in.length;
	j->segment_header = in.header;
	j->inner_ecn = in.tos & 3;
	j->ecn = ecn_out(in.tos & 3, tos & 3);
	if (j->ecn == 0xff)
		REFUSE(GRE_RX_ECN);
	return RX_DELIVER;
}

/* Reads flags, protocol and key; false when the packet ends before them. */
INLINE bool read_gre(void *gre, void *end, __u16 *flags, __be16 *protocol, __be32 *key)
{
	__be16 *word = gre;

	if ((void *)(word + 2) > end)
		return false;
	*flags = bpf_ntohs(word[0]);
	*protocol = word[1];
	*key = 0;
	if (!(*flags & GRE_KEY))
		return true;
	/* a checksum or routing field stands before the key */
	if (*flags & (GRE_CSUM | GRE_ROUTING)) {
		if ((void *)(word + 6) > end)
			return false;
		*key = *(__be32 *)(word + 4);
	} else {
		if ((void *)(word + 4) > end)
			return false;
		*key = *(__be32 *)(word + 2);
	}
	return true;
}

INLINE int judge4(void *data, void *end, __u32 length, __u32 ifindex, bool gso,
		  struct judgement *j)
{
	struct iphdr *ip = data + ETH_HLEN;
	struct gre_pair4 pair = {};
	__u32 header, total, room;
	__be16 protocol;
	__u16 flags;
	void *gre;
	bool sane;

	if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_GRE || ip->version != 4 ||
	    ip->ihl < 5)
		return RX_PASS;
	if (ip->frag_off & bpf_htons(FRAGMENT_BITS))
		return RX_FRAGMENT;
	header = ip->ihl * 4;
	gre = (void *)ip + header;
	if (!read_gre(gre, end, &flags, &protocol, &pair.key))
		return RX_UNKNOWN;
	pair.local = ip->daddr;
	pair.remote = ip->saddr;
	pair.keyed = !!(flags & GRE_KEY);
	j->tunnel = tunnel_of_pair(&pair);
	if (!j->tunnel || !arrives(j->tunnel, ifindex))
		return RX_UNKNOWN;
	total = bpf_ntohs(ip->tot_len);
	room = length - ETH_HLEN;
	/* Ethernet pads short frames; an aggregate's total length says nothing */
	sane = header == sizeof(*ip) && sum_ip(ip) == 0xffff &&
	       (gso || (total >= header && total <= room));
	if (!gso && sane)
		room = total;
	if (room < sizeof(*ip))
		return RX_PASS;
	j->strip = sizeof(*ip);
	return judge_inner(gre, end, room - sizeof(*ip), flags, protocol, sane, gso, ip->tos, j);
}

INLINE int judge6(void *data, void *end, __u32 length, __u32 ifindex, bool gso,
		  struct judgement *j)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u32 header = sizeof(*ip), total, room;
	struct gre_pair6 pair = {};
	__be16 protocol;
	__u16 flags;
	void *gre;
	bool sane;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return RX_PASS;
	gre = ip + 1;
	if (ip->nexthdr == IPPROTO_DSTOPTS) {
		/* Linux's own ip6gre puts the tunnel encapsulation limit here (RFC 2473, 4.1.1) */
		__u8 *option = gre;

		if ((void *)(option + 8) > end || option[0] != IPPROTO_GRE || option[1])
			return RX_PASS;
		gre += 8;
		header += 8;
	} else if (ip->nexthdr != IPPROTO_GRE) {
		return RX_PASS;
	}
	if (!read_gre(gre, end, &flags, &protocol, &pair.key))
		return RX_UNKNOWN;
	__builtin_memcpy(pair.local, &ip->daddr, 16);
	__builtin_memcpy(pair.remote, &ip->saddr, 16);
	pair.keyed = !!(flags & GRE_KEY);
	j->tunnel = bpf_map_lookup_elem(&gre_by_pair6, &pair);
	if (!j->tunnel || !arrives(j->tunnel, ifindex))
		return RX_UNKNOWN;
	total = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	room = length - ETH_HLEN;
	sane = gso || (total >= header && total <= room);
	if (!gso && sane)
		room = total;
	if (room < header)
		return RX_PASS;
	j->strip = header;
	return judge_inner(gre, end, room - header, flags, protocol, sane, gso, class6(ip), j);
}

/* The verdict on a frame; `length` counts what lies beyond `end` too. */
INLINE int judge(void *data, void *end, __u32 length, __u32 ifindex, bool gso,
		 struct judgement *j)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end || length < ETH_HLEN)
		return RX_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return judge4(data, end, length, ifindex, gso, j);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return judge6(data, end, length, ifindex, gso, j);
	return RX_PASS;
}

#endif
