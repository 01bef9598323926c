/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Below the kernel's own threads for interrupts (50), above everything else that is not urgent. */
#define PRIORITY 40
#define STACK (256 * 1024)
/* Sessions that are due within this are served in one go: at most 4,000 wake-ups a second. */
#define SLOT_NS 250000ULL
/* Woken so late, the whole machine may have stood still, and replies wait to be received: they get */
#define STALL_NS 2000000ULL
/* this long, lest a line goes down for want of looking. */
#define GRACE_NS 1000000ULL
/* Notices in one go, so that a flood of them does not stop the sending. */
#define NOTICES 256

uint64_t ka_now(void);

uint64_t ka_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static void note(struct ka_engine *engine, const struct ka_line *line)
{
	struct ka_line *place = &engine->lines[engine->lines_put++ % KA_LINES];

	*place = *line;
	place->sequence = engine->lines_put;
	place->generation = engine->machine.records[line->slot].generation;
}

static void announce(struct ka_engine *engine, const struct ka_action *action)
{
	bool up = action->what == KA_LINE_UP;
	struct ka_change *change;
	uint64_t one = 1;

	if (engine->debug)
		note(engine, &(struct ka_line){
			.at = action->at, .slot = action->slot, .event = KA_LINE_CHANGE,
			.counter = action->counter, .up = up });
	if (engine->changes_put - engine->changes_taken == KA_CHANGES) {
		engine->overflowed = 1;
	} else {
		change = &engine->changes[engine->changes_put++ % KA_CHANGES];
		*change = (struct ka_change){
			.detected = action->at, .stopped = ka_now(), .slot = action->slot,
			.generation = action->generation, .up = up, .counter = action->counter };
	}
	if (write(engine->changed, &one, sizeof(one)) < 0)
		return; /* readable already */
}

static void failed(void *context, const struct ka_action *action, int error)
{
	struct ka_engine *engine = context;
	struct ka_session *record = &engine->machine.records[action->slot];

	pthread_mutex_lock(&engine->lock);
	if (record->generation == action->generation) {
		record->send_errors++;
		record->last_error = (uint32_t)error;
	}
	pthread_mutex_unlock(&engine->lock);
}

/* Under the lock: does what can be done at once, and puts requests into the batch. */
static void act(struct ka_engine *engine, const struct ka_action *actions, uint32_t count)
{
	const struct ka_config *config;
	const uint8_t *inner;

	for (uint32_t i = 0; i < count; i++) {
		if (actions[i].what != KA_SEND) {
			announce(engine, &actions[i]);
			continue;
		}
		config = &engine->machine.timers[actions[i].slot].config;
		inner = config->payload + config->inner;
		ka_wire_put(&engine->wire, config, &actions[i]);
		if (engine->debug)
			note(engine, &(struct ka_line){
				.at = actions[i].at, .slot = actions[i].slot,
				.event = KA_LINE_SENT, .counter = actions[i].counter,
				.length = (uint16_t)(config->length - config->inner),
				.ttl = inner[inner[0] >> 4 == 4 ? 8 : 7] });
	}
}

/* Under the lock: a reply has been counted for a session. */
static void replied(struct ka_engine *engine, uint32_t slot, uint64_t at, uint64_t rtt,
		    uint16_t length, uint8_t ttl)
{
	struct ka_action action;

	if (engine->debug)
		note(engine, &(struct ka_line){ .at = at, .rtt = rtt, .slot = slot,
						.event = KA_LINE_REPLY, .length = length,
						.ttl = ttl });
	act(engine, &action, ka_machine_reply(&engine->machine, slot, ka_now(), &action));
}

/* What the kernel tells of replies; whether there is more. */
static bool hear(struct ka_engine *engine)
{
	struct ka_notice notice;
	uint32_t left = NOTICES;

	pthread_mutex_lock(&engine->lock);
	while (left && ka_notices_next(&engine->notices, &notice)) {
		left--;
		if (notice.slot < engine->machine.slots)
			replied(engine, notice.slot, notice.at, notice.rtt, notice.length,
				notice.ttl);
	}
	pthread_mutex_unlock(&engine->lock);
	return !left;
}

