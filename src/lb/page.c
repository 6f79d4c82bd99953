#include "lb/page.h"

#include <string.h>

#include "base/clock.h"
#include "ctl/render.h"
#include "lb/show.h"
#include "lb/show_events.h"
#include "lb/show_workers.h"
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

	render_set_number(into, "time_ms", (uint64_t)(clock_now() / CLOCK_NS_PER_MS));
	render_set_number(into, "events_last", events_last());
	render_set(into, "status", show_status(c));
	render_set(into, "queue", queue_data(c));
	render_set(into, "counters", counters_data(c));
	render_set(into, "listeners", show_listeners(c));
	render_set(into, "servers", show_servers(c));
	render_set(into, "workers", workers_data(c));
	return write_data(into, out);
}

bool page_events(void *arg, FILE *out)
{
	json_t *into = json_object();

	(void)arg;
	render_set(into, "events", show_events(EVENTS_KEPT));
	return write_data(into, out);
}
