// SPDX-License-Identifier: Apache-2.0
/*
 * What a link does to frames: taken from one end, held as long as its impairment says, given to the
 * other, or lost and counted. Nothing here knows of commands or clients.
 */
#pragma once
#include <errno.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

#define MAX_LINKS 1024
#define NAME_SIZE 64
#define READ_BATCH 16 /* frames of one device before the others have their turn */
#define WRITE_BATCH 256
#define SECOND 1000000000ull
#define LATE 1000000ull /* a frame more than 1 ms after its time is counted as late */

struct impairment {
	uint64_t delay, jitter, loss, rate, queue;
};

struct direction {
	struct link *link;
	struct ring ring;
	uint64_t seed, rng;
	uint64_t busy; /* the sender's wire is occupied until then */
	uint64_t key; /* when the first frame is due */
	int heap; /* place in the heap, -1 when the ring is empty */
	bool silent;
	uint64_t rx, rx_bytes, tx, tx_bytes;
	uint64_t lost, silenced, down, queue_full, overflow, too_long, refused, late, late_max;
};

struct link {
	char name[NAME_SIZE], netns[2][NAME_SIZE];
	int fd[2];
	uint32_t mtu;
	bool down, gone;
	struct impairment is;
	struct direction dir[2]; /* dir[i] reads fd[i] and writes fd[!i] */
};

static int epoll_fd, names_fd;
static struct link *links[MAX_LINKS];
static struct direction *heap[2 * MAX_LINKS]; /* by when they are due, the first first */
static int heap_size;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* splitmix64: the finalizer mixes a counter, so it serves as generator and as hash. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* ---- which direction is due next: a binary heap of those with frames in flight ------------ */

static void heap_put(int i, struct direction *d)
{
	heap[i] = d;
	d->heap = i;
}

static void heap_sift(int i)
{
	struct direction *d = heap[i];

	while (i > 0 && heap[(i - 1) / 2]->key > d->key) {
		heap_put(i, heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		int child = 2 * i + 1;

		if (child + 1 < heap_size && heap[child + 1]->key < heap[child]->key)
			child++;
		if (child >= heap_size || heap[child]->key >= d->key)
			break;
		heap_put(i, heap[child]);
		i = child;
	}
	heap_put(i, d);
}

/* The link's delay is added when a frame is looked at, not when it came in: a delay set at run
 * time holds for what is in flight too, and cannot reorder. */
static uint64_t due(const struct direction *d, const struct record *rec)
{
	int64_t wait = (int64_t)d->link->is.delay + rec->jitter;

	return rec->sent + (wait > 0 ? (uint64_t)wait : 0);
}

/* Bring the heap up to date with the direction's ring. */
static void schedule(struct direction *d)
{
	if (d->ring.frames) {
		d->key = due(d, ring_first(&d->ring));
		if (d->heap < 0)
			heap_put(heap_size++, d);
		heap_sift(d->heap);
	} else if (d->heap >= 0) {
		int i = d->heap;

		d->heap = -1;
		if (i != --heap_size) {
			heap_put(i, heap[heap_size]);
			heap_sift(i);
		}
	}
}

static void discard(struct direction *d, uint64_t *counter)
{
	*counter += d->ring.frames;
	d->ring.frames = 0;
	d->busy = 0;
	schedule(d);
}

/* ---- passing frames ----------------------------------------------------------------------- */

/* Jitter is a property of the path at a moment, not of a frame: a line between random values in
 * [-jitter, jitter], one every 4 x jitter. It therefore falls by at most half of the time that
 * passes, no frame can overtake another, and its mean is 0 at any packet rate. */
static int64_t jitter_at(const struct direction *d, uint64_t t)
{
	uint64_t step = 4 * d->link->is.jitter, k;
	double u, v, part;

	if (!step)
		return 0;
	k = t / step;
	part = (double)(t % step) / (double)step;
	u = (double)mix(d->seed ^ mix(k)) * 0x1p-64;
	v = (double)mix(d->seed ^ mix(k + 1)) * 0x1p-64;
	return (int64_t)(((u + (v - u) * part) * 2 - 1) * (double)d->link->is.jitter);
}

static bool lose(struct direction *d)
{
	/* Drawn for every frame, so that the n-th draw is the same whatever was set before. */
	uint64_t x = mix(d->rng++);

	return (unsigned __int128)x * SECOND >> 64 < d->link->is.loss;
}

static void set_carrier(struct link *l, bool on)
{
	int value = on;

	for (int i = 0; i < 2; i++)
		if (l->fd[i] >= 0)
			ioctl(l->fd[i], TUNSETCARRIER, &value);
}

static void close_end(struct link *l, int side)
{
	/* Taken out by name: while a client holds a copy, close() alone would leave it watched. */
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, l->fd[side], NULL);
	close(l->fd[side]);
	l->fd[side] = -1;
}

