/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the relay's data plane and its user side both see. bongsu.system.relay.layout mirrors these
 * structures as numpy dtypes, and a test compares the two through the object's BTF.
 *
 * Addresses have 16 bytes, an IPv4 address is mapped (::ffff:a.b.c.d). Addresses, ports and what is
 * quoted of packets are in network order, everything else in the machine's. Every hole is a field.
 */
#ifndef BONGSU_RELAY_H
#define BONGSU_RELAY_H

#include <linux/types.h>

#define RELAY_VERSION 1
#define RELAY_HOPS 1 /* of a packet as it is first sent: one third PoP may carry it on */
#define RELAY_SLOTS 256 /* accelerators of a node, the one that is none counted */
#define RELAY_WHEEL 1021 /* places of a listener's table of endpoints, a prime */
#define RELAY_ENDPOINTS 64 /* of one listener */
#define RELAY_PAGE 64 /* ports of one element of relay_ports */
#define RELAY_NOBODY 0xff /* a place of the table while no endpoint lives */

#define RELAY_UNPROVED_NS (10ULL * 1000 * 1000 * 1000)
/* A client may move to another address when nothing came from the old one for so long. */
#define RELAY_SILENCE_NS (1000ULL * 1000 * 1000)
/* ESP SPIs of one session that have counters, both directions; of a client that has not proved itself. */
#define RELAY_SPIS 64
#define RELAY_STRANGE_SPIS 2
/* Off ports that are tried for a new session. */
#define RELAY_PROBES 16
/* Chosen off ports: not those that this machine gives its own sockets (32768 to 60999). */
#define RELAY_PORT_FIRST 1024
#define RELAY_PORTS (32768 - RELAY_PORT_FIRST)
/* A first fragment is remembered for as long as a host waits for the rest (RFC 8200, 4.5). */
#define RELAY_FRAGMENT_NS (60ULL * 1000 * 1000 * 1000)
/* What may pass at once beyond the rate that was bought. */
#define RELAY_BURST_NS (50ULL * 1000 * 1000)
#define RELAY_PMTU_AGE_NS (600ULL * 1000 * 1000 * 1000)
#define RELAY_ICMP_GAP_NS (1000ULL * 1000)

/* Why a packet was not carried. */
enum relay_drop {
	RELAY_UNKNOWN_PEER,	/* to the relay's port, but from none of our PoPs */
	RELAY_HEADER,		/* no relay header, or one that cannot be */
	RELAY_BAD_TAG,
	RELAY_HOPS_SPENT,	/* neither for us nor to be carried on */
	RELAY_UNKNOWN_NODE,	/* to a node that is no peer of ours */
	RELAY_UNKNOWN_REGION,	/* to an address that is none of that PoP's regions */
	RELAY_UNKNOWN_LISTENER, /* to a port that nobody listens on */
	RELAY_UNKNOWN_CLIENT,	/* an answer to someone that has not been seen here */
	RELAY_MALFORMED,	/* the inner packet contradicts itself, or has options */
	RELAY_NO_ENDPOINT,	/* none lives */
	RELAY_NO_ROOM,		/* the tables are full */
	RELAY_UNPROVED,		/* too many clients that have not proved where they are */
	RELAY_NO_PORT,		/* every off port that was tried is taken */
	RELAY_AMPLIFIED,	/* more to an unproved client than it may be sent */
	RELAY_RATE,		/* beyond the bandwidth */
	RELAY_TTL,
	RELAY_FRAGMENT,		/* whose first part has not been seen */
	RELAY_TOO_BIG,
	RELAY_NO_ROUTE,
	RELAY_RECURSIVE,	/* the way leads back where the packet came from */
	RELAY_ERROR,		/* the kernel could not do what was asked */
	RELAY_DROPS,
};

#define RELAY_UP 0   /* to the endpoint */
#define RELAY_DOWN 1 /* to the client */

