/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of the GRE data plane, and the few lines everything else is written with. */
#ifndef BONGSU_GRE_MAPS_H
#define BONGSU_GRE_MAPS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "gre.h"

#define INLINE static __always_inline

/*
 * The three hashes are not preallocated: a replaced element is then freed only after a grace
 * period, so that a packet in flight sees the whole old tunnel or the whole new one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct gre_tunnel);
} gre_by_peer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct gre_pair4);
	__type(value, struct gre_tunnel);
} gre_by_pair4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct gre_pair6);
	__type(value, struct gre_tunnel);
} gre_by_pair6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct gre_state);
} gre_states SEC(".maps");

/* A per-CPU array cannot be mapped into user space, so CPUs are rows: gre_tunnel.counters + cpu. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct gre_counters);
} gre_counts SEC(".maps");

/* Room to build an ICMP message, which the stack has not beside everything else. */
struct gre_scratch {
	__u8 bytes[sizeof(struct ipv6hdr) + 8 + GRE_QUOTE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gre_scratch);
} gre_scratches SEC(".maps");

/* Where the next outer packet of a tunnel goes, good for one tick of the kernel's clock (XDP). */
struct gre_hop {
	__u64 tick;
	__u8 destination[6];
	__u8 source[6];
	__u32 valid;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct gre_hop);
} gre_hops SEC(".maps");

/* An increment is not atomic and need not be: softirqs of one CPU do not interrupt each other. */
INLINE struct gre_counters *counters(__u32 base)
{
	__u32 index = base + bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&gre_counts, &index);
}

#define COUNT(base, field)                                \
	do {                                              \
		struct gre_counters *_c = counters(base); \
		if (_c)                                   \
			_c->field++;                      \
	} while (0)

INLINE struct gre_state *state(const struct gre_tunnel *tunnel)
{
	__u32 slot = tunnel->slot;

	return bpf_map_lookup_elem(&gre_states, &slot);
}

INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* The ones' complement sum of an IPv4 header without options, folded; 0xffff when it is right. */
INLINE __u16 sum_ip(const struct iphdr *ip)
{
	const __u16 *word = (const void *)ip;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return fold(sum);
}

INLINE bool same16(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

INLINE __u8 class6(const struct ipv6hdr *ip)
{
	return (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
}

#endif
