// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The flow monitor: counts what passes an interface, by flow, and reads the heads of HTTP/1.x.
 * One program for each direction, for any interface: with an Ethernet header or none, with one
 * VLAN tag. On an underlay, packets of declared GRE tunnels count twice, outside and inside.
 *
 * Never changes a packet and never decides about one: it answers TC_ACT_UNSPEC, and whatever
 * filters come behind it go on as if it were not there.
 */
#include "flow_count.h"
#include "flow_http.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What one packet is: a flow, and another one inside of it when `nested`. */
struct flow_view {
	struct flow_packet outer;
	struct flow_packet inner;
	struct flow_scratch scratch;
	__u32 tunnel;
	bool nested;
} __attribute__((aligned(64)));

/*
 * One for each processor. On the stack the verifier would follow each value that a header can have
 * through all that comes after; what is in a map's memory it does not know.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_view);
} flow_views SEC(".maps");

INLINE const struct flow_interface *flow_interface_of(__u32 ifindex)
{
	const struct flow_interface *found;
	__u32 i, at;

#pragma unroll
	for (i = 0; i < FLOW_PROBES; i++) {
		at = (ifindex + i) % FLOW_INTERFACES;
		found = bpf_map_lookup_elem(&flow_devices, &at);
		if (found && found->ifindex == ifindex)
			return found;
	}
	return NULL;
}

INLINE __u32 flow_tunnel_of(const struct flow_key *key, __be32 number, bool keyed)
{
	bool leaves = key->direction & FLOW_EGRESS;
	struct flow_tunnel pair;
	__u32 *found;

	__builtin_memcpy(pair.local, leaves ? key->saddr : key->daddr, 16);
	__builtin_memcpy(pair.remote, leaves ? key->daddr : key->saddr, 16);
	pair.key = number;
	pair.keyed = keyed;
	found = bpf_map_lookup_elem(&flow_tunnels, &pair);
	return found ? *found : 0;
}

/* Inside an aggregate, what every segment repeats reaches down to the innermost header. */
INLINE int flow_look_inside(struct __sk_buff *skb, const struct flow_interface *device,
			    struct flow_view *view)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct flow_packet *p = &view->outer, *q = &view->inner;
	__be16 protocol;
	__be32 key;
	bool keyed;
	int parsed;

	q->at = p->l4;
	if (p->key.proto == IPPROTO_GRE) {
		parsed = flow_gre(data, end, p, &q->at, &protocol, &key, &keyed);
		if (parsed != PARSED)
			return parsed;
		if (device->flags & FLOW_UNDERLAY)
			view->tunnel = flow_tunnel_of(&p->key, key, keyed);
	} else if (p->key.proto == IPPROTO_IPIP) {
		protocol = bpf_htons(ETH_P_IP);
	} else if (p->key.proto == IPPROTO_IPV6) {
		protocol = bpf_htons(ETH_P_IPV6);
	} else {
		return PARSED;
	}
	if (!protocol || p->later)
		return PARSED;
	q->key.ifindex = p->key.ifindex;
	q->key.tunnel = view->tunnel;
	q->key.vlan = p->key.vlan;
	q->key.direction = p->key.direction | FLOW_INNER;
	parsed = flow_parse(data, end, p->at + p->length, protocol, skb->gso_size, q);
	/* an outer packet with anything inside is one packet all the same */
	view->nested = parsed == PARSED;
	return parsed == PARSED_SHORT ? parsed : PARSED;
}

INLINE int flow_look(struct __sk_buff *skb, const struct flow_interface *device,
		     __be16 protocol, struct flow_view *view)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct flow_packet *p = &view->outer;
	int parsed;

	view->nested = false;
	view->tunnel = 0;
	p->at = device->offset & 0x1f;
	if (protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD)) {
		__be16 *tag = data + p->at;

		if (!p->at)
			return PARSED_BAD;
		if ((void *)(tag + 2) > end)
			return PARSED_SHORT;
		p->key.vlan = bpf_ntohs(tag[0]) & 0xfff;
		protocol = tag[1];
		p->at += 4;
	}
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6)) {
		FLOW_COUNT(other, 1);
		return -1;
	}
	parsed = flow_parse(data, end, skb->len, protocol, skb->gso_size, p);
	if (parsed != PARSED)
		return parsed;
	if (p->key.proto == IPPROTO_GRE ? device->flags & FLOW_UNDERLAY || skb->gso_size :
	    !!skb->gso_size && (p->key.proto == IPPROTO_IPIP || p->key.proto == IPPROTO_IPV6))
		return flow_look_inside(skb, device, view);
	return PARSED;
}

