/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A bpf_timer that fires every `interval` ns and notes how late it was. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

char licence[] SEC("license") = "Dual BSD/GPL";

#define ROUNDS 65536
#define MONOTONIC 1 /* CLOCK_MONOTONIC */
#define ABSOLUTE 1  /* BPF_F_TIMER_ABS, Linux 6.4 */

struct tick {
	struct bpf_timer timer;
	__u64 due, interval;
	__u32 count, rounds;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROUNDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} late SEC(".maps");

static int fire(void *map, __u32 *key, struct tick *tick)
{
	__u64 now = bpf_ktime_get_ns(), *slot;
	__u32 at = tick->count;

	slot = bpf_map_lookup_elem(&late, &at);
	if (slot)
		*slot = now - tick->due + 1;
	tick->count++;
	tick->due += tick->interval;
	if (tick->count < tick->rounds)
		bpf_timer_start(&tick->timer, tick->due, ABSOLUTE);
	return 0;
}

/* The packet's first 12 bytes: nanoseconds of the interval, and rounds. */
SEC("tc")
int begin(struct __sk_buff *skb)
{
	__u64 interval;
	__u32 rounds, zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);

	if (!tick || bpf_skb_load_bytes(skb, 14, &interval, 8) ||
	    bpf_skb_load_bytes(skb, 22, &rounds, 4))
		return TC_ACT_SHOT;
	tick->interval = interval;
	tick->rounds = rounds;
	tick->count = 0;
	tick->due = bpf_ktime_get_ns() + interval;
	if (bpf_timer_init(&tick->timer, &ticks, MONOTONIC))
		return TC_ACT_SHOT;
	bpf_timer_set_callback(&tick->timer, fire);
	bpf_timer_start(&tick->timer, tick->due, ABSOLUTE);
	return TC_ACT_OK;
}
