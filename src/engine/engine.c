#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "engine/acceptor.h"
#include "engine/pool_engine.h"

struct engine {
	struct engine_options options; /* constant */
	struct counters *counters;     /* workers, then the acceptor */
	struct lot lot;
	struct queue *queue;
	struct acceptor acceptor;
	struct pool_engine pool;
	bool acceptor_runs;
};

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

static bool start_parts(struct engine *e, const char **why)
{
	prefer_batches();
	const struct engine_options *o = &e->options;

	*why = "out of memory";
	e->counters = counters_new(o->workers + 1);
	e->queue = queue_new(o->queue_size, runnable_workers(), o->hold_connection ? 1 : o->burst);
	if (!lot_init(&e->lot, o->name, o->connections + ENGINE_REFUSAL_RECORDS, why) || !e->counters ||
	        !e->queue)
		return false;
	e->acceptor = (struct acceptor){.options = o,
	        .lot = &e->lot,
	        .queue = e->queue,
	        .counters = &e->counters[o->workers],
	        .log = o->log ? log_ring(o->log, o->workers) : NULL};
	e->pool = (struct pool_engine){
	        .options = o, .acceptor = &e->acceptor, .lot = &e->lot, .queue = e->queue};
	if (!pool_engine_start(&e->pool, e->counters, why))
		return false;
	int error = acceptor_start(&e->acceptor);
	if (error != 0)
		*why = strerror(error);
	e->acceptor_runs = error == 0;
	return e->acceptor_runs;
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
	acceptor_drain(&e->acceptor);
}

bool engine_is_draining(const struct engine *e)
{
	return acceptor_is_draining(&e->acceptor);
}

unsigned engine_wait(struct engine *e)
{
	PTHREAD_OK(pthread_join(e->acceptor.thread, NULL));
	e->acceptor_runs = false;
	return atomic_load(&e->acceptor.cut);
}

void engine_free(struct engine *e)
{
	MUST(!e->acceptor_runs);
	if (e->pool.options)
		pool_engine_stop(&e->pool);
	lot_free(&e->lot);
	queue_free(e->queue);
	free(e->counters);
	free(e);
}

const struct counters *engine_counters(const struct engine *e, unsigned *count)
{
	*count = e->options.workers + 1;
	return e->counters;
}

unsigned engine_connections(const struct engine *e)
{
	return atomic_load_explicit(&e->lot.table.open, memory_order_relaxed);
}
