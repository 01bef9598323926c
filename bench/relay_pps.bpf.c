// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Ends of the relay's packet-rate bench: a beginning for every frame, and counters that swallow. */
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

static __always_inline void count(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&swallowed, &key);

	if (value)
		*value += 1;
}

#define HEAD 54 /* of the shortest frame */
#define LONG 102 /* outer headers, relay header, inner IP and UDP header, an ESP header */

struct head {
	__u8 bytes[104];
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

#define WORD(at) (*(__u64 *)(data + (at)) = *(__u64 *)(head->bytes + (at)))

/*
 * A recycled live frame is as its last user left it. So each is given its first bytes again, and then
 * to the program to be measured, or to the stack. In words that begin where the fields of headers do:
 * the processor waits when a field is read that was written in two parts, which none is that comes from a wire.
 */
SEC("xdp")
int begin(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 key = 0;
	struct head *head = bpf_map_lookup_elem(&heads, &key);

	if (!head || data + HEAD > end)
		return XDP_ABORTED;
	*(__u32 *)data = *(__u32 *)head->bytes;
	*(__u16 *)(data + 4) = *(__u16 *)(head->bytes + 4);
	WORD(6);
	WORD(14);
	WORD(22);
	WORD(30);
	WORD(38);
	WORD(46);
	if (data + LONG <= end) {
		WORD(54);
		WORD(62);
		WORD(70);
		WORD(78);
		WORD(86);
		WORD(94);
	}
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
