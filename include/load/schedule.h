/*
 * When the requests of an open loop are due: the k-th at start + k / rate, whatever the server does, as long as that is before
 * the end. A request that finds no free connection stays due; it is never dropped.
 */
#ifndef TPLB_LOAD_SCHEDULE_H
#define TPLB_LOAD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	int64_t start, end; /* CLOCK_MONOTONIC ns */
	double rate;        /* a second, greater than 0 */
	uint64_t taken;
};

void schedule_init(struct schedule *s, int64_t start, int64_t duration, double rate);

/* When the first that was not taken is due; CLOCK_NEVER when there is none. */
int64_t schedule_next(const struct schedule *s);

/* Takes that one, if it is due by now. */
bool schedule_take(struct schedule *s, int64_t now, int64_t *due);

#endif
