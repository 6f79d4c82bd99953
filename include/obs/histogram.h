/*
 * Cells: numbers that one thread writes and any other reads, a row of them a worker, so that no cache line is shared on the path of a request. A histogram is a part of such a row, in
 * buckets that are the same everywhere, as Prometheus wants them: what is counted in them can be added up over workers, servers and machines. (obs/waits.h tells percentiles
 * more exactly, and takes ten times the room.)
 */
#ifndef TPLB_OBS_HISTOGRAM_H
#define TPLB_OBS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* By the row's owner only. */
static inline void cell_add(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_store_explicit(
	        cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Adds n cells to as many sums. Any thread. */
static inline void cells_sum(uint64_t *sums, const _Atomic uint64_t *cells, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sums[i] += atomic_load_explicit(&cells[i], memory_order_relaxed);
}

/* The sum in ns; a bucket a bound; one for what is above all of them. So most times are counted in the cache line that the sum is in. */
enum {
	HISTOGRAM_BOUNDS = 18,
	HISTOGRAM_SUM = 0,
	HISTOGRAM_BUCKETS = 1,
	HISTOGRAM_CELLS = HISTOGRAM_BUCKETS + HISTOGRAM_BOUNDS + 1
};

/* From 50 us to 30 s, in ns; a time that equals one belongs to its bucket. One more, above every time, ends them. */
extern const int64_t histogram_bounds[HISTOGRAM_BOUNDS + 1];

/* How many bounds are below 2 to the power of the index. Between one power and the next there is one bound at most. */
extern const unsigned char histogram_below[64];

/* By the row's owner only. at: HISTOGRAM_CELLS cells, of which each time is in one bucket only. A negative time counts as 0. */
static inline void histogram_record(_Atomic uint64_t *at, int64_t ns)
{
	ns = ns > 0 ? ns : 0;
	unsigned i = histogram_below[63 - __builtin_clzll((unsigned long long)ns | 1)];
	i += ns > histogram_bounds[i];
	cell_add(&at[HISTOGRAM_BUCKETS + i], 1);
	cell_add(&at[HISTOGRAM_SUM], (uint64_t)ns);
}

/* How many times were recorded. */
uint64_t histogram_count(const uint64_t *sums);

#endif
