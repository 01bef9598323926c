/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What to do with a packet: one judgement for tc and XDP. It works on struct relay_work and touches
 * no packet. With w->fast it decides what is plain and changes nothing else; everything more comes
 * back as RELAY_PASS, and the tc program behind judges anew.
 *
 * Never an open relay: what enters must be for a listener of an address that is ours, what comes
 * from another PoP must be from its exact address and port, with the right tag, for an accelerator
 * that has that region, and leaves only to an endpoint of the listener that lives.
 */
#ifndef BONGSU_RELAY_JUDGE_H
#define BONGSU_RELAY_JUDGE_H

#include "relay_session.h"

INLINE void header(struct relay_work *w, __u32 destination, __u32 accelerator)
{
	struct relay_config *c = config();

	*(__u32 *)&w->head = RELAY_HOPS << 16 | (__u32)w->direction << 8 | RELAY_VERSION;
	w->head.destination = bpf_htonl(destination);
	w->head.source = c ? bpf_htonl(c->node) : 0;
	w->head.accelerator = bpf_htonl(accelerator);
}

/*
 * To the PoP at the other end, or to the one that its packets go by. `source` and `target` are the
 * inner addresses as they will be.
 */
INLINE int wrap(struct relay_work *w, struct relay_record *r, const __u8 *source,
		const __u8 *target, __be32 four)
{
	struct relay_config *c = config();
	struct relay_listener *l;
	struct relay_peer *peer;

	peer = peer_of(r->peer);
	if (!peer || !c || !peer->number)
		return discard(w, RELAY_UNKNOWN_NODE);
	if (w->fast && r->generation != c->generation)
		return RELAY_PASS;
	header(w, peer->number, r->accelerator);
	if (w->in.fragment != WHOLE) {
		w->head.tag = tag(w, source, target, w->in.six, four);
	} else {
		if (r->generation != c->generation) {
			r->tag_out = tag(w, source, target, w->in.six, four);
			r->tag_in = 0;
			r->generation = c->generation;
		}
		w->head.tag = r->tag_out;
	}
	w->peer = peer->next;
	l = listener_of(r->listener);
	if (l && l->flags & RELAY_REPAIR) {
		w->wants = 1;
		w->repair = !!c->repair;
		if (w->fast && w->repair)
			return RELAY_PASS;
	}
	return RELAY_WRAP;
}

INLINE __be32 ports_of(__be16 sport, __be16 dport)
{
	return (__be32)dport << 16 | sport;
}

/* Upwards at the egress, w->record found: translated and sent to the endpoint. */
INLINE int leave(struct relay_work *w, struct relay_record *r)
{
	w->slot = r->slot;
	if (w->in.ttl <= 1)
		return discard(w, RELAY_TTL);
	copy16(w->source, r->off);
	copy16(w->target, r->endpoint);
	w->sport = r->off_port;
	w->dport = r->port;
	w->addresses = r->addresses_up;
	w->ports = r->ports_up;
	w->translate = 1;
	return RELAY_SEND;
}

