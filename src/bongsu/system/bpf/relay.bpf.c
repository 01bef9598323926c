// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The accelerators' relay: clients' UDP and TCP is taken in at one PoP, carried to another between
 * outer headers (relay.h), and leaves there from one address. What is decided is in relay_judge.h;
 * here packets are read, changed and sent.
 *
 * The outer UDP checksum is zero, over IPv6 too (RFC 6935, RFC 6936): what it would protect, the
 * addresses and ports inside and whose packet it is, the tag covers; and payload has its own.
 */
#include "relay_pmtu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Outer IPv6, UDP, relay header, inner IPv6 with a fragment header, UDP and an IKE header's start. */
#define HEADERS 192
#define EALREADY 114

#define OVER_UDP (sizeof(struct udp) + sizeof(struct relay_header))

struct udp {
	__be16 source;
	__be16 target;
	__be16 length;
	__be16 check;
};

/* A tag need not begin at a multiple of eight bytes. */
struct outer4 {
	struct iphdr ip;
	struct udp udp;
	struct relay_header head;
} __attribute__((packed, aligned(4)));

struct outer6 {
	struct ipv6hdr ip;
	struct udp udp;
	struct relay_header head;
} __attribute__((packed, aligned(4)));

INLINE struct relay_work *begin(bool fast)
{
	__u32 zero = 0;
	struct relay_work *w = bpf_map_lookup_elem(&rl_works, &zero);

	if (!w)
		return NULL;
	w->wrapped = 0;
	w->readable = UNREADABLE;
	w->fast = fast;
	w->trusted = 0;
	w->translate = 0;
	w->direction = 0;
	w->wants = 0;
	w->repair = 0;
	w->gso = 0;
	w->segments = 1;
	w->slot = 0;
	w->from = 0;
	w->record = 0;
	w->what = CONTENT_OTHER;
	tell_time(w);
	return w;
}

/* The relay header and the packet behind it, at `at`; `room` bytes of packet are there. */
INLINE void read_wrapped(struct relay_work *w, void *at, void *end, __u32 room, bool gso)
{
	struct relay_header *head = at;
	__u8 version;

	w->wrapped = 1;
	if ((void *)(head + 1) + 1 > end || room <= sizeof(*head))
		return;
	w->head = *head;
	version = *(__u8 *)(head + 1) >> 4;
	w->readable = READ_HEADER;
	if (version != 4 && version != 6)
		return;
	if (parse(head + 1, end, room - sizeof(*head), version == 6, gso, &w->in))
		w->readable = READ_ALL;
}

/* What is known of a destination, and in w->from of the PoP that the packet may be from. */
INLINE __u32 known(struct relay_work *w, const struct relay_config *c, const __u8 *source,
		   const __u8 *target)
{
	const __u32 *s = (const void *)source, *t = (const void *)target;
	__u32 at = t[3] ^ t[1] ^ s[3] ^ s[1], *found;
	struct relay_memory *memory;

	at ^= at >> 16;
	at = (at ^ at >> 8) & (RECENT - 1);
	memory = bpf_map_lookup_elem(&rl_recent, &at);
	if (!memory)
		return 0;
	if (memory->generation != c->generation || !same16(memory->target, target) ||
	    !same16(memory->source, source)) {
		found = bpf_map_lookup_elem(&rl_addresses, target);
		if (!found)
			return 0; /* what is not ours does not push out what is */
		memory->generation = c->generation;
		copy16(memory->target, target);
		copy16(memory->source, source);
		memory->flags = *found;
		copy16(w->ends.local, target);
		copy16(w->ends.remote, source);
		found = bpf_map_lookup_elem(&rl_ends, &w->ends);
		memory->from = found ? *found : 0;
	}
	w->from = memory->from;
	return memory->flags;
}

/* Whether the IP packet at `at` is a whole one of UDP to the PoPs' own port; then w->ip tells of it. */
INLINE bool between(struct relay_work *w, const struct relay_config *c, void *at, void *end,
		    __u32 room, bool six)
{
	struct relay_packet *p = &w->ip;
	struct ipv6hdr *ip6 = at;
	struct iphdr *ip = at;
	struct udp *udp;

	if (six) {
		udp = (void *)(ip6 + 1);
		if ((void *)(udp + 1) > end || ip6->nexthdr != IPPROTO_UDP ||
		    udp->target != c->port || ip6->version != 6)
			return false;
		__builtin_memcpy(p->source, &ip6->saddr, 16);
		__builtin_memcpy(p->target, &ip6->daddr, 16);
		p->length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
		p->transport = sizeof(*ip6);
	} else {
		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end || ip->protocol != IPPROTO_UDP ||
		    udp->target != c->port || *(__u8 *)at != 0x45 ||
		    ip->frag_off & bpf_htons(0x3fff))
			return false;
		((__u64 *)p->source)[0] = 0;
		((__u64 *)p->target)[0] = 0;
		((__u64 *)p->source)[1] = (__u64)ip->saddr << 32 | bpf_htonl(0xffff);
		((__u64 *)p->target)[1] = (__u64)ip->daddr << 32 | bpf_htonl(0xffff);
		p->length = bpf_ntohs(ip->tot_len);
		p->transport = sizeof(*ip);
	}
	*(__u64 *)&p->protocol = IPPROTO_UDP;
	p->six = six;
	p->sport = udp->source;
	/* lengths that cannot be are not an aggregate's (it comes with none that could be relied on) */
	if (w->gso)
		p->length = room;
	p->payload = p->length - p->transport - sizeof(*udp);
	if (p->length > room || p->length < p->transport + sizeof(*udp))
		return false;
	if (!w->gso) {
		__u32 claimed = bpf_ntohs(udp->length);

		if (claimed < sizeof(*udp) || claimed > p->length - p->transport)
			return false;
		p->payload = claimed - sizeof(*udp);
	}
	return true;
}

