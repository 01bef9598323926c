// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Ends of a packet-rate bench: a way into the stack, a way past it, and counters that swallow. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} swallowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} onward SEC(".maps");

static __always_inline void count(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&swallowed, &key);

	if (value)
		*value += 1;
}

#define HEAD 60 /* all of the shortest frame, and GRE's headers with the inner one */
#define LONG 104 /* VXLAN's headers with the inner one */

struct head {
	__u8 bytes[LONG];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct head);
} heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} then SEC(".maps");

/*
 * A recycled live frame is as its last user left it: its TTL spent, its headers written over. So
 * each is given its first bytes again, and then to the program to be measured, or to the stack.
 */
SEC("xdp")
int begin(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 key = 0;
	struct head *head = bpf_map_lookup_elem(&heads, &key);

	if (!head || data + HEAD > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, head->bytes, HEAD);
	if (data + LONG <= end)
		__builtin_memcpy(data + HEAD, head->bytes + HEAD, LONG - HEAD);
	bpf_tail_call(ctx, &then, 0);
	return XDP_PASS;
}

SEC("xdp")
int swallow_xdp(struct xdp_md *ctx)
{
	count();
	return XDP_DROP;
}

SEC("tc")
int swallow_tc(struct __sk_buff *skb)
{
	count();
	return TC_ACT_SHOT;
}

/* Straight out of another interface, with no routing in between. */
SEC("tc")
int send_on(struct __sk_buff *skb)
{
	__u32 key = 0, *index = bpf_map_lookup_elem(&onward, &key);

	return index ? bpf_redirect(*index, 0) : TC_ACT_SHOT;
}

#define OUTER 24 /* bytes of IPv4 and GRE header */

/* The same, and it puts back what decapsulation took and wrote over, for the frame's next turn. */
SEC("xdp")
int swallow_again(struct xdp_md *ctx)
{
	void *data, *end;
	__u32 key = 0;
	struct head *head = bpf_map_lookup_elem(&heads, &key);

	count();
	if (!head || bpf_xdp_adjust_head(ctx, -OUTER))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + OUTER + 16 <= end)
		__builtin_memcpy(data, head->bytes, OUTER + 16);
	return XDP_DROP;
}
