#include "lb/lb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/sparse.h"
#include "lb/health.h"
#include "lb/pick.h"
#include "lb/retry.h"
#include "lb/standing.h"
#include "net/io_blocking.h"
#include "obs/labels.h"
#include "work/pool.h"
#include "work/queue.h"

enum { CACHE_LINE = 64 };

/* Of those before it the first one that is called so; NULL: there is none. */
static const struct server *namesake_of(const struct upstream *u, const struct server *s)
{
	for (const struct server *other = u->servers; other < s; other++)
		if (strcmp(other->text, s->text) == 0)
			return other;
	return NULL;
}

/* "#2" behind it, or more, so that each server of an upstream can be named. */
static void number_namesake(const struct upstream *u, struct server *s)
{
	size_t len = strlen(s->text);

	for (unsigned n = 2; namesake_of(u, s); n++)
		snprintf(s->text + len, sizeof(s->text) - len, "#%u", n);
}

static const char *host_of(const struct server *s, const struct lb_config_server *from)
{
	if (!from->is_name)
		return s->addr.u.any.sa_family == AF_UNIX ? "localhost" : s->text;
	return name_is_srv(from->address) ? name_srv_domain(from->address) : from->address;
}

/* LABEL_NONE when memory is out: then it has no name on the board. */
static unsigned label_for(const struct upstream *u, const struct server *s)
{
	char *text;

	if (asprintf(&text, "%s/%s", u->name, s->text) < 0)
		return LABEL_NONE;
	unsigned label = label_of(text);
	free(text);
	return label;
}

/* slot: of a name, from 0. False when memory is out. */
static bool server_init(struct upstream *u, struct upstream *before, struct server *s,
        const struct lb_config_server *from, unsigned slot, unsigned index)
{
	const struct target *target = from->targets ? &from->targets[slot] : NULL;

	s->index = index;
	s->from = from;
	s->most = (unsigned)from->max_connections;
	s->addr = target ? target->addr : from->addr;
	if (from->slots > 1)
		snprintf(s->text, sizeof(s->text), "%s#%u", from->address, slot + 1);
	else if (from->is_name)
		snprintf(s->text, sizeof(s->text), "%s", from->address);
	else
		addr_format(&from->addr, s->text);
	const struct server *first = namesake_of(u, s);
	s->host = first ? first->host : host_of(s, from);
	number_namesake(u, s);
	s->id = XXH3_64bits(s->text, strlen(s->text));
	s->label = label_for(u, s);
	standing_init(s, (enum lb_server_state)from->state, s->addr.len > 0, clock_now());
	lock_init(&s->addr_lock);
	atomic_init(&s->lighter, target && target->share > 0 ? SHARE_FULL - target->share : 0);
	struct server *same = before ? lb_same_server(before, u, s) : NULL;
	bool same_said = same && same->from->weight == from->weight; /* then a command's word goes on */
	atomic_init(&s->weight, same_said ? server_said_weight(same) : (unsigned)from->weight);
	if (same)
		standing_inherit(u, s, before, same, clock_now());
	s->load = same ? server_load_share(same->load) : server_load_new();
	return s->load != NULL;
}

/* Those that are backups, or those that are none. */
static bool add_servers(struct lb *lb, struct upstream *u, struct upstream *before,
        const struct lb_config_upstream *from, bool backups)
{
	for (size_t i = 0; i < from->servers.count; i++) {
		const struct lb_config_server *s = lb_config_server(from, i);

		if (s->backup != backups)
			continue;
		for (unsigned k = 0; k < s->slots; k++)
			if (!server_init(u, before, &u->servers[u->count++], s, k, lb->server_count++))
				return false;
	}
	return true;
}

static bool shelf_init(struct upstream *u, const struct lb_config *config)
{
	bool limited = false;

	for (unsigned i = 0; i < u->count; i++)
		limited |= u->servers[i].most > 0;
	if (!limited)
		return true;
	u->shelf = queue_new((size_t)config->queue.size, 1, 1);
	if (u->shelf)
		queue_set_rule(u->shelf, lb_config_queue_rule(config));
	return u->shelf != NULL;
}

static bool upstream_init(
        struct lb *lb, struct upstream *u, struct upstream *before, const struct lb_config_upstream *from)
{
	u->name = from->name;
	u->config = from;
	lock_init(&u->lock);
	void *servers = NULL;
	size_t bytes = lb_config_slots(from) * sizeof(*u->servers);

