#include "lb/page.h"

#include <string.h>

#include "base/clock.h"
#include "ctl/render.h"
#include "lb/metrics.h"
#include "lb/pick.h"
#include "lb/show.h"
#include "lb/show_events.h"
#include "lb/show_workers.h"
#include "lb/standing.h"
#include "obs/board.h"
#include "obs/events.h"

/* Of all counters those that the page makes rates of. */
static const enum counter_id shown[] = {COUNTER_connections_accepted, COUNTER_requests,
        COUNTER_requests_failed, COUNTER_requests_refused, COUNTER_refused_limit,
        COUNTER_refused_client_connections, COUNTER_responses_2xx, COUNTER_responses_3xx,
        COUNTER_responses_4xx, COUNTER_responses_5xx, COUNTER_bytes_in, COUNTER_bytes_out};

static json_t *counters_data(struct control *c)
{
	json_t *into = json_object();

	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		render_set_number(into, counter_name(shown[i]), balancer_counter(c->balancer, shown[i]));
	return into;
}

/* Not show_queue: it adds up every worker's histogram of waits. */
static json_t *queue_data(struct control *c)
{
	json_t *into = json_object();
	struct engine_queue queue = engine_queue(c->engine);

	lock_take(&c->lock);
	render_set_number(into, "queue_size", (uint64_t)c->config->queue.size);
	lock_drop(&c->lock);
	render_set_number(into, "queue_depth", queue.depth);
	render_set_number(into, "queue_oldest_us", (uint64_t)(queue.age / CLOCK_NS_PER_US));
	return into;
}

/* Of a histogram: how many in each bucket, up to the last that has any. */
static json_t *times_data(const uint64_t *cells)
{
	json_t *into = json_array();
	const uint64_t *buckets = cells + HISTOGRAM_BUCKETS;
	unsigned n = HISTOGRAM_BOUNDS + 1;

	while (n > 0 && buckets[n - 1] == 0)
		n--;
	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(into, json_integer((json_int_t)buckets[i]));
	return into;
}

/* What the buckets' bounds are. */
static json_t *bounds_data(void)
{
	json_t *into = json_array();

	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++)
		(void)json_array_append_new(into, json_integer(histogram_bounds[i] / CLOCK_NS_PER_US));
	return into;
}

static json_t *listener_data(const struct metrics_view *v, unsigned i)
{
	const struct lb_listener *l = &v->lb->listeners[i];
	const uint64_t *sums = v->listeners[i];
	json_t *into = json_object();
	char text[ADDR_TEXT_MAX];

	render_set_text(into, "listener", l->name);
	render_set_text(into, "address", addr_format(&v->connections[i].addr, text));
	render_set_text(into, "mode", lb_mode_names[l->mode]);
	render_set_text(into, "upstream", l->upstream->name);
	render_set_number(into, "connections", v->connections[i].open);
	render_set_number(
	        into, "requests", sums[LISTENER_answered] + sums[LISTENER_refused] + sums[LISTENER_failed]);
	render_set(into, "time", times_data(&sums[LISTENER_duration]));
	return into;
}

static json_t *listeners_data(const struct metrics_view *v)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < v->lb->config->listeners.count; i++)
		(void)json_array_append_new(rows, listener_data(v, i));
	return rows;
}

static json_t *server_data(const struct metrics_view *v, const struct upstream *u, const struct server *s)
{
	const uint64_t *sums = v->servers[s->index];
	const struct standing *standing = &v->standings[s->index];
	json_t *into = json_object();

	render_set_text(into, "upstream", u->name);
	render_set_text(into, "server", s->text);
	render_set_text(into, "state", server_state_name(server_state(s)));
	render_set_number(into, "since_s", (uint64_t)((v->now - standing->since) / CLOCK_NS_PER_S));
	render_set_number(into, "weight", server_said_weight(s));
	if (u->counts || s->most > 0)
		render_set_number(
		        into, "active", atomic_load_explicit(&s->load->active, memory_order_relaxed));
	else
		render_set(into, "active", NULL);
	render_set_number(into, "requests", sums[SERVER_requests]);
	render_set_number(into, "failures", sums[SERVER_failures]);
	render_set_number(into, "downs", standing->downs);
	render_set(into, "time", times_data(&sums[SERVER_response]));
	return into;
}

static json_t *servers_data(const struct metrics_view *v)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < v->lb->upstream_count; i++)
		for (unsigned k = 0; k < v->lb->upstreams[i].count; k++)
			(void)json_array_append_new(
			        rows, server_data(v, &v->lb->upstreams[i], &v->lb->upstreams[i].servers[k]));
	return rows;
}

static bool says_nothing(const json_t *value)
{
	return json_is_null(value) || json_is_false(value) ||
	       (json_is_integer(value) && json_integer_value(value) == 0);
}

/* There may be thousands of them: what says nothing is left out, and of those that are idle for how long. */
static json_t *workers_data(struct control *c)
{
	json_t *rows = show_workers(c), *row, *value;
	const char *name;
	void *next;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *doing = json_string_value(json_object_get(row, "doing"));

		(void)json_object_del(row, "taken");
		(void)json_object_del(row, "busy_us");
		if (doing && strcmp(doing, doing_word(DOING_IDLE)) == 0)
			(void)json_object_del(row, "age_us");
		json_object_foreach_safe(row, next, name, value) if (says_nothing(value))(void)
		        json_object_del(row, name);
	}
	return rows;
}

static bool write_data(json_t *data, FILE *out)
{
	bool written = data && render_json(data, out);

	json_decref(data);
	return written;
}

bool page_status(void *arg, FILE *out)
{
	struct control *c = arg;
	json_t *into = json_object();
	struct metrics_view v;

	if (!metrics_view_open(&v, c)) {
		json_decref(into);
		return false;
	}
	render_set_number(into, "time_ms", (uint64_t)(v.now / CLOCK_NS_PER_MS));
	render_set_number(into, "events_last", events_last());
	render_set(into, "status", show_status(c));
	render_set(into, "queue", queue_data(c));
	render_set(into, "counters", counters_data(c));
	render_set(into, "bounds_us", bounds_data());
	render_set(into, "listeners", listeners_data(&v));
	render_set(into, "servers", servers_data(&v));
	render_set(into, "workers", workers_data(c));
	metrics_view_close(&v);
	return write_data(into, out);
}

bool page_events(void *arg, FILE *out)
{
	json_t *into = json_object();

	(void)arg;
	render_set(into, "events", show_events(EVENTS_KEPT));
	return write_data(into, out);
}
