/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that sends keepalives and takes lines down, and what Python may ask of it. It runs in
 * real time where that is permitted, holds no lock while it sends or sleeps, and never runs Python.
 * Functions return a negative errno where they fail.
 */
#ifndef BONGSU_KEEPALIVE_ENGINE_H
#define BONGSU_KEEPALIVE_ENGINE_H

#include <pthread.h>

#include "notices.h"
#include "receive.h"
#include "session.h"
#include "wire.h"

/* Changes of lines that Python has not taken yet; beyond that it has to look at every line. */
#define KA_CHANGES 8192
/* Debug lines: some seconds of a busy node. */
#define KA_LINES 4096

struct ka_change {
	uint64_t detected; /* CLOCK_MONOTONIC, ns */
	uint64_t stopped;  /* when the kernel was told to carry no data, or to carry it again */
	uint32_t slot;
	uint32_t generation;
	uint32_t up;
	uint32_t counter;
};

enum ka_line_event {
	KA_LINE_SENT,
	KA_LINE_REPLY,
	KA_LINE_CHANGE,
};

struct ka_line {
	uint64_t sequence; /* from 1 */
	uint64_t at;
	uint64_t rtt; /* ns, of a reply */
	uint32_t slot;
	uint32_t generation;
	uint32_t event;
	uint32_t counter;
	uint16_t length;
	uint8_t ttl;
	uint8_t up;
	uint32_t unused;
};

struct ka_engine {
	pthread_mutex_t lock; /* the machine, the rings, the debug switch */
	pthread_t thread;
	struct ka_machine machine;
	struct ka_wire wire;
	struct ka_notices notices;
	struct ka_ear ear;
	int poll, timer, stop, changed;
	uint32_t running, debug, fifo, overflowed;
	uint64_t changes_put, changes_taken, lines_put;
	struct ka_change changes[KA_CHANGES];
	struct ka_line lines[KA_LINES];
};

#endif
