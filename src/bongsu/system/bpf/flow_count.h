/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The cache: each processor's own, four places for a flow, the one that was idle longest gives way.
 * What gives way spills into a table that user space empties; a flow's total is the sum of both.
 *
 * A tc program runs to its end with bottom halves off, so a processor's part has one writer at a
 * time and needs no atomic operations. Readers see by `seq` that a place has changed hands.
 */
#ifndef BONGSU_FLOW_COUNT_H
#define BONGSU_FLOW_COUNT_H

#include "flow_maps.h"
#include "flow_parse.h"

#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* What is made only to be handed to a helper: too large for the stack, where all else is. */
struct flow_scratch {
	struct flow_key turned;
	struct flow_spilled at;
	struct flow_record from;
};

/*
 * MULTILINEAR-HM (Lemire and Kaser, 2014) over the key's twelve words: the upper half of the sum is
 * the same for two keys with a chance of 2^-32, for one who does not know the salt.
 */
INLINE __u64 flow_hash(const __u64 *salt, const __u64 *w)
{
	__u64 sum = 0;

	/* else the parts of four hashes are kept, where there are registers for one */
	OPAQUE(salt);
	OPAQUE(w);
#pragma unroll
	for (int i = 0; i < 6; i++) {
		sum += (salt[2 * i] + (__u32)w[i]) * (salt[2 * i + 1] + (w[i] >> 32));
		OPAQUE(sum);
	}
	return sum;
}

INLINE __u64 flow_print(__u64 hash, __u64 second)
{
	return (hash & 0xffffffff00000000ULL) | second >> 32;
}

INLINE void flow_lose(const struct flow_record *record)
{
	struct flow_stats *stats = flow_stats_here();

	if (!stats)
		return;
	stats->lost_records++;
	stats->lost_packets += record->packets;
	stats->lost_bytes += record->bytes;
}

/* What the place has counted moves to the table. */
INLINE void flow_spill_out(const struct flow_slot *slot, const struct flow_owner *owner, __u32 cpu,
			   __u64 now, struct flow_scratch *scratch)
{
	struct flow_spilled *at = &scratch->at;
	struct flow_record *from = &scratch->from, *into;
	__u32 zero = 0, tick = now >> FLOW_TICK;
	void *table;

	at->key = owner->key;
	at->cpu = cpu;
	at->zero = 0;
	from->packets = slot->packets;
	from->bytes = slot->bytes;
	from->first = owner->first;
	/* its own tick, with the upper bits of one not much later */
	from->last = ((now >> FLOW_TICK) - (__u32)(tick - slot->last)) << FLOW_TICK;
	from->rtt_us = owner->rtt_us;
	from->tcp_flags = slot->tcp_flags;
	from->flags = slot->flags;
	from->zero = 0;
	table = bpf_map_lookup_elem(&flow_spill, &zero);
	if (!table)
		return flow_lose(from);
	into = bpf_map_lookup_elem(table, at);
	if (into) {
		into->packets += from->packets;
		into->bytes += from->bytes;
		into->last = from->last;
		if (from->rtt_us)
			into->rtt_us = from->rtt_us;
		into->tcp_flags |= from->tcp_flags;
		into->flags |= from->flags;
	} else if (bpf_map_update_elem(table, at, from, BPF_NOEXIST)) {
		return flow_lose(from);
	}
	FLOW_COUNT(spilled, 1);
}

/* Where a handshake's step is remembered: the flow without what the two directions differ in. */
INLINE __u64 flow_shake_hash(const struct flow_settings *settings, const struct flow_key *key,
			     bool reversed, struct flow_scratch *scratch)
{
	const __u64 *from = (const void *)key;
	__u64 *w = (void *)&scratch->turned;

	w[0] = from[reversed ? 2 : 0];
	w[1] = from[reversed ? 3 : 1];
	w[2] = from[reversed ? 0 : 2];
	w[3] = from[reversed ? 1 : 3];
	w[4] = from[4];
	w[5] = from[5];
	scratch->turned.dscp = 0;
	if (reversed) {
		scratch->turned.sport = key->dport;
		scratch->turned.dport = key->sport;
		scratch->turned.direction ^= FLOW_EGRESS;
	}
	return flow_print(flow_hash(settings->salt[0], w), flow_hash(settings->salt[1], w));
}

INLINE __u64 *flow_shake(__u64 print)
{
	__u32 at = print >> 48;

	return bpf_map_lookup_elem(&flow_shakes, &at);
}

#define SHAKE_TAG 0xffffffff00000000ULL
#define SHAKE_ANSWER 1

/*
 * Microseconds since the step that `print` stands for; 0 when it was not seen, or seen twice, or is
 * another than `kind`.
 */