/* The device is no more, with its namespace: the far end loses its carrier, as with a cable. */
static void end_gone(struct link *l, int side)
{
	close_end(l, side);
	l->gone = true;
	for (int i = 0; i < 2; i++)
		discard(&l->dir[i], &l->dir[i].down);
	set_carrier(l, false);
}

/* Names removed since the last look. Called before any command, so that a name that was removed and
 * made again does not cost the new namespace its link. */
static void names_removed(void)
{
	_Alignas(struct inotify_event) char room[4096];
	ssize_t len;

	while ((len = read(names_fd, room, sizeof(room))) > 0) {
		for (char *at = room; at < room + len;) {
			struct inotify_event *event = (void *)at;

			at += sizeof(*event) + event->len;
			for (int i = 0; i < 2 * MAX_LINKS && event->len; i++) {
				struct link *l = links[i / 2];

				if (l && l->fd[i % 2] >= 0 && !strcmp(l->netns[i % 2], event->name))
					end_gone(l, i % 2);
			}
		}
	}
}

static void receive(struct link *l, int side)
{
	static uint8_t spare[FRAME_MAX + 1];
	struct direction *d = &l->dir[side];
	const struct impairment *is = &l->is;

	for (int k = 0; k < READ_BATCH; k++) {
		struct record *rec = ring_reserve(&d->ring);
		ssize_t len = read(l->fd[side], rec ? (uint8_t *)(rec + 1) : spare, FRAME_MAX + 1);
		uint64_t now, start;
		unsigned header = 14;

		if (len <= 0) {
			if (len == 0 || (errno != EAGAIN && errno != EINTR))
				end_gone(l, side);
			return;
		}
		d->rx++;
		d->rx_bytes += (uint64_t)len;
		if (l->down || l->gone) {
			d->down++;
			continue;
		}
		if (d->silent) {
			d->silenced++;
			continue;
		}
		if (!rec) {
			d->overflow++;
			continue;
		}
		if (len >= HEADER_MAX && ((uint8_t *)(rec + 1))[12] == 0x81 &&
		    ((uint8_t *)(rec + 1))[13] == 0x00)
			header = HEADER_MAX;
		if (len > (ssize_t)(l->mtu + header)) {
			d->too_long++;
			continue;
		}
		now = now_ns();
		start = d->busy > now ? d->busy : now;
		if (is->rate && start - now > is->queue) {
			d->queue_full++;
			continue;
		}
		rec->len = (uint64_t)len;
		rec->sent = start;
		if (is->rate)
			d->busy = rec->sent = start + (uint64_t)len * 8 * SECOND / is->rate;
		/* Lost on the wire, so it has taken its time on it. */
		if (lose(d)) {
			d->lost++;
			continue;
		}
		rec->jitter = jitter_at(d, rec->sent);
		ring_commit(&d->ring, rec);
		if (d->ring.frames == 1)
			schedule(d);
	}
}

static void deliver(void)
{
	uint64_t now = now_ns();

	for (int k = 0; k < WRITE_BATCH && heap_size; k++) {
		struct direction *d = heap[0];
		struct link *l = d->link;
		struct record *rec;

		if (d->key > now) {
			now = now_ns();
			if (d->key > now)
				break;
		}
		rec = ring_first(&d->ring);
		if (now - d->key > d->late_max)
			d->late_max = now - d->key;
		d->late += now - d->key > LATE;
		if (write(l->fd[d == l->dir], rec + 1, rec->len) == (ssize_t)rec->len) {
			d->tx++;
			d->tx_bytes += rec->len;
		} else {
			d->refused++; /* the interface is administratively down */
		}
		ring_pop(&d->ring);
		schedule(d);
	}
}
