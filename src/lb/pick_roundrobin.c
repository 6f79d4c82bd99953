/* In turn, each as often as its weight says. */
#include <stdlib.h>

#include "lb/pick.h"
#include "lb/turns.h"

struct roundrobin {
	struct picker base;
	struct turns *turns;
};

static struct picker *roundrobin_create(const struct upstream *u, const char *header)
{
	struct roundrobin *r = calloc(1, sizeof(*r));

	(void)header;
	if (!r)
		return NULL;
	r->base.ops = &pick_roundrobin;
	r->turns = turns_new(u);
	if (r->turns)
		return &r->base;
	free(r);
	return NULL;
}

static void roundrobin_destroy(struct picker *p)
{
	free(((struct roundrobin *)p)->turns);
	free(p);
}

static bool roundrobin_weigh(struct picker *p, const struct upstream *u)
{
	return turns_weigh(((struct roundrobin *)p)->turns, u);
}

static unsigned roundrobin_pick(
        struct picker *p, const struct upstream *u, const struct pick_request *request)
{
	return turns_next(((struct roundrobin *)p)->turns, u, &request->tried);
}

const struct picker_ops pick_roundrobin = {
        .balance = LB_BALANCE_ROUNDROBIN,
        .create = roundrobin_create,
        .destroy = roundrobin_destroy,
        .weigh = roundrobin_weigh,
        .pick = roundrobin_pick,
};
