/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of the relay's data plane, its working memory, and the lines the rest is written with. */
#ifndef BONGSU_RELAY_MAPS_H
#define BONGSU_RELAY_MAPS_H

#include "relay.h"
#include "too_big.h"

#define FAMILY4 2 /* AF_INET */
#define FAMILY6 10 /* AF_INET6 */
#define LOOPBACK 1 /* ifindex of `lo`, in every network namespace: what the machine itself sends */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "SipHash is little-endian, and so are the machines that this was written for"
#endif

#define TABLE(name, entries, key_type, value_type)          \
	struct {                                            \
		__uint(type, BPF_MAP_TYPE_HASH);            \
		__uint(map_flags, BPF_F_NO_PREALLOC);       \
		__uint(max_entries, entries);               \
		__type(key, key_type);                      \
		__type(value, value_type);                  \
	} name SEC(".maps")

#define MEMORY(name, entries, value_type)                   \
	struct {                                            \
		__uint(type, BPF_MAP_TYPE_ARRAY);           \
		__uint(map_flags, BPF_F_MMAPABLE);          \
		__uint(max_entries, entries);               \
		__type(key, __u32);                         \
		__type(value, value_type);                  \
	} name SEC(".maps")

/* What is set up by user space. */
MEMORY(rl_config, 1, struct relay_config);
MEMORY(rl_peers, 256, struct relay_peer);
MEMORY(rl_accels, RELAY_SLOTS, struct relay_accelerator);
MEMORY(rl_listeners, 1024, struct relay_listener);
MEMORY(rl_wheels, 1024, struct relay_wheel);
MEMORY(rl_endpoints, 1024 * RELAY_ENDPOINTS, struct relay_endpoint);
TABLE(rl_addresses, 4096, struct relay_endpoint, __u32);
TABLE(rl_ends, 256, struct relay_ends, __u32);
TABLE(rl_nodes, 256, __u32, __u32);
TABLE(rl_regions, 16384, struct relay_region, __u32);
TABLE(rl_ports, 65536, struct relay_page, struct relay_ports);
TABLE(rl_devices, 256, __u32, __u32); /* interfaces that XDP may send by */

/*
 * The repair engine's device, in place 0. The kernel takes it out when the device goes, which it does
 * with the engine's process, however that ends.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} rl_engine SEC(".maps");

/* What the data plane makes itself; their sizes are set when they are loaded. */
MEMORY(rl_records, 1, struct relay_record);
MEMORY(rl_spis, 1, struct relay_spi);
TABLE(rl_flows, 1, struct relay_flow, __u32);
TABLE(rl_backs, 1, struct relay_back, __u32);
TABLE(rl_known, 1, struct relay_known, __u32);

/* Records and SPIs that are free, by index: taken here, given back by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} rl_free_records SEC(".maps"), rl_free_spis SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct relay_piece);
	__type(value, struct relay_first);
} rl_pieces SEC(".maps");

/*
 * Where to look first. A hash table costs some 30 ns a packet, these a tenth: a guess leads to a record,
 * which then says itself whether it is the right one; what this CPU remembers of addresses is good
 * until the tables change.
 */
#define GUESSES 16384
MEMORY(rl_guesses, GUESSES, __u32);

#define RECENT 64

struct relay_memory {
	__u64 generation;
	__u8 target[16];
	__u8 source[16];
	__u32 flags;
	__u32 from; /* index of the PoP with these addresses, 0: none */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT);
	__type(key, __u32);
	__type(value, struct relay_memory);
} rl_recent SEC(".maps");

/* A per-CPU array cannot be mapped into user space, so CPUs are rows of RELAY_SLOTS. */
MEMORY(rl_counts, 1, struct relay_counters);

#define WHOLE 0
#define FIRST 1 /* fragment */
#define LATER 2

/* What the headers of an IP packet say. */
struct relay_packet {
	__u8 source[16];
	__u8 target[16];
	/* the first of eight bytes that are cleared at once */
	__u8 protocol;
	__u8 tos;
	__u8 ttl;
	__u8 fragment;
	__u8 fixed; /* may not be fragmented */
	__u8 six;
	__u8 flags; /* TCP's */
	__u8 have;  /* bytes of `raw` that the packet has */
	__be16 sport; /* as what follows, only of UDP and TCP, and not of later fragments */
	__be16 dport;
	__u32 length;
	__u32 id; /* of its fragments */
	__u32 transport; /* offset of the transport header */
	__u32 payload; /* bytes behind it; of a fragment, of this one */
	__u32 sequence; /* TCP's */
	__u32 acknowledgement;
	__be32 four; /* the four bytes behind the IP header */
	__be32 raw[5]; /* the first bytes of UDP's payload */
} __attribute__((aligned(8)));

enum relay_act {
	RELAY_PASS,    /* no business of ours; or for XDP: let tc think */
	RELAY_DISCARD,
	RELAY_FORWARD, /* on to another PoP, by outer addresses and hops changed */
	RELAY_WRAP,    /* put outer headers on and send to a PoP */
	RELAY_SEND,    /* send the inner packet by the routing table */
};

