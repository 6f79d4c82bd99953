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
};

struct pool_engine {
	const struct engine_options *options;
	struct acceptor *acceptor;
	struct lot *lot;
	struct queue *queue;
	struct async *async;       /* loops for what would hold a worker for too long; NULL: it stays */
	unsigned first_id;         /* worker id of the pool's first thread */
	struct counters *counters; /* by worker id */
	struct board_row *board;   /* likewise */
	struct pool *pool;
	struct pool_worker *
	        workers; /* pool_engine_most of them, sparse; each touched by its thread only, while that runs */
	_Atomic unsigned
	        ids; /* worker ids used so far are below it; seq_cst: the sets below it are set up, and who works later sees what whoever does not see it yet has written before */
};

/* How many workers there can be. */
unsigned pool_engine_most(const struct engine_options *options);

/* Makes the workers and starts the threads. False on failure, *why then tells. */
bool pool_engine_start(struct pool_engine *p, const char **why);

/* Worker ids that have been used are below it. Any thread. */
unsigned pool_engine_ids(const struct pool_engine *p);

/* Joins the threads, which finish what is queued, and frees the workers. Also after a failed start. */
void pool_engine_stop(struct pool_engine *p);

#endif
