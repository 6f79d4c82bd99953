#include "lb/standing.h"

#include <stdio.h>

#include "base/clock.h"
#include "obs/events.h"

enum { WHOLE = 256, FIRST_SHARE = 8 /* of WHOLE, that a slow start begins with */, RAMP_STEPS = 64 };
#define RAMP_STEP_MIN_NS (10 * CLOCK_NS_PER_MS)

const char *server_state_name(enum server_state state)
{
	static const char *const names[] = {[SERVER_UP] = "up",
	        [SERVER_DOWN] = "down",
	        [SERVER_DOWN_DRAINING] = "down",
	        [SERVER_DRAINING] = "draining",
	        [SERVER_MAINT] = "maint",
	        [SERVER_ABSENT] = "absent"};

	return names[state];
}

static enum server_state wanted_state(enum lb_server_state wanted)
{
	return wanted == LB_SERVER_MAINT   ? SERVER_MAINT
	       : wanted == LB_SERVER_DRAIN ? SERVER_DRAINING
	                                   : SERVER_UP;
}

/* What operator and health make together. */
static enum server_state state_of(const struct standing *st)
{
	if (st->absent)
		return SERVER_ABSENT;
	if (st->dead && st->wanted == SERVER_DRAINING)
		return SERVER_DOWN_DRAINING;
	return st->wanted == SERVER_MAINT ? SERVER_MAINT : st->dead ? SERVER_DOWN : st->wanted;
}

void standing_init(struct server *s, enum lb_server_state wanted, bool present, int64_t now)
{
	s->standing = (struct standing){
	        .wanted = wanted_state(wanted), .absent = !present, .since = now, .recheck_at = CLOCK_NEVER};
	atomic_init(&s->state, state_of(&s->standing));
}

static bool has_probes(const struct upstream *u)
{
	return u->config->health.type != LB_HEALTH_NONE;
}

/* As it is; but who is to look at it, and when, may be another one. */
static void take_over(struct upstream *u, struct server *s, const struct upstream *before_u, int64_t now)
{
	struct standing *st = &s->standing;

	st->rising = st->falling = 0;
	if (has_probes(u) || !st->dead)
		st->recheck_at = CLOCK_NEVER;
	else if (has_probes(before_u))
		st->recheck_at = now + u->config->passive.fail_timeout;
	if (u->config->slow_start == 0)
		atomic_store_explicit(&s->held_back, 0, memory_order_relaxed);
}

void standing_inherit(
        struct upstream *u, struct server *s, struct upstream *before_u, struct server *before, int64_t now)
{
	struct standing fresh = s->standing;
	unsigned generation;
	struct addr addr;

	(void)server_address(before, &addr, &generation);
	if (!addr_equal(&addr, &s->addr))
		return;
	lock_take(&before_u->lock);
	s->standing = before->standing;
	atomic_init(&s->held_back, atomic_load_explicit(&before->held_back, memory_order_relaxed));
	atomic_init(&s->fails, atomic_load_explicit(&before->fails, memory_order_relaxed));
	lock_drop(&before_u->lock);
	if (s->from->state != before->from->state) /* the file spoke last */
		s->standing.wanted = fresh.wanted;
	s->standing.absent = fresh.absent;
	take_over(u, s, before_u, now);
	atomic_init(&s->state, state_of(&s->standing));
}

bool standing_is_impaired(const struct server *s)
{
	return server_state(s) != SERVER_UP || server_share(s) < SHARE_FULL ||
	       atomic_load_explicit(&s->held_back, memory_order_relaxed) > 0;
}

static void count_impaired_locked(struct upstream *u)
{
	unsigned n = 0;

	lock_must_hold(&u->lock);
	for (unsigned i = 0; i < u->count; i++)
		n += standing_is_impaired(&u->servers[i]);
	atomic_store_explicit(&u->impaired, n, memory_order_relaxed);
}

