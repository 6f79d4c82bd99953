/* One configuration after the other: the change. What becomes of the one before: replaced.c. */
#include "lb/balancer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "lb/health.h"
#include "lb/tell.h"

/* A change on its way. */
struct change {
	struct balancer *b;
	const struct lb_config *config;
	const struct supply *supply;
	struct snapshot *now, *next;
	size_t count;            /* of config's listeners */
	struct front **goes_on;  /* [listener]: of the one that runs; NULL: it is new */
	struct listener *opened; /* [listener]: new ones, fd -1 for the others */
	FILE *out;
	char *why;
};

/* Before -------------------------------------------------------------------------------------------------------*/

static void match_listeners(struct change *c)
{
	const struct lb_config *before = c->now->lb->config;

	for (size_t i = 0; i < c->count; i++)
		for (size_t k = 0; k < before->listeners.count; k++)
			if (lb_config_same_listener(
			            lb_config_listener(c->config, i), lb_config_listener(before, k)))
				c->goes_on[i] = c->now->fronts[k];
}

/* Whether one that leaves is what holds the address: it is let go of only when all else went well. */
static const char *remedy(const struct change *c, const struct lb_config_listener *l, int error)
{
	const struct lb_config *before = c->now->lb->config;

	if (error == EACCES)
		return " (ports below 1024 and protected folders need root)";
	if (error != EADDRINUSE)
		return "";
	for (size_t k = 0; k < before->listeners.count; k++)
		if (addr_collides(&l->addr, &lb_config_listener(before, k)->addr))
			return " (a listener that this reload would close holds it: take that away in one "
			       "reload, and "
			       "add this one in the next)";
	return " (another program uses it: ss -ltnp shows which)";
}

static bool open_listener(struct change *c, size_t i)
{
	const struct lb_config_listener *from = lb_config_listener(c->config, i);
	struct listener *l = &c->opened[i];
	char text[ADDR_TEXT_MAX];

	l->name = from->name;
	l->addr = from->addr;
	atomic_init(&l->eager, from->mode == LB_MODE_TCP && !from->accept_proxy);
	l->fd = c->supply->listen(c->supply->arg, from);
	if (l->fd < 0) {
		snprintf(c->why, BALANCER_WHY_BYTES, "listener %s: cannot listen on %s: %s%s", from->name,
		        addr_format(&from->addr, text), strerror(-l->fd), remedy(c, from, -l->fd));
		return false;
	}
	l->addr.len = sizeof(l->addr.u); /* port 0: which one it became */
	(void)getsockname(l->fd, &l->addr.u.any, &l->addr.len);
	return true;
}

static bool open_listeners(struct change *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (!c->goes_on[i] && !open_listener(c, i))
			return false;
	return true;
}

static void close_opened(struct change *c)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->opened[i].fd < 0)
			continue;
		c->supply->remove(c->supply->arg, lb_config_listener(c->config, i));
		close(c->opened[i].fd);
	}
}

/* For all who may wait on shelves, also on those of snapshots that are not over. */
static bool make_room(struct change *c)
{
	size_t others = 0;

	lock_take(&c->b->lock);
	for (const struct snapshot *s = c->b->old; s; s = s->older)
		others += lb_shelf_room(s->lb);
	lock_drop(&c->b->lock);
	others += lb_shelf_room(c->now->lb);
	return engine_set_shelved(c->b->engine, lb_shelved(c->next->lb, others));
}

/* What a new listener needs but the engine. False when memory is out. */
static bool make_fronts(struct change *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct front *f = c->goes_on[i] ? c->goes_on[i] : front_new();

		if (!f)
			return false;
		c->next->fronts[i] = f;
		if (!c->goes_on[i])
			front_set(f, &c->next->lb->listeners[i]);
		c->opened[i].app = f;
	}
	return true;
}

