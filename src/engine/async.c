/*
 * The same service calls as a worker of the pool makes, in the same order; only that they run on a fiber, and so nothing has to be passed
 * on before a wait:
 *
 *	serve    begin ─> (end) ─> settle, again and again until the connection is parked or closed
 *	finish   end ─> settle, for an exchange that a worker of the pool has begun
 *
 * All fibers of a loop busy: requests wait in the loop's part of the bounded queue, with the same limits and refusals.
 */
#include "engine/async.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/settle.h"

enum {
	HELPERS = 4,
	BEGUN_A_TURN = 32,
	PASS_SLACK = 8, /* a loop has so many connections more than another before it passes one on */
	KEEP_GIVEN = 32 /* buffers that came with exchanges from the pool: its threads make their own again */
};

#define TICK_NS CLOCK_NS_PER_S
#define RETRY_NS (10 * CLOCK_NS_PER_MS) /* when there was no memory for a fiber */
#define TRIM_NS (10 * CLOCK_NS_PER_S)

struct async_loop {
	/* constant once started */
	struct async *async;
	unsigned index;
	pthread_t thread;
	bool has_lot; /* it accepts, and parks in a lot of its own */
	/* its thread's, but for what these say themselves */
	struct loop loop;
	struct worker worker;
	struct lot lot;
	struct queue *queue;
	struct acceptor acceptor;
	struct acceptor *home;            /* its own, or the pool's */
	struct conn *given, **given_last; /* by the pool, and no fiber was free yet */
	int64_t tick_at;
	int64_t trim_at;  /* when buffers that were not needed are freed next */
	int64_t retry_at; /* not before then is a queued one begun: past, as a rule */
	int64_t taken_at; /* about when those are begun that are just being begun */
	unsigned begun;   /* this turn */
	bool stamped;     /* acceptor.now is of this turn */
	bool is_open;     /* `loop` is */
	_Atomic unsigned
	        coming;    /* connections passed to it that it has not taken yet; relaxed: it only weighs */
	_Atomic bool stop; /* set by async_stop, seq_cst */
	int error;         /* of the start: an errno; read after `started` was posted */
};

struct async {
	struct async_options options;
	struct helpers *helpers;
	sem_t started; /* posted by each loop's thread once it could run, or cannot */
	sem_t go;      /* posted for each when all have said so; `failed` is constant from then on */
	bool failed;
	bool joined;
	_Atomic unsigned next; /* relaxed: whom the pool gives to next */
	unsigned count;
	struct async_loop *loops[ENGINE_LOOPS_MAX];
};

/* A connection on its way from the loop that accepted it to another. */
struct passed {
	struct loop_message message;
	unsigned listener, hops;
	int fd;
	bool has_peer;
	struct addr peer;
};

/* What the board tells ---------------------------------------------------------------------------------------*/

static const uint64_t between_fibers = DOING_TURN | (uint64_t)UINT32_MAX << BOARD_FD_SHIFT;

static void on_sleep(void *arg, bool asleep)
{
	struct async_loop *l = arg;

	board_step(l->worker.row, asleep ? DOING_IDLE : DOING_TURN, LABEL_NONE, -1);
}

static uint64_t on_leave(void *arg)
{
	struct async_loop *l = arg;
	uint64_t kept = board_get(l->worker.row);

	/* A trace need not know: the next fiber begins at once, or else the loop tells what it does. */
	board_put(l->worker.row, between_fibers);
	return kept;
}

static void on_return(void *arg, uint64_t kept)
{
	struct async_loop *l = arg;

	board_switch(l->worker.row, kept);
}

/* On a fiber ---------------------------------------------------------------------------------------------------*/

static struct async_loop *loop_of_io(struct io *io)
{
	return (struct async_loop *)((char *)io - offsetof(struct async_loop, loop));
}

/* A connection of the pool's leaves the loop with the verdict. */
static bool settle_at_home(struct async_loop *l, struct conn *c, struct verdict v, unsigned turns)
{
	board_next(l->worker.row, DOING_SETTLE, LABEL_NONE, c->fd);
	worker_is_done(&l->worker, c);
	if (!l->has_lot)
		io_forget(&l->loop.io, c->fd);
	if (settle(l->home, &l->worker, c, v, turns))
		/* On with it where it belongs; or here, where there is no room. */
		return l->has_lot || !acceptor_requeue(l->home, c);
	return false;
}

