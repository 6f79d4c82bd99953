#include "config.h"

#include "lb/show.h"

#include <unistd.h>

#include "base/clock.h"
#include "ctl/render.h"
#include "lb/show_workers.h"
#include "lb/pick.h"
#include "lb/standing.h"

/* It never changes. */
static bool is_async(const struct control *c)
{
	return engine_workers(c->engine) == 0;
}

static void set_queue(json_t *into, const struct control *c)
{
	struct engine_queue queue = engine_queue(c->engine);

	render_set_number(into, "queue_depth", queue.depth);
	render_set_number(into, "queue_oldest_us", (uint64_t)(queue.age / CLOCK_NS_PER_US));
}

json_t *show_status(struct control *c)
{
	json_t *into = json_object();

	render_set_text(into, "version", PACKAGE_VERSION);
	render_set_number(into, "pid", (uint64_t)getpid());
	render_set_text(into, "state", engine_is_draining(c->engine) ? "draining" : "running");
	render_set_text(into, "engine", is_async(c) ? "async" : "pool");
	render_set_number(into, "uptime_s", (uint64_t)((clock_now() - c->since) / CLOCK_NS_PER_S));
	if (!is_async(c))
		render_set_number(into, "workers", engine_workers(c->engine));
	render_set_number(into, "loops", c->loops);
	render_set_number(into, "connections", engine_connections(c->engine));
	render_set_number(into, "connections_most", c->connections);
	set_queue(into, c);
	return into;
}

/* How many of a histogram's times there were, and how long all of them took together. */
static void set_times(json_t *into, const char *count, const char *sum_us, const uint64_t *cells)
{
	render_set_number(into, count, histogram_count(cells));
	render_set_number(into, sum_us, cells[HISTOGRAM_SUM] / (uint64_t)CLOCK_NS_PER_US);
}

static json_t *server_data(struct control *c, struct upstream *u, struct server *s)
{
	json_t *into = json_object();
	uint64_t sums[SERVER_CELLS] = {0};

	balancer_server_sums(c->balancer, u, s, sums);
	render_set_text(into, "upstream", u->name);
	render_set_text(into, "server", s->text);
	render_set_text(into, "state", server_state_name(server_state(s)));
	render_set_number(into, "weight", server_said_weight(s));
	/* Only then it is counted: a count that nobody looks at would be a line that all workers write. */
	if (u->counts || s->most > 0)
		render_set_number(
		        into, "active", atomic_load_explicit(&s->load->active, memory_order_relaxed));
	else
		render_set(into, "active", NULL);
	render_set_number(into, "requests", sums[SERVER_requests]);
	render_set_number(into, "failures", sums[SERVER_failures]);
	render_set_number(into, "downs", standing_downs(u, s));
	render_set_number(into, "weight_configured", (uint64_t)s->from->weight);
	render_set_bool(into, "backup", s->from->backup);
	render_set_number(into, "max_connections", s->most);
	render_set_number(into, "responses_2xx", sums[SERVER_responses_2xx]);
	render_set_number(into, "responses_3xx", sums[SERVER_responses_3xx]);
	render_set_number(into, "responses_4xx", sums[SERVER_responses_4xx]);
	render_set_number(into, "responses_5xx", sums[SERVER_responses_5xx]);
	render_set_number(into, "connects", sums[SERVER_connects]);
	set_times(into, "answers_timed", "answers_us", &sums[SERVER_response]);
	set_times(into, "connects_timed", "connects_us", &sums[SERVER_connect]);
	return into;
}

json_t *show_servers(struct control *c)
{
	json_t *rows = json_array();
	struct lb *lb = balancer_pin(c->balancer);

	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++)
			(void)json_array_append_new(
			        rows, server_data(c, &lb->upstreams[i], &lb->upstreams[i].servers[k]));
	balancer_unpin(c->balancer, lb);
	return rows;
}

