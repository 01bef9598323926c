/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keepalive machine in C, without clock, socket or thread: sessions ordered by when they are due,
 * and what a tick or a reply does to one. It behaves as bongsu.protocol.gre_keepalive's machine
 * does, which is its specification; a property test drives the two side by side.
 *
 * It must never wait, allocate after a session was added, or look at the time by itself.
 */
#ifndef BONGSU_KEEPALIVE_SESSION_H
#define BONGSU_KEEPALIVE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/gre.h"
#include "../bpf/keepalive.h"

/* GRE with a key, IPv6, GRE with a key, nonce: 64 bytes; rounded up. */
#define KA_PAYLOAD 96
#define KA_NOWHERE UINT32_MAX
/* getrandom(2) gives up to this much without being interrupted. */
#define KA_POOL 256

/* One session as user space states it. Mirrored by bongsu.system.keepalive.library. */
struct ka_config {
	uint64_t interval; /* ns */
	uint32_t slot;
	uint32_t retries;
	uint32_t up_after;
	uint32_t mode;	  /* enum ka_mode */
	uint32_t flags;	  /* KA_NONCE */
	uint32_t line;	  /* 1: up, at first */
	uint32_t ifindex; /* that requests leave by; 0: as routing says */
	uint32_t family;  /* of the outside: 4 or 6 */
	uint32_t ttl;
	uint32_t tos;
	uint32_t length; /* of `payload` */
	uint32_t inner;	 /* where the inner packet begins in it */
	uint8_t local[16];
	uint8_t remote[16];
	/* everything behind the outer IP header; identification and nonce zero, checksum right */
	uint8_t payload[KA_PAYLOAD];
};

struct ka_timer {
	struct ka_config config;
	uint64_t seen;	/* replies that the machine knows of */
	uint32_t place; /* in the heap, KA_NOWHERE outside it */
	uint32_t next;	/* slot of the next session with the same hash, for replies by socket */
};

enum ka_what {
	KA_SEND,
	KA_LINE_UP,
	KA_LINE_DOWN,
};

/* Deadlines lie side by side: thousands of sessions do not fit into the cache. */
struct ka_due {
	uint64_t at;
	uint32_t slot;
	uint32_t unused;
};

/* What a step asks for. */
struct ka_action {
	uint64_t at; /* when it was decided */
	uint64_t nonce;
	uint32_t slot;
	uint32_t what;
	uint32_t counter; /* requests without an answer; of KA_SEND, this one included */
	uint32_t identification;
	uint32_t generation;
	uint32_t unused;
};

/* A step of one session yields at most a change of the line, its reverse, and a request. */
#define KA_AT_ONCE 3

struct ka_machine {
	struct ka_session *records;
	struct gre_state *states; /* NULL: no kernel part */
	struct ka_timer *timers;  /* by slot */
	struct ka_due *heap;	  /* the earliest first; KA_NOWHERE beyond `sessions` */
	uint32_t slots;
	uint32_t sessions;
	uint64_t added;
	uint32_t pool_left;
	uint8_t pool[KA_POOL]; /* from the kernel's generator, used up from the end */
};

int ka_machine_init(struct ka_machine *machine, struct ka_session *records,
		    struct gre_state *states, uint32_t slots);
void ka_machine_free(struct ka_machine *machine);
int ka_machine_add(struct ka_machine *machine, const struct ka_config *config, uint64_t now);
int ka_machine_remove(struct ka_machine *machine, uint32_t slot);
uint64_t ka_machine_due(const struct ka_machine *machine);
uint32_t ka_machine_step(struct ka_machine *machine, uint64_t now, struct ka_action *out,
			 uint32_t room);
uint32_t ka_machine_reply(struct ka_machine *machine, uint32_t slot, uint64_t now,
			  struct ka_action *out);

#endif
