/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sessions: made, found, proved, moved and counted. Nothing here looks at a packet; all of it is in
 * struct relay_work. Reference: bongsu.protocol.relay.machine.
 *
 * Every table has its bound. A client that has not proved that it is where it says may take only a
 * share of the records, and for a short time; a record that is in use is never taken away for
 * another one.
 */
#ifndef BONGSU_RELAY_SESSION_H
#define BONGSU_RELAY_SESSION_H

#include "relay_sip.h"
#include "relay_parse.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Whether so many bytes may pass by what was bought. A bucket without a lock: the time at which all
 * that has passed would have been sent at the rate, moved on by whoever comes first. */
INLINE bool within_rate(struct relay_accelerator *a, __u32 direction, __u64 bytes, __u64 now)
{
	__u64 due, begin, cost;

	if (!a->cost)
		return true;
	cost = bytes * a->cost >> 16;
	for (int i = 0; i < 4; i++) {
		due = *(volatile __u64 *)&a->due[direction & 1];
		begin = due > now ? due : now;
		if (begin + cost > now + RELAY_BURST_NS)
			return false;
		if (__sync_val_compare_and_swap(&a->due[direction & 1], due, begin + cost) == due)
			return true;
	}
	return false;
}

INLINE bool lasting(const struct relay_record *r)
{
	return r->proof == RELAY_PROVED ||
	       (r->proof == RELAY_TWOWAY && r->validation == RELAY_VALIDATE_NONE);
}

INLINE void proved(struct relay_record *r, __u8 proof)
{
	struct relay_config *c = config();
	bool before = lasting(r);

	r->proof = proof;
	if (c && !before && lasting(r))
		__sync_fetch_and_add(&c->proved, 1);
}

/*
 * What an upward packet proves of the client: that it has received what was sent to its address,
 * for it repeats the responder's SPI (or cookie) of an answer, or acknowledges a segment. That the
 * answer came by another of its sessions, port 500 before 4500, does not matter.
 */
INLINE void prove_up(struct relay_work *w, struct relay_record *r)
{
	struct relay_record *other;
	__u32 *found;

	if (r->proof == RELAY_PROVED)
		return;
	if (r->validation == RELAY_VALIDATE_TCP) {
		if (w->in.flags & TCP_ACK && r->acknowledges &&
		    w->in.acknowledgement == r->acknowledges)
			proved(r, RELAY_PROVED);
	} else if (w->what == CONTENT_IKE && w->responder) {
		w->known.spi = w->initiator;
		w->known.owner = r->accelerator;
		w->known.what = RELAY_ANY_IKE;
		w->known.role = r->role;
		w->known.zero = 0;
		found = bpf_map_lookup_elem(&rl_known, &w->known);
		other = found ? record_of(*found) : NULL;
		if (other && other->state == RELAY_LIVE && other->role == r->role &&
		    other->initiator == w->initiator && other->responder == w->responder &&
		    same16(other->client, r->client)) {
			proved(r, RELAY_PROVED);
			r->initiator = w->initiator;
			r->responder = w->responder;
			/* port 4500 is where it may be looked for, should its address change */
			if (r->port == bpf_htons(NAT_TRAVERSAL)) {
				__u32 index = w->record;

				bpf_map_update_elem(&rl_known, &w->known, &index, BPF_ANY);
			}
			return;
		}
	}
	if (r->proof == RELAY_NEW && r->down_packets)
		proved(r, RELAY_TWOWAY);
}

