/* The metrics of listeners, upstreams and servers. */
#include "base/clock.h"
#include "lb/metrics.h"
#include "lb/pick.h"
#include "lb/standing.h"

/* Who they are ------------------------------------------------------------------------------------------------*/

static const struct server *server_at(
        const struct metrics_view *v, unsigned n, const struct upstream **upstream)
{
	for (unsigned i = 0; i < v->lb->upstream_count; i++) {
		*upstream = &v->lb->upstreams[i];
		if (n < (*upstream)->count)
			return &(*upstream)->servers[n];
		n -= (*upstream)->count;
	}
	return NULL;
}

static bool nth_listener(
        const struct metrics_view *v, unsigned n, struct prometheus_label labels[3], const uint64_t **cells)
{
	if (n >= v->lb->config->listeners.count)
		return false;
	labels[0] = (struct prometheus_label){"listener", v->lb->listeners[n].name};
	labels[1] = (struct prometheus_label){NULL, NULL};
	*cells = v->listeners[n];
	return true;
}

static bool nth_upstream(
        const struct metrics_view *v, unsigned n, struct prometheus_label labels[3], const uint64_t **cells)
{
	if (n >= v->lb->upstream_count)
		return false;
	labels[0] = (struct prometheus_label){"upstream", v->lb->upstreams[n].name};
	labels[1] = (struct prometheus_label){NULL, NULL};
	*cells = v->upstreams[n];
	return true;
}

static bool nth_server(
        const struct metrics_view *v, unsigned n, struct prometheus_label labels[3], const uint64_t **cells)
{
	const struct upstream *u;
	const struct server *s = server_at(v, n, &u);

	if (!s)
		return false;
	labels[0] = (struct prometheus_label){"upstream", u->name};
	labels[1] = (struct prometheus_label){"server", s->text};
	labels[2] = (struct prometheus_label){NULL, NULL};
	*cells = v->servers[s->index];
	return true;
}

/* What is counted ---------------------------------------------------------------------------------------------*/

#define LISTENER_COUNT(name, metric, label, help) {metric, label, help, LISTENER_##name, false},
#define LISTENER_TIME(name, metric, label, help) {metric, label, help, LISTENER_##name, true},
static const struct metrics_tally of_listener[] = {
        LISTENER_COUNTS(LISTENER_COUNT) LISTENER_TIMES(LISTENER_TIME)};

#define UPSTREAM_COUNT(name, metric, label, help) {metric, label, help, UPSTREAM_##name, false},
#define UPSTREAM_TIME(name, metric, label, help) {metric, label, help, UPSTREAM_##name, true},
static const struct metrics_tally of_upstream[] = {
        UPSTREAM_COUNTS(UPSTREAM_COUNT) UPSTREAM_TIMES(UPSTREAM_TIME)};

#define SERVER_COUNT(name, metric, label, help) {metric, label, help, SERVER_##name, false},
#define SERVER_TIME(name, metric, label, help) {metric, label, help, SERVER_##name, true},
static const struct metrics_tally of_server[] = {SERVER_COUNTS(SERVER_COUNT) SERVER_TIMES(SERVER_TIME)};

#define ROWS(table) (table), sizeof(table) / sizeof((table)[0])

const struct metrics_part metrics_parts[] = {
        {"tplb_listener_", "listener", ROWS(of_listener), nth_listener},
        {"tplb_upstream_", "upstream", ROWS(of_upstream), nth_upstream},
        {"tplb_server_", "upstream, server", ROWS(of_server), nth_server},
        {NULL, NULL, NULL, 0, NULL},
};

/* What is looked at -------------------------------------------------------------------------------------------*/

static void write_listener_info(const struct metrics_view *v, const char *name, FILE *out)
{
	for (size_t i = 0; i < v->lb->config->listeners.count; i++) {
		const struct lb_listener *l = &v->lb->listeners[i];
		const struct prometheus_label labels[] = {{"listener", l->name},
		        {"bind", lb_config_listener(v->lb->config, i)->bind},
		        {"mode", lb_mode_names[l->mode]}, {"upstream", l->upstream->name}, {NULL, NULL}};

		prometheus_number(out, name, labels, "", 1);
	}
}

static void put_listener(const struct metrics_view *v, const char *name, FILE *out, size_t i, uint64_t value)
{
	const struct prometheus_label labels[] = {{"listener", v->lb->listeners[i].name}, {NULL, NULL}};

	prometheus_number(out, name, labels, "", value);
}

