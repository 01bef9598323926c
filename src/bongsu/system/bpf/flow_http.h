/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1.x heads, byte by byte, so that it does not matter where TCP cut them (RFC 9112).
 *
 * Reached by tail call, for segments that begin like a head or go on with one. Never keeps a query,
 * a fragment or an authority's user and password: they are passed over here and leave no trace.
 * Of a head nothing is read behind Host, so a second request in the same segment is not seen.
 */
#ifndef BONGSU_FLOW_HTTP_H
#define BONGSU_FLOW_HTTP_H

#include "flow_count.h"

#define HTTP_CHUNK 128 /* bytes of one run; a tail call to itself reads on */
#define HTTP_RUNS 31   /* of one segment */
#define HTTP_LONGEST 8192 /* bytes of a head before it is given up */
#define HTTP_PENDING 8 /* requests of a connection that wait for their answers */

enum http_stage {
	HTTP_METHOD,
	HTTP_TARGET,
	HTTP_AUTHORITY,
	HTTP_PATH,
	HTTP_QUERY,
	HTTP_VERSION,
	HTTP_LINE,
	HTTP_NAME,
	HTTP_REST,
	HTTP_SPACE,
	HTTP_HOST,
	HTTP_CODE,
	HTTP_DONE,
	HTTP_FAILED,
};

/* Where reading has come to. */
struct http_head {
	__u64 time;
	__u32 next; /* sequence number of the segment that goes on */
	__u32 begin; /* sequence number of the head's first byte */
	__u32 read;
	__u8 stage;
	__u8 at; /* within a word that is compared, or slashes of an authority */
	__u8 method_length;
	__u8 path_length;
	__u8 host_length;
	__u8 zero;
	__u16 code;
	char method[FLOW_METHOD];
	char path[FLOW_PATH];
	char host[FLOW_HOST];
};

/* Requests of a connection: the one direction adds, the other takes, each on its own. */
struct http_pending {
	__u32 added;
	__u32 taken;
	__u32 last_request; /* where the last head of each began: the same again is sent again */
	__u32 last_response;
	__u32 requests;
	__u32 responses;
	__u64 time[HTTP_PENDING];
};

/* What a run knows, with what it was told by the program that counted. */
struct http_work {
	struct flow_key key;
	__u64 print;
	__u32 payload; /* where the rest of the segment begins */
	__u32 left;    /* bytes of it */
	__u32 sequence;
	__u32 runs;
	struct http_head head;
	char chunk[HTTP_CHUNK];
	struct flow_http event;
	struct http_pending fresh;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_work);
} flow_work SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow_key);
	__type(value, struct http_head);
} flow_heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow_key);
	__type(value, struct http_pending);
} flow_pending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} flow_tails SEC(".maps");

INLINE bool http_upper(__u8 c)
{
	return c >= 'A' && c <= 'Z';
}

/* Whether a segment's first bytes, `word` in the packet's order, may be those of a head. */
INLINE bool http_begins(const __u8 *c, __u32 length)
{
	return http_upper(c[0]) && (length < 2 || http_upper(c[1])) &&
	       (length < 3 || http_upper(c[2])) &&
	       (length < 4 || http_upper(c[3]) || c[3] == ' ');
}

INLINE __u8 http_method_end(struct http_head *h)
{
	const char *m = h->method;

	if (h->method_length == 8 && m[0] == 'H' && m[1] == 'T' && m[2] == 'T' && m[3] == 'P' &&
	    m[4] == '/' && m[5] == '1' && m[6] == '.' && m[7] >= '0' && m[7] <= '9') {
		h->at = 0;
		return HTTP_CODE;
	}
	return m[4] == '/' ? HTTP_FAILED : HTTP_TARGET;
}

/* The stage behind byte `c` of the version that ends a request line, " HTTP/1.x". */
INLINE __u8 http_version(struct http_head *h, __u8 c)
{
	__u8 at = h->at, wanted;

	h->at = at + 1;
	if (at == 7)
		return c >= '0' && c <= '9' ? HTTP_VERSION : HTTP_FAILED;
	if (at > 7) {
		if (c == '\n')
			return HTTP_LINE;
		return c == '\r' && at == 8 ? HTTP_VERSION : HTTP_FAILED;
	}
	wanted = at == 0 ? 'H' : at == 1 || at == 2 ? 'T' : at == 3 ? 'P' :
		 at == 4 ? '/' : at == 5 ? '1' : '.';
	return c == wanted ? HTTP_VERSION : HTTP_FAILED;
}

INLINE __u8 http_name(struct http_head *h, __u8 c)
{
	__u8 at = h->at, wanted, low = c | 0x20;

	h->at = at + 1;
	if (c == '\n')
		return HTTP_LINE;
	if (at == 4)
		return c == ':' ? HTTP_SPACE : HTTP_REST;
	wanted = at == 1 ? 'o' : at == 2 ? 's' : 't';
	return low == wanted ? HTTP_NAME : HTTP_REST;
}