	if (posix_memalign(&servers, CACHE_LINE, bytes) != 0)
		return false;
	u->servers = memset(servers, 0, bytes);
	if (!add_servers(lb, u, before, from, false))
		return false;
	u->primaries = u->count;
	if (!add_servers(lb, u, before, from, true))
		return false;
	for (unsigned i = 0; i < u->count; i++)
		u->impaired += standing_is_impaired(&u->servers[i]);
	if (!shelf_init(u, lb->config))
		return false;
	u->picker = picker_new((enum lb_balance)from->policy, from->header, u);
	if (!u->picker)
		return false;
	u->counts = u->picker->ops->counts;
	return true;
}

/* Gives everybody a place in the rows. */
static void share_cells_out(struct lb *lb)
{
	size_t next = 0;

	for (unsigned i = 0; i < lb->upstream_count; i++) {
		struct upstream *u = &lb->upstreams[i];

		u->cells = next;
		next += UPSTREAM_CELLS;
		for (unsigned k = 0; k < u->count; k++, next += SERVER_CELLS)
			u->servers[k].cells = next;
	}
	for (size_t i = 0; i < lb->config->listeners.count; i++, next += LISTENER_CELLS)
		lb->listeners[i].cells = next;
	lb->budgets = next;
}

static bool rows_init(struct lb *lb)
{
	share_cells_out(lb);
	size_t row = sizeof(struct lb_row) + lb->budgets * sizeof(_Atomic uint64_t) +
	             lb->upstream_count * sizeof(struct retry_budget);

	lb->row_bytes = (row + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	lb->rows = sparse_new(lb->workers, lb->row_bytes);
	return lb->rows != NULL;
}

struct retry_budget *lb_budget(const struct lb *lb, unsigned worker, const struct upstream *u)
{
	return (struct retry_budget *)(void *)&lb_row(lb, worker)->cells[lb->budgets] + (u - lb->upstreams);
}

/* Rows that may have been written are below it. */
static unsigned rows_used(const struct lb *lb)
{
	const struct engine *engine = atomic_load_explicit(&lb->engine, memory_order_acquire);
	unsigned used = 0;

	if (engine)
		(void)engine_counters(engine, &used);
	return used;
}

uint64_t lb_uses(const struct lb *lb)
{
	uint64_t begun = 0, ended = 0;
	unsigned used = rows_used(lb);

	/* What has ended first: so what is begun meanwhile counts as under way. */
	for (unsigned i = 0; i < used; i++)
		ended += atomic_load_explicit(&lb_row(lb, i)->uses.ended, memory_order_acquire);
	for (unsigned i = 0; i < used; i++)
		begun += atomic_load_explicit(&lb_row(lb, i)->uses.begun, memory_order_acquire);
	return begun - ended;
}

struct upstream *lb_find_upstream(const struct lb *lb, const char *name)
{
	for (unsigned i = 0; i < lb->upstream_count; i++)
		if (strcmp(lb->upstreams[i].name, name) == 0)
			return &lb->upstreams[i];
	return NULL;
}

struct server *lb_same_server(const struct upstream *to, const struct upstream *of, const struct server *s)
{
	unsigned before = 0;

	for (const struct server *other = of->servers; other < s; other++)
		before += strcmp(other->text, s->text) == 0;
	for (unsigned i = 0; i < to->count; i++)
		if (strcmp(to->servers[i].text, s->text) == 0 && before-- == 0)
			return &to->servers[i];
	return NULL;
}

struct lb_listener *lb_same_listener(const struct lb *lb, const struct lb_listener *l)
{
	const struct lb_config_listener *of = lb_config_listener(
	        l->lb->config, (size_t)(l - l->lb->listeners));

	for (size_t i = 0; i < lb->config->listeners.count; i++)
		if (lb == l->lb ? &lb->listeners[i] == l
		                : lb_config_same_listener(lb_config_listener(lb->config, i), of))
			return &lb->listeners[i];
	return NULL;
}

/* The rate of the listener at the same address; NULL: there is none. */
static struct rate *rate_before(const struct lb *before, const struct lb_config_listener *l)
{
	for (size_t i = 0; before && i < before->config->listeners.count; i++) {
		const struct lb_config_listener *other = lb_config_listener(before->config, i);

		if (lb_config_same_listener(other, l) && strcmp(other->rate.key, l->rate.key) == 0)
			return before->listeners[i].rate;
	}
	return NULL;
}

static bool rate_init(struct lb_listener *l, const struct lb_config_rate *from, struct rate *before)
{
	struct rate_options options = {.requests = from->requests,
	        .per = from->per,
	        .burst = from->burst > 0 ? from->burst : from->requests,
	        .entries = from->entries};

	if (from->requests == 0)
		return true;
	if (from->header)
		l->rate_header = str_of(from->header);
	l->rate = rate_share(before, &options);
	if (!l->rate)
		l->rate = rate_new(&options);
	return l->rate != NULL;
}

static bool listeners_init(struct lb *lb, const struct lb *before)
{
	const struct lb_config *config = lb->config;

	lb->listeners = calloc(config->listeners.count, sizeof(*lb->listeners));
	if (!lb->listeners)
		return false;
	for (size_t i = 0; i < config->listeners.count; i++) {
		const struct lb_config_listener *from = lb_config_listener(config, i);

		lb->listeners[i].lb = lb;
		lb->listeners[i].name = from->name;
		lb->listeners[i].mode = (enum lb_mode)from->mode;
		lb->listeners[i].accept_proxy = from->accept_proxy;
		lb->listeners[i].upstream = &lb->upstreams[from->upstream_index];
		if (!rate_init(&lb->listeners[i], &from->rate, rate_before(before, from)))
			return false;
	}
	return true;
}

static bool clients_init(struct lb *lb, const struct lb *before)
{
	const struct lb_config_limits *limits = &lb->config->limits;

	if (limits->requests_per_client == 0)
		return true;
	lb->clients = before && before->clients ? clients_share(before->clients)
	                                        : clients_new((unsigned)limits->requests_per_client,
	                                                  (unsigned)limits->connections);
	return lb->clients != NULL;
}

/* What the configuration allows for a server is shared out among the loops. */
static bool idle_sets_init(struct lb *lb)
{
	bool shared = lb->config->engine == LB_ENGINE_POOL;

	lb->idle = calloc((size_t)lb->idle_sets * lb->server_count, sizeof(*lb->idle));
	if (!lb->idle)
		return false;
	for (unsigned set = 0; set < lb->idle_sets; set++) {
		struct idle_set *row = lb->idle + (size_t)set * lb->server_count;

		for (unsigned i = 0; i < lb->upstream_count; i++) {
			unsigned keep = (unsigned)lb_config_upstream(lb->config, i)->keepalive;

			for (unsigned k = 0; k < lb->upstreams[i].count; k++) {
				const struct server *s = &lb->upstreams[i].servers[k];
				/* A connection that began with a PROXY header is one client's: it can't be kept for others. */
				bool kept = s->from->send_proxy == LB_SEND_PROXY_OFF;

				idle_init(&row[s->index], shared,
				        kept ? (keep + lb->idle_sets - 1) / lb->idle_sets : 0);
			}
		}
	}
	return true;
}

struct idle_set *lb_idle(const struct lb *lb, const struct worker *w, const struct server *s)
{
	unsigned set = lb->config->engine == LB_ENGINE_POOL ? 0 : w->id;

	return lb->idle + (size_t)set * lb->server_count + s->index;
}

void lb_drop_idle(const struct lb *lb, const struct server *s)
{
	struct io_blocking io;

	if (lb->config->engine != LB_ENGINE_POOL)
		return;
	io_blocking_init(&io);
	idle_clear(&lb->idle[s->index], &io.io);
}

/* One set of each server's: of the pool, or of a loop. */
static void hand_on(const struct lb *lb, const struct lb *to, unsigned set, struct io *io)
{
	struct idle_set *row = lb->idle + (size_t)set * lb->server_count;
	struct idle_set *to_row = to->idle + (size_t)set * to->server_count;

	for (unsigned i = 0; i < lb->upstream_count; i++) {
		const struct upstream *u = &lb->upstreams[i], *same_u = lb_find_upstream(to, u->name);

		for (unsigned k = 0; k < u->count; k++) {
			struct server *s = &u->servers[k];
			struct server *same = same_u ? lb_same_server(same_u, u, s) : NULL;
			unsigned generation, new_generation;
			struct addr addr, new_addr;

			if (same && server_address(s, &addr, &generation) &&
			        server_address(same, &new_addr, &new_generation) &&
			        addr_equal(&addr, &new_addr))
				idle_move(
				        &row[s->index], io, generation, &to_row[same->index], new_generation);
			else
				idle_clear(&row[s->index], io);
		}
	}
}

void lb_hand_idle_on(const struct lb *lb, const struct lb *to, struct worker *w)
{
	hand_on(lb, to, w->id, w->io);
}

void lb_hand_shared_idle_on(const struct lb *lb, const struct lb *to)
{
	struct io_blocking io;

	if (lb->config->engine != LB_ENGINE_POOL)
		return;
	io_blocking_init(&io);
	hand_on(lb, to, 0, &io.io);
}

void lb_trim_idle(const struct lb *lb)
{
	struct io_blocking io;

	if (lb->config->engine != LB_ENGINE_POOL)
		return;
	io_blocking_init(&io);
	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++) {
			const struct server *s = &lb->upstreams[i].servers[k];

			idle_trim(&lb->idle[s->index], &io.io, server_generation(s), clock_coarse());
		}
}

