#include "lb/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/diag.h"
#include "lb/control.h"
#include "lb/health.h"
#include "lb/pick.h"
#include "lb/reload_answer.h"
#include "lb/show.h"
#include "lb/show_connections.h"
#include "lb/show_events.h"
#include "lb/show_workers.h"
#include "lb/standing.h"
#include "lb/trace.h"
#include "obs/events.h"

/* What is shown without any words: show_NAME, as a row of the table takes it. */
#define SHOW(name)                                                                                           \
	static json_t *name##_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])                \
	{                                                                                                    \
		(void)words;                                                                                 \
		(void)why;                                                                                   \
		return show_##name(arg);                                                                     \
	}

SHOW(status)
SHOW(servers)
SHOW(pool)
SHOW(workers)
SHOW(queue)
SHOW(counters)
SHOW(listeners)
SHOW(config)

static bool print_config(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	(void)why;
	show_config_text(arg, out);
	return true;
}

static json_t *connections_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	struct show_filter filter;

	return show_filter_parse(&filter, words, why) ? show_connections(arg, &filter) : NULL;
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

/* A whole number from 1 to `most`; 0: it is none. */
static unsigned parse_number(const char *word, unsigned most)
{
	char *end;

	errno = 0;
	long n = strtol(word, &end, 10);
	return errno == 0 && *end == '\0' && end != word && n >= 1 && n <= (long)most ? (unsigned)n : 0;
}

/* As it is now. */
static json_t *server_data(const struct upstream *u, const struct server *s)
{
	json_t *data = json_object();

	render_set_text(data, "upstream", u->name);
	render_set_text(data, "server", s->text);
	render_set_text(data, "state", server_state_name(server_state(s)));
	return data;
}

static json_t *set_weight(struct upstream *u, struct server *s, const char *word, char why[ANSWER_WHY_BYTES])
{
	unsigned weight = word ? parse_number(word, LB_WEIGHT_MAX) : 0, before = server_said_weight(s);

	if (weight == 0) {
		snprintf(why, ANSWER_WHY_BYTES,
		        "a weight is a whole number from 1 to %d, not \"%.100s\"; \"drain\" takes a server "
		        "out",
		        LB_WEIGHT_MAX, word ? word : "");
		return NULL;
	}
	if (!server_weigh(u, s, weight))
		return NULL;
	diag_info("server %s of %s: weight %u in place of %u, by command", s->text, u->name, weight, before);
	json_t *data = server_data(u, s);
	render_set_number(data, "weight", weight);
	render_set_number(data, "weight_configured", (uint64_t)s->from->weight);
	return data;
}

static json_t *set_server_of(struct lb *lb, char *const *words, char why[ANSWER_WHY_BYTES])
{
	static const char *const states[] = {
	        [LB_SERVER_READY] = "ready", [LB_SERVER_DRAIN] = "drain", [LB_SERVER_MAINT] = "maint", NULL};
	struct upstream *u;
	struct server *s;
	int wanted = 0;

	if (!find_server(lb, words[0], &u, &s)) {
		suggest_server(lb, words[0], why);
		return NULL;
	}
	if (strcmp(words[1], "weight") == 0)
		return set_weight(u, s, words[2], why);
	while (states[wanted] && strcmp(states[wanted], words[1]) != 0)
		wanted++;
	if (!states[wanted] || words[2]) {
		snprintf(why, ANSWER_WHY_BYTES,
		        "a server is set to drain, ready, maint or weight N, not \"%.100s%s%.100s\"",
		        words[1], words[2] ? " " : "", words[2] ? words[2] : "");
		return NULL;
	}
	if (standing_want(u, s, (enum lb_server_state)wanted, clock_now()))
		health_wake(lb->health);
	return server_data(u, s);
}

/* Not amid a reload: that would carry what was known before on. */
static json_t *set_server(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	struct control *c = arg;

	lock_take(&c->reloads);
	struct lb *lb = balancer_pin(c->balancer);
	json_t *done = set_server_of(lb, words, why);
	balancer_unpin(c->balancer, lb);
	lock_drop(&c->reloads);
	return done;
}

static json_t *events_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	unsigned most = words[0] ? parse_number(words[0], EVENTS_KEPT) : EVENTS_KEPT;

	(void)arg;
	if (most > 0)
		return show_events(most);
	snprintf(why, ANSWER_WHY_BYTES, "how many is a whole number from 1 to %d, not \"%.100s\"",
	        EVENTS_KEPT, words[0]);
	return NULL;
}

