/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands on the wire; bongsu.protocol.repair.packet is its specification. A relayed packet
 * (24 bytes of header, inner packet) gets a trailer; parity and reports begin as it does.
 */
#ifndef BONGSU_REPAIR_WIRE_H
#define BONGSU_REPAIR_WIRE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RP_VERSION 1
#define RP_HEADER 24
#define RP_TAG 8
#define RP_TRAILER 20
/* Of the header, what is the same in all packets of a stream; parity does not cover it. */
#define RP_COMMON 16
/* Behind the header at least an IPv4 header. */
#define RP_LEAST (RP_HEADER + 20)
/* A longer relayed packet is carried, but not repaired. */
#define RP_PROTECTED 2000
/* The longest that is carried: a jumbo frame. */
#define RP_LARGEST 9216
/* Length, and what parity covers of the packet. */
#define RP_SYMBOL (2 + RP_PROTECTED - RP_COMMON)
#define RP_SYMBOL_LEAST (2 + RP_LEAST - RP_COMMON)
#define RP_BLOCK 64
#define RP_ROWS 64
#define RP_DEPTH 16
/* A receiver remembers this many packets of a stream. */
#define RP_WINDOW 4096
#define RP_LAGS 5

enum rp_type {
	RP_PLAIN,     /* a relayed packet that no parity covers */
	RP_DATA,      /* a relayed packet of a block */
	RP_PARITY,
	RP_REPORT,    /* of a receiver, to the sender */
	RP_HELLO,     /* an engine lives here */
	RP_TYPES,
};

struct rp_header {
	uint8_t version;
	uint8_t kind; /* 0 to the endpoint, 1 to the client */
	uint8_t hops;
	uint8_t zero;
	uint32_t destination, source, accelerator;
} __attribute__((packed));

struct rp_trailer {
	uint32_t epoch;
	uint32_t sequence; /* of parity: of the block's first packet */
	uint8_t type;
	uint8_t row;
	uint8_t count; /* packets of the block */
	uint8_t stride;
	uint8_t tag[RP_TAG];
} __attribute__((packed));

/* Cumulative, of one stream since its receiver first heard of it. */
struct rp_report {
	uint32_t highest;
	uint32_t judged;
	uint32_t lost;
	uint32_t runs;
	uint32_t pairs[RP_LAGS]; /* lost, as was the one 1, 2, 4, 8, 16 before it */
	uint32_t repaired;
	uint32_t late;
	uint32_t unused;
} __attribute__((packed));

static inline void rp_header_write(uint8_t *at, uint8_t kind, uint32_t destination,
				   uint32_t source, uint32_t accelerator)
{
	struct rp_header header = {
		.version = RP_VERSION, .kind = kind, .hops = 1, .destination = htonl(destination),
		.source = htonl(source), .accelerator = htonl(accelerator),
	};

	memcpy(at, &header, RP_COMMON);
}

#endif
