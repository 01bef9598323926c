/* SPDX-License-Identifier: Apache-2.0 */
#include "receiver.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Packets of this many numbers are kept for a repair: two groups of the deepest interleaving. */
#define HOLD (2 * RP_DEPTH * RP_BLOCK)
/* Where a symbol begins in its buffer: before it a header and what a device wants have room. */
#define HEADROOM 32

bool rp_pool_init(struct rp_pool *pool, uint32_t size)
{
	pool->memory = mmap(NULL, (size_t)size * RP_BUFFER, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pool->stack = malloc(size * sizeof(*pool->stack));
	pool->size = pool->left = size;
	if (pool->memory == MAP_FAILED)
		pool->memory = NULL;
	if (!pool->memory || !pool->stack)
		return false;
	for (uint32_t i = 0; i < size; i++)
		pool->stack[i] = size - 1 - i;
	return true;
}

void rp_pool_free(struct rp_pool *pool)
{
	if (pool->memory)
		munmap(pool->memory, (size_t)pool->size * RP_BUFFER);
	free(pool->stack);
	memset(pool, 0, sizeof(*pool));
}

static uint32_t take(struct rp_pool *pool)
{
	return pool->left ? pool->stack[--pool->left] : RP_NONE;
}

static void give(struct rp_pool *pool, uint32_t *buffer)
{
	if (*buffer != RP_NONE)
		pool->stack[pool->left++] = *buffer;
	*buffer = RP_NONE;
}

static uint8_t *symbol(const struct rp_pool *pool, uint32_t buffer)
{
	return pool->memory + (size_t)buffer * RP_BUFFER + HEADROOM;
}

static struct rp_slot *slot_of(struct rp_receiver *receiver, uint32_t sequence)
{
	return &receiver->slots[sequence % RP_WINDOW];
}

void rp_receiver_init(struct rp_receiver *receiver, uint8_t kind, uint32_t destination,
		      uint32_t source, uint32_t accelerator)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->kind = kind;
	receiver->destination = destination;
	receiver->source = source;
	receiver->accelerator = accelerator;
	for (uint32_t i = 0; i < RP_WINDOW; i++)
		receiver->slots[i].buffer = RP_NONE;
}

/* A block needs nothing any more: its parity and its packets are given back. */
static void close_block(struct rp_receiver *receiver, struct rp_pool *pool,
			struct rp_unfinished *block)
{
	if (!block->live)
		return;
	for (uint32_t i = 0; i < block->rows; i++)
		give(pool, &block->buffer[i]);
	for (uint32_t i = 0; i < block->count; i++)
		give(pool, &slot_of(receiver, block->base + i * block->stride)->buffer);
	block->live = false;
	receiver->open--;
}

/* Gives all memory of the pool back; what came is still known. */
void rp_receiver_clear(struct rp_receiver *receiver, struct rp_pool *pool)
{
	for (uint32_t i = 0; receiver->open && i < RP_BLOCKS; i++)
		close_block(receiver, pool, &receiver->blocks[i]);
	for (uint32_t i = 0; i < RP_WINDOW; i++)
		give(pool, &receiver->slots[i].buffer);
}

static void judge(struct rp_receiver *receiver)
{
	struct rp_slot *slot = slot_of(receiver, receiver->judged++);
	bool lost = !(slot->flags & RP_CAME);

	receiver->received.judged++;
	if (lost) {
		slot->flags |= RP_JUDGED_LOST;
		receiver->received.lost++;
		receiver->received.runs += !(receiver->before & 1);
		for (uint32_t lag = 0; lag < RP_LAGS; lag++)
			receiver->received.pairs[lag] += receiver->before >> ((1 << lag) - 1) & 1;
	}
	receiver->before = receiver->before << 1 | lost;
}

/* Nothing more is on its way: all up to the highest number is judged. */
void rp_receiver_settle(struct rp_receiver *receiver)
{
	if (!receiver->begun)
		return;
	while ((int32_t)(receiver->highest - receiver->judged) >= 0)
		judge(receiver);
}

/* So many packets are missing that the window knows nothing of most of them. */
static void leap(struct rp_receiver *receiver, struct rp_pool *pool, uint32_t to, uint64_t now)
{
	uint32_t lost = to - receiver->highest - 1;

	rp_receiver_settle(receiver);
	rp_receiver_clear(receiver, pool);
	receiver->received.judged += lost;
	receiver->received.lost += lost;
	receiver->received.runs += !(receiver->before & 1);
	for (uint32_t lag = 0; lag < RP_LAGS; lag++)
		receiver->received.pairs[lag] += lost;
	receiver->before = UINT32_MAX;
	for (uint32_t i = 0; i < RP_WINDOW; i++) {
		receiver->slots[i].flags = RP_JUDGED_LOST;
		receiver->slots[i].noticed = (uint32_t)now;
	}
	receiver->highest = receiver->judged = to;
	slot_of(receiver, to)->flags = 0;
}