static bool set_workers(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	unsigned workers = parse_number(words[0], LB_WORKERS_MAX);

	if (workers == 0) {
		snprintf(why, ANSWER_WHY_BYTES, "workers are a whole number from 1 to %d, not \"%.100s\"",
		        LB_WORKERS_MAX, words[0]);
		return false;
	}
	return control_resize(arg, workers, out, why);
}

static bool upgrade(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	return upgrade_run(arg, out, why);
}

static bool advise_workers(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	return control_advise(arg, out, why);
}

_Static_assert(
        (int)CONTROL_WHY_BYTES <= (int)ANSWER_WHY_BYTES && (int)UPGRADE_WHY_BYTES <= (int)ANSWER_WHY_BYTES,
        "a reason fits into an answer");

static json_t *advise_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	return control_advise_data(arg, why);
}

const struct answer_command lb_commands[] = {
        {.name = "show status",
                .arguments = "",
                .help = "version, engine, uptime, workers, connections, queue",
                .data = status_data},
        {.name = "show servers",
                .arguments = "",
                .help = "a line a server: state, weight, requests it has now (-: not counted), requests, "
                        "failures, times it went down",
                .data = servers_data,
                .look = {.columns = "upstream/server state weight active requests failures downs"}},
        {.name = "show listeners",
                .arguments = "",
                .help = "a line a listener: where it listens, its mode, its upstream, its connections",
                .data = listeners_data},
        {.name = "show events",
                .arguments = "[N]",
                .help = "the last N changes that an operator may want to hear of, 200 at most: time, level, "
                        "what has happened",
                .data = events_data,
                .look = {.columns = "time level text", .bare = true, .open_end = true}},
        {.name = "show pool",
                .arguments = "",
                .help = "the workers, how many there are to be and who said so; the loops; how many do what",
                .data = pool_data},
        {.name = "show workers",
                .arguments = "",
                .help = "what each thread does now, for how long, with how many connections in hand, for "
                        "which "
                        "server and descriptor",
                .data = workers_data,
                .look = {.columns = "worker doing asleep age_us in_hand server fd stuck taken"}},
        {.name = "show queue",
                .arguments = "",
                .help = "how many wait and for how long; how long they waited",
                .data = queue_data},
        {.name = "show counters",
                .arguments = "",
                .help = "all that are not 0",
                .data = counters_data,
                .look = {.skip_zeros = true}},
        {.name = "show connections",
                .arguments = "[N] [parked|queued|busy|closing] [listener=NAME] [client=ADDRESS]",
                .help = "clients' connections, 100 or N, the longest in their state first: what they wait "
                        "for",
                .data = connections_data,
                .look = {.columns = "id listener client state waits_for server requests age_ms since_ms"}},
        {.name = "show config",
                .arguments = "",
                .help = "the configuration that runs, defaults filled in, as a file; what commands have set "
                        "is "
                        "not in it",
                .run = print_config,
                .data = config_data},
        {.name = "set server",
                .arguments = "UPSTREAM/SERVER drain|ready|maint|weight [N]",
                .help = "drain: no new requests; maint: nor probes; ready: what its health allows; weight "
                        "N: its share from now on, until the file says another one",
                .data = set_server,
                .look = {.columns = "upstream/server state weight", .bare = true}},
        {.name = "set pool workers",
                .arguments = "N",
                .help = "so many threads from now on, until the file says another number",
                .run = set_workers},
        {.name = "upgrade",
                .arguments = "",
                .help = "the program at its path now takes over, as by the signal USR2; answers when that "
                        "serves",
                .run = upgrade},
        {.name = "reload",
                .arguments = "[SECONDS]",
                .help = "reads the configuration again, as the signal HUP does; tells what has changed and, "
                        "as soon as all that had begun before have ended, what was lost: waits so long for "
                        "that, 5 if nothing is said",
                .feed = reload_begin},
        {.name = "advise",
                .arguments = "",
                .help = "how many workers would do, from the busiest ten seconds, with the arithmetic",
                .run = advise_workers,
                .data = advise_data},
        {.name = "trace",
                .arguments = "SECONDS",
                .help = "what the workers do meanwhile, as a timeline for Perfetto or chrome://tracing",
                .feed = trace_start},
        {.name = NULL},
};