INLINE __u32 flow_since(__u64 print, __u32 kind, __u32 now)
{
	__u64 *step = flow_shake(print), seen;
	__u32 since;

	if (!step)
		return 0;
	seen = *(volatile __u64 *)step;
	if (!(__u32)seen || (seen & SHAKE_TAG) != print << 32 || (seen & SHAKE_ANSWER) != kind)
		return 0;
	since = now - (__u32)seen;
	return since ?: 1;
}

/*
 * SYN, SYN-ACK, ACK: each but the first answers the one before, so the time between is that from
 * here to who sent the answer and back. A step that was sent again says nothing (Karn).
 * Returns microseconds, 0 for none.
 */
INLINE __u32 flow_handshake(const struct flow_settings *settings, const struct flow_packet *p,
			    struct flow_slot *slot, struct flow_scratch *scratch)
{
	__u64 own = flow_shake_hash(settings, &p->key, false, scratch);
	__u64 other = flow_shake_hash(settings, &p->key, true, scratch);
	__u64 *step = flow_shake(own), *answered;
	bool syn = p->tcp_flags & TCP_SYN, ack = p->tcp_flags & TCP_ACK, again;
	__u32 now = (__u32)(bpf_ktime_get_ns() / 1000) & ~SHAKE_ANSWER, rtt;

	if (!step)
		return 0;
	if (!syn) {
		slot->state &= ~FLOW_WAITS_ACK;
		rtt = flow_since(other, SHAKE_ANSWER, now);
		answered = flow_shake(other);
		if (rtt && answered) {
			/* the next connection between these ports begins anew */
			*(volatile __u64 *)step = 0;
			*(volatile __u64 *)answered = 0;
		}
		return rtt;
	}
	again = (*(volatile __u64 *)step & SHAKE_TAG) == own << 32;
	if (!ack)
		slot->state |= FLOW_WAITS_ACK;
	/* seen twice: the tag with no time */
	*(volatile __u64 *)step = own << 32 | (again ? 0 : (now ?: 2) | (ack ? SHAKE_ANSWER : 0));
	return ack && !again ? flow_since(other, 0, now) : 0;
}

INLINE bool flow_end_fits(const struct flow_filter *f, const __u64 *address, __be16 port)
{
	if (f->port && f->port != port)
		return false;
	return !(((address[0] ^ f->prefix[0]) & f->mask[0]) |
		 ((address[1] ^ f->prefix[1]) & f->mask[1]));
}

INLINE bool flow_wanted(const struct flow_choice *choice, const struct flow_key *key)
{
	const __u64 *w = (const void *)key;
	__u32 i;

	if (!choice->filters)
		return true;
#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_FILTERS; i++) {
		const struct flow_filter *f = &choice->filter[i];

		if (i >= choice->filters)
			return false;
		if ((f->proto && f->proto != key->proto) ||
		    (f->family && f->family != key->family))
			continue;
		if (flow_end_fits(f, w, key->sport) || flow_end_fits(f, w + 2, key->dport))
			return true;
	}
	return false;
}

/* Where a flow is counted. */
struct flow_place {
	__u32 set;
	__u32 way;
};

INLINE struct flow_slot *flow_find(struct flow_set *set, __u64 print, __u32 *way)
{
	*way = 0;
	if (set->way[0].print == print)
		return &set->way[0];
	*way = 1;
	if (set->way[1].print == print)
		return &set->way[1];
	return NULL;
}

INLINE __u32 flow_set_of(const struct flow_settings *settings, __u64 hash, __u32 cpu)
{
	/* in two steps, for one set has no bits at all */
	return cpu * settings->sets + (hash >> 1 >> (settings->shift & 63));
}

/* Ticks without a packet; of a place that nobody ever had, more than any. */
INLINE __u64 flow_idle(const struct flow_slot *slot, __u32 tick)
{
	return slot->seq ? tick - slot->last : ~0ULL;
}

INLINE struct flow_owner *flow_owner_of(const struct flow_place *place)
{
	struct flow_owners *owners = bpf_map_lookup_elem(&flow_owners, &place->set);

	if (!owners)
		return NULL;
	return place->way ? &owners->way[1] : &owners->way[0];
}

/* Exchanges, because they are barriers as well. */
INLINE void flow_changing(struct flow_slot *slot)
{
	__sync_lock_test_and_set(&slot->seq, slot->seq + 1);
}

INLINE void flow_changed(struct flow_slot *slot)
{
	__u32 seq = slot->seq + 1;

	/* 0 would say that nobody is there */
	__sync_lock_test_and_set(&slot->seq, seq ?: 2);
}

/* Gives the place to this flow, and what was there to the table. */
INLINE void flow_move_in(struct flow_slot *slot, const struct flow_place *place,
			 const struct flow_key *key, __u64 print, __u64 now, __u32 cpu,
			 struct flow_scratch *scratch)
{
	struct flow_owner *owner = flow_owner_of(place);

