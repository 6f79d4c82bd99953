#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/async.h"
#include "engine/pool_acceptor.h"
#include "engine/pool_engine.h"

struct engine {
	struct engine_options options;  /* constant */
	struct counters *counters;      /* loops, the pool's acceptor, workers */
	_Atomic unsigned total;         /* see conn_table.h */
	_Atomic unsigned listening_now; /* see acceptor.h */
	struct lingerer *lingerer;
	struct async *async; /* the loops; NULL: none */
	/* the pool engine's */
	struct lot lot;
	struct queue *queue;
	struct pool_acceptor acceptor;
	struct pool_engine pool;
	bool acceptor_runs;
};

unsigned engine_sets(const struct engine_options *o)
{
	return o->kind == ENGINE_ASYNC ? o->loops : o->loops + 1 + pool_engine_most(o);
}

/*
 * How many workers are kept awake. More than the cores would only take turns; but the kernel shares a contended machine
 * among its runnable threads, so with no more than the cores the pool loses to its neighbours. Twice was best (doc/performance.md).
 */
static unsigned runnable_workers(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores > 0 ? 2 * (unsigned)cores : 2;
}

/*
 * The threads started from here on do not preempt whom they wake up beside: the servers and clients of a busy machine get
 * to finish a batch, and so do we (doc/performance.md). A preference; where it is not granted all works as well.
 */
static void prefer_batches(void)
{
	struct sched_param none = {.sched_priority = 0};

	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

static bool start_loops(struct engine *e, struct acceptor *pool, const char **why)
{
	struct async_options options = {.engine = &e->options,
	        .counters = e->counters,
	        .lingerer = e->lingerer,
	        .total = &e->total,
	        .listening_now = &e->listening_now,
	        .pool = pool};

	atomic_store(&e->listening_now, pool ? 1 : e->options.loops);
	e->async = async_start(&options, why);
	return e->async != NULL;
}

static bool start_pool(struct engine *e, const char **why)
{
	const struct engine_options *o = &e->options;
	unsigned id = o->loops; /* behind the loops' own; the workers' follow */

	*why = "out of memory";
	e->queue = queue_new(o->queue_size, runnable_workers(), o->hold_connection ? 1 : o->burst);
	if (!e->queue || !queue_reserve(e->queue, o->shelved))
		return false;
	queue_set_rule(e->queue, o->queue_rule);
	if (!lot_init(&e->lot, NULL, e->lingerer, o->connections + ENGINE_REFUSAL_RECORDS, &e->total, why))
		return false;
	e->lot.service = &o->service;
	e->acceptor.acceptor = (struct acceptor){.options = o,
	        .lot = &e->lot,
	        .queue = e->queue,
	        .sheds = o->queue_rule.discipline == QUEUE_CODEL,
	        .counters = &e->counters[id],
	        .log = o->log ? log_ring(o->log, id) : NULL,
	        .listening_now = &e->listening_now};
	atomic_store(&e->listening_now, 1);
	if (o->loops > 0 && !start_loops(e, &e->acceptor.acceptor, why))
		return false;
	e->pool = (struct pool_engine){.options = o,
	        .acceptor = &e->acceptor.acceptor,
	        .lot = &e->lot,
	        .queue = e->queue,
	        .async = e->async,
	        .first_id = id + 1,
	        .counters = e->counters};
	if (!pool_engine_start(&e->pool, why))
		return false;
	int error = pool_acceptor_start(&e->acceptor);
	if (error != 0)
		*why = strerror(error);
	e->acceptor_runs = error == 0;
	return e->acceptor_runs;
}

static bool start_parts(struct engine *e, const char **why)
{
	int error;

	prefer_batches();
	*why = "out of memory";
	e->counters = counters_new(engine_sets(&e->options));
	if (!e->counters)
		return false;
	e->lingerer = lingerer_start(e->options.name, lot_done_lingering, &error);
	if (!e->lingerer) {
		*why = strerror(error);
		return false;
	}
	return e->options.kind == ENGINE_ASYNC ? start_loops(e, NULL, why) : start_pool(e, why);
}

struct engine *engine_start(const struct engine_options *options, const char **why)
{
	struct engine *e = calloc(1, sizeof(*e));

	*why = "out of memory";
	if (!e)
		return NULL;
	e->options = *options;
	if (start_parts(e, why))
		return e;
	engine_free(e);
	return NULL;
}

void engine_drain(struct engine *e)
{
	if (e->options.kind == ENGINE_ASYNC)
		async_drain(e->async);
	else
		acceptor_drain(&e->acceptor.acceptor);
}

bool engine_is_draining(const struct engine *e)
{
	return e->options.kind == ENGINE_ASYNC ? async_is_draining(e->async)
	                                       : acceptor_is_draining(&e->acceptor.acceptor);
}

unsigned engine_wait(struct engine *e)
{
	if (e->options.kind == ENGINE_ASYNC)
		return async_wait(e->async);
	PTHREAD_OK(pthread_join(e->acceptor.thread, NULL));
	e->acceptor_runs = false;
	return atomic_load(&e->acceptor.acceptor.cut);
}

void engine_resume(struct engine *e, struct conn *c, void *exchange)
{
	c->exchange = exchange;
	c->resumes = true;
	if (e->options.kind == ENGINE_ASYNC) {
		async_give_back(c);
		return;
	}
	/* It has waited already: it is next. There is room, by queue_reserve; and the queue is open, for a connection is. */
	bool fits = queue_return(e->queue, (struct queue_item){.what = c, .since = CLOCK_NEVER});
	MUST(fits);
}

void engine_free(struct engine *e)
{
	MUST(!e->acceptor_runs);
	if (e->pool.options)
		pool_engine_stop(&e->pool);
	if (e->async)
		async_stop(e->async);
	if (e->lingerer)
		lingerer_stop(e->lingerer);
	if (e->async)
		async_free(e->async);
	if (e->queue)
		lot_free(&e->lot);
	queue_free(e->queue);
	counters_free(e->counters, engine_sets(&e->options));
	free(e);
}

const struct counters *engine_counters(const struct engine *e, unsigned *count)
{
	*count = e->options.kind == ENGINE_ASYNC ? e->options.loops : pool_engine_ids(&e->pool);
	return e->counters;
}

struct engine_queue engine_queue(const struct engine *e)
{
	struct engine_queue state = {0};
	int64_t oldest = CLOCK_NEVER;

	if (e->options.kind == ENGINE_ASYNC) {
		state.depth = async_queued(e->async, &oldest);
	} else {
		state.depth = queue_depth(e->queue);
		oldest = queue_oldest(e->queue);
	}
	int64_t now = clock_now();
	if (oldest < now)
		state.age = now - oldest;
	return state;
}

unsigned engine_resize(struct engine *e, unsigned workers, int *error)
{
	MUST(e->options.kind == ENGINE_POOL);
	return pool_resize(e->pool.pool, workers, error);
}

unsigned engine_workers(const struct engine *e)
{
	return e->options.kind == ENGINE_POOL ? pool_workers(e->pool.pool) : 0;
}

unsigned engine_connections(const struct engine *e)
{
	return e->options.kind == ENGINE_ASYNC
	               ? async_connections(e->async)
	               : atomic_load_explicit(&e->lot.table.open, memory_order_relaxed);
}
