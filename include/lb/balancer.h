/*
 * What outlives a reload. A configuration that runs is a snapshot, a whole struct lb; there is one that new requests begin in, and as many older ones as have
 * requests under way that began in them.
 *
 * A listener's `front` says which snapshot a request begins in. A worker reads it and counts itself in (lb_begin_use), and must not be overtaken in between by
 * who frees the old one:
 *
 *	worker:  seq = odd;  l = front.now;  begun++ in l->lb;  seq = even
 *	reload:  front.now = next;  then, of each worker, once: seq is even
 *
 * Both sides' first two steps are sequentially consistent. So whoever was seen even has counted itself in, or will find the next one; from then on the old
 * snapshot's uses only fall, and when they are 0 it is freed. No cache line is written by two workers for that.
 */
#ifndef TPLB_LB_BALANCER_H
#define TPLB_LB_BALANCER_H

#include "base/lock.h"
#include "engine/service.h"
#include "lb/lb.h"
#include "lb/resolver.h"
#include "lb/supply.h"
#include "lb/watch.h"

/* Where a listener's connections find what to do: struct listener.app. Lives as long as the engine's record of the listener. */
struct front {
	_Atomic(struct lb_listener *) now;         /* seq_cst */
	_Atomic unsigned style;                    /* relaxed; how it refuses: STYLE_ */
	_Atomic(const struct log_format *) format; /* release, acquire: of the line about it */
	struct listener *listener;                 /* the engine's; who reloads */
	struct front *next;                        /* among those that leave; balancer.lock */
};
enum { STYLE_TCP = 1, STYLE_QUEUE_FIELD = 2, STYLE_PROXY = 4 };

/* One worker's; odd while it looks for a snapshot. */
struct reader {
	_Alignas(64) _Atomic unsigned seq;
};

struct snapshot {
	struct lb *lb;
	struct lb_config *config;  /* its own, or NULL: somebody else's */
	struct resolver *resolver; /* NULL: no name is looked up again, or it was retired */
	struct front **fronts;     /* of lb->config's listeners, while it is the one that runs */
	/* balancer.lock */
	struct snapshot *older;
	unsigned pins;      /* threads that look at it (balancer_pin) */
	bool *cleared;      /* [loop]: it has closed its idle connections */
	unsigned passed;    /* readers below it were seen even since it was retired */
	int64_t since;      /* when it was retired */
	uint64_t number;    /* then: among those that have run, from 1; 0: it was taken back */
	uint64_t under_way; /* then */
};

/* What a snapshot left that is over. */
struct balancer_end {
	uint64_t number;    /* its */
	uint64_t under_way; /* requests, when it was retired */
	uint64_t lost;      /* of them */
};
enum { BALANCER_ENDS = 8 };

struct balancer {
	/* constant once started */
	unsigned workers, loops;
	struct reader *readers; /* [worker], sparse */
	struct engine *engine;
	const struct log *log;     /* set before the start; NULL: there is none */
	struct clients *connected; /* NULL: no limits.connections_per_client */
	struct clients *unwelcome; /* connections of theirs that are being refused; with `connected` */
	_Atomic int pipes;         /* relaxed: left for bodies and tunnels; see wire/flow.h */

	struct lock lock;                        /* held for moments, by nobody on the path of a request */
	struct snapshot *now;                    /* lock; written by who reloads, who may read it without */
	struct snapshot *old;                    /* lock: those that are not over yet, the youngest first */
	uint64_t replaced;                       /* lock: snapshots that have run and do no more */
	uint64_t under_way;                      /* lock: in the last of them, then */
	struct balancer_end ends[BALANCER_ENDS]; /* lock: at its number modulo their count */
	struct front *leaving;                   /* lock */
	struct log_format
	        *formats; /* who reloads: each text once; they stay, for a refusal is held by no snapshot */
	uint64_t past[COUNTER_COUNT]; /* lock: of threads of snapshots that are gone */
	struct watch watch;           /* of who looks after the threads; its `reports` are read by others */
};

/* workers: engine_sets. loops: of the async engine. NULL when memory is out. */
struct balancer *balancer_new(unsigned workers, unsigned loops);
/* The first snapshot, without threads: for what runs without an engine. False when memory is out. */
bool balancer_build(struct balancer *b, const struct lb_config *config);
/* The first snapshot, with its threads. The configuration is the caller's, and outlives it. False: *why tells. */
bool balancer_start(struct balancer *b, const struct lb_config *config, const char **why);
/* For the listener of the first configuration: its struct listener.app. */
void *balancer_front(struct balancer *b, unsigned listener);
/* The engine runs, with the first configuration's listeners. */
void balancer_attach(struct balancer *b, struct engine *engine);

