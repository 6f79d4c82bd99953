/* What is short: which key to change and to what; and what is done about it at a start. */
#include "lb/needs.h"

#include "base/diag.h"
#include "net/sock.h"

/* A key that says how much is needed: an int64_t that takes 1 at least. */
struct lever {
	const char *path;
	const char *key;
	size_t place, offset; /* in struct lb_config */
	unsigned resources;   /* bits of enum resource */
};

#define LEVER(group, field, what)                                                                            \
	{                                                                                                    \
#group "." #field, #field, offsetof(struct lb_config, group.place),                          \
		        offsetof(struct lb_config, group.field), (what)                                      \
	}
#define OF(resource) (1u << RESOURCE_##resource)

/* The first is the one that a start lowers itself. */
static const struct lever levers[] = {
        LEVER(limits, connections, OF(DESCRIPTORS) | OF(ADDRESSES) | OF(MEMORY) | OF(PORTS)),
        LEVER(async, fibers, OF(DESCRIPTORS) | OF(MAPPINGS) | OF(ADDRESSES) | OF(MEMORY) | OF(PORTS)),
        LEVER(pool, workers, OF(THREADS) | OF(ADDRESSES) | OF(MEMORY)),
        LEVER(async, loops, OF(THREADS) | OF(ADDRESSES) | OF(MEMORY) | OF(LOCKED)),
};
enum { LEVERS = sizeof(levers) / sizeof(levers[0]) };

static int64_t *value_of(const struct lever *l, struct lb_config *c)
{
	return (int64_t *)(void *)((char *)c + l->offset);
}

static uint64_t amount_with(const struct needs *n, enum resource r, const struct lever *l, int64_t value)
{
	struct lb_config changed = *n->config; /* its lists are shared, and not touched */
	struct needs sums;

	*value_of(l, &changed) = value;
	needs_sum(&sums, &changed, n->uring, n->grants);
	return sums.of[r].amount;
}

/* The largest value with which it is enough; 0: none is. */
static int64_t fit(const struct needs *n, enum resource r, const struct lever *l, int64_t now)
{
	uint64_t granted = grant_free(&n->grants->of[r]);
	int64_t enough = 0, too_much = now;

	while (too_much - enough > 1) {
		int64_t middle = enough + (too_much - enough) / 2;

		if (amount_with(n, r, l, middle) <= granted)
			enough = middle;
		else
			too_much = middle;
	}
	return enough;
}

/* What the key says now; async.loops = 0 stands for the number of cores. */
static int64_t current(const struct needs *n, const struct lever *l)
{
	struct lb_config copy = *n->config;
	int64_t value = *value_of(l, &copy);

	return value > 0 ? value : n->grants->cores;
}

struct needs_remedy needs_remedy(const struct needs *n, enum resource r)
{
	struct needs_remedy best = {.path = NULL};
	double best_share = -1;

	for (unsigned i = 0; i < LEVERS; i++) {
		const struct lever *l = &levers[i];
		int64_t now = current(n, l);

		if (!(l->resources & 1u << r) || amount_with(n, r, l, 1) >= n->of[r].amount)
			continue; /* it has no say, in this engine */
		int64_t value = fit(n, r, l, now);
		double share = (double)value / (double)now;
		if (share <= best_share)
			continue;
		best_share = share;
		best = (struct needs_remedy){(const char *)n->config + l->place, l->key, l->path, value};
		best.place = *(const void *const *)best.place;
	}
	return best;
}

/*
 * What the descriptors suffice for; or half of what there is where that is more, since the rest of the sum (pipes, kept connections, each
 * fiber with a server) is seldom all in use, and running out is survived.
 */
static void lower_connections(struct lb_config *c, const struct needs *n)
{
	int64_t half = (int64_t)(grant_free(&n->grants->of[RESOURCE_DESCRIPTORS]) / 2);
	int64_t least = half > 0 ? half : 1;
	int64_t enough = fit(n, RESOURCE_DESCRIPTORS, &levers[0], c->limits.connections);

	if (enough < least)
		enough = least;
	if (enough >= c->limits.connections)
		return;
	c->limits.connections = enough;
	diag_warning("limits.connections: at most %lld at once, for want of descriptors", (long long)enough);
}

void needs_raise(const struct lb_config *c, bool uring, const struct grants *g)
{
	struct needs n;

	needs_sum(&n, c, uring, g);
	(void)sock_raise_limit(n.of[RESOURCE_DESCRIPTORS].amount); /* needs_fit tells of what is short */
}

void needs_fit(struct lb_config *c, bool uring, struct grants *g)
{
	struct grant *descriptors = &g->of[RESOURCE_DESCRIPTORS];
	struct needs n;
	char text[NEEDS_TEXT_MAX];

	needs_sum(&n, c, uring, g);
	uint64_t wanted = n.of[RESOURCE_DESCRIPTORS].amount;
	if (wanted > grant_free(descriptors))
		wanted = grant_free(descriptors);
	grant_lower(descriptors, LIMIT_NOFILE, sock_raise_limit(wanted), 0);
	for (enum resource r = 0; r < RESOURCE_COUNT; r++)
		if (r != RESOURCE_MEMORY && needs_is_short(&n, r))
			diag_warning("%s", needs_text(&n, r, text));
	if (needs_is_short(&n, RESOURCE_DESCRIPTORS))
		lower_connections(c, &n);
}