/* Upwards, from another PoP (`peer` is its index, `node` its number) or from a client of this one. */
INLINE int egress(struct relay_work *w, __u32 accelerator, __u32 node, __u32 peer)
{
	struct relay_config *c = config();
	struct relay_record *r = NULL;
	__u32 *slot, index, why, listener;
	bool known;

	if (!c)
		return RELAY_PASS;
	if (w->in.fragment == LATER) {
		if (w->fast)
			return RELAY_PASS;
		w->record = recall(w, accelerator, RELAY_EGRESS);
	} else {
		w->record = find_flow(w, true, accelerator, RELAY_EGRESS);
	}
	r = w->record ? record_of(w->record) : NULL;
	if (r && (r->state != RELAY_LIVE || r->role != RELAY_EGRESS ||
		  r->accelerator != accelerator || !same16(r->client, w->in.source) ||
		  !same16(r->address, w->in.target)))
		r = NULL;
	if (r) {
		classify(w, r->port, r->validation);
		known = !peer ? !r->peer : r->peer == peer && w->head.tag == r->tag_in &&
			r->generation == c->generation && w->in.fragment == WHOLE &&
			(r->tag_in || !(c->flags & RELAY_KEYED));
		if (w->fast)
			return known && plain(w, r) ? leave(w, r) : RELAY_PASS;
		if (known)
			return leave(w, r);
	}
	if (w->fast)
		return RELAY_PASS;
	if (peer) {
		w->tag = tag(w, w->in.source, w->in.target, w->in.six, w->in.four);
		if (w->tag != w->head.tag)
			return discard(w, RELAY_BAD_TAG);
	}
	w->region.accelerator = accelerator;
	w->region.node = node;
	copy16(w->region.address, w->in.target);
	slot = bpf_map_lookup_elem(&rl_regions, &w->region);
	if (!slot)
		return discard(w, RELAY_UNKNOWN_REGION);
	w->slot = *slot;
	if (w->in.fragment == LATER) {
		if (!r)
			return discard(w, RELAY_FRAGMENT);
		return leave(w, r);
	}
	if (!r) {
		listener = listener_at(w, accelerator);
		if (!listener)
			return discard(w, RELAY_UNKNOWN_LISTENER);
		classify(w, w->flow.port, RELAY_VALIDATE_IKE);
		if (w->flow.port == bpf_htons(NAT_TRAVERSAL) && relay_move(accelerator, peer)) {
			COUNT(w->slot, moved);
		} else {
			flow_key(w, true, accelerator, RELAY_EGRESS);
			why = relay_make(listener, peer);
			if (why)
				return discard(w, why);
		}
		index = w->record;
		r = record_of(index);
		if (!r)
			return discard(w, RELAY_ERROR);
		classify(w, r->port, r->validation);
	}
	if (w->in.fragment == FIRST)
		remember(w, accelerator, RELAY_EGRESS);
	/* by whichever PoP the client came last, its answers go back */
	if (r->peer != peer) {
		r->peer = peer;
		r->generation = 0;
	}
	if (peer && w->in.fragment == WHOLE) {
		if (r->generation != c->generation) {
			struct relay_header kept = w->head;

			w->head.kind = RELAY_DOWN;
			w->head.destination = kept.source;
			w->head.source = kept.destination;
			r->tag_out = tag(w, w->in.target, w->in.source, w->in.six,
					 ports_of(w->in.dport, w->in.sport));
			w->head = kept;
		}
		r->tag_in = w->tag;
		r->generation = c->generation;
	}
	return leave(w, r);
}

/* Downwards at the egress; RELAY_PASS if it is of no session. */
INLINE int from_endpoint(struct relay_work *w)
{
	struct relay_record *r;

	w->direction = RELAY_DOWN;
	if (w->in.fragment == LATER) {
		if (w->fast)
			return RELAY_PASS;
		w->record = recall(w, 0, RELAY_EGRESS);
	} else {
		w->record = find_back(w);
	}
	r = w->record ? record_of(w->record) : NULL;
	if (!r || r->state != RELAY_LIVE || r->role != RELAY_EGRESS ||
	    !same16(r->off, w->in.target) || !same16(r->endpoint, w->in.source))
		return RELAY_PASS;
	classify(w, r->port, r->validation);
	if (w->fast && !plain(w, r))
		return RELAY_PASS;
	w->slot = r->slot;
	if (w->in.fragment == FIRST)
		remember(w, 0, RELAY_EGRESS);
	if (amplifies(r, w->in.length)) {
		if (w->fast)
			return RELAY_PASS;
		r->amplified++;
		return discard(w, RELAY_AMPLIFIED);
	}
	if (w->in.ttl <= 1)
		return discard(w, RELAY_TTL);
	copy16(w->source, r->address);
	copy16(w->target, r->client);
	w->sport = r->port;
	w->dport = r->client_port;
	w->addresses = r->addresses_down;
	w->ports = r->ports_down;
	w->translate = 1;
	if (r->peer) {
		__be32 four = w->in.fragment == WHOLE || (w->in.fragment == FIRST && !w->in.six) ?
				      ports_of(w->sport, w->dport) : w->in.four;

		return wrap(w, r, w->source, w->target, four);
	}
	return RELAY_SEND;
}

/*
 * Where nobody can be who asks (RFC 1812, 5.3.7): this network, loopback, groups and what is behind them;
 * of IPv6 also a link's own addresses. The stack, which would see to it, comes later than we.
 */
INLINE bool nowhere(const __u8 *source, bool six)
{
	const __u64 *half = (const void *)source;

	if (!six)
		return !source[12] || source[12] == 127 || source[12] >= 224;
	return source[0] == 0xff || (source[0] == 0xfe && (source[1] & 0xc0) == 0x80) ||
	       (!half[0] && !(half[1] & ~(1ULL << 56)));
}

