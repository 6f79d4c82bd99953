/*
 * A worker takes a few connections at a time off the queue, begins each one's request, and then sleeps once for all
 * the servers that owe it an answer. That a worker has more than one server at work is what spares most of
 * the context switches that a blocking pool pays for each request; with a burst of 1 it is the classic pool.
 *
 * A burst must not make one request wait for another. So when a worker is about to sleep for one request alone
 * (a server that does not accept, a body that stalls), it first passes the others on, through the queue.
 */
#include "engine/pool_engine.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/sparse.h"
#include "engine/settle.h"

enum { KEEP_BUFFERS = POOL_BURST_MAX + 2 };

/* A request that waits for its server. */
struct waiting {
	struct conn *conn;
	void *exchange;
	int64_t deadline;
	unsigned turns; /* of this connection, so far */
	int fd;
	unsigned label; /* of that server, for the board */
};

/* What one worker has in hand. */
struct hand {
	struct pool_engine *engine;
	struct worker *worker;
	const struct queue_item *todo; /* taken and not begun */
	size_t todo_count;
	unsigned count; /* requests that wait, and their descriptors beside them */
	struct waiting waiting[POOL_BURST_MAX];
	struct pollfd fds[POOL_BURST_MAX];
	struct waiting ready[POOL_BURST_MAX]; /* whose server has answered, or is overdue */
	unsigned ready_count;
	bool waits_for_all; /* it sleeps for all that it has: nothing to pass on */
};

/* pool.hold = "connection": the worker waits for the connection's next bytes itself. */
static bool hold(struct hand *h, struct conn *c, int64_t deadline)
{
	struct pollfd one = {.fd = c->fd, .events = POLLIN};
	int64_t now = clock_now();

	while (now < deadline) {
		int64_t look_up = now + CLOCK_NS_PER_S; /* a drain leaves an idle client a second, not more */

		if (io_wait(h->worker->io, &one, 1, deadline < look_up ? deadline : look_up) != -ETIMEDOUT)
			return true; /* an error is told by the next recv */
		now = clock_now();
		if (!c->in && (acceptor_is_draining(h->engine->acceptor) || listener_is_leaving(c->listener)))
			break;
	}
	if (c->in) {
		acceptor_refuse(
		        h->engine->acceptor, h->worker->counters, h->worker->log, c, REFUSAL_HEADER_TIMEOUT);
		return false;
	}
	COUNT(h->worker->counters, connections_expired);
	settle_close(h->engine->acceptor, h->worker, c, VERDICT_CLOSE);
	return false;
}

/* Does what the service said. True: the connection has a further request here and now. */
static bool settle_or_hold(struct hand *h, struct conn *c, struct verdict v, unsigned turns)
{
	bool holds = v.kind == VERDICT_PARK && !c->unread && h->engine->options->hold_connection;

	board_next(h->worker->row, holds ? DOING_HOLD : DOING_SETTLE, LABEL_NONE, c->fd);
	worker_is_done(h->worker, c);
	if (holds) {
		conn_does(c, board_word(DOING_HOLD, LABEL_NONE, -1));
		return hold(h, c, v.deadline);
	}
	return settle(h->engine->acceptor, h->worker, c, v, turns);
}

/* What is left of the exchange goes on on a fiber. */
static void leave(struct hand *h, struct conn *c, void *exchange)
{
	COUNT(h->worker->counters, handed_off);
	conn_is_at(c, CONN_AT_LOOP);
	c->exchange = exchange;
	async_give(h->engine->async, c);
}

static void add_waiting(struct hand *h, struct waiting w)
{
	h->waiting[h->count] = w;
	h->fds[h->count] = (struct pollfd){.fd = w.fd, .events = POLLIN};
	h->count++;
}

/* Begins requests of the connection, or goes on with one that was shelved, until one waits for its server or there is none left. */
static void begin(struct hand *h, struct conn *c, void *exchange, unsigned turns)
{
	const struct service *s = &h->engine->options->service;

	for (;; exchange = NULL) {
		struct verdict v = s->begin(s->app, h->worker, c, &exchange);

		turns++;
		if (v.kind == VERDICT_WAIT) {
			unsigned label = board_entry_of(board_get(h->worker->row)).label;

			add_waiting(h, (struct waiting){c, exchange, v.deadline, turns, v.fd, label});
			return;
		}
		if (v.kind == VERDICT_LEAVE) {
			leave(h, c, exchange);
			return;
		}
		if (v.kind == VERDICT_SHELVED || !settle_or_hold(h, c, v, turns))
			return;
		worker_goes_on(h->worker, c);
	}
}