static void advance(struct rp_receiver *receiver, struct rp_pool *pool, uint32_t to, uint64_t now)
{
	struct rp_slot *slot;

	if (to - receiver->highest >= RP_WINDOW) {
		leap(receiver, pool, to, now);
		return;
	}
	while (receiver->highest != to) {
		receiver->highest++;
		slot = slot_of(receiver, receiver->highest);
		slot->flags = 0;
		slot->noticed = (uint32_t)now;
		give(pool, &slot->buffer);
		give(pool, &slot_of(receiver, receiver->highest - HOLD)->buffer);
		if ((int32_t)(receiver->highest - RP_LAG - receiver->judged) >= 0)
			judge(receiver);
	}
}

static void begin(struct rp_receiver *receiver, struct rp_pool *pool, uint32_t epoch,
		  uint32_t sequence, bool parity)
{
	rp_receiver_settle(receiver);
	rp_receiver_clear(receiver, pool);
	for (uint32_t i = 0; i < RP_WINDOW; i++)
		receiver->slots[i].flags = 0;
	receiver->begun = true;
	receiver->epoch = epoch;
	receiver->highest = sequence;
	receiver->judged = sequence + parity;
	receiver->before = 0;
}

static void lateness(struct rp_receiver *receiver, uint32_t us)
{
	uint32_t place = 0;

	while (place < RP_LATENESS - 1 && us > 1000U << place)
		place++;
	receiver->received.lateness[place]++;
	receiver->received.late += receiver->delay_us && us > receiver->delay_us;
}

/* What was solved, in the order of its numbers; false if one makes no sense. */
static bool hand_over(struct rp_receiver *receiver, const struct rp_puzzle *puzzle,
		      const struct rp_unfinished *block, uint64_t now, rp_deliver deliver,
		      void *context)
{
	struct rp_slot *slot;
	uint16_t size;
	uint8_t *packet;

	for (uint32_t m = 0; m < puzzle->missing; m++) {
		memcpy(&size, puzzle->solved[m], 2);
		size = ntohs(size);
		if (size < RP_LEAST || 2U + size - RP_COMMON > puzzle->size)
			return false;
		packet = puzzle->solved[m] + 2 - RP_COMMON;
		rp_header_write(packet, receiver->kind, receiver->destination, receiver->source,
				receiver->accelerator);
		slot = slot_of(receiver,
			       block->base + puzzle->missing_column[m] * block->stride);
		slot->flags |= RP_REPAIRED;
		receiver->received.repaired++;
		lateness(receiver, (uint32_t)now - slot->noticed);
		deliver(context, packet, size);
	}
	return true;
}

static bool solve(struct rp_receiver *receiver, struct rp_pool *pool, struct rp_puzzle *puzzle,
		  const struct rp_unfinished *block, uint64_t now, rp_deliver deliver,
		  void *context)
{
	uint32_t buffers[RP_BLOCK];
	bool sound = false;

	if (pool->left < puzzle->missing) {
		receiver->received.unheld++;
		return false;
	}
	for (uint32_t m = 0; m < puzzle->missing; m++) {
		buffers[m] = take(pool);
		puzzle->solved[m] = symbol(pool, buffers[m]);
	}
	if (rp_code_solve(puzzle))
		sound = hand_over(receiver, puzzle, block, now, deliver, context);
	receiver->received.spoilt += !sound;
	for (uint32_t m = 0; m < puzzle->missing; m++)
		give(pool, &buffers[m]);
	return sound;
}

/* Repairs a block if enough of it is here; closes it when there is nothing more to wait for. */
static void attempt(struct rp_receiver *receiver, struct rp_pool *pool,
		    struct rp_unfinished *block, uint64_t now, rp_deliver deliver, void *context)
{
	struct rp_puzzle puzzle = { .size = block->length };
	struct rp_slot *slot;
	bool held = true, fits = true;

	if (receiver->highest - block->base >= HOLD) {
		close_block(receiver, pool, block);
		return;
	}
	for (uint32_t i = 0; i < block->count; i++) {
		slot = slot_of(receiver, block->base + i * block->stride);
		if (!(slot->flags & (RP_CAME | RP_REPAIRED))) {
			puzzle.missing_column[puzzle.missing++] = (uint8_t)i;
			continue;
		}
		held = held && slot->buffer != RP_NONE;
		fits = fits && slot->length <= block->length;
		puzzle.have_column[puzzle.have] = (uint8_t)i;
		if (held && fits) {
			puzzle.symbol[puzzle.have] = symbol(pool, slot->buffer);
			memset(symbol(pool, slot->buffer) + slot->length, 0,
			       block->length - slot->length);
		}
		puzzle.have++;
	}
	if (puzzle.missing > block->rows)
		return;
	if (puzzle.missing && !held)
		receiver->received.unheld++;
	else if (puzzle.missing && !fits)
		receiver->received.spoilt++;
	if (puzzle.missing && held && fits) {
		for (uint32_t r = 0; r < puzzle.missing; r++) {
			puzzle.row[r] = block->row[r];
			puzzle.parity[r] = symbol(pool, block->buffer[r]);
		}
		solve(receiver, pool, &puzzle, block, now, deliver, context);
	}
	close_block(receiver, pool, block);
}

