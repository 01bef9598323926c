/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of the GRE data plane, and the few lines everything else is written with. */
#ifndef BONGSU_GRE_MAPS_H
#define BONGSU_GRE_MAPS_H

#include "gre.h"
#include "too_big.h"

/*
 * The hashes are not preallocated: a replaced element is then freed only after a grace
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

/* Interfaces, besides its first underlay, that a routed tunnel's outer packets arrive by. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct gre_arrival);
	__type(value, __u32);
} gre_arrivals SEC(".maps");

/* Slots by ifindex of the tunnel interface: a way to a peer must not lead there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} gre_by_device SEC(".maps");

/* Room to build an ICMP message, which the stack has not beside everything else. */
struct gre_scratch {
	__u8 bytes[TOO_BIG_LENGTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gre_scratch);
} gre_scratches SEC(".maps");

/*
 * Tunnels that this CPU has found lately. A hash table costs some 30 ns a packet, this a tenth. What
 * was remembered in an earlier generation of the tables is looked up again.
 */
#define RECENT 256 /* 128 bytes each: with more, they would no longer stay in the cache */
#define KEYED_PEER 2 /* gre_pair4.keyed of an entry that was found by interface, in `local` */

struct gre_memory {
	__u64 generation;
	struct gre_pair4 key;
	struct gre_tunnel tunnel;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT);
	__type(key, __u32);
	__type(value, struct gre_memory);
} gre_recent SEC(".maps");

/* Where the next outer packet of a tunnel goes, good for one tick of the kernel's clock (XDP). */
struct gre_hop {
	__u64 tick;
	__u8 destination[6];
	__u8 source[6];
	__u32 ifindex; /* 0: nowhere */
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

INLINE bool silent(const struct gre_state *now)
{
	return now->line_down || now->keepalive_down || now->held;
}

INLINE struct gre_tunnel *recall(const struct gre_pair4 *key, __u32 index)
{
	__u32 zero = GRE_NO_SLOT;
	struct gre_state *tables = bpf_map_lookup_elem(&gre_states, &zero);
	struct gre_memory *memory;
	struct gre_tunnel *found;
	__u64 generation;

	index &= RECENT - 1;
	memory = bpf_map_lookup_elem(&gre_recent, &index);
	if (!memory || !tables)
		return NULL;
	generation = *(volatile __u64 *)&tables->generation;
	if (memory->generation == generation && memory->key.local == key->local &&
	    memory->key.remote == key->remote && memory->key.key == key->key &&
	    memory->key.keyed == key->keyed)
		return &memory->tunnel;
	if (key->keyed == KEYED_PEER)
		found = bpf_map_lookup_elem(&gre_by_peer, &key->local);
	else
		found = bpf_map_lookup_elem(&gre_by_pair4, key);
	if (!found)
		return NULL;
	memory->generation = generation;
	memory->key = *key;
	memory->tunnel = *found;
	return &memory->tunnel;
}

/* The tunnel whose hidden half has this ifindex. */
INLINE struct gre_tunnel *tunnel_of_peer(__u32 ifindex)
{
	struct gre_pair4 key = { .local = ifindex, .keyed = KEYED_PEER };

	return recall(&key, ifindex);
}

/* The tunnel between these two ends. */
INLINE struct gre_tunnel *tunnel_of_pair(const struct gre_pair4 *pair)
{
	__u32 mixed = pair->remote ^ pair->key;

	mixed ^= mixed >> 16;
	return recall(pair, mixed ^ mixed >> 8);
}

#endif
