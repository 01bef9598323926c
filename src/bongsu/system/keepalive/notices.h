/* SPDX-License-Identifier: Apache-2.0 */
/* The reading end of a BPF ring buffer (kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst). */
#ifndef BONGSU_KEEPALIVE_NOTICES_H
#define BONGSU_KEEPALIVE_NOTICES_H

#include <stdbool.h>
#include <stdint.h>

#include "../bpf/keepalive.h"

struct ka_notices {
	int fd; /* of the map, readable when there is one; -1: none */
	uint32_t size;
	unsigned long *consumed;
	const unsigned long *produced;
	const uint8_t *data; /* twice in a row, so that nothing ever wraps */
};

int ka_notices_open(struct ka_notices *notices, int fd, uint32_t size);
void ka_notices_close(struct ka_notices *notices);
bool ka_notices_next(struct ka_notices *notices, struct ka_notice *out);

#endif
