/*
 * Two servers at random, each by its weight, and the freer of them, the first where they are alike (Mitzenmacher, "The Power of Two
 * Choices in Randomized Load Balancing", 2001): close to leastconn, and balancers that do not know of each other do not all run to the same server.
 */
#include "lb/pick.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"

struct random {
	struct picker base;
	_Atomic uint64_t state; /* relaxed: each step of it is one random number */
};

static uint64_t next(struct random *r)
{
	return rng_mix(atomic_fetch_add_explicit(&r->state, RNG_STEP, memory_order_relaxed));
}

static struct picker *random_create(const struct upstream *u, const char *header)
{
	struct random *r = calloc(1, sizeof(*r));

	(void)u;
	(void)header;
	if (!r)
		return NULL;
	r->base.ops = &pick_random;
	atomic_init(&r->state, (uint64_t)clock_now());
	return &r->base;
}

static void random_destroy(struct picker *p)
{
	free(p);
}

/* One that is neither tried nor `but`, by weight; `but` itself when it is the only one. */
static unsigned choose(
        struct random *r, const struct upstream *u, const struct server_set *tried, unsigned but)
{
	uint64_t left = 0;
	unsigned last = but;

	for (unsigned i = 0; i < u->primaries; i++)
		if (i != but && !server_set_has(tried, i))
			left += server_whole_weight(&u->servers[i]);
	uint64_t at = left > 0 ? next(r) % left : 0; /* the bias is below 2^-32 */
	for (unsigned i = 0; i < u->primaries; i++) {
		uint64_t weight = server_whole_weight(&u->servers[i]);

		if (i == but || server_set_has(tried, i))
			continue;
		if (at < weight)
			return i;
		at -= weight;
		last = i; /* the end is reached where a share became smaller just now */
	}
	return last;
}

static unsigned random_pick(struct picker *p, const struct upstream *u, const struct pick_request *request)
{
	struct random *r = (struct random *)p;
	unsigned one = choose(r, u, &request->tried, u->primaries);
	unsigned other = choose(r, u, &request->tried, one);

	return server_is_freer(&u->servers[other], &u->servers[one]) ? other : one;
}

const struct picker_ops pick_random = {
        .balance = LB_BALANCE_RANDOM,
        .counts = true,
        .shares = true,
        .create = random_create,
        .destroy = random_destroy,
        .pick = random_pick,
};