#define UNREADABLE 0
#define READ_HEADER 1
#define READ_ALL 2

/* One packet's working memory: more than a stack has. */
struct relay_work {
	struct relay_packet in; /* what is carried */
	struct relay_packet ip; /* as it arrived; by XDP of a wrapped packet only the addresses */
	struct relay_header head;
	__u8 wrapped;  /* came from another PoP, or so it looks */
	__u8 readable; /* and how far it could be read */
	__u8 fast;     /* XDP: decide what is plain only */
	__u8 trusted;  /* from the engine's device */
	__u8 translate; /* put `source` to `dport` into the inner packet, one hop older */
	__u8 direction;
	__u8 wants; /* of a listener with repair; */
	__u8 repair; /* and there is an engine */
	__u8 gso;
	__u32 segments;
	__u32 segment; /* bytes of inner IP packet that each has on the wire */
	__u32 slot;    /* of the accelerator, for the counters */
	__u32 from;    /* index of the PoP that the outer addresses are of, 0: none */
	__u32 peer;    /* RELAY_WRAP, RELAY_FORWARD: index of the next PoP */
	__u64 tick;
	__u64 now; /* CLOCK_MONOTONIC, ns; a tick of the kernel's clock late at most */
	__u64 tag;
	__u8 source[16];
	__u8 target[16];
	__be16 sport;
	__be16 dport;
	__u16 addresses; /* what a checksum grows by with these addresses, */
	__u16 ports;	 /* and ports */
	__u32 record; /* index, of the session; 0 none */
	__u32 what;   /* content: enum relay_content */
	__u32 spi;
	__u32 esp; /* its sequence number */
	__u64 initiator;
	__u64 responder;
	__u64 words[8];
	struct relay_flow flow;
	struct relay_back back;
	struct relay_known known;
	struct relay_piece piece;
	struct relay_first first;
	struct relay_page page;
	struct relay_region region;
	struct relay_ends ends;
	struct bpf_fib_lookup fib;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct relay_work);
} rl_works SEC(".maps");

/* The coarse clock is asked once a tick, in which it does not move. */
INLINE void tell_time(struct relay_work *w)
{
	__u64 tick = bpf_jiffies64();

	if (w->tick == tick)
		return;
	w->tick = tick;
	w->now = bpf_ktime_get_coarse_ns();
}

/* Where packets to an address go, good for one tick of the kernel's clock (XDP). */
#define HOPS 1024

struct relay_hop {
	__u64 tick;
	__u8 source[16];
	__u8 target[16];
	__u64 first; /* eight bytes of the Ethernet header, */
	__u32 rest;  /* and the four behind */
	__u32 ifindex; /* 0: not by XDP */
	__u32 mtu;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOPS);
	__type(key, __u32);
	__type(value, struct relay_hop);
} rl_hops SEC(".maps");

/*
 * A function that is verified by itself, weak so that the compiler infers nothing from its body for its
 * callers: it would leave out checks that the verifier wants to see.
 */
#define ALONE __noinline __weak

/*
 * What is worked on, for such a function: as an argument it would be memory of no map, and older kernels
 * (6.1 of Debian 12) take no key from there.
 */
INLINE struct relay_work *work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rl_works, &zero);
}

INLINE struct relay_config *config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rl_config, &zero);
}

INLINE struct relay_counters *counters(__u32 slot)
{
	__u32 index = bpf_get_smp_processor_id() * RELAY_SLOTS + slot;

	return bpf_map_lookup_elem(&rl_counts, &index);
}

/* tc alone may ask: a device map belongs to programs of one type. */
INLINE bool engine_lives(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rl_engine, &zero);
}

/* An increment is not atomic and need not be: softirqs of one CPU do not interrupt each other. */
#define COUNT(slot, field)                                \
	do {                                              \
		struct relay_counters *_c = counters(slot); \
		if (_c)                                   \
			_c->field++;                      \
	} while (0)

INLINE int discard(struct relay_work *w, __u32 reason)
{
	struct relay_counters *c;

	if (w->fast)
		return RELAY_PASS;
	c = counters(w->slot);
	if (c && reason < RELAY_DROPS)
		c->drops[w->direction & 1][reason]++;
	return RELAY_DISCARD;
}

INLINE struct relay_record *record_of(__u32 index)
{
	return bpf_map_lookup_elem(&rl_records, &index);
}

INLINE struct relay_peer *peer_of(__u32 index)
{
	return bpf_map_lookup_elem(&rl_peers, &index);
}

INLINE struct relay_listener *listener_of(__u32 index)
{
	return bpf_map_lookup_elem(&rl_listeners, &index);
}

INLINE struct relay_accelerator *accelerator_of(__u32 slot)
{
	return bpf_map_lookup_elem(&rl_accels, &slot);
}

INLINE void copy16(void *to, const void *from)
{
	__u64 *x = to;
	const __u64 *y = from;

	x[0] = y[0];
	x[1] = y[1];
}

INLINE __be32 four_of(const __u8 *address)
{
	return ((const __be32 *)address)[3];
}

#endif
