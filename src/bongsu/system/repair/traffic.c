/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with a packet of either side, and at which times without one. */
#include <errno.h>
#include <linux/if_tun.h>
#include <stddef.h>
#include <unistd.h>

#include "engine.h"

/* Ethertypes of what goes into the device: the inner packet's own, for the relay's program there takes
 * the relay header off, which the kernel allows to IP packets alone (bpf_skb_adjust_room).
 */
#define PROTOCOL_4 0x0800
#define PROTOCOL_6 0x86DD
#define REPORT_US 100000ULL
/* Nothing came for so long: what is missing is not merely overtaken. */
#define QUIET_US 50000ULL
#define IDLE_US 2000000ULL
#define HELLO_US 200000ULL
/* Greetings that still count when they are repeated. */
#define RECENT 8
#define OUT_OF_TURN_US 20000ULL
/* A copy by the same path comes so much later, lest one burst takes both. */
#define COPY_US 5000ULL

struct hello {
	uint64_t ours;
	uint64_t yours;
} __attribute__((packed));

#define HELLO_SIZE (RP_COMMON + sizeof(struct hello) + RP_TRAILER)

static void sign(const struct rp_engine *engine, uint8_t *packet, uint32_t size)
{
	uint64_t tag = engine->keyed ? rp_siphash(engine->key, packet, size) : 0;

	memcpy(packet + size, &tag, RP_TAG);
}

static bool authentic(const struct rp_engine *engine, const uint8_t *packet, uint32_t size)
{
	uint64_t tag = engine->keyed ? rp_siphash(engine->key, packet, size - RP_TAG) : 0, found;

	memcpy(&found, packet + size - RP_TAG, RP_TAG);
	return found == tag;
}

static void flush_run(struct rp_engine *engine, uint32_t from, uint32_t to)
{
	struct rp_batch *batch = &engine->batch;
	int sent;

	while (from < to) {
		sent = sendmmsg(batch->fd[from], &batch->header[from], to - from, MSG_DONTWAIT);
		if (sent <= 0) {
			engine->counts.send_errors++;
			sent = 1;
		}
		from += (uint32_t)sent;
	}
}

void rp_flush(struct rp_engine *engine)
{
	struct rp_batch *batch = &engine->batch;
	uint32_t from = 0;

	for (uint32_t i = 1; i <= batch->count; i++)
		if (i == batch->count || batch->fd[i] != batch->fd[from]) {
			flush_run(engine, from, i);
			from = i;
		}
	batch->count = 0;
}

/* `packet` has to stay until the next flush. */
static void queue(struct rp_engine *engine, const struct rp_peer *to, uint8_t *packet,
		  uint32_t size, uint8_t tos)
{
	struct rp_batch *batch = &engine->batch;
	struct msghdr *header;
	struct cmsghdr *item;
	int value = tos;
	uint32_t i;

	if (batch->count == RP_BATCH)
		rp_flush(engine);
	i = batch->count++;
	header = &batch->header[i].msg_hdr;
	memset(header, 0, sizeof(*header));
	batch->fd[i] = to->fd;
	batch->data[i] = (struct iovec){ packet, size };
	header->msg_name = (void *)&to->to;
	header->msg_namelen = to->to_size;
	header->msg_iov = &batch->data[i];
	header->msg_iovlen = 1;
	if (!tos)
		return;
	header->msg_control = batch->control[i];
	header->msg_controllen = sizeof(batch->control[i]);
	item = CMSG_FIRSTHDR(header);
	item->cmsg_level = to->config.family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
	item->cmsg_type = to->config.family == 4 ? IP_TOS : IPV6_TCLASS;
	item->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(item), &value, sizeof(value));
}

/* The same, of a packet that is gone before. */
static void queue_own(struct rp_engine *engine, const struct rp_peer *to, const uint8_t *packet,
		      uint32_t size, uint8_t tos)
{
	uint8_t *own;

	if (engine->batch.count == RP_BATCH)
		rp_flush(engine);
	own = engine->batch.own[engine->batch.count];
	memcpy(own, packet, size);
	queue(engine, to, own, size, tos);
}

static struct rp_peer *hop(struct rp_engine *engine, const struct rp_peer *towards, uint32_t path)
{
	return rp_peers_number(&engine->peers, towards->path[path]);
}

static void copy_later(struct rp_engine *engine, const struct rp_peer *to, uint8_t *packet,
		       uint32_t size, uint64_t now)
{
	struct rp_copy *copy;

	if (engine->copies_count == RP_COPIES || size > sizeof(copy->packet)) {
		queue(engine, to, packet, size, engine->tos);
		return;
	}
	copy = &engine->copy[(engine->copies_first + engine->copies_count++) % RP_COPIES];
	copy->due = now + COPY_US;
	copy->peer = to->config.number;
	copy->size = size;
	copy->tos = engine->tos;
	memcpy(copy->packet, packet, size);
}