static void serve_on(struct async_loop *l, struct conn *c, struct verdict v, void *exchange)
{
	const struct service *s = &l->async->options.engine->service;
	unsigned turns = 0;

	for (;;) {
		turns++;
		if (v.kind == VERDICT_WAIT)
			v = s->end(s->app, &l->worker, exchange);
		if (v.kind == VERDICT_SHELVED || !settle_at_home(l, c, v, turns))
			return;
		exchange = NULL;
		worker_goes_on(&l->worker, c);
		v = s->begin(s->app, &l->worker, c, &exchange);
	}
}

/* What a fiber is started with. */
struct task {
	struct async_loop *loop;
	struct conn *conn;
};

/* The task lives until the fiber first waits. */
static void serve(void *arg)
{
	struct task t = *(struct task *)arg;
	const struct service *s = &t.loop->async->options.engine->service;
	struct verdict v;

	CHECK_MAGIC(t.conn, CONN_MAGIC);
	board_hold(t.loop->worker.row, board_holds(t.loop->worker.row) + 1);
	void *exchange = t.conn->exchange;
	t.conn->exchange = NULL;
	conn_is_at(t.conn, CONN_AT_WORK);
	if (exchange && t.conn->resumes) {
		t.conn->resumes = false;
		v = s->begin(s->app, &t.loop->worker, t.conn, &exchange);
	} else if (exchange) {
		v = s->end(s->app, &t.loop->worker, exchange);
	} else {
		worker_takes(&t.loop->worker, t.conn, t.loop->taken_at);
		v = s->begin(s->app, &t.loop->worker, t.conn, &exchange);
	}
	serve_on(t.loop, t.conn, v, exchange);
	board_hold(t.loop->worker.row, board_holds(t.loop->worker.row) - 1);
	board_put(t.loop->worker.row, between_fibers);
}

/* In the loop --------------------------------------------------------------------------------------------------*/

static bool start_fiber(struct async_loop *l, struct conn *c)
{
	struct task task = {l, c};

	return loop_start(&l->loop, serve, &task);
}

/* The next in the queue. False: there is none, no fiber is free, or no memory for one; then it waits on. */
static bool start_next(struct async_loop *l)
{
	struct queue_item item;

	if (queue_depth(l->queue) == 0 || !fiber_is_free(&l->loop.fibers))
		return false;
	(void)queue_take(l->queue, &item, 1);
	if (start_fiber(l, item.what))
		return true;
	(void)queue_put_back(l->queue, item); /* there is room: it came from there */
	l->retry_at = clock_now() + RETRY_NS;
	return false;
}

/*
 * A few are begun in a turn, the others wait in the queue for the next: the answers that came meanwhile go first, and what is in
 * hand stays small enough for the caches (doc/performance.md). Where the queue is full, more are begun.
 */
static size_t dispatch(void *arg, struct queue_item *items, size_t n)
{
	struct async_loop *l = arg;
	size_t i = 0;

	l->taken_at = l->acceptor.now;
	for (; i < n; i++) {
		if (l->begun < BEGUN_A_TURN && queue_depth(l->queue) == 0 && start_fiber(l, items[i].what)) {
			l->begun++;
			continue;
		}
		if (queue_is_full(l->queue) && !start_next(l))
			break;
		if (!fiber_is_free(&l->loop.fibers))
			COUNT(l->worker.counters, fibers_short);
		(void)queue_put(l->queue, &items[i], 1); /* there is room */
	}
	counter_add(l->worker.counters, COUNTER_fibers_short, n - i);
	return i + queue_put(l->queue, items + i, n - i);
}

