#include "lb/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/lock.h"
#include "lb/health.h"
#include "lb/standing.h"
#include "obs/events.h"

/* A name that has no server yet is asked for so often, where `resolve` is longer. */
#define EAGER_NS CLOCK_NS_PER_S
/* How long the end waits for a lookup that is under way. */
#define STOP_PATIENCE_NS (100 * CLOCK_NS_PER_MS)

/* One name. The thread's, but what is constant. */
struct entry {
	struct name name;       /* constant */
	struct upstream *up;    /* constant: not after stop */
	struct server *servers; /* constant; name.slots of them: not after stop */
	int64_t interval;       /* constant; ns */
	struct target *targets; /* of its slots, as they are */
	struct target *looked;  /* likewise, as a lookup changes them */
	struct lookup result;   /* of the last one */
	int64_t due;            /* of the next one, on clock_now's scale */
	bool failing;           /* the last lookup failed, which was logged */
	unsigned left_out;      /* as logged last */
	unsigned unresolved;    /* likewise */
};

struct resolver {
	const struct lb *lb;       /* constant; not after stop */
	struct counters *counters; /* one set: the thread's */
	unsigned count;
	struct entry *entries;
	pthread_t thread;
	struct lock lock;
	pthread_cond_t wake; /* `stop` was set */
	pthread_cond_t idle; /* `busy` is no longer */
	bool stop;           /* lock */
	bool busy;           /* lock: in a lookup */
	bool abandoned;      /* lock: whoever is in that lookup frees all */
};

static void resolver_free(struct resolver *r)
{
	for (unsigned i = 0; i < r->count; i++) {
		free(r->entries[i].targets);
		free(r->entries[i].looked);
	}
	PTHREAD_OK(pthread_cond_destroy(&r->wake));
	PTHREAD_OK(pthread_cond_destroy(&r->idle));
	lock_destroy(&r->lock);
	free(r->entries);
	if (r->counters)
		counters_free(r->counters, 1);
	free(r);
}

static void describe(char *out, size_t size, const struct target *was, const struct target *is)
{
	char old[ADDR_TEXT_MAX], new[ADDR_TEXT_MAX];

	addr_format(&was->addr, old);
	addr_format(&is->addr, new);
	if (is->addr.len == 0)
		snprintf(out, size, "%s, %s, is gone", was->key, old);
	else if (was->addr.len == 0)
		snprintf(out, size, "%s has come, address %s", is->key, new);
	else if (strcmp(was->key, is->key) == 0)
		snprintf(out, size, "address changed from %s to %s", old, new);
	else
		snprintf(out, size, "%s, %s, is gone, %s has come, address %s", was->key, old, is->key, new);
}

static void move(struct resolver *r, struct entry *e, unsigned slot)
{
	struct server *s = &e->servers[slot];
	const struct target *is = &e->looked[slot];
	char what[2 * TARGET_KEY_MAX + 2 * ADDR_TEXT_MAX + 64];

	describe(what, sizeof(what), &e->targets[slot], is);
	server_set_address(s, &is->addr);
	if (!standing_moved(e->up, s, is->addr.len > 0, what, clock_now()))
		event_info("server %s of %s: %s", s->text, e->up->name, what);
	lb_drop_idle(r->lb, s);
	COUNT(r->counters, address_changes);
	health_wake(r->lb->health); /* it looks at newcomers */
}

static void apply_slot(struct resolver *r, struct entry *e, unsigned slot)
{
	const struct target *is = &e->looked[slot];

	standing_share(e->up, &e->servers[slot], is->share > 0 ? is->share : SHARE_FULL);
	if (!addr_equal(&e->targets[slot].addr, &is->addr))
		move(r, e, slot);
	e->targets[slot] = *is;
}

