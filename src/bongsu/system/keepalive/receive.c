/* SPDX-License-Identifier: Apache-2.0 */
#include "receive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GRE_KEY_PRESENT 0x2000
/* Headers with options, GRE with a key, nonce, and some: longer packets are no replies anyway. */
#define LARGEST 128
#define LONGEST_REST (8 + KA_NONCE_BYTES)
/* Some ten thousand replies: what comes while the thread is held up must not be lost for it. */
#define RECEIVE_BUFFER (8 << 20)
#define ETHERTYPE6 0x86dd
#ifndef IPV6_FLOWINFO
#define IPV6_FLOWINFO 11 /* linux/in6.h, which does not go with netinet/in.h */
#endif

/* Only what may be a reply is copied here: protocol type 0. bpf(4), linux/filter.h */
static const struct sock_filter only4[] = {
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
	BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, LARGEST),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

/* Or MikroTik's, which looks like IPv6 without any. A raw IPv6 socket sees no IP header. */
static const struct sock_filter only6[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE6, 0, 3),
	BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LONGEST_REST, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, LARGEST),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

void ka_ear_init(struct ka_ear *ear)
{
	ear->fd4 = ear->fd6 = -1;
	for (uint32_t i = 0; i < KA_BUCKETS; i++)
		ear->buckets[i] = KA_NOWHERE;
}

void ka_ear_close(struct ka_ear *ear)
{
	if (ear->fd4 >= 0)
		close(ear->fd4);
	if (ear->fd6 >= 0)
		close(ear->fd6);
	ear->fd4 = ear->fd6 = -1;
}

static int limit(int fd, uint32_t family)
{
	struct sock_fprog filter = {
		.len = family == 4 ? sizeof(only4) / sizeof(*only4) : sizeof(only6) / sizeof(*only6),
		.filter = (struct sock_filter *)(family == 4 ? only4 : only6),
	};
	int on = 1, room = RECEIVE_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		return -errno;
	/* without the right to more, as much as the system lets anybody have */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (family == 4)
		return 0;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWINFO, &on, sizeof(on)))
		return -errno;
	return 0;
}

/*
 * A descriptor to watch for replies of this (inner) family; the same one again. What arrived before
 * the filter was there does no harm: it is judged like everything else.
 */
int ka_ear_open(struct ka_ear *ear, uint32_t family)
{
	int *fd = family == 4 ? &ear->fd4 : &ear->fd6, failed;

	if (*fd >= 0)
		return *fd;
	*fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
		     IPPROTO_GRE);
	if (*fd < 0)
		return -errno;
	failed = limit(*fd, family);
	if (failed) {
		close(*fd);
		*fd = -1;
		return failed;
	}
	return *fd;
}

/* The reply that a session waits for, as its own request has it inside. */
static void expected(const struct ka_config *config, struct ka_reply *reply)
{
	const uint8_t *inner = config->payload + config->inner;

	memset(reply, 0, sizeof(*reply));
	reply->family = inner[0] >> 4;
	if (reply->family == 4) {
		memcpy(reply->source, inner + 12, 4);
		memcpy(reply->target, inner + 16, 4);
		reply->gre = inner + 20;
	} else {
		memcpy(reply->source, inner + 8, 16);
		memcpy(reply->target, inner + 24, 16);
		reply->gre = inner + 40;
	}
	reply->room = config->length - (uint32_t)(reply->gre - config->payload);
}

/* The GRE header's bytes that tell tunnels apart; false if a reply has no such header. */
static bool key_of(const struct ka_reply *reply, uint32_t *key, uint32_t *header)
{
	uint16_t flags;

	*key = 0;
	*header = 4;
	if (reply->room < 4)
		return false;
	memcpy(&flags, reply->gre, 2);
	if (flags == htons(GRE_KEY_PRESENT) && reply->room >= 8) {
		memcpy(key, reply->gre + 4, 4);
		*header = 8;
		return true;
	}
	return !flags;
}

static uint32_t bucket(const struct ka_reply *reply)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (uint32_t i = 0; i < 16; i++) {
		hash = (hash ^ reply->source[i]) * 0x100000001b3ULL;
		hash = (hash ^ reply->target[i]) * 0x100000001b3ULL;
	}
	return (uint32_t)(hash >> 32) % KA_BUCKETS;
}

void ka_ear_enter(struct ka_ear *ear, struct ka_machine *machine, uint32_t slot)
{
	struct ka_reply reply;
	uint32_t *first;

	expected(&machine->timers[slot].config, &reply);
	first = &ear->buckets[bucket(&reply)];
	machine->timers[slot].next = *first;
	*first = slot;
}

void ka_ear_leave(struct ka_ear *ear, struct ka_machine *machine, uint32_t slot)
{
	struct ka_reply reply;
	uint32_t *place;

	expected(&machine->timers[slot].config, &reply);
	place = &ear->buckets[bucket(&reply)];
	while (*place != KA_NOWHERE && *place != slot)
		place = &machine->timers[*place].next;
	if (*place == slot)
		*place = machine->timers[slot].next;
}

