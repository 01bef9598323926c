/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

/* The inner IPv4 header: identification and checksum. The inner IPv6 header: flow label. */
#define IDENTIFICATION 4
#define CHECKSUM 10
#define SEND_BUFFER (4 << 20)

static int allow(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* A raw socket is given a copy of every GRE packet, unless it is bound to an address without any. */
static int deaf(int fd, int family)
{
	struct sock_filter nothing = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog filter = { .len = 1, .filter = &nothing };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int failed;

	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		return -errno;
	if (family == AF_INET) {
		if (allow(fd, IPPROTO_IP, IP_FREEBIND, 1))
			return -errno;
		failed = bind(fd, (struct sockaddr *)&four, sizeof(four));
	} else {
		if (allow(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1))
			return -errno;
		failed = bind(fd, (struct sockaddr *)&six, sizeof(six));
	}
	return failed ? -errno : 0;
}

static int open_sender(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_GRE);
	int failed;

	if (fd < 0)
		return -errno;
	failed = deaf(fd, family);
	if (failed) {
		close(fd);
		return failed;
	}
	if (allow(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER))
		allow(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	/* as Cisco's: without DF, a request is small enough for any path */
	if (family == AF_INET)
		allow(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	return fd;
}

/* Errors: negative errno. A kernel without IPv6 is no error until an IPv6 session is to be sent. */
int ka_wire_open(struct ka_wire *wire)
{
	memset(wire, 0, sizeof(*wire));
	wire->send6 = -1;
	wire->send4 = open_sender(AF_INET);
	if (wire->send4 < 0)
		return wire->send4;
	wire->send6 = open_sender(AF_INET6);
	return 0;
}

void ka_wire_close(struct ka_wire *wire)
{
	if (wire->send4 >= 0)
		close(wire->send4);
	if (wire->send6 >= 0)
		close(wire->send6);
	wire->send4 = wire->send6 = -1;
}

static void control(struct msghdr *header, size_t *used, int level, int type, const void *value,
		    size_t size)
{
	struct cmsghdr *item = (void *)((uint8_t *)header->msg_control + *used);

	item->cmsg_level = level;
	item->cmsg_type = type;
	item->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(item), value, size);
	*used += CMSG_SPACE(size);
	header->msg_controllen = *used;
}

static void address4(struct msghdr *header, struct ka_message *message,
		     const struct ka_config *config)
{
	struct in_pktinfo from = { .ipi_ifindex = (int)config->ifindex };
	struct sockaddr_in *to = (void *)&message->to;
	int ttl = (int)config->ttl, tos = (int)config->tos;
	size_t used = 0;

	to->sin_family = AF_INET;
	memcpy(&to->sin_addr, config->remote, 4);
	memcpy(&from.ipi_spec_dst, config->local, 4);
	header->msg_namelen = sizeof(*to);
	control(header, &used, IPPROTO_IP, IP_PKTINFO, &from, sizeof(from));
	control(header, &used, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	control(header, &used, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static void address6(struct msghdr *header, struct ka_message *message,
		     const struct ka_config *config)
{
	struct in6_pktinfo from = { .ipi6_ifindex = config->ifindex };
	int ttl = (int)config->ttl, tos = (int)config->tos;
	size_t used = 0;

	message->to.sin6_family = AF_INET6;
	memcpy(&message->to.sin6_addr, config->remote, 16);
	memcpy(&from.ipi6_addr, config->local, 16);
	header->msg_namelen = sizeof(message->to);
	control(header, &used, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof(from));
	control(header, &used, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
	control(header, &used, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

/* Identification and nonce into the payload, whose checksum is right for identification 0. */
static void fill(struct ka_message *message, const struct ka_config *config)
{
	uint8_t *inner = message->payload + config->inner;
	uint32_t mark = message->action.identification, sum;
	uint16_t word;

	if (inner[0] >> 4 == 4) {
		word = htons(mark);
		memcpy(inner + IDENTIFICATION, &word, 2);
		memcpy(&word, inner + CHECKSUM, 2);
		sum = (uint16_t)~ntohs(word) + (mark & 0xffff);
		word = htons((uint16_t)~((sum & 0xffff) + (sum >> 16)));
		memcpy(inner + CHECKSUM, &word, 2);
	} else {
		inner[1] = (inner[1] & 0xf0) | (mark >> 16 & 0xf);
		inner[2] = mark >> 8;
		inner[3] = mark;
	}
	if (config->flags & KA_NONCE)
		memcpy(message->payload + config->length - KA_NONCE_BYTES, &message->action.nonce,
		       KA_NONCE_BYTES);
}

/* Takes a request along with the next flush; there is room for KA_BATCH of either family. */
void ka_wire_put(struct ka_wire *wire, const struct ka_config *config,
		 const struct ka_action *action)
{
	struct ka_batch *batch = config->family == 4 ? &wire->batch4 : &wire->batch6;
	struct ka_message *message = &batch->messages[batch->count];
	struct msghdr *header = &batch->headers[batch->count++].msg_hdr;

	memset(header, 0, sizeof(*header));
	memset(&message->to, 0, sizeof(message->to));
	memset(message->control, 0, sizeof(message->control));
	memcpy(message->payload, config->payload, config->length);
	message->action = *action;
	message->data.iov_base = message->payload;
	message->data.iov_len = config->length;
	header->msg_name = &message->to;
	header->msg_iov = &message->data;
	header->msg_iovlen = 1;
	header->msg_control = message->control;
	fill(message, config);
	if (config->family == 4)
		address4(header, message, config);
	else
		address6(header, message, config);
}

static void flush(int fd, struct ka_batch *batch, ka_failed failed, void *context)
{
	uint32_t done = 0;
	int sent;

	while (done < batch->count) {
		sent = sendmmsg(fd, batch->headers + done, batch->count - done, MSG_DONTWAIT);
		if (sent > 0) {
			done += (uint32_t)sent;
		} else {
			failed(context, &batch->messages[done].action, sent < 0 ? errno : EIO);
			done++;
		}
	}
	batch->count = 0;
}

/* Sends what was put; what cannot be sent is told to `failed`, and is a request without an answer. */
void ka_wire_flush(struct ka_wire *wire, ka_failed failed, void *context)
{
	flush(wire->send4, &wire->batch4, failed, context);
	flush(wire->send6, &wire->batch6, failed, context);
}
