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
	unsigned total;         /* of the weights */
};

static uint64_t next(struct random *r)
{
	return rng_mix(atomic_fetch_add_explicit(&r->state, RNG_STEP, memory_order_relaxed));
}

static struct picker *random_create(const struct upstream *u, const char *header)
{
	struct random *r = calloc(1, sizeof(*r));

	(void)header;
	if (!r)
		return NULL;
	r->base.ops = &pick_random;
	atomic_init(&r->state, (uint64_t)clock_now());
	for (unsigned i = 0; i < u->primaries; i++)
		r->total += u->servers[i].weight;
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
	unsigned left = r->total;

	for (unsigned i = 0; i < u->primaries; i++)
		if (i == but || server_set_has(tried, i))
			left -= u->servers[i].weight;
	if (left == 0)
		return but;
	uint64_t at = next(r) % left; /* the bias is below 2^-40 */
	for (unsigned i = 0;; i++) {
		if (i == but || server_set_has(tried, i))
			continue;
		if (at < u->servers[i].weight)
			return i;
		at -= u->servers[i].weight;
	}
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
        .create = random_create,
        .destroy = random_destroy,
        .pick = random_pick,
};
