#include "lb/control.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/diag.h"
#include "lb/needs.h"
#include "lb/pick.h"
#include "lb/reload.h"
#include "lb/tell.h"
#include "net/sock.h"

bool command_line_apply(const struct command_line *said, struct lb_config *c, char why[CONTROL_WHY_BYTES])
{
	if (said->engine >= 0)
		c->engine = said->engine;
	if (c->engine == LB_ENGINE_POOL && said->workers > 0)
		c->pool.workers = said->workers;
	if (c->engine == LB_ENGINE_ASYNC && said->workers > ENGINE_LOOPS_MAX) {
		snprintf(why, CONTROL_WHY_BYTES, "--workers: the async engine has at most %d loops, not %ld",
		        ENGINE_LOOPS_MAX, said->workers);
		return false;
	}
	if (c->engine == LB_ENGINE_ASYNC && said->workers > 0)
		c->async.loops = said->workers;
	return true;
}

static void note_reload(struct control *c, bool done)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	lock_take(&c->lock);
	c->reloads_so_far.done += done;
	c->reloads_so_far.failed += !done;
	c->reloads_so_far.last_done = done;
	if (done)
		c->reloads_so_far.done_at = wall.tv_sec * CLOCK_NS_PER_S + wall.tv_nsec;
	lock_drop(&c->lock);
}

void control_init(struct control *c)
{
	lock_init(&c->reloads);
	lock_init(&c->lock);
	c->since = clock_now();
	note_reload(c, true);
	c->reloads_so_far.done = 0; /* it was the start */
	advisor_init(&c->advisor, c->engine, c->config->queue.target,
	        c->config->pool.hold == LB_HOLD_CONNECTION ? 1 : (unsigned)c->config->pool.burst);
}

void control_free(struct control *c)
{
	lock_destroy(&c->lock);
	lock_destroy(&c->reloads);
}

int64_t control_next_look(struct control *c)
{
	lock_take(&c->lock);
	int64_t at = advisor_next_look(&c->advisor), watch_at = c->balancer->watch.look_at;
	lock_drop(&c->lock);
	return watch_at < at ? watch_at : at;
}

void control_look(struct control *c, bool at_end)
{
	lock_take(&c->lock);
	if (at_end ||
	        clock_now() >=
	                advisor_next_look(
	                        &c->advisor)) /* else it is the watch's time, and would cut a stretch short */
		advisor_look(&c->advisor);
	int64_t stuck = c->config->timeouts.stuck;
	lock_drop(&c->lock);
	(void)watch_look(&c->balancer->watch, stuck);
}

bool control_is_alive(const struct control *c)
{
	return !watch_is_dead(&c->balancer->watch);
}

void control_advise_at_end(struct control *c)
{
	lock_take(&c->lock);
	advisor_tell(&c->advisor);
	lock_drop(&c->lock);
}

/* More workers may need more descriptors than there are. */
static void check_descriptors_locked(struct control *c, FILE *out)
{
	struct lb_config now = *c->config;
	struct needs needs;

	lock_must_hold(&c->lock);
	now.pool.workers = engine_workers(c->engine);
	now.limits.connections = c->connections;
	needs_sum(&needs, &now, c->driver == LOOP_URING, c->grants);
	unsigned long wanted = needs.of[RESOURCE_DESCRIPTORS].amount;
	unsigned long have = sock_raise_limit(wanted);
	if (have < wanted)
		tell(out, DIAG_WARNING,
		        "the system allows %lu descriptors where %lu may be needed now (raise it: "
		        "ulimit -Hn, LimitNOFILE= in the unit; or lower limits.connections)",
		        have, wanted);
}

/* A number that the command line keeps from being heard is said so. */
static void tell_overridden(const struct control *c, const struct lb_config *next, FILE *out)
{
	if (next->engine == LB_ENGINE_POOL && c->said.workers > 0 && next->pool.workers != c->said.workers &&
	        conf_is_set(next->conf, next->pool.place, "workers"))
		tell(out, DIAG_INFO, "reload: pool.workers: -w %ld on the command line wins over %lld in %s",
		        c->said.workers, (long long)next->pool.workers, c->said.file);
}

