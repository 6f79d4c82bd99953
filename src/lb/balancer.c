#include "lb/balancer.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/sparse.h"
#include "lb/health.h"
#include "lb/log_format.h"
#include "obs/log.h"

enum {
	REFUSALS_A_CLIENT = 16, /* connections that linger so that their client can read the refusal */
	ROWS_OF_REFUSED = 1024
};

struct front *front_new(void)
{
	return calloc(1, sizeof(struct front));
}

void front_set(struct front *f, struct lb_listener *l)
{
	const struct lb_config *c = l->lb->config;
	unsigned style = (l->mode == LB_MODE_TCP ? STYLE_TCP : 0) |
	                 (c->queue.header ? STYLE_QUEUE_FIELD : 0) | (l->accept_proxy ? STYLE_PROXY : 0);

	atomic_store_explicit(&f->style, style, memory_order_relaxed);
	atomic_store_explicit(&f->format, l->lb->format, memory_order_release);
	atomic_store(&f->now, l);
	if (f->listener)
		atomic_store_explicit(&f->listener->eager, l->mode == LB_MODE_TCP && !l->accept_proxy,
		        memory_order_relaxed);
}

/* NULL when memory is out: the text was checked. */
static const struct log_format *format_of(struct balancer *b, const char *text)
{
	char why[LOG_FORMAT_WHY_BYTES];

	for (struct log_format *f = b->formats; f; f = f->next)
		if (strcmp(f->text, text) == 0)
			return f;
	struct log_format *f = log_format_new(text, why);
	if (f) {
		f->next = b->formats;
		b->formats = f;
	}
	return f;
}

struct snapshot *snapshot_new(struct balancer *b, const struct lb_config *config)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->lb = lb_new(config, b->workers, b->loops, b->now ? b->now->lb : NULL);
	s->fronts = calloc(config->listeners.count, sizeof(struct front *));
	s->cleared = calloc(b->loops + 1, sizeof(*s->cleared));
	if (s->lb)
		s->lb->format = format_of(b, config->log.format);
	if (!s->lb || !s->lb->format || !s->fronts || !s->cleared) {
		snapshot_free(s);
		return NULL;
	}
	s->lb->pipes = &b->pipes;
	s->lb->log = b->log;
	atomic_store_explicit(&s->lb->engine, b->engine, memory_order_release);
	return s;
}

bool snapshot_start(struct snapshot *s, const char **why)
{
	int error;

	if (!lb_watch_servers(s->lb, why))
		return false;
	s->resolver = resolver_start(s->lb, &error);
	if (error != 0)
		*why = strerror(error);
	return error == 0;
}

void snapshot_free(struct snapshot *s)
{
	uint64_t unheard[COUNTER_COUNT] = {0};

	if (s->resolver)
		resolver_stop(s->resolver, unheard);
	if (s->lb)
		lb_free(s->lb);
	lb_config_free(s->config);
	free(s->fronts);
	free(s->cleared);
	free(s);
}

struct balancer *balancer_new(unsigned workers, unsigned loops)
{
	struct balancer *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->workers = workers;
	b->loops = loops;
	atomic_init(&b->pipes, LB_PIPES_MAX);
	lock_init(&b->lock);
	b->readers = sparse_new(workers, sizeof(*b->readers));
	if (b->readers)
		return b;
	balancer_free(b);
	return NULL;
}

/* Of connections, which outlive a configuration. */
static bool clients_init(struct balancer *b, const struct lb_config_limits *limits)
{
	if (limits->connections_per_client == 0)
		return true;
	b->connected = clients_new((unsigned)limits->connections_per_client, (unsigned)limits->connections);
	b->unwelcome = clients_new(REFUSALS_A_CLIENT, ROWS_OF_REFUSED);
	return b->connected && b->unwelcome;
}

bool balancer_build(struct balancer *b, const struct lb_config *config)
{
	struct snapshot *s = snapshot_new(b, config);

	b->now = s;
	if (!s || !clients_init(b, &config->limits))
		return false;
	for (size_t i = 0; i < config->listeners.count; i++) {
		s->fronts[i] = front_new();
		if (!s->fronts[i])
			return false;
		front_set(s->fronts[i], &s->lb->listeners[i]);
	}
	return true;
}

bool balancer_start(struct balancer *b, const struct lb_config *config, const char **why)
{
	*why = "out of memory";
	return balancer_build(b, config) && snapshot_start(b->now, why);
}

void *balancer_front(struct balancer *b, unsigned listener)
{
	return b->now->fronts[listener];
}

void balancer_attach(struct balancer *b, struct engine *engine)
{
	struct snapshot *s = b->now;

	b->engine = engine;
	watch_init(&b->watch, engine);
	for (unsigned i = 0; i < s->lb->config->listeners.count; i++)
		s->fronts[i]->listener = engine_listener(engine, i);
	atomic_store_explicit(&s->lb->engine, engine, memory_order_release);
}

