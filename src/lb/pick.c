#include "lb/pick.h"

#include "base/assert.h"
#include "base/rng.h"
#include "lb/standing.h"

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

bool server_weigh(struct upstream *u, struct server *s, unsigned weight)
{
	unsigned before = server_said_weight(s);
	const struct picker *p = u->picker;

	atomic_store_explicit(&s->weight, weight, memory_order_relaxed);
	if (!p->ops->weigh || p->ops->weigh(u->picker, u))
		return true;
	atomic_store_explicit(&s->weight, before, memory_order_relaxed);
	return false;
}

static bool all_tried(const struct server_set *tried, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (!server_set_has(tried, i))
			return false;
	return true;
}

/* By the policy, of those that are no backups; then the backups in their order; u->count: there is none. */
static unsigned pick_untried(const struct upstream *u, const struct pick_request *r)
{
	unsigned i = u->primaries;

	if (!all_tried(&r->tried, 0, u->primaries))
		return u->picker->ops->pick(u->picker, u, r);
	while (i < u->count && server_set_has(&r->tried, i))
		i++;
	return i;
}

/* In a slow start so much of its share it does not get yet; and by its SRV record it may have a smaller one than others. */
static bool is_passed_over(struct upstream *u, const struct server *s)
{
	unsigned part = server_ramp(s) * (u->picker->ops->shares ? SHARE_FULL : server_share(s));
	unsigned whole = 256 * SHARE_FULL;

	if (part == whole)
		return false;
	return rng_mix(atomic_fetch_add_explicit(&u->dice, RNG_STEP, memory_order_relaxed)) % whole >= part;
}

/*
 * Those in the state that were not tried yet. The dice are thrown for each before the policy is asked, so that it is asked twice at most; a
 * server passed over is its answer when there is no other but backups, which are not for those that start slowly.
 */
static unsigned pick_in_state(struct upstream *u, const struct pick_request *r, enum server_state state)
{
	struct pick_request first = *r, second = *r; /* without those passed over; those alone */
	bool passed_over = false;

	for (unsigned k = 0; k < u->count; k++) {
		if (server_set_has(&r->tried, k))
			continue;
		bool fits = server_state(&u->servers[k]) == state;
		bool passed = fits && is_passed_over(u, &u->servers[k]);
		if (!fits || passed)
			server_set_add(&first.tried, k);
		if (!passed)
			server_set_add(&second.tried, k);
		passed_over |= passed;
	}
	unsigned i = pick_untried(u, &first);
	if (i < u->primaries || !passed_over)
		return i;
	unsigned k = pick_untried(u, &second);
	return k < u->primaries || i == u->count ? k : i;
}

/* Some are down, or start slowly. */
static unsigned pick_impaired(struct upstream *u, struct pick_request *r)
{
	unsigned i = pick_in_state(u, r, SERVER_UP);

	if (i < u->count || !u->config->panic)
		return i;
	i = pick_in_state(u, r, SERVER_DOWN);
	r->in_panic = i < u->count;
	return i;
}

/* Its session lives there, whatever the policy. */
static bool is_wanted(const struct upstream *u, const struct pick_request *r)
{
	enum server_state state;

	if (!r->wanted || server_set_has(&r->tried, (unsigned)(r->wanted - u->servers)))
		return false;
	state = server_state(r->wanted);
	return state == SERVER_UP || state == SERVER_DRAINING;
}

unsigned pick_server(struct upstream *u, struct pick_request *r)
{
	unsigned i;

	if (is_wanted(u, r))
		i = (unsigned)(r->wanted - u->servers);
	else if (atomic_load_explicit(&u->impaired, memory_order_relaxed) > 0)
		i = pick_impaired(u, r);
	else
		i = pick_untried(u, r);
	if (i < u->count)
		server_set_add(&r->tried, i);
	return i;
}
