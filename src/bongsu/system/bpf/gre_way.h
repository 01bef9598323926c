/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way to a tunnel's peer, and back. A tunnel between loopbacks has no underlay of its own: each
 * packet follows the routing table as it is at that moment, so that what a floating route brings
 * needs nobody to tell us. Never into a tunnel: a packet that did would come round again and grow.
 */
#ifndef BONGSU_GRE_WAY_H
#define BONGSU_GRE_WAY_H

#include "gre_maps.h"

#define FAMILY4 2 /* AF_INET */
#define FAMILY6 10 /* AF_INET6 */
#define LOOPBACK 1 /* ifindex of `lo`, in every network namespace: what the machine itself sends */

/* Whether outer packets of the tunnel may arrive by this interface. */
INLINE bool arrives(const struct gre_tunnel *tunnel, __u32 ifindex)
{
	struct gre_arrival key = { .slot = tunnel->slot, .ifindex = ifindex };

	if (tunnel->underlay == ifindex)
		return true;
	return tunnel->flags & GRE_ROUTED && bpf_map_lookup_elem(&gre_arrivals, &key);
}

/* Asks the routing table; `total` bytes of outer packet are to pass, 0 does not ask for that. */
INLINE long look_up(void *ctx, const struct gre_tunnel *tunnel, __u32 total,
		    struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = IPPROTO_GRE;
	fib->tot_len = total;
	if (tunnel->family == 4) {
		fib->family = FAMILY4;
		fib->ipv4_src = *(__be32 *)tunnel->local;
		fib->ipv4_dst = *(__be32 *)tunnel->remote;
	} else {
		fib->family = FAMILY6;
		__builtin_memcpy(fib->ipv6_src, tunnel->local, 16);
		__builtin_memcpy(fib->ipv6_dst, tunnel->remote, 16);
	}
	if (tunnel->flags & GRE_ROUTED) {
		fib->ifindex = LOOPBACK;
		return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	}
	fib->ifindex = tunnel->underlay;
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), BPF_FIB_LOOKUP_OUTPUT);
}

INLINE bool into_tunnel(const struct gre_tunnel *tunnel, __u32 ifindex)
{
	return ifindex != tunnel->underlay && bpf_map_lookup_elem(&gre_by_device, &ifindex);
}

/*
 * The way of a routed tunnel's next outer packet, in `fib`: 0, or the reason why there is none. With
 * GRE_TX_TOO_BIG, fib->mtu_result is what would pass.
 */
INLINE __u32 find_way(void *ctx, const struct gre_tunnel *tunnel, __u32 total,
		      struct bpf_fib_lookup *fib)
{
	long answer = look_up(ctx, tunnel, total, fib);

	if (answer == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return fib->mtu_result < total ? GRE_TX_TOO_BIG : GRE_TX_ERROR;
	/* a neighbour that is not known yet is asked for when the packet is sent */
	if (answer && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return GRE_TX_NO_ROUTE;
	return into_tunnel(tunnel, fib->ifindex) ? GRE_TX_RECURSIVE : 0;
}

/* Sends an outer packet: where `fib` says if the tunnel is routed, else by its underlay. */
INLINE long send_out(const struct gre_tunnel *tunnel, const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh next = {};

	if (!(tunnel->flags & GRE_ROUTED))
		return bpf_redirect_neigh(tunnel->underlay, NULL, 0, 0);
	next.nh_family = fib->family;
	if (fib->family == FAMILY4)
		next.ipv4_nh = fib->ipv4_dst;
	else
		__builtin_memcpy(next.ipv6_nh, fib->ipv6_dst, 16);
	return bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
}

#endif
