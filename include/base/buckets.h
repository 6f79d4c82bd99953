/*
 * Buckets of a histogram that grow with the value: 2^bits of them for each doubling, so that one is at most 2^-bits of its
 * value wide, as in Gil Tene's HdrHistogram (hdrhistogram.org). Values below 2^(bits + 1) have a bucket each; above, the highest bit and
 * the `bits` that follow it tell the bucket.
 */
#ifndef TPLB_BASE_BUCKETS_H
#define TPLB_BASE_BUCKETS_H

#include <stdint.h>

/* How many buckets there are for values of up to `width` bits. A constant. */
#define BUCKETS_COUNT(bits, width) (((width) - (bits) + 1) << (bits))

/* The bucket of a value. */
static inline unsigned buckets_index(unsigned bits, uint64_t value)
{
	unsigned highest = value == 0 ? 0 : 63 - (unsigned)__builtin_clzll(value);
	unsigned shift = highest <= bits ? 0 : highest - bits;

	return (shift << bits) + (unsigned)(value >> shift);
}

/* The middle of a bucket. */
static inline int64_t buckets_middle(unsigned bits, unsigned index)
{
	if (index < 2u << bits)
		return index;
	unsigned shift = (index >> bits) - 1;
	int64_t lowest = (int64_t)(index - (shift << bits)) << shift;

	return lowest + ((int64_t)1 << shift) / 2;
}

#endif