/* What was begun already goes before what is queued. False: there was no memory for a fiber. */
static bool start_given(struct async_loop *l)
{
	while (l->given && fiber_is_free(&l->loop.fibers)) {
		struct conn *c = l->given;

		/* Off the list first: once the fiber runs, it may soon be somebody else's. */
		l->given = c->next;
		if (!l->given)
			l->given_last = &l->given;
		if (start_fiber(l, c))
			continue;
		c->next = l->given;
		if (!l->given)
			l->given_last = &c->next;
		l->given = c;
		l->retry_at = clock_now() + RETRY_NS;
		return false;
	}
	return true;
}

static void start_queued(struct async_loop *l)
{
	if (start_given(l) && l->has_lot && queue_depth(l->queue) > 0) {
		l->taken_at = clock_now();
		while (l->begun < BEGUN_A_TURN && start_next(l))
			l->begun++;
	}
	l->begun = 0;
}

static bool listen_on(void *arg, unsigned listener, int fd)
{
	struct async_loop *l = arg;

	return loop_listen(&l->loop, listener, fd);
}

static bool unlisten(void *arg, unsigned listener, int fd)
{
	struct async_loop *l = arg;

	return loop_unlisten(&l->loop, listener, fd);
}

/*
 * A receive in io_uring's ring finds what is there; with epoll a fiber's own try is cheaper than an edge. But only a fiber that can
 * begin at once: a connection without a request must not wait in the queue as if it had one.
 */
static bool is_eager(void *arg, int fd)
{
	struct async_loop *l = arg;
	size_t before = l->acceptor.batch_count;

	(void)fd;
	return l->loop.options.driver == LOOP_EPOLL && queue_depth(l->queue) == 0 && before < BEGUN_A_TURN &&
	       before < l->loop.fibers.limit - l->loop.fibers.busy;
}

/* With those on their way to it, or the rest of a batch would go to a loop that does not run just now. */
static unsigned open_of(const struct async_loop *l)
{
	return atomic_load_explicit(&l->lot.table.open, memory_order_relaxed) +
	       atomic_load_explicit(&l->coming, memory_order_relaxed);
}

/* What happens in a turn is stamped with the end of its wait. */
static struct acceptor *stamped(struct async_loop *l)
{
	if (!l->stamped)
		acceptor_begin_turn(&l->acceptor);
	l->stamped = true;
	return &l->acceptor;
}

static void deliver_passed(struct loop *loop, struct loop_message *m)
{
	struct async_loop *l = loop_of_io(&loop->io);
	struct passed *p = (struct passed *)((char *)m - offsetof(struct passed, message));

	atomic_fetch_sub_explicit(&l->coming, 1, memory_order_relaxed);
	acceptor_take_passed(stamped(l), p->listener, p->fd, p->has_peer ? &p->peer : NULL, p->hops);
	free(p);
}

/* The loop with the fewest connections, if it has considerably fewer; NULL otherwise. */
static struct async_loop *lightest(struct async_loop *l)
{
	struct async *a = l->async;
	struct async_loop *best = l;

	for (unsigned i = 0; i < a->count; i++)
		if (open_of(a->loops[i]) < open_of(best))
			best = a->loops[i];
	unsigned least = open_of(best);
	return open_of(l) > least + PASS_SLACK + least / 4 ? best : NULL;
}

/* hops 0: to a loop with fewer connections; later: this one had none to close at limits.connections, the next one may. */
static bool pass(void *arg, unsigned listener, int fd, const struct addr *peer, unsigned hops)
{
	struct async_loop *l = arg;
	struct async *a = l->async;
	struct async_loop *to = NULL;

	if (hops == 0)
		to = lightest(l);
	else if (hops < a->count)
		to = a->loops[(l->index + 1) % a->count];
	if (!to || acceptor_is_draining(&l->acceptor))
		return false;
	struct passed *p = malloc(sizeof(*p));
	if (!p)
		return false;
	*p = (struct passed){.message.deliver = deliver_passed,
	        .listener = listener,
	        .hops = hops + 1,
	        .fd = fd,
	        .has_peer = peer != NULL};
	if (peer)
		p->peer = *peer;
	COUNT(l->worker.counters, passed_on);
	atomic_fetch_add_explicit(&to->coming, 1, memory_order_relaxed);
	loop_post(&to->loop, &p->message);
	return true;
}

