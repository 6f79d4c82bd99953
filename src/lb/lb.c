#include "lb/lb.h"

#include <stdlib.h>
#include <string.h>

#include "lb/pick.h"

enum { CACHE_LINE = 64 };

static bool server_init(
        struct server *s, const struct lb_config_server *from, int64_t keepalive, unsigned index)
{
	s->index = index;
	s->weight = (unsigned)from->weight;
	s->keepalive = (unsigned)keepalive;
	s->addr = from->addr;
	addr_format(&from->addr, s->text);
	lock_init(&s->lock);
	s->idle = calloc(s->keepalive ? s->keepalive : 1, sizeof(*s->idle));
	return s->idle != NULL;
}

static bool upstream_init(struct lb *lb, struct upstream *u, const struct lb_config_upstream *from)
{
	u->name = from->name;
	u->servers = calloc(from->servers.count, sizeof(*u->servers));
	if (!u->servers)
		return false;
	for (size_t i = 0; i < from->servers.count; i++) {
		u->count++;
		if (!server_init(
		            &u->servers[i], lb_config_server(from, i), from->keepalive, lb->server_count++))
			return false;
	}
	u->picker = picker_new((enum lb_balance)from->balance, u);
	return u->picker != NULL;
}

static bool counts_init(struct lb *lb)
{
	size_t row = lb->server_count * sizeof(struct server_counters);
	void *counts = NULL;

	row = (row + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	if (posix_memalign(&counts, CACHE_LINE, row * lb->workers) != 0)
		return false;
	memset(counts, 0, row * lb->workers);
	lb->counts = counts;
	lb->counts_row = row / sizeof(struct server_counters);
	return true;
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
		lb->listeners[i].upstream = &lb->upstreams[from->upstream_index];
	}
	return true;
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
	return listeners_init(lb) && counts_init(lb);
}

struct lb *lb_new(const struct lb_config *config, unsigned workers)
{
	struct lb *lb = calloc(1, sizeof(*lb));

	if (!lb)
		return NULL;
	lb->config = config;
	lb->workers = workers;
	if (lb_init(lb))
		return lb;
	lb_free(lb);
	return NULL;
}

static void upstream_free(struct upstream *u)
{
	picker_free(u->picker);
	for (unsigned i = 0; i < u->count; i++) {
		if (u->servers[i].idle)
			server_close_idle(&u->servers[i]);
		free(u->servers[i].idle);
	}
	free(u->servers);
}

void lb_free(struct lb *lb)
{
	for (unsigned i = 0; i < lb->upstream_count; i++)
		upstream_free(&lb->upstreams[i]);
	free(lb->upstreams);
	free(lb->listeners);
	free(lb->counts);
	free(lb);
}

bool lb_is_draining(const struct lb *lb)
{
	const struct engine *engine = atomic_load_explicit(&lb->engine, memory_order_acquire);

	return engine && engine_is_draining(engine);
}

uint64_t lb_server_requests(const struct lb *lb, unsigned server)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < lb->workers; i++)
		sum += atomic_load_explicit(&lb_counts(lb, i, server)->requests, memory_order_relaxed);
	return sum;
}

uint64_t lb_server_failures(const struct lb *lb, unsigned server)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < lb->workers; i++)
		sum += atomic_load_explicit(&lb_counts(lb, i, server)->failures, memory_order_relaxed);
	return sum;
}
