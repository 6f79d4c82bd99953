/*
 * Whether a server is given requests. Three have a say, and one lock an upstream keeps them apart:
 *
 *	probes      health.h asks each server now and then: `rise` good ones in a row bring it up, `fall` bad ones down
 *	requests    `passive.max_fails` of them in a row bring it down. Where there are no probes it is looked at again after
 *	            `fail_timeout`, and comes up when it takes a connection, on probation: one more failure and it is down again
 *	operator    drain, maint, ready
 *
 * A name's empty slot is absent, whatever they say.
 *
 * Each change of state is logged once, with its reason. A server that came up starts slowly: see upstream.slow_start.
 * Times are CLOCK_MONOTONIC ns. Any thread, unless told otherwise.
 */
#ifndef TPLB_LB_STANDING_H
#define TPLB_LB_STANDING_H

#include "lb/upstream.h"

static inline enum server_state server_state(const struct server *s)
{
	return (enum server_state)atomic_load_explicit(&s->state, memory_order_relaxed);
}

static inline bool server_is_down(enum server_state state)
{
	return state == SERVER_DOWN || state == SERVER_DOWN_DRAINING;
}

/* "up", "down", "draining", "maint", "absent". */
const char *server_state_name(enum server_state state);

/* At the start: in the state that the configuration gives it, or absent. Before other threads know it. */
void standing_init(struct server *s, enum lb_server_state wanted, bool present, int64_t now);

/*
 * What `before`, the same server in the configuration that runs, knows of itself is taken over, unless it is at another address; where the file asks for
 * another state than it did, for that. Before other threads know s.
 */
void standing_inherit(
        struct upstream *u, struct server *s, struct upstream *before_u, struct server *before, int64_t now);

/* Whether it is to be counted in upstream.impaired. */
bool standing_is_impaired(const struct server *s);

/* A request's failure; what: "connect: Connection refused". True: that brought it down, and somebody should look after it (health_wake). */
bool standing_failed(struct upstream *u, struct server *s, const char *what, int64_t now);

/* A request went well. in_panic: the server was down and was asked all the same. True: it is up again. */
bool standing_succeeded(struct upstream *u, struct server *s, bool in_panic, int64_t now);
/* Whether that changes anything: as a rule it does not, and then nobody need look at the clock. */
static inline bool standing_awaits_success(const struct server *s, bool in_panic)
{
	return in_panic || atomic_load_explicit(&s->fails, memory_order_relaxed) > 0;
}

/* A probe's end; why: what was wrong with it. True: the state changed. */
bool standing_probed(struct upstream *u, struct server *s, bool good, const char *why, int64_t now);

/* It was looked at again after fail_timeout, as above. */
bool standing_rechecked(struct upstream *u, struct server *s, bool good, const char *why, int64_t now);

/* The operator's word. True: the state changed. */
bool standing_want(struct upstream *u, struct server *s, enum lb_server_state wanted, int64_t now);

/*
 * By the resolver: its slot was filled or emptied, or its address is another one. What was known of it is forgotten. why: what happened. True:
 * the state changed, and was logged with it.
 */
bool standing_moved(struct upstream *u, struct server *s, bool present, const char *why, int64_t now);

/* By the resolver: its share next to others is another one, of SHARE_FULL. */
void standing_share(struct upstream *u, struct server *s, unsigned share);

/* What is due, for the one thread that sees to it. */
struct standing_due {
	int64_t tick;    /* call standing_tick again then */
	int64_t recheck; /* look at it then; CLOCK_NEVER: not dead, or probes see to it */
	bool probes;     /* it may be probed */
};
/* Moves a slow start on. */
struct standing_due standing_tick(struct upstream *u, struct server *s, int64_t now);

/* What is known of it just now. */
struct standing standing_copy(struct upstream *u, struct server *s);
/* How often it went down. */
unsigned standing_downs(struct upstream *u, struct server *s);

#endif