/* What the engine is to call. */
struct service lb_service(struct balancer *b);

/* By a worker: where the connection's next request begins, and whose lb it has begun a use of. */
struct lb_listener *balancer_enter(struct balancer *b, struct worker *w, const struct conn *c);
/* By a loop, about once a second: sees to its idle connections. */
void balancer_tick(struct balancer *b, struct worker *w);
/* By a worker that ends. */
void balancer_leave(struct balancer *b, struct worker *w);

/* How a connection is refused before its request is looked at. Any thread. */
struct refusal_style {
	bool is_tcp, queue_field, accepts_proxy;
	const struct log_format *format;
};
struct refusal_style balancer_refusal_style(const struct conn *c);

/* What runs, for who wants to look at it: it stays until the unpin. Any thread; never waits. */
struct lb *balancer_pin(struct balancer *b);
void balancer_unpin(struct balancer *b, const struct lb *lb);

/* Sums over all there was since the start. Any thread. */
uint64_t balancer_counter(struct balancer *b, enum counter_id id);
/* The same of what lb/tally.h has, of a server, upstream or listener of a configuration that is pinned. One that came and stays has lost nothing. */
void balancer_server_sums(
        struct balancer *b, const struct upstream *u, const struct server *s, uint64_t sums[SERVER_CELLS]);
void balancer_upstream_sums(struct balancer *b, const struct upstream *u, uint64_t sums[UPSTREAM_CELLS]);
void balancer_listener_sums(struct balancer *b, const struct lb_listener *l, uint64_t sums[LISTENER_CELLS]);
/* The listener's connections; zeros when it has left. */
struct balancer_listener {
	struct addr addr; /* where it listens */
	unsigned open;
	uint64_t accepted;
};
struct balancer_listener balancer_listener(struct balancer *b, const struct lb_listener *l);
void balancer_server_counts(struct balancer *b, const struct upstream *u, const struct server *s,
        uint64_t *requests, uint64_t *failures);
/* Requests that were under way in the snapshot that was replaced last, when it was: what balancer_is_over tells of it. */
uint64_t balancer_under_way(struct balancer *b);
/* Snapshots that are not over yet, beside the one that runs. */
unsigned balancer_old(struct balancer *b);

/* The number of the snapshot that was replaced last; 0: none was. */
uint64_t balancer_replaced(struct balancer *b);
/* False: the snapshot of that number is not over yet, and so many requests are under way in it. True: *end tells; its number is 0 where that is not known any more, of one long before the last. */
bool balancer_is_over(struct balancer *b, uint64_t number, struct balancer_end *end, uint64_t *under_way);
/* The line about one that is over. */
enum { BALANCER_END_BYTES = 160 };
void balancer_end_text(const struct balancer_end *end, char text[BALANCER_END_BYTES]);

/*
 * Another configuration, checked and resolved, takes the place of the one that runs: new listeners are opened first, through the supply; then requests begin
 * in it, and the listeners that it has no more leave. False: nothing has changed, why tells. The configuration is the balancer's in either case; it is
 * freed when it is not needed any more. One caller at a time. What was done goes to the log and to out, which may be NULL.
 */
enum { BALANCER_WHY_BYTES = 512 };
bool balancer_change(struct balancer *b, struct lb_config *config, const struct supply *supply, FILE *out,
        char why[BALANCER_WHY_BYTES]);

/* What a name's slots hold in the snapshot that runs; false: it is not known there. By who reloads. */
bool balancer_targets(const struct balancer *b, const struct lb_config_upstream *u,
        const struct lb_config_server *s, struct target *out);

/* Sees to snapshots that are not over, and frees those that are. When to look again; CLOCK_NEVER: there is nothing to see to. By one thread. */
int64_t balancer_look(struct balancer *b);

/* When no connection is left, and before engine_free: ends all threads. False: a probe hangs, the process is to end. */
bool balancer_stop(struct balancer *b);
/* After engine_free; also when it was not started. NULL is allowed. */
void balancer_free(struct balancer *b);

/* Parts that the files of the balancer share. */

/* Built, with what is known of servers in the one that runs, but without threads. NULL when memory is out. */
struct snapshot *snapshot_new(struct balancer *b, const struct lb_config *config);
/* Starts its threads. False: *why tells, and some may run. */
bool snapshot_start(struct snapshot *s, const char **why);
void snapshot_free(struct snapshot *s);
struct front *front_new(void);
/* Requests begin there from now on. */
void front_set(struct front *f, struct lb_listener *l);

#endif
