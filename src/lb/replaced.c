/* The end of configurations that were replaced, and of listeners that left. */
#include "base/clock.h"
#include "base/diag.h"
#include "lb/balancer.h"
#include "lb/health.h"
#include "lb/shelf.h"
#include "obs/events.h"

#include <stdlib.h>

/* Old snapshots are looked at so often; the longer they last the rarer: a tunnel may keep one for hours. */
#define LOOK_NS (20 * CLOCK_NS_PER_MS)
#define LOOK_LATE_NS (500 * CLOCK_NS_PER_MS)
#define LATE_NS (5 * CLOCK_NS_PER_S)

static bool is_asked_for_locked(const struct balancer *b, const struct snapshot *s)
{
	lock_must_hold(&b->lock);
	for (const struct front *f = b->leaving; f; f = f->next)
		if (atomic_load(&f->now)->lb == s->lb)
			return true;
	return false;
}

/* Whether each worker was between two looks for a snapshot once since this one was retired. */
static bool all_have_passed(const struct balancer *b, struct snapshot *s)
{
	unsigned used;

	(void)engine_counters(b->engine, &used);
	while (s->passed < used && atomic_load(&b->readers[s->passed].seq) % 2 == 0)
		s->passed++;
	return s->passed >= used;
}

static bool loops_are_through(const struct balancer *b, const struct snapshot *s)
{
	for (unsigned i = 0; s->lb->config->engine == LB_ENGINE_ASYNC && i < b->loops; i++)
		if (!s->cleared[i])
			return false;
	return true;
}

static void see_to_shelves(struct lb *lb)
{
	for (unsigned i = 0; i < lb->upstream_count; i++)
		if (lb->upstreams[i].shelf)
			(void)shelf_tick(lb, &lb->upstreams[i], clock_now());
}

/* The order matters: who may begin is settled before those who have begun are counted. */
static bool is_over_locked(struct balancer *b, struct snapshot *s)
{
	bool ended = !s->lb->health || health_has_ended(s->lb->health);

	lock_must_hold(&b->lock);
	if (ended)
		see_to_shelves(s->lb);
	return s->pins == 0 && !is_asked_for_locked(b, s) && all_have_passed(b, s) && lb_uses(s->lb) == 0 &&
	       ended && loops_are_through(b, s);
}

static void add(uint64_t *to, const uint64_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] += from[i];
}

static void fold_upstream(const struct lb *from, struct upstream *u, struct upstream *to)
{
	add(to->past, u->past, UPSTREAM_CELLS);
	lb_sum(from, u->cells, UPSTREAM_CELLS, to->past);
	for (unsigned k = 0; k < u->count; k++) {
		struct server *s = &u->servers[k], *same = lb_same_server(to, u, s);

		if (!same)
			continue;
		add(same->past, s->past, SERVER_CELLS);
		lb_sum(from, s->cells, SERVER_CELLS, same->past);
	}
}

/* Its counts go on in the one that runs. */
static void fold_locked(struct balancer *b, struct snapshot *s)
{
	const struct lb *from = s->lb, *to = b->now->lb;

	lock_must_hold(&b->lock);
	for (unsigned id = 0; from->health && id < COUNTER_COUNT; id++)
		b->past[id] += counters_sum(health_counters(from->health), 1, (enum counter_id)id);
	for (unsigned i = 0; i < from->upstream_count; i++) {
		struct upstream *same = lb_find_upstream(to, from->upstreams[i].name);

		if (same)
			fold_upstream(from, &from->upstreams[i], same);
	}
	for (size_t i = 0; i < from->config->listeners.count; i++) {
		struct lb_listener *same = lb_same_listener(to, &from->listeners[i]);

		if (!same)
			continue;
		add(same->past, from->listeners[i].past, LISTENER_CELLS);
		lb_sum(from, from->listeners[i].cells, LISTENER_CELLS, same->past);
	}
}

/* Of two with one place it is the later one's: that of the reload that is waited for most likely. */
static void note_end_locked(struct balancer *b, const struct snapshot *s)
{
	struct balancer_end *end = &b->ends[s->number % BALANCER_ENDS];

	lock_must_hold(&b->lock);
	if (s->number == 0 || s->number < end->number)
		return;
	*end = (struct balancer_end){.number = s->number,
	        .under_way = s->under_way,
	        .lost = atomic_load_explicit(&s->lb->late_failures, memory_order_relaxed)};
}

static struct snapshot *take_over_locked(struct balancer *b, int64_t now, int64_t *next)
{
	struct snapshot **link = &b->old, *over = NULL;

	lock_must_hold(&b->lock);
	while (*link) {
		struct snapshot *s = *link;

		if (!is_over_locked(b, s)) {
			int64_t at = now + (now - s->since < LATE_NS ? LOOK_NS : LOOK_LATE_NS);

			*next = at < *next ? at : *next;
			link = &s->older;
			continue;
		}
		fold_locked(b, s);
		note_end_locked(b, s);
		*link = s->older;
		s->older = over;
		over = s;
	}
	return over;
}

static struct front *take_gone_locked(struct balancer *b, int64_t now, int64_t *next)
{
	struct front **link = &b->leaving, *gone = NULL;

	lock_must_hold(&b->lock);
	while (*link) {
		struct front *f = *link;

		if (!engine_listener_is_gone(f->listener)) {
			*next = now + LOOK_NS < *next ? now + LOOK_NS : *next;
			link = &f->next;
			continue;
		}
		*link = f->next;
		f->next = gone;
		gone = f;
	}
	return gone;
}

static void end_front(struct balancer *b, struct front *f)
{
	char text[ADDR_TEXT_MAX];

	diag_debug("listener %s: its last connection has ended", addr_format(&f->listener->addr, text));
	engine_forget(b->engine, f->listener);
	free(f);
}

void balancer_end_text(const struct balancer_end *end, char text[BALANCER_END_BYTES])
{
	snprintf(text, BALANCER_END_BYTES,
	        "reload: the configuration before is over: of %llu requests under way %llu were lost",
	        (unsigned long long)end->under_way, (unsigned long long)end->lost);
}

bool balancer_is_over(struct balancer *b, uint64_t number, struct balancer_end *end, uint64_t *under_way)
{
	bool over = true;

	lock_take(&b->lock);
	*end = b->ends[number % BALANCER_ENDS];
	if (end->number != number)
		*end = (struct balancer_end){0};
	for (const struct snapshot *s = b->old; s && over; s = s->older) {
		over = s->number != number;
		*under_way = lb_uses(s->lb);
	}
	lock_drop(&b->lock);
	return over;
}

static void end_snapshot(struct snapshot *s)
{
	char text[BALANCER_END_BYTES];

	if (s->number > 0) {
		balancer_end_text(
		        &(struct balancer_end){.under_way = s->under_way,
		                .lost = atomic_load_explicit(&s->lb->late_failures, memory_order_relaxed)},
		        text);
		event_info("%s", text);
	}
	snapshot_free(s);
}

int64_t balancer_look(struct balancer *b)
{
	int64_t now = clock_now(), next = CLOCK_NEVER;

	lock_take(&b->lock);
	struct front *gone = take_gone_locked(b, now, &next);
	struct snapshot *over = take_over_locked(b, now, &next);
	lock_drop(&b->lock);
	while (gone) {
		struct front *f = gone;

		gone = f->next;
		end_front(b, f);
	}
	while (over) {
		struct snapshot *s = over;

		over = s->older;
		end_snapshot(s);
	}
	return next;
}