static void on_ready(void *arg, void *thing, bool over)
{
	struct async_loop *l = arg;

	lot_claim_ready(thing);
	if (over)
		acceptor_hang_up(&l->acceptor, thing);
	else
		acceptor_add(stamped(l), thing);
}

static bool on_accepted(void *arg, unsigned listener, int fd, const struct addr *peer)
{
	struct async_loop *l = arg;

	return acceptor_take(stamped(l), listener, fd, peer);
}

/* What the loop went short of, as counters; and the service's housekeeping. */
static void tick(struct async_loop *l, int64_t now)
{
	const struct service *s = &l->async->options.engine->service;
	struct loop_stats *stats = &l->loop.stats;

	board_step_at(l->worker.row, DOING_TICK, LABEL_NONE, -1, now);

	counter_add(l->worker.counters, COUNTER_ring_full, stats->ring_full);
	counter_add(l->worker.counters, COUNTER_ring_buffers_short, stats->buffers_short);
	*stats = (struct loop_stats){0};
	if (s->tick)
		s->tick(s->app, &l->worker);
	if (now >= l->trim_at) {
		buf_store_trim(&l->worker.heads);
		buf_store_trim(&l->worker.bodies);
		l->trim_at = now + TRIM_NS;
	}
	l->tick_at = now + TICK_NS;
	board_switch(l->worker.row, between_fibers);
}

static bool is_over(struct async_loop *l)
{
	if (l->has_lot)
		return acceptor_is_finished(&l->acceptor);
	return atomic_load(&l->stop) && l->loop.fibers.busy == 0 && !l->given;
}

static void run(struct async_loop *l)
{
	while (!is_over(l)) {
		int64_t until = l->has_lot ? acceptor_next_look(&l->acceptor) : CLOCK_NEVER;

		if (l->tick_at < until)
			until = l->tick_at;
		if (l->has_lot && queue_depth(l->queue) > 0 && fiber_is_free(&l->loop.fibers))
			until = l->retry_at;
		if (l->given && fiber_is_free(&l->loop.fibers) && l->retry_at < until)
			until = l->retry_at;
		loop_turn(&l->loop, until);
		board_switch(l->worker.row, between_fibers);
		if (l->has_lot)
			acceptor_end_turn(stamped(l));
		l->stamped = false;
		start_queued(l);
		int64_t now = l->has_lot ? l->acceptor.now : clock_now();
		if (now >= l->tick_at)
			tick(l, now);
	}
}

/* The thread's life ------------------------------------------------------------------------------------------*/

static unsigned part(unsigned whole, unsigned count, unsigned index)
{
	unsigned mine = whole / count + (index < whole % count);

	return mine > 0 ? mine : 1;
}

static int open_parts(struct async_loop *l)
{
	struct async *a = l->async;
	const struct async_options *o = &a->options;
	const struct engine_options *e = o->engine;
	unsigned id = l->index;
	static const struct acceptor_ops ops = {.dispatch = dispatch,
	        .listen = listen_on,
	        .unlisten = unlisten,
	        .is_eager = is_eager,
	        .pass = pass};

	unsigned fibers = part(e->fibers, e->loops, l->index);

	/* As many as there can be at once, trimmed; of the pool's threads it must not hoard what these make. */
	worker_init(&l->worker, id, &l->loop.io, &o->counters[l->index], e->log ? log_ring(e->log, id) : NULL,
	        e->header_size, l->has_lot ? fibers : KEEP_GIVEN);
	l->worker.is_loop = true;
	l->worker.row = &o->board[id];
	board_step(l->worker.row, DOING_TURN, LABEL_NONE, -1);
	struct loop_options options = {.driver = e->driver,
	        .fibers = fibers,
	        .client_buffer = l->worker.heads.cap,
	        .server_buffer = l->worker.bodies.cap,
	        .helpers = a->helpers,
	        .events = {.arg = l,
	                .ready = on_ready,
	                .accepted = on_accepted,
	                .sleeps = on_sleep,
	                .leaves = on_leave,
	                .returns = on_return}};
	int error = loop_open(&l->loop, &options);
	if (error != 0)
		return error;
	l->is_open = true;
	if (!l->has_lot)
		return 0;
	l->queue = queue_new(part(e->queue_size, e->loops, l->index), 1, 1);
	if (!l->queue)
		return ENOMEM;
	l->worker.queue = l->queue;
	queue_set_rule(l->queue, e->queue_rule);
	const char *why;
	if (!lot_init(
	            &l->lot, &l->loop, o->lingerer, e->connections + ENGINE_REFUSAL_RECORDS, o->total, &why))
		return ENOMEM;
	l->lot.service = &e->service;
	l->acceptor = (struct acceptor){.options = e,
	        .ops = &ops,
	        .arg = l,
	        .lot = &l->lot,
	        .queue = l->queue,
	        .settings = o->settings,
	        .counters = l->worker.counters,
	        .row = l->worker.row,
	        .log = l->worker.log,
	        .listeners = o->listeners};
	return acceptor_open(&l->acceptor) ? 0 : errno; /* nothing is accepted before the loop's first turn */
}

