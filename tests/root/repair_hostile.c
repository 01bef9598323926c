/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine without its thread, under the compiler's sanitizers: packets of a seeded generator, most
 * of them nearly right and with a right tag, on the net's side and on the relay's. Compiled and run
 * by test_repair_sanitized.py; it says what it saw, and dies of the first access that is wrong.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine.h"

int rp_new(struct rp_engine **made, uint32_t number, uint16_t port, const uint8_t *key,
	   uint32_t epoch);
void rp_free(struct rp_engine *engine);
int rp_set_peers(struct rp_engine *engine, const struct rp_peer_config *configs, uint32_t count);
int rp_set_mode(struct rp_engine *engine, uint32_t accelerator, uint32_t kind,
		const struct rp_mode *mode);

#define PORT 4612
static const uint8_t key[RP_KEY] = "sixteen bytes of";
static uint64_t state;

static uint32_t noise(uint32_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % below;
}

static uint32_t body(uint8_t *at, uint32_t to, uint32_t from)
{
	uint32_t size = RP_LEAST + (noise(8) ? noise(300) : noise(RP_LARGEST - RP_LEAST + 8));

	rp_header_write(at, (uint8_t)noise(2), to, from, 1 + noise(2));
	for (uint32_t i = RP_COMMON; i < size; i++)
		at[i] = (uint8_t)noise(256);
	at[RP_HEADER] = noise(2) ? 0x45 : 0x60;
	return size;
}

struct way {
	struct rp_engine *engine;
	uint64_t now;
};

static void arrive(struct rp_engine *engine, const uint8_t *packet, uint32_t size, uint32_t peer,
		   uint64_t now)
{
	/* of its own memory, exactly as long: what reads on is seen */
	uint8_t *exact = malloc(RP_ROOM + size);
	struct sockaddr_in6 from = { 0 };
	struct sockaddr_in *four = (void *)&from;

	four->sin_family = AF_INET;
	four->sin_port = htons(PORT);
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK + peer);
	memcpy(exact + RP_ROOM, packet, size);
	rp_receive(engine, &from, exact + RP_ROOM, size, now);
	rp_flush(engine);
	free(exact);
}

static void from_net(struct rp_engine *engine, uint32_t *sequence, uint64_t now)
{
	uint8_t *made = malloc(RP_ROOM + RP_LANDING), *packet = made + RP_ROOM;
	uint32_t size = body(packet, noise(9) ? 1 : noise(4), 2 + noise(2));
	struct rp_trailer trailer = { 0 };
	uint64_t tag;

	if (size > RP_LARGEST)
		size = RP_LARGEST;
	trailer.epoch = htonl(5 + !noise(500));
	*sequence += noise(4) ? 1 : noise(30) ? noise(40) : noise(1U << 20);
	trailer.sequence = htonl(*sequence - (noise(3) ? 0 : noise(80)));
	trailer.type = noise(4) ? (uint8_t)noise(3) : (uint8_t)noise(6);
	trailer.row = (uint8_t)noise(noise(9) ? 4 : 256);
	trailer.count = (uint8_t)noise(noise(9) ? 12 : 256);
	trailer.stride = (uint8_t)noise(noise(9) ? 5 : 256);
	if (trailer.type == RP_PARITY && noise(9))
		size = RP_COMMON + RP_SYMBOL_LEAST + noise(400);
	if (trailer.type == RP_REPORT && noise(9))
		size = RP_COMMON + sizeof(struct rp_report);
	if (trailer.type == RP_HELLO && noise(9))
		size = RP_COMMON + 16;
	memcpy(packet + size, &trailer, sizeof(trailer));
	if (!noise(20))
		size = noise(RP_COMMON + RP_TRAILER + 4);
	else
		size += RP_TRAILER;
	if (!noise(20) && size)
		packet[noise(size)] ^= (uint8_t)(1 << noise(8));
	if (noise(30) && size > RP_COMMON + RP_TRAILER) {
		tag = rp_siphash(key, packet, size - RP_TAG);
		memcpy(packet + size - RP_TAG, &tag, RP_TAG);
	}
	arrive(engine, packet, size, 1 + noise(3), now);
	free(made);
}

