/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One keepalive session as the kernel, the sending thread and Python all see it: an element of a
 * mapped array, indexed by the tunnel's slot. And the judgement of a reply, which the kernel makes
 * where our program sees what arrives, and the thread where it does not: it is written once.
 *
 * No word has two writers. What counts unanswered requests is therefore not a counter that one side
 * raises and the other clears, but `sent` (the thread's) less `answered` (the receiver's).
 *
 * bongsu.system.bpf.layout mirrors the structures. There is no implicit padding.
 */
#ifndef BONGSU_KEEPALIVE_H
#define BONGSU_KEEPALIVE_H

#include <linux/types.h>

/* Requests that may still be answered. The low five bits of an identification say which it is. */
#define KA_RING 32

/* Identifications: sixteen bits of an IPv4 header, twenty of an IPv6 flow label. */
#define KA_IDENTIFICATION 0xfffff
#define KA_OUTSTANDING 0x40000000
#define KA_ANSWERED 0x80000000

/* Bytes behind the inner GRE header that only whoever saw the request can know. */
#define KA_NONCE_BYTES 8

enum ka_mode {
	KA_OFF,
	KA_KERNEL, /* replies are judged by our program on the underlay, and end there */
	KA_SOCKET, /* replies are the stack's, and the thread reads them */
};

#define KA_NONCE 0x01 /* a reply must bring its request's nonce */
#define KA_DEBUG 0x02 /* every reply is told to the thread */

enum ka_refusal {
	KA_LENGTH,   /* more or fewer bytes than the request asked for */
	KA_HEADER,   /* a broken header, or flags that no request of ours has (socket) */
	KA_NOT_OURS, /* no outstanding request has this identification */
	KA_NO_NONCE, /* it is not the request's */
	KA_REPLAYED, /* answered already */
	KA_REFUSALS,
};

struct ka_session {
	/* the thread's */
	__u64 sent;
	__u64 changed_at; /* CLOCK_MONOTONIC, ns: the line */
	__u64 send_errors;
	__u32 last_error; /* errno */
	__u32 mode;
	__u32 flags;
	__u32 line; /* 1: up */
	__u32 streak; /* replies while the line is down */
	__u32 generation; /* of the slot's use */
	/* the receiver's: the kernel's or, by mode, the thread's */
	__u64 received;
	__u64 answered; /* `sent` as it was at the last reply */
	__u64 replied_at;
	__u64 rtt_last; /* ns */
	__u64 rtt_min;
	__u64 rtt_max;
	__u64 rtt_sum;
	__u64 refused[KA_REFUSALS];
	/* the thread's, apart from an OUTSTANDING tag becoming ANSWERED */
	__u64 sent_at[KA_RING];
	__u64 nonce[KA_RING];
	__u32 tag[KA_RING];
};

/* What the kernel tells the thread at once: a reply on a line that is down, or any while debugging. */
struct ka_notice {
	__u64 at;
	__u64 rtt;
	__u32 slot;
	__u16 length;
	__u8 ttl;
	__u8 unused;
};

#define KA_LOAD(word) (*(volatile __typeof__(word) *)&(word))

/*
 * Whether a reply with this identification (and nonce, if the session has them) answers a request:
 * how many have by now when it does, else -1 - enum ka_refusal. Counts either. `*rtt` is what it took.
 *
 * The tag holds identification and state, so the exchange fails when the entry was used anew.
 */
static inline __attribute__((always_inline)) long ka_judge(struct ka_session *session,
							    __u32 identification, __u64 nonce,
							    __u64 now, __u64 *rtt)
{
	__u32 index = identification & (KA_RING - 1);
	__u32 open = (identification & KA_IDENTIFICATION) | KA_OUTSTANDING;
	__u32 done = (identification & KA_IDENTIFICATION) | KA_ANSWERED;
	__u32 tag = KA_LOAD(session->tag[index]);
	__u64 took, before;
	int why;

	if (tag == done) {
		why = KA_REPLAYED;
	} else if (tag != open) {
		why = KA_NOT_OURS;
	} else if (session->flags & KA_NONCE && session->nonce[index] != nonce) {
		why = KA_NO_NONCE;
	} else if (__sync_val_compare_and_swap(&session->tag[index], open, done) != open) {
		why = KA_REPLAYED;
	} else {
		before = session->sent_at[index];
		took = now > before ? now - before : 0;
		session->answered = KA_LOAD(session->sent);
		session->replied_at = now;
		session->rtt_last = took;
		if (took < session->rtt_min || !session->rtt_min)
			session->rtt_min = took;
		if (took > session->rtt_max)
			session->rtt_max = took;
		__sync_fetch_and_add(&session->rtt_sum, took);
		*rtt = took;
		/*
		 * Last, and a full barrier because its value is used: who takes the line down after
		 * this sees the reply, and who did before is seen by the caller.
		 */
		return __sync_fetch_and_add(&session->received, 1) + 1;
	}
	__sync_fetch_and_add(&session->refused[why], 1);
	return -1 - why;
}

#endif