/* What is to come back of a downward packet before the client has proved itself. */
INLINE void prove_down(struct relay_work *w, struct relay_record *r)
{
	struct relay_record *other;
	__u32 *found, index;

	if (r->validation == RELAY_VALIDATE_TCP) {
		if (r->proof != RELAY_PROVED && !(w->in.flags & TCP_RST))
			r->acknowledges = w->in.sequence + w->in.payload +
					  !!(w->in.flags & TCP_SYN) + !!(w->in.flags & TCP_FIN);
		return;
	}
	if (w->what != CONTENT_IKE || !w->responder)
		return;
	if (r->initiator == w->initiator && r->responder == w->responder)
		return;
	w->known.owner = r->accelerator;
	w->known.what = RELAY_ANY_IKE;
	w->known.role = r->role;
	w->known.zero = 0;
	if (r->initiator && r->initiator != w->initiator) {
		/* the one before is not looked for any more */
		w->known.spi = r->initiator;
		found = bpf_map_lookup_elem(&rl_known, &w->known);
		if (found && *found == w->record)
			bpf_map_delete_elem(&rl_known, &w->known);
	}
	r->initiator = w->initiator;
	r->responder = w->responder;
	w->known.spi = w->initiator;
	found = bpf_map_lookup_elem(&rl_known, &w->known);
	other = found ? record_of(*found) : NULL;
	/* nobody takes the SPIs of another client's session */
	if (other && other->state == RELAY_LIVE && !same16(other->client, r->client))
		return;
	index = w->record;
	bpf_map_update_elem(&rl_known, &w->known, &index, BPF_ANY);
}

INLINE struct relay_spi *spi_of(__u32 index)
{
	return bpf_map_lookup_elem(&rl_spis, &index);
}

/* The counters of an ESP SPI in one direction, made if it is a new one; 0: there is no room. */
ALONE __u32 relay_spi_index(__u32 record, __u32 direction)
{
	struct relay_work *w = work();
	struct relay_record *r = record_of(record);
	struct relay_spi *s;
	__u32 *found, index = 0;

	if (!w || !r)
		return 0;
	w->known.spi = w->spi;
	w->known.owner = r->serial;
	w->known.what = direction ? RELAY_OWN_DOWN : RELAY_OWN_UP;
	w->known.role = r->role;
	w->known.zero = 0;
	found = bpf_map_lookup_elem(&rl_known, &w->known);
	if (found)
		return *found;
	/* else one client could fill the table, and nobody else's NAT could change its mind */
	if (r->spis >= (r->proof == RELAY_PROVED ? RELAY_SPIS : RELAY_STRANGE_SPIS))
		return 0;
	if (bpf_map_pop_elem(&rl_free_spis, &index))
		return 0;
	s = spi_of(index);
	if (!s)
		return 0;
	__builtin_memset(s, 0, sizeof(*s));
	s->spi = w->spi;
	s->record = record;
	s->serial = r->serial;
	s->accelerator = r->accelerator;
	s->direction = direction;
	s->first = w->now;
	s->last = w->now;
	s->state = RELAY_LIVE;
	r->spis++;
	bpf_map_update_elem(&rl_known, &w->known, &index, BPF_ANY);
	if (!direction) {
		w->known.owner = r->accelerator;
		w->known.what = RELAY_ANY_ESP;
		/* who comes first has it: a stranger cannot take what he has only seen */
		bpf_map_update_elem(&rl_known, &w->known, &index, BPF_NOEXIST);
	}
	return index;
}

INLINE void count_esp(struct relay_work *w, struct relay_record *r, __u32 index)
{
	struct relay_spi *s = index ? spi_of(index) : NULL;

	if (!s)
		return;
	if ((__s32)(w->esp - s->sequence) > 0)
		s->sequence = w->esp;
	s->record = w->record;
	s->last = w->now;
	s->packets++;
	s->bytes += w->in.length;
}

/* Whether an unproved client may be sent so much more. */
INLINE bool amplifies(const struct relay_record *r, __u32 bytes)
{
	if (r->proof == RELAY_PROVED || !r->amplification)
		return false;
	return r->down_bytes + bytes > r->up_bytes * r->amplification;
}

INLINE void saw(struct relay_work *w, struct relay_record *r)
{
	__u8 bit = w->what == CONTENT_IKE ? RELAY_SAW_IKE :
		   w->what == CONTENT_ESP ? RELAY_SAW_ESP :
		   w->what == CONTENT_KEEPALIVE ? RELAY_SAW_KEEPALIVE : RELAY_SAW_OTHER;

	if (!(r->seen & bit))
		r->seen |= bit;
	if (w->in.protocol == IPPROTO_TCP && w->in.fragment != LATER) {
		if (w->in.flags & TCP_RST)
			r->seen |= RELAY_CLOSED;
		else if (w->in.flags & TCP_SYN)
			r->seen &= ~(RELAY_CLOSED | RELAY_CLOSING_UP | RELAY_CLOSING_DOWN);
		else if (w->in.flags & TCP_FIN)
			r->seen |= w->direction ? RELAY_CLOSING_DOWN : RELAY_CLOSING_UP;
	}
}

