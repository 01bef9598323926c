// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Makes each run's packet one of so many flows, in no order, and gives it to the program on trial. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct order {
	__u64 next;
	__u64 mask; /* flows less one, of a power of two */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} trial SEC(".maps");

SEC("tc")
int vary(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct order *order;
	__u32 zero = 0, flow;

	order = bpf_map_lookup_elem(&orders, &zero);
	if (!order || (void *)(ip + 1) > end)
		return TC_ACT_UNSPEC;
	/* an odd stride comes by every flow before it comes by one again */
	order->next += 0x9e3779b97f4a7c15ULL;
	flow = order->next >> 17 & order->mask;
	ip->saddr = bpf_htonl(0x0a000000 | flow);
	bpf_tail_call(skb, &trial, 0);
	return TC_ACT_UNSPEC;
}

struct line {
	__u64 count[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct line);
} lines SEC(".maps");

/* What nobody can do without who counts a flow: a line of memory of its own. */
SEC("tc")
int touch(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct line *line;
	__u32 flow;

	if ((void *)(ip + 1) > end)
		return TC_ACT_UNSPEC;
	/* no neighbours: a flow's line is anywhere */
	flow = (bpf_ntohl(ip->saddr) & 0xffff) * 40503 & 0xffff;
	line = bpf_map_lookup_elem(&lines, &flow);
	if (!line)
		return TC_ACT_UNSPEC;
	line->count[0]++;
	line->count[1] += skb->len;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
