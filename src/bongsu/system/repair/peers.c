/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Some thousand packets: what comes while the thread is held up. */
#define BUFFER (8 << 20)

static uint32_t hash(const uint8_t *bytes, uint32_t size)
{
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (uint32_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3ULL;
	return (uint32_t)(sum ^ sum >> 32) % RP_BUCKETS;
}

static void enter(uint16_t *table, uint32_t bucket, uint32_t index)
{
	while (table[bucket])
		bucket = (bucket + 1) % RP_BUCKETS;
	table[bucket] = (uint16_t)(index + 1);
}

struct rp_peer *rp_peers_number(struct rp_peers *peers, uint32_t number)
{
	uint32_t bucket = hash((const uint8_t *)&number, sizeof(number));
	struct rp_peer *peer;

	for (; peers->by_number[bucket]; bucket = (bucket + 1) % RP_BUCKETS) {
		peer = &peers->peer[peers->by_number[bucket] - 1];
		if (peer->config.number == number)
			return peer;
	}
	return NULL;
}

struct rp_peer *rp_peers_remote(struct rp_peers *peers, uint32_t family, const uint8_t *remote)
{
	uint32_t size = family == 4 ? 4 : 16, bucket = hash(remote, size);
	struct rp_peer *peer;

	for (; peers->by_address[bucket]; bucket = (bucket + 1) % RP_BUCKETS) {
		peer = &peers->peer[peers->by_address[bucket] - 1];
		if (peer->config.family == family && !memcmp(peer->config.remote, remote, size))
			return peer;
	}
	return NULL;
}

/* The peer whose address and port these are exactly. */
struct rp_peer *rp_peers_from(struct rp_peers *peers, const struct sockaddr_in6 *from)
{
	const struct sockaddr_in *four = (const void *)from;
	const struct sockaddr_in *expected;
	struct rp_peer *peer;

	if (from->sin6_family == AF_INET)
		peer = rp_peers_remote(peers, 4, (const uint8_t *)&four->sin_addr);
	else
		peer = rp_peers_remote(peers, 6, (const uint8_t *)&from->sin6_addr);
	/* sin_port and sin6_port lie in the same place */
	expected = peer ? (const void *)&peer->to : NULL;
	return peer && expected->sin_port == four->sin_port ? peer : NULL;
}

static void address(struct sockaddr_in6 *to, uint32_t *size, uint32_t family,
		    const uint8_t *bytes, uint16_t port)
{
	struct sockaddr_in *four = (void *)to;

	memset(to, 0, sizeof(*to));
	if (family == 4) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		memcpy(&four->sin_addr, bytes, 4);
		*size = sizeof(*four);
	} else {
		to->sin6_family = AF_INET6;
		to->sin6_port = htons(port);
		memcpy(&to->sin6_addr, bytes, 16);
		*size = sizeof(*to);
	}
}

static void option(int fd, int level, int name, int value)
{
	/* what fails here costs speed, not function */
	if (setsockopt(fd, level, name, &value, sizeof(value)) && name == SO_RCVBUFFORCE)
		setsockopt(fd, level, SO_RCVBUF, &value, sizeof(value));
}

/* Bound to one address of ours, which may come later (a tunnel's). */
static int open_socket(uint32_t family, const uint8_t *local, uint16_t port)
{
	int domain = family == 4 ? AF_INET : AF_INET6, on = 1, failed;
	int fd = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 at;
	uint32_t size;

	if (fd < 0)
		return -errno;
	if (family == 4) {
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
		/* a path that is too small for a repaired packet costs fragments, not the packet */
		option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
		option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	}
	option(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER);
	option(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER);
	address(&at, &size, family, local, port);
	if (!bind(fd, (struct sockaddr *)&at, size))
		return fd;
	failed = -errno;
	close(fd);
	return failed;
}

static struct rp_socket *find(struct rp_peers *peers, const struct rp_peer_config *config)
{
	for (uint32_t i = 0; i < peers->sockets; i++)
		if (peers->socket[i].family == config->family &&
		    !memcmp(peers->socket[i].local, config->local, 16))
			return &peers->socket[i];
	return NULL;
}

static int need_socket(struct rp_peers *peers, const struct rp_peer_config *config, uint16_t port,
		       int poll)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct rp_socket *made = find(peers, config);
	int fd;

	if (made)
		return made->fd;
	if (peers->sockets == RP_SOCKETS)
		return -ENOSPC;
	fd = open_socket(config->family, config->local, port);
	if (fd < 0)
		return fd;
	event.data.fd = fd;
	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) {
		close(fd);
		return -errno;
	}
	made = &peers->socket[peers->sockets++];
	made->fd = fd;
	made->family = config->family;
	memcpy(made->local, config->local, 16);
	return fd;
}

/* Sockets that no peer uses any more are closed. */
static void drop_sockets(struct rp_peers *peers)
{
	uint32_t kept = 0;
	bool used;

	for (uint32_t i = 0; i < peers->sockets; i++) {
		used = false;
		for (uint32_t p = 0; p < peers->count; p++)
			used |= peers->peer[p].fd == peers->socket[i].fd;
		if (used)
			peers->socket[kept++] = peers->socket[i];
		else
			close(peers->socket[i].fd);
	}
	peers->sockets = kept;
}

/*
 * These peers and no others; what is known of one that stays is kept. Errors: negative errno, and
 * then the peers are as before.
 */
int rp_peers_set(struct rp_peers *peers, const struct rp_peer_config *configs, uint32_t count,
		 uint16_t port, int poll)
{
	struct rp_peer *next, *known;
	int fd;

	if (count > RP_PEERS)
		return -ENOSPC;
	next = calloc(RP_PEERS, sizeof(*next));
	if (!next)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		fd = need_socket(peers, &configs[i], port, poll);
		if (fd < 0) {
			free(next);
			drop_sockets(peers);
			return fd;
		}
		known = rp_peers_number(peers, configs[i].number);
		if (known && !memcmp(&known->config, &configs[i], sizeof(configs[i]))) {
			next[i] = *known;
		} else {
			next[i].paths = 1;
			next[i].path[0] = configs[i].number;
		}
		next[i].config = configs[i];
		next[i].fd = fd;
		address(&next[i].to, &next[i].to_size, configs[i].family, configs[i].remote, port);
	}
	memcpy(peers->peer, next, sizeof(peers->peer));
	free(next);
	peers->count = count;
	memset(peers->by_number, 0, sizeof(peers->by_number));
	memset(peers->by_address, 0, sizeof(peers->by_address));
	for (uint32_t i = 0; i < count; i++) {
		const struct rp_peer_config *one = &peers->peer[i].config;

		enter(peers->by_number, hash((const uint8_t *)&one->number, 4), i);
		enter(peers->by_address, hash(one->remote, one->family == 4 ? 4 : 16), i);
	}
	drop_sockets(peers);
	return 0;
}

void rp_peers_close(struct rp_peers *peers)
{
	peers->count = 0;
	drop_sockets(peers);
}
