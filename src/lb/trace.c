#include "config.h"

#include "lb/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "obs/board.h"

enum {
	ROWS_MAX = ENGINE_LOOPS_MAX + 1 + LB_WORKERS_MAX,
	RINGS_BYTES = 32 * 1024 * 1024, /* of all rings together, as a rule */
	RING_EVENTS_LEAST = 1024,
	RING_EVENTS_MOST = 131072,
	PIECE_BYTES = 512 * 1024, /* of text; a piece ends at the first events that exceed it */
	EVENTS_AT_ONCE = 256
};

#define TELL_NS CLOCK_NS_PER_S
#define LOOK_NS (20 * CLOCK_NS_PER_MS) /* from one look into the rings to the next */

/* What is known of a row. */
struct traced {
	bool begun;
	uint64_t word;         /* what it does since `since` */
	int64_t since;         /* CLOCK_MONOTONIC ns */
	int64_t depth;         /* of its queue, as told last */
	uint64_t taken_before; /* counter `dispatched`, when the trace began */
};

struct trace {
	struct answer_feed feed; /* first */
	struct control *control;
	struct board_row *rows;
	int64_t start, end;  /* CLOCK_MONOTONIC ns */
	const char *newline; /* between two events: "\n", or "" */
	bool begun;          /* the head was written */
	bool ended;          /* no row is traced any more */
	int64_t told_at;     /* when the last piece with something in it was written, about */
	unsigned count;      /* rows that were begun */
	unsigned at;         /* whose ring is read next */
	uint64_t taken;      /* requests that are in it */
	uint64_t missed;     /* that were taken before their worker's row was traced */
	struct traced traced[ROWS_MAX];
};

static void print_string(const char *text, FILE *out)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c >= 127) /* whatever its encoding, it is JSON so */
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

/* Microseconds since the trace began, to the nanosecond. */
static void print_time(const struct trace *t, const char *name, int64_t time, FILE *out)
{
	int64_t ns = time - t->start;

	fprintf(out, ",\"%s\":%s%lld.%03d", name, ns < 0 ? "-" : "", llabs(ns) / 1000,
	        (int)(llabs(ns) % 1000));
}

/* The beginning of an event: what all have. */
static void print_event(const struct trace *t, const char *kind, unsigned row, const char *name, FILE *out)
{
	fprintf(out, ",%s{\"ph\":\"%s\",\"pid\":%d,\"tid\":%u,\"name\":\"%s\"", t->newline, kind,
	        (int)getpid(), row + 1, name);
}

static void print_meta(
        const struct trace *t, unsigned row, const char *name, const char *value, bool text, FILE *out)
{
	print_event(t, "M", row, name, out);
	if (text)
		fprintf(out, ",\"args\":{\"name\":\"%s\"}}", value);
	else
		fprintf(out, ",\"args\":{\"sort_index\":%u}}", row + 1);
}

/* A slice of the row from `since` to this time. */
static void print_slice(const struct trace *t, unsigned row, const char *name, int64_t until, FILE *out)
{
	int64_t since = t->traced[row].since;

	print_event(t, "X", row, name, out);
	print_time(t, "ts", since, out);
	fprintf(out, ",\"dur\":%lld.%03d", (long long)(until - since) / 1000, (int)((until - since) % 1000));
}

/* The row's step is over at this time: its slice. */
static void end_step(struct trace *t, unsigned row, int64_t until, FILE *out)
{
	struct traced *r = &t->traced[row];
	struct board_entry e = board_entry_of(r->word);

	if (until <= r->since)
		return;
	if (e.doing != DOING_GONE) {
		print_slice(t, row, doing_word(e.doing), until, out);
		if (e.asleep || e.fd >= 0 || e.label != LABEL_NONE) {
			fprintf(out,
			        ",\"args\":{\"asleep\":%s,\"fd\":%d,\"server\":", e.asleep ? "true" : "false",
			        e.fd);
			print_string(label_text(e.label), out);
			putc('}', out);
		}
		putc('}', out);
	}
	r->since = until;
}

/* Nobody knows what the row did up to this time. */
static void end_gap(struct trace *t, unsigned row, int64_t until, FILE *out)
{
	struct traced *r = &t->traced[row];

	if (until > r->since) {
		print_slice(t, row, "lost", until, out);
		putc('}', out);
		r->since = until;
	}
	r->word = board_word(DOING_GONE, LABEL_NONE, -1);
}

