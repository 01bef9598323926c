/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/* The first request is sent within this, however long the interval is. */
#define START_NS 1000000000ULL
/* 2^64 over the golden ratio: multiples of it fall evenly, however many there are. */
#define GOLDEN 0x9e3779b97f4a7c15ULL

#define STORE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)

int ka_machine_init(struct ka_machine *machine, struct ka_session *records,
		    struct gre_state *states, uint32_t slots)
{
	memset(machine, 0, sizeof(*machine));
	machine->records = records;
	machine->states = states;
	machine->slots = slots;
	/* zero pages until a slot is used */
	machine->timers = calloc(slots, sizeof(*machine->timers));
	machine->heap = calloc(slots, sizeof(*machine->heap));
	if (!machine->timers || !machine->heap)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < slots; slot++)
		machine->heap[slot].slot = KA_NOWHERE;
	return 0;
}

void ka_machine_free(struct ka_machine *machine)
{
	free(machine->timers);
	free(machine->heap);
}

/* A heap with four children to a node: half as deep as with two, and they share a cache line. */
#define CHILDREN 4

static void put(struct ka_machine *machine, uint32_t place, struct ka_due due)
{
	machine->heap[place] = due;
	machine->timers[due.slot].place = place;
}

static void rise(struct ka_machine *machine, uint32_t place)
{
	struct ka_due due = machine->heap[place];

	while (place && due.at < machine->heap[(place - 1) / CHILDREN].at) {
		put(machine, place, machine->heap[(place - 1) / CHILDREN]);
		place = (place - 1) / CHILDREN;
	}
	put(machine, place, due);
}

static void sink(struct ka_machine *machine, uint32_t place)
{
	struct ka_due due = machine->heap[place];
	uint32_t first, best, last;

	while ((first = CHILDREN * place + 1) < machine->sessions) {
		last = first + CHILDREN < machine->sessions ? first + CHILDREN : machine->sessions;
		best = first;
		for (uint32_t child = first + 1; child < last; child++)
			if (machine->heap[child].at < machine->heap[best].at)
				best = child;
		if (due.at <= machine->heap[best].at)
			break;
		put(machine, place, machine->heap[best]);
		place = best;
	}
	put(machine, place, due);
}

static bool present(const struct ka_machine *machine, uint32_t slot)
{
	uint32_t place;

	if (slot >= machine->slots)
		return false;
	place = machine->timers[slot].place;
	return place < machine->sessions && machine->heap[place].slot == slot;
}

static uint32_t inner_header(const struct ka_config *config)
{
	return config->payload[config->inner] >> 4 == 4 ? 20 : 40;
}

/* The first request of each session leaves at another moment of its interval, as do all later ones. */
int ka_machine_add(struct ka_machine *machine, const struct ka_config *config, uint64_t now)
{
	uint64_t spread = config->interval < START_NS ? config->interval : START_NS;
	struct ka_due due = { .slot = config->slot };
	struct ka_session *record;
	struct ka_timer *timer;
	uint32_t generation;

	if (config->slot >= machine->slots || config->length > KA_PAYLOAD || !config->interval ||
	    !config->retries || !config->up_after || config->inner >= config->length ||
	    config->inner + inner_header(config) > config->length)
		return -EINVAL;
	if (present(machine, config->slot))
		return -EEXIST;
	timer = &machine->timers[config->slot];
	record = &machine->records[config->slot];
	mlock(timer, sizeof(*timer));
	generation = record->generation + 1;
	STORE(record->mode, KA_OFF);
	memset(record, 0, sizeof(*record));
	record->generation = generation;
	record->flags = config->flags;
	record->line = !!config->line;
	record->changed_at = now;
	timer->config = *config;
	timer->seen = 0;
	due.at = now + (uint64_t)((__uint128_t)(GOLDEN * machine->added) * spread >> 64);
	machine->added++;
	if (machine->states)
		STORE(machine->states[config->slot].keepalive_down, !config->line);
	STORE(record->mode, config->mode);
	put(machine, machine->sessions++, due);
	rise(machine, timer->place);
	return 0;
}

int ka_machine_remove(struct ka_machine *machine, uint32_t slot)
{
	struct ka_due last;
	uint32_t place;

	if (!present(machine, slot))
		return -ENOENT;
	STORE(machine->records[slot].mode, KA_OFF);
	if (machine->states)
		STORE(machine->states[slot].keepalive_down, 0);
	place = machine->timers[slot].place;
	last = machine->heap[--machine->sessions];
	machine->heap[machine->sessions].slot = KA_NOWHERE;
	if (last.slot != slot) {
		put(machine, place, last);
		rise(machine, place);
		sink(machine, machine->timers[last.slot].place);
	}
	return 0;
}

/* When the next session is due; UINT64_MAX without any. */
uint64_t ka_machine_due(const struct ka_machine *machine)
{
	return machine->sessions ? machine->heap[0].at : UINT64_MAX;
}

