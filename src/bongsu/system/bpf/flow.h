/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the flow monitor's programs and their user side both see. bongsu.system.flow.layout mirrors
 * these structures as numpy dtypes, and a test compares the two through the object's BTF.
 *
 * Addresses and ports are in network order, everything else in the machine's. There is no implicit
 * padding: equal flows are equal bytes.
 */
#ifndef BONGSU_FLOW_H
#define BONGSU_FLOW_H

#include <linux/types.h>

/* flow_key.direction */
#define FLOW_EGRESS 0x01
#define FLOW_INNER 0x02 /* found inside a tunnel's packet on the underlay */

/* An IPv4 address fills the first four bytes of its field. */
struct flow_key {
	__u8 saddr[16];
	__u8 daddr[16];
	__be16 sport; /* 0 without ports, and in fragments but the first */
	__be16 dport; /* ICMP: type and code, as IPFIX has them */
	__u32 ifindex;
	__u16 tunnel; /* number of the declared tunnel that it is, or is inside of; 0: none */
	__u16 vlan;
	__u8 family; /* 4 or 6 */
	__u8 proto;  /* behind IPv6 extension headers */
	__u8 direction;
	__u8 dscp;
} __attribute__((aligned(8)));

#define FLOW_WAITS_ACK 0x01 /* state: the handshake's last packet has not been seen */

#define FLOW_SAMPLED 0x01 /* flags: some of it was multiplied, as 1:N was looked at */

/* Packets as they are on the wire, bytes of IP packets: segments of an aggregate count each. */
struct flow_record {
	__u64 packets;
	__u64 bytes;
	__u64 first; /* CLOCK_MONOTONIC_COARSE, ns */
	__u64 last;
	__u32 rtt_us; /* from here to the flow's source and back, by its handshake; 0: not seen */
	__u8 tcp_flags; /* all that were seen */
	__u8 flags;
	__u16 zero;
};

#define FLOW_TICK 20 /* flow_slot.last counts 2^20 ns, a little more than a millisecond */
#define FLOW_FULL (1U << 31) /* packets: what there is moves to the table before they run over */

/*
 * What counting a packet of a flow reads and writes; two of them are a line of memory, which is what
 * a packet costs when there are many flows. `seq` is odd while it changes hands; 0: it never had an
 * owner. `print` stands for the key: two keys have one with a chance of 2^-64, for the salt is secret.
 */
struct flow_slot {
	__u64 print;
	__u64 bytes;
	__u32 packets;
	__u32 last;
	__u32 seq;
	__u8 tcp_flags;
	__u8 state;
	__u8 flags;
	__u8 zero;
};

/* The rest, in the same place of flow_owners. */
struct flow_owner {
	struct flow_key key;
	__u64 first;
	__u32 rtt_us;
	__u32 zero;
};

#define FLOW_WAYS 2

struct flow_set {
	struct flow_slot way[FLOW_WAYS];
};

struct flow_owners {
	struct flow_owner way[FLOW_WAYS];
};

/* Each processor's victims apart, so that an entry has one writer. */
struct flow_spilled {
	struct flow_key key;
	__u32 cpu;
	__u32 zero;
};

/* flow_interface.flags */
#define FLOW_ON 0x01
#define FLOW_UNDERLAY 0x02 /* carries declared tunnels */
#define FLOW_HTTP_HERE 0x04

/* Found by ifindex modulo FLOW_INTERFACES, or up to FLOW_PROBES - 1 further. */
#define FLOW_INTERFACES 4096
#define FLOW_PROBES 4

struct flow_interface {
	__u32 ifindex; /* 0: nobody's place */
	__u16 tunnel;  /* what the interface is the inside of; 0: none */
	__u8 offset;   /* bytes of link header before IP */
	__u8 flags;
};

/* flow_choice.metrics */
#define FLOW_RTT 0x01
#define FLOW_PORTS 0x02 /* without: flows between addresses, not ports */
#define FLOW_DSCP 0x04
#define FLOW_HTTP 0x08

#define FLOW_FILTERS 8

/* Either end matches; a field that is 0 says nothing. */
struct flow_filter {
	__u64 prefix[2];
	__u64 mask[2];
	__be16 port;
	__u8 proto;
	__u8 family;
	__u32 zero;
};

struct flow_choice {
	__u32 metrics;
	__u32 every;     /* N of 1:N */
	__u32 threshold; /* 2^32 / N, less one: random numbers up to it are looked at */
	__u32 filters;   /* how many there are; a flow that fits none is not counted. 0: all are */
	struct flow_filter filter[FLOW_FILTERS];
};

/* choice[active & 1] is in force: user space writes the other and turns round. */
struct flow_settings {
	__u32 active;
	__u32 sets;  /* of each processor */
	__u32 shift; /* 63 less the sets' bits */
	__u32 zero;
	__u64 salt[2][12];
	struct flow_choice choice[2];
};

/* One for each processor. */
struct flow_stats {
	__u64 other;     /* packets that are not IP */
	__u64 malformed; /* packets whose headers contradict them */
	__u64 filtered;  /* flows' packets that no filter wanted */
	__u64 unsampled; /* packets that were not looked at */
	__u64 spilled;   /* records that went from the cache to the table */
	__u64 lost_records; /* those that found the table full, with what they had counted */
	__u64 lost_packets;
	__u64 lost_bytes;
	__u64 http_requests;
	__u64 http_responses;
	__u64 http_dropped; /* events that found the ring full */
	__u64 http_abandoned; /* heads that are none, too long, or with a segment missing */
};

/* A declared tunnel, as this end sees it. */
struct flow_tunnel {
	__u8 local[16];
	__u8 remote[16];
	__be32 key;
	__u32 keyed;
};

/*
 * The last step of a handshake seen from one end, in one word: tag << 32 | microseconds, of which the
 * lowest bit says that it was a SYN-ACK.
 */
#define FLOW_HANDSHAKES 65536

/* Flows of which an HTTP head goes on in the next segment, each by its print. */
#define FLOW_PARTIAL 1024

#define FLOW_METHOD 16
#define FLOW_PATH 192
#define FLOW_HOST 96

enum flow_http_kind {
	FLOW_REQUEST = 1,
	FLOW_RESPONSE,
};

/* One message's head. Requests and responses have the request's time in common. */
struct flow_http {
	struct flow_key key;
	__u64 time;    /* CLOCK_MONOTONIC, ns */
	__u64 request; /* when the request began; 0: not seen */
	__u32 latency_us;
	__u16 kind;
	__u16 code;
	__u8 method_length;
	__u8 path_length; /* FLOW_PATH: it may have been longer */
	__u8 host_length;
	__u8 zero[5];
	char method[FLOW_METHOD];
	char path[FLOW_PATH]; /* cut before the query */
	char host[FLOW_HOST];
};

#endif
