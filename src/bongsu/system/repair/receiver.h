/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream as it arrives: each packet once, at once; what is missing when parity allows it. It takes
 * `now` (us) and calls `deliver`; bongsu.protocol.repair.receiver is its specification.
 *
 * Memory is bounded: a window of packets, a number of unfinished blocks, and buffers of a pool.
 */
#ifndef BONGSU_REPAIR_RECEIVER_H
#define BONGSU_REPAIR_RECEIVER_H

#include "code.h"
#include "sender.h"

/* Unfinished blocks: several groups of the deepest interleaving. */
#define RP_BLOCKS 64
/* Packets after which a packet that has not come is called lost; it may come all the same. */
#define RP_LAG 32
#define RP_NONE UINT32_MAX
/* Lateness of repaired packets: up to 1, 2, 4, ... ms, and more. */
#define RP_LATENESS 11

struct rp_pool {
	uint8_t *memory;
	uint32_t *stack;
	uint32_t size, left;
};

enum rp_slot_flags {
	RP_CAME = 1,
	RP_REPAIRED = 2,
	RP_JUDGED_LOST = 4,
};

struct rp_slot {
	uint32_t noticed; /* us: that something with a higher number came */
	uint32_t buffer;  /* a symbol, RP_NONE without one */
	uint16_t length;  /* of it */
	uint8_t flags;
};

struct rp_unfinished {
	uint32_t base, length, rows;
	uint8_t stride, count;
	bool live;
	uint8_t row[RP_ROWS];
	uint32_t buffer[RP_ROWS];
};

struct rp_received {
	uint64_t packets, bytes;
	uint64_t duplicates; /* came already, or was repaired before */
	uint64_t parities;
	uint64_t repaired, late; /* late: after more than the mode's delay */
	uint64_t old;		 /* beyond the window, or of an earlier epoch */
	uint64_t spoilt;	 /* parity that contradicts itself or the data */
	uint64_t unheld;	 /* no memory to keep it for a repair */
	uint64_t judged, lost, runs;
	uint64_t pairs[RP_LAGS];
	uint64_t lateness[RP_LATENESS];
};

struct rp_receiver {
	uint32_t destination, source, accelerator;
	uint8_t kind;
	bool begun;
	uint32_t epoch, highest, judged, tail; /* tail: below it no slot holds a buffer */
	uint32_t before; /* bits: whether packets before `judged` were lost, the latest lowest */
	uint32_t delay_us;
	uint32_t open; /* live blocks */
	uint64_t heard, reported; /* us */
	bool news;
	struct rp_slot slots[RP_WINDOW];
	struct rp_unfinished blocks[RP_BLOCKS];
	struct rp_received received;
};

/* `packet` has its whole header again. */
typedef void (*rp_deliver)(void *context, uint8_t *packet, uint32_t size);

bool rp_pool_init(struct rp_pool *pool, uint32_t size);
void rp_pool_free(struct rp_pool *pool);
void rp_receiver_init(struct rp_receiver *receiver, uint8_t kind, uint32_t destination,
		      uint32_t source, uint32_t accelerator);
void rp_receiver_clear(struct rp_receiver *receiver, struct rp_pool *pool);
bool rp_receiver_take(struct rp_receiver *receiver, struct rp_pool *pool, uint8_t *packet,
		      uint32_t size, uint64_t now, rp_deliver deliver, void *context);
void rp_receiver_settle(struct rp_receiver *receiver);
uint32_t rp_receiver_report(struct rp_receiver *receiver, uint8_t *packet);

#endif
