/*
 * How long requests waited: a histogram in a few cache lines, with an error of at most 6 %. Each worker has its own and is its only
 * writer; readers add them up, while the writers go on. (tplb-load, which measures, has one of 0.4 % and 36 KiB: load/histogram.h.)
 */
#ifndef TPLB_OBS_WAITS_H
#define TPLB_OBS_WAITS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buckets.h"

/* In microseconds, up to 2^32 of them (71 minutes); what is longer counts as that. */
enum { WAITS_BITS = 3, WAITS_BUCKETS = BUCKETS_COUNT(WAITS_BITS, 32) };

/* All zero: none. */
struct waits {
	_Atomic uint64_t sum;                    /* us; relaxed; one writer */
	_Atomic uint64_t max;                    /* likewise */
	_Atomic uint64_t buckets[WAITS_BUCKETS]; /* likewise; together they are how many there were */
};

/* By the owner only. ns: how long; a negative wait counts as 0. */
void waits_record(struct waits *w, int64_t ns);

/* What a reader has added up. All zero: nothing yet. */
struct waits_total {
	uint64_t count;
	uint64_t sum, max; /* us */
	uint64_t buckets[WAITS_BUCKETS];
};

/* Any thread. */
void waits_add(struct waits_total *total, const struct waits *w);

/* The least wait in us that at least so many percent (0 to 100) did not exceed; 0 when there are none. */
uint64_t waits_percentile(const struct waits_total *total, double percent);

#endif
