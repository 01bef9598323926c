// SPDX-License-Identifier: Apache-2.0
/*
 * link_emulator: delay, jitter, loss and capacity for all links of one lab, in one process.
 *
 * A link is two file descriptors that give and take one Ethernet frame per call (TAP devices). What
 * is read at one comes out at the other as its impairment says. Descriptors and settings arrive on a
 * control socket (SEQPACKET, one command a message, one answer each); it opens no device itself, so
 * it can do nothing but pass frames between what it was handed.
 *
 * An open TAP descriptor keeps its network namespace alive. So that a namespace removed by name does
 * end, the directory of names is watched, and an end whose namespace lost its name is let go.
 *
 * It never reorders, and never blocks but in epoll_wait. It outlives its starter on purpose and ends
 * with `quit` or SIGTERM; its devices are not persistent and end with it.
 *
 * Usage: link_emulator FD DIR: a listening AF_UNIX SOCK_SEQPACKET socket, and where the namespaces
 * have their names (/run/netns).
 * Commands, times in ns, rates in bit/s (0 = no limit), loss in parts per 10^9:
 *   hello | list | quit
 *   add NAME NETNS_A NETNS_B MTU SEED DELAY JITTER LOSS RATE QUEUE    and two descriptors
 *   set NAME DELAY JITTER LOSS RATE QUEUE
 *   down NAME | up NAME | remove NAME | stats NAME
 *   silence NAME a->b|b->a|both on|off
 * The descriptors of `add` come with it (SCM_RIGHTS), end a first.
 * Answers: "ok T[ payload]", T being CLOCK_MONOTONIC ns when it had taken effect, or "err why".
 * A command that is refused changes nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1
#define MAX_LINKS 1024
#define MAX_CLIENTS 16
#define NAME_SIZE 64
#define MTU_MAX 9216
#define HEADER_MAX 18 /* Ethernet and one VLAN tag */
#define FRAME_MAX (MTU_MAX + HEADER_MAX)
/* Frames in flight: rings start small and double, for most links hold a few frames at a time.
 * 16 MiB is 1 Gbit/s for 130 ms; beyond it frames are dropped and counted, never memory taken. */
#define RING_START (64u << 10)
#define RING_LIMIT (16u << 20)
#define READ_BATCH 16 /* frames of one device before the others have their turn */
#define WRITE_BATCH 256
#define LINE_SIZE 512
#define TOKENS 11
#define REPLY_SIZE (MAX_LINKS * NAME_SIZE + 256)
#define SECOND 1000000000ull
#define TIME_LIMIT (60 * SECOND)
#define RATE_MIN 1000ull
#define RATE_MAX 1000000000000ull
#define LATE 1000000ull /* a frame more than 1 ms after its time is counted as late */
#define REALTIME_PRIORITY 50

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

/* What an epoll event means; its address is the event's data. */
struct source {
	enum { LISTEN, SIGNAL, TIMER, NAMES, CLIENT, DEVICE } kind;
	int fd;
	struct link *link;
	int side;
};

static int epoll_fd, timer_fd, names_fd;
static struct link *links[MAX_LINKS];
static struct source device[MAX_LINKS][2];
static struct source client[MAX_CLIENTS];
static struct direction *heap[2 * MAX_LINKS];
static int heap_size;
static bool realtime, locked, ending;
static char reply[REPLY_SIZE];

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

/* ---- frames in flight ------------------------------------------------------------------- */

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

/* ---- control -------------------------------------------------------------------------------- */

