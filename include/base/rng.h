/* Random numbers that need not be secret. Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014 (SplitMix64). */
#ifndef TPLB_BASE_RNG_H
#define TPLB_BASE_RNG_H

#include <stdint.h>

/* From one state to the next, and to what they are mixed: for those who step the state themselves, atomically. */
#define RNG_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t rng_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The next number; any state is a good seed. */
static inline uint64_t rng_next(uint64_t *state)
{
	return rng_mix(*state += RNG_STEP);
}

#endif