/* What was found, but could not be used: said when it changes. */
static void log_losses(struct entry *e)
{
	if (e->result.left_out > 0 && e->result.left_out != e->left_out)
		event_warning("%s of %s: %u more than its %u slots: a larger `slots` would take them in",
		        e->name.text, e->up->name, e->result.left_out, e->name.slots);
	if (e->result.unresolved > 0 && e->result.unresolved != e->unresolved)
		event_warning("%s of %s: %u of its targets cannot be resolved: %s", e->name.text, e->up->name,
		        e->result.unresolved, e->result.why);
	e->left_out = e->result.left_out;
	e->unresolved = e->result.unresolved;
}

/* Its slots in use. */
static unsigned filled(const struct entry *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->name.slots; i++)
		n += e->targets[i].addr.len > 0;
	return n;
}

static void apply(struct resolver *r, struct entry *e, bool good)
{
	if (good) {
		COUNT(r->counters, resolved);
		if (e->failing)
			event_info("%s of %s can be resolved again", e->name.text, e->up->name);
		for (unsigned i = 0; i < e->name.slots; i++)
			apply_slot(r, e, i);
		log_losses(e);
		diag_debug("%s of %s: looked up, %u of %u slots in use", e->name.text, e->up->name, filled(e),
		        e->name.slots);
	} else {
		COUNT(r->counters, resolve_failed);
		if (!e->failing)
			event_warning("%s of %s cannot be resolved: %s: %s", e->name.text, e->up->name,
			        e->result.why,
			        filled(e) > 0 ? "its last good addresses stay" : "it has none yet");
	}
	e->failing = !good;
}

/* When the next lookup of it is due. */
static void set_due(struct entry *e, int64_t now)
{
	e->due = now + (filled(e) > 0 || e->interval < EAGER_NS ? e->interval : EAGER_NS);
}

static struct entry *next_due(const struct resolver *r)
{
	struct entry *next = &r->entries[0];

	for (unsigned i = 1; i < r->count; i++)
		if (r->entries[i].due < next->due)
			next = &r->entries[i];
	return next;
}

static struct timespec time_of(int64_t at)
{
	return (struct timespec){.tv_sec = at / CLOCK_NS_PER_S, .tv_nsec = at % CLOCK_NS_PER_S};
}

/* Until e is due; false: to stop. */
static bool wait_locked(struct resolver *r, const struct entry *e)
{
	struct timespec until = time_of(e->due);

	lock_must_hold(&r->lock);
	while (!r->stop && clock_now() < e->due) {
		int error = pthread_cond_timedwait(&r->wake, &r->lock.mutex, &until);

		MUST(error == 0 || error == ETIMEDOUT);
		lock_taken_by_wait(&r->lock);
	}
	return !r->stop;
}

/* Touches e's own memory only. */
static bool look_up(struct entry *e)
{
	memcpy(e->looked, e->targets, e->name.slots * sizeof(*e->looked));
	return name_look_up(&e->name, e->looked, &e->result);
}

static void *resolver_thread(void *arg)
{
	struct resolver *r = arg;

	lock_take(&r->lock);
	for (;;) {
		struct entry *e = next_due(r);

		if (!wait_locked(r, e))
			break;
		r->busy = true;
		lock_drop(&r->lock);
		bool good = look_up(e);
		lock_take(&r->lock);
		r->busy = false;
		PTHREAD_OK(pthread_cond_signal(&r->idle));
		if (r->stop)
			break;
		apply(r, e, good);
		set_due(e, clock_now());
	}
	bool abandoned = r->abandoned;
	lock_drop(&r->lock);
	if (abandoned)
		resolver_free(r);
	return NULL;
}

static void log_found(const struct entry *e)
{
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < e->name.slots; i++)
		if (e->targets[i].addr.len > 0)
			diag_info("server %s of %s: %s, address %s", e->servers[i].text, e->up->name,
			        e->targets[i].key, addr_format(&e->targets[i].addr, text));
}

