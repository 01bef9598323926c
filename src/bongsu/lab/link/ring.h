// SPDX-License-Identifier: Apache-2.0
/*
 * Frames in flight in one direction of a link: a ring of bytes, first in, first out.
 *
 * Records lie in one piece, so that a frame is read into its place and written out of it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define MTU_MAX 9216
#define HEADER_MAX 18 /* Ethernet and one VLAN tag */
#define FRAME_MAX (MTU_MAX + HEADER_MAX)
/* Frames in flight: rings start small and double, for most links hold a few frames at a time.
 * 16 MiB is 1 Gbit/s for 130 ms; beyond it frames are dropped and counted, never memory taken. */
#define RING_START (64u << 10)
#define RING_LIMIT (16u << 20)

struct record {
	uint64_t len; /* WRAP: the rest up to the end of the ring is unused */
	uint64_t sent; /* when its last bit left the sender */
	int64_t jitter;
};
#define WRAP UINT64_MAX

struct ring {
	uint8_t *mem;
	size_t cap, head, tail; /* head and tail only grow; cap is a power of two */
	uint32_t frames;
};

static size_t record_size(uint64_t len)
{
	return (sizeof(struct record) + len + 7) & ~(size_t)7;
}

static uint8_t *ring_memory(size_t cap)
{
	void *mem = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static struct record *ring_first(struct ring *r)
{
	struct record *rec = (void *)(r->mem + (r->head & (r->cap - 1)));

	if (rec->len == WRAP) {
		r->head += r->cap - (r->head & (r->cap - 1));
		rec = (void *)r->mem;
	}
	return rec;
}

static void ring_pop(struct ring *r)
{
	r->head += record_size(ring_first(r)->len);
	r->frames--;
}

static bool ring_grow(struct ring *r)
{
	struct ring bigger = { .cap = r->cap * 2, .frames = r->frames };

	if (bigger.cap > RING_LIMIT || !(bigger.mem = ring_memory(bigger.cap)))
		return false;
	while (r->frames) {
		struct record *rec = ring_first(r);
		size_t size = record_size(rec->len);

		memcpy(bigger.mem + bigger.tail, rec, size);
		bigger.tail += size;
		ring_pop(r);
	}
	munmap(r->mem, r->cap);
	*r = bigger;
	return true;
}

/* Room for the largest frame in one piece, or NULL. Nothing is taken until ring_commit(). */
static struct record *ring_reserve(struct ring *r)
{
	const size_t need = record_size(FRAME_MAX + 1);

	for (;;) {
		size_t at, to_end;

		if (!r->frames)
			r->head = r->tail = 0;
		at = r->tail & (r->cap - 1);
		to_end = r->cap - at;
		if (to_end >= need && r->cap - (r->tail - r->head) >= need)
			return (void *)(r->mem + at);
		if (to_end < need && r->cap - (r->tail - r->head) >= to_end + need) {
			((struct record *)(void *)(r->mem + at))->len = WRAP;
			r->tail += to_end;
			return (void *)r->mem;
		}
		if (!ring_grow(r))
			return NULL;
	}
}

static void ring_commit(struct ring *r, const struct record *rec)
{
	r->tail += record_size(rec->len);
	r->frames++;
}
