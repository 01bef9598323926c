/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the GRE data plane and its user side both see. bongsu.system.bpf.layout mirrors these
 * structures as numpy dtypes, and a test compares the two through the object's BTF.
 *
 * Addresses, keys and MACs are in network order, everything else in the machine's. There is no
 * implicit padding: every hole is a named field, so that equal tunnels are equal bytes.
 */
#ifndef BONGSU_GRE_H
#define BONGSU_GRE_H

#include <linux/types.h>

/* A learned path MTU is forgotten after ten minutes (RFC 1191, section 6.3; RFC 8201, 4). */
#define GRE_PMTU_AGE_NS (600ULL * 1000 * 1000 * 1000)
/* At most one "too big" message a millisecond for each tunnel (RFC 1812, 4.3.2.8). */
#define GRE_ICMP_GAP_NS (1000ULL * 1000)

/* Slot 0 belongs to no tunnel: it counts what could not be given to one. */
#define GRE_NO_SLOT 0

/* Why a packet was not carried. TX: from the inside out; RX: from the underlay in. */
enum gre_drop {
	GRE_TX_LINE_DOWN,
	GRE_TX_PROTOCOL,  /* neither IPv4 nor IPv6 */
	GRE_TX_MALFORMED, /* the inner header contradicts the packet */
	GRE_TX_TOO_BIG,   /* larger than the path MTU and not to be fragmented */
	GRE_TX_ERROR,     /* the kernel could not make room */
	GRE_TX_NO_ROUTE,  /* nothing leads to the peer */
	GRE_TX_RECURSIVE, /* the way to the peer leads into a tunnel of this node */
	GRE_RX_LINE_DOWN,
	GRE_RX_HEADER,    /* outer options, bad length or checksum, routing, recursion, version */
	GRE_RX_CHECKSUM,  /* the GRE checksum flag, which no tunnel here has agreed on */
	GRE_RX_SEQUENCE,  /* the sequence number flag, likewise */
	GRE_RX_PROTOCOL,  /* a GRE payload that is neither IPv4, IPv6 nor a keepalive */
	GRE_RX_MALFORMED, /* the inner header contradicts the packet */
	GRE_RX_ECN,       /* outer CE on an inner packet that is not ECN capable (RFC 6040) */
	GRE_RX_TTL,       /* a keepalive to be reflected whose TTL is spent */
	GRE_RX_ERROR,     /* the kernel could not remove the header */
	GRE_RX_KEPT,      /* a keepalive that this end's own settings keep from going back */
	GRE_RX_RATE,      /* a keepalive beyond what the peer may be expected to send */
	GRE_DROPS,
};

/* One per tunnel and CPU; packets and bytes are those of the inner IP packets on the wire. */
struct gre_counters {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
	__u64 keepalives_reflected; /* the peer's, sent back */
	__u64 keepalives_received;  /* ours, come back; given to the stack */
	__u64 too_big_sent;         /* messages to inner senders */
	__u64 too_big_received;     /* messages from the underlay that lowered or held the MTU */
	__u64 unknown;              /* slot 0: GRE of no tunnel, left to the stack */
	__u64 fragments;            /* slot 0: outer fragments, left to the stack */
	__u64 drops[GRE_DROPS];
};

/*
 * Shared with user space by mmap. The agent writes `line_down`, `held` and `generation`; the thread
 * that sends keepalives writes `keepalive_down`.
 */
struct gre_state {
	__u16 line_down; /* 1: carry no data, only keepalives */
	__u16 keepalive_down; /* 1: likewise, at once, before anybody has heard of it */
	__u16 held;      /* 1: likewise, whatever keepalives say */
	__u16 pmtu;      /* learned inside MTU, 0: none */
	__u64 pmtu_until; /* CLOCK_MONOTONIC, ns */
	__u64 icmp_after; /* CLOCK_MONOTONIC, ns: no "too big" message before */
	__u64 reflect_after; /* CLOCK_MONOTONIC, ns: when the next of the peer's keepalives is expected */
	__u64 generation; /* slot 0: counts the changes of the tables, each after it was made */
};

#define GRE_KEYED 0x01
#define GRE_INHERIT_TOS 0x02
/* The kernel's own driver carries the data; only keepalives and the line are ours. */
#define GRE_KEEPALIVE_ONLY 0x04
/*
 * The local address belongs to no underlay: the routing table says by which interface outer packets
 * leave, and gre_arrivals by which further ones they arrive.
 */
#define GRE_ROUTED 0x08
/* Reverse path forwarding, VRFs or an access list keep the peer's keepalives here. */
#define GRE_KEEPS 0x10

/* Whose form keepalives have, as far as it is another than Cisco's (bongsu.protocol.gre_keepalive). */
enum gre_dialect {
	GRE_CISCO,
	GRE_HUAWEI,    /* outer protocol type 0x0004 */
	GRE_MIKROTIK,  /* over IPv6, inner type 0x86dd; behind a NAT, the wrong inner destination */
	GRE_VELOCLOUD, /* between the inside addresses, and the answer comes through the tunnel */
};
#define GRE_GAP_NS 10000ULL
/* Keepalives that may be sent back at once: a peer that catches up after a stall. */
#define GRE_REFLECT_BURST 8

/* One end of a tunnel. An IPv4 address fills the first four bytes of its field. */
struct gre_tunnel {
	__u8 local[16];
	__u8 remote[16];
	__be32 key;
	__u32 slot;     /* index into gre_states */
	__u32 counters; /* index into gre_counts of the first CPU's element */
	__u32 device;   /* ifindex of the tunnel interface */
	__u32 peer;     /* ifindex of its hidden other half */
	__u32 underlay; /* ifindex outer packets arrive by, and leave by unless GRE_ROUTED */
	__u16 mtu;      /* inside */
	__u16 overhead; /* bytes of outer IP and GRE headers */
	__u8 family;    /* of the outside: 4 or 6 */
	__u8 flags;
	__u8 ttl;
	__u8 tos; /* used unless GRE_INHERIT_TOS; its two ECN bits never are */
	__u8 device_mac[6];
	__u8 peer_mac[6];
	char name[16];
	__be32 inside_local; /* of GRE_VELOCLOUD; 0: none */
	__be32 inside_remote;
	__u8 dialect;	   /* of the keepalives that we send */
	__u8 peer_dialect; /* of those that the peer sends */
	__u16 reflect_gap; /* between two that are sent back, on average; in units of GRE_GAP_NS */
};

struct gre_pair4 {
	__be32 local;
	__be32 remote;
	__be32 key;
	__u32 keyed;
};

struct gre_pair6 {
	__u8 local[16];
	__u8 remote[16];
	__be32 key;
	__u32 keyed;
};

struct gre_arrival {
	__u32 slot;
	__u32 ifindex;
};

#endif
