#include "lb/pick.h"

#include "base/assert.h"

static const struct picker_ops *const policies[] = {
        &pick_roundrobin,
};

struct picker *picker_new(enum lb_balance balance, const struct upstream *u)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (policies[i]->balance == balance)
			return policies[i]->create(u);
	UNREACHABLE("every value of `balance` has its row");
}

void picker_free(struct picker *p)
{
	if (p)
		p->ops->destroy(p);
}