/* Upwards at the entry: a client's packet to an accelerated address. `alien`: nobody else's. */
INLINE int enter(struct relay_work *w, bool alien)
{
	struct relay_accelerator *a;
	struct relay_record *r;
	struct relay_listener *l;
	struct relay_config *c = config();
	__u32 *node, why, listener, peer;

	w->direction = RELAY_UP;
	if (!c)
		return RELAY_PASS;
	if (w->in.fragment == LATER) {
		if (w->fast)
			return RELAY_PASS;
		w->record = recall(w, 0, RELAY_ENTRY);
		r = w->record ? record_of(w->record) : NULL;
		if (!r || r->state != RELAY_LIVE || r->role != RELAY_ENTRY ||
		    !same16(r->client, w->in.source) || !same16(r->address, w->in.target)) {
			/* it may be of a conversation that is no business of ours, or of one
			 * that leaves here as well */
			w->record = recall(w, 0, 0);
			l = w->record ? listener_of(w->record) : NULL;
			a = l ? accelerator_of(l->accelerator) : NULL;
			if (a && a->number && a->egress == c->node) {
				w->slot = l->accelerator;
				return egress(w, a->number, c->node, 0);
			}
			if (alien)
				return discard(w, RELAY_FRAGMENT);
			COUNT(0, stray);
			return RELAY_PASS;
		}
	} else {
		w->record = find_flow(w, true, 0, RELAY_ENTRY);
		r = w->record ? record_of(w->record) : NULL;
		if (r && r->state != RELAY_LIVE)
			r = NULL;
	}
	if (!r) {
		listener = listener_at(w, 0);
		l = listener ? listener_of(listener) : NULL;
		a = l ? accelerator_of(l->accelerator) : NULL;
		if (!a || !a->number) {
			if (w->fast)
				return RELAY_PASS;
			if (alien)
				return discard(w, RELAY_UNKNOWN_LISTENER);
			COUNT(0, stray);
			return RELAY_PASS;
		}
		w->slot = l->accelerator;
		if (nowhere(w->in.source, w->in.six))
			return discard(w, RELAY_MALFORMED);
		if (a->egress == c->node) {
			if (w->in.fragment == FIRST && !w->fast) {
				w->record = listener;
				remember(w, 0, 0);
			}
			return egress(w, a->number, c->node, 0);
		}
		if (w->fast)
			return RELAY_PASS;
		node = bpf_map_lookup_elem(&rl_nodes, &a->egress);
		if (!node)
			return discard(w, RELAY_UNKNOWN_NODE);
		peer = *node;
		why = relay_make(listener, peer);
		if (why)
			return discard(w, why);
		r = record_of(w->record);
		if (!r)
			return discard(w, RELAY_ERROR);
	}
	classify(w, r->port, r->validation);
	if (w->fast && !plain(w, r))
		return RELAY_PASS;
	w->slot = r->slot;
	if (w->in.fragment == FIRST)
		remember(w, 0, RELAY_ENTRY);
	return wrap(w, r, w->in.source, w->in.target, w->in.four);
}

/* Downwards at the entry: to a client that has been seen here, and to nobody else. */
INLINE int deliver(struct relay_work *w, __u32 accelerator, __u32 peer)
{
	struct relay_config *c = config();
	struct relay_accelerator *a;
	struct relay_record *r;
	bool known;
	__u64 expected;

	if (!c)
		return RELAY_PASS;
	if (w->in.fragment == LATER) {
		if (w->fast)
			return RELAY_PASS;
		w->record = recall(w, accelerator, RELAY_ENTRY);
	} else {
		w->record = find_flow(w, false, 0, RELAY_ENTRY);
	}
	r = w->record ? record_of(w->record) : NULL;
	if (r && (r->state != RELAY_LIVE || r->role != RELAY_ENTRY ||
		  r->accelerator != accelerator || !same16(r->client, w->in.target) ||
		  !same16(r->address, w->in.source)))
		r = NULL;
	known = r && r->peer == peer && w->in.fragment == WHOLE &&
		r->generation == c->generation && r->tag_in == w->head.tag &&
		(r->tag_in || !(c->flags & RELAY_KEYED));
	if (w->fast && !known)
		return RELAY_PASS;
	if (!known) {
		expected = tag(w, w->in.source, w->in.target, w->in.six, w->in.four);
		if (expected != w->head.tag)
			return discard(w, RELAY_BAD_TAG);
		if (!r)
			return discard(w, w->in.fragment == LATER ? RELAY_FRAGMENT :
								    RELAY_UNKNOWN_CLIENT);
		a = accelerator_of(r->slot);
		w->slot = r->slot;
		if (!a || a->egress != bpf_ntohl(w->head.source))
			return discard(w, RELAY_UNKNOWN_NODE);
		if (w->in.fragment == WHOLE && r->generation == c->generation)
			r->tag_in = expected;
		if (w->in.fragment == FIRST)
			remember(w, accelerator, RELAY_ENTRY);
	}
	classify(w, r->port, r->validation);
	if (w->fast && !plain(w, r))
		return RELAY_PASS;
	w->slot = r->slot;
	return RELAY_SEND;
}