static void hold_back_locked(struct upstream *u, struct server *s, unsigned part)
{
	lock_must_hold(&u->lock);
	atomic_store_explicit(&s->held_back, part, memory_order_relaxed);
}

static void log_change(const struct upstream *u, const struct server *s, enum server_state from,
        enum server_state to, const char *why, int64_t lasted)
{
	event(server_is_down(to) ? DIAG_WARNING : DIAG_INFO, "server %s of %s is %s: %s (%s for %.1f s)",
	        s->text, u->name, server_state_name(to), why, server_state_name(from),
	        (double)lasted / (double)CLOCK_NS_PER_S);
}

/* Takes in what changed in the standing. True: the state is another one. */
static bool settle_locked(struct upstream *u, struct server *s, const char *why, int64_t now)
{
	struct standing *st = &s->standing;
	enum server_state before = server_state(s), after = state_of(st);

	lock_must_hold(&u->lock);
	if (before == after)
		return false;
	log_change(u, s, before, after, why, now - st->since);
	st->since = now;
	st->downs += server_is_down(after) && !server_is_down(before);
	if (after == SERVER_UP && u->config->slow_start > 0) {
		st->slow_since = now;
		hold_back_locked(u, s, WHOLE - FIRST_SHARE);
	}
	atomic_store_explicit(&s->state, after, memory_order_relaxed);
	count_impaired_locked(u);
	return true;
}

static bool die_locked(struct upstream *u, struct server *s, const char *why, int64_t now)
{
	struct standing *st = &s->standing;

	lock_must_hold(&u->lock);
	if (st->dead)
		return false;
	st->dead = true;
	st->rising = 0;
	st->recheck_at = has_probes(u) ? CLOCK_NEVER : now + u->config->passive.fail_timeout;
	return settle_locked(u, s, why, now);
}

/* fails: so many in a row count as having been already. */
static bool revive_locked(struct upstream *u, struct server *s, unsigned fails, const char *why, int64_t now)
{
	struct standing *st = &s->standing;

	lock_must_hold(&u->lock);
	if (!st->dead)
		return false;
	st->dead = false;
	st->proved = true;
	st->falling = 0;
	st->recheck_at = CLOCK_NEVER;
	atomic_store_explicit(&s->fails, fails, memory_order_relaxed);
	return settle_locked(u, s, why, now);
}

bool standing_failed(struct upstream *u, struct server *s, const char *what, int64_t now)
{
	unsigned most = (unsigned)u->config->passive.max_fails;
	char why[160];

	if (most == 0)
		return false;
	unsigned fails = atomic_fetch_add_explicit(&s->fails, 1, memory_order_relaxed) + 1;
	if (fails < most || server_is_down(server_state(s)))
		return false;
	snprintf(why, sizeof(why), "max_fails (%u) reached, the last time: %s", most, what);
	lock_take(&u->lock);
	bool changed = die_locked(u, s, why, now);
	lock_drop(&u->lock);
	return changed;
}

bool standing_succeeded(struct upstream *u, struct server *s, bool in_panic, int64_t now)
{
	bool changed = false;

	atomic_store_explicit(&s->fails, 0, memory_order_relaxed);
	if (!in_panic || has_probes(u) || server_state(s) != SERVER_DOWN)
		return false;
	lock_take(&u->lock);
	changed = revive_locked(u, s, 0, "it answered a request", now);
	lock_drop(&u->lock);
	return changed;
}

bool standing_probed(struct upstream *u, struct server *s, bool good, const char *why, int64_t now)
{
	const struct lb_config_health *h = &u->config->health;
	struct standing *st = &s->standing;
	bool changed = false;
	char text[200];

	lock_take(&u->lock);
	st->probes++;
	st->probes_failed += !good;
	if (good) {
		st->falling = 0;
		st->rising++;
		snprintf(text, sizeof(text), "%lld good probe%s in a row", (long long)h->rise,
		        h->rise == 1 ? "" : "s");
		if (!st->dead)
			st->proved = true;
		else if (st->rising >= h->rise)
			changed = revive_locked(u, s, 0, text, now);
	} else {
		st->rising = 0;
		st->falling++;
		snprintf(text, sizeof(text), "%u bad probe%s in a row, the last: %s", st->falling,
		        st->falling == 1 ? "" : "s", why);
		/* Of a server that nobody has seen alive yet one is enough. */
		if (!st->dead && st->falling >= (st->proved ? h->fall : 1))
			changed = die_locked(u, s, text, now);
	}
	lock_drop(&u->lock);
	return changed;
}

