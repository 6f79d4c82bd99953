#include "lb/pick.h"

#include "base/assert.h"

static const struct picker_ops *const policies[] = {
        &pick_roundrobin,
        &pick_leastconn,
        &pick_random,
        &pick_source,
        &pick_uri,
        &pick_header,
};

struct picker *picker_new(enum lb_balance balance, const char *header, const struct upstream *u)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (policies[i]->balance == balance)
			return policies[i]->create(u, header);
	UNREACHABLE("every value of `balance` has its row");
}

void picker_free(struct picker *p)
{
	if (p)
		p->ops->destroy(p);
}

static bool all_tried(const struct server_set *tried, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (!server_set_has(tried, i))
			return false;
	return true;
}

unsigned pick_server(const struct upstream *u, struct pick_request *r)
{
	unsigned i = u->primaries;

	if (!all_tried(&r->tried, 0, u->primaries)) {
		i = u->picker->ops->pick(u->picker, u, r);
	} else {
		while (i + 1 < u->count && server_set_has(&r->tried, i))
			i++;
	}
	server_set_add(&r->tried, i);
	return i;
}
