/* The load balancer's root: configuration, upstreams, and the service that the engine runs. */
#ifndef TPLB_LB_LB_H
#define TPLB_LB_LB_H

#include "engine/engine.h"
#include "engine/service.h"
#include "lb/clients.h"
#include "lb/config.h"
#include "lb/rate.h"
#include "lb/tally.h"
#include "lb/upstream.h"

struct lb;

/* One of lb_config's listeners, as it runs. */
struct lb_listener {
	struct lb *lb;
	const char *name;
	size_t cells; /* where its cells begin, in each worker's row (struct lb_row) */
	enum lb_mode mode;
	struct upstream *upstream;
	bool accept_proxy;
	_Atomic int64_t warn_at;       /* relaxed: a bad PROXY header is logged again from then on */
	struct rate *rate;             /* NULL: none */
	struct str rate_header;        /* whose value is the key of `rate`; empty: the address is */
	uint64_t past[LISTENER_CELLS]; /* balancer.lock: of configurations before that are over */
};

struct log;
struct log_format;

/* Exchanges that one worker began and ended; release, one writer. Over all workers the two are equal when none is under way. */
struct lb_uses {
	_Atomic uint64_t begun;
	_Atomic uint64_t ended;
};

/* A worker's own: the uses, then the cells (lb/tally.h) of all servers, upstreams and listeners, then a retry budget for each upstream. */
struct lb_row {
	struct lb_uses uses;
	_Atomic uint64_t cells[]; /* relaxed; one writer */
};

struct retry_budget;

/* What is made of one configuration. A reload makes the next one beside it: lb/balancer.h. */
struct lb {
	/* constant once started */
	const struct lb_config *config;
	unsigned upstream_count;
	struct upstream *upstreams;
	unsigned server_count;         /* of all upstreams */
	struct lb_listener *listeners; /* as many as the configuration's */
	struct clients *clients;       /* NULL: no limits.requests_per_client */
	unsigned workers;              /* ids of workers that there can be: loops, threads */
	unsigned idle_sets;            /* one that the pool shares, or one a loop */
	struct idle_set *idle;         /* [idle set][server] */
	char *rows;                    /* [worker], sparse; each on its own cache lines */
	size_t row_bytes;              /* from one worker's row to the next */
	size_t budgets;                /* in a row: the cell's number behind the last one */
	bool measures; /* somebody may look: requests are timed for the histograms, whatever the log says */
	_Atomic int *pipes; /* relaxed: left for bodies and tunnels; see wire/flow.h. NULL: none */
	const struct log_format *format; /* of the access log's lines; the balancer's */
	const struct log *log;           /* set before health; NULL: there is none */
	struct health *health;           /* set once, before it is published; NULL before */
	_Atomic(struct engine *) engine; /* set once, after engine_start; NULL before */

	_Atomic bool retired; /* release: another configuration has taken its place */
	_Atomic uint64_t
	        late_failures; /* relaxed: requests that we answered with 500 or more once it was retired */
};

/*
 * Builds the upstreams. workers: engine_sets. loops: of the async engine. from: what runs now, NULL at the start: what is known of servers that stand in
 * both is taken over, and loads, rates and clients are shared. NULL when memory is out. The configuration must outlive it.
 */
struct lb *lb_new(const struct lb_config *config, unsigned workers, unsigned loops, struct lb *from);
/* No exchange is under way, and no worker or loop has idle connections of it but those that the pool shares. */
void lb_free(struct lb *lb);

/* For engine_options.shelved, where besides this one there are others whose shelves have so much room (lb_shelf_room). */
size_t lb_shelved(const struct lb *lb, size_t others);
size_t lb_shelf_room(const struct lb *lb);

/* Starts the thread that sees to the servers' health. False: *why tells. Before engine_start. */
bool lb_watch_servers(struct lb *lb, const char **why);
/* Ends it: when no connection is left, and before engine_free, for it gives shelved ones back to the engine. */
/* False: a probe hangs; lb and what it stands on must not be freed, the process is to end. */
bool lb_unwatch_servers(struct lb *lb);

bool lb_is_draining(const struct lb *lb);

static inline struct lb_row *lb_row(const struct lb *lb, unsigned worker)
{
	return (struct lb_row *)(lb->rows + worker * lb->row_bytes);
}

/* One more, in a cell of the worker's row. By that worker. */
static inline void lb_count(const struct lb *lb, unsigned worker, size_t cell)
{
	cell_add(&lb_row(lb, worker)->cells[cell], 1);
}

/* Adds up n cells of each row, from this one on. Any thread. */
void lb_sum(const struct lb *lb, size_t from, unsigned n, uint64_t *sums);

/* The worker's, for one of the upstreams. */
struct retry_budget *lb_budget(const struct lb *lb, unsigned worker, const struct upstream *u);

/* By the worker with this id: an exchange begins, or ends. */
static inline void lb_begin_use(const struct lb *lb, unsigned worker)
{
	_Atomic uint64_t *n = &lb_row(lb, worker)->uses.begun;

	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_release);
}

static inline void lb_end_use(const struct lb *lb, unsigned worker)
{
	_Atomic uint64_t *n = &lb_row(lb, worker)->uses.ended;

	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_release);
}

/* Exchanges under way, or a moment ago. Exactly 0 only when no more are begun and none is left. */
uint64_t lb_uses(const struct lb *lb);

/* NULL: there is none. */
struct upstream *lb_find_upstream(const struct lb *lb, const char *name);
/* The server of `to` that is what s is in `of`: at the same address, and of several there the one with the same place among them. NULL: there is none. */
struct server *lb_same_server(const struct upstream *to, const struct upstream *of, const struct server *s);

/* The listener of lb at the same address; NULL: there is none. */
struct lb_listener *lb_same_listener(const struct lb *lb, const struct lb_listener *l);

/* The idle connections to a server that this worker may use, and keep. */
struct idle_set *lb_idle(const struct lb *lb, const struct worker *w, const struct server *s);

/* The server's address is another one, or none: what the pool keeps to the old one is closed. (A loop looks at its own itself.) Any thread. */
void lb_drop_idle(const struct lb *lb, const struct server *s);

/* Of the pool's idle connections closes those that servers have closed, or that were not needed for long. (A loop looks at its own itself.) Any thread. */
void lb_trim_idle(const struct lb *lb);

/* Pipes for splice(2) at most; two descriptors each. */
enum { LB_PIPES_MAX = 512 };

/*
 * What is kept to servers that stand in `to` too goes there, the rest is closed: a loop's own, by that loop; what the pool's threads share, any thread.
 */
void lb_hand_idle_on(const struct lb *lb, const struct lb *to, struct worker *w);
void lb_hand_shared_idle_on(const struct lb *lb, const struct lb *to);

#endif