static bool lb_init(struct lb *lb, struct lb *from)
{
	const struct lb_config *config = lb->config;

	lb->upstreams = calloc(config->upstreams.count, sizeof(*lb->upstreams));
	if (!lb->upstreams)
		return false;
	for (size_t i = 0; i < config->upstreams.count; i++) {
		lb->upstream_count++;
		const struct lb_config_upstream *u = lb_config_upstream(config, i);

		if (!upstream_init(lb, &lb->upstreams[i], from ? lb_find_upstream(from, u->name) : NULL, u))
			return false;
	}
	return listeners_init(lb, from) && clients_init(lb, from) && rows_init(lb) && idle_sets_init(lb);
}

struct lb *lb_new(const struct lb_config *config, unsigned workers, unsigned loops, struct lb *from)
{
	struct lb *lb = calloc(1, sizeof(*lb));

	if (!lb)
		return NULL;
	lb->config = config;
	lb->measures = config->admin.addr.len > 0 || config->admin.web.len > 0;
	lb->workers = workers;
	lb->idle_sets = config->engine == LB_ENGINE_POOL ? 1 : loops;
	if (lb_init(lb, from))
		return lb;
	lb_free(lb);
	return NULL;
}

static void upstream_free(struct upstream *u)
{
	picker_free(u->picker);
	for (unsigned i = 0; i < u->count; i++) {
		server_load_drop(u->servers[i].load);
		lock_destroy(&u->servers[i].addr_lock);
	}
	free(u->servers);
	queue_free(u->shelf);
	lock_destroy(&u->lock);
}

