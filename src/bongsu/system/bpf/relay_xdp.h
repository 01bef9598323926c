/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The relay in an interface's driver: plain packets of sessions that are known. */
#ifndef BONGSU_RELAY_XDP_H
#define BONGSU_RELAY_XDP_H

#include "relay_judge.h"

SEC("xdp")
int relay_fast(struct xdp_md *ctx)
{
	return XDP_PASS;
}

#endif
