/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The monitor's tables. User space sizes them before loading, for the processors that there are. */
#ifndef BONGSU_FLOW_MAPS_H
#define BONGSU_FLOW_MAPS_H

#include "flow.h"
#include "ip.h"

/* Packets are counted in one processor's own part, [cpu * sets, (cpu + 1) * sets). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_set);
} flow_cache SEC(".maps");

/* Whose places they are. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_owners);
} flow_owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_settings);
} flow_settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_INTERFACES);
	__type(key, __u32);
	__type(value, struct flow_interface);
} flow_devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_stats);
} flow_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_HANDSHAKES);
	__type(key, __u32);
	__type(value, __u64);
} flow_shakes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_PARTIAL);
	__type(key, __u32);
	__type(value, __u64);
} flow_partial SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_tunnel);
	__type(value, __u32);
} flow_tunnels SEC(".maps");

/*
 * Where the cache's victims go. Programs write the one that the outer map has; user space puts the
 * other there, which waits until no program is left in the first, and empties that in peace.
 */
struct flow_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_spilled);
	__type(value, struct flow_record);
} flow_table_a SEC(".maps"), flow_table_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct flow_table);
} flow_spill SEC(".maps") = {
	.values = { &flow_table_a },
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} flow_events SEC(".maps");

INLINE struct flow_stats *flow_stats_here(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&flow_stats, &cpu);
}

#define FLOW_COUNT(field, number)                              \
	do {                                                   \
		struct flow_stats *stats_ = flow_stats_here(); \
		if (stats_)                                    \
			stats_->field += (number);             \
	} while (0)

#endif
