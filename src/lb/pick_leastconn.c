/*
 * The server with the fewest requests (in tcp mode: connections) for its weight. Of equals the next in turn, so that an idle
 * upstream is used evenly.
 */
#include "lb/pick.h"

#include <stdlib.h>

struct leastconn {
	struct picker base;
	_Atomic unsigned turn; /* relaxed: only its own order matters */
};

static struct picker *leastconn_create(const struct upstream *u, const char *header)
{
	struct leastconn *l = calloc(1, sizeof(*l));

	(void)u, (void)header;
	if (!l)
		return NULL;
	l->base.ops = &pick_leastconn;
	return &l->base;
}

static void leastconn_destroy(struct picker *p)
{
	free(p);
}

static unsigned leastconn_pick(struct picker *p, const struct upstream *u, const struct pick_request *r)
{
	struct leastconn *l = (struct leastconn *)p;
	unsigned first = atomic_fetch_add_explicit(&l->turn, 1, memory_order_relaxed) % u->primaries;
	unsigned best = u->primaries;

	for (unsigned k = 0; k < u->primaries; k++) {
		unsigned i = (first + k) % u->primaries;

		if (!server_set_has(&r->tried, i) &&
		        (best == u->primaries || server_is_freer(&u->servers[i], &u->servers[best])))
			best = i;
	}
	return best;
}

const struct picker_ops pick_leastconn = {
        .balance = LB_BALANCE_LEASTCONN,
        .counts = true,
        .create = leastconn_create,
        .destroy = leastconn_destroy,
        .pick = leastconn_pick,
};