struct relay_header {
	__u8 version;
	__u8 kind;
	__u8 hops;
	__u8 zero;
	__be32 destination;
	__be32 source;
	__be32 accelerator;
	__u64 tag;
};

/* One per accelerator and CPU; slot 0 has what belongs to none. Bytes are of inner IP packets. */
struct relay_counters {
	__u64 packets[2];
	__u64 bytes[2];
	__u64 transit; /* slot 0: carried on to another PoP */
	__u64 fragments; /* passed, of fragmented packets */
	__u64 fragmented; /* packets that were cut here */
	__u64 too_big_sent;
	__u64 unrepaired; /* of a listener with repair, sent the ordinary way for want of an engine */
	__u64 moved; /* clients that came back from another address */
	__u64 stray; /* slot 0: to an accelerated address, no business of ours, left to the stack */
	__u64 learned; /* slot 0: path MTUs heard from the underlay */
	__u64 drops[2][RELAY_DROPS];
};

#define RELAY_KEYED 1

struct relay_config {
	__u64 key[2];
	__u64 generation; /* what sessions remember of peers and tags is of an earlier one */
	__u64 made;	/* unproved records made, */
	__u64 proved;	/* of them proved since, */
	__u64 ended;	/* and ended unproved (written by user space alone) */
	__u64 unproved; /* how many there may be */
	__u64 icmp_after;
	__u32 node;
	__u32 repair; /* ifindex of the engine's device, 0: none */
	__be16 port;
	__u8 flags;
	__u8 zero[5];
};

#define RELAY_LOCAL 1	 /* relayed packets come to it */
#define RELAY_REGION 2	 /* an accelerated address */
#define RELAY_OFF 4	 /* an off address */
#define RELAY_ALIEN 8 /* no interface here has it: nothing of it is left to the stack */

struct relay_ends {
	__u8 local[16];
	__u8 remote[16];
};

/* Another PoP. Element 0 is nobody. */
struct relay_peer {
	__u8 local[16];
	__u8 remote[16];
	__u32 number; /* 0: a place that is free */
	__u32 next;   /* index of the PoP that its packets are handed to */
	__u32 family;
	__u32 pmtu; /* learned, of outer packets; 0: none */
	__u64 pmtu_until;
};

struct relay_region {
	__u32 accelerator;
	__u32 node;
	__u8 address[16];
};

struct relay_accelerator {
	__u64 due[2];	/* when what has passed would have been sent at the bought rate, ns */
	__u64 cost;	/* ns a byte, times 65536; 0: no limit */
	__u32 number;	/* 0: a place that is free */
	__u32 egress;	/* number of the node */
	__u8 off[16];
};

#define RELAY_VALIDATE_NONE 0
#define RELAY_VALIDATE_IKE 1
#define RELAY_VALIDATE_TCP 2

#define RELAY_AFFINITY_CLIENT 1
#define RELAY_REPAIR 2

struct relay_listener {
	__u64 idle; /* ns */
	__u32 accelerator; /* slot, 0: a place that is free */
	__u32 name; /* the first bytes of its name's digest */
	__u32 amplification; /* 0: unlimited */
	__u8 protocol;
	__u8 validation;
	__u8 flags;
	__u8 zero;
};

struct relay_wheel {
	__u8 endpoint[RELAY_WHEEL];
	__u8 zero[3];
};

struct relay_endpoint {
	__u8 address[16];
};

struct relay_page {
	__u32 accelerator; /* number where it leaves, 0 where it enters */
	__u16 page;
	__u8 protocol;
	__u8 zero;
	__u8 address[16]; /* where it enters */
};

struct relay_ports {
	__u16 listener[RELAY_PAGE]; /* 0: nobody listens */
};

#define RELAY_ENTRY 1
#define RELAY_EGRESS 2

/* A client's flow: at the entry (accelerator 0) and at the egress. */
struct relay_flow {
	__u8 client[16];
	__u8 address[16];
	__u32 accelerator;
	__be16 client_port;
	__be16 port;
	__u8 protocol;
	__u8 role;
	__u16 zero;
};