/* What a sender gives out, `size` without its tag. Data stays where it is until the next flush. */
void rp_send(void *context, uint8_t *packet, uint32_t size, bool parity)
{
	struct rp_engine *engine = context;
	struct rp_peer *first = engine->towards ? hop(engine, engine->towards, 0) : NULL, *second;

	if (!first)
		return;
	sign(engine, packet, size);
	size += RP_TAG;
	if (parity) {
		queue_own(engine, first, packet, size, engine->tos);
		return;
	}
	queue(engine, first, packet, size, engine->tos);
	if (engine->sending->sender.mode.kind != RP_DUPLICATE)
		return;
	engine->sending->copies++;
	second = engine->towards->paths > 1 ? hop(engine, engine->towards, 1) : NULL;
	if (second && second != first)
		queue(engine, second, packet, size, engine->tos);
	else
		copy_later(engine, first, packet, size, engine->sending->used);
}

/* Into the device: `packet` has room for what it wants before it. */
static void to_device(void *context, uint8_t *packet, uint32_t size)
{
	struct rp_engine *engine = context;
	bool six = packet[RP_HEADER] >> 4 == 6;
	struct tun_pi info = { .proto = htons(six ? PROTOCOL_6 : PROTOCOL_4) };

	memcpy(packet - sizeof(info), &info, sizeof(info));
	if (write(engine->tun, packet - sizeof(info), size + sizeof(info)) < 0)
		engine->counts.device_errors++;
}

/* The class of the inner packet, without ECN: nobody would carry a mark back into it (RFC 6040). */
static uint8_t tos_of(const uint8_t *inner)
{
	if (inner[0] >> 4 == 4)
		return inner[1] & 0xfc;
	return (uint8_t)(inner[0] << 4 | inner[1] >> 4) & 0xfc;
}

/* A packet of the relay's, with a header and room for a trailer. */
void rp_relay(struct rp_engine *engine, uint8_t *packet, uint32_t size, uint64_t now)
{
	const struct rp_known_mode *known;
	struct rp_stream *stream;
	struct rp_header header;
	struct rp_peer *peer;
	uint32_t accelerator;

	memcpy(&header, packet, RP_COMMON);
	if (size < RP_LEAST || size > RP_LARGEST || header.version != RP_VERSION ||
	    header.kind > 1 || header.zero || ntohl(header.source) != engine->number) {
		engine->counts.malformed++;
		return;
	}
	peer = rp_peers_number(&engine->peers, ntohl(header.destination));
	if (!peer) {
		engine->counts.misled++;
		return;
	}
	accelerator = ntohl(header.accelerator);
	stream = rp_stream_find(&engine->outgoing, peer->config.number, accelerator, header.kind);
	if (!rp_peer_alive(peer, now)) {
		stream = NULL;
	} else if (!stream) {
		known = rp_mode_find(engine, accelerator, header.kind);
		if (known && known->mode.kind != RP_OFF) {
			stream = rp_stream_outgoing(engine, peer->config.number, accelerator,
						    header.kind, &known->mode, now);
			engine->counts.full += !stream;
		}
	}
	if (!stream) {
		/* to somebody else, it is passed on as one that came by UDP and is on its way */
		engine->counts.bypassed++;
		to_device(engine, packet, size);
		return;
	}
	stream->outgoing->used = now;
	engine->sending = stream->outgoing;
	engine->towards = peer;
	engine->tos = stream->outgoing->tos = tos_of(packet + RP_HEADER);
	rp_sender_put(&stream->outgoing->sender, packet, size, now, rp_send, engine);
}

void rp_from_device(struct rp_engine *engine, uint64_t now)
{
	uint8_t *landing;
	ssize_t size;

	for (uint32_t i = 0; i < RP_BATCH; i++) {
		landing = engine->departures[i] + RP_ROOM - sizeof(struct tun_pi);
		size = read(engine->tun, landing, sizeof(struct tun_pi) + RP_LARGEST + 1);
		if (size < 0) {
			if (errno != EAGAIN && errno != EINTR)
				engine->failed = errno;
			break;
		}
		if (size <= (ssize_t)sizeof(struct tun_pi))
			continue;
		rp_relay(engine, engine->departures[i] + RP_ROOM,
			 (uint32_t)size - sizeof(struct tun_pi), now);
	}
	rp_flush(engine);
}