/* Those that no acceptor has heard of. */
static void free_fronts(struct change *c)
{
	for (size_t i = 0; c->next && i < c->count; i++) {
		struct front *f = c->next->fronts[i];

		if (c->goes_on[i] || !f || f->listener)
			continue;
		free(f);
		c->next->fronts[i] = NULL;
	}
}

/* The change -----------------------------------------------------------------------------------------------------*/

static void leave(struct change *c, struct front *f, const struct lb_config_listener *of)
{
	struct balancer *b = c->b;

	c->supply->remove(c->supply->arg, of); /* before the next one may have the path */
	engine_unlisten(b->engine, f->listener);
	lock_take(&b->lock);
	f->next = b->leaving;
	b->leaving = f;
	lock_drop(&b->lock);
}

/* Its counts so far, and those that still come while it ends, go into the sums. */
static void end_resolver(struct balancer *b, struct snapshot *s)
{
	struct resolver *r = s->resolver;
	uint64_t before[COUNTER_COUNT], after[COUNTER_COUNT] = {0};

	if (!r)
		return;
	lock_take(&b->lock);
	s->resolver = NULL;
	for (unsigned id = 0; id < COUNTER_COUNT; id++) {
		before[id] = counters_sum(resolver_counters(r), 1, (enum counter_id)id);
		b->past[id] += before[id];
	}
	lock_drop(&b->lock);
	resolver_stop(r, after);
	lock_take(&b->lock);
	for (unsigned id = 0; id < COUNTER_COUNT; id++)
		b->past[id] += after[id] - before[id];
	lock_drop(&b->lock);
}

/* No more requests begin in it but those of listeners that leave. next: takes its place; NULL: it never ran. */
static void retire(struct balancer *b, struct snapshot *s, struct snapshot *next)
{
	atomic_store_explicit(&s->lb->retired, true, memory_order_release);
	/* At once: who has it pinned finds it among the old ones, and no sum is without it for a moment. */
	lock_take(&b->lock);
	s->under_way = lb_uses(s->lb);
	if (next) {
		b->now = next;
		s->number = ++b->replaced;
		b->under_way = s->under_way;
	}
	s->older = b->old;
	b->old = s;
	s->pins++;
	s->since = clock_now();
	lock_drop(&b->lock);
	if (s->lb->health)
		health_retire(s->lb->health);
	end_resolver(b, s);
}

/* One that does not come to run after all. */
static void drop(struct balancer *b, struct snapshot *s)
{
	retire(b, s, NULL);
	balancer_unpin(b, s->lb);
}

/* The first of them is heard at once: its front is there already. False: some could not be taken in; those that were leave again. */
static bool add_listeners(struct change *c)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->goes_on[i])
			continue;
		struct front *f = c->next->fronts[i];
		f->listener = engine_listen(c->b->engine, &c->opened[i]);
		if (!f->listener)
			return false;
		c->opened[i].fd = -1; /* the engine's */
	}
	return true;
}

static void tell_listeners(const struct change *c)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < c->count; i++)
		if (!c->goes_on[i])
			tell(c->out, DIAG_INFO, "listening on %s (%s)", addr_format(&c->opened[i].addr, text),
			        lb_config_listener(c->config, i)->name);
}

static bool stays(const struct change *c, const struct front *f)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->goes_on[i] == f)
			return true;
	return false;
}

static void publish(struct change *c)
{
	struct balancer *b = c->b;
	struct snapshot *before = c->now;

	/* A table that both share has the limit of the one before until here. */
	if (c->next->lb->clients)
		clients_set_limit(c->next->lb->clients, (unsigned)c->config->limits.requests_per_client);
	for (size_t i = 0; i < c->count; i++)
		if (c->goes_on[i])
			front_set(c->goes_on[i], &c->next->lb->listeners[i]);
	retire(b, before, c->next);
	for (size_t k = 0; k < before->lb->config->listeners.count; k++) {
		struct front *f = before->fronts[k];
		char text[ADDR_TEXT_MAX];

		if (stays(c, f))
			continue;
		tell(c->out, DIAG_INFO, "no longer listening on %s (%s), %u connections to end",
		        addr_format(&f->listener->addr, text), before->lb->listeners[k].name,
		        atomic_load_explicit(&f->listener->open, memory_order_relaxed));
		leave(c, f, lb_config_listener(before->lb->config, k));
	}
	lb_hand_shared_idle_on(before->lb, c->next->lb);
	balancer_unpin(b, before->lb); /* retire's; what comes last looks at it no more */
}

