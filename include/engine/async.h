/*
 * Loops with fibers. In the async engine they are all there is: each accepts, parks, and serves a request on a fiber, with a
 * lot, a queue, a store of fibers and counters of its own. In the pool engine they run what would hold a thread for too long.
 */
#ifndef TPLB_ENGINE_ASYNC_H
#define TPLB_ENGINE_ASYNC_H

#include "engine/acceptor.h"

struct async;

/* What the loops share with the rest of the engine. Constant. */
struct async_options {
	const struct engine_options *engine;
	struct counters *counters; /* one set a loop; its worker id is its number */
	struct board_row *board;   /* one row a loop, likewise */
	struct lingerer *lingerer; /* for lots of their own */
	_Atomic unsigned *total;   /* see conn_table.h */
	struct listeners *listeners;
	const struct acceptor_settings *settings;
	struct acceptor *
	        pool; /* the pool's acceptor, whose connections are served; NULL: the loops accept themselves */
};

/* Starts the threads. NULL on failure, *why then tells. */
struct async *async_start(const struct async_options *options, const char **why);

/* Any thread that owns the connection: end() is called on a fiber with its `exchange`. Never waits. */
void async_give(struct async *a, struct conn *c);

/* Where the loops accept themselves: begin() is called on a fiber of the connection's own loop. Any thread. Never waits. */
void async_give_back(struct conn *c);

/* Where the loops accept themselves: they look at the listeners again; ... */
void async_wake(struct async *a);
/* ... their queues have another rule; ... */
void async_set_rule(struct async *a, struct queue_rule rule);
/* ... and they drain. */
void async_drain(struct async *a);
bool async_is_draining(const struct async *a);
/* Waits until a drained engine has no connection left or the drain's time has passed. How many were cut. */
unsigned async_wait(struct async *a);
/* Of its i-th loop; NULL: there is none. */
const struct lot *async_lot(const struct async *a, unsigned i);
unsigned async_connections(const struct async *a);
/* How many requests wait in the loops' queues; *oldest: when the first of them was put, CLOCK_NEVER when there is none. Any thread. */
size_t async_queued(const struct async *a, int64_t *oldest);

/* Lets the fibers finish (none is left where the loops accept) and joins. */
void async_stop(struct async *a);
/* When also the lingerer has ended. */
void async_free(struct async *a);

#endif