size_t lb_shelf_room(const struct lb *lb)
{
	size_t n = 0;

	for (unsigned i = 0; i < lb->upstream_count; i++)
		n += lb->upstreams[i].shelf ? (size_t)lb->config->queue.size : 0;
	return n;
}

size_t lb_shelved(const struct lb *lb, size_t others)
{
	enum { IN_HANDS = 4096 * POOL_BURST_MAX }; /* that a worker shelves while others come back */
	size_t n = lb_shelf_room(lb) + others;

	return n > 0 ? n + IN_HANDS : 0;
}

bool lb_watch_servers(struct lb *lb, const char **why)
{
	lb->health = health_start("tplb", lb, why);
	return lb->health != NULL;
}

bool lb_unwatch_servers(struct lb *lb)
{
	if (lb->health && !health_stop(lb->health))
		return false;
	lb->health = NULL;
	return true;
}

void lb_free(struct lb *lb)
{
	struct io_blocking io;

	if (!lb_unwatch_servers(lb))
		return; /* the process ends */

	io_blocking_init(&io); /* what the pool's threads share; each loop has closed its own */
	for (size_t i = 0; lb->idle && i < (size_t)lb->idle_sets * lb->server_count; i++) {
		idle_clear(&lb->idle[i], &io.io);
		idle_free(&lb->idle[i]);
	}
	free(lb->idle);
	for (unsigned i = 0; i < lb->upstream_count; i++)
		upstream_free(&lb->upstreams[i]);
	free(lb->upstreams);
	for (size_t i = 0; lb->listeners && i < lb->config->listeners.count; i++)
		rate_free(lb->listeners[i].rate);
	free(lb->listeners);
	clients_free(lb->clients);
	sparse_free(lb->rows, lb->workers, lb->row_bytes);
	free(lb);
}

bool lb_is_draining(const struct lb *lb)
{
	const struct engine *engine = atomic_load_explicit(&lb->engine, memory_order_acquire);

	return engine && engine_is_draining(engine);
}

void lb_sum(const struct lb *lb, size_t from, unsigned n, uint64_t *sums)
{
	for (unsigned i = rows_used(lb); i-- > 0;)
		cells_sum(sums, &lb_row(lb, i)->cells[from], n);
}
