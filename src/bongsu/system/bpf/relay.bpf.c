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
	w->record = 0;
	w->what = CONTENT_OTHER;
	w->now = bpf_ktime_get_coarse_ns();
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

/*
 * Reads a frame's IP packet at `at`. False when it is no business of ours: other protocols, and
 * addresses that are not ours. `flags` are those of the destination.
 */
INLINE bool read(struct relay_work *w, void *at, void *end, __u32 room, bool six, bool gso,
		 __u32 *flags)
{
	struct relay_config *c = config();
	__u32 *ours;

	if (!c || !parse(at, end, room, six, gso, &w->ip))
		return false;
	ours = bpf_map_lookup_elem(&rl_addresses, w->ip.target);
	if (!ours)
		return false;
	*flags = *ours;
	if (*ours & RELAY_LOCAL && w->ip.protocol == IPPROTO_UDP && w->ip.dport == c->port &&
	    w->ip.fragment == WHOLE) {
		if (six)
			read_wrapped(w, at + sizeof(struct ipv6hdr) + sizeof(struct udp), end,
				     w->ip.payload, gso);
		else
			read_wrapped(w, at + sizeof(struct iphdr) + sizeof(struct udp), end,
				     w->ip.payload, gso);
		return true;
	}
	w->in = w->ip;
	return true;
}

INLINE int judge(struct relay_work *w, __u32 flags)
{
	if (w->wrapped)
		return relay_judge_wrapped(w);
	return relay_judge_raw(w, flags);
}

/* Of outer packets to a peer: bytes before the inner packet. */
INLINE __u32 overhead(const struct relay_peer *peer)
{
	return (peer->family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + OVER_UDP;
}

/* Outer packets have DF: their fragments would not be taken at the other side. */
INLINE void build4(struct outer4 *out, const struct relay_peer *peer, const struct relay_work *w,
		   __be16 port)
{
	__u32 total = w->in.length + sizeof(*out);
	__be32 *word = (void *)out;
	__u32 first, third;
	__u16 sum;

	first = bpf_htonl(0x45000000 | w->in.tos << 16 | (total & 0xffff));
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

	*(__be32 *)out = bpf_htonl(0x60000000 | w->in.tos << 20 | flow);
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

/* The sum of all words that translation writes into, as they are or as they will be. */
INLINE __u64 sum_words(const __u8 *source, const __u8 *target, bool six)
{
	const __u32 *s = (const void *)source, *t = (const void *)target;
	__u64 sum = (__u64)s[3] + t[3];

	if (six)
		sum += (__u64)s[0] + s[1] + s[2] + t[0] + t[1] + t[2];
	return sum;
}

/* What a checksum grows by when the addresses (or the ports) change: ones' complement. */
INLINE __u16 address_change(const struct relay_work *w)
{
	__u16 old = fold(sum_words(w->in.source, w->in.target, w->in.six));

	return fold(sum_words(w->source, w->target, w->in.six) + (__u16)~old);
}

INLINE __u16 port_change(const struct relay_work *w)
{
	__u16 old = fold((__u32)w->in.sport + w->in.dport);

	return fold((__u32)w->sport + w->dport + (__u16)~old);
}

INLINE __be16 grown(__be16 check, __u16 change)
{
	return ~fold((__u32)(__u16)~check + change);
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
		__u32 change = address_change(w);

		/* one hop less is 0x0100 less in network order: more of its complement */
		change += (__u16)~bpf_htons(0x0100);
		ip->check = grown(ip->check, fold(change));
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