static void print_async(struct trace *t, const char *kind, unsigned row, const char *name, uint64_t id,
        int64_t time, FILE *out)
{
	print_event(t, kind, row, name, out);
	fprintf(out, ",\"cat\":\"request\",\"id\":\"%" PRIx64 "\"", id);
	print_time(t, "ts", time, out);
	putc('}', out);
}

static void print_depth(struct trace *t, unsigned row, int64_t depth, int64_t time, FILE *out)
{
	char name[48] = "queue", seat[ENGINE_SEAT_BYTES];

	if (depth < 0 || depth == t->traced[row].depth)
		return;
	t->traced[row].depth = depth;
	if (engine_workers(t->control->engine) == 0) {
		(void)engine_seat(t->control->engine, row, seat);
		snprintf(name, sizeof(name), "queue of %s", seat);
	}
	print_event(t, "C", row, name, out);
	print_time(t, "ts", time, out);
	fprintf(out, ",\"args\":{\"depth\":%" PRId64 "}}", depth);
}

static void print_taken(struct trace *t, unsigned row, const struct trace_event *e, FILE *out)
{
	int64_t put = e->time - (int64_t)e->value;

	t->taken++;
	print_async(t, "b", row, "request", e->id, put, out);
	print_async(t, "b", row, "queued", e->id, put, out);
	print_async(t, "e", row, "queued", e->id, e->time, out);
	print_depth(t, row, e->depth, e->time, out);
}

static void take_event(struct trace *t, unsigned row, const struct trace_event *e, FILE *out)
{
	if (e->time < t->start) /* a late writer's, of the trace before */
		return;
	if (e->after_gap)
		end_gap(t, row, e->time < t->end ? e->time : t->end, out);
	switch (e->kind) {
	case TRACE_STEP:
		end_step(t, row, e->time < t->end ? e->time : t->end, out);
		t->traced[row].word = e->value;
		break;
	case TRACE_TAKEN:
		print_taken(t, row, e, out);
		break;
	case TRACE_NEXT:
		print_async(t, "b", row, "request", e->id, e->time, out);
		break;
	case TRACE_DONE:
		print_async(t, "e", row, "request", e->id, e->time, out);
		break;
	case TRACE_QUEUE:
		print_depth(t, row, (int64_t)e->value, e->time, out);
		break;
	}
}

static uint64_t dispatched(const struct control *c, unsigned row)
{
	unsigned count;
	const struct counters *sets = engine_counters(c->engine, &count);

	return atomic_load_explicit(&sets[row].value[COUNTER_dispatched], memory_order_relaxed);
}

/* Rows that have come are traced from now on. */
static void begin_rows(struct trace *t, FILE *out)
{
	unsigned count;
	const struct control *c = t->control;

	(void)engine_board(c->engine, &count);
	size_t events = RINGS_BYTES / sizeof(struct trace_event) / (count > 0 ? count : 1);
	if (events > RING_EVENTS_MOST)
		events = RING_EVENTS_MOST;
	if (events < RING_EVENTS_LEAST)
		events = RING_EVENTS_LEAST;
	for (unsigned i = 0; i < count; i++) {
		struct traced *r = &t->traced[i];
		char name[ENGINE_SEAT_BYTES], text[ENGINE_SEAT_BYTES + 8];

		if (r->begun || board_entry_of(board_get(&t->rows[i])).doing == DOING_GONE ||
		        !trace_begin(&t->rows[i], events))
			continue;
		t->missed += dispatched(c, i) - r->taken_before;
		r->since = clock_now();
		r->word = board_get(&t->rows[i]);
		r->begun = true;
		(void)engine_seat(c->engine, i, name);
		snprintf(text, sizeof(text), "tplb-%s", name);
		print_meta(t, i, "thread_name", text, true, out);
		print_meta(t, i, "thread_sort_index", "", false, out);
	}
	t->count = count;
}

static void begin(struct trace *t, FILE *out)
{
	fprintf(out,
	        "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[%s{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_"
	        "name\","
	        "\"args\":{\"name\":\"tplb\"}}",
	        t->newline, (int)getpid());
	t->begun = true;
}

