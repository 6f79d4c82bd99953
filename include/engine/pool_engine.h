/* The workers of the pool engine: threads that take connections off the queue and run the service on them, blocking. */
#ifndef TPLB_ENGINE_POOL_ENGINE_H
#define TPLB_ENGINE_POOL_ENGINE_H

#include "engine/acceptor.h"
#include "engine/async.h"
#include "net/io_blocking.h"
#include "work/pool.h"

struct hand;

struct pool_worker {
	struct worker worker;
	struct io_blocking io;
	struct queue *queue;
	struct hand *hand; /* its thread's: what it has in hand; NULL between bursts */
	bool started;      /* service.worker_start has been called */
};

struct pool_engine {
	const struct engine_options *options;
	struct acceptor *acceptor;
	struct lot *lot;
	struct queue *queue;
	struct async *async; /* loops for what would hold a worker for too long; NULL: it stays */
	struct pool *pool;
	struct pool_worker
	        *workers; /* options->workers of them; each touched by its thread only, once the pool runs */
};

/* Makes the workers and starts the threads. counters: one set a worker. False on failure, *why then tells. */
bool pool_engine_start(struct pool_engine *p, struct counters *counters, const char **why);

/* Joins the threads, which finish what is queued, and frees the workers. Also after a failed start. */
void pool_engine_stop(struct pool_engine *p);

#endif