static void greet(struct rp_engine *engine, struct rp_peer *peer)
{
	uint8_t packet[HELLO_SIZE];
	struct hello hello = { engine->nonce, peer->theirs };
	struct rp_trailer trailer = { .epoch = htonl(engine->epoch), .type = RP_HELLO };
	uint32_t size = HELLO_SIZE - RP_TAG;
	struct rp_peer *next;

	rp_header_write(packet, 0, peer->config.number, engine->number, 0);
	memcpy(packet + RP_COMMON, &hello, sizeof(hello));
	memcpy(packet + RP_COMMON + sizeof(hello), &trailer, sizeof(trailer) - RP_TAG);
	sign(engine, packet, size);
	/* copies by the second path are worth sending while that one lives */
	for (uint32_t path = 0; path < peer->paths; path++) {
		next = hop(engine, peer, path);
		if (next)
			queue_own(engine, next, packet, HELLO_SIZE, 0);
	}
	engine->counts.hellos++;
}

static void greeted(struct rp_engine *engine, struct rp_peer *peer, const uint8_t *packet,
		    uint64_t now)
{
	struct hello hello;
	bool answers;

	memcpy(&hello, packet + RP_COMMON, sizeof(hello));
	answers = engine->nonce - hello.yours < RECENT;
	if (answers) {
		peer->alive = now;
		peer->theirs = hello.ours;
	} else if (now - peer->answered > OUT_OF_TURN_US) {
		/* it does not know us yet: it need not wait for our next greeting */
		peer->answered = now;
		peer->theirs = hello.ours;
		greet(engine, peer);
	}
}

static void reported(struct rp_engine *engine, uint32_t peer, const struct rp_header *header,
		     const uint8_t *packet, uint32_t size, uint64_t now)
{
	struct rp_stream *stream = rp_stream_find(&engine->outgoing, peer,
						  ntohl(header->accelerator), header->kind);
	struct rp_trailer trailer;
	struct rp_report report;

	if (size != RP_COMMON + sizeof(report) + RP_TRAILER) {
		engine->counts.malformed++;
		return;
	}
	if (!stream)
		return;
	memcpy(&report, packet + RP_COMMON, sizeof(report));
	memcpy(&trailer, packet + RP_COMMON + sizeof(report), sizeof(trailer));
	rp_sender_report(&stream->outgoing->sender, ntohl(trailer.epoch), &report, now);
}

static void carried(struct rp_engine *engine, uint32_t peer, const struct rp_header *header,
		    uint8_t *packet, uint32_t size, uint64_t now)
{
	uint32_t accelerator = ntohl(header->accelerator);
	const struct rp_known_mode *known;
	struct rp_stream *stream =
		rp_stream_find(&engine->incoming, peer, accelerator, header->kind);

	if (!stream) {
		known = rp_mode_find(engine, accelerator, header->kind);
		if (!known) {
			engine->counts.unknown++;
			return;
		}
		stream = rp_stream_incoming(engine, peer, accelerator, header->kind, now);
		if (!stream) {
			engine->counts.full++;
			return;
		}
		stream->incoming->receiver.delay_us =
			known->mode.kind == RP_REED_SOLOMON ? known->mode.delay_us : 0;
	}
	stream->incoming->used = now;
	stream->incoming->idle = false;
	rp_receiver_take(&stream->incoming->receiver, &engine->pool, packet, size, now, to_device,
			 engine);
}

/* To another engine, which we only help to reach; once. */
static void forward(struct rp_engine *engine, const struct rp_peer *from,
		    const struct rp_header *header, uint8_t *packet, uint32_t size)
{
	struct rp_peer *to = rp_peers_number(&engine->peers, ntohl(header->destination));

	if (!to || to == from || !header->hops) {
		engine->counts.misled++;
		return;
	}
	packet[RP_HOPS] = 0;
	engine->counts.forwarded++;
	queue(engine, to, packet, size, 0);
}

/* A packet from the net; `packet` has RP_ROOM before it. */
void rp_receive(struct rp_engine *engine, const struct sockaddr_in6 *from, uint8_t *packet,
		uint32_t size, uint64_t now)
{
	struct rp_peer *sender = rp_peers_from(&engine->peers, from), *origin;
	struct rp_header header;
	uint8_t type;

	if (size < RP_COMMON + RP_TRAILER || size > RP_LARGEST + RP_TRAILER) {
		engine->counts.malformed++;
		return;
	}
	memcpy(&header, packet, RP_COMMON);
	if (header.version != RP_VERSION || header.kind > 1 || header.zero) {
		engine->counts.malformed++;
		return;
	}
	origin = sender ? rp_peers_number(&engine->peers, ntohl(header.source)) : NULL;
	if (!origin) {
		engine->counts.stranger++;
		return;
	}
	if (!authentic(engine, packet, size)) {
		engine->counts.forged++;
		return;
	}
	if (ntohl(header.destination) != engine->number) {
		forward(engine, sender, &header, packet, size);
		return;
	}
	type = packet[size - RP_TRAILER + offsetof(struct rp_trailer, type)];
	if (type == RP_REPORT)
		reported(engine, origin->config.number, &header, packet, size, now);
	else if (type == RP_HELLO && size == HELLO_SIZE)
		greeted(engine, origin, packet, now);
	else if (type <= RP_PARITY)
		carried(engine, origin->config.number, &header, packet, size, now);
	else
		engine->counts.malformed++;
}

