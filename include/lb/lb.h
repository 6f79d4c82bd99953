/* The load balancer's root: configuration, upstreams, and the service that the engine runs. */
#ifndef TPLB_LB_LB_H
#define TPLB_LB_LB_H

#include "engine/engine.h"
#include "engine/service.h"
#include "lb/clients.h"
#include "lb/config.h"
#include "lb/rate.h"
#include "lb/upstream.h"

/* One of lb_config's listeners, as it runs: what struct listener.app points to. */
struct lb_listener {
	enum lb_mode mode;
	struct upstream *upstream;
	bool accept_proxy;
	_Atomic int64_t warn_at; /* relaxed: a bad PROXY header is logged again from then on */
	struct rate *rate;       /* NULL: none */
	struct str rate_header;  /* whose value is the key of `rate`; empty: the address is */
};

struct log;

/* Counts of one server, kept by one worker. */
struct server_counters {
	_Atomic uint64_t requests; /* relaxed; one writer: exchanges that this server was given */
	_Atomic uint64_t failures; /* likewise: connects and answers that failed */
};

struct lb {
	/* constant once started */
	const struct lb_config *config;
	unsigned upstream_count;
	struct upstream *upstreams;
	unsigned server_count;           /* of all upstreams */
	struct lb_listener *listeners;   /* as many as the configuration's */
	struct clients *clients;         /* NULL: no limits.requests_per_client */
	struct clients *connected;       /* NULL: no limits.connections_per_client */
	struct clients *unwelcome;       /* connections of theirs that are being refused; with `connected` */
	unsigned workers;                /* ids of workers that there can be: loops, threads */
	unsigned idle_sets;              /* one that the pool shares, or one a loop */
	struct idle_set *idle;           /* [idle set][server] */
	struct server_counters *counts;  /* [worker][server], sparse; a row on its own cache lines */
	size_t counts_row;               /* entries from one worker's row to the next */
	_Atomic int pipes;               /* relaxed: left for bodies and tunnels; see wire/flow.h */
	const struct log *log;           /* set before health; NULL: there is none */
	struct health *health;           /* set once, before engine_start; NULL before */
	_Atomic(struct engine *) engine; /* set once, after engine_start; NULL before */
};

/* Builds the upstreams. workers: engine_sets. loops: of the async engine. NULL when memory is out. The configuration must outlive it. */
struct lb *lb_new(const struct lb_config *config, unsigned workers, unsigned loops);
/* After the engine was freed. */
void lb_free(struct lb *lb);

/* What the engine is to call. */
struct service lb_service(struct lb *lb);

/* For engine_options.shelved. */
size_t lb_shelved(const struct lb *lb);

/* Starts the thread that sees to the servers' health. False: *why tells. Before engine_start. */
bool lb_watch_servers(struct lb *lb, const char **why);
/* Ends it: when no connection is left, and before engine_free, for it gives shelved ones back to the engine. */
/* False: a probe hangs; lb and what it stands on must not be freed, the process is to end. */
bool lb_unwatch_servers(struct lb *lb);

bool lb_is_draining(const struct lb *lb);

static inline struct server_counters *lb_counts(const struct lb *lb, unsigned worker, unsigned server)
{
	return &lb->counts[worker * lb->counts_row + server];
}

/* The idle connections to a server that this worker may use, and keep. */
struct idle_set *lb_idle(const struct lb *lb, const struct worker *w, const struct server *s);

/* The server's address is another one, or none: what the pool keeps to the old one is closed. (A loop looks at its own itself.) Any thread. */
void lb_drop_idle(const struct lb *lb, const struct server *s);

/* Of the pool's idle connections closes those that servers have closed, or that were not needed for long. (A loop looks at its own itself.) Any thread. */
void lb_trim_idle(const struct lb *lb);

/* Pipes for splice(2) at most; two descriptors each. */
enum { LB_PIPES_MAX = 512 };

/* Sums over all workers. */
uint64_t lb_server_requests(const struct lb *lb, unsigned server);
uint64_t lb_server_failures(const struct lb *lb, unsigned server);

#endif