INLINE __u8 http_line(struct http_head *h, __u8 c)
{
	if (c == '\n')
		return HTTP_DONE; /* the head is over and had no Host */
	h->at = 1;
	if (c == 'h' || c == 'H')
		return HTTP_NAME;
	return c == '\r' ? HTTP_LINE : HTTP_REST;
}

INLINE __u8 http_code(struct http_head *h, __u8 c)
{
	__u8 at = h->at;

	h->at = at + 1;
	if (at == 3)
		return c == ' ' || c == '\r' || c == '\n' ? HTTP_DONE : HTTP_FAILED;
	if (c < '0' || c > '9' || (!at && c == '0'))
		return HTTP_FAILED;
	h->code = h->code * 10 + (c - '0');
	return HTTP_CODE;
}

INLINE __u8 http_path(struct http_head *h, __u8 c)
{
	__u32 length = h->path_length;

	if (c == '?' || c == '#')
		return HTTP_QUERY;
	if (c == ' ') {
		h->at = 0;
		return HTTP_VERSION;
	}
	if (c < ' ' || c == 0x7f)
		return HTTP_FAILED;
	if (length < FLOW_PATH) {
		h->path[length] = c;
		h->path_length = length + 1;
	}
	return HTTP_PATH;
}

INLINE __u8 http_host(struct http_head *h, __u8 c)
{
	__u32 length = h->host_length;

	if (c == ' ' || c == '\t')
		return length ? HTTP_DONE : HTTP_SPACE;
	if (c == '\r' || c == '\n')
		return HTTP_DONE;
	if (c < ' ' || c == 0x7f)
		return HTTP_FAILED;
	if (length < FLOW_HOST) {
		h->host[length] = c;
		h->host_length = length + 1;
	}
	return HTTP_HOST;
}

/* One byte further. All that it knows is in memory, where the verifier does not follow it. */
INLINE __u8 http_step(struct http_head *h, __u8 stage, __u8 c)
{
	__u32 length;

	switch (stage) {
	case HTTP_METHOD:
		length = h->method_length;
		if (c == ' ')
			return length ? http_method_end(h) : HTTP_FAILED;
		if (!http_upper(c) && c != '/' && c != '.' && c != '-' && (c < '0' || c > '9'))
			return HTTP_FAILED;
		if (length >= FLOW_METHOD)
			return HTTP_FAILED;
		h->method[length] = c;
		h->method_length = length + 1;
		return HTTP_METHOD;
	case HTTP_TARGET:
		h->at = 0;
		if (c == '/' || c == '*')
			return http_path(h, c);
		return c > ' ' && c != 0x7f ? HTTP_AUTHORITY : HTTP_FAILED;
	case HTTP_AUTHORITY:
		/* a proxy's request: the third slash begins the path, Host has the rest */
		if (c == ' ') {
			h->at = 0;
			return HTTP_VERSION;
		}
		if (c == '?' || c == '#')
			return HTTP_QUERY;
		if (c != '/')
			return c > ' ' && c != 0x7f ? HTTP_AUTHORITY : HTTP_FAILED;
		h->at++;
		return h->at == 3 ? http_path(h, c) : HTTP_AUTHORITY;
	case HTTP_PATH:
		return http_path(h, c);
	case HTTP_QUERY:
		if (c == ' ') {
			h->at = 0;
			return HTTP_VERSION;
		}
		return c < ' ' || c == 0x7f ? HTTP_FAILED : HTTP_QUERY;
	case HTTP_VERSION:
		return http_version(h, c);
	case HTTP_LINE:
		return http_line(h, c);
	case HTTP_NAME:
		return http_name(h, c);
	case HTTP_REST:
		return c == '\n' ? HTTP_LINE : HTTP_REST;
	case HTTP_SPACE:
		return http_host(h, c);
	case HTTP_HOST:
		return http_host(h, c);
	case HTTP_CODE:
		return http_code(h, c);
	default:
		return stage;
	}
}

INLINE void http_reverse(struct flow_key *key)
{
	__u64 *w = (void *)key, low = w[0], high = w[1];
	__be16 port = key->sport;

	w[0] = w[2];
	w[1] = w[3];
	w[2] = low;
	w[3] = high;
	key->sport = key->dport;
	key->dport = port;
	key->direction ^= FLOW_EGRESS;
}

INLINE struct http_pending *http_waiting(struct http_work *work, const struct flow_key *key)
{
	struct http_pending *found = bpf_map_lookup_elem(&flow_pending, key);

	if (found)
		return found;
	bpf_map_update_elem(&flow_pending, key, &work->fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&flow_pending, key);
}