/* From another PoP, by UDP or from the engine's device. */
INLINE int arrive(struct relay_work *w)
{
	struct relay_config *c = config();
	struct relay_peer *peer;
	__u32 *node, destination, source, index;
	bool last;

	if (!c)
		return RELAY_PASS;
	w->direction = RELAY_UP;
	if (!w->trusted && (!w->from || w->ip.sport != c->port))
		return discard(w, RELAY_UNKNOWN_PEER);
	if (w->readable == UNREADABLE || w->head.version != RELAY_VERSION ||
	    w->head.kind > RELAY_DOWN || w->head.hops > RELAY_HOPS || w->head.zero)
		return discard(w, RELAY_HEADER);
	w->direction = w->head.kind;
	if (w->readable != READ_ALL ||
	    (w->in.protocol != IPPROTO_UDP && w->in.protocol != IPPROTO_TCP))
		return discard(w, RELAY_MALFORMED);
	destination = bpf_ntohl(w->head.destination);
	source = bpf_ntohl(w->head.source);
	if (destination != c->node) {
		__u64 expected = tag(w, w->in.source, w->in.target, w->in.six, w->in.four);

		if (expected != w->head.tag)
			return discard(w, RELAY_BAD_TAG);
		if (w->head.hops != RELAY_HOPS)
			return discard(w, RELAY_HOPS_SPENT);
		node = bpf_map_lookup_elem(&rl_nodes, &destination);
		peer = node ? peer_of(*node) : NULL;
		if (!peer || peer->number != destination)
			return discard(w, RELAY_UNKNOWN_NODE);
		if (!w->trusted && same16(peer->remote, w->ip.source))
			return discard(w, RELAY_RECURSIVE);
		w->peer = *node;
		w->head.hops = 0;
		return RELAY_FORWARD;
	}
	/* what has a hop left came without a third PoP, from whoever says to have made it */
	last = w->head.hops == RELAY_HOPS;
	peer = w->from ? peer_of(w->from) : NULL;
	if (last && peer && peer->number == source) {
		index = w->from;
	} else {
		node = bpf_map_lookup_elem(&rl_nodes, &source);
		peer = node ? peer_of(*node) : NULL;
		if (!peer || peer->number != source || (last && !w->trusted))
			return discard(w, RELAY_UNKNOWN_NODE);
		index = *node;
	}
	if (w->head.kind == RELAY_UP)
		return egress(w, bpf_ntohl(w->head.accelerator), source, index);
	return deliver(w, bpf_ntohl(w->head.accelerator), index);
}

/*
 * What has been judged is about to be sent, the way is known: it is counted, and may still exceed the
 * bandwidth. Until here a judgement by XDP has changed nothing, so that tc can take it up again.
 */
ALONE int relay_commit(int act)
{
	struct relay_work *w = work();
	struct relay_accelerator *a;
	struct relay_counters *c;
	struct relay_record *r;
	__u32 direction;

	if (!w)
		return RELAY_DISCARD;
	if (act == RELAY_FORWARD) {
		COUNT(0, transit);
		return act;
	}
	direction = w->direction & 1;
	r = record_of(w->record);
	a = accelerator_of(w->slot);
	c = counters(w->slot);
	if (!r || !a || !c)
		return RELAY_DISCARD;
	if (!within_rate(a, direction, w->in.length, w->now)) {
		c->drops[direction][RELAY_RATE]++;
		return RELAY_DISCARD;
	}
	c->packets[direction] += w->segments;
	c->bytes[direction] += w->in.length;
	if (w->in.fragment)
		c->fragments++;
	if (w->wants && !w->repair)
		c->unrepaired++;
	if (direction)
		note_down(w, r);
	else
		note_up(w, r);
	return act;
}

ALONE int relay_judge_wrapped(void)
{
	struct relay_work *w = work();

	return w ? arrive(w) : RELAY_PASS;
}

ALONE int relay_judge_raw(__u32 flags)
{
	struct relay_work *w = work();
	int act = RELAY_PASS;

	if (!w)
		return RELAY_PASS;
	if (w->in.protocol == IPPROTO_UDP || w->in.protocol == IPPROTO_TCP) {
		if (flags & RELAY_OFF)
			act = from_endpoint(w);
		if (act == RELAY_PASS && flags & RELAY_REGION)
			act = enter(w, flags & RELAY_ALIEN);
	}
	/* the stack would route it on, and it would come back until its time to live is spent */
	if (act == RELAY_PASS && flags & RELAY_ALIEN && !(flags & RELAY_LOCAL)) {
		w->direction = flags & RELAY_REGION ? RELAY_UP : RELAY_DOWN;
		return discard(w, flags & RELAY_REGION ? RELAY_UNKNOWN_LISTENER :
							 RELAY_UNKNOWN_CLIENT);
	}
	return act;
}

#endif