/*
 * Reads a frame's IP packet at `at`; the flags of its destination. 0 when it is no business of ours:
 * other protocols, and addresses that are not ours.
 */
INLINE __u32 read(struct relay_work *w, void *at, void *end, __u32 room, bool six)
{
	struct relay_config *c = config();
	__u32 flags;

	if (!c)
		return 0;
	if (between(w, c, at, end, room, six)) {
		flags = known(w, c, w->ip.source, w->ip.target);
		if (flags & RELAY_LOCAL) {
			at += (six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct udp);
			read_wrapped(w, at, end, w->ip.payload, w->gso);
			return flags;
		}
	}
	if (!parse(at, end, room, six, w->gso, &w->in))
		return 0;
	return known(w, c, w->in.source, w->in.target);
}

INLINE int judge(struct relay_work *w, __u32 flags)
{
	if (w->wrapped)
		return relay_judge_wrapped();
	return relay_judge_raw(flags);
}

/* Of outer packets to a peer: bytes before the inner packet. */
INLINE __u32 overhead(const struct relay_peer *peer)
{
	return (peer->family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + OVER_UDP;
}

/*
 * Outer packets have DF: their fragments would not be taken at the other side. No mark of congestion
 * would be carried inside either, so they do not ask for any (RFC 6040, 4.1, compatibility mode).
 */
#define CLASS(tos) ((tos) & 0xfc)

INLINE void build4(struct outer4 *out, const struct relay_peer *peer, const struct relay_work *w,
		   __be16 port)
{
	__u32 total = w->in.length + sizeof(*out);
	__be32 *word = (void *)out;
	__u32 first, third;
	__u16 sum;

	first = bpf_htonl(0x45000000 | CLASS(w->in.tos) << 16 | (total & 0xffff));
	third = bpf_htonl(64U << 24 | IPPROTO_UDP << 16);
	word[0] = first;
	word[1] = bpf_htonl(0x4000);
	word[3] = four_of(peer->local);
	word[4] = four_of(peer->remote);
	sum = ~fold((__u64)first + bpf_htonl(0x4000) + third + word[3] + word[4]);
	word[2] = third | bpf_htonl(bpf_ntohs(sum));
	word[5] = (__u32)port << 16 | port;
	word[6] = bpf_htonl((total - sizeof(struct iphdr)) << 16);
	out->head = w->head;
}

INLINE void build6(struct outer6 *out, const struct relay_peer *peer, const struct relay_work *w,
		   __be16 port)
{
	__u32 length = w->in.length + OVER_UDP;
	/* RFC 6438: the flow label keeps a flow on one of several equal paths */
	__u32 flow = w->record * 0x9e3779b1U >> 12;

	*(__be32 *)out = bpf_htonl(0x60000000 | CLASS(w->in.tos) << 20 | flow);
	out->ip.payload_len = bpf_htons(length);
	out->ip.nexthdr = IPPROTO_UDP;
	out->ip.hop_limit = 64;
	__builtin_memcpy(&out->ip.saddr, peer->local, 16);
	__builtin_memcpy(&out->ip.daddr, peer->remote, 16);
	out->udp.source = port;
	out->udp.target = port;
	out->udp.length = bpf_htons(length);
	out->udp.check = 0;
	out->head = w->head;
}

/* A checksum when what it sums has grown by `change`, at most two of sixteen bits. */
INLINE __be16 grown(__be16 check, __u32 change)
{
	__u32 sum = (__u32)(__u16)~check + change;

	sum = (sum & 0xffff) + (sum >> 16);
	return ~(__u16)(sum + (sum >> 16));
}

/* The IP header at `at` gets the new addresses and is one hop older; the header is checked. */
INLINE void translate_ip(void *at, const struct relay_work *w)
{
	if (w->in.six) {
		struct ipv6hdr *ip = at;

		ip->hop_limit--;
		__builtin_memcpy(&ip->saddr, w->source, 16);
		__builtin_memcpy(&ip->daddr, w->target, 16);
	} else {
		struct iphdr *ip = at;

		/* one hop less is 0x0100 less in network order: more of its complement */
		ip->check = grown(ip->check, (__u32)w->addresses + (__u16)~bpf_htons(0x0100));
		ip->ttl--;
		ip->saddr = four_of(w->source);
		ip->daddr = four_of(w->target);
	}
}

INLINE __u32 checksum_at(const struct relay_work *w)
{
	return w->in.protocol == IPPROTO_UDP ? 6 : 16;
}

INLINE bool has_transport(const struct relay_work *w)
{
	return w->in.fragment != LATER;
}

#include "relay_tc.h"
#include "relay_xdp.h"
