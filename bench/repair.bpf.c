/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A path that loses: Gilbert and Elliott's chain of a good and a bad state, one step a packet, of a
 * seeded generator. Independent losses are the chain whose states do not depend on the one before.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

struct path {
	__u64 state;
	__u64 passed, lost;
	__u32 worsens, recovers; /* of 2^32: good to bad, bad to good */
	__u32 loses;		 /* of 2^32: in the bad state */
	__u32 bad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path);
} path SEC(".maps");

static __always_inline __u32 next(struct path *p)
{
	p->state = p->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return p->state >> 32;
}

SEC("tc")
int lossy(struct __sk_buff *skb)
{
	__u32 zero = 0, chance;
	struct path *p = bpf_map_lookup_elem(&path, &zero);

	if (!p)
		return TC_ACT_UNSPEC;
	chance = next(p);
	p->bad = p->bad ? chance >= p->recovers : chance < p->worsens;
	if (p->bad && next(p) < p->loses) {
		p->lost++;
		/* stolen: a sender that is told of it would know more than by a real path */
		return TC_ACT_STOLEN;
	}
	p->passed++;
	return TC_ACT_UNSPEC;
}

char licence[] SEC("license") = "Dual BSD/GPL";