static void write_listener_connections(const struct metrics_view *v, const char *name, FILE *out)
{
	for (size_t i = 0; i < v->lb->config->listeners.count; i++)
		put_listener(v, name, out, i, v->connections[i].open);
}

static void write_listener_accepted(const struct metrics_view *v, const char *name, FILE *out)
{
	for (size_t i = 0; i < v->lb->config->listeners.count; i++)
		put_listener(v, name, out, i, v->connections[i].accepted);
}

static void write_listener_tunnels(const struct metrics_view *v, const char *name, FILE *out)
{
	for (size_t i = 0; i < v->lb->config->listeners.count; i++) {
		uint64_t opened = v->listeners[i][LISTENER_tunnels],
		         closed = v->listeners[i][LISTENER_tunnels_closed];

		put_listener(v, name, out, i, opened > closed ? opened - closed : 0);
	}
}

/* As server_state_name has them, each once. */
static const enum server_state states[] = {
        SERVER_UP, SERVER_DOWN, SERVER_DRAINING, SERVER_MAINT, SERVER_ABSENT};
enum { STATE_COUNT = sizeof(states) / sizeof(states[0]) };

static bool is_in(const struct server *s, enum server_state state)
{
	enum server_state now = server_state(s);

	return server_state_name(now) == server_state_name(state);
}

static void write_upstream_servers(const struct metrics_view *v, const char *name, FILE *out)
{
	for (unsigned i = 0; i < v->lb->upstream_count; i++)
		for (unsigned k = 0; k < STATE_COUNT; k++) {
			const struct upstream *u = &v->lb->upstreams[i];
			const struct prometheus_label labels[] = {
			        {"upstream", u->name}, {"state", server_state_name(states[k])}, {NULL, NULL}};
			uint64_t n = 0;

			for (unsigned s = 0; s < u->count; s++)
				n += is_in(&u->servers[s], states[k]);
			prometheus_number(out, name, labels, "", n);
		}
}

static void write_upstream_waiting(const struct metrics_view *v, const char *name, FILE *out)
{
	for (unsigned i = 0; i < v->lb->upstream_count; i++) {
		const struct upstream *u = &v->lb->upstreams[i];
		const struct prometheus_label labels[] = {{"upstream", u->name}, {NULL, NULL}};

		prometheus_number(out, name, labels, "", u->shelf ? queue_depth(u->shelf) : 0);
	}
}

static void write_upstream_oldest(const struct metrics_view *v, const char *name, FILE *out)
{
	for (unsigned i = 0; i < v->lb->upstream_count; i++) {
		const struct upstream *u = &v->lb->upstreams[i];
		const struct prometheus_label labels[] = {{"upstream", u->name}, {NULL, NULL}};
		int64_t since = u->shelf ? queue_oldest(u->shelf) : CLOCK_NEVER;

		prometheus_seconds(out, name, labels, "", since < v->now ? (uint64_t)(v->now - since) : 0);
	}
}

/* One server, and how it is called. */
struct place {
	const struct metrics_view *v;
	const struct upstream *u;
	const struct server *s;
	const struct prometheus_label *labels;
};

static void each_server(const struct metrics_view *v, const char *name, FILE *out,
        void (*put)(const struct place *at, const char *name, FILE *out))
{
	for (unsigned i = 0; i < v->lb->upstream_count; i++)
		for (unsigned k = 0; k < v->lb->upstreams[i].count; k++) {
			const struct upstream *u = &v->lb->upstreams[i];
			const struct prometheus_label labels[] = {
			        {"upstream", u->name}, {"server", u->servers[k].text}, {NULL, NULL}};

			put(&(struct place){v, u, &u->servers[k], labels}, name, out);
		}
}

