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
#include "lb/standing.h"
#include "net/io_blocking.h"
#include "work/pool.h"
#include "work/queue.h"

enum {
	CACHE_LINE = 64,
	REFUSALS_A_CLIENT = 16, /* connections that linger so that their client can read the refusal */
	ROWS_OF_REFUSED = 1024
};

static const char *host_of(const struct server *s, const struct lb_config_server *from)
{
	if (!from->is_name)
		return s->addr.u.any.sa_family == AF_UNIX ? "localhost" : s->text;
	return name_is_srv(from->address) ? name_srv_domain(from->address) : from->address;
}

/* slot: of a name, from 0. */
static void server_init(struct server *s, const struct lb_config_server *from, unsigned slot, unsigned index)
{
	const struct target *target = from->targets ? &from->targets[slot] : NULL;

	s->index = index;
	s->from = from;
	s->weight = (unsigned)from->weight;
	s->most = (unsigned)from->max_connections;
	s->addr = target ? target->addr : from->addr;
	if (from->slots > 1)
		snprintf(s->text, sizeof(s->text), "%s#%u", from->address, slot + 1);
	else if (from->is_name)
		snprintf(s->text, sizeof(s->text), "%s", from->address);
	else
		addr_format(&from->addr, s->text);
	s->host = host_of(s, from);
	s->id = XXH3_64bits(s->text, strlen(s->text));
	standing_init(s, (enum lb_server_state)from->state, s->addr.len > 0, clock_now());
	lock_init(&s->addr_lock);
	atomic_init(&s->lighter, target && target->share > 0 ? SHARE_FULL - target->share : 0);
}

/* Those that are backups, or those that are none. */
static void add_servers(
        struct lb *lb, struct upstream *u, const struct lb_config_upstream *from, bool backups)
{
	for (size_t i = 0; i < from->servers.count; i++) {
		const struct lb_config_server *s = lb_config_server(from, i);

		if (s->backup != backups)
			continue;
		for (unsigned k = 0; k < s->slots; k++)
			server_init(&u->servers[u->count++], s, k, lb->server_count++);
	}
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

static bool upstream_init(struct lb *lb, struct upstream *u, const struct lb_config_upstream *from)
{
	u->name = from->name;
	u->config = from;
	lock_init(&u->lock);
	void *servers = NULL;
	size_t bytes = lb_config_slots(from) * sizeof(*u->servers);

	if (posix_memalign(&servers, CACHE_LINE, bytes) != 0)
		return false;
	u->servers = memset(servers, 0, bytes);
	add_servers(lb, u, from, false);
	u->primaries = u->count;
	add_servers(lb, u, from, true);
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

static bool counts_init(struct lb *lb)
{
	size_t row = lb->server_count * sizeof(struct server_counters);

	row = (row + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	lb->counts_row = row / sizeof(struct server_counters);
	lb->counts = sparse_new(lb->workers, row);
	return lb->counts != NULL;
}

static bool rate_init(struct lb_listener *l, const struct lb_config_rate *from)
{
	struct rate_options options = {.requests = from->requests,
	        .per = from->per,
	        .burst = from->burst > 0 ? from->burst : from->requests,
	        .entries = from->entries};

	if (from->requests == 0)
		return true;
	if (from->header)
		l->rate_header = str_of(from->header);
	l->rate = rate_new(&options);
	return l->rate != NULL;
}

static bool listeners_init(struct lb *lb)
{
	const struct lb_config *config = lb->config;

	lb->listeners = calloc(config->listeners.count, sizeof(*lb->listeners));
	if (!lb->listeners)
		return false;
	for (size_t i = 0; i < config->listeners.count; i++) {
		const struct lb_config_listener *from = lb_config_listener(config, i);

		lb->listeners[i].mode = (enum lb_mode)from->mode;
		lb->listeners[i].accept_proxy = from->accept_proxy;
		lb->listeners[i].upstream = &lb->upstreams[from->upstream_index];
		if (!rate_init(&lb->listeners[i], &from->rate))
			return false;
	}
	return true;
}

static bool clients_init(struct lb *lb)
{
	const struct lb_config_limits *limits = &lb->config->limits;
	unsigned expected = (unsigned)limits->connections;

	if (limits->requests_per_client > 0) {
		lb->clients = clients_new((unsigned)limits->requests_per_client, expected);
		if (!lb->clients)
			return false;
	}
	if (limits->connections_per_client == 0)
		return true;
	lb->connected = clients_new((unsigned)limits->connections_per_client, expected);
	lb->unwelcome = clients_new(REFUSALS_A_CLIENT, ROWS_OF_REFUSED);
	return lb->connected && lb->unwelcome;
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

static bool lb_init(struct lb *lb)
{
	const struct lb_config *config = lb->config;

	lb->upstreams = calloc(config->upstreams.count, sizeof(*lb->upstreams));
	if (!lb->upstreams)
		return false;
	for (size_t i = 0; i < config->upstreams.count; i++) {
		lb->upstream_count++;
		if (!upstream_init(lb, &lb->upstreams[i], lb_config_upstream(config, i)))
			return false;
	}
	return listeners_init(lb) && clients_init(lb) && counts_init(lb) && idle_sets_init(lb);
}

struct lb *lb_new(const struct lb_config *config, unsigned workers, unsigned loops)
{
	struct lb *lb = calloc(1, sizeof(*lb));

	if (!lb)
		return NULL;
	lb->config = config;
	lb->workers = workers;
	lb->idle_sets = config->engine == LB_ENGINE_POOL ? 1 : loops;
	atomic_init(&lb->pipes, LB_PIPES_MAX);
	if (lb_init(lb))
		return lb;
	lb_free(lb);
	return NULL;
}

static void upstream_free(struct upstream *u)
{
	picker_free(u->picker);
	for (unsigned i = 0; i < u->count; i++) { /* all that was counted has ended */
		MUST(atomic_load_explicit(&u->servers[i].active, memory_order_relaxed) == 0);
		lock_destroy(&u->servers[i].addr_lock);
	}
	free(u->servers);
	queue_free(u->shelf);
	lock_destroy(&u->lock);
}

size_t lb_shelved(const struct lb *lb)
{
	enum { IN_HANDS = 4096 * POOL_BURST_MAX }; /* that a worker shelves while others come back */
	size_t n = 0;

	for (unsigned i = 0; i < lb->upstream_count; i++)
		n += lb->upstreams[i].shelf ? (size_t)lb->config->queue.size : 0;
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
	clients_free(lb->connected);
	clients_free(lb->unwelcome);
	sparse_free(lb->counts, lb->workers, lb->counts_row * sizeof(*lb->counts));
	free(lb);
}

bool lb_is_draining(const struct lb *lb)
{
	const struct engine *engine = atomic_load_explicit(&lb->engine, memory_order_acquire);

	return engine && engine_is_draining(engine);
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

uint64_t lb_server_requests(const struct lb *lb, unsigned server)
{
	uint64_t sum = 0;

	for (unsigned i = rows_used(lb); i-- > 0;)
		sum += atomic_load_explicit(&lb_counts(lb, i, server)->requests, memory_order_relaxed);
	return sum;
}

uint64_t lb_server_failures(const struct lb *lb, unsigned server)
{
	uint64_t sum = 0;

	for (unsigned i = rows_used(lb); i-- > 0;)
		sum += atomic_load_explicit(&lb_counts(lb, i, server)->failures, memory_order_relaxed);
	return sum;
}
