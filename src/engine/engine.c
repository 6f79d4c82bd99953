#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/async.h"
#include "engine/pool_acceptor.h"
#include "engine/pool_engine.h"

/* Acceptors never wait for long within a turn. */
#define UNLISTEN_PATIENCE_NS CLOCK_NS_PER_S

struct engine {
	struct engine_options options; /* constant */
	struct counters *counters;     /* loops, the pool's acceptor, workers */
	struct board_row *board;       /* likewise */
	_Atomic unsigned total;        /* see conn_table.h */
	struct acceptor_settings settings;
	struct lingerer *lingerer;
	struct async *async; /* the loops; NULL: none */
	/* the pool engine's */
	struct lot lot;
	struct queue *queue;
	struct pool_acceptor acceptor;
	struct pool_engine pool;
	bool acceptor_runs;
	bool started; /* the listening sockets are its own */
	struct listeners listeners;
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
	        .board = e->board,
	        .lingerer = e->lingerer,
	        .total = &e->total,
	        .listeners = &e->listeners,
	        .settings = &e->settings,
	        .pool = pool};

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
	        .settings = &e->settings,
	        .counters = &e->counters[id],
	        .row = &e->board[id],
	        .log = o->log ? log_ring(o->log, id) : NULL,
	        .listeners = &e->listeners};
	if (o->loops > 0 && !start_loops(e, &e->acceptor.acceptor, why))
		return false;
	e->pool = (struct pool_engine){.options = o,
	        .acceptor = &e->acceptor.acceptor,
	        .lot = &e->lot,
	        .queue = e->queue,
	        .async = e->async,
	        .first_id = id + 1,
	        .counters = e->counters,
	        .board = e->board};
	if (!pool_engine_start(&e->pool, why))
		return false;
	int error = pool_acceptor_start(&e->acceptor);
	if (error != 0)
		*why = strerror(error);
	e->acceptor_runs = error == 0;
	return e->acceptor_runs;
}

static void set_atomics(struct engine *e, const struct engine_settings *s)
{
	struct acceptor_settings *to = &e->settings;

	atomic_store_explicit(&to->queue_timeout, s->queue_timeout, memory_order_relaxed);
	atomic_store_explicit(&to->header_timeout, s->header_timeout, memory_order_relaxed);
	atomic_store_explicit(&to->drain, s->drain, memory_order_relaxed);
	atomic_store_explicit(&to->sheds, s->queue_rule.discipline == QUEUE_CODEL, memory_order_relaxed);
}

/* False: there are too many, or memory is out. */
static bool add_listeners(struct engine *e)
{
	for (unsigned i = 0; i < e->options.listener_count; i++)
		if (!listeners_add(&e->listeners, &e->options.listeners[i]))
			return false;
	return true;
}

static bool start_parts(struct engine *e, const char **why)
{
	int error;

	prefer_batches();
	*why = "out of memory";
	set_atomics(e, &(struct engine_settings){e->options.queue_timeout, e->options.queue_rule,
	                       e->options.header_timeout, e->options.drain});
	if (!add_listeners(e))
		return false;
	e->counters = counters_new(engine_sets(&e->options));
	e->board = board_new(engine_sets(&e->options));
	if (!e->counters || !e->board)
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
	listeners_init(&e->listeners, options->kind == ENGINE_ASYNC ? options->loops : 1);
	e->started = start_parts(e, why);
	if (e->started)
		return e;
	engine_free(e);
	return NULL;
}

static void wake_acceptors(struct engine *e)
{
	if (e->options.kind == ENGINE_ASYNC)
		async_wake(e->async);
	else
		lot_wake(&e->lot);
}

struct listener *engine_listen(struct engine *e, const struct listener *from)
{
	struct listener *l = listeners_add(&e->listeners, from);

	if (l)
		wake_acceptors(e);
	return l;
}

struct listener *engine_listener(struct engine *e, unsigned i)
{
	MUST(i < e->options.listener_count);
	return &e->listeners.slots[i];
}

void engine_unlisten(struct engine *e, struct listener *l)
{
	listeners_leave(&e->listeners, l);
	wake_acceptors(e);
	listeners_await_closed(&e->listeners, l, UNLISTEN_PATIENCE_NS);
}

bool engine_listener_is_gone(const struct listener *l)
{
	return listeners_is_gone(l);
}

void engine_forget(struct engine *e, struct listener *l)
{
	listeners_forget(&e->listeners, l);
}

void engine_set(struct engine *e, const struct engine_settings *s)
{
	set_atomics(e, s);
	if (e->options.kind == ENGINE_ASYNC)
		async_set_rule(e->async, s->queue_rule);
	else
		queue_set_rule(e->queue, s->queue_rule);
	wake_acceptors(e);
}

bool engine_set_shelved(struct engine *e, size_t shelved)
{
	return e->options.kind == ENGINE_ASYNC || queue_reserve(e->queue, shelved);
}

void engine_leave_files(struct engine *e)
{
	listeners_leave_files(&e->listeners);
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
	conn_is_at(c, CONN_AT_QUEUE);
	if (e->options.kind == ENGINE_ASYNC) {
		async_give_back(c);
		return;
	}
	/* It has waited already: it is next. There is room, by queue_reserve; and the queue is open, for a connection is. */
	bool fits = queue_return(e->queue, (struct queue_item){.what = c, .since = CLOCK_NEVER});
	MUST(fits);
}

const struct lot *engine_lot(const struct engine *e, unsigned i)
{
	if (e->options.kind == ENGINE_ASYNC)
		return async_lot(e->async, i);
	return i == 0 ? &e->lot : NULL;
}

void engine_listener_name(struct engine *e, unsigned slot, char *out, size_t size)
{
	listeners_name(&e->listeners, slot, out, size);
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
	unsigned used;
	(void)engine_board(e, &used);
	board_free(e->board, engine_sets(&e->options), used);
	listeners_free(&e->listeners, e->started);
	free(e);
}

const struct counters *engine_counters(const struct engine *e, unsigned *count)
{
	*count = e->options.kind == ENGINE_ASYNC ? e->options.loops : pool_engine_ids(&e->pool);
	return e->counters;
}

const struct board_row *engine_board(const struct engine *e, unsigned *count)
{
	*count = e->options.kind == ENGINE_ASYNC ? e->options.loops : pool_engine_ids(&e->pool);
	return e->board;
}

struct board_row *engine_rows(struct engine *e, unsigned *count)
{
	(void)engine_board(e, count);
	return e->board;
}

enum engine_seat engine_seat(const struct engine *e, unsigned id, char name[ENGINE_SEAT_BYTES])
{
	unsigned loops = e->options.loops;

	if (id < loops) {
		snprintf(name, ENGINE_SEAT_BYTES, "loop%u", id);
		return SEAT_LOOP;
	}
	if (id == loops) {
		snprintf(name, ENGINE_SEAT_BYTES, "accept");
		return SEAT_ACCEPTOR;
	}
	snprintf(name, ENGINE_SEAT_BYTES, "%u", id - loops - 1);
	return SEAT_WORKER;
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
