#include "obs/waits.h"

#include "base/clock.h"

static uint64_t load(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(_Atomic uint64_t *value, uint64_t now)
{
	atomic_store_explicit(value, now, memory_order_relaxed);
}

void waits_record(struct waits *w, int64_t ns)
{
	uint64_t us = ns > 0 ? (uint64_t)(ns / CLOCK_NS_PER_US) : 0;

	if (us > UINT32_MAX)
		us = UINT32_MAX;
	_Atomic uint64_t *bucket = &w->buckets[buckets_index(WAITS_BITS, us)];
	store(bucket, load(bucket) + 1);
	store(&w->sum, load(&w->sum) + us);
	if (us > load(&w->max))
		store(&w->max, us);
}

void waits_add(struct waits_total *total, const struct waits *w)
{
	uint64_t max = load(&w->max);

	total->sum += load(&w->sum);
	if (max > total->max)
		total->max = max;
	for (unsigned i = 0; i < WAITS_BUCKETS; i++) {
		uint64_t n = load(&w->buckets[i]);

		total->buckets[i] += n;
		total->count += n;
	}
}

uint64_t waits_percentile(const struct waits_total *total, double percent)
{
	double wanted = percent * (double)total->count / 100;
	uint64_t seen = 0;

	if (wanted > (double)total->count - 1) /* the largest, or there is none */
		return total->max;
	for (unsigned i = 0; i < WAITS_BUCKETS; i++) {
		seen += total->buckets[i];
		if (seen > 0 && (double)seen >= wanted) {
			uint64_t us = (uint64_t)buckets_middle(WAITS_BITS, i);

			return us < total->max ? us : total->max;
		}
	}
	return total->max;
}
