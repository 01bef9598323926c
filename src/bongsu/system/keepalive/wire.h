/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on the wire, and replies from it where the stack delivers them. Raw GRE sockets: the
 * kernel writes the outer header, so netfilter and IPsec policies see an ordinary GRE packet.
 */
#ifndef BONGSU_KEEPALIVE_WIRE_H
#define BONGSU_KEEPALIVE_WIRE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "session.h"

/* Requests of one system call: more would be sent long after their time stamp was taken. */
#define KA_BATCH 16
#define KA_CONTROL 128

struct ka_message {
	struct ka_action action;
	struct sockaddr_in6 to; /* or sockaddr_in */
	struct iovec data;
	uint8_t payload[KA_PAYLOAD];
	uint8_t control[KA_CONTROL] __attribute__((aligned(8)));
};

/* The requests of one family that leave together. */
struct ka_batch {
	uint32_t count;
	struct mmsghdr headers[KA_BATCH];
	struct ka_message messages[KA_BATCH];
};

struct ka_wire {
	int send4, send6; /* hear nothing */
	struct ka_batch batch4, batch6;
};

typedef void (*ka_failed)(void *context, const struct ka_action *action, int error);

int ka_wire_open(struct ka_wire *wire);
void ka_wire_close(struct ka_wire *wire);
void ka_wire_put(struct ka_wire *wire, const struct ka_config *config,
		 const struct ka_action *action);
void ka_wire_flush(struct ka_wire *wire, ka_failed failed, void *context);

#endif
