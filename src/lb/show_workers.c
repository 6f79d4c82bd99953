#include "lb/show_workers.h"

#include "base/clock.h"
#include "ctl/render.h"
#include "engine/engine.h"
#include "obs/board.h"

static uint64_t counter_of(const struct counters *set, enum counter_id id)
{
	return atomic_load_explicit(&set->value[id], memory_order_relaxed);
}

/* The step that began last, for at least as long as that. */
static int64_t age_of(const struct board_row *row, int64_t now)
{
	int64_t since = atomic_load_explicit(&row->since, memory_order_relaxed);

	return since < now ? now - since : 0;
}

static json_t *row_data(const struct control *c, unsigned id, const struct board_row *row,
        const struct counters *set, int64_t limit, int64_t now)
{
	static const char *const kinds[] = {
	        [SEAT_LOOP] = "loop", [SEAT_ACCEPTOR] = "acceptor", [SEAT_WORKER] = "worker"};
	struct board_entry e = board_entry_of(board_get(row));
	char name[ENGINE_SEAT_BYTES];
	enum engine_seat seat = engine_seat(c->engine, id, name);
	uint64_t busy_us = counter_of(set, COUNTER_busy_ns) / (uint64_t)CLOCK_NS_PER_US;

	json_t *into = json_object();

	render_set_text(into, "worker", name);
	render_set_text(into, "kind", kinds[seat]);
	render_set_text(into, "doing", doing_word(e.doing));
	render_set_bool(into, "asleep", e.asleep);
	render_set_number(into, "age_us", (uint64_t)(age_of(row, now) / CLOCK_NS_PER_US));
	render_set_number(into, "in_hand", board_holds(row));
	render_set_text(into, "server", e.label == LABEL_NONE ? NULL : label_text(e.label));
	render_set(into, "fd", e.fd < 0 ? NULL : json_integer(e.fd));
	render_set_bool(into, "stuck", watch_is_stuck(seat, row, limit, now));
	render_set_number(into, "taken", counter_of(set, COUNTER_dispatched));
	render_set(into, "busy_us", seat == SEAT_WORKER ? json_integer((json_int_t)busy_us) : NULL);
	return into;
}

static int64_t limit_of(struct control *c)
{
	lock_take(&c->lock);
	int64_t limit = c->config->timeouts.stuck;
	lock_drop(&c->lock);
	return limit;
}

json_t *show_workers(struct control *c)
{
	unsigned count;
	const struct board_row *board = engine_board(c->engine, &count);
	const struct counters *sets = engine_counters(c->engine, &count);
	json_t *rows = json_array();
	int64_t now = clock_now(), limit = limit_of(c);

	for (unsigned id = 0; rows && id < count; id++)
		if (board_entry_of(board_get(&board[id])).doing != DOING_GONE)
			(void)json_array_append_new(rows, row_data(c, id, &board[id], &sets[id], limit, now));
	return rows;
}

void show_workers_total(struct control *c, json_t *into)
{
	unsigned count, idle = 0, asleep = 0, running = 0, stuck = 0, in_hand = 0;
	int64_t now = clock_now(), limit = limit_of(c);
	const struct board_row *board = engine_board(c->engine, &count);

	for (unsigned id = 0; id < count; id++) {
		struct board_entry e = board_entry_of(board_get(&board[id]));
		char name[ENGINE_SEAT_BYTES];

		enum engine_seat seat = engine_seat(c->engine, id, name);

		stuck += watch_is_stuck(seat, &board[id], limit, now);
		if (e.doing == DOING_GONE || seat == SEAT_ACCEPTOR)
			continue;
		idle += e.doing == DOING_IDLE;
		asleep += e.doing != DOING_IDLE && e.asleep;
		running += e.doing != DOING_IDLE && !e.asleep;
		in_hand += board_holds(&board[id]);
	}
	render_set_number(into, "threads", idle + asleep + running);
	render_set_number(into, "idle", idle);
	render_set_number(into, "asleep", asleep);
	render_set_number(into, "running", running);
	render_set_number(into, "stuck", stuck);
	render_set_number(into, "in_hand", in_hand);
}