/* Replies that the stack delivers; whether there are more. */
static bool listen_to(struct ka_engine *engine, int fd)
{
	uint32_t left = NOTICES;
	struct ka_heard heard;
	bool taken;

	if (fd < 0)
		return false;
	pthread_mutex_lock(&engine->lock);
	while (left && ka_ear_read(&engine->ear, fd, &engine->machine, ka_now(), &heard, &taken)) {
		left--;
		if (taken)
			replied(engine, heard.slot, ka_now(), heard.rtt, heard.length, heard.ttl);
	}
	pthread_mutex_unlock(&engine->lock);
	return !left;
}

static bool step(struct ka_engine *engine)
{
	struct ka_action actions[KA_BATCH];
	uint32_t count;

	pthread_mutex_lock(&engine->lock);
	count = ka_machine_step(&engine->machine, ka_now(), actions, KA_BATCH);
	act(engine, actions, count);
	pthread_mutex_unlock(&engine->lock);
	ka_wire_flush(&engine->wire, failed, engine);
	return count;
}

static void arm(struct ka_engine *engine, uint64_t at)
{
	struct itimerspec when = { 0 };

	if (at != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(at / 1000000000ULL);
		when.it_value.tv_nsec = (long)(at % 1000000000ULL);
	}
	timerfd_settime(engine->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Sleeps until `at`, a notice or the end; false at the end. */
static bool rest(struct ka_engine *engine, uint64_t at)
{
	struct epoll_event events[4];
	int count;

	arm(engine, at);
	do {
		count = epoll_wait(engine->poll, events, 4, -1);
	} while (count < 0 && errno == EINTR);
	for (int i = 0; i < count; i++)
		if (events[i].data.fd == engine->stop) {
			uint64_t told = 0;

			if (read(engine->stop, &told, sizeof(told)) < 0)
				return false;
			if (!__atomic_load_n(&engine->running, __ATOMIC_ACQUIRE))
				return false;
		}
	return true;
}

static uint64_t due(struct ka_engine *engine)
{
	uint64_t at;

	pthread_mutex_lock(&engine->lock);
	at = ka_machine_due(&engine->machine);
	pthread_mutex_unlock(&engine->lock);
	return at;
}

static void *work(void *context)
{
	struct ka_engine *engine = context;
	uint64_t at, now, last = 0;
	bool more;

	for (;;) {
		at = due(engine);
		now = ka_now();
		if (at > now && at < last + SLOT_NS)
			at = last + SLOT_NS;
		if (!rest(engine, at))
			return NULL;
		now = ka_now();
		last = now;
		at = due(engine);
		if (at != UINT64_MAX && now > at + STALL_NS && !rest(engine, now + GRACE_NS))
			return NULL;
		do {
			more = hear(engine);
			more |= listen_to(engine, __atomic_load_n(&engine->ear.fd4, __ATOMIC_ACQUIRE));
			more |= listen_to(engine, __atomic_load_n(&engine->ear.fd6, __ATOMIC_ACQUIRE));
			more |= step(engine);
		} while (more && __atomic_load_n(&engine->running, __ATOMIC_ACQUIRE));
	}
}

static int watch(struct ka_engine *engine, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(engine->poll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int prepare(struct ka_engine *engine)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	/* whoever holds it, however unimportant, runs while the thread waits for it */
	pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&engine->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	engine->poll = epoll_create1(EPOLL_CLOEXEC);
	engine->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	engine->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	engine->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->poll < 0 || engine->timer < 0 || engine->stop < 0 || engine->changed < 0)
		return -errno;
	if (watch(engine, engine->timer) || watch(engine, engine->stop))
		return -errno;
	return 0;
}

void ka_free(struct ka_engine *engine);
int ka_new(struct ka_engine **made, struct ka_session *records, struct gre_state *states,
	   uint32_t slots, int notices, uint32_t notices_size);
int ka_start(struct ka_engine *engine, uint32_t fifo);
int ka_add(struct ka_engine *engine, const struct ka_config *config);
int ka_remove(struct ka_engine *engine, uint32_t slot);
int ka_changed_fd(const struct ka_engine *engine);
uint32_t ka_fifo(const struct ka_engine *engine);
uint32_t ka_changes(struct ka_engine *engine, struct ka_change *out, uint32_t room,
		    uint32_t *overflowed);
void ka_debug(struct ka_engine *engine, uint32_t on);
uint32_t ka_lines(struct ka_engine *engine, uint64_t since, struct ka_line *out, uint32_t room);
extern const uint32_t ka_sizes[];

/* Bytes of the structures that Python mirrors, in this order; a test compares them. */
const uint32_t ka_sizes[] = {
	sizeof(struct ka_config), sizeof(struct ka_change), sizeof(struct ka_line),
	sizeof(struct ka_action), sizeof(struct ka_session), sizeof(struct gre_state),
	sizeof(struct ka_machine), sizeof(struct ka_ear),
};

/* A stopped engine on this memory, which has to stay until ka_free. */
int ka_new(struct ka_engine **made, struct ka_session *records, struct gre_state *states,
	   uint32_t slots, int notices, uint32_t notices_size)
{
	struct ka_engine *engine = calloc(1, sizeof(*engine));
	int failed;

	if (!engine)
		return -ENOMEM;
	engine->notices.fd = engine->wire.send4 = engine->wire.send6 = -1;
	engine->poll = engine->timer = engine->stop = engine->changed = -1;
	ka_ear_init(&engine->ear);
	failed = prepare(engine);
	if (!failed)
		failed = ka_machine_init(&engine->machine, records, states, slots);
	if (!failed)
		failed = ka_notices_open(&engine->notices, notices, notices_size);
	if (!failed && notices >= 0)
		failed = watch(engine, notices);
	if (failed) {
		ka_free(engine);
		return failed;
	}
	*made = engine;
	return 0;
}

static int launch(struct ka_engine *engine, bool fifo)
{
	struct sched_param priority = { .sched_priority = PRIORITY };
	pthread_attr_t attributes;
	int failed;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	if (fifo) {
		pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
		pthread_attr_setschedparam(&attributes, &priority);
	}
	failed = pthread_create(&engine->thread, &attributes, work, engine);
	pthread_attr_destroy(&attributes);
	return -failed;
}

/*
 * Opens the sockets, in the caller's network namespace, and starts the thread: in real time if `fifo`
 * and the system permit.
 */
int ka_start(struct ka_engine *engine, uint32_t fifo)
{
	sigset_t all, before;
	int failed = ka_wire_open(&engine->wire);

	if (failed)
		return failed;
	mlock(engine, sizeof(*engine));
	engine->running = 1;
	/* signals are Python's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = fifo ? launch(engine, true) : -EPERM;
	engine->fifo = !failed;
	if (failed)
		failed = launch(engine, false);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		engine->running = 0;
	return failed;
}

static void wake(struct ka_engine *engine)
{
	uint64_t one = 1;

	if (write(engine->stop, &one, sizeof(one)) < 0)
		return; /* it will wake anyway */
}

/* Ends the thread, if it runs, and lets everything go. Lines stay as they are. */
void ka_free(struct ka_engine *engine)
{
	int fds[] = { engine->poll, engine->timer, engine->stop, engine->changed };

	if (engine->running) {
		__atomic_store_n(&engine->running, 0, __ATOMIC_RELEASE);
		wake(engine);
		pthread_join(engine->thread, NULL);
	}
	for (uint32_t i = 0; i < engine->machine.sessions; i++)
		__atomic_store_n(&engine->machine.records[engine->machine.heap[i].slot].mode, KA_OFF,
				 __ATOMIC_RELEASE);
	ka_wire_close(&engine->wire);
	ka_ear_close(&engine->ear);
	ka_notices_close(&engine->notices);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	ka_machine_free(&engine->machine);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

/* Under the lock: listens for a session's replies, in the caller's network namespace. */
static int expect(struct ka_engine *engine, uint32_t slot)
{
	const struct ka_config *config = &engine->machine.timers[slot].config;
	uint32_t family = config->payload[config->inner] >> 4;
	bool first = (family == 4 ? engine->ear.fd4 : engine->ear.fd6) < 0;
	int fd = ka_ear_open(&engine->ear, family);

	if (fd >= 0 && first)
		watch(engine, fd);
	if (fd >= 0)
		ka_ear_enter(&engine->ear, &engine->machine, slot);
	return fd < 0 ? fd : 0;
}

int ka_add(struct ka_engine *engine, const struct ka_config *config)
{
	int failed;

	pthread_mutex_lock(&engine->lock);
	failed = ka_machine_add(&engine->machine, config, ka_now());
	if (!failed && config->mode == KA_SOCKET) {
		failed = expect(engine, config->slot);
		if (failed)
			ka_machine_remove(&engine->machine, config->slot);
	}
	if (!failed && engine->debug)
		engine->machine.records[config->slot].flags |= KA_DEBUG;
	pthread_mutex_unlock(&engine->lock);
	if (!failed)
		wake(engine);
	return failed;
}

int ka_remove(struct ka_engine *engine, uint32_t slot)
{
	int failed;

	pthread_mutex_lock(&engine->lock);
	failed = ka_machine_remove(&engine->machine, slot);
	if (!failed && engine->machine.timers[slot].config.mode == KA_SOCKET)
		ka_ear_leave(&engine->ear, &engine->machine, slot);
	pthread_mutex_unlock(&engine->lock);
	return failed;
}

/* Readable when a line has changed. */
int ka_changed_fd(const struct ka_engine *engine)
{
	return engine->changed;
}

uint32_t ka_fifo(const struct ka_engine *engine)
{
	return engine->fifo;
}

/* Takes changes, oldest first. `*overflowed`: some were lost since the last call. */
uint32_t ka_changes(struct ka_engine *engine, struct ka_change *out, uint32_t room,
		    uint32_t *overflowed)
{
	uint32_t count = 0;
	uint64_t told;

	if (read(engine->changed, &told, sizeof(told)) < 0)
		told = 0;
	pthread_mutex_lock(&engine->lock);
	while (count < room && engine->changes_taken != engine->changes_put)
		out[count++] = engine->changes[engine->changes_taken++ % KA_CHANGES];
	*overflowed = engine->overflowed;
	engine->overflowed = 0;
	pthread_mutex_unlock(&engine->lock);
	return count;
}

void ka_debug(struct ka_engine *engine, uint32_t on)
{
	struct ka_session *record;

	pthread_mutex_lock(&engine->lock);
	engine->debug = on;
	for (uint32_t i = 0; i < engine->machine.sessions; i++) {
		record = &engine->machine.records[engine->machine.heap[i].slot];
		record->flags = on ? record->flags | KA_DEBUG : record->flags & ~KA_DEBUG;
	}
	pthread_mutex_unlock(&engine->lock);
}

/* Debug lines with a higher sequence than `since`, oldest first; those that the ring still has. */
uint32_t ka_lines(struct ka_engine *engine, uint64_t since, struct ka_line *out, uint32_t room)
{
	uint64_t first, last;
	uint32_t count = 0;

	pthread_mutex_lock(&engine->lock);
	last = engine->lines_put;
	first = last > KA_LINES ? last - KA_LINES : 0;
	/* of an engine before this one */
	if (since > last)
		since = 0;
	for (since = since > first ? since : first; since < last && count < room; since++)
		out[count++] = engine->lines[since % KA_LINES];
	pthread_mutex_unlock(&engine->lock);
	return count;
}
