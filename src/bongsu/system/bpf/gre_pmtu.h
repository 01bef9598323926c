/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Path MTU through the tunnel (RFC 1191, RFC 8201, RFC 4459 section 3.1): what the underlay says
 * lowers the tunnel's inside MTU, and inner senders are told when their packets exceed it.
 */
#ifndef BONGSU_GRE_PMTU_H
#define BONGSU_GRE_PMTU_H

#include "gre_rx.h"
#include "too_big.h"

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
	struct gre_scratch *scratch;
	__u64 time;

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
	if (describe(skb, scratch->bytes, six, mtu))
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, 0, tunnel->device_mac, ETH_ALEN, 0))
		return TC_ACT_SHOT;
	COUNT(tunnel->counters, too_big_sent);
	return bpf_redirect(tunnel->device, BPF_F_INGRESS);
}

#endif