static json_t *listener_data(const struct lb_listener *l, const struct listener *is)
{
	json_t *into = json_object();
	char text[ADDR_TEXT_MAX];

	render_set_text(into, "listener", l->name);
	render_set_text(into, "address", addr_format(&is->addr, text));
	render_set_text(into, "mode", lb_mode_names[l->mode]);
	render_set_text(into, "upstream", l->upstream->name);
	render_set_number(into, "connections", atomic_load_explicit(&is->open, memory_order_relaxed));
	return into;
}

json_t *show_listeners(struct control *c)
{
	json_t *rows = json_array();
	struct balancer *b = c->balancer;

	lock_take(&b->lock); /* its fronts are the snapshot's as long as it runs */
	const struct lb *lb = b->now->lb;
	for (size_t i = 0; i < lb->config->listeners.count; i++)
		(void)json_array_append_new(
		        rows, listener_data(&lb->listeners[i], b->now->fronts[i]->listener));
	lock_drop(&b->lock);
	return rows;
}

static void set_workers(json_t *into, struct control *c)
{
	unsigned count;
	const struct counters *sets = engine_counters(c->engine, &count);

	lock_take(&c->lock);
	render_set_number(into, "workers", engine_workers(c->engine));
	render_set_number(into, "workers_configured", (uint64_t)c->config->pool.workers);
	render_set_text(into, "workers_set_by", c->by_command > 0 ? "command" : "configuration");
	render_set_number(into, "workers_most", LB_WORKERS_MAX);
	render_set_number(into, "burst", (uint64_t)c->config->pool.burst);
	render_set_text(into, "hold", lb_hold_names[c->config->pool.hold]);
	lock_drop(&c->lock);
	render_set_number(into, "bursts", counters_sum(sets, count, COUNTER_bursts));
	render_set_number(
	        into, "busy_us", counters_sum(sets, count, COUNTER_busy_ns) / (uint64_t)CLOCK_NS_PER_US);
}

json_t *show_pool(struct control *c)
{
	json_t *into = json_object();
	struct lb *lb = balancer_pin(c->balancer);

	render_set_text(into, "engine", is_async(c) ? "async" : "pool");
	if (!is_async(c))
		set_workers(into, c);
	render_set_number(into, "loops", c->loops);
	if (c->loops > 0) {
		render_set_text(into, "driver", loop_driver_name(c->driver));
		render_set_number(into, "fibers", (uint64_t)lb->config->async.fibers);
	}
	balancer_unpin(c->balancer, lb);
	show_workers_total(c, into);
	return into;
}

json_t *show_queue(struct control *c)
{
	json_t *into = json_object();
	unsigned count;
	const struct counters *sets = engine_counters(c->engine, &count);
	struct waits_total w = counters_waits(sets, count);

	set_queue(into, c);
	lock_take(&c->lock);
	render_set_number(into, "queue_size", (uint64_t)c->config->queue.size);
	lock_drop(&c->lock);
	render_set_number(into, "waits_count", w.count);
	render_set_number(into, "waits_mean_us", w.count > 0 ? w.sum / w.count : 0);
	render_set_number(into, "waits_p50_us", waits_percentile(&w, 50));
	render_set_number(into, "waits_p90_us", waits_percentile(&w, 90));
	render_set_number(into, "waits_p99_us", waits_percentile(&w, 99));
	render_set_number(into, "waits_max_us", w.max);
	return into;
}

/* Under the lock no reload takes it away. */
void show_config_text(struct control *c, FILE *out)
{
	lock_take(&c->lock);
	lb_config_print(c->config, out);
	lock_drop(&c->lock);
}

json_t *show_config(struct control *c)
{
	lock_take(&c->lock);
	json_t *data = lb_config_json(c->config);
	lock_drop(&c->lock);
	return data;
}

json_t *show_counters(struct control *c)
{
	json_t *into = json_object();

	for (unsigned id = 0; id < COUNTER_COUNT; id++)
		render_set_number(into, counter_name((enum counter_id)id),
		        balancer_counter(c->balancer, (enum counter_id)id));
	return into;
}
