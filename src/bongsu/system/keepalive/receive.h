/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies that the stack delivers: where no program of ours sees them arrive, or where they must pass
 * the stack's own checks first, as those of a tunnel inside IPsec must.
 */
#ifndef BONGSU_KEEPALIVE_RECEIVE_H
#define BONGSU_KEEPALIVE_RECEIVE_H

#include "session.h"

#define KA_BUCKETS 4096

/* A packet with protocol type 0, as far as it is understood. */
struct ka_reply {
	uint8_t source[16];
	uint8_t target[16];
	uint8_t family;
	uint8_t ttl;
	uint16_t length; /* of the IP packet */
	uint32_t identification;
	const uint8_t *gre;
	uint32_t room; /* bytes from `gre` on */
};

/* A reply that was taken for a session's. */
struct ka_heard {
	uint32_t slot;
	__u64 rtt;
	uint16_t length;
	uint8_t ttl;
};

struct ka_ear {
	int fd4, fd6; /* -1: nobody listens */
	uint32_t buckets[KA_BUCKETS]; /* slot of the first session with the hash, KA_NOWHERE: none */
};

void ka_ear_init(struct ka_ear *ear);
void ka_ear_close(struct ka_ear *ear);
int ka_ear_open(struct ka_ear *ear, uint32_t family);
void ka_ear_enter(struct ka_ear *ear, struct ka_machine *machine, uint32_t slot);
void ka_ear_leave(struct ka_ear *ear, struct ka_machine *machine, uint32_t slot);
bool ka_ear_judge(const struct ka_ear *ear, struct ka_machine *machine,
		  const struct ka_reply *reply, uint64_t now, struct ka_heard *heard);
bool ka_ear_read(const struct ka_ear *ear, int fd, struct ka_machine *machine, uint64_t now,
		 struct ka_heard *heard, bool *taken);

#endif