static struct front *front_of(const struct conn *c)
{
	return c->listener->app;
}

struct lb_listener *balancer_enter(struct balancer *b, struct worker *w, const struct conn *c)
{
	_Atomic unsigned *seq = &b->readers[w->id].seq;
	unsigned even = atomic_load_explicit(seq, memory_order_relaxed);

	atomic_store(seq, even + 1);
	struct lb_listener *l = atomic_load(&front_of(c)->now);
	lb_begin_use(l->lb, w->id);
	atomic_store_explicit(seq, even + 2, memory_order_release);
	return l;
}

struct refusal_style balancer_refusal_style(const struct conn *c)
{
	unsigned style = atomic_load_explicit(&front_of(c)->style, memory_order_relaxed);

	return (struct refusal_style){(style & STYLE_TCP) != 0, (style & STYLE_QUEUE_FIELD) != 0,
	        (style & STYLE_PROXY) != 0, atomic_load_explicit(&front_of(c)->format, memory_order_acquire)};
}

/* A loop's own idle connections -------------------------------------------------------------------------------*/

static bool loops_keep(const struct balancer *b)
{
	return b->loops > 0 && b->now->lb->config->engine == LB_ENGINE_ASYNC;
}

/* Of a snapshot that was retired: to the same servers of the one that runs, the others are closed. */
static void clear_locked(struct balancer *b, struct snapshot *s, struct worker *w)
{
	lock_must_hold(&b->lock);
	if (s->cleared[w->id])
		return;
	s->cleared[w->id] = true;
	lb_hand_idle_on(s->lb, b->now->lb, w);
}

static void trim(struct lb *lb, struct worker *w)
{
	int64_t now = clock_coarse();

	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++) {
			const struct server *s = &lb->upstreams[i].servers[k];

			idle_trim(lb_idle(lb, w, s), w->io, server_generation(s), now);
		}
}

void balancer_tick(struct balancer *b, struct worker *w)
{
	lock_take(&b->lock);
	if (loops_keep(b)) {
		for (struct snapshot *s = b->old; s; s = s->older)
			clear_locked(b, s, w);
		trim(b->now->lb, w); /* with what came from them: at the next look another one may run */
	}
	lock_drop(&b->lock);
}

static void clear_all(struct lb *lb, struct worker *w)
{
	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++)
			idle_clear(lb_idle(lb, w, &lb->upstreams[i].servers[k]), w->io);
}

void balancer_leave(struct balancer *b, struct worker *w)
{
	lock_take(&b->lock);
	if (loops_keep(b)) {
		clear_all(b->now->lb, w);
		for (struct snapshot *s = b->old; s; s = s->older)
			clear_all(s->lb, w);
	}
	lock_drop(&b->lock);
}

/* For who looks ------------------------------------------------------------------------------------------------*/

struct lb *balancer_pin(struct balancer *b)
{
	lock_take(&b->lock);
	b->now->pins++;
	struct lb *lb = b->now->lb;
	lock_drop(&b->lock);
	return lb;
}

void balancer_unpin(struct balancer *b, const struct lb *lb)
{
	struct snapshot *s;

	lock_take(&b->lock);
	s = b->now->lb == lb ? b->now : b->old;
	while (s->lb != lb)
		s = s->older;
	MUST(s->pins > 0);
	s->pins--;
	lock_drop(&b->lock);
}

static uint64_t threads_counter(const struct snapshot *s, enum counter_id id)
{
	return (s->lb->health ? counters_sum(health_counters(s->lb->health), 1, id) : 0) +
	       (s->resolver ? counters_sum(resolver_counters(s->resolver), 1, id) : 0);
}

uint64_t balancer_counter(struct balancer *b, enum counter_id id)
{
	unsigned count;
	const struct counters *sets = engine_counters(b->engine, &count);

	lock_take(&b->lock);
	uint64_t own = id == COUNTER_log_lost && b->log ? log_lost(b->log) : 0;
	if (id == COUNTER_workers_stuck)
		own = atomic_load_explicit(&b->watch.reports, memory_order_relaxed);
	uint64_t sum = own + counters_sum(sets, count, id) + b->past[id] + threads_counter(b->now, id);
	for (const struct snapshot *s = b->old; s; s = s->older)
		sum += threads_counter(s, id);
	lock_drop(&b->lock);
	return sum;
}

/* Of the configuration at hand, and of those before it. */
static void add_cells(const struct lb *lb, size_t from, unsigned n, const uint64_t *past, uint64_t *sums)
{
	for (unsigned i = 0; i < n; i++)
		sums[i] += past[i];
	lb_sum(lb, from, n, sums);
}

/* The one that runs, then the others; NULL: there are no more. */
static struct snapshot *next_locked(struct balancer *b, struct snapshot *s)
{
	lock_must_hold(&b->lock);
	return s == b->now ? b->old : s->older;
}