/* first: of the name's slots. */
static bool entry_init(struct entry *e, struct upstream *u, struct server *first)
{
	const struct lb_config_server *from = first->from;

	name_init(&e->name, from->address, (unsigned)from->slots, &u->config->nameserver_addr);
	e->up = u;
	e->servers = first;
	e->interval = u->config->resolve;
	e->targets = calloc(e->name.slots, sizeof(*e->targets));
	e->looked = calloc(e->name.slots, sizeof(*e->looked));
	if (!e->targets || !e->looked)
		return false;
	memcpy(e->targets, from->targets, e->name.slots * sizeof(*e->targets));
	log_found(e);
	set_due(e, clock_now());
	return true;
}

/* Counts the names; where r->entries is there, fills them. False when memory is out. */
static bool find_names(struct resolver *r, struct lb *lb)
{
	r->count = 0;
	for (unsigned i = 0; i < lb->upstream_count; i++) {
		struct upstream *u = &lb->upstreams[i];

		for (unsigned k = 0; k < u->count; k += (unsigned)u->servers[k].from->slots) {
			if (!u->servers[k].from->is_name || u->config->resolve == 0)
				continue;
			r->count++;
			if (r->entries && !entry_init(&r->entries[r->count - 1], u, &u->servers[k]))
				return false;
		}
	}
	return true;
}

static void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	PTHREAD_OK(pthread_condattr_init(&attr));
	PTHREAD_OK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC)); /* clock_now's */
	PTHREAD_OK(pthread_cond_init(cond, &attr));
	PTHREAD_OK(pthread_condattr_destroy(&attr));
}

static struct resolver *resolver_new(unsigned count)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	lock_init(&r->lock);
	cond_init(&r->wake);
	cond_init(&r->idle);
	r->entries = calloc(count, sizeof(*r->entries));
	r->counters = counters_new(1);
	if (r->entries && r->counters)
		return r;
	resolver_free(r);
	return NULL;
}

struct resolver *resolver_start(struct lb *lb, int *error)
{
	struct resolver none = {.entries = NULL};

	*error = 0;
	(void)find_names(&none, lb);
	if (none.count == 0)
		return NULL;
	*error = ENOMEM;
	struct resolver *r = resolver_new(none.count);
	if (!r)
		return NULL;
	r->lb = lb;
	if (find_names(r, lb))
		*error = pthread_create(&r->thread, NULL, resolver_thread, r);
	if (*error != 0) {
		resolver_free(r);
		return NULL;
	}
	(void)pthread_setname_np(r->thread, "tplb-resolve"); /* a name is a convenience */
	return r;
}

bool resolver_copy(
        struct resolver *r, const char *upstream, const struct lb_config_server *s, struct target *out)
{
	bool found = false;

	lock_take(&r->lock);
	for (unsigned i = 0; i < r->count && !found; i++) {
		const struct entry *e = &r->entries[i];

		found = strcmp(e->up->name, upstream) == 0 &&
		        strcmp(e->servers->from->address, s->address) == 0 &&
		        e->name.slots == (unsigned)s->slots;
		if (found)
			memcpy(out, e->targets, e->name.slots * sizeof(*out));
	}
	lock_drop(&r->lock);
	return found;
}

void resolver_stop(struct resolver *r, uint64_t past[COUNTER_COUNT])
{
	struct timespec until = time_of(clock_now() + STOP_PATIENCE_NS);

	lock_take(&r->lock);
	r->stop = true;
	PTHREAD_OK(pthread_cond_signal(&r->wake));
	for (int error = 0; r->busy && error == 0;) {
		error = pthread_cond_timedwait(&r->idle, &r->lock.mutex, &until);
		lock_taken_by_wait(&r->lock);
	}
	for (unsigned id = 0; id < COUNTER_COUNT; id++)
		past[id] += counters_sum(r->counters, 1, (enum counter_id)id);
	bool hangs = r->busy;
	r->abandoned = hangs;
	pthread_t thread = r->thread;
	lock_drop(&r->lock);
	if (hangs) { /* r is the thread's from now on */
		PTHREAD_OK(pthread_detach(thread));
		return;
	}
	PTHREAD_OK(pthread_join(thread, NULL));
	resolver_free(r);
}

const struct counters *resolver_counters(const struct resolver *r)
{
	return r->counters;
}
