/* Time: monotonic nanoseconds for every deadline and measurement, wall time for logs and Date only. */
#ifndef TPLB_BASE_CLOCK_H
#define TPLB_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_US INT64_C(1000)
#define CLOCK_NS_PER_MS INT64_C(1000000)
#define CLOCK_NS_PER_S INT64_C(1000000000)

/* A deadline that never comes. */
#define CLOCK_NEVER INT64_MAX

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t clock_now(void);

/* The same clock as of the last tick (up to some 4 ms old), for a fifth of the price. */
int64_t clock_coarse(void);

/* now + delay, without overflow; a delay of 0 or less means "no limit" and gives CLOCK_NEVER. */
int64_t clock_after(int64_t now, int64_t delay);

/* Milliseconds from now until the deadline, rounded up, for poll(2): -1 for CLOCK_NEVER, never negative otherwise. */
int clock_poll_ms(int64_t now, int64_t deadline);

#endif
