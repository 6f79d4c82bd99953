#include "config.h"

#include "lb/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lb/control.h"
#include "lb/health.h"
#include "lb/standing.h"
#include "lb/summary.h"

static void print_number(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void print_text(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s %s\n", name, value);
}

/* It never changes. */
static bool is_async(const struct control *c)
{
	return engine_workers(c->engine) == 0;
}

static void print_queue(const struct control *c, FILE *out)
{
	struct engine_queue queue = engine_queue(c->engine);

	print_number(out, "queue_depth", queue.depth);
	print_number(out, "queue_oldest_us", (uint64_t)(queue.age / CLOCK_NS_PER_US));
}

static bool show_status(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	const struct control *c = arg;

	(void)words;
	(void)why;
	print_text(out, "version", PACKAGE_VERSION);
	print_number(out, "pid", (uint64_t)getpid());
	print_text(out, "state", engine_is_draining(c->engine) ? "draining" : "running");
	print_text(out, "engine", is_async(c) ? "async" : "pool");
	print_number(out, "uptime_s", (uint64_t)((clock_now() - c->since) / CLOCK_NS_PER_S));
	if (!is_async(c))
		print_number(out, "workers", engine_workers(c->engine));
	print_number(out, "loops", c->loops);
	print_number(out, "connections", engine_connections(c->engine));
	print_number(out, "connections_most", c->connections);
	print_queue(c, out);
	return true;
}

static void print_server(struct control *c, struct upstream *u, struct server *s, FILE *out)
{
	char active[16] = "-";
	uint64_t requests, failures;

	balancer_server_counts(c->balancer, u, s, &requests, &failures);

	/* Only then it is counted: a count that nobody looks at would be a line that all workers write. */
	if (u->counts || s->most > 0)
		snprintf(active, sizeof(active), "%u",
		        atomic_load_explicit(&s->load->active, memory_order_relaxed));
	answer_print_word(u->name, out);
	putc('/', out);
	answer_print_word(s->text, out);
	fprintf(out, " %s %u %s %llu %llu %u\n", server_state_name(server_state(s)), s->weight, active,
	        (unsigned long long)requests, (unsigned long long)failures, standing_downs(u, s));
}

static bool show_servers(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	struct control *c = arg;
	struct lb *lb = balancer_pin(c->balancer);

	(void)words;
	(void)why;
	fputs("upstream/server state weight active requests failures downs\n", out);
	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++)
			print_server(c, &lb->upstreams[i], &lb->upstreams[i].servers[k], out);
	balancer_unpin(c->balancer, lb);
	return true;
}

static void show_loops(struct control *c, FILE *out)
{
	struct lb *lb = balancer_pin(c->balancer);

	print_number(out, "loops", c->loops);
	if (c->loops > 0) {
		print_text(out, "driver", loop_driver_name(c->driver));
		print_number(out, "fibers", (uint64_t)lb->config->async.fibers);
	}
	balancer_unpin(c->balancer, lb);
}

static bool show_pool(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	struct control *c = arg;
	unsigned count;

	(void)words;
	(void)why;
	print_text(out, "engine", is_async(c) ? "async" : "pool");
	if (!is_async(c)) {
		const struct counters *sets = engine_counters(c->engine, &count);

		lock_take(&c->lock);
		print_number(out, "workers", engine_workers(c->engine));
		print_number(out, "workers_configured", (uint64_t)c->config->pool.workers);
		print_text(out, "workers_set_by", c->by_command > 0 ? "command" : "configuration");
		print_number(out, "workers_most", LB_WORKERS_MAX);
		print_number(out, "burst", (uint64_t)c->config->pool.burst);
		print_text(out, "hold", lb_hold_names[c->config->pool.hold]);
		lock_drop(&c->lock);
		print_number(out, "bursts", counters_sum(sets, count, COUNTER_bursts));
		print_number(out, "busy_us",
		        counters_sum(sets, count, COUNTER_busy_ns) / (uint64_t)CLOCK_NS_PER_US);
	}
	show_loops(c, out);
	return true;
}

static bool show_queue(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	struct control *c = arg;
	unsigned count;
	const struct counters *sets = engine_counters(c->engine, &count);
	struct waits_total w = counters_waits(sets, count);

	(void)words;
	(void)why;
	print_queue(c, out);
	lock_take(&c->lock);
	print_number(out, "queue_size", (uint64_t)c->config->queue.size);
	lock_drop(&c->lock);
	print_number(out, "waits_count", w.count);
	print_number(out, "waits_mean_us", w.count > 0 ? w.sum / w.count : 0);
	print_number(out, "waits_p50_us", waits_percentile(&w, 50));
	print_number(out, "waits_p90_us", waits_percentile(&w, 90));
	print_number(out, "waits_p99_us", waits_percentile(&w, 99));
	print_number(out, "waits_max_us", w.max);
	return true;
}

