/*
 * Smooth weighted round-robin (nginx's algorithm: each turn every server gains its weight, the highest is picked and
 * loses the total). Its order repeats after the sum of the weights divided by their greatest common divisor, so it is
 * worked out once, and a turn is one atomic step along it: exact over all threads, without a lock.
 */
#include "lb/turns.h"

#include <stdatomic.h>
#include <stdlib.h>

struct turns {
	_Atomic uint64_t turn; /* relaxed: only its own order matters */
	uint64_t length;
	unsigned order[];
};

static unsigned gcd(unsigned a, unsigned b)
{
	while (b > 0) {
		unsigned rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* One turn of the algorithm on the servers' current gains. */
static unsigned smooth_next(const struct upstream *u, int64_t *gains)
{
	unsigned best = 0;
	int64_t total = 0;

	for (unsigned i = 0; i < u->primaries; i++) {
		gains[i] += u->servers[i].weight;
		total += u->servers[i].weight;
		if (gains[i] > gains[best])
			best = i;
	}
	gains[best] -= total;
	return best;
}

struct turns *turns_new(const struct upstream *u)
{
	unsigned divisor = u->servers[0].weight; /* there is one, and no weight is 0 */
	uint64_t total = divisor;

	for (unsigned i = 1; i < u->primaries; i++) {
		divisor = gcd(divisor, u->servers[i].weight);
		total += u->servers[i].weight;
	}
	uint64_t length = total / divisor;
	struct turns *t = malloc(sizeof(*t) + length * sizeof(t->order[0]));
	int64_t *gains = calloc(u->primaries, sizeof(*gains));
	if (!t || !gains) {
		free(t);
		free(gains);
		return NULL;
	}
	atomic_init(&t->turn, 0);
	t->length = length;
	for (uint64_t i = 0; i < length; i++)
		t->order[i] = smooth_next(u, gains);
	free(gains);
	return t;
}

static unsigned next(struct turns *t)
{
	return t->order[atomic_fetch_add_explicit(&t->turn, 1, memory_order_relaxed) % t->length];
}

unsigned turns_next(struct turns *t, const struct upstream *u, const struct server_set *tried)
{
	unsigned i = next(t);

	/* Further turns, so that the others keep their shares when a heavy one is down; in the end the next one that there is. */
	for (unsigned n = 4 * u->primaries; n > 0 && server_set_has(tried, i); n--)
		i = next(t);
	while (server_set_has(tried, i))
		i = (i + 1) % u->primaries;
	return i;
}