static void hold(struct rp_receiver *receiver, struct rp_pool *pool, struct rp_slot *slot,
		 const uint8_t *packet, uint32_t size)
{
	uint16_t written = htons((uint16_t)size);

	slot->buffer = take(pool);
	if (slot->buffer == RP_NONE) {
		receiver->received.unheld++;
		return;
	}
	slot->length = (uint16_t)(2 + size - RP_COMMON);
	memcpy(symbol(pool, slot->buffer), &written, 2);
	memcpy(symbol(pool, slot->buffer) + 2, packet + RP_COMMON, size - RP_COMMON);
}

/* Came twice, or after it had been repaired. */
static void again(struct rp_receiver *receiver, struct rp_slot *slot)
{
	receiver->received.duplicates++;
	if (slot->flags & RP_CAME)
		return;
	/* it was not lost */
	receiver->received.repaired--;
	if (slot->flags & RP_JUDGED_LOST)
		receiver->received.lost--;
	slot->flags = RP_CAME | RP_REPAIRED;
}

static bool data(struct rp_receiver *receiver, struct rp_pool *pool, uint8_t *packet,
		 uint32_t size, const struct rp_trailer *trailer, uint64_t now,
		 rp_deliver deliver, void *context)
{
	uint32_t sequence = ntohl(trailer->sequence);
	bool ahead = (int32_t)(sequence - receiver->highest) > 0;
	struct rp_unfinished *block;
	struct rp_slot *slot;
	uint32_t place;

	if (ahead)
		advance(receiver, pool, sequence, now);
	if (receiver->highest - sequence >= RP_WINDOW) {
		receiver->received.old++;
		return false;
	}
	slot = slot_of(receiver, sequence);
	if (slot->flags & (RP_CAME | RP_REPAIRED)) {
		again(receiver, slot);
		return false;
	}
	if (slot->flags & RP_JUDGED_LOST)
		receiver->received.lost--;
	slot->flags = RP_CAME;
	receiver->received.packets++;
	receiver->received.bytes += size;
	if (trailer->type == RP_DATA && size <= RP_PROTECTED &&
	    receiver->highest - sequence < HOLD)
		hold(receiver, pool, slot, packet, size);
	deliver(context, packet, size);
	for (uint32_t i = 0; !ahead && receiver->open && i < RP_BLOCKS; i++) {
		block = &receiver->blocks[i];
		place = sequence - block->base;
		if (block->live && place % block->stride == 0 &&
		    place / block->stride < block->count)
			attempt(receiver, pool, block, now, deliver, context);
	}
	return true;
}

/* The unfinished block of this base, or a place for it. */
static struct rp_unfinished *block_of(struct rp_receiver *receiver, struct rp_pool *pool,
				      uint32_t base)
{
	struct rp_unfinished *place = NULL, *oldest = &receiver->blocks[0];

	for (uint32_t i = 0; i < RP_BLOCKS; i++)
		if (receiver->highest - receiver->blocks[i].base >= HOLD)
			close_block(receiver, pool, &receiver->blocks[i]);
	for (uint32_t i = 0; i < RP_BLOCKS; i++) {
		struct rp_unfinished *block = &receiver->blocks[i];

		if (block->live && block->base == base)
			return block;
		if (!block->live)
			place = block;
		else if (receiver->highest - block->base > receiver->highest - oldest->base)
			oldest = block;
	}
	if (!place) {
		close_block(receiver, pool, oldest);
		place = oldest;
	}
	place->rows = 0;
	return place;
}

static bool keep(struct rp_receiver *receiver, struct rp_pool *pool, struct rp_unfinished *block,
		 const uint8_t *parity, uint32_t length, const struct rp_trailer *trailer)
{
	if (block->live && (block->stride != trailer->stride || block->count != trailer->count ||
			    block->length != length)) {
		receiver->received.spoilt++;
		return false;
	}
	for (uint32_t i = 0; block->live && i < block->rows; i++)
		if (block->row[i] == trailer->row) {
			receiver->received.duplicates++;
			return false;
		}
	block->buffer[block->rows] = take(pool);
	if (block->buffer[block->rows] == RP_NONE) {
		receiver->received.unheld++;
		return false;
	}
	memcpy(symbol(pool, block->buffer[block->rows]), parity, length);
	block->row[block->rows++] = trailer->row;
	receiver->open += !block->live;
	block->live = true;
	block->base = ntohl(trailer->sequence);
	block->stride = trailer->stride;
	block->count = trailer->count;
	block->length = length;
	return true;
}

