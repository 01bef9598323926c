/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Silence: whatever arrives is lost, and nobody is told. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

char licence[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int silence(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}
