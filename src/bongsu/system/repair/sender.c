/* SPDX-License-Identifier: Apache-2.0 */
#include "sender.h"

#include "code.h"

/* Of the delay that is allowed, what a group may take; the rest is for the engine and the wire. */
#define DELAY_SHARE(us) ((us) - (us) / 8)

void rp_sender_init(struct rp_sender *sender, uint8_t kind, uint32_t destination, uint32_t source,
		    uint32_t accelerator, uint32_t epoch, uint64_t now)
{
	memset(sender, 0, sizeof(*sender));
	sender->kind = kind;
	sender->destination = destination;
	sender->source = source;
	sender->accelerator = accelerator;
	sender->epoch = epoch;
	sender->chosen_at = now;
}

/* Parity rows of a full block, at most. */
uint32_t rp_mode_rows(const struct rp_mode *mode)
{
	uint32_t rows = mode->block * mode->overhead_percent / 100;

	if (mode->kind != RP_REED_SOLOMON)
		return 0;
	return !rows ? 1 : rows > RP_ROWS ? RP_ROWS : rows;
}

/* Bytes of memory for parity. */
uint32_t rp_mode_memory(const struct rp_mode *mode)
{
	return rp_mode_rows(mode) * RP_DEPTH * RP_BUFFER;
}

static uint8_t *parity(const struct rp_sender *sender, uint32_t block, uint32_t row)
{
	return sender->parity + ((size_t)block * sender->most + row) * RP_BUFFER;
}

static void trail(const struct rp_sender *sender, uint8_t *at, uint32_t sequence, uint8_t type,
		  uint8_t row, uint8_t count, uint8_t stride)
{
	struct rp_trailer trailer = {
		.epoch = htonl(sender->epoch), .sequence = htonl(sequence), .type = type,
		.row = row, .count = count, .stride = stride,
	};

	memcpy(at, &trailer, sizeof(trailer) - RP_TAG);
}

static uint32_t count_of(const struct rp_sender *sender, uint32_t block)
{
	return (sender->filled - block + sender->depth - 1) / sender->depth;
}

static void send_parity(struct rp_sender *sender, uint32_t block, uint32_t row, rp_out out,
			void *context)
{
	uint8_t packet[RP_COMMON + RP_BUFFER + RP_TRAILER];
	uint32_t length = sender->length[block];

	rp_header_write(packet, sender->kind, sender->destination, sender->source,
			sender->accelerator);
	memcpy(packet + RP_COMMON, parity(sender, block, row), length);
	trail(sender, packet + RP_COMMON + length, sender->base + block, RP_PARITY, (uint8_t)row,
	      (uint8_t)count_of(sender, block), (uint8_t)sender->depth);
	sender->sent.parities++;
	sender->sent.parity_bytes += RP_COMMON + length + RP_TRAILER;
	out(context, packet, RP_COMMON + length + RP_TRAILER - RP_TAG, true);
}

/* Parity leaves row by row, so that a burst of losses hits each block's as little as its data. */
static void close_group(struct rp_sender *sender, rp_out out, void *context)
{
	uint32_t blocks = sender->filled < sender->depth ? sender->filled : sender->depth;
	uint32_t wanted = sender->rows * blocks, granted, each, more;

	sender->due = 0;
	granted = sender->credit / 100 < wanted ? sender->credit / 100 : wanted;
	sender->credit -= granted * 100;
	sender->sent.groups++;
	if (!granted)
		return;
	each = granted / blocks;
	more = granted % blocks;
	for (uint32_t row = 0; row < each + !!more; row++)
		for (uint32_t block = 0; block < blocks; block++)
			if (row < each + (block < more))
				send_parity(sender, block, row, out, context);
}

static void open_group(struct rp_sender *sender, uint64_t now)
{
	sender->base = sender->next;
	sender->filled = 0;
	sender->rows = sender->choice.rows;
	sender->depth = sender->choice.depth;
	sender->due = now + DELAY_SHARE(sender->mode.delay_us);
	memset(sender->length, 0, sizeof(sender->length));
}

/* Adds a packet to its block's parities. Its two bytes before the symbol are lent for the length. */
static void protect(struct rp_sender *sender, uint8_t *packet, uint32_t size)
{
	uint32_t block = sender->filled % sender->depth, column = sender->filled / sender->depth;
	uint32_t length = 2 + size - RP_COMMON, *longest = &sender->length[block];
	uint8_t *symbol = packet + RP_COMMON - 2, lent[2], *rows[RP_ROWS];
	uint16_t written = htons((uint16_t)size);

	for (uint32_t row = 0; row < sender->rows; row++) {
		rows[row] = parity(sender, block, row);
		if (length > *longest)
			memset(rows[row] + *longest, 0, length - *longest);
	}
	if (length > *longest)
		*longest = length;
	memcpy(lent, symbol, 2);
	memcpy(symbol, &written, 2);
	rp_code_add(sender->rows, column, symbol, length, rows);
	memcpy(symbol, lent, 2);
	sender->filled++;
}

/* A packet earns its part of a parity packet; what a quiet time saved is not sent at once later. */
static void earn(struct rp_sender *sender)
{
	uint32_t most = 2 * sender->mode.block * sender->mode.overhead_percent *
			(sender->due ? sender->depth : sender->choice.depth);

	sender->credit += sender->mode.overhead_percent;
	if (sender->credit > most)
		sender->credit = most;
}

