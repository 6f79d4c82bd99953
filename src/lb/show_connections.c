#include "lb/show_connections.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/render.h"
#include "engine/look.h"
#include "obs/board.h"

/* What is kept while all are looked at: the `most` that come first are in front whenever twice as many were found. */
struct found {
	struct seen *at;
	size_t count, room;
	unsigned most;
};

/* As they are when a command begins. */
struct listener_names {
	char of[ENGINE_LISTENERS_MAX][SHOW_LISTENER_BYTES];
};

static const char *state_of(enum conn_at at)
{
	static const char *const states[] = {[CONN_AT_NOTHING] = "closing",
	        [CONN_AT_NEXT] = "parked",
	        [CONN_AT_HEAD] = "parked",
	        [CONN_AT_QUEUE] = "queued",
	        [CONN_AT_WORK] = "busy",
	        [CONN_AT_ROOM] = "queued",
	        [CONN_AT_LOOP] = "busy",
	        [CONN_AT_LINGER] = "closing"};

	return states[at];
}

static const char *waits_for(const struct seen *s)
{
	switch (s->at) {
	case CONN_AT_NEXT:
		return s->requests > 0 ? "next-request" : "first-request";
	case CONN_AT_HEAD:
		return "rest-of-head";
	case CONN_AT_QUEUE:
		return "worker";
	case CONN_AT_ROOM:
		return "server-with-room";
	case CONN_AT_LOOP:
		return "fiber";
	case CONN_AT_LINGER:
		return "client-to-close";
	case CONN_AT_WORK:
		return doing_word(board_entry_of(s->doing).doing);
	case CONN_AT_NOTHING:
		break;
	}
	return "nothing";
}

static bool set_most(struct show_filter *f, const char *word, char why[CONTROL_WHY_BYTES])
{
	char *end;

	errno = 0;
	long n = strtol(word, &end, 10);
	if (errno != 0 || *end != '\0' || n < 1 || n > SHOW_CONNECTIONS_MOST) {
		snprintf(why, CONTROL_WHY_BYTES, "1 to %d connections can be shown, not \"%.100s\"",
		        SHOW_CONNECTIONS_MOST, word);
		return false;
	}
	f->most = (unsigned)n;
	return true;
}

static bool set_client(struct show_filter *f, const char *word, char why[CONTROL_WHY_BYTES])
{
	f->by_client = addr_block_parse(word, &f->client);
	if (!f->by_client)
		snprintf(why, CONTROL_WHY_BYTES,
		        "client= takes an address or a block of them, such as 10.0.0.0/8, not \"%.100s\"",
		        word);
	return f->by_client;
}

static bool set_state(struct show_filter *f, const char *word)
{
	static const char *const states[] = {"parked", "queued", "busy", "closing"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(word, states[i]) == 0)
			f->state = states[i];
	return f->state != NULL;
}

bool show_filter_parse(struct show_filter *f, char *const *words, char why[CONTROL_WHY_BYTES])
{
	*f = (struct show_filter){.most = SHOW_CONNECTIONS};
	for (; *words; words++) {
		const char *word = *words;

		if (word[0] >= '0' && word[0] <= '9') {
			if (!set_most(f, word, why))
				return false;
		} else if (strncmp(word, "client=", 7) == 0) {
			if (!set_client(f, word + 7, why))
				return false;
		} else if (strncmp(word, "listener=", 9) == 0) {
			f->listener = word + 9;
		} else if (!set_state(f, word)) {
			snprintf(why, CONTROL_WHY_BYTES,
			        "connections are chosen by a number, parked, queued, busy or closing, "
			        "listener=NAME and client=ADDRESS, not \"%.100s\"",
			        word);
			return false;
		}
	}
	return true;
}

static bool is_wanted(const struct show_filter *f, const struct seen *s, const struct listener_names *names)
{
	if (f->state && strcmp(f->state, state_of(s->at)) != 0)
		return false;
	if (f->listener &&
	        (s->listener >= ENGINE_LISTENERS_MAX || strcmp(f->listener, names->of[s->listener]) != 0))
		return false;
	return !f->by_client || addr_block_has(&f->client, &s->peer);
}

/* The longest in its state first; who did not pass the queue counts by its age. */
static int by_since(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	int64_t one = x->since ? x->since : x->accepted_at, other = y->since ? y->since : y->accepted_at;

	return (one > other) - (one < other);
}

static void keep_first(struct found *f)
{
	if (f->count > 0) /* there is nowhere to sort before */
		qsort(f->at, f->count, sizeof(*f->at), by_since);
	if (f->count > f->most)
		f->count = f->most;
}

/* False when memory is out. */
static bool find(struct control *c, const struct show_filter *f, const struct listener_names *names,
        struct found *found)
{
	struct look look = {0};
	struct seen seen;

	while (engine_look(c->engine, &look, &seen)) {
		if (!is_wanted(f, &seen, names))
			continue;
		if (found->count == found->room && found->room >= 2 * (size_t)f->most)
			keep_first(found);
		if (found->count == found->room) {
			size_t room = found->room ? 2 * found->room : 64;
			struct seen *at = realloc(found->at, room * sizeof(*at));

			if (!at)
				return false;
			found->at = at;
			found->room = room;
		}
		found->at[found->count++] = seen;
	}
	keep_first(found);
	return true;
}

/* Milliseconds since then; 0 for what began in this moment, by a coarser clock. */
static uint64_t ms_since(int64_t then, int64_t now)
{
	return now > then ? (uint64_t)((now - then) / CLOCK_NS_PER_MS) : 0;
}

static json_t *connection_data(const struct seen *s, const struct listener_names *names, int64_t now)
{
	char client[ADDR_TEXT_MAX], id[48];
	struct addr peer = addr_of_ip(&s->peer);
	unsigned label = s->at == CONN_AT_WORK ? board_entry_of(s->doing).label : LABEL_NONE;
	json_t *into = json_object();

	snprintf(id, sizeof(id), "%u.%u.%u", s->lot, s->index, s->generation);
	render_set_text(into, "id", id);
	render_set_text(into, "listener", s->listener < ENGINE_LISTENERS_MAX ? names->of[s->listener] : NULL);
	render_set_text(into, "client", s->peer.family == 0 ? "unix:" : addr_format(&peer, client));
	render_set_text(into, "state", state_of(s->at));
	render_set_text(into, "waits_for", waits_for(s));
	render_set_text(into, "server", label != LABEL_NONE ? label_text(label) : NULL);
	render_set_number(into, "requests", s->requests);
	render_set_number(into, "age_ms", ms_since(s->accepted_at, now));
	if (s->since != 0)
		render_set_number(into, "since_ms", ms_since(s->since, now));
	else
		render_set(into, "since_ms", NULL);
	return into;
}

json_t *show_connections(struct control *c, const struct show_filter *f)
{
	struct listener_names *names = calloc(1, sizeof(*names));
	struct found found = {.most = f->most};
	json_t *rows = NULL;

	for (unsigned i = 0; names && i < ENGINE_LISTENERS_MAX; i++)
		engine_listener_name(c->engine, i, names->of[i], SHOW_LISTENER_BYTES);
	if (names && find(c, f, names, &found)) {
		int64_t now = clock_now();

		rows = json_array();
		for (size_t i = 0; i < found.count; i++)
			(void)json_array_append_new(rows, connection_data(&found.at[i], names, now));
	}
	free(found.at);
	free(names);
	return rows;
}