static void set_workers_locked(struct control *c, unsigned before, unsigned wanted, FILE *out)
{
	int error;

	lock_must_hold(&c->lock);
	if (c->config->engine == LB_ENGINE_ASYNC) {
		tell(out, DIAG_INFO, "reload: pool.workers: the async engine has no use for it");
		return;
	}
	unsigned now = engine_resize(c->engine, wanted, &error);
	c->config->pool.workers = now; /* the next reload tries again */
	if (now == wanted)
		tell(out, DIAG_INFO, "reload: pool.workers: %u in place of %u", now, before);
	else
		tell(out, DIAG_ERROR,
		        "reload: pool.workers: no more than %u of %u threads can be started: %s (raise "
		        "ulimit -u, TasksMax= in the unit, or kernel.threads-max; or ask for fewer)",
		        now, wanted, strerror(error));
}

/* The pool's size follows the file where that says another number than before. */
static void apply_workers_locked(struct control *c, int64_t before, int64_t wanted, FILE *out)
{
	unsigned workers = engine_workers(c->engine);

	lock_must_hold(&c->lock);
	advisor_look(&c->advisor);
	c->config->pool.workers = wanted;
	if (wanted != before) {
		set_workers_locked(c, workers, (unsigned)wanted, out);
		c->by_command = 0;
	} else if (c->by_command > 0) {
		tell(out, DIAG_INFO,
		        "reload: pool.workers: there stay %u, as commanded; %s has said %lld all along",
		        c->by_command, c->said.workers > 0 ? "-w on the command line" : c->said.file,
		        (long long)wanted);
	}
	if (engine_workers(c->engine) > workers)
		check_descriptors_locked(c, out);
}

/* What does not stand in the snapshot alone. */
static void set_engine(struct control *c, const struct lb_config *config)
{
	engine_set(c->engine, &(struct engine_settings){.queue_timeout = config->queue.timeout,
	                              .queue_rule = lb_config_queue_rule(config),
	                              .header_timeout = config->timeouts.request_header,
	                              .drain = config->timeouts.drain});
	diag_set_level((enum diag_level)config->log.level);
}

/* next is the balancer's then, or gone. */
static bool change(struct control *c, struct reload *r, FILE *out)
{
	/* What ran before stays until nobody finds it here any more. */
	struct lb *before = balancer_pin(c->balancer);
	char why[BALANCER_WHY_BYTES];
	bool done = balancer_change(c->balancer, r->next, c->supply, out, why);

	if (done) {
		set_engine(c, r->next);
		lock_take(&c->lock);
		c->config = r->next;
		c->advisor.target = r->next->queue.target;
		lock_drop(&c->lock);
		reload_tell(r, out);
	} else {
		tell(out, DIAG_ERROR, "reload: %s is not taken in: %s", c->said.file, why);
	}
	balancer_unpin(c->balancer, before);
	return done;
}

/* Servers' weights of which a command had the last word. */
static void tell_weights(struct control *c, FILE *out)
{
	struct lb *lb = balancer_pin(c->balancer);

	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++) {
			const struct server *s = &lb->upstreams[i].servers[k];
			unsigned weight = server_said_weight(s);

			if (weight != s->from->weight)
				tell(out, DIAG_INFO,
				        "reload: server %s of %s: its weight stays %u, as commanded; %s has "
				        "said %lld all along",
				        s->text, lb->upstreams[i].name, weight, c->said.file,
				        (long long)s->from->weight);
		}
	balancer_unpin(c->balancer, lb);
}

/* next is taken in or freed. */
static bool take_in(struct control *c, struct lb_config *next, FILE *out)
{
	int64_t before = c->config->pool.workers, wanted = next->pool.workers;
	struct reload r;
	bool taken = reload_compare(&r, c->config, next);

	if (!taken)
		tell(out, DIAG_ERROR, "reload: out of memory: %s is not taken in", c->said.file);
	bool rebuilds = taken && r.rebuilds;
	if (rebuilds)
		taken = change(c, &r, out);
	else
		lb_config_free(next);
	if (taken) {
		lock_take(&c->lock);
		apply_workers_locked(c, before, wanted, out);
		advisor_tell(&c->advisor);
		lock_drop(&c->lock);
		tell_weights(c, out);
		reload_tell_restart(&r, out);
	}
	if (taken && !r.differs)
		tell(out, DIAG_INFO, "reload: nothing has changed");
	else if (rebuilds && taken)
		tell(out, DIAG_INFO,
		        "reload: done; %llu requests go on as they began, and how they ended is told once "
		        "they have",
		        (unsigned long long)balancer_under_way(c->balancer));
	reload_free(&r);
	return taken;
}

