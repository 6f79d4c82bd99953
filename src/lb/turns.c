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
	/* relaxed. Written anew when a weight changes, amid picks: half an old order and half a new one are turns of servers that there are, too. */
	_Atomic uint64_t length; /* > 0, at most LB_WEIGHT_MAX for each server */
	_Atomic uint16_t order[];
};
_Static_assert(LB_SERVERS_MAX <= UINT16_MAX, "an index fits");

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
		gains[i] += server_said_weight(&u->servers[i]);
		total += server_said_weight(&u->servers[i]);
		if (gains[i] > gains[best])
			best = i;
	}
	gains[best] -= total;
	return best;
}

struct turns *turns_new(const struct upstream *u)
{
	/* Room for any weights. What no order reaches is not touched. */
	struct turns *t = calloc(1, sizeof(*t) + (size_t)LB_WEIGHT_MAX * u->primaries * sizeof(t->order[0]));

	if (!t || turns_weigh(t, u))
		return t;
	free(t);
	return NULL;
}

bool turns_weigh(struct turns *t, const struct upstream *u)
{
	unsigned divisor = 0;
	uint64_t total = 0;
	int64_t *gains = calloc(u->primaries, sizeof(*gains));

	if (!gains)
		return false;
	for (unsigned i = 0; i < u->primaries; i++) { /* there is one, and no weight is 0 */
		divisor = gcd(divisor, server_said_weight(&u->servers[i]));
		total += server_said_weight(&u->servers[i]);
	}
	for (uint64_t i = 0; i < total / divisor; i++)
		atomic_store_explicit(&t->order[i], (uint16_t)smooth_next(u, gains), memory_order_relaxed);
	atomic_store_explicit(&t->length, total / divisor, memory_order_relaxed);
	free(gains);
	return true;
}

static unsigned next(struct turns *t)
{
	uint64_t turn = atomic_fetch_add_explicit(&t->turn, 1, memory_order_relaxed);
	uint64_t length = atomic_load_explicit(&t->length, memory_order_relaxed);

	return atomic_load_explicit(&t->order[turn % length], memory_order_relaxed);
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