/* Sessions with these addresses; of several, the one with this key, else any, to count it. */
static uint32_t find(const struct ka_ear *ear, const struct ka_machine *machine,
		     const struct ka_reply *reply, bool *whole)
{
	uint32_t key, header, own, own_header, best = KA_NOWHERE;
	bool sound = key_of(reply, &key, &header);
	struct ka_reply waited;

	*whole = false;
	for (uint32_t slot = ear->buckets[bucket(reply)]; slot != KA_NOWHERE;
	     slot = machine->timers[slot].next) {
		expected(&machine->timers[slot].config, &waited);
		if (waited.family != reply->family || memcmp(waited.source, reply->source, 16) ||
		    memcmp(waited.target, reply->target, 16))
			continue;
		key_of(&waited, &own, &own_header);
		if (sound && key == own && header == own_header &&
		    !memcmp(waited.gre + 2, reply->gre + 2, 2)) {
			*whole = true;
			return slot;
		}
		best = slot;
	}
	return best;
}

/* Whether the packet is a session's reply; counts either, if it is between a session's ends. */
bool ka_ear_judge(const struct ka_ear *ear, struct ka_machine *machine,
		  const struct ka_reply *reply, uint64_t now, struct ka_heard *heard)
{
	struct ka_session *session;
	uint32_t header, key, rest;
	uint64_t nonce = 0;
	bool whole;

	heard->slot = find(ear, machine, reply, &whole);
	if (heard->slot == KA_NOWHERE)
		return false;
	session = &machine->records[heard->slot];
	if (!whole) {
		session->refused[KA_HEADER]++;
		return false;
	}
	key_of(reply, &key, &header);
	rest = reply->room - header;
	if (rest != (session->flags & KA_NONCE ? KA_NONCE_BYTES : 0)) {
		session->refused[KA_LENGTH]++;
		return false;
	}
	memcpy(&nonce, reply->gre + header, rest);
	heard->length = reply->length;
	heard->ttl = reply->ttl;
	return ka_judge(session, reply->identification, nonce, now, &heard->rtt) > 0;
}

static bool read4(const uint8_t *data, uint32_t size, struct ka_reply *reply)
{
	uint32_t header = size ? (data[0] & 15) * 4 : 0;
	uint16_t word;

	if (header < 20 || size < header)
		return false;
	reply->family = 4;
	memcpy(reply->source, data + 12, 4);
	memcpy(reply->target, data + 16, 4);
	memcpy(&word, data + 4, 2);
	reply->identification = ntohs(word);
	reply->ttl = data[8];
	reply->length = (uint16_t)size;
	reply->gre = data + header;
	reply->room = size - header;
	return true;
}

static bool read6(struct msghdr *message, const uint8_t *data, uint32_t size,
		  struct ka_reply *reply)
{
	const struct sockaddr_in6 *from = message->msg_name;
	struct in6_pktinfo to;
	uint32_t flow;
	int ttl;

	reply->family = 6;
	memcpy(reply->source, &from->sin6_addr, 16);
	reply->length = (uint16_t)(size + 40);
	reply->gre = data;
	reply->room = size;
	for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item;
	     item = CMSG_NXTHDR(message, item)) {
		if (item->cmsg_type == IPV6_PKTINFO) {
			memcpy(&to, CMSG_DATA(item), sizeof(to));
			memcpy(reply->target, &to.ipi6_addr, 16);
		} else if (item->cmsg_type == IPV6_FLOWINFO) {
			memcpy(&flow, CMSG_DATA(item), sizeof(flow));
			reply->identification = ntohl(flow) & KA_IDENTIFICATION;
		} else if (item->cmsg_type == IPV6_HOPLIMIT) {
			memcpy(&ttl, CMSG_DATA(item), sizeof(ttl));
			reply->ttl = (uint8_t)ttl;
		}
	}
	return true;
}

/* Reads one packet; false when there is none. `*taken`: it was a reply, described by `heard`. */
bool ka_ear_read(const struct ka_ear *ear, int fd, struct ka_machine *machine, uint64_t now,
		 struct ka_heard *heard, bool *taken)
{
	uint8_t data[LARGEST], control[128] __attribute__((aligned(8)));
	struct iovec into = { .iov_base = data, .iov_len = sizeof(data) };
	struct ka_reply reply = { 0 };
	struct sockaddr_in6 from;
	struct msghdr message = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &into, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
	bool read;

	*taken = false;
	if (size < 0)
		return false;
	if (fd == ear->fd4)
		read = read4(data, (uint32_t)size, &reply);
	else
		read = read6(&message, data, (uint32_t)size, &reply);
	*taken = read && ka_ear_judge(ear, machine, &reply, now, heard);
	return true;
}