/* Whether the segment is worth an HTTP reader's time; if so, does not come back. */
INLINE void flow_maybe_http(struct __sk_buff *skb, const struct flow_packet *p,
			    __u64 print)
{
	__u32 length = p->room - p->header, zero = 0, size = 4;
	__u32 payload = p->l4 + p->header;
	struct http_work *work;
	__u8 first[4] = {};
	__u64 *waiting;
	bool partial;

	if (p->key.proto != IPPROTO_TCP || !p->header || p->header >= p->room)
		return;
	if (length < size)
		size = length;
	waiting = flow_partial_of(print);
	partial = waiting && *waiting == print;
	if (!partial) {
		void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
		__u8 *at = data + (payload & 0x3ff);

		if (size == 4 && payload <= 0x3ff && (void *)(at + 4) <= end)
			__builtin_memcpy(first, at, 4);
		else if (bpf_skb_load_bytes(skb, payload, first, size == 4 ? 4 : 1))
			return;
		if (!http_begins(first, size == 4 ? 4 : 1))
			return;
	}
	work = bpf_map_lookup_elem(&flow_work, &zero);
	if (!work)
		return;
	work->key = p->key;
	work->print = print;
	work->payload = payload;
	work->left = length;
	work->sequence = p->sequence;
	work->runs = partial ? HTTP_RUNS : 0;
	bpf_tail_call(skb, &flow_tails, 0);
}

INLINE int flow_see(struct __sk_buff *skb, __u8 direction)
{
	__u32 ifindex = skb->ifindex, packets = 1, size = skb->gso_size, zero = 0, end;
	const struct flow_interface *device;
	const struct flow_settings *settings;
	const struct flow_choice *choice;
	__be16 protocol = skb->protocol;
	__u32 cpu = bpf_get_smp_processor_id();
	struct flow_view *view;
	__u64 print, inner;
	int parsed;

	device = flow_interface_of(ifindex);
	if (!device || !(device->flags & FLOW_ON))
		return TC_ACT_UNSPEC;
	settings = bpf_map_lookup_elem(&flow_settings, &zero);
	view = bpf_map_lookup_elem(&flow_views, &cpu);
	if (!settings || !view)
		return TC_ACT_UNSPEC;
	choice = &settings->choice[settings->active & 1];
	if (choice->every > 1 && bpf_get_prandom_u32() > choice->threshold) {
		FLOW_COUNT(unsampled, 1);
		return TC_ACT_UNSPEC;
	}
	view->outer.key.ifindex = ifindex;
	view->outer.key.tunnel = device->tunnel;
	view->outer.key.vlan = skb->vlan_present ? skb->vlan_tci & 0xfff : 0;
	view->outer.key.direction = direction;
	parsed = flow_look(skb, device, protocol, view);
	if (parsed == PARSED_SHORT) {
		/* pulling copies, so it is done only for headers that lie scattered */
		bpf_skb_pull_data(skb, skb->len < FLOW_HEADERS ? skb->len : FLOW_HEADERS);
		parsed = flow_look(skb, device, protocol, view);
	}
	if (parsed != PARSED) {
		if (parsed > 0)
			FLOW_COUNT(malformed, 1);
		return TC_ACT_UNSPEC;
	}
	end = view->nested ? view->inner.l4 + view->inner.header : view->outer.l4 + view->outer.header;
	if (size) {
		packets = skb->gso_segs;
		/* a guest's aggregate does not say how many it will be */
		if (!packets && skb->len > end)
			packets = (skb->len - end + size - 1) / size;
		if (!packets)
			packets = 1;
	}
	if (view->tunnel)
		view->outer.key.tunnel = view->tunnel;
	print = flow_count(settings, choice, &view->outer, packets,
			   view->outer.length + (packets - 1) * (end - view->outer.at), cpu,
			   &view->scratch);
	if (view->nested && view->tunnel) {
		inner = flow_count(settings, choice, &view->inner, packets,
				   view->inner.length + (packets - 1) * (end - view->inner.at),
				   cpu, &view->scratch);
		if (inner && choice->metrics & FLOW_HTTP && device->flags & FLOW_HTTP_HERE)
			flow_maybe_http(skb, &view->inner, inner);
	} else if (print && choice->metrics & FLOW_HTTP && device->flags & FLOW_HTTP_HERE) {
		flow_maybe_http(skb, &view->outer, print);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	return flow_see(skb, 0);
}

SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	return flow_see(skb, FLOW_EGRESS);
}

SEC("tc")
int flow_http(struct __sk_buff *skb)
{
	struct http_work *work;
	__u32 zero = 0;

	work = bpf_map_lookup_elem(&flow_work, &zero);
	if (!work)
		return TC_ACT_UNSPEC;
	/* the first run of a segment opens the head */
	if (!work->runs || work->runs == HTTP_RUNS) {
		if (!http_open(work, work->runs))
			return TC_ACT_UNSPEC;
		work->runs = 0;
	}
	if (http_read(skb, work) && ++work->runs < HTTP_RUNS)
		bpf_tail_call(skb, &flow_tails, 0);
	http_close(work);
	return TC_ACT_UNSPEC;
}