	if (!owner)
		return;
	if (slot->seq)
		flow_spill_out(slot, owner, cpu, now, scratch);
	flow_changing(slot);
	owner->key = *key;
	owner->first = now;
	owner->rtt_us = 0;
	slot->print = print;
	slot->bytes = 0;
	slot->packets = 0;
	slot->last = now >> FLOW_TICK;
	slot->tcp_flags = 0;
	slot->state = 0;
	slot->flags = 0;
	flow_changed(slot);
}

/* Before its packets run over. */
INLINE void flow_empty(struct flow_slot *slot, const struct flow_place *place, __u64 now, __u32 cpu,
		       struct flow_scratch *scratch)
{
	struct flow_owner *owner = flow_owner_of(place);

	if (!owner)
		return;
	flow_spill_out(slot, owner, cpu, now, scratch);
	flow_changing(slot);
	slot->packets = 0;
	slot->bytes = 0;
	owner->first = now;
	flow_changed(slot);
}

/* The place for a flow that has none yet: of the four that it may have, the one idle longest. */
INLINE struct flow_slot *flow_choose(struct flow_set *set, struct flow_set *other, __u32 further,
				     __u32 tick, struct flow_place *place)
{
	struct flow_slot *slot = &set->way[0];

	place->way = 0;
	if (flow_idle(&set->way[1], tick) > flow_idle(slot, tick)) {
		slot = &set->way[1];
		place->way = 1;
	}
	if (!slot->seq)
		return slot;
	if (flow_idle(&other->way[0], tick) > flow_idle(slot, tick)) {
		slot = &other->way[0];
		place->way = 0;
		place->set = further;
	}
	if (flow_idle(&other->way[1], tick) > flow_idle(slot, tick)) {
		slot = &other->way[1];
		place->way = 1;
		place->set = further;
	}
	return slot;
}

/*
 * Counts the packet. Returns its flow's print; 0 when nobody wanted it. A flow has two sets to be
 * in: of the second most never hear, but few are left that have to move out.
 */
INLINE __u64 flow_count(const struct flow_settings *settings, const struct flow_choice *choice,
			struct flow_packet *p, __u32 packets, __u32 bytes, __u32 cpu,
			struct flow_scratch *scratch)
{
	__u64 *w = (__u64 *)&p->key, hash, second, print, now;
	struct flow_place place;
	struct flow_slot *slot;
	struct flow_set *set;
	bool fresh = false;
	__u32 every, rtt;

	if (!flow_wanted(choice, &p->key)) {
		FLOW_COUNT(filtered, packets);
		return 0;
	}
	if (!(choice->metrics & FLOW_PORTS))
		*(__be32 *)&p->key.sport = 0;
	if (!(choice->metrics & FLOW_DSCP))
		p->key.dscp = 0;
	hash = flow_hash(settings->salt[0], w);
	place.set = flow_set_of(settings, hash, cpu);
	set = bpf_map_lookup_elem(&flow_cache, &place.set);
	if (!set)
		return 0;
	second = flow_hash(settings->salt[1], w);
	print = flow_print(hash, second);
	now = bpf_ktime_get_coarse_ns();
	slot = flow_find(set, print, &place.way);
	if (!slot) {
		/* the upper bits of the second are in the print; these are not */
		__u32 further = flow_set_of(settings, second << 32 ^ second, cpu);
		struct flow_set *other = bpf_map_lookup_elem(&flow_cache, &further);

		if (!other)
			return 0;
		slot = flow_find(other, print, &place.way);
		if (slot) {
			place.set = further;
		} else {
			fresh = true;
			slot = flow_choose(set, other, further, now >> FLOW_TICK, &place);
			flow_move_in(slot, &place, &p->key, print, now, cpu, scratch);
		}
	}
	every = choice->every;
	packets = slot->packets + packets * every;
	slot->packets = packets;
	slot->bytes += (__u64)bytes * every;
	slot->last = now >> FLOW_TICK;
	if (every > 1)
		slot->flags |= FLOW_SAMPLED;
	if (p->tcp_flags) {
		slot->tcp_flags |= p->tcp_flags;
		/* what is new here may have begun on another processor */
		if (choice->metrics & FLOW_RTT &&
		    (p->tcp_flags & TCP_SYN ||
		     (p->tcp_flags & TCP_ACK && (fresh || slot->state & FLOW_WAITS_ACK)))) {
			rtt = flow_handshake(settings, p, slot, scratch);
			if (rtt) {
				struct flow_owner *owner = flow_owner_of(&place);

				if (owner)
					owner->rtt_us = rtt;
			}
		}
	}
	if (packets >= FLOW_FULL)
		flow_empty(slot, &place, now, cpu, scratch);
	return print;
}

/* Where it is remembered whether an HTTP head of this flow goes on in its next segment. */
INLINE __u64 *flow_partial_of(__u64 print)
{
	__u32 at = print % FLOW_PARTIAL;

	return bpf_map_lookup_elem(&flow_partial, &at);
}

#endif