static bool reload_locked(struct control *c, FILE *out)
{
	char why[CONTROL_WHY_BYTES];

	lock_must_hold(&c->reloads);
	if (engine_is_draining(c->engine)) {
		tell(out, DIAG_ERROR, "reload: %s is not taken in: tplb is about to end", c->said.file);
		return false;
	}
	if (upgrade_is(&c->upgrade, UPGRADE_DONE)) {
		tell(out, DIAG_ERROR,
		        "reload: another process has taken over; say it again for that one to hear it");
		return false;
	}
	struct lb_config *next = reload_read(c->supply, c->said.file, out);
	if (!next)
		return false;
	tell_overridden(c, next, out);
	if (!command_line_apply(&c->said, next, why)) {
		tell(out, DIAG_ERROR, "reload: %s is not taken in: %s", c->said.file, why);
		lb_config_free(next);
		return false;
	}
	return reload_resolve(c->balancer, next, c->said.file, out) && take_in(c, next, out);
}

bool control_reload(struct control *c, FILE *out, uint64_t *replaced)
{
	lock_take(&c->reloads);
	uint64_t before = balancer_replaced(c->balancer);
	c->supply->notify(c->supply->arg, NOTICE_RELOADING);
	bool taken_in = reload_locked(c, out);
	note_reload(c, taken_in);
	if (replaced) {
		uint64_t after = balancer_replaced(c->balancer);
		*replaced = after > before ? after : 0;
	}
	if (!engine_is_draining(c->engine)) /* that was told, and is not to be taken back */
		c->supply->notify(c->supply->arg, NOTICE_READY);
	lock_drop(&c->reloads);
	if (c->reloaded)
		c->reloaded(c->reloaded_arg);
	return taken_in;
}

static unsigned resize_locked(struct control *c, unsigned workers, FILE *out, int *error)
{
	unsigned before = engine_workers(c->engine);

	lock_must_hold(&c->lock);
	advisor_look(&c->advisor);
	unsigned now = engine_resize(c->engine, workers, error);
	c->by_command = now;
	tell(out, DIAG_INFO, "pool.workers: %u in place of %u, by command", now, before);
	if (now > before)
		check_descriptors_locked(c, out);
	return now;
}

bool control_resize(struct control *c, unsigned workers, FILE *out, char why[CONTROL_WHY_BYTES])
{
	int error;

	if (engine_workers(c->engine) == 0) {
		snprintf(why, CONTROL_WHY_BYTES,
		        "the async engine has no workers; async.loops and async.fibers count from a start");
		return false;
	}
	lock_take(&c->lock);
	unsigned now = resize_locked(c, workers, out, &error);
	lock_drop(&c->lock);
	if (now != workers)
		snprintf(why, CONTROL_WHY_BYTES,
		        "no more than %u of %u threads can be started: %s; raise ulimit -u, TasksMax= in the "
		        "unit, or kernel.threads-max; or ask for fewer",
		        now, workers, strerror(error));
	return now == workers;
}

static bool can_advise(const struct control *c, char why[CONTROL_WHY_BYTES])
{
	if (engine_workers(c->engine) == 0)
		snprintf(why, CONTROL_WHY_BYTES,
		        "the advice is about the workers of the pool, and the async engine has none");
	return engine_workers(c->engine) > 0;
}

static void say_too_few(char why[CONTROL_WHY_BYTES])
{
	snprintf(why, CONTROL_WHY_BYTES,
	        "too few requests to advise from; ask again after %d of them within ten seconds",
	        ADVISE_REQUESTS_MIN);
}

bool control_advise(struct control *c, FILE *out, char why[CONTROL_WHY_BYTES])
{
	if (!can_advise(c, why))
		return false;
	lock_take(&c->lock);
	bool told = advisor_print(&c->advisor, out);
	lock_drop(&c->lock);
	if (!told)
		say_too_few(why);
	return told;
}

json_t *control_advise_data(struct control *c, char why[CONTROL_WHY_BYTES])
{
	bool enough;

	if (!can_advise(c, why))
		return NULL;
	lock_take(&c->lock);
	json_t *data = advisor_data(&c->advisor, &enough);
	lock_drop(&c->lock);
	if (!enough)
		say_too_few(why);
	return data;
}
