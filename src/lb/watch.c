#include "lb/watch.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "obs/board.h"
#include "obs/events.h"

enum { LOOKS = 4 /* within the limit */, WHERE_BYTES = 400 };

#define LOOK_MOST_NS (5 * CLOCK_NS_PER_S) /* a reload may bring another limit */

_Static_assert(WATCH_ROWS_MAX >= 4096 + ENGINE_LOOPS_MAX + 1, "each row that there can be");

static int64_t since_of(const struct board_row *row)
{
	return atomic_load_explicit(&row->since, memory_order_relaxed);
}

bool watch_is_stuck(enum engine_seat seat, const struct board_row *row, int64_t limit, int64_t now)
{
	struct board_entry e = board_entry_of(board_get(row));

	if (limit <= 0 || e.doing == DOING_GONE || e.asleep || (e.doing == DOING_IDLE && seat != SEAT_LOOP))
		return false;
	return now - since_of(row) >= limit;
}

void watch_init(struct watch *w, const struct engine *engine)
{
	*w = (struct watch){.engine = engine};
}

bool watch_is_dead(const struct watch *w)
{
	return w->dead;
}

/* " for up/127.0.0.1:9012 on descriptor 17", as far as that is known. */
static void describe(uint64_t word, char where[WHERE_BYTES])
{
	struct board_entry e = board_entry_of(word);
	int len = 0;

	where[0] = '\0';
	if (e.label != LABEL_NONE)
		len = snprintf(where, WHERE_BYTES, " for server %.300s", label_text(e.label));
	if (e.fd >= 0)
		snprintf(where + len, WHERE_BYTES - (size_t)len, " on descriptor %d", e.fd);
}

static void report(struct watch *w, unsigned id, const char *name, const struct board_row *row, int64_t now)
{
	uint64_t word = board_get(row);
	char where[WHERE_BYTES];

	w->stuck_since[id] = since_of(row);
	w->stuck_at[id] = word;
	atomic_store_explicit(&w->reports, atomic_load_explicit(&w->reports, memory_order_relaxed) + 1,
	        memory_order_relaxed);
	describe(word, where);
	event_error("thread tplb-%s is stuck: at \"%s\"%s for %.1f s, with %u connections in hand "
	            "(timeouts.stuck); "
	            "the others serve on",
	        name, doing_word(board_entry_of(word).doing), where,
	        (double)(now - w->stuck_since[id]) / (double)CLOCK_NS_PER_S, board_holds(row));
}

static void report_end(struct watch *w, unsigned id, const char *name, int64_t now)
{
	char where[WHERE_BYTES];

	describe(w->stuck_at[id], where);
	event_warning("thread tplb-%s goes on: it was stuck at \"%s\"%s for some %.1f s", name,
	        doing_word(board_entry_of(w->stuck_at[id]).doing), where,
	        (double)(now - w->stuck_since[id]) / (double)CLOCK_NS_PER_S);
	w->stuck_since[id] = 0;
}

int64_t watch_look(struct watch *w, int64_t limit)
{
	int64_t now = clock_now();
	unsigned count, there[3] = {0}, stuck[3] = {0};
	const struct board_row *board = engine_board(w->engine, &count);

	if (now < w->look_at)
		return w->look_at;
	MUST(count <= WATCH_ROWS_MAX);
	for (unsigned id = 0; id < count; id++) {
		char name[ENGINE_SEAT_BYTES];
		enum engine_seat seat = engine_seat(w->engine, id, name);
		bool is_stuck = watch_is_stuck(seat, &board[id], limit, now);

		if (w->stuck_since[id] != 0 && (!is_stuck || since_of(&board[id]) != w->stuck_since[id]))
			report_end(w, id, name, now);
		if (is_stuck && w->stuck_since[id] == 0)
			report(w, id, name, &board[id], now);
		there[seat] += board_entry_of(board_get(&board[id])).doing != DOING_GONE;
		stuck[seat] += is_stuck;
	}
	w->dead = false;
	for (int seat = 0; seat < 3; seat++)
		w->dead |= there[seat] > 0 && stuck[seat] == there[seat];
	w->look_at = now + (limit > 0 && limit < LOOKS * LOOK_MOST_NS ? limit / LOOKS : LOOK_MOST_NS);
	return w->look_at;
}
