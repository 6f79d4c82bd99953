/*
 * The server with the fewest requests (in tcp mode: connections) for its weight. Of equals the next in turn by weight, so that an idle
 * upstream is used as its weights say.
 */
#include <stdlib.h>

#include "lb/pick.h"
#include "lb/turns.h"

struct leastconn {
	struct picker base;
	struct turns *turns;
};

static struct picker *leastconn_create(const struct upstream *u, const char *header)
{
	struct leastconn *l = calloc(1, sizeof(*l));

	(void)header;
	if (!l)
		return NULL;
	l->base.ops = &pick_leastconn;
	l->turns = turns_new(u);
	if (l->turns)
		return &l->base;
	free(l);
	return NULL;
}

static void leastconn_destroy(struct picker *p)
{
	free(((struct leastconn *)p)->turns);
	free(p);
}

static bool leastconn_weigh(struct picker *p, const struct upstream *u)
{
	return turns_weigh(((struct leastconn *)p)->turns, u);
}

static unsigned leastconn_pick(struct picker *p, const struct upstream *u, const struct pick_request *r)
{
	struct leastconn *l = (struct leastconn *)p;
	unsigned first = turns_next(l->turns, u, &r->tried), best = first;

	for (unsigned k = 1; k < u->primaries; k++) {
		unsigned i = (first + k) % u->primaries;

		if (!server_set_has(&r->tried, i) && server_is_freer(&u->servers[i], &u->servers[best]))
			best = i;
	}
	return best;
}

const struct picker_ops pick_leastconn = {
        .balance = LB_BALANCE_LEASTCONN,
        .counts = true,
        .create = leastconn_create,
        .destroy = leastconn_destroy,
        .weigh = leastconn_weigh,
        .pick = leastconn_pick,
};
