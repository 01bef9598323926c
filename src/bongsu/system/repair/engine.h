/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread between a TUN device, whose packets are the relay's, and the other PoPs' engines. It
 * never runs Python and holds no lock while it waits. Functions return a negative errno where they
 * fail.
 */
#ifndef BONGSU_REPAIR_ENGINE_H
#define BONGSU_REPAIR_ENGINE_H

#include <pthread.h>
#include <sys/socket.h>

#include "peers.h"
#include "receiver.h"
#include "sender.h"

/* Streams each way: a peer, an accelerator, a direction. */
#define RP_STREAMS 512
#define RP_STREAM_BUCKETS 2048
/* Accelerators times directions. */
#define RP_MODES 1024
/* Packets that wait for a repair, and parity in the making: 32 and 64 MB, taken as they are used. */
#define RP_POOL 16384
#define RP_PARITY_MEMORY (64U << 20)
/* Packets of one system call. */
#define RP_BATCH 64
/* Before a packet: what the device wants there. */
#define RP_ROOM 16
#define RP_LANDING (RP_ROOM + RP_LARGEST + RP_TRAILER + 4)
/* Copies that wait to be sent. */
#define RP_COPIES 1024

struct rp_counts {
	uint64_t bypassed;	  /* the ordinary way: the peer has no engine that lives, or off */
	uint64_t forwarded;	  /* between two others */
	uint64_t malformed;	  /* too short, too long, or no packet of this version */
	uint64_t stranger;	  /* from no peer's address and port, or in no peer's name */
	uint64_t forged;	  /* wrong tag */
	uint64_t misled;	  /* for nobody we know, or may go no further */
	uint64_t unknown;	  /* of an accelerator that we do not have */
	uint64_t full;		  /* no place for one more stream */
	uint64_t send_errors;
	uint64_t device_errors;
	uint64_t hellos;
};

struct rp_known_mode {
	uint32_t accelerator, kind;
	struct rp_mode mode;
};

struct rp_outgoing {
	struct rp_sender sender;
	uint64_t used, copies;
	uint8_t tos; /* of its latest packet: parity has it too */
	uint32_t memory;
};

struct rp_incoming {
	struct rp_receiver receiver;
	uint64_t used;
	bool idle;
};

/* A stream of one way or the other. */
struct rp_stream {
	uint32_t peer, accelerator, kind;
	struct rp_outgoing *outgoing;
	struct rp_incoming *incoming;
};

struct rp_table {
	uint32_t count;
	struct rp_stream stream[RP_STREAMS];
	uint16_t bucket[RP_STREAM_BUCKETS]; /* 1 + index */
};

struct rp_copy {
	uint64_t due;
	uint32_t peer, size;
	uint8_t tos;
	uint8_t packet[RP_PROTECTED + RP_TRAILER];
};

struct rp_batch {
	uint32_t count;
	struct mmsghdr header[RP_BATCH];
	struct iovec data[RP_BATCH];
	int fd[RP_BATCH];
	uint8_t control[RP_BATCH][CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	uint8_t own[RP_BATCH][RP_COMMON + RP_BUFFER + RP_TRAILER];
};

struct rp_arrivals {
	struct mmsghdr header[RP_BATCH];
	struct iovec data[RP_BATCH];
	struct sockaddr_in6 from[RP_BATCH];
	uint8_t landing[RP_BATCH][RP_LANDING];
};

struct rp_engine {
	pthread_mutex_t lock;
	pthread_t thread;
	int poll, stop, tun;
	uint32_t running, ifindex;
	int32_t failed; /* errno that ended the thread */
	uint32_t number, epoch;
	uint16_t port;
	bool keyed;
	uint8_t key[RP_KEY];
	uint64_t nonce, ticked, greeted;
	uint32_t parity_memory;
	struct rp_peers peers;
	uint32_t modes;
	struct rp_known_mode mode[RP_MODES];
	struct rp_table outgoing, incoming;
	struct rp_pool pool;
	struct rp_counts counts;
	uint32_t copies_first, copies_count;
	/* the stream and the outer TOS of what is being sent */
	struct rp_outgoing *sending;
	struct rp_peer *towards;
	uint8_t tos;
	struct rp_batch batch;
	struct rp_arrivals arrivals;
	uint8_t departures[RP_BATCH][RP_LANDING];
	struct rp_copy copy[RP_COPIES];
};

/* traffic.c: everything but the waiting; `now` in us */
void rp_from_device(struct rp_engine *engine, uint64_t now);
void rp_from_socket(struct rp_engine *engine, int fd, uint64_t now);
void rp_receive(struct rp_engine *engine, const struct sockaddr_in6 *from, uint8_t *packet,
		uint32_t size, uint64_t now);
void rp_relay(struct rp_engine *engine, uint8_t *packet, uint32_t size, uint64_t now);
uint64_t rp_tick(struct rp_engine *engine, uint64_t now);
void rp_flush(struct rp_engine *engine);

/* streams.c */
struct rp_stream *rp_stream_find(struct rp_table *table, uint32_t peer, uint32_t accelerator,
				 uint32_t kind);
struct rp_stream *rp_stream_outgoing(struct rp_engine *engine, uint32_t peer, uint32_t accelerator,
				     uint32_t kind, const struct rp_mode *mode, uint64_t now);
struct rp_stream *rp_stream_incoming(struct rp_engine *engine, uint32_t peer, uint32_t accelerator,
				     uint32_t kind, uint64_t now);
void rp_stream_mode(struct rp_engine *engine, struct rp_outgoing *outgoing,
		    const struct rp_mode *mode, uint64_t now);
void rp_streams_keep(struct rp_engine *engine);
void rp_streams_free(struct rp_engine *engine);
const struct rp_known_mode *rp_mode_find(const struct rp_engine *engine, uint32_t accelerator,
					 uint32_t kind);
void rp_send(void *context, uint8_t *packet, uint32_t size, bool parity);

#endif