static const char *fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *fail(const char *format, ...)
{
	static char text[LINE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (!*text || strlen(text) > 19)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	*value = v;
	return v >= min && v <= max;
}

static const char *read_impairment(char **word, struct impairment *is)
{
	if (!number(word[0], 0, TIME_LIMIT, &is->delay))
		return "delay is 0 to 60000000000 ns";
	if (!number(word[1], 0, TIME_LIMIT, &is->jitter))
		return "jitter is 0 to 60000000000 ns";
	if (!number(word[2], 0, SECOND, &is->loss))
		return "loss is 0 to 1000000000 parts per 10^9";
	if (!number(word[3], 0, RATE_MAX, &is->rate) || (is->rate && is->rate < RATE_MIN))
		return "rate is 0 or 1000 to 1000000000000 bit/s";
	if (!number(word[4], 0, TIME_LIMIT, &is->queue))
		return "queue is 0 to 60000000000 ns";
	return NULL;
}

static int slot_of(const char *name)
{
	for (int i = 0; i < MAX_LINKS; i++)
		if (links[i] && !strcmp(links[i]->name, name))
			return i;
	return -1;
}

static bool name_ok(const char *name)
{
	return *name && strlen(name) < NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") ==
		       strlen(name);
}

static void link_free(struct link *l)
{
	for (int i = 0; i < 2; i++) {
		if (l->dir[i].ring.mem) {
			l->dir[i].ring.frames = 0;
			schedule(&l->dir[i]);
			munmap(l->dir[i].ring.mem, l->dir[i].ring.cap);
		}
		if (l->fd[i] >= 0)
			close_end(l, i);
	}
	free(l);
}

/* On success the descriptors in fds belong to the link and are -1 here. */
static const char *do_add(char **word, int *fds)
{
	uint64_t mtu, seed;
	struct impairment is;
	const char *error;
	struct link *l;
	int slot = -1;

	if (!name_ok(word[1]))
		return "a name is 1 to 63 letters, digits or . _ : -";
	if (slot_of(word[1]) >= 0)
		return fail("link %s exists already", word[1]);
	if (!name_ok(word[2]) || !name_ok(word[3]))
		return "a namespace's name is 1 to 63 letters, digits or . _ : -";
	if (!number(word[4], 68, MTU_MAX, &mtu))
		return "mtu is 68 to 9216";
	if (!number(word[5], 0, UINT64_MAX, &seed))
		return "seed is a number of at most 19 digits";
	error = read_impairment(word + 6, &is);
	if (error)
		return error;
	if (fds[0] < 0 || fds[1] < 0)
		return "add takes two file descriptors";
	for (int i = MAX_LINKS - 1; i >= 0; i--)
		if (!links[i])
			slot = i;
	if (slot < 0)
		return fail("no more than %d links", MAX_LINKS);
	l = calloc(1, sizeof(*l));
	if (!l)
		return "out of memory";
	strcpy(l->name, word[1]);
	strcpy(l->netns[0], word[2]);
	strcpy(l->netns[1], word[3]);
	l->mtu = (uint32_t)mtu;
	l->is = is;
	l->fd[0] = l->fd[1] = -1;
	for (int i = 0; i < 2; i++) {
		struct direction *d = &l->dir[i];

		d->link = l;
		d->heap = -1;
		d->seed = mix(seed * 2 + (uint64_t)i);
		d->rng = mix(d->seed);
		d->ring.cap = RING_START;
		d->ring.mem = ring_memory(RING_START);
		if (!d->ring.mem) {
			link_free(l);
			return "out of memory";
		}
	}
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &device[slot][i] };

		device[slot][i] = (struct source){ .kind = DEVICE, .link = l, .side = i };
		if (fcntl(fds[i], F_SETFL, O_NONBLOCK) ||
		    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event)) {
			int why = errno;

			if (i)
				epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fds[0], NULL);
			link_free(l);
			return fail("cannot watch descriptor %d: %s", i, strerror(why));
		}
	}
	for (int i = 0; i < 2; i++) {
		l->fd[i] = fds[i];
		fds[i] = -1;
	}
	links[slot] = l;
	return NULL;
}

static const char *do_silence(struct link *l, const char *where, const char *what)
{
	bool ab = !strcmp(where, "a->b") || !strcmp(where, "both");
	bool ba = !strcmp(where, "b->a") || !strcmp(where, "both");
	bool on = !strcmp(what, "on");

	if (!ab && !ba)
		return "a direction is a->b, b->a or both";
	if (!on && strcmp(what, "off"))
		return "silence is on or off";
	for (int i = 0; i < 2; i++) {
		struct direction *d = &l->dir[i];

		if (i ? !ba : !ab)
			continue;
		d->silent = on;
		/* What is in flight does not arrive either: from now on nothing comes out. */
		if (on)
			discard(d, &d->silenced);
	}
	return NULL;
}

static void do_down(struct link *l, bool down)
{
	l->down = down;
	if (down)
		for (int i = 0; i < 2; i++)
			discard(&l->dir[i], &l->dir[i].down);
	set_carrier(l, !down && !l->gone);
}

