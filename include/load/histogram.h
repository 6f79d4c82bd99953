/*
 * How often each duration occurred, in constant memory and with an error of at most 0.4 %: buckets grow with the value, 128 for
 * each doubling, as in Gil Tene's HdrHistogram. Up to an hour; what is longer counts as an hour. The largest and the mean are exact.
 */
#ifndef TPLB_LOAD_HISTOGRAM_H
#define TPLB_LOAD_HISTOGRAM_H

#include <stdint.h>

#include "base/buckets.h"
#include "base/clock.h"

#define HISTOGRAM_MOST (3600 * CLOCK_NS_PER_S)

/* HISTOGRAM_MOST has 42 bits, of which 8 tell its bucket. */
enum { HISTOGRAM_SUB_BITS = 7, HISTOGRAM_BUCKETS = BUCKETS_COUNT(HISTOGRAM_SUB_BITS, 42) };

/* All zero: empty. */
struct histogram {
	uint64_t count;
	double sum;       /* ns */
	int64_t min, max; /* ns, exact but for HISTOGRAM_MOST */
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* A negative duration counts as 0. */
void histogram_record(struct histogram *h, int64_t ns);

/* The least duration that at least so many percent (0 to 100) did not exceed; 0 when there are none. */
int64_t histogram_percentile(const struct histogram *h, double percent);

/* 0 when there are none. */
double histogram_mean(const struct histogram *h);

#endif
