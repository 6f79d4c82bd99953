#include "load/histogram.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

/* Values below 2 * SUB have a bucket each; above, the highest bit and the SUB_BITS that follow it tell the bucket. */
static unsigned shift_of(uint64_t value)
{
	unsigned highest = value == 0 ? 0 : 63 - (unsigned)__builtin_clzll(value);

	return highest <= HISTOGRAM_SUB_BITS ? 0 : highest - HISTOGRAM_SUB_BITS;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift = shift_of(value);

	return shift * SUB + (unsigned)(value >> shift);
}

/* The middle of the bucket. */
static int64_t value_of(unsigned bucket)
{
	if (bucket < 2 * SUB)
		return bucket;
	unsigned shift = bucket / SUB - 1;
	int64_t lowest = (int64_t)(bucket - shift * SUB) << shift;

	return lowest + ((int64_t)1 << shift) / 2;
}

void histogram_record(struct histogram *h, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	if (ns > HISTOGRAM_MOST)
		ns = HISTOGRAM_MOST;
	if (h->count == 0 || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->count++;
	h->sum += (double)ns;
	h->buckets[bucket_of((uint64_t)ns)]++;
}

int64_t histogram_percentile(const struct histogram *h, double percent)
{
	double wanted = percent * (double)h->count / 100;
	uint64_t seen = 0;

	if (wanted > (double)h->count - 1) /* the largest, or there is none */
		return h->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen == 0 || (double)seen < wanted)
			continue;
		int64_t value = value_of(i);
		return value < h->min ? h->min : value > h->max ? h->max : value;
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->count == 0 ? 0 : h->sum / (double)h->count;
}