static size_t do_stats(const struct link *l, char *out, size_t size)
{
	int n = snprintf(out, size, " down=%d gone=%s", l->down,
			 !l->gone ? "-" : l->fd[0] >= 0 ? "b" : l->fd[1] >= 0 ? "a" : "ab");

	for (int i = 0; i < 2; i++) {
		const struct direction *d = &l->dir[i];

		n += snprintf(out + n, size - (size_t)n,
			      "\n%s silent=%d in_flight=%u rx=%" PRIu64 " rx_bytes=%" PRIu64
			      " tx=%" PRIu64 " tx_bytes=%" PRIu64 " lost=%" PRIu64
			      " silenced=%" PRIu64 " down=%" PRIu64 " queue_full=%" PRIu64
			      " overflow=%" PRIu64 " too_long=%" PRIu64 " refused=%" PRIu64
			      " late=%" PRIu64 " late_max_ns=%" PRIu64,
			      i ? "b->a" : "a->b", d->silent, d->ring.frames, d->rx, d->rx_bytes,
			      d->tx, d->tx_bytes, d->lost, d->silenced, d->down, d->queue_full,
			      d->overflow, d->too_long, d->refused, d->late, d->late_max);
	}
	return (size_t)n;
}

static const struct {
	const char *verb;
	int words;
	bool named; /* its first argument is an existing link */
} commands[] = {
	{ "hello", 1, false }, { "list", 1, false }, { "quit", 1, false }, { "add", 11, false },
	{ "set", 7, true },    { "down", 2, true },  { "up", 2, true },	   { "remove", 2, true },
	{ "stats", 2, true },  { "silence", 4, true },
};

/* Carry out one command; the payload goes to out. Returns NULL or why it was refused. */
static const char *command(char *line, int *fds, char *out, size_t size)
{
	char *word[TOKENS + 1], *rest = line;
	int words = 0, slot = -1;
	struct link *l = NULL;
	const char *verb;
	size_t c = 0;

	while (words <= TOKENS && (word[words] = strsep(&rest, " ")))
		words++;
	verb = word[0];
	while (c < sizeof(commands) / sizeof(*commands) && strcmp(commands[c].verb, verb))
		c++;
	if (c == sizeof(commands) / sizeof(*commands))
		return fail("unknown command %.32s", verb);
	if (words != commands[c].words)
		return fail("%s takes %d arguments", verb, commands[c].words - 1);
	if (strcmp(verb, "add") && (fds[0] >= 0 || fds[1] >= 0))
		return fail("%s takes no file descriptors", verb);
	if (commands[c].named) {
		slot = slot_of(word[1]);
		if (slot < 0)
			return fail("no link %.*s", NAME_SIZE, word[1]);
		l = links[slot];
	}
	if (!strcmp(verb, "hello")) {
		snprintf(out, size, " version=%d pid=%d realtime=%d locked=%d", PROTOCOL_VERSION,
			 getpid(), realtime, locked);
	} else if (!strcmp(verb, "list")) {
		for (int i = 0; i < MAX_LINKS; i++)
			if (links[i]) {
				int n = snprintf(out, size, " %s", links[i]->name);

				out += n;
				size -= (size_t)n;
			}
	} else if (!strcmp(verb, "quit")) {
		ending = true;
	} else if (!strcmp(verb, "add")) {
		return do_add(word, fds);
	} else if (!strcmp(verb, "set")) {
		struct impairment is;
		const char *error = read_impairment(word + 2, &is);

		if (error)
			return error;
		l->is = is;
		for (int i = 0; i < 2; i++)
			schedule(&l->dir[i]);
	} else if (!strcmp(verb, "down") || !strcmp(verb, "up")) {
		do_down(l, !strcmp(verb, "down"));
	} else if (!strcmp(verb, "remove")) {
		link_free(l);
		links[slot] = NULL;
	} else if (!strcmp(verb, "stats")) {
		do_stats(l, out, size);
	} else {
		return do_silence(l, word[2], word[3]);
	}
	return NULL;
}

static void client_close(struct source *c)
{
	close(c->fd);
	c->fd = -1;
}

