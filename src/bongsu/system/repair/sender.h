/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream as it leaves: numbers packets, makes parity, follows the reports. It takes `now` and
 * calls `rp_out` for what is to be sent; bongsu.protocol.repair.sender is its specification.
 *
 * Packets of a group lie across `depth` blocks in turn, so that a burst hits each of them little.
 */
#ifndef BONGSU_REPAIR_SENDER_H
#define BONGSU_REPAIR_SENDER_H

#include "choose.h"
#include "siphash.h"
#include "wire.h"

/* Reports come ten times a second: ten seconds of them. */
#define RP_HISTORY 100
#define RP_BRIEF 10

enum rp_mode_kind {
	RP_OFF,
	RP_REED_SOLOMON,
	RP_DUPLICATE,
};

struct rp_mode {
	uint32_t kind;
	uint32_t block;
	uint32_t overhead_percent;
	uint32_t delay_us;
};

/* `at` has `size` bytes, all of a packet but its tag, and room for that. */
typedef void (*rp_out)(void *context, uint8_t *at, uint32_t size, bool parity);

struct rp_sent {
	uint64_t packets, bytes; /* relayed packets, as they came */
	uint64_t parities, parity_bytes;
	uint64_t unprotected; /* too long, or no memory for parity */
	uint64_t groups, timed; /* closed by time, not full */
	uint64_t reports, stale_reports;
};

struct rp_sender {
	uint32_t destination, source, accelerator;
	uint8_t kind;
	struct rp_mode mode;
	uint32_t epoch, next;
	/* the choice in force from the next group on */
	struct rp_choice choice;
	uint32_t most; /* rows of a full block */
	uint32_t credit; /* hundredths of a parity packet that may still be sent */
	/* the open group */
	uint32_t base, filled, rows, depth;
	uint32_t length[RP_DEPTH]; /* of the longest symbol in each block */
	uint64_t due;		   /* us, 0 without a group */
	uint8_t *parity;	   /* RP_DEPTH * most buffers of RP_BUFFER; NULL without */
	/* reports */
	struct rp_loss history[RP_HISTORY];
	struct rp_report last;
	bool reported;
	uint32_t entries, at;
	uint64_t chosen_at;
	uint32_t chosen_next;
	struct rp_sent sent;
};

#define RP_BUFFER 2048

void rp_sender_init(struct rp_sender *sender, uint8_t kind, uint32_t destination, uint32_t source,
		    uint32_t accelerator, uint32_t epoch, uint64_t now);
uint32_t rp_mode_rows(const struct rp_mode *mode);
uint32_t rp_mode_memory(const struct rp_mode *mode);
void rp_sender_mode(struct rp_sender *sender, const struct rp_mode *mode, uint8_t *parity,
		    uint64_t now, rp_out out, void *context);
void rp_sender_put(struct rp_sender *sender, uint8_t *packet, uint32_t size, uint64_t now,
		   rp_out out, void *context);
void rp_sender_tick(struct rp_sender *sender, uint64_t now, rp_out out, void *context);
void rp_sender_report(struct rp_sender *sender, uint32_t epoch, const struct rp_report *report,
		      uint64_t now);

#endif
