/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that wakes every `interval` ns and writes how late it was: INTERVAL ROUNDS fifo|normal */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t ns(const struct timespec *t)
{
	return t->tv_sec * 1000000000LL + t->tv_nsec;
}

int main(int argc, char **argv)
{
	struct sched_param first = { .sched_priority = 1 };
	struct timespec due, now;
	int64_t interval, at;
	uint64_t *late;
	int rounds, i;

	if (argc != 4)
		return 2;
	interval = atoll(argv[1]);
	rounds = atoi(argv[2]);
	late = calloc(rounds, sizeof(*late));
	if (!late || (!strcmp(argv[3], "fifo") && sched_setscheduler(0, SCHED_FIFO, &first)))
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &due);
	at = ns(&due);
	for (i = 0; i < rounds; i++) {
		at += interval;
		due.tv_sec = at / 1000000000;
		due.tv_nsec = at % 1000000000;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
			;
		clock_gettime(CLOCK_MONOTONIC, &now);
		late[i] = ns(&now) - at;
	}
	return fwrite(late, sizeof(*late), rounds, stdout) == (size_t)rounds ? 0 : 1;
}