static void end(struct hand *h, struct waiting w)
{
	const struct service *s = &h->engine->options->service;
	struct verdict v = s->end(s->app, h->worker, w.exchange);

	if (v.kind == VERDICT_LEAVE) {
		leave(h, w.conn, w.exchange);
	} else if (v.kind != VERDICT_SHELVED && settle_or_hold(h, w.conn, v, w.turns)) {
		worker_goes_on(h->worker, w.conn);
		begin(h, w.conn, NULL, w.turns);
	}
}

/* Sleeps until a server answers or the first deadline; then ends what is ready or overdue (the exchange sees to that). */
static void wait_once(struct hand *h)
{
	int64_t deadline = CLOCK_NEVER;
	unsigned count = h->count;

	for (unsigned i = 0; i < count; i++)
		if (h->waiting[i].deadline < deadline)
			deadline = h->waiting[i].deadline;
	h->waits_for_all = true;
	bool late = io_wait(h->worker->io, h->fds, count, deadline) < 0;
	h->waits_for_all = false;
	int64_t now = late ? clock_now() : 0;
	h->count = 0;
	for (unsigned i = 0; i < count; i++) {
		if (late ? h->waiting[i].deadline <= now : h->fds[i].revents != 0)
			h->ready[h->ready_count++] = h->waiting[i];
		else
			add_waiting(h, h->waiting[i]); /* the arrays stay dense and in order */
	}
	while (h->ready_count > 0)
		end(h, h->ready[--h->ready_count]);
}

static bool pass_waiting(struct hand *h, struct waiting w)
{
	w.conn->exchange = w.exchange;
	w.conn->wait_fd = w.fd;
	w.conn->wait_deadline = w.deadline;
	if (queue_put_back(h->engine->queue, (struct queue_item){.what = w.conn, .since = CLOCK_NEVER}))
		return true;
	w.conn->exchange = NULL;
	return false;
}

/* Gives all but the request that it works on to whoever is free. What the queue has no room for stays. */
static void pass_on(struct hand *h)
{
	while (h->todo_count > 0 && queue_put_back(h->engine->queue, h->todo[h->todo_count - 1]))
		h->todo_count--;
	while (h->ready_count > 0 && pass_waiting(h, h->ready[h->ready_count - 1]))
		h->ready_count--;
	while (h->count > 0 && pass_waiting(h, h->waiting[h->count - 1]))
		h->count--;
}

/* pool_work: one burst. */
static void work(void *arg, unsigned id, const struct queue_item *items, size_t n)
{
	struct pool_engine *p = arg;
	struct pool_worker *w = &p->workers[id];
	struct hand h = {.engine = p, .worker = &w->worker, .todo = items, .todo_count = n};
	int64_t now = clock_now(); /* once a burst, and at its end */

	w->hand = &h;
	board_hold(w->worker.row, (unsigned)n);
	while (h.todo_count > 0) {
		struct conn *c = h.todo->what;

		CHECK_MAGIC(c, CONN_MAGIC);
		h.todo++;
		h.todo_count--;
		void *exchange = c->exchange;
		c->exchange = NULL;
		conn_is_at(c, CONN_AT_WORK);
		if (exchange && !c->resumes) {
			add_waiting(&h,
			        (struct waiting){c, exchange, c->wait_deadline, 1, c->wait_fd, LABEL_NONE});
			continue;
		}
		if (!exchange)
			worker_takes(&w->worker, c, now);
		c->resumes = false;
		begin(&h, c, exchange, 0);
	}
	while (h.count > 0)
		wait_once(&h);
	w->hand = NULL;
	COUNT(w->worker.counters, bursts);
	int64_t end = clock_now();
	counter_add(w->worker.counters, COUNTER_busy_ns, (uint64_t)(end - now));
	board_hold(w->worker.row, 0);
	board_step_at(w->worker.row, DOING_IDLE, LABEL_NONE, -1, end);
}