static void draw(struct ka_machine *machine, void *into, uint32_t size)
{
	if (machine->pool_left < size) {
		/* never less at this size, and never waits once the system has booted */
		while (getrandom(machine->pool, KA_POOL, 0) != KA_POOL)
			;
		machine->pool_left = KA_POOL;
	}
	machine->pool_left -= size;
	memcpy(into, machine->pool + machine->pool_left, size);
}

static struct ka_action *say(struct ka_action *out, uint32_t *count, const struct ka_session *record,
			     uint32_t slot, uint32_t what, uint32_t counter, uint64_t now)
{
	struct ka_action *action = &out[(*count)++];

	memset(action, 0, sizeof(*action));
	action->at = now;
	action->slot = slot;
	action->what = what;
	action->counter = counter;
	action->generation = record->generation;
	return action;
}

static void set_line(struct ka_machine *machine, uint32_t slot, bool up, uint64_t now)
{
	struct ka_session *record = &machine->records[slot];

	/* first of all: no packet is carried any more */
	if (machine->states)
		STORE(machine->states[slot].keepalive_down, !up);
	record->streak = 0;
	record->changed_at = now;
	__atomic_store_n(&record->line, up, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Replies that the receiver has counted since the machine last looked. */
static void absorb(struct ka_machine *machine, uint32_t slot, uint64_t now, struct ka_action *out,
		   uint32_t *count)
{
	struct ka_session *record = &machine->records[slot];
	struct ka_timer *timer = &machine->timers[slot];
	uint64_t received = __atomic_load_n(&record->received, __ATOMIC_ACQUIRE);
	uint64_t streak;

	if (received == timer->seen)
		return;
	streak = record->streak + (received - timer->seen);
	timer->seen = received;
	if (record->line)
		return;
	if (streak < timer->config.up_after) {
		record->streak = streak;
		return;
	}
	set_line(machine, slot, true, now);
	say(out, count, record, slot, KA_LINE_UP, 0, now);
}

static uint32_t unanswered(const struct ka_session *record)
{
	return record->sent - __atomic_load_n(&record->answered, __ATOMIC_ACQUIRE);
}

static void request(struct ka_machine *machine, uint32_t slot, uint64_t now, struct ka_action *out,
		    uint32_t *count)
{
	struct ka_session *record = &machine->records[slot];
	const struct ka_config *config = &machine->timers[slot].config;
	uint32_t index = record->sent % KA_RING, chance = 0;
	uint8_t inner = config->payload[config->inner];
	struct ka_action *action;

	action = say(out, count, record, slot, KA_SEND, unanswered(record) + 1, now);
	draw(machine, &chance, 2);
	/* what is left of sixteen bits in an IPv4 header, of twenty in an IPv6 flow label */
	action->identification = (chance & (inner >> 4 == 4 ? 0x7ff : 0x7fff)) << 5 | index;
	if (record->flags & KA_NONCE)
		draw(machine, &action->nonce, sizeof(action->nonce));
	/* closed while it is written, so that no reply is measured against half of it */
	__atomic_store_n(&record->tag[index], 0, __ATOMIC_SEQ_CST);
	record->sent_at[index] = now;
	record->nonce[index] = action->nonce;
	STORE(record->sent, record->sent + 1);
	STORE(record->tag[index], action->identification | KA_OUTSTANDING);
}

/* The first session in the heap is due. */
static void tick(struct ka_machine *machine, uint64_t now, struct ka_action *out, uint32_t *count)
{
	struct ka_due *due = &machine->heap[0];
	uint32_t slot = due->slot;
	struct ka_session *record = &machine->records[slot];
	struct ka_timer *timer = &machine->timers[slot];
	uint64_t interval = timer->config.interval;

	absorb(machine, slot, now, out, count);
	if (unanswered(record) >= timer->config.retries) {
		if (record->line) {
			set_line(machine, slot, false, now);
			say(out, count, record, slot, KA_LINE_DOWN, unanswered(record), now);
			/* one that came in between was told to nobody */
			absorb(machine, slot, now, out, count);
		} else {
			record->streak = 0;
		}
	}
	request(machine, slot, now, out, count);
	/*
	 * After a stall the missed deadlines are dropped: a burst would count as silence, and so would
	 * a deadline that left an answer no time to come.
	 */
	due->at = (2 * (now - due->at) >= interval ? now : due->at) + interval;
	sink(machine, 0);
}

/*
 * Everything that is due at `now`, as far as `out` has room for it; the number of actions. No more
 * than that is done, so a caller that gets a full one has to call again.
 */
uint32_t ka_machine_step(struct ka_machine *machine, uint64_t now, struct ka_action *out,
			 uint32_t room)
{
	uint32_t count = 0;

	while (count + KA_AT_ONCE <= room && ka_machine_due(machine) <= now)
		tick(machine, now, out, &count);
	return count;
}

/* Replies to a session may have come; `out` has room for one action. */
uint32_t ka_machine_reply(struct ka_machine *machine, uint32_t slot, uint64_t now,
			  struct ka_action *out)
{
	uint32_t count = 0;

	if (present(machine, slot))
		absorb(machine, slot, now, out, &count);
	return count;
}