static void close_parts(struct async_loop *l)
{
	if (l->is_open && l->has_lot)
		acceptor_unlisten(&l->acceptor);
	if (l->is_open)
		loop_close(&l->loop);
	worker_free(&l->worker);
}

/* Waits until all loops are there: they look at each other. False: one could not start, and none is to. */
static bool wait_for_all(struct async *a)
{
	sem_post(&a->started);
	while (sem_wait(&a->go) != 0)
		MUST(errno == EINTR);
	return !a->failed;
}

static void *loop_thread(void *arg)
{
	struct async_loop *l = arg;
	const struct service *s = &l->async->options.engine->service;

	l->error = open_parts(l);
	if (l->error == 0 && s->worker_start && !s->worker_start(s->app, &l->worker))
		l->error = ENOMEM;
	if (!wait_for_all(l->async)) {
		if (l->error == 0 && s->worker_stop)
			s->worker_stop(s->app, &l->worker);
		close_parts(l);
		return NULL;
	}
	l->tick_at = clock_now() + TICK_NS;
	run(l);
	tick(l, clock_now());
	board_step(l->worker.row, DOING_GONE, LABEL_NONE, -1);
	if (l->has_lot && atomic_load(&l->acceptor.cut) > 0)
		return NULL; /* fibers still run: the process is about to end */
	if (s->worker_stop)
		s->worker_stop(s->app, &l->worker);
	close_parts(l);
	return NULL;
}

static int start_thread(struct async *a, unsigned index)
{
	struct async_loop *l = calloc(1, sizeof(*l));
	char name[16]; /* the kernel's limit */

	if (!l)
		return ENOMEM;
	l->async = a;
	l->index = index;
	l->has_lot = a->options.pool == NULL;
	l->home = l->has_lot ? &l->acceptor : a->options.pool;
	l->given_last = &l->given;
	a->loops[index] = l;
	int error = pthread_create(&l->thread, NULL, loop_thread, l);
	if (error != 0) {
		free(l);
		a->loops[index] = NULL;
		return error;
	}
	snprintf(name, sizeof(name), "%.8s-loop%u", a->options.engine->name, index % ENGINE_LOOPS_MAX);
	(void)pthread_setname_np(l->thread, name); /* a name is a convenience */
	return 0;
}

static int start_threads(struct async *a)
{
	unsigned count = a->options.engine->loops;
	int error = 0;

	MUST(count > 0 && count <= ENGINE_LOOPS_MAX);
	for (unsigned i = 0; i < count && error == 0; i++) {
		error = start_thread(a, i);
		if (error == 0)
			a->count++;
	}
	for (unsigned i = 0; i < a->count; i++)
		while (sem_wait(&a->started) != 0)
			MUST(errno == EINTR);
	for (unsigned i = 0; i < a->count && error == 0; i++)
		error = a->loops[i]->error;
	a->failed = error != 0;
	for (unsigned i = 0; i < a->count; i++)
		sem_post(&a->go);
	return error;
}

struct async *async_start(const struct async_options *options, const char **why)
{
	const struct engine_options *e = options->engine;
	struct async *a = calloc(1, sizeof(*a));
	int error = 0;

