#include "obs/histogram.h"

#include "base/clock.h"

const int64_t histogram_bounds[HISTOGRAM_BOUNDS + 1] = {50 * CLOCK_NS_PER_US, 100 * CLOCK_NS_PER_US,
        250 * CLOCK_NS_PER_US, 500 * CLOCK_NS_PER_US, 1 * CLOCK_NS_PER_MS, 2500 * CLOCK_NS_PER_US,
        5 * CLOCK_NS_PER_MS, 10 * CLOCK_NS_PER_MS, 25 * CLOCK_NS_PER_MS, 50 * CLOCK_NS_PER_MS,
        100 * CLOCK_NS_PER_MS, 250 * CLOCK_NS_PER_MS, 500 * CLOCK_NS_PER_MS, 1 * CLOCK_NS_PER_S,
        2500 * CLOCK_NS_PER_MS, 5 * CLOCK_NS_PER_S, 10 * CLOCK_NS_PER_S, 30 * CLOCK_NS_PER_S, INT64_MAX};

const unsigned char histogram_below[64] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 5,
        6, 7, 8, 9, 10, 11, 12, 13, 14, 14, 15, 16, 17, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18,
        18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18};

uint64_t histogram_count(const uint64_t *sums)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		n += sums[HISTOGRAM_BUCKETS + i];
	return n;
}