static void client_read(struct source *c)
{
	char line[LINE_SIZE + 1], room[CMSG_SPACE(2 * sizeof(int))];
	struct iovec part = { line, LINE_SIZE };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = room,
				  .msg_controllen = sizeof(room) };
	int fds[2] = { -1, -1 }, head;
	const char *error = NULL;
	static char payload[REPLY_SIZE - 64];
	ssize_t len = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		client_close(c);
		return;
	}
	for (struct cmsghdr *m = CMSG_FIRSTHDR(&message); m; m = CMSG_NXTHDR(&message, m))
		if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS)
			memcpy(fds, CMSG_DATA(m), m->cmsg_len - CMSG_LEN(0));
	payload[0] = 0;
	line[len] = 0;
	if (message.msg_flags & MSG_TRUNC)
		error = fail("a command has at most %d bytes", LINE_SIZE);
	else if (message.msg_flags & MSG_CTRUNC)
		error = "at most two file descriptors";
	else if (memchr(line, 0, (size_t)len))
		error = "a NUL in a command";
	else
		error = command(line, fds, payload, sizeof(payload));
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	head = error ? snprintf(reply, sizeof(reply), "err %s", error) :
		       snprintf(reply, sizeof(reply), "ok %" PRIu64 "%s", now_ns(), payload);
	/* A client that does not read its answers is let go rather than waited for. */
	if (send(c->fd, reply, (size_t)head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		client_close(c);
}

static void client_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &client[i] };

		if (client[i].fd >= 0)
			continue;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
			break;
		client[i].fd = fd;
		return;
	}
	close(fd);
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void arm(void)
{
	static uint64_t armed;
	uint64_t next = heap_size ? heap[0]->key : 0;
	struct itimerspec when = { .it_value = { (time_t)(next / SECOND), (long)(next % SECOND) } };

	if (next == armed)
		return;
	armed = next;
	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void die(const char *what)
{
	fprintf(stderr, "link_emulator: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(struct source *s)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = s };

	if (s->fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event))
		die("epoll");
}

int main(int argc, char **argv)
{
	struct sched_param fifo = { .sched_priority = REALTIME_PRIORITY };
	struct source listener = { .kind = LISTEN }, ender = { .kind = SIGNAL };
	struct source clock = { .kind = TIMER }, names = { .kind = NAMES };
	uint64_t fd;
	sigset_t end;

	if (argc != 3 || !number(argv[1], 0, 1 << 20, &fd)) {
		fprintf(stderr, "usage: link_emulator FD DIR (a listening unix SEQPACKET socket, /run/netns)\n");
		return 2;
	}
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGHUP);
	sigprocmask(SIG_BLOCK, &end, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1");
	timer_fd = clock.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ender.fd = signalfd(-1, &end, SFD_CLOEXEC | SFD_NONBLOCK);
	listener.fd = (int)fd;
	names_fd = names.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (inotify_add_watch(names_fd, argv[2], IN_DELETE | IN_MOVED_FROM) < 0)
		die(argv[2]);
	watch(&listener);
	watch(&ender);
	watch(&clock);
	watch(&names);
	for (int i = 0; i < MAX_CLIENTS; i++)
		client[i] = (struct source){ .kind = CLIENT, .fd = -1 };
	/* Without these it works, but late under load: hello says so. */
	prctl(PR_SET_TIMERSLACK, 1);
	locked = !mlockall(MCL_CURRENT | MCL_FUTURE);
	realtime = !sched_setscheduler(0, SCHED_FIFO, &fifo);

	while (!ending) {
		struct epoll_event events[64];
		bool more = heap_size && heap[0]->key <= now_ns();
		int n;

		if (!more)
			arm();
		n = epoll_wait(epoll_fd, events, 64, more ? 0 : -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		deliver();
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			if (s->kind != DEVICE || s->link->fd[s->side] < 0)
				continue;
			if (events[i].events & (EPOLLERR | EPOLLHUP))
				end_gone(s->link, s->side);
			else
				receive(s->link, s->side);
			deliver();
		}
		/* After the devices: a command may free a link that has an event above. */
		if (n > 0)
			names_removed();
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			if (s->kind == LISTEN)
				client_accept(s->fd);
			else if (s->kind == CLIENT && s->fd >= 0)
				client_read(s);
			else if (s->kind == SIGNAL)
				ending = true;
		}
	}
	return 0;
}
