/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The headers that every data plane reads, and the few lines of arithmetic on them. */
#ifndef BONGSU_IP_H
#define BONGSU_IP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define INLINE static __always_inline

INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* The ones' complement sum of an IPv4 header without options, folded; 0xffff when it is right. */
INLINE __u16 sum_ip(const struct iphdr *ip)
{
	const __u32 *word = (const void *)ip;

	return fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]);
}

INLINE bool same16(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

INLINE __u8 class6(const struct ipv6hdr *ip)
{
	return (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
}

/*
 * What the compiler knows to be no NULL pointer, the verifier of some kernels has lost sight of when
 * the proof went through the stack. This makes the compiler forget, so that a check stays one.
 */
#define OPAQUE(variable) asm volatile("" : "+r"(variable))

#endif
