#include "load/histogram.h"

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
	h->buckets[buckets_index(HISTOGRAM_SUB_BITS, (uint64_t)ns)]++;
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
		int64_t value = buckets_middle(HISTOGRAM_SUB_BITS, i);
		return value < h->min ? h->min : value > h->max ? h->max : value;
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->count == 0 ? 0 : h->sum / (double)h->count;
}