struct relay_back {
	__u8 off[16];
	__u8 endpoint[16];
	__be16 off_port;
	__be16 port;
	__u8 protocol;
	__u8 zero[3];
};

#define RELAY_FREE 0
#define RELAY_LIVE 1
#define RELAY_PARKED 2 /* its keys are gone, but a packet in flight may still look at it */
#define RELAY_GONE 3 /* another record has taken over */

#define RELAY_NEW 0
#define RELAY_TWOWAY 1 /* has sent after an answer: as good as it gets where nothing proves more */
#define RELAY_PROVED 2

#define RELAY_SAW_IKE 1
#define RELAY_SAW_ESP 2
#define RELAY_SAW_KEEPALIVE 4
#define RELAY_SAW_OTHER 8
#define RELAY_CLOSING_UP 16
#define RELAY_CLOSING_DOWN 32
#define RELAY_CLOSED 64

/*
 * A session. Who it is never changes while it lives; a client that moves gets another record. What
 * counts a direction is written where that direction is, so it is exact as long as one CPU carries it.
 */
struct relay_record {
	__u8 client[16];
	__u8 address[16];
	__u8 endpoint[16];
	__u8 off[16];
	__u32 accelerator; /* number */
	__u32 slot;	   /* of the accelerator */
	__u32 listener;
	__u32 peer; /* index of the PoP at the other end, 0: it is this one */
	__be16 client_port;
	__be16 port;
	__be16 off_port;
	__u8 protocol;
	__u8 role;
	__u8 state;
	__u8 proof;
	__u8 seen;
	__u8 validation;
	__u32 amplification;
	__u64 tag_in;  /* of whole packets from the other PoP, */
	__u64 tag_out; /* and to it */
	__u64 generation; /* of the two */
	__u64 first; /* CLOCK_MONOTONIC, ns */

	__u64 last_up;
	__u64 up_packets;
	__u64 up_bytes;
	__u64 initiator; /* IKE SPIs, as they are in the packet */
	__u64 responder;
	__u32 spi_up; /* ESP, the latest; and index of its counters */
	__u32 spi_up_index;
	__u32 acknowledges; /* TCP: what a client says that has got what was sent to it */
	__u32 serial; /* of the session, also when it gets another record */
	__u16 addresses_up; /* what a checksum grows by when a packet is translated */
	__u16 ports_up;
	__u16 addresses_down;
	__u16 ports_down;

	__u64 last_down;
	__u64 down_packets;
	__u64 down_bytes;
	__u64 amplified; /* packets not sent for it */
	__u32 spi_down;
	__u32 spi_down_index;
	__u32 spis; /* of both directions that have counters; user space corrects it */
	__u32 zero_spis;
	__u64 zero_down[2];
};

/* An ESP SPI's counters. Element 0 is nobody's. */
struct relay_spi {
	__u32 spi; /* in the machine's order */
	__u32 record; /* that has it now */
	__u32 direction;
	__u32 state;
	__u32 sequence; /* the highest seen */
	__u32 serial; /* of the session */
	__u32 accelerator;
	__u32 zero;
	__u64 first;
	__u64 last;
	__u64 packets;
	__u64 bytes;
};

#define RELAY_OWN_UP 0 /* owner: serial of the session; leads to relay_spi */
#define RELAY_OWN_DOWN 1
#define RELAY_ANY_ESP 2 /* owner: number of the accelerator; leads to relay_spi */
#define RELAY_ANY_IKE 3 /* owner likewise; leads to the record */

struct relay_known {
	__u64 spi;
	__u32 owner;
	__u8 what;
	__u8 role;
	__u16 zero;
};

struct relay_piece {
	__u8 source[16];
	__u8 target[16];
	__u32 id;
	__u32 accelerator; /* number, of one that arrived from another PoP; else 0 */
	__u8 protocol;
	__u8 role;
	__u16 zero;
};

struct relay_first {
	__u64 until;
	__u32 record;
	__u32 zero;
};

#endif