static bool show_counters(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	const struct control *c = arg;

	(void)words;
	(void)why;
	for (unsigned id = 0; id < COUNTER_COUNT; id++) {
		uint64_t sum = balancer_counter(c->balancer, (enum counter_id)id);

		if (sum > 0)
			print_number(out, counter_name((enum counter_id)id), sum);
	}
	return true;
}

/* "UPSTREAM/SERVER"; either may have a slash in it. */
static bool is_called(const struct upstream *u, const struct server *s, const char *name)
{
	size_t len = strlen(u->name);

	return strncmp(name, u->name, len) == 0 && name[len] == '/' && strcmp(name + len + 1, s->text) == 0;
}

/* Who was meant by a name that nobody has. */
static void suggest_server(const struct lb *lb, const char *name, char why[ANSWER_WHY_BYTES])
{
	char **names = calloc(lb->server_count + 1, sizeof(*names)), said[ANSWER_WHY_BYTES / 2] = "";
	size_t n = 0;

	for (unsigned i = 0; names && i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++)
			n += asprintf(&names[n], "%s/%s", lb->upstreams[i].name,
			             lb->upstreams[i].servers[k].text) >= 0;
	if (names)
		names[n] = NULL; /* asprintf may have left something else */
	if (n > 0)
		answer_suggest(name, (const char *const *)names, "; \"show servers\" lists them", said,
		        sizeof(said));
	snprintf(why, ANSWER_WHY_BYTES, "there is no server \"%.100s\"%s", name, said);
	while (n > 0)
		free(names[--n]);
	free(names);
}

static bool find_server(
        const struct lb *lb, const char *name, struct upstream **upstream, struct server **server)
{
	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++) {
			*upstream = &lb->upstreams[i];
			*server = &(*upstream)->servers[k];
			if (is_called(*upstream, *server, name))
				return true;
		}
	return false;
}

static bool set_server_of(struct lb *lb, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	static const char *const states[] = {
	        [LB_SERVER_READY] = "ready", [LB_SERVER_DRAIN] = "drain", [LB_SERVER_MAINT] = "maint", NULL};
	struct upstream *u;
	struct server *s;
	int wanted = 0;

	if (!find_server(lb, words[0], &u, &s)) {
		suggest_server(lb, words[0], why);
		return false;
	}
	while (states[wanted] && strcmp(states[wanted], words[1]) != 0)
		wanted++;
	if (!states[wanted]) {
		snprintf(why, ANSWER_WHY_BYTES, "a server is set to drain, ready or maint, not \"%.100s\"",
		        words[1]);
		return false;
	}
	if (standing_want(u, s, (enum lb_server_state)wanted, clock_now()))
		health_wake(lb->health);
	answer_print_word(words[0], out);
	fprintf(out, " %s\n", server_state_name(server_state(s)));
	return true;
}

/* Not amid a reload: that would carry what was known before on. */
static bool set_server(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	struct control *c = arg;

	lock_take(&c->reloads);
	struct lb *lb = balancer_pin(c->balancer);
	bool done = set_server_of(lb, words, out, why);
	balancer_unpin(c->balancer, lb);
	lock_drop(&c->reloads);
	return done;
}

static bool set_workers(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	char *end;

	errno = 0;
	long workers = strtol(words[0], &end, 10);
	if (errno != 0 || *end != '\0' || end == words[0] || workers < 1 || workers > LB_WORKERS_MAX) {
		snprintf(why, ANSWER_WHY_BYTES, "workers are a whole number from 1 to %d, not \"%.100s\"",
		        LB_WORKERS_MAX, words[0]);
		return false;
	}
	return control_resize(arg, (unsigned)workers, out, why);
}

static bool reload(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	snprintf(why, ANSWER_WHY_BYTES,
	        "nothing was taken in; the lines above say why, `tplb -t` checks a file");
	return control_reload(arg, out);
}

static bool advise_workers(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	return control_advise(arg, out, why);
}

_Static_assert((int)CONTROL_WHY_BYTES <= (int)ANSWER_WHY_BYTES, "a reason fits into an answer");

const struct answer_command lb_commands[] = {
        {"show status", "", "version, engine, uptime, workers, connections, queue", show_status},
        {"show servers", "",
                "a line a server: state, weight, requests it has now (-: not counted), requests, failures, "
                "times it went down",
                show_servers},
        {"show pool", "", "the workers, how many there are to be and who said so; the loops", show_pool},
        {"show queue", "", "how many wait and for how long; how long they waited", show_queue},
        {"show counters", "", "all that are not 0", show_counters},
        {"set server", "UPSTREAM/SERVER drain|ready|maint",
                "drain: no new requests; maint: nor probes; ready: what its health allows", set_server},
        {"set pool workers", "N", "so many threads from now on, until the file says another number",
                set_workers},
        {"reload", "", "reads the configuration again, as the signal HUP does", reload},
        {"advise", "", "how many workers would do, from the busiest ten seconds, with the arithmetic",
                advise_workers},
        {NULL, NULL, NULL, NULL},
};