/* The board tells of it: a sleep is no hang, since it has a time limit. */
static void tell_asleep(struct pool_worker *w, bool asleep)
{
	struct board_row *row = w->worker.row;
	uint64_t word = board_get(row);
	bool for_all = w->hand && w->hand->waits_for_all;

	if (for_all && asleep && w->hand->count == 1)
		word = board_word(DOING_WAIT, w->hand->waiting[0].label, w->hand->waiting[0].fd);
	else if (for_all && asleep)
		word = board_word(DOING_WAIT, LABEL_NONE, -1);
	if (w->hand)
		board_hold(row,
		        (unsigned)w->hand->todo_count + w->hand->count + w->hand->ready_count + !for_all);
	board_go(row, asleep ? word | BOARD_ASLEEP : word & ~BOARD_ASLEEP, clock_coarse());
}

static void sleeping(void *arg, int asleep)
{
	struct pool_worker *w = arg;

	if (!asleep) {
		queue_worker_wakes(w->queue);
		tell_asleep(w, false);
		return;
	}
	if (w->hand && !w->hand->waits_for_all)
		pass_on(w->hand);
	tell_asleep(w, true);
	queue_worker_sleeps(w->queue);
}

/* A body that moves on without ever having to wait is no hang either. */
static void goes_on(void *arg)
{
	struct pool_worker *w = arg;

	board_goes_on(w->worker.row);
}

/* Of the pool: a thread is about to start. Its place may have been another's. */
static bool enter(void *arg, unsigned place)
{
	struct pool_engine *p = arg;
	const struct engine_options *o = p->options;
	struct pool_worker *pw = &p->workers[place];
	struct worker *w = &pw->worker;
	unsigned id = p->first_id + place;
	struct log_ring *log = o->log ? log_ring(o->log, id) : NULL;

	if (!log && o->log && log_access_on(o->log))
		return false;
	io_blocking_init(&pw->io);
	pw->io.sleeping = sleeping;
	pw->io.goes_on = goes_on;
	pw->io.arg = pw;
	pw->queue = p->queue;
	worker_init(w, id, &pw->io.io, &p->counters[id], log, o->header_size, KEEP_BUFFERS);
	w->patience = p->async && !o->hold_connection ? o->patience : 0;
	w->queue = p->queue;
	w->row = &p->board[id];
	if (o->service.worker_start && !o->service.worker_start(o->service.app, w)) {
		worker_free(w);
		return false;
	}
	board_step(w->row, DOING_IDLE, LABEL_NONE, -1);                /* its thread is not there yet */
	if (id >= atomic_load_explicit(&p->ids, memory_order_relaxed)) /* only written here, one at a time */
		atomic_store(&p->ids, id + 1);
	return true;
}

/* Of the pool: the thread ends. Its counts stay. */
static void depart(void *arg, unsigned place)
{
	struct pool_engine *p = arg;
	const struct service *s = &p->options->service;
	struct worker *w = &p->workers[place].worker;

	if (s->worker_stop)
		s->worker_stop(s->app, w);
	board_step(w->row, DOING_GONE, LABEL_NONE, -1);
	worker_free(w);
}

unsigned pool_engine_most(const struct engine_options *o)
{
	return o->workers_most > o->workers ? o->workers_most : o->workers;
}

unsigned pool_engine_ids(const struct pool_engine *p)
{
	return atomic_load(&p->ids);
}

bool pool_engine_start(struct pool_engine *p, const char **why)
{
	const struct engine_options *o = p->options;
	struct pool_options options = {.name = o->name,
	        .workers = o->workers,
	        .most = pool_engine_most(o),
	        .burst = o->hold_connection ? 1 : o->burst,
	        .queue = p->queue,
	        .enter = enter,
	        .work = work,
	        .leave = depart,
	        .arg = p};
	int error;

	*why = "out of memory";
	atomic_init(&p->ids, p->first_id);
	p->workers = sparse_new(options.most, sizeof(*p->workers));
	if (!p->workers)
		return false;
	p->pool = pool_start(&options, &error);
	if (!p->pool)
		*why = strerror(error);
	return p->pool != NULL;
}

void pool_engine_stop(struct pool_engine *p)
{
	if (p->pool)
		pool_stop(p->pool);
	sparse_free(p->workers, pool_engine_most(p->options), sizeof(*p->workers));
}