static bool complete(struct rp_receiver *receiver, uint32_t base, const struct rp_trailer *trailer)
{
	for (uint32_t i = 0; i < trailer->count; i++)
		if (!(slot_of(receiver, base + i * trailer->stride)->flags &
		      (RP_CAME | RP_REPAIRED)))
			return false;
	return true;
}

static bool parity(struct rp_receiver *receiver, struct rp_pool *pool, const uint8_t *packet,
		   uint32_t size, const struct rp_trailer *trailer, uint64_t now,
		   rp_deliver deliver, void *context)
{
	uint32_t base = ntohl(trailer->sequence), length = size - RP_COMMON;
	uint32_t last = base + (trailer->count - 1U) * trailer->stride;
	struct rp_unfinished *block;

	if ((int32_t)(last - receiver->highest) > 0)
		advance(receiver, pool, last, now);
	if (receiver->highest - base >= HOLD) {
		receiver->received.old++;
		return false;
	}
	receiver->received.parities++;
	if (complete(receiver, base, trailer)) {
		for (uint32_t i = 0; i < trailer->count; i++)
			give(pool, &slot_of(receiver, base + i * trailer->stride)->buffer);
		return true;
	}
	block = block_of(receiver, pool, base);
	if (!keep(receiver, pool, block, packet + RP_COMMON, length, trailer))
		return false;
	attempt(receiver, pool, block, now, deliver, context);
	return true;
}

/* Whether a parity packet can be one. `size` is without the trailer. */
static bool formed(const struct rp_trailer *trailer, uint32_t size)
{
	return trailer->row < RP_ROWS && trailer->count && trailer->count <= RP_BLOCK &&
	       trailer->stride && trailer->stride <= RP_DEPTH &&
	       size >= RP_COMMON + RP_SYMBOL_LEAST && size <= RP_COMMON + RP_SYMBOL;
}

/*
 * A packet of this stream whose tag was right, `size` with its trailer; data or parity. False if it
 * brought nothing.
 */
bool rp_receiver_take(struct rp_receiver *receiver, struct rp_pool *pool, uint8_t *packet,
		      uint32_t size, uint64_t now, rp_deliver deliver, void *context)
{
	struct rp_trailer trailer;
	uint32_t epoch, first;

	size -= RP_TRAILER;
	memcpy(&trailer, packet + size, sizeof(trailer));
	if (trailer.type == RP_PARITY ? !formed(&trailer, size)
				      : size < RP_LEAST || size > RP_LARGEST) {
		receiver->received.spoilt++;
		return false;
	}
	epoch = ntohl(trailer.epoch);
	receiver->news = true;
	if (receiver->begun && epoch < receiver->epoch) {
		receiver->received.old++;
		return false;
	}
	receiver->heard = now;
	if (!receiver->begun || epoch > receiver->epoch) {
		first = ntohl(trailer.sequence);
		if (trailer.type == RP_PARITY)
			first += (trailer.count - 1U) * trailer.stride;
		begin(receiver, pool, epoch, first, trailer.type == RP_PARITY);
	}
	if (trailer.type == RP_PARITY)
		return parity(receiver, pool, packet, size, &trailer, now, deliver, context);
	return data(receiver, pool, packet, size, &trailer, now, deliver, context);
}

/* What the sender should know, all but the tag; returns its size. */
uint32_t rp_receiver_report(struct rp_receiver *receiver, uint8_t *packet)
{
	const struct rp_received *received = &receiver->received;
	struct rp_trailer trailer = {
		.epoch = htonl(receiver->epoch), .sequence = htonl(receiver->highest),
		.type = RP_REPORT,
	};
	struct rp_report report = {
		.highest = htonl(receiver->highest), .judged = htonl((uint32_t)received->judged),
		.lost = htonl((uint32_t)received->lost), .runs = htonl((uint32_t)received->runs),
		.repaired = htonl((uint32_t)received->repaired),
		.late = htonl((uint32_t)received->late),
	};

	for (uint32_t lag = 0; lag < RP_LAGS; lag++)
		report.pairs[lag] = htonl((uint32_t)received->pairs[lag]);
	rp_header_write(packet, receiver->kind, receiver->source, receiver->destination,
			receiver->accelerator);
	memcpy(packet + RP_COMMON, &report, sizeof(report));
	memcpy(packet + RP_COMMON + sizeof(report), &trailer, sizeof(trailer) - RP_TAG);
	receiver->news = false;
	return RP_COMMON + sizeof(report) + RP_TRAILER - RP_TAG;
}
