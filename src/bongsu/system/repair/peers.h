/* SPDX-License-Identifier: Apache-2.0 */
/* The other PoPs' engines: where they are, by which path, whether they live; and our sockets. */
#ifndef BONGSU_REPAIR_PEERS_H
#define BONGSU_REPAIR_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define RP_PEERS 256
#define RP_SOCKETS 64
#define RP_PATHS 2
#define RP_BUCKETS 1024 /* a power of two, several times RP_PEERS */

/* Mirrored by bongsu.system.repair.library. */
struct rp_peer_config {
	uint32_t number;
	uint32_t family; /* 4 or 6 */
	uint8_t local[16];
	uint8_t remote[16];
};

struct rp_peer {
	struct rp_peer_config config;
	struct sockaddr_in6 to; /* or sockaddr_in */
	uint32_t to_size;
	int fd; /* of `local` */
	uint32_t paths;
	uint32_t path[RP_PATHS]; /* numbers of peers: the next hops */
	/* life: it repeats what we sent it a moment ago */
	uint64_t theirs;    /* to be repeated */
	uint64_t alive;	    /* us: when it last did */
	uint64_t answered;  /* us: when we last told it out of turn */
};

struct rp_socket {
	int fd;
	uint32_t family;
	uint8_t local[16];
};

struct rp_peers {
	uint32_t count, sockets;
	struct rp_peer peer[RP_PEERS];
	struct rp_socket socket[RP_SOCKETS];
	uint16_t by_number[RP_BUCKETS], by_address[RP_BUCKETS]; /* 1 + index, 0: none */
};

/* An engine that did not answer for so long (six greetings) is not there. */
#define RP_ALIVE_US 1200000ULL

static inline bool rp_peer_alive(const struct rp_peer *peer, uint64_t now)
{
	return peer->alive && now - peer->alive <= RP_ALIVE_US;
}

int rp_peers_set(struct rp_peers *peers, const struct rp_peer_config *configs, uint32_t count,
		 uint16_t port, int poll);
void rp_peers_close(struct rp_peers *peers);
struct rp_peer *rp_peers_number(struct rp_peers *peers, uint32_t number);
struct rp_peer *rp_peers_from(struct rp_peers *peers, const struct sockaddr_in6 *from);
struct rp_peer *rp_peers_remote(struct rp_peers *peers, uint32_t family, const uint8_t *remote);

#endif