/* A family whose samples are a value of each server for whom a condition holds. */
#define OF_SERVER(function, condition, value)                                                                \
	static void put_##function(const struct place *at, const char *name, FILE *out)                      \
	{                                                                                                    \
		if (condition)                                                                               \
			prometheus_number(out, name, at->labels, "", (value));                               \
	}                                                                                                    \
	static void function(const struct metrics_view *v, const char *name, FILE *out)                      \
	{                                                                                                    \
		each_server(v, name, out, put_##function);                                                   \
	}

OF_SERVER(write_server_up, true, server_state(at->s) == SERVER_UP)
OF_SERVER(write_server_weight, true, server_said_weight(at->s))
OF_SERVER(write_server_backup, true, at->s->from->backup)
OF_SERVER(write_server_limit, at->s->most > 0, at->s->most)
OF_SERVER(write_server_downs, true, at->v->standings[at->s->index].downs)
OF_SERVER(write_server_probes, true, at->v->standings[at->s->index].probes)
OF_SERVER(write_server_probes_failed, true, at->v->standings[at->s->index].probes_failed)
/* Only then it is counted: a count that nobody looks at would be a line that all workers write. */
OF_SERVER(write_server_active, at->u->counts || at->s->most > 0,
        atomic_load_explicit(&at->s->load->active, memory_order_relaxed))

static void put_server_state(const struct place *at, const char *name, FILE *out)
{
	for (unsigned i = 0; i < STATE_COUNT; i++) {
		char state[32];

		snprintf(state, sizeof(state), "state=\"%s\"", server_state_name(states[i]));
		prometheus_number(out, name, at->labels, state, is_in(at->s, states[i]));
	}
}

static void write_server_state(const struct metrics_view *v, const char *name, FILE *out)
{
	each_server(v, name, out, put_server_state);
}

static void put_server_changed(const struct place *at, const char *name, FILE *out)
{
	int64_t when = at->v->wall - (at->v->now - at->v->standings[at->s->index].since);

	prometheus_seconds(out, name, at->labels, "", when > 0 ? (uint64_t)when : 0);
}

static void write_server_changed(const struct metrics_view *v, const char *name, FILE *out)
{
	each_server(v, name, out, put_server_changed);
}

const struct metrics_family metrics_of_parts[] = {
        {"tplb_listener_info", PROMETHEUS_GAUGE, "listener, bind, mode, upstream",
                "always 1: where it listens, and for whom", write_listener_info},
        {"tplb_listener_connections", PROMETHEUS_GAUGE, "listener", "connections from it that are open",
                write_listener_connections},
        {"tplb_listener_connections_accepted_total", PROMETHEUS_COUNTER, "listener",
                "connections accepted from it", write_listener_accepted},
        {"tplb_listener_tunnels", PROMETHEUS_GAUGE, "listener", "tunnels that are open",
                write_listener_tunnels},
        {"tplb_upstream_servers", PROMETHEUS_GAUGE, "upstream, state",
                "how many of its servers are in this state", write_upstream_servers},
        {"tplb_upstream_waiting", PROMETHEUS_GAUGE, "upstream",
                "requests that wait for a server below its max_connections", write_upstream_waiting},
        {"tplb_upstream_waiting_oldest_seconds", PROMETHEUS_GAUGE, "upstream",
                "how long the one has waited that waits for longest; 0: none waits", write_upstream_oldest},
        {"tplb_server_up", PROMETHEUS_GAUGE, "upstream, server", "1: it gets requests", write_server_up},
        {"tplb_server_state", PROMETHEUS_GAUGE, "upstream, server, state",
                "1: it is in this state; up, down, draining, maint, absent (a name's empty slot)",
                write_server_state},
        {"tplb_server_state_changed_timestamp_seconds", PROMETHEUS_GAUGE, "upstream, server",
                "when its state changed last", write_server_changed},
        {"tplb_server_weight", PROMETHEUS_GAUGE, "upstream, server",
                "as configured, or as a command has set it", write_server_weight},
        {"tplb_server_backup", PROMETHEUS_GAUGE, "upstream, server", "1: it is a backup",
                write_server_backup},
        {"tplb_server_requests_active", PROMETHEUS_GAUGE, "upstream, server",
                "requests and tunnels that it has now; where that is counted: with max_connections, or a "
                "policy "
                "that looks at it",
                write_server_active},
        {"tplb_server_requests_limit", PROMETHEUS_GAUGE, "upstream, server",
                "its max_connections, where it has one", write_server_limit},
        {"tplb_server_downs_total", PROMETHEUS_COUNTER, "upstream, server", "times that it went down",
                write_server_downs},
        {"tplb_server_probes_total", PROMETHEUS_COUNTER, "upstream, server", "health probes of it",
                write_server_probes},
        {"tplb_server_probes_failed_total", PROMETHEUS_COUNTER, "upstream, server",
                "health probes of it that failed", write_server_probes_failed},
        {NULL, PROMETHEUS_GAUGE, NULL, NULL, NULL},
};
