#include "lb/shelf.h"

#include "base/assert.h"
#include "base/clock.h"
#include "lb/pick.h"
#include "lb/standing.h"
#include "work/queue.h"

enum { BATCH = 32 };
#define LOOK_NS (50 * CLOCK_NS_PER_MS)
#define LOOK_MIN_NS CLOCK_NS_PER_MS

static unsigned limit_of(const struct server *s)
{
	uint64_t most = (uint64_t)s->most * server_ramp(s) / 256;

	return most > 0 ? (unsigned)most : 1;
}

bool shelf_lease(struct server *s)
{
	unsigned n = atomic_load(&s->load->active), most = limit_of(s);

	do {
		if (n >= most)
			return false;
	} while (!atomic_compare_exchange_weak(&s->load->active, &n, n + 1));
	return true;
}

static void give(struct lb *lb, struct exchange *x, struct server *s)
{
	CHECK_MAGIC(x, EXCHANGE_MAGIC);
	x->server = s;
	x->counted = s != NULL;
	x->overdue = s == NULL;
	x->in_panic = s && server_state(s) == SERVER_DOWN;
	engine_resume(atomic_load_explicit(&lb->engine, memory_order_acquire), x->conn, x);
}

/* One that could not be reached just now would fail whoever is given to it, one after the other: not before the next look. */
static bool refused_lately(const struct server *s)
{
	int64_t at = atomic_load_explicit(&s->refused_at, memory_order_relaxed);

	return at != 0 && clock_coarse() - at < LOOK_NS;
}

/* The freest in this state, of servers[from] to [to - 1], that has room: leased. NULL: none has. */
static struct server *lease_one(struct upstream *u, unsigned from, unsigned to, enum server_state state)
{
	for (;;) {
		struct server *best = NULL;

		for (unsigned i = from; i < to; i++) {
			struct server *s = &u->servers[i];

			if (server_state(s) == state && !refused_lately(s) &&
			        (s->most == 0 || atomic_load(&s->load->active) < limit_of(s)) &&
			        (!best || server_is_freer(s, best)))
				best = s;
		}
		if (!best)
			return NULL;
		if (best->most == 0)
			atomic_fetch_add(&best->load->active, 1);
		else if (!shelf_lease(best))
			continue; /* somebody else was faster: look again */
		return best;
	}
}

static bool any_is(const struct upstream *u, unsigned from, unsigned to, enum server_state state)
{
	for (unsigned i = from; i < to; i++)
		if (server_state(&u->servers[i]) == state)
			return true;
	return false;
}

/* A backup is one only while no other server is up. */
static bool is_first_choice(const struct upstream *u, const struct server *s)
{
	return server_state(s) == SERVER_UP &&
	       (s < u->servers + u->primaries || !any_is(u, 0, u->primaries, SERVER_UP));
}

/* In the order of pick_server: a backup only when no other server is up, one that is down only in panic. */
static struct server *lease_any(struct upstream *u)
{
	if (any_is(u, 0, u->primaries, SERVER_UP))
		return lease_one(u, 0, u->primaries, SERVER_UP);
	if (any_is(u, u->primaries, u->count, SERVER_UP))
		return lease_one(u, u->primaries, u->count, SERVER_UP);
	return u->config->panic ? lease_one(u, 0, u->count, SERVER_DOWN) : NULL;
}

/* Gives away what is free while somebody waits. */
static void share_out(struct lb *lb, struct upstream *u)
{
	struct queue_item item;
	struct server *s;

	while (queue_depth(u->shelf) > 0 && (s = lease_any(u))) {
		if (queue_try_take(u->shelf, &item, 1) == 1)
			give(lb, item.what, s);
		else
			atomic_fetch_sub(
			        &s->load->active, 1); /* then look again: who came meanwhile found it full */
	}
}

void shelf_end_lease(struct lb *lb, struct upstream *u, struct server *s)
{
	struct queue_item item;

	if (is_first_choice(u, s) && !refused_lately(s) && atomic_load(&s->load->active) <= limit_of(s) &&
	        queue_try_take(u->shelf, &item, 1) == 1) {
		give(lb, item.what, s);
		return;
	}
	atomic_fetch_sub(&s->load->active, 1);
	share_out(lb, u);
}

/* Who was given a server that could not be reached has waited already, and is next. False: there is no room. */
static bool put(struct exchange *x, struct upstream *u, int64_t now)
{
	struct lb *lb = x->lb;
	struct queue_item item = {.what = x, .since = now};

	if (x->shelved_at != 0) {
		int64_t timeout = lb->config->queue.timeout;

		if (timeout > 0 && now - x->shelved_at >= timeout)
			return false;
		item.since = x->shelved_at;
		return queue_put_back(u->shelf, item);
	}
	struct counters *counters = x->worker->counters;

	x->shelved_at = now;
	if (queue_put(u->shelf, &item, 1) == 0) {
		if (item.what == x)
			return false;
		give(lb, item.what, NULL); /* it was pushed out */
	}
	COUNT(counters, shelved);
	return true;
}

bool shelf_put(struct exchange *x)
{
	struct lb *lb = x->lb;
	struct upstream *u = x->listener->upstream;
	int64_t now = clock_now();
	unsigned worker = x->worker->id;

	if (!atomic_load_explicit(&lb->engine, memory_order_acquire))
		return false;     /* the program is just starting */
	lb_begin_use(lb, worker); /* x may be over, and with it the last use of lb, before this function is */
	conn_is_at(x->conn, CONN_AT_ROOM);
	bool waits = put(x, u, now);
	if (waits)
		share_out(lb, u);
	else
		conn_is_at(x->conn, CONN_AT_WORK);
	lb_end_use(lb, worker);
	return waits;
}

int64_t shelf_tick(struct lb *lb, struct upstream *u, int64_t now)
{
	struct queue_item items[BATCH];
	int64_t timeout = lb->config->queue.timeout, next = now + LOOK_NS;
	size_t n;

	while (timeout > 0 && (n = queue_take_older(u->shelf, now - timeout, items, BATCH)) > 0)
		for (size_t i = 0; i < n; i++)
			give(lb, items[i].what, NULL);
	while ((n = queue_take_shed(u->shelf, now, items, BATCH)) > 0)
		for (size_t i = 0; i < n; i++)
			give(lb, items[i].what, NULL);
	share_out(lb, u);
	int64_t oldest = queue_oldest(u->shelf), shed = queue_next_shed(u->shelf);
	if (timeout > 0 && oldest < CLOCK_NEVER - timeout && oldest + timeout < next)
		next = oldest + timeout;
	if (shed < next)
		next = shed;
	return next > now + LOOK_MIN_NS ? next : now + LOOK_MIN_NS;
}