/* All that a packet of a session changes in it. */
INLINE void note_up(struct relay_work *w, struct relay_record *r)
{
	if (!w->fast) {
		prove_up(w, r);
		if (w->what == CONTENT_ESP && r->role == RELAY_EGRESS && r->spi_up != w->spi) {
			r->spi_up_index = relay_spi_index(w->record, 0);
			r->spi_up = w->spi;
		}
	}
	saw(w, r);
	if (w->what == CONTENT_ESP && r->spi_up == w->spi)
		count_esp(w, r, r->spi_up_index);
	r->last_up = w->now;
	r->up_packets += w->segments;
	r->up_bytes += w->in.length;
}

INLINE void note_down(struct relay_work *w, struct relay_record *r)
{
	if (!w->fast) {
		prove_down(w, r);
		if (w->what == CONTENT_ESP && r->role == RELAY_EGRESS && r->spi_down != w->spi) {
			r->spi_down_index = relay_spi_index(w->record, 1);
			r->spi_down = w->spi;
		}
	}
	saw(w, r);
	if (w->what == CONTENT_ESP && r->spi_down == w->spi)
		count_esp(w, r, r->spi_down_index);
	r->last_down = w->now;
	r->down_packets += w->segments;
	r->down_bytes += w->in.length;
}

/* Whether a packet of a session needs more thought than XDP gives it. */
INLINE bool plain(const struct relay_work *w, const struct relay_record *r)
{
	if (w->in.fragment != WHOLE || !lasting(r) || w->what == CONTENT_IKE)
		return false;
	if (w->what == CONTENT_ESP && r->role == RELAY_EGRESS &&
	    (w->direction ? r->spi_down : r->spi_up) != w->spi)
		return false;
	return !(r->protocol == IPPROTO_TCP && w->in.flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* The first fragment of a packet tells where the others belong. */
INLINE void remember(struct relay_work *w, __u32 accelerator, __u8 role)
{
	copy16(w->piece.source, w->in.source);
	copy16(w->piece.target, w->in.target);
	w->piece.id = w->in.id;
	w->piece.accelerator = accelerator;
	w->piece.protocol = w->in.protocol;
	w->piece.role = role;
	w->piece.zero = 0;
	w->first.until = w->now + RELAY_FRAGMENT_NS;
	w->first.record = w->record;
	w->first.zero = 0;
	bpf_map_update_elem(&rl_pieces, &w->piece, &w->first, BPF_ANY);
}

/* The record of a fragment other than the first, 0 if that has not been seen. */
INLINE __u32 recall(struct relay_work *w, __u32 accelerator, __u8 role)
{
	struct relay_first *first;

	copy16(w->piece.source, w->in.source);
	copy16(w->piece.target, w->in.target);
	w->piece.id = w->in.id;
	w->piece.accelerator = accelerator;
	w->piece.protocol = w->in.protocol;
	w->piece.role = role;
	w->piece.zero = 0;
	first = bpf_map_lookup_elem(&rl_pieces, &w->piece);
	if (!first || first->until < w->now)
		return 0;
	return first->record;
}

/* The key of the flow whose client is at `client`. */
INLINE void flow_key(struct relay_work *w, bool up, __u32 accelerator, __u8 role)
{
	const struct relay_packet *p = &w->in;

	copy16(w->flow.client, up ? p->source : p->target);
	copy16(w->flow.address, up ? p->target : p->source);
	w->flow.client_port = up ? p->sport : p->dport;
	w->flow.port = up ? p->dport : p->sport;
	w->flow.accelerator = accelerator;
	w->flow.protocol = p->protocol;
	w->flow.role = role;
	w->flow.zero = 0;
}

INLINE __u32 flow_record(struct relay_work *w)
{
	__u32 *found = bpf_map_lookup_elem(&rl_flows, &w->flow);

	return found ? *found : 0;
}

INLINE __u32 guess(const __u8 *one, const __u8 *other, __u32 ports)
{
	const __u64 *a = (const void *)one, *b = (const void *)other;
	__u64 mixed = ((a[0] ^ a[1]) * 3 + (b[0] ^ b[1])) ^ (__u64)ports << 7;

	return mixed * 0x9e3779b97f4a7c15ULL >> 50; /* fourteen bits: GUESSES */
}

/* The record of the flow that w->in is of, 0 if there is none; then w->flow is its key. */
INLINE __u32 find_flow(struct relay_work *w, bool up, __u32 accelerator, __u8 role)
{
	const struct relay_packet *p = &w->in;
	const __u8 *client = up ? p->source : p->target, *address = up ? p->target : p->source;
	__be16 client_port = up ? p->sport : p->dport, port = up ? p->dport : p->sport;
	__u32 at = guess(client, address, (__u32)client_port << 16 | port) ^ role, *hint, found;
	struct relay_record *r;

	hint = bpf_map_lookup_elem(&rl_guesses, &at);
	if (!hint)
		return 0;
	found = *hint;
	r = found ? record_of(found) : NULL;
	if (r && r->state == RELAY_LIVE && r->client_port == client_port && r->port == port &&
	    r->protocol == p->protocol && r->role == role && same16(r->client, client) &&
	    same16(r->address, address) && (!accelerator || r->accelerator == accelerator))
		return found;
	flow_key(w, up, accelerator, role);
	found = flow_record(w);
	if (found)
		*hint = found;
	return found;
}

/* The record of the session whose endpoint sent w->in, 0 if there is none. */
INLINE __u32 find_back(struct relay_work *w)
{
	const struct relay_packet *p = &w->in;
	__u32 at = guess(p->source, p->target, (__u32)p->sport << 16 | p->dport) ^ 4, *hint, *found;
	struct relay_record *r;

	hint = bpf_map_lookup_elem(&rl_guesses, &at);
	if (!hint)
		return 0;
	r = *hint ? record_of(*hint) : NULL;
	if (r && r->state == RELAY_LIVE && r->role == RELAY_EGRESS && r->off_port == p->dport &&
	    r->port == p->sport && r->protocol == p->protocol && same16(r->off, p->target) &&
	    same16(r->endpoint, p->source))
		return *hint;
	copy16(w->back.off, p->target);
	copy16(w->back.endpoint, p->source);
	w->back.off_port = p->dport;
	w->back.port = p->sport;
	w->back.protocol = p->protocol;
	__builtin_memset(w->back.zero, 0, 3);
	found = bpf_map_lookup_elem(&rl_backs, &w->back);
	if (!found)
		return 0;
	*hint = *found;
	return *found;
}

/* The listener of a port, 0 if there is none: of an address where it enters, of an accelerator
 * where it leaves. */
INLINE __u32 listener_at(struct relay_work *w, __u32 accelerator)
{
	__u16 port = bpf_ntohs(w->in.dport);
	struct relay_ports *ports;

	w->page.accelerator = accelerator;
	w->page.page = port / RELAY_PAGE;
	w->page.protocol = w->in.protocol;
	w->page.zero = 0;
	if (accelerator)
		__builtin_memset(w->page.address, 0, 16);
	else
		copy16(w->page.address, w->in.target);
	ports = bpf_map_lookup_elem(&rl_ports, &w->page);
	return ports ? ports->listener[port % RELAY_PAGE] : 0;
}

INLINE void release(__u32 index)
{
	bpf_map_push_elem(&rl_free_records, &index, 0);
}

INLINE void back_key(struct relay_work *w, const struct relay_record *r)
{
	copy16(w->back.off, r->off);
	copy16(w->back.endpoint, r->endpoint);
	w->back.off_port = r->off_port;
	w->back.port = r->port;
	w->back.protocol = r->protocol;
	__builtin_memset(w->back.zero, 0, 3);
}

/*
 * Gives the session its off port: the client's if that is free, else by hash, so that the client
 * gets the same one after this PoP has been away.
 */
INLINE bool take_port(struct relay_work *w, struct relay_record *r, __u32 index)
{
	__u64 hash = place(w, &w->flow, true);
	__u32 base = (__u32)hash % RELAY_PORTS, step = (__u32)(hash >> 32) % (RELAY_PORTS - 1) + 1;

	r->off_port = w->in.sport;
	for (__u32 i = 0; i < RELAY_PROBES; i++) {
		if (r->off_port) {
			back_key(w, r);
			if (!bpf_map_update_elem(&rl_backs, &w->back, &index, BPF_NOEXIST))
				return true;
		}
		r->off_port = bpf_htons(RELAY_PORT_FIRST + base);
		base = (base + step) % RELAY_PORTS;
	}
	return false;
}

/* An endpoint for a new session. */
INLINE bool choose(struct relay_work *w, struct relay_record *r, const struct relay_listener *l)
{
	struct relay_endpoint *endpoint;
	struct relay_wheel *wheel;
	__u32 listener = r->listener, at, index;

	wheel = bpf_map_lookup_elem(&rl_wheels, &listener);
	if (!wheel)
		return false;
	at = (__u32)(place(w, &w->flow, !(l->flags & RELAY_AFFINITY_CLIENT)) % RELAY_WHEEL);
	OPAQUE(at); /* the verifier makes nothing of a remainder */
	if (at >= RELAY_WHEEL)
		return false;
	index = wheel->endpoint[at];
	if (index >= RELAY_ENDPOINTS)
		return false;
	index += listener * RELAY_ENDPOINTS;
	endpoint = bpf_map_lookup_elem(&rl_endpoints, &index);
	if (!endpoint)
		return false;
	copy16(r->endpoint, endpoint->address);
	return !*(__u64 *)r->endpoint == !*(__u64 *)r->client; /* of one family, or nowhere */
}

INLINE __u64 sum16(const __u8 *address)
{
	const __u32 *word = (const void *)address;

	/* the first words of an IPv4 address are in no packet, and cancel out */
	return (__u64)word[0] + word[1] + word[2] + word[3];
}

/* What changes for a checksum between a session's two sides (RFC 1624), once and for all. */
INLINE void sum_sides(struct relay_record *r)
{
	__u16 client = fold(sum16(r->client) + sum16(r->address));
	__u16 endpoint = fold(sum16(r->off) + sum16(r->endpoint));
	__u16 client_ports = fold((__u32)r->client_port + r->port);
	__u16 endpoint_ports = fold((__u32)r->off_port + r->port);

	r->addresses_up = fold((__u32)endpoint + (__u16)~client);
	r->addresses_down = fold((__u32)client + (__u16)~endpoint);
	r->ports_up = fold((__u32)endpoint_ports + (__u16)~client_ports);
	r->ports_down = fold((__u32)client_ports + (__u16)~endpoint_ports);
}

/*
 * A record for the flow w->flow of a listener, in w->record. 0, or the reason why there is none. At
 * the egress it has an endpoint and an off port.
 */
ALONE __u32 relay_make(__u32 listener, __u32 peer)
{
	struct relay_work *w = work();
	struct relay_listener *l = listener_of(listener);
	struct relay_config *c = config();
	struct relay_accelerator *a;
	struct relay_record *r;
	__u32 index = 0;

	if (!w || !l || !c)
		return RELAY_ERROR;
	a = accelerator_of(l->accelerator);
	if (!a)
		return RELAY_ERROR;
	if (c->made - c->proved - c->ended >= c->unproved)
		return RELAY_UNPROVED;
	if (bpf_map_pop_elem(&rl_free_records, &index))
		return RELAY_NO_ROOM;
	r = record_of(index);
	if (!r || !index)
		return RELAY_ERROR;
	__builtin_memset(r, 0, sizeof(*r));
	copy16(r->client, w->flow.client);
	copy16(r->address, w->flow.address);
	r->client_port = w->flow.client_port;
	r->port = w->flow.port;
	r->protocol = w->flow.protocol;
	r->role = w->flow.role;
	r->accelerator = a->number;
	r->slot = l->accelerator;
	r->listener = listener;
	r->validation = l->validation;
	r->amplification = l->amplification;
	r->peer = peer;
	r->first = w->now;
	if (r->role == RELAY_EGRESS) {
		if (!choose(w, r, l)) {
			release(index);
			return RELAY_NO_ENDPOINT;
		}
		copy16(r->off, a->off);
		if (!take_port(w, r, index)) {
			release(index);
			return RELAY_NO_PORT;
		}
		sum_sides(r);
	}
	r->last_up = w->now;
	r->last_down = w->now;
	r->serial = __sync_fetch_and_add(&c->made, 1);
	r->state = RELAY_LIVE;
	if (bpf_map_update_elem(&rl_flows, &w->flow, &index, BPF_NOEXIST)) {
		__u32 *there = bpf_map_lookup_elem(&rl_flows, &w->flow);

		/* another CPU was quicker, or the table is full; what was made ends as it began */
		r->state = RELAY_PARKED;
		if (r->role == RELAY_EGRESS) {
			back_key(w, r);
			bpf_map_delete_elem(&rl_backs, &w->back);
		}
		__sync_fetch_and_add(&c->proved, 1);
		r->state = RELAY_FREE;
		release(index);
		w->record = there ? *there : 0;
		return there ? 0 : RELAY_NO_ROOM;
	}
	w->record = index;
	return 0;
}

/*
 * A packet to port 4500 from where no session is: if it has the SPI of a session whose client has
 * been silent for a second, that client's NAT has given it another address, and the session goes on
 * there, with its off port, so that the endpoint sees nothing. What is asked for: of ESP a
 * sequence number above the highest, of IKE both SPIs. True with the new record in w->record.
 */
ALONE int relay_move(__u32 accelerator, __u32 peer)
{
	struct relay_work *w = work();
	struct relay_record *old, *r;
	struct relay_spi *s;
	__u32 *found, index = 0, from;

	if (!w)
		return 0;
	w->known.owner = accelerator;
	w->known.role = RELAY_EGRESS;
	w->known.zero = 0;
	if (w->what == CONTENT_ESP) {
		w->known.spi = w->spi;
		w->known.what = RELAY_ANY_ESP;
		found = bpf_map_lookup_elem(&rl_known, &w->known);
		s = found ? spi_of(*found) : NULL;
		if (!s || s->state != RELAY_LIVE || (__s32)(w->esp - s->sequence) <= 0)
			return 0;
		from = s->record;
		old = record_of(from);
		if (!old || old->serial != s->serial)
			return 0;
	} else if (w->what == CONTENT_IKE && w->responder) {
		w->known.spi = w->initiator;
		w->known.what = RELAY_ANY_IKE;
		found = bpf_map_lookup_elem(&rl_known, &w->known);
		from = found ? *found : 0;
		old = from ? record_of(from) : NULL;
		if (!old || old->initiator != w->initiator || old->responder != w->responder)
			return 0;
	} else {
		return 0;
	}
	if (old->state != RELAY_LIVE || old->proof != RELAY_PROVED || old->role != RELAY_EGRESS ||
	    old->accelerator != accelerator || old->port != w->flow.port ||
	    old->protocol != w->flow.protocol || old->last_up + RELAY_SILENCE_NS > w->now ||
	    !*(__u64 *)old->client != !*(__u64 *)w->flow.client)
		return 0;
	if (bpf_map_pop_elem(&rl_free_records, &index) || !index)
		return 0;
	r = record_of(index);
	if (!r)
		return 0;
	*r = *old;
	copy16(r->client, w->flow.client);
	copy16(r->address, w->flow.address);
	r->client_port = w->flow.client_port;
	r->peer = peer;
	r->generation = 0;
	r->last_up = w->now;
	sum_sides(r);
	if (bpf_map_update_elem(&rl_flows, &w->flow, &index, BPF_NOEXIST)) {
		r->state = RELAY_FREE;
		release(index);
		return 0;
	}
	back_key(w, r);
	bpf_map_update_elem(&rl_backs, &w->back, &index, BPF_ANY);
	if (r->initiator) {
		w->known.spi = r->initiator;
		w->known.what = RELAY_ANY_IKE;
		bpf_map_update_elem(&rl_known, &w->known, &index, BPF_ANY);
	}
	s = r->spi_up_index ? spi_of(r->spi_up_index) : NULL;
	if (s)
		s->record = index;
	s = r->spi_down_index ? spi_of(r->spi_down_index) : NULL;
	if (s)
		s->record = index;
	old->state = RELAY_GONE;
	copy16(w->flow.client, old->client);
	copy16(w->flow.address, old->address);
	w->flow.client_port = old->client_port;
	bpf_map_delete_elem(&rl_flows, &w->flow);
	w->record = index;
	return 1;
}

#endif
