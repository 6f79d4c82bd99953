/*
 * Smooth weighted round-robin (nginx's algorithm: each turn every server gains its weight, the highest is picked and
 * loses the total). Its order repeats after the sum of the weights divided by their greatest common divisor, so it is
 * worked out once, and a pick is one atomic step along it: exact over all threads, without a lock.
 */
#include "lb/pick.h"

#include <stdatomic.h>
#include <stdlib.h>

struct roundrobin {
	struct picker base;
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

static struct picker *roundrobin_create(const struct upstream *u, const char *header)
{
	unsigned divisor = 0;
	uint64_t total = 0;

	(void)header;
	for (unsigned i = 0; i < u->primaries; i++) {
		divisor = gcd(divisor, u->servers[i].weight);
		total += u->servers[i].weight;
	}
	uint64_t length = total / divisor;
	struct roundrobin *r = malloc(sizeof(*r) + length * sizeof(r->order[0]));
	int64_t *gains = calloc(u->primaries, sizeof(*gains));
	if (!r || !gains) {
		free(r);
		free(gains);
		return NULL;
	}
	r->base.ops = &pick_roundrobin;
	atomic_init(&r->turn, 0);
	r->length = length;
	for (uint64_t i = 0; i < length; i++)
		r->order[i] = smooth_next(u, gains);
	free(gains);
	return &r->base;
}

static void roundrobin_destroy(struct picker *p)
{
	free(p);
}

static unsigned roundrobin_pick(
        struct picker *p, const struct upstream *u, const struct pick_request *request)
{
	struct roundrobin *r = (struct roundrobin *)p;
	unsigned i = r->order[atomic_fetch_add_explicit(&r->turn, 1, memory_order_relaxed) % r->length];

	while (server_set_has(&request->tried, i)) /* out of the order: the next that was not tried */
		i = (i + 1) % u->primaries;
	return i;
}

const struct picker_ops pick_roundrobin = {
        .balance = LB_BALANCE_ROUNDROBIN,
        .create = roundrobin_create,
        .destroy = roundrobin_destroy,
        .pick = roundrobin_pick,
};
