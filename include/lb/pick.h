/*
 * Which server gets a request. A policy is one file pick_NAME.c, its row in pick.c and its name in config.c. Picking never waits, looks at
 * each server a few times and asks the policy at most four times (panic: both for those up and those down), whatever state they are in.
 */
#ifndef TPLB_LB_PICK_H
#define TPLB_LB_PICK_H

#include "http/head.h"
#include "lb/config.h"
#include "lb/upstream.h"

/* Servers of one upstream, by index. */
struct server_set {
	uint64_t bits[LB_SERVERS_MAX / 64];
};

static inline void server_set_add(struct server_set *s, unsigned i)
{
	s->bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline bool server_set_has(const struct server_set *s, unsigned i)
{
	return (s->bits[i / 64] >> (i % 64)) & 1;
}

/* What a policy may look at. */
struct pick_request {
	const struct addr_ip *client;
	const struct http_head *head; /* NULL in tcp mode */
	struct server_set tried;      /* servers that could not be reached: not again */
	const struct server *wanted;  /* first of all, if it is up or draining; NULL: none is */
	bool in_panic;                /* set by pick_server: it is down, and is asked all the same */
};

struct picker_ops {
	enum lb_balance balance;
	bool counts; /* it looks at server.load */
	bool shares; /* it looks at server_share itself: nobody is passed over for a smaller one */
	/* NULL when memory is out. header: of "header:NAME", NULL else; it outlives the picker. */
	struct picker *(*create)(const struct upstream *u, const char *header);
	void (*destroy)(struct picker *p);
	/* A server's weight is another one, while others pick. NULL: it looks at them itself. False when memory is out. One caller at a time. */
	bool (*weigh)(struct picker *p, const struct upstream *u);
	/* The index of one of the first u->primaries servers that were not tried; there is one. Any thread. */
	unsigned (*pick)(struct picker *p, const struct upstream *u, const struct pick_request *r);
};

/* First in every policy's own struct. */
struct picker {
	const struct picker_ops *ops;
};

extern const struct picker_ops pick_roundrobin, pick_leastconn, pick_random, pick_source, pick_uri,
        pick_header;

/* A picker for the upstream, whose servers are set already; NULL when memory is out. */
struct picker *picker_new(enum lb_balance balance, const char *header, const struct upstream *u);
void picker_free(struct picker *p);

/*
 * A server that was not tried yet, and adds it to r->tried: by the policy, as long as there is one that is up and no backup, then the
 * backups that are up in their order; then, where the upstream is to panic, those that are down in the same way. u->count when there is none
 * left. In a slow start, or with a smaller share, a server is passed over by a throw of dice, unless there is no other.
 */
unsigned pick_server(struct upstream *u, struct pick_request *r);

/*
 * From now on the server has this weight, 1 to LB_WEIGHT_MAX, whatever the configuration says; requests that are under way stay where they are. False when memory
 * is out: then nothing has changed. One caller at a time; others pick meanwhile.
 */
bool server_weigh(struct upstream *u, struct server *s, unsigned weight);

/* As the configuration or a command has it. */
static inline unsigned server_said_weight(const struct server *s)
{
	return atomic_load_explicit(&s->weight, memory_order_relaxed);
}

/* Its weight, in 256ths: less by its SRV record, but not in a slow start. */
static inline uint64_t server_whole_weight(const struct server *s)
{
	return (uint64_t)server_said_weight(s) * server_share(s);
}

/* Of 256, what a slow start lets it have already. */
static inline unsigned server_ramp(const struct server *s)
{
	return 256 - atomic_load_explicit(&s->held_back, memory_order_relaxed);
}

/* Its weight, in 65536ths: less in a slow start, or by its SRV record. */
static inline uint64_t server_weight(const struct server *s)
{
	return server_whole_weight(s) * server_ramp(s);
}

/* Whether `a` has fewer requests for its weight than `b`. */
static inline bool server_is_freer(const struct server *a, const struct server *b)
{
	uint64_t x = (uint64_t)atomic_load_explicit(&a->load->active, memory_order_relaxed);
	uint64_t y = (uint64_t)atomic_load_explicit(&b->load->active, memory_order_relaxed);

	return x * server_weight(b) < y * server_weight(a);
}

#endif