	*why = "out of memory";
	if (!a)
		return NULL;
	a->options = *options;
	MUST(sem_init(&a->started, 0, 0) == 0 &&
	        sem_init(&a->go, 0, 0) == 0); /* right arguments: cannot fail */
	if (e->reads_files)
		a->helpers = helpers_start(e->name, HELPERS, &error);
	if (error == 0)
		error = start_threads(a);
	if (error == 0)
		return a;
	*why = strerror(error);
	async_stop(a);
	async_free(a);
	return NULL;
}

static void deliver_given(struct loop *loop, struct loop_message *m)
{
	struct async_loop *l = loop_of_io(&loop->io);
	struct conn *c = (struct conn *)((char *)m - offsetof(struct conn, message));

	c->next = NULL;
	*l->given_last = c;
	l->given_last = &c->next;
}

void async_give(struct async *a, struct conn *c)
{
	unsigned next = atomic_fetch_add_explicit(&a->next, 1, memory_order_relaxed);

	c->message.deliver = deliver_given;
	loop_post(&a->loops[next % a->count]->loop, &c->message);
}

void async_give_back(struct conn *c)
{
	c->message.deliver = deliver_given;
	loop_post(c->lot->loop, &c->message);
}

void async_drain(struct async *a)
{
	for (unsigned i = 0; i < a->count; i++)
		acceptor_drain(&a->loops[i]->acceptor);
}

void async_wake(struct async *a)
{
	for (unsigned i = 0; i < a->count; i++)
		loop_wake(&a->loops[i]->loop);
}

void async_set_rule(struct async *a, struct queue_rule rule)
{
	for (unsigned i = 0; i < a->count; i++)
		queue_set_rule(a->loops[i]->queue, rule);
}

bool async_is_draining(const struct async *a)
{
	return acceptor_is_draining(&a->loops[0]->acceptor);
}

const struct lot *async_lot(const struct async *a, unsigned i)
{
	return i < a->count ? &a->loops[i]->lot : NULL;
}

unsigned async_connections(const struct async *a)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < a->count; i++)
		sum += open_of(a->loops[i]);
	return sum;
}

size_t async_queued(const struct async *a, int64_t *oldest)
{
	size_t sum = 0;

	*oldest = CLOCK_NEVER;
	for (unsigned i = 0; i < a->count; i++) {
		int64_t since = queue_oldest(a->loops[i]->queue);

		sum += queue_depth(a->loops[i]->queue);
		if (since < *oldest)
			*oldest = since;
	}
	return sum;
}

static void join(struct async *a)
{
	for (unsigned i = 0; i < a->count && !a->joined; i++)
		PTHREAD_OK(pthread_join(a->loops[i]->thread, NULL));
	a->joined = true;
}

unsigned async_wait(struct async *a)
{
	unsigned cut = 0;

	join(a);
	for (unsigned i = 0; i < a->count; i++)
		cut += atomic_load(&a->loops[i]->acceptor.cut);
	return cut;
}

void async_stop(struct async *a)
{
	for (unsigned i = 0; i < a->count && !a->joined; i++) {
		atomic_store(&a->loops[i]->stop, true);
		if (a->loops[i]->is_open)
			loop_wake(&a->loops[i]->loop);
	}
	join(a);
}

/* What was passed on to a loop that had ended already: the drain came in between. */
static void drop_passed(struct loop_message *m)
{
	while (m) {
		struct passed *p = (struct passed *)((char *)m - offsetof(struct passed, message));

		m = m->next;
		close(p->fd);
		free(p);
	}
}

void async_free(struct async *a)
{
	if (a->helpers)
		helpers_stop(a->helpers); /* first: they post to loops */
	for (unsigned i = 0; i < a->count; i++) {
		struct async_loop *l = a->loops[i];

		if (l->is_open)
			drop_passed(loop_free(&l->loop));
		if (l->queue)
			lot_free(&l->lot);
		queue_free(l->queue);
		free(l);
	}
	sem_destroy(&a->started);
	sem_destroy(&a->go);
	free(a);
}