/* What a sound peer sends, and a bad path makes of it. */
static void on_the_way(void *context, uint8_t *packet, uint32_t size, bool parity)
{
	struct way *way = context;
	uint64_t tag;

	(void)parity;
	if (!noise(10))
		return;
	if (!noise(60))
		packet[RP_COMMON + noise(size - RP_COMMON - 12)] ^= (uint8_t)(1 << noise(8));
	tag = rp_siphash(key, packet, size);
	memcpy(packet + size, &tag, RP_TAG);
	arrive(way->engine, packet, size + RP_TAG, 1, way->now);
	if (!noise(50))
		arrive(way->engine, packet, size + RP_TAG, 2, way->now);
}

static void from_peer(struct rp_engine *engine, struct rp_sender *sender, uint64_t now)
{
	struct way way = { engine, now };
	uint8_t *made = malloc(RP_LARGEST + RP_TRAILER + 8);
	uint32_t size = body(made, 1, 2);

	if (size > RP_LARGEST)
		size = RP_LARGEST;
	rp_header_write(made, 0, 1, 2, 3);
	rp_sender_put(sender, made, size, now, on_the_way, &way);
	rp_sender_tick(sender, now, on_the_way, &way);
	free(made);
}

static void from_relay(struct rp_engine *engine, uint64_t now)
{
	uint8_t *made = malloc(RP_ROOM + RP_LANDING + RP_LARGEST);
	uint32_t size = body(made + RP_ROOM, 1 + noise(4), noise(20) ? 1 : noise(4));

	if (!noise(20))
		size = noise(RP_LEAST);
	rp_relay(engine, made + RP_ROOM, size, now);
	rp_flush(engine);
	free(made);
}

int main(int count, char **words)
{
	struct rp_peer_config peers[2] = {
		{ .number = 2, .family = 4, .local = { 127, 0, 0, 1 }, .remote = { 127, 0, 0, 2 } },
		{ .number = 3, .family = 4, .local = { 127, 0, 0, 1 }, .remote = { 127, 0, 0, 3 } },
	};
	struct rp_mode modes[] = {
		{ RP_REED_SOLOMON, 5, 60, 3000 }, { RP_REED_SOLOMON, 64, 100, 9000 },
		{ .kind = RP_DUPLICATE }, { .kind = RP_OFF },
	};
	struct rp_sender sender;
	uint32_t turns, sequence = 0;
	struct rp_engine *engine;
	uint64_t now = 1000000;

	if (count != 3)
		return 2;
	turns = (uint32_t)strtoul(words[1], NULL, 10);
	state = strtoul(words[2], NULL, 10);
	if (rp_new(&engine, 1, PORT, key, 5) || rp_set_peers(engine, peers, 2))
		return 3;
	rp_sender_init(&sender, 0, 1, 2, 3, 5, now);
	rp_sender_mode(&sender, &modes[0], malloc(rp_mode_memory(&modes[0])), now, on_the_way, NULL);
	engine->tun = open("/dev/null", O_WRONLY | O_CLOEXEC);
	for (uint32_t turn = 0; turn < turns; turn++) {
		now += noise(100) ? noise(200) : noise(3000000);
		if (turn % 1000 == 0)
			for (uint32_t kind = 0; kind < 2; kind++)
				for (uint32_t a = 1; a < 4; a++)
					rp_set_mode(engine, a, kind, &modes[noise(4)]);
		/* as if they had answered */
		for (uint32_t i = 0; i < 2; i++)
			engine->peers.peer[i].alive = now;
		if (noise(2))
			from_peer(engine, &sender, now);
		else if (noise(3))
			from_net(engine, &sequence, now);
		else
			from_relay(engine, now);
		if (!noise(10))
			rp_tick(engine, now);
	}
	for (uint32_t i = 0; i < engine->incoming.count; i++) {
		struct rp_received *got = &engine->incoming.stream[i].incoming->receiver.received;

		printf("%lu %lu %lu\n", got->packets, got->repaired, got->spoilt);
	}
	for (uint32_t i = 0; i < engine->incoming.count; i++)
		rp_receiver_clear(&engine->incoming.stream[i].incoming->receiver, &engine->pool);
	if (engine->pool.left != engine->pool.size)
		return 4;
	rp_free(engine);
	free(sender.parity);
	return 0;
}