void balancer_server_sums(
        struct balancer *b, const struct upstream *u, const struct server *s, uint64_t sums[SERVER_CELLS])
{
	memset(sums, 0, SERVER_CELLS * sizeof(*sums));
	lock_take(&b->lock);
	for (struct snapshot *at = b->now; at; at = next_locked(b, at)) {
		const struct upstream *same_u = lb_find_upstream(at->lb, u->name);
		const struct server *same = same_u == u ? s : same_u ? lb_same_server(same_u, u, s) : NULL;

		if (same)
			add_cells(at->lb, same->cells, SERVER_CELLS, same->past, sums);
	}
	lock_drop(&b->lock);
}

void balancer_upstream_sums(struct balancer *b, const struct upstream *u, uint64_t sums[UPSTREAM_CELLS])
{
	memset(sums, 0, UPSTREAM_CELLS * sizeof(*sums));
	lock_take(&b->lock);
	for (struct snapshot *at = b->now; at; at = next_locked(b, at)) {
		const struct upstream *same = lb_find_upstream(at->lb, u->name);

		if (same)
			add_cells(at->lb, same->cells, UPSTREAM_CELLS, same->past, sums);
	}
	lock_drop(&b->lock);
}

void balancer_listener_sums(struct balancer *b, const struct lb_listener *l, uint64_t sums[LISTENER_CELLS])
{
	memset(sums, 0, LISTENER_CELLS * sizeof(*sums));
	lock_take(&b->lock);
	for (struct snapshot *at = b->now; at; at = next_locked(b, at)) {
		const struct lb_listener *same = lb_same_listener(at->lb, l);

		if (same)
			add_cells(at->lb, same->cells, LISTENER_CELLS, same->past, sums);
	}
	lock_drop(&b->lock);
}

struct balancer_listener balancer_listener(struct balancer *b, const struct lb_listener *l)
{
	struct balancer_listener found = {0};

	lock_take(&b->lock);
	const struct lb *lb = b->now->lb;
	const struct lb_listener *same = lb_same_listener(lb, l);
	if (same) {
		const struct listener *is = b->now->fronts[same - lb->listeners]->listener;

		found.addr = is->addr;
		found.open = atomic_load_explicit(&is->open, memory_order_relaxed);
		found.accepted = atomic_load_explicit(&is->accepted, memory_order_relaxed);
	}
	lock_drop(&b->lock);
	return found;
}

void balancer_server_counts(struct balancer *b, const struct upstream *u, const struct server *s,
        uint64_t *requests, uint64_t *failures)
{
	uint64_t sums[SERVER_CELLS];

	balancer_server_sums(b, u, s, sums);
	*requests = sums[SERVER_requests];
	*failures = sums[SERVER_failures];
}

uint64_t balancer_under_way(struct balancer *b)
{
	lock_take(&b->lock);
	uint64_t n = b->under_way;
	lock_drop(&b->lock);
	return n;
}

uint64_t balancer_replaced(struct balancer *b)
{
	lock_take(&b->lock);
	uint64_t n = b->replaced;
	lock_drop(&b->lock);
	return n;
}

unsigned balancer_old(struct balancer *b)
{
	unsigned n = 0;

	lock_take(&b->lock);
	for (const struct snapshot *s = b->old; s; s = s->older)
		n++;
	lock_drop(&b->lock);
	return n;
}

/* The end ------------------------------------------------------------------------------------------------------*/

static void stop_resolver(struct balancer *b, struct snapshot *s)
{
	if (s->resolver)
		resolver_stop(s->resolver, b->past);
	s->resolver = NULL;
}

bool balancer_stop(struct balancer *b)
{
	bool all = true;

	stop_resolver(b, b->now);
	health_retire(b->now->lb->health);
	for (struct snapshot *s = b->old; s; s = s->older)
		all = lb_unwatch_servers(s->lb) && all;
	return lb_unwatch_servers(b->now->lb) && all;
}

static void free_front_list(struct front *f)
{
	while (f) {
		struct front *next = f->next;

		free(f);
		f = next;
	}
}

void balancer_free(struct balancer *b)
{
	if (!b)
		return;
	while (b->old) {
		struct snapshot *s = b->old;

		b->old = s->older;
		snapshot_free(s);
	}
	if (b->now) {
		for (size_t i = 0; i < b->now->lb->config->listeners.count; i++)
			free(b->now->fronts[i]);
		snapshot_free(b->now);
	}
	free_front_list(b->leaving);
	while (b->formats) {
		struct log_format *f = b->formats;

		b->formats = f->next;
		log_format_free(f);
	}
	clients_free(b->connected);
	clients_free(b->unwelcome);
	sparse_free(b->readers, b->workers, sizeof(*b->readers));
	lock_destroy(&b->lock);
	free(b);
}