/* `memory` has rp_mode_memory bytes, or is NULL: then nothing is protected. Closes the open group. */
void rp_sender_mode(struct rp_sender *sender, const struct rp_mode *mode, uint8_t *memory,
		    uint64_t now, rp_out out, void *context)
{
	if (sender->due)
		close_group(sender, out, context);
	sender->mode = *mode;
	sender->parity = memory;
	sender->most = memory ? rp_mode_rows(mode) : 0;
	sender->credit = 0;
	sender->choice = (struct rp_choice){ sender->most, 1, 1 };
	sender->chosen_at = now;
	sender->chosen_next = sender->next;
}

/*
 * A relayed packet, with room for a trailer behind it. It leaves at once; what is sent for it and
 * others, when its group is full.
 */
void rp_sender_put(struct rp_sender *sender, uint8_t *packet, uint32_t size, uint64_t now,
		   rp_out out, void *context)
{
	bool fits = size <= RP_PROTECTED, guarded;

	if (sender->due && (!fits || now >= sender->due))
		close_group(sender, out, context);
	sender->sent.packets++;
	sender->sent.bytes += size;
	if (sender->mode.kind == RP_REED_SOLOMON && (!fits || !sender->parity))
		sender->sent.unprotected++;
	guarded = fits && sender->parity && (sender->due || sender->choice.rows);
	if (guarded && !sender->due)
		open_group(sender, now);
	if (sender->parity)
		earn(sender);
	if (guarded)
		protect(sender, packet, size);
	trail(sender, packet + size, sender->next++, guarded ? RP_DATA : RP_PLAIN, 0, 0, 0);
	out(context, packet, size + RP_TRAILER - RP_TAG, false);
	if (guarded && sender->filled == sender->depth * sender->mode.block)
		close_group(sender, out, context);
}

/* Closes a group whose time is over. */
void rp_sender_tick(struct rp_sender *sender, uint64_t now, rp_out out, void *context)
{
	if (!sender->due || now < sender->due)
		return;
	sender->sent.timed++;
	close_group(sender, out, context);
}

static void add(struct rp_loss *sum, const struct rp_loss *each)
{
	sum->judged += each->judged;
	sum->lost += each->lost;
	for (uint32_t lag = 0; lag < RP_LAGS; lag++)
		sum->pairs[lag] += each->pairs[lag];
}

static void choose(struct rp_sender *sender, uint64_t now)
{
	struct rp_loss brief = { 0 }, longer = { 0 };
	uint64_t took = now - sender->chosen_at, depth;
	uint32_t block = sender->mode.block;

	if (!sender->most || !took)
		return;
	for (uint32_t i = 0; i < sender->entries; i++) {
		const struct rp_loss *each =
			&sender->history[(sender->at + RP_HISTORY - 1 - i) % RP_HISTORY];

		if (i < RP_BRIEF)
			add(&brief, each);
		add(&longer, each);
	}
	/* blocks that a group's time has room for */
	depth = (uint64_t)(sender->next - sender->chosen_next) *
		DELAY_SHARE((uint64_t)sender->mode.delay_us) / took / block;
	if (depth > RP_DEPTH)
		depth = RP_DEPTH;
	rp_choose(block, sender->most, depth ? (uint32_t)depth : 1, &brief, &longer, &sender->choice);
	sender->chosen_at = now;
	sender->chosen_next = sender->next;
}

/* Only what is newer than what we know; a receiver that began anew is believed when it knows more. */
void rp_sender_report(struct rp_sender *sender, uint32_t epoch, const struct rp_report *wire,
		      uint64_t now)
{
	uint32_t words[sizeof(*wire) / 4];
	struct rp_report report;
	struct rp_loss *entry;
	int32_t ahead;

	memcpy(words, wire, sizeof(*wire));
	for (uint32_t i = 0; i < sizeof(words) / 4; i++)
		words[i] = ntohl(words[i]);
	memcpy(&report, words, sizeof(report));
	if (epoch > sender->epoch ||
	    (epoch == sender->epoch && (int32_t)(report.highest - sender->next) >= 0)) {
		/*
		 * It remembers us from before we forgot, or was told in our name what we never sent:
		 * either way what we send now would be taken for old.
		 */
		sender->epoch = epoch + 1;
		sender->reported = false;
		return;
	}
	ahead = (int32_t)(report.highest - sender->last.highest);
	if (epoch < sender->epoch || (sender->reported && (ahead < 0 || (!ahead &&
				      report.judged <= sender->last.judged)))) {
		sender->sent.stale_reports++;
		return;
	}
	sender->sent.reports++;
	if (!sender->reported || report.judged < sender->last.judged) {
		sender->entries = 0;
		sender->at = 0;
		memset(&sender->last, 0, sizeof(sender->last));
	}
	entry = &sender->history[sender->at];
	entry->judged = report.judged - sender->last.judged;
	/* a packet that came after all is taken off again */
	entry->lost = report.lost > sender->last.lost ? report.lost - sender->last.lost : 0;
	for (uint32_t lag = 0; lag < RP_LAGS; lag++)
		entry->pairs[lag] = report.pairs[lag] - sender->last.pairs[lag];
	sender->at = (sender->at + 1) % RP_HISTORY;
	if (sender->entries < RP_HISTORY)
		sender->entries++;
	sender->last = report;
	sender->reported = true;
	choose(sender, now);
}
