/*
 * source, uri and header:NAME: the same key goes to the same server, and when a server comes or goes only its own share moves.
 *
 * Weighted rendezvous hashing: each server has a score for the key, -weight / ln(h) with h in (0, 1) hashed from key and server, and the
 * highest wins (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; the weights as in Schindelhauer and
 * Schomaker, "Weighted Distributed Hash Tables", 2005). No table that could be out of date, and one pass over the servers.
 *
 * Bounded loads (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018): a server that has more than
 * 1.25 times its share of all requests under way is passed over, for the next highest score; but not before it has some, or two requests
 * at once would lose their server to a bound of one.
 */
#include "lb/pick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct hash {
	struct picker base;
	struct str header;     /* of header:NAME */
	_Atomic unsigned turn; /* relaxed: for requests without a key */
};

static struct picker *hash_create(const struct picker_ops *ops, const char *header)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->base.ops = ops;
	if (header)
		h->header = (struct str){header, strlen(header)};
	return &h->base;
}

static void hash_destroy(struct picker *p)
{
	free(p);
}

/* -weight / ln(h). */
static double score(const struct server *s, uint64_t key)
{
	uint64_t mixed[2] = {key, s->id};
	/* 52 bits and a half: never 0 and never 1. */
	double h = ((double)(XXH3_64bits(mixed, sizeof(mixed)) >> 12) + 0.5) / 4503599627370496.0;

	return -(double)server_whole_weight(s) / log(h);
}

enum { FEW = 16 /* requests that any server may have */ };

/* Whether one request more would be more than 1.25 times its share, rounded up; all: requests under way, this one included; total: of the weights. */
static bool is_full(const struct server *s, uint64_t all, uint64_t total)
{
	unsigned active = atomic_load_explicit(&s->load->active, memory_order_relaxed);
	uint64_t bound = (5 * all * server_whole_weight(s) + 4 * total - 1) / (4 * total);

	return active >= FEW && active >= bound;
}

/* The highest score of those that were not tried, and of these one that is not full, if there is one. */
static unsigned best_of(const struct upstream *u, const struct server_set *tried, uint64_t key)
{
	unsigned best = u->primaries, best_full = u->primaries;
	double top = 0, top_full = 0;
	uint64_t all = 1, total = 0;

	for (unsigned i = 0; i < u->primaries; i++) {
		if (server_set_has(tried, i))
			continue;
		all += atomic_load_explicit(&u->servers[i].load->active, memory_order_relaxed);
		total += server_whole_weight(&u->servers[i]);
	}
	for (unsigned i = 0; i < u->primaries; i++) {
		const struct server *s = &u->servers[i];

		if (server_set_has(tried, i))
			continue;
		bool full = is_full(s, all, total);
		double points = score(s, key);
		if (!full && (best == u->primaries || points > top)) {
			best = i;
			top = points;
		} else if (full && (best_full == u->primaries || points > top_full)) {
			best_full = i;
			top_full = points;
		}
	}
	return best < u->primaries ? best : best_full;
}

static struct picker *source_create(const struct upstream *u, const char *header)
{
	(void)u;
	return hash_create(&pick_source, header);
}

/* The client's address without its port. Clients of a Unix socket are one. */
static unsigned source_pick(struct picker *p, const struct upstream *u, const struct pick_request *r)
{
	(void)p;
	return best_of(u, &r->tried, XXH3_64bits(r->client->bytes, sizeof(r->client->bytes)));
}

static struct picker *uri_create(const struct upstream *u, const char *header)
{
	(void)u;
	return hash_create(&pick_uri, header);
}

/* The path, without what follows a question mark, as in HAProxy. */
static unsigned uri_pick(struct picker *p, const struct upstream *u, const struct pick_request *r)
{
	struct str path = r->head->path;
	const char *mark = memchr(path.at, '?', path.len);

	(void)p;
	if (mark)
		path.len = (size_t)(mark - path.at);
	if (path.len == 0) /* "http://host?x" goes out as "/?x" */
		path = STR("/");
	return best_of(u, &r->tried, XXH3_64bits(path.at, path.len));
}

static struct picker *header_create(const struct upstream *u, const char *header)
{
	(void)u;
	return hash_create(&pick_header, header);
}

/* The first field of that name. A request that has none goes anywhere. */
static unsigned header_pick(struct picker *p, const struct upstream *u, const struct pick_request *r)
{
	struct hash *h = (struct hash *)p;

	for (unsigned i = 0; i < r->head->count; i++) {
		const struct http_field *f = &r->head->fields[i];

		if (str_eq_nocase(f->name, h->header))
			return best_of(u, &r->tried, XXH3_64bits(f->value.at, f->value.len));
	}
	/* A key of its own: by weight, and bounded, as all the others. */
	unsigned turn = atomic_fetch_add_explicit(&h->turn, 1, memory_order_relaxed);
	return best_of(u, &r->tried, XXH3_64bits(&turn, sizeof(turn)));
}

const struct picker_ops pick_source = {
        .balance = LB_BALANCE_SOURCE,
        .counts = true,
        .shares = true,
        .create = source_create,
        .destroy = hash_destroy,
        .pick = source_pick,
};
const struct picker_ops pick_uri = {
        .balance = LB_BALANCE_URI,
        .counts = true,
        .shares = true,
        .create = uri_create,
        .destroy = hash_destroy,
        .pick = uri_pick,
};
const struct picker_ops pick_header = {
        .balance = LB_BALANCE_HEADER,
        .counts = true,
        .shares = true,
        .create = header_create,
        .destroy = hash_destroy,
        .pick = header_pick,
};
