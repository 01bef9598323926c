/* SPDX-License-Identifier: Apache-2.0 */
/* Which streams there are: a bounded table each way, the longest unused one giving way to a new one. */
#include <stdlib.h>

#include "engine.h"

/* A stream that was used since is not given up for another. */
#define UNUSED_US 10000000ULL

static uint32_t bucket_of(uint32_t peer, uint32_t accelerator, uint32_t kind)
{
	uint64_t sum = ((uint64_t)peer << 32 | accelerator) * 0x9e3779b97f4a7c15ULL + kind;

	return (uint32_t)(sum >> 32) % RP_STREAM_BUCKETS;
}

struct rp_stream *rp_stream_find(struct rp_table *table, uint32_t peer, uint32_t accelerator,
				 uint32_t kind)
{
	uint32_t bucket = bucket_of(peer, accelerator, kind);
	struct rp_stream *stream;

	for (; table->bucket[bucket]; bucket = (bucket + 1) % RP_STREAM_BUCKETS) {
		stream = &table->stream[table->bucket[bucket] - 1];
		if (stream->peer == peer && stream->accelerator == accelerator &&
		    stream->kind == kind)
			return stream;
	}
	return NULL;
}

static void enter(struct rp_table *table, uint32_t index)
{
	const struct rp_stream *stream = &table->stream[index];
	uint32_t bucket = bucket_of(stream->peer, stream->accelerator, stream->kind);

	while (table->bucket[bucket])
		bucket = (bucket + 1) % RP_STREAM_BUCKETS;
	table->bucket[bucket] = (uint16_t)(index + 1);
}

static void let_go(struct rp_engine *engine, struct rp_stream *stream)
{
	if (stream->outgoing) {
		engine->parity_memory -= stream->outgoing->memory;
		free(stream->outgoing->sender.parity);
		free(stream->outgoing);
	}
	if (stream->incoming) {
		rp_receiver_clear(&stream->incoming->receiver, &engine->pool);
		free(stream->incoming);
	}
	*stream = (struct rp_stream){ 0 };
}

static void drop(struct rp_engine *engine, struct rp_table *table, uint32_t index)
{
	let_go(engine, &table->stream[index]);
	table->stream[index] = table->stream[--table->count];
	memset(table->bucket, 0, sizeof(table->bucket));
	for (uint32_t i = 0; i < table->count; i++)
		enter(table, i);
}

static uint64_t used(const struct rp_stream *stream)
{
	return stream->outgoing ? stream->outgoing->used : stream->incoming->used;
}

static struct rp_stream *place(struct rp_engine *engine, struct rp_table *table, uint32_t peer,
			       uint32_t accelerator, uint32_t kind, uint64_t now)
{
	struct rp_stream *stream;
	uint32_t oldest = 0;

	if (table->count == RP_STREAMS) {
		for (uint32_t i = 1; i < table->count; i++)
			if (used(&table->stream[i]) < used(&table->stream[oldest]))
				oldest = i;
		if (now - used(&table->stream[oldest]) < UNUSED_US)
			return NULL;
		drop(engine, table, oldest);
	}
	stream = &table->stream[table->count];
	*stream = (struct rp_stream){ .peer = peer, .accelerator = accelerator, .kind = kind };
	return stream;
}

/* Gives a stream its mode, and memory for parity as far as there is some. */
void rp_stream_mode(struct rp_engine *engine, struct rp_outgoing *outgoing,
		    const struct rp_mode *mode, uint64_t now)
{
	uint32_t memory = rp_mode_memory(mode);
	uint8_t *before = outgoing->sender.parity, *parity = NULL;

	engine->parity_memory -= outgoing->memory;
	if (memory && engine->parity_memory + memory <= RP_PARITY_MEMORY)
		parity = malloc(memory);
	outgoing->memory = parity ? memory : 0;
	engine->parity_memory += outgoing->memory;
	engine->sending = outgoing;
	engine->towards = rp_peers_number(&engine->peers, outgoing->sender.destination);
	engine->tos = 0;
	rp_sender_mode(&outgoing->sender, mode, parity, now, rp_send, engine);
	free(before);
}

/* NULL where there is no place for it. */
struct rp_stream *rp_stream_outgoing(struct rp_engine *engine, uint32_t peer, uint32_t accelerator,
				     uint32_t kind, const struct rp_mode *mode, uint64_t now)
{
	struct rp_stream *stream =
		place(engine, &engine->outgoing, peer, accelerator, kind, now);

	if (!stream)
		return NULL;
	stream->outgoing = calloc(1, sizeof(*stream->outgoing));
	if (!stream->outgoing)
		return NULL;
	stream->outgoing->used = now;
	/* one that was here before had this epoch or a lower one */
	rp_sender_init(&stream->outgoing->sender, (uint8_t)kind, peer, engine->number, accelerator,
		       engine->epoch++, now);
	rp_stream_mode(engine, stream->outgoing, mode, now);
	enter(&engine->outgoing, engine->outgoing.count++);
	return stream;
}

struct rp_stream *rp_stream_incoming(struct rp_engine *engine, uint32_t peer, uint32_t accelerator,
				     uint32_t kind, uint64_t now)
{
	struct rp_stream *stream =
		place(engine, &engine->incoming, peer, accelerator, kind, now);

	if (!stream)
		return NULL;
	stream->incoming = malloc(sizeof(*stream->incoming));
	if (!stream->incoming)
		return NULL;
	memset(stream->incoming, 0, sizeof(*stream->incoming));
	rp_receiver_init(&stream->incoming->receiver, (uint8_t)kind, engine->number, peer,
			 accelerator);
	stream->incoming->used = now;
	enter(&engine->incoming, engine->incoming.count++);
	return stream;
}

const struct rp_known_mode *rp_mode_find(const struct rp_engine *engine, uint32_t accelerator,
					 uint32_t kind)
{
	for (uint32_t i = 0; i < engine->modes; i++)
		if (engine->mode[i].accelerator == accelerator && engine->mode[i].kind == kind)
			return &engine->mode[i];
	return NULL;
}

static bool wanted(struct rp_engine *engine, const struct rp_stream *stream)
{
	const struct rp_known_mode *known =
		rp_mode_find(engine, stream->accelerator, stream->kind);

	if (!known || !rp_peers_number(&engine->peers, stream->peer))
		return false;
	return stream->incoming || known->mode.kind != RP_OFF;
}

/* Ends the streams of peers and accelerators that are gone, or that repair no more. */
void rp_streams_keep(struct rp_engine *engine)
{
	struct rp_table *tables[] = { &engine->outgoing, &engine->incoming };

	for (uint32_t t = 0; t < 2; t++)
		for (uint32_t i = tables[t]->count; i--;)
			if (!wanted(engine, &tables[t]->stream[i]))
				drop(engine, tables[t], i);
}

void rp_streams_free(struct rp_engine *engine)
{
	struct rp_table *tables[] = { &engine->outgoing, &engine->incoming };

	for (uint32_t t = 0; t < 2; t++)
		while (tables[t]->count)
			drop(engine, tables[t], tables[t]->count - 1);
}