/* A head is known: an event, unless it was sent again. */
INLINE void http_tell(struct http_work *work)
{
	struct http_head *h = &work->head;
	struct flow_http *event = &work->event;
	bool response = h->code;
	struct flow_key key = work->key;
	struct http_pending *waiting;
	__u32 taken;

	key.dscp = 0;
	if (response)
		http_reverse(&key);
	waiting = http_waiting(work, &key);
	event->request = 0;
	event->latency_us = 0;
	if (!response) {
		event->request = h->time;
		if (waiting) {
			if (waiting->requests && waiting->last_request == h->begin)
				return;
			waiting->last_request = h->begin;
			waiting->requests++;
			waiting->time[waiting->added & (HTTP_PENDING - 1)] = h->time;
			waiting->added++;
		}
	} else if (waiting) {
		if (waiting->responses && waiting->last_response == h->begin)
			return;
		waiting->last_response = h->begin;
		waiting->responses++;
		taken = waiting->taken;
		if (waiting->added - taken > HTTP_PENDING)
			taken = waiting->added - HTTP_PENDING;
		if (waiting->added != taken) {
			event->request = waiting->time[taken & (HTTP_PENDING - 1)];
			event->latency_us = (h->time - event->request) / 1000;
			/* 100 to 199 announce the answer, but for 101 */
			if (h->code >= 200 || h->code == 101)
				taken++;
		}
		waiting->taken = taken;
	}
	event->key = work->key;
	event->time = h->time;
	event->kind = response ? FLOW_RESPONSE : FLOW_REQUEST;
	event->code = h->code;
	event->method_length = response ? 0 : h->method_length;
	event->path_length = h->path_length;
	event->host_length = h->host_length;
	__builtin_memcpy(event->method, h->method, FLOW_METHOD);
	__builtin_memcpy(event->path, h->path, FLOW_PATH);
	__builtin_memcpy(event->host, h->host, FLOW_HOST);
	if (response)
		FLOW_COUNT(http_responses, 1);
	else
		FLOW_COUNT(http_requests, 1);
	if (bpf_ringbuf_output(&flow_events, event, sizeof(*event), BPF_RB_NO_WAKEUP))
		FLOW_COUNT(http_dropped, 1);
}

/* Whether the flow's next segment is to be looked at, whatever it begins with. */
INLINE void http_mark(struct http_work *work, bool partial)
{
	__u64 *waiting = flow_partial_of(work->print);

	if (waiting && partial)
		*waiting = work->print;
	else if (waiting && *waiting == work->print)
		*waiting = 0;
}

INLINE void http_give_up(struct http_work *work)
{
	FLOW_COUNT(http_abandoned, 1);
	bpf_map_delete_elem(&flow_heads, &work->key);
	http_mark(work, false);
}

/* Zeroes in as few stores as there are words. */
INLINE void http_clear(struct http_head *h)
{
	__u64 *word = (void *)h;
	__u32 i;

	_Static_assert(sizeof(*h) % 8 == 0, "whole words");
#pragma clang loop unroll(disable)
	for (i = 0; i < sizeof(*h) / 8; i++)
		((volatile __u64 *)word)[i] = 0;
}

/* Whether the segment is the one to be read, after which work->head is where reading goes on. */
INLINE bool http_open(struct http_work *work, bool partial)
{
	struct http_head *h = &work->head, *kept;

	kept = partial ? bpf_map_lookup_elem(&flow_heads, &work->key) : NULL;
	if (!kept) {
		http_clear(h);
		h->time = bpf_ktime_get_ns();
		h->begin = work->sequence;
		h->next = work->sequence;
		if (partial)
			http_mark(work, false);
		return true;
	}
	if (kept->next == work->sequence) {
		__builtin_memcpy(h, kept, sizeof(*h));
		return true;
	}
	/* an earlier one, sent again, is passed over; one that was not awaited ends it */
	if ((__s32)(work->sequence - kept->next) > 0)
		http_give_up(work);
	return false;
}

/* Reads as much as one run does. True when there is more. */
INLINE bool http_read(struct __sk_buff *skb, struct http_work *work)
{
	struct http_head *h = &work->head;
	__u32 size = work->left, i;

	if (size > HTTP_CHUNK)
		size = HTTP_CHUNK;
	if (!size)
		return false;
	/* the same number, said so that kernels before 6.2 believe that it is not 0 */
	OPAQUE(size);
	size = ((size - 1) & (HTTP_CHUNK - 1)) + 1;
	if (bpf_skb_load_bytes(skb, work->payload, work->chunk, size))
		return false;
#pragma clang loop unroll(disable)
	for (i = 0; i < HTTP_CHUNK; i++) {
		__u8 stage = *(volatile __u8 *)&h->stage;

		if (i >= size || stage >= HTTP_DONE)
			break;
		*(volatile __u8 *)&h->stage = http_step(h, stage, work->chunk[i]);
	}
	work->payload += size;
	work->left -= size;
	h->read += size;
	return h->stage < HTTP_DONE && work->left;
}

INLINE void http_close(struct http_work *work)
{
	struct http_head *h = &work->head;

	if (h->stage == HTTP_DONE) {
		http_tell(work);
		if (h->begin != work->sequence) {
			bpf_map_delete_elem(&flow_heads, &work->key);
			http_mark(work, false);
		}
		return;
	}
	if (h->stage == HTTP_FAILED || work->left || h->read > HTTP_LONGEST)
		return http_give_up(work);
	h->next = h->begin + h->read;
	if (bpf_map_update_elem(&flow_heads, &work->key, h, BPF_ANY))
		return http_give_up(work);
	http_mark(work, true);
}

#endif