/* Some of its listeners may have been heard already. A front that has left may be gone at once: it is not looked at again. */
static void take_back(struct change *c)
{
	free_fronts(c);
	for (size_t i = 0; i < c->count; i++)
		if (!c->goes_on[i] && c->next->fronts[i])
			leave(c, c->next->fronts[i], lb_config_listener(c->config, i));
	drop(c->b, c->next);
}

/* False: the configuration is gone, or goes with what is left of c->next. */
static bool build(struct change *c, struct lb_config *config)
{
	const char *why = "out of memory";

	c->next = snapshot_new(c->b, config);
	if (c->next)
		c->next->config = config;
	if (c->next && make_room(c) && make_fronts(c) && snapshot_start(c->next, &why))
		return true;
	snprintf(c->why, BALANCER_WHY_BYTES, "%s", why);
	close_opened(c);
	free_fronts(c);
	if (!c->next)
		lb_config_free(config);
	else if (!c->next->lb->health)
		snapshot_free(c->next);
	else
		drop(c->b, c->next); /* a probe may be under way */
	return false;
}

/* The configuration is the snapshot's, or gone. */
static bool carry_out(struct change *c, struct lb_config *config)
{
	match_listeners(c);
	if (!open_listeners(c)) {
		close_opened(c);
		lb_config_free(config);
		return false;
	}
	if (!build(c, config))
		return false;
	if (add_listeners(c)) {
		tell_listeners(c);
		publish(c);
		return true;
	}
	snprintf(c->why, BALANCER_WHY_BYTES,
	        "no more than %d listeners at a time, those that leave among them", LOOP_LISTENERS_MAX);
	close_opened(c);
	take_back(c);
	return false;
}

bool balancer_change(struct balancer *b, struct lb_config *config, const struct supply *supply, FILE *out,
        char why[BALANCER_WHY_BYTES])
{
	size_t count = config->listeners.count;
	struct change c = {.b = b,
	        .config = config,
	        .supply = supply,
	        .now = b->now,
	        .count = count,
	        .goes_on = calloc(count, sizeof(struct front *)),
	        .opened = calloc(count, sizeof(struct listener)),
	        .out = out,
	        .why = why};
	bool done = false;

	for (size_t i = 0; c.opened && i < count; i++)
		c.opened[i].fd = -1;
	if (c.goes_on && c.opened) {
		done = carry_out(&c, config);
	} else {
		snprintf(why, BALANCER_WHY_BYTES, "out of memory");
		lb_config_free(config);
	}
	free(c.goes_on);
	free(c.opened);
	return done;
}

bool balancer_targets(const struct balancer *b, const struct lb_config_upstream *u,
        const struct lb_config_server *s, struct target *out)
{
	const struct upstream *same = lb_find_upstream(b->now->lb, u->name);

	if (!same || strcmp(same->config->nameserver, u->nameserver) != 0)
		return false;
	if (b->now->resolver && resolver_copy(b->now->resolver, u->name, s, out))
		return true;
	for (size_t i = 0; i < same->config->servers.count; i++) {
		const struct lb_config_server *other = lb_config_server(same->config, i);

		if (strcmp(other->address, s->address) != 0 || other->slots != s->slots || !other->targets)
			continue;
		memcpy(out, other->targets, (size_t)s->slots * sizeof(*out));
		return true;
	}
	return false;
}