void rp_from_socket(struct rp_engine *engine, int fd, uint64_t now)
{
	struct rp_arrivals *in = &engine->arrivals;
	int count;

	for (uint32_t i = 0; i < RP_BATCH; i++) {
		in->data[i] = (struct iovec){ in->landing[i] + RP_ROOM, RP_LANDING - RP_ROOM };
		in->header[i].msg_hdr = (struct msghdr){
			.msg_name = &in->from[i], .msg_namelen = sizeof(in->from[i]),
			.msg_iov = &in->data[i], .msg_iovlen = 1,
		};
	}
	count = recvmmsg(fd, in->header, RP_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		if (in->header[i].msg_hdr.msg_flags & MSG_TRUNC)
			engine->counts.malformed++;
		else
			rp_receive(engine, &in->from[i], in->landing[i] + RP_ROOM,
				   in->header[i].msg_len, now);
	/* what is forwarded lies in the landing */
	rp_flush(engine);
}

static void report(struct rp_engine *engine, struct rp_incoming *incoming, uint64_t now)
{
	struct rp_receiver *receiver = &incoming->receiver;
	struct rp_peer *peer = rp_peers_number(&engine->peers, receiver->source);
	struct rp_peer *first = peer ? hop(engine, peer, 0) : NULL;
	uint8_t packet[RP_COMMON + sizeof(struct rp_report) + RP_TRAILER];
	uint32_t size;

	if (!receiver->begun || !first ||
	    (!receiver->news && (int32_t)(receiver->highest - receiver->judged) < 0))
		return;
	if (now - receiver->heard >= QUIET_US)
		rp_receiver_settle(receiver);
	size = rp_receiver_report(receiver, packet);
	sign(engine, packet, size);
	queue_own(engine, first, packet, size + RP_TAG, 0);
}

static void each_while(struct rp_engine *engine, uint64_t now)
{
	struct rp_incoming *incoming;

	for (uint32_t i = 0; i < engine->incoming.count; i++) {
		incoming = engine->incoming.stream[i].incoming;
		report(engine, incoming, now);
		if (!incoming->idle && now - incoming->used > IDLE_US) {
			rp_receiver_clear(&incoming->receiver, &engine->pool);
			incoming->idle = true;
		}
	}
}

static uint64_t send_copies(struct rp_engine *engine, uint64_t now)
{
	struct rp_peer *peer;
	struct rp_copy *copy;

	while (engine->copies_count) {
		copy = &engine->copy[engine->copies_first];
		if (copy->due > now)
			return copy->due;
		peer = rp_peers_number(&engine->peers, copy->peer);
		if (peer)
			queue_own(engine, peer, copy->packet, copy->size, copy->tos);
		engine->copies_first = (engine->copies_first + 1) % RP_COPIES;
		engine->copies_count--;
	}
	return UINT64_MAX;
}

static uint64_t send_groups(struct rp_engine *engine, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	struct rp_outgoing *outgoing;

	for (uint32_t i = 0; i < engine->outgoing.count; i++) {
		outgoing = engine->outgoing.stream[i].outgoing;
		if (outgoing->sender.due && outgoing->sender.due <= now) {
			engine->sending = outgoing;
			engine->towards = rp_peers_number(&engine->peers,
							  outgoing->sender.destination);
			engine->tos = outgoing->tos;
			rp_sender_tick(&outgoing->sender, now, rp_send, engine);
		}
		if (outgoing->sender.due && outgoing->sender.due < next)
			next = outgoing->sender.due;
	}
	return next;
}

/* What is due is done; returns when something is due next. */
uint64_t rp_tick(struct rp_engine *engine, uint64_t now)
{
	uint64_t next = send_groups(engine, now), other = send_copies(engine, now);

	if (now >= engine->ticked + REPORT_US) {
		engine->ticked = now;
		each_while(engine, now);
	}
	if (now >= engine->greeted + HELLO_US) {
		engine->greeted = now;
		engine->nonce++;
		for (uint32_t i = 0; i < engine->peers.count; i++)
			greet(engine, &engine->peers.peer[i]);
	}
	rp_flush(engine);
	if (other < next)
		next = other;
	if (engine->ticked + REPORT_US < next)
		next = engine->ticked + REPORT_US;
	return next;
}