/* False: the piece is full before all was read. */
static bool read_rows(struct trace *t, FILE *out)
{
	struct trace_event events[EVENTS_AT_ONCE];
	size_t n;

	for (unsigned k = 0; k < t->count; k++, t->at = (t->at + 1) % t->count)
		while (t->traced[t->at].begun &&
		        (n = trace_read(&t->rows[t->at], events, EVENTS_AT_ONCE)) > 0) {
			for (size_t i = 0; i < n; i++)
				take_event(t, t->at, &events[i], out);
			if (ftell(out) > PIECE_BYTES)
				return false;
		}
	return true;
}

static void stop(struct trace *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->traced[i].begun)
			trace_end(&t->rows[i]);
	t->ended = true;
}

static void print_end(struct trace *t, FILE *out)
{
	uint64_t lost = t->missed;

	for (unsigned i = 0; i < t->count; i++) {
		if (!t->traced[i].begun)
			continue;
		end_step(t, i, t->end, out);
		lost += trace_lost(&t->rows[i]);
	}
	fprintf(out,
	        "],\"otherData\":{\"version\":\"%s\",\"engine\":\"%s\",\"seconds\":%" PRId64
	        ",\"taken\":%" PRIu64 ",\"lost\":%" PRIu64 "}}\n",
	        PACKAGE_VERSION, engine_workers(t->control->engine) > 0 ? "pool" : "async",
	        (t->end - t->start) / CLOCK_NS_PER_S, t->taken, lost);
}

static bool next(struct answer_feed *f, FILE *out, int64_t *at, char why[ANSWER_WHY_BYTES])
{
	struct trace *t = (struct trace *)f;

	(void)why;
	if (!t->begun)
		begin(t, out);
	if (!t->ended)
		begin_rows(t, out);
	if (!t->ended && clock_now() >= t->end)
		stop(t);
	bool was_ended = t->ended;
	bool read_all = read_rows(t, out);
	if (was_ended && read_all) {
		print_end(t, out);
		return false;
	}
	int64_t look = clock_now() + LOOK_NS;
	*at = !read_all ? 0 : look < t->end ? look : t->end;
	if (ftell(out) > 0 ||
	        look >= t->told_at +
	                        TELL_NS) { /* a sign of life for who waits; blanks mean nothing in JSON */
		putc(t->newline[0] == '\n' ? '\n' : ' ', out);
		t->told_at = look;
	}
	return true;
}

static void end(struct answer_feed *f)
{
	struct trace *t = (struct trace *)f;

	stop(t);
	for (unsigned i = 0; i < t->count; i++)
		if (t->traced[i].begun)
			trace_trim(&t->rows[i]);
	atomic_store_explicit(&t->control->traced, false, memory_order_relaxed);
	free(t);
}

static int64_t parse_seconds(const char *word)
{
	char *rest;

	errno = 0;
	long n = strtol(word, &rest, 10);
	return errno == 0 && rest != word && *rest == '\0' && n >= 1 && n <= TRACE_SECONDS_MAX ? n : 0;
}

struct answer_feed *trace_start(void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES])
{
	struct control *c = arg;
	int64_t seconds = parse_seconds(words[0]);
	unsigned count;

	if (seconds == 0) {
		snprintf(why, ANSWER_WHY_BYTES,
		        "a trace takes a whole number of seconds from 1 to %d, not \"%.100s\"",
		        TRACE_SECONDS_MAX, words[0]);
		return NULL;
	}
	if (atomic_exchange_explicit(&c->traced, true, memory_order_relaxed)) {
		snprintf(why, ANSWER_WHY_BYTES,
		        "somebody else is taking a trace; ask again when that is over");
		return NULL;
	}
	struct trace *t = calloc(1, sizeof(*t));
	if (!t) {
		atomic_store_explicit(&c->traced, false, memory_order_relaxed);
		snprintf(why, ANSWER_WHY_BYTES, "out of memory; ask again later");
		return NULL;
	}
	t->feed = (struct answer_feed){.next = next, .end = end};
	t->control = c;
	t->rows = engine_rows(c->engine, &count);
	t->newline = as_json ? "" : "\n";
	t->start = clock_now();
	t->end = t->start + seconds * CLOCK_NS_PER_S;
	for (unsigned i = 0; i < count; i++)
		t->traced[i].taken_before = dispatched(c, i);
	for (unsigned i = 0; i < ROWS_MAX; i++)
		t->traced[i].depth = -1;
	return &t->feed;
}