bool standing_rechecked(struct upstream *u, struct server *s, bool good, const char *why, int64_t now)
{
	bool changed = false;

	lock_take(&u->lock);
	if (good) {
		unsigned most = (unsigned)u->config->passive.max_fails;

		changed = revive_locked(u, s, most > 0 ? most - 1 : 0, "it takes connections", now);
	} else if (s->standing.dead) {
		s->standing.recheck_at = now + u->config->passive.fail_timeout;
		diag_debug("server %s of %s is down still: %s", s->text, u->name, why);
	}
	lock_drop(&u->lock);
	return changed;
}

bool standing_want(struct upstream *u, struct server *s, enum lb_server_state wanted, int64_t now)
{
	lock_take(&u->lock);
	s->standing.wanted = wanted_state(wanted);
	bool changed = settle_locked(u, s, "the operator wants it so", now);
	lock_drop(&u->lock);
	return changed;
}

bool standing_moved(struct upstream *u, struct server *s, bool present, const char *why, int64_t now)
{
	struct standing *st = &s->standing;

	lock_take(&u->lock);
	st->absent = !present;
	st->dead = false;
	st->proved = false;
	st->rising = 0;
	st->falling = 0;
	st->recheck_at = CLOCK_NEVER;
	atomic_store_explicit(&s->fails, 0, memory_order_relaxed);
	bool changed = settle_locked(u, s, why, now);
	lock_drop(&u->lock);
	return changed;
}

void standing_share(struct upstream *u, struct server *s, unsigned share)
{
	if (share == server_share(s))
		return;
	lock_take(&u->lock);
	atomic_store_explicit(&s->lighter, SHARE_FULL - share, memory_order_relaxed);
	count_impaired_locked(u);
	lock_drop(&u->lock);
}

/* When the next step of the slow start is due. */
static int64_t ramp_locked(struct upstream *u, struct server *s, int64_t now)
{
	int64_t whole = u->config->slow_start, gone = now - s->standing.slow_since;
	int64_t step = whole / RAMP_STEPS > RAMP_STEP_MIN_NS ? whole / RAMP_STEPS : RAMP_STEP_MIN_NS;

	lock_must_hold(&u->lock);
	if (gone >= whole || server_state(s) != SERVER_UP) {
		hold_back_locked(u, s, 0);
		count_impaired_locked(u);
		return CLOCK_NEVER;
	}
	unsigned share = (unsigned)((double)gone / (double)whole * WHOLE);
	hold_back_locked(u, s, WHOLE - (share > FIRST_SHARE ? share : FIRST_SHARE));
	return now + step;
}

struct standing_due standing_tick(struct upstream *u, struct server *s, int64_t now)
{
	struct standing_due due = {.tick = CLOCK_NEVER};

	lock_take(&u->lock);
	if (atomic_load_explicit(&s->held_back, memory_order_relaxed) > 0)
		due.tick = ramp_locked(u, s, now);
	due.recheck = s->standing.recheck_at;
	due.probes = s->standing.wanted != SERVER_MAINT && !s->standing.absent;
	lock_drop(&u->lock);
	return due;
}

struct standing standing_copy(struct upstream *u, struct server *s)
{
	lock_take(&u->lock);
	struct standing copy = s->standing;
	lock_drop(&u->lock);
	return copy;
}

unsigned standing_downs(struct upstream *u, struct server *s)
{
	return standing_copy(u, s).downs;
}
