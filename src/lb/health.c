#include "lb/health.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/rng.h"
#include "lb/probe.h"
#include "lb/shelf.h"
#include "lb/standing.h"
#include "net/loop.h"

enum { PROBES_STEP = 17, JITTER = 10 /* a tenth */ };
/* At the end probes are given so long to come to theirs. */
#define STOP_PATIENCE_NS (200 * CLOCK_NS_PER_MS)
#define RETRY_NS (50 * CLOCK_NS_PER_MS) /* when no fiber was free */
#define TRIM_NS CLOCK_NS_PER_S

/* What the thread knows of one server. Its own. */
struct watch {
	struct health *health;
	struct upstream *upstream;
	struct server *server;
	int64_t next; /* when it is probed next */
	bool running; /* it is being looked at */
};

struct health {
	struct lb *lb; /* constant */
	pthread_t thread;
	struct counters *counters; /* the thread writes */
	_Atomic bool stop;         /* seq_cst */
	sem_t opened;              /* posted when the thread has opened its loop, or could not */
	int error;                 /* of that: an errno; read after `opened` was posted */
	sem_t ended;               /* posted when the thread is about to end */
	bool joined;               /* whose the end is */
	/* the thread's */
	struct loop loop;
	uint64_t random;
	int64_t trim_at; /* when the pool's idle connections are looked at next */
	unsigned watch_count;
	unsigned first; /* of them, of this round */
	struct watch *watches;
};

/* A thousand balancers, or servers, that were started together are not to ask at the same moments. */
static int64_t with_jitter(struct health *h, int64_t interval)
{
	return interval - (int64_t)(rng_next(&h->random) % ((uint64_t)interval / JITTER + 1));
}

static void count_change(struct health *h, const struct server *s, bool changed)
{
	if (!changed)
		return;
	if (server_is_down(server_state(s)))
		COUNT(h->counters, server_downs);
	else
		COUNT(h->counters, server_ups);
}

static void probe(struct watch *w)
{
	const struct lb_config_health *how = &w->upstream->config->health;
	struct health *h = w->health;
	struct server *s = w->server;
	struct io *io = &h->loop.io;
	char why[PROBE_WHY_MAX] = "";
	int64_t deadline = clock_now() + how->timeout;
	unsigned generation;
	struct addr addr;

	if (!server_address(s, &addr, &generation))
		return;
	bool good = how->type == LB_HEALTH_HTTP
	                    ? probe_http(io, &addr, s->from->send_proxy, how, s->host, deadline, why)
	                    : probe_tcp(io, &addr, s->from->send_proxy, deadline, why);

	COUNT(h->counters, probes);
	if (generation != server_generation(s)) /* it has moved meanwhile: that says nothing about it */
		return;
	if (atomic_load(&h->stop)) /* another configuration has it now, and its own probes */
		return;
	if (!good) {
		COUNT(h->counters, probes_failed);
		diag_debug("server %s of %s: bad probe: %s", s->text, w->upstream->name, why);
	}
	count_change(h, s, standing_probed(w->upstream, s, good, why, clock_now()));
}

static void recheck(struct watch *w)
{
	struct health *h = w->health;
	struct server *s = w->server;
	char why[PROBE_WHY_MAX] = "";
	unsigned generation;
	struct addr addr;

	if (!server_address(s, &addr, &generation))
		return;
	bool good = probe_tcp(&h->loop.io, &addr, s->from->send_proxy,
	        clock_after(clock_now(), h->lb->config->timeouts.connect), why);
	if (generation != server_generation(s) || atomic_load(&h->stop))
		return;
	count_change(h, s, standing_rechecked(w->upstream, s, good, why, clock_now()));
}

static bool has_probes(const struct watch *w)
{
	return w->upstream->config->health.type != LB_HEALTH_NONE;
}

/* On a fiber. */
static void look(void *arg)
{
	struct watch *w = arg;

	if (has_probes(w))
		probe(w);
	else
		recheck(w);
	w->running = false;
}

/* Sees to one server; when it is to be seen to again, if nothing happens before. */
static int64_t attend(struct watch *w, int64_t now)
{
	struct standing_due due = standing_tick(w->upstream, w->server, now);
	int64_t at = has_probes(w) ? w->next : due.recheck;

	if (!due.probes || w->running)
		return due.tick;
	if (at > now)
		return at < due.tick ? at : due.tick;
	w->running = true;
	w->next = now + with_jitter(w->health, w->upstream->config->health.interval);
	if (!loop_start(&w->health->loop, look, w)) {
		w->running = false;
		w->next = now + RETRY_NS;
		return w->next;
	}
	return now; /* it may have ended at once */
}

static int64_t see_to_shelves(struct health *h, int64_t now)
{
	int64_t until = CLOCK_NEVER;

	for (unsigned i = 0; i < h->lb->upstream_count; i++) {
		struct upstream *u = &h->lb->upstreams[i];
		int64_t at = u->shelf ? shelf_tick(h->lb, u, now) : CLOCK_NEVER;

		if (at < until)
			until = at;
	}
	return until;
}

static int64_t see_to_idle(struct health *h, int64_t now)
{
	if (now >= h->trim_at) {
		lb_trim_idle(h->lb);
		h->trim_at = now + TRIM_NS;
	}
	return h->lb->config->engine == LB_ENGINE_POOL ? h->trim_at : CLOCK_NEVER;
}

static void *health_thread(void *arg)
{
	struct health *h = arg;

	while (!atomic_load(&h->stop) || h->loop.fibers.busy > 0) {
		int64_t now = clock_now(), until = CLOCK_NEVER;

		/* Each round begins with another, so that all have their turn where there are more than fibers. */
		h->first = h->watch_count > 0 ? (h->first + PROBES_STEP) % h->watch_count : 0;
		for (unsigned i = 0; i < h->watch_count && !atomic_load(&h->stop); i++) {
			int64_t at = attend(&h->watches[(h->first + i) % h->watch_count], now);

			if (at < until)
				until = at;
		}
		int64_t shelf = see_to_shelves(h, now);
		if (shelf < until)
			until = shelf;
		int64_t idle = see_to_idle(h, now);
		if (idle < until)
			until = idle;
		loop_turn(&h->loop, until);
	}
	loop_close(&h->loop);
	sem_post(&h->ended);
	return NULL;
}

static bool make_watches(struct health *h)
{
	struct upstream *upstreams = h->lb->upstreams;
	unsigned count = h->lb->upstream_count;
	int64_t now = clock_now();

	for (unsigned i = 0; i < count; i++)
		h->watch_count += upstreams[i].count;
	h->watches = calloc(h->watch_count, sizeof(*h->watches));
	if (!h->watches)
		return false;
	struct watch *w = h->watches;
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < upstreams[i].count; k++)
			*w++ = (struct watch){.health = h,
			        .upstream = &upstreams[i],
			        .server = &upstreams[i].servers[k],
			        .next = now};
	return true;
}

static void *open_and_run(void *arg)
{
	struct health *h = arg;
	const struct loop_options options = {.driver = LOOP_EPOLL,
	        .fibers = HEALTH_PROBES_MAX,
	        .client_buffer = HEALTH_BUFFER,
	        .server_buffer = HEALTH_BUFFER};
	int error = loop_open(&h->loop, &options);

	h->error = error;
	sem_post(&h->opened);
	return error == 0 ? health_thread(h) : NULL;
}

static int start_thread(struct health *h, const char *name)
{
	char text[16]; /* the kernel's limit */
	int error = pthread_create(&h->thread, NULL, open_and_run, h);

	if (error != 0)
		return error;
	snprintf(text, sizeof(text), "%.8s-health", name);
	(void)pthread_setname_np(h->thread, text); /* a name is a convenience */
	while (sem_wait(&h->opened) != 0)
		MUST(errno == EINTR);
	if (h->error != 0)
		PTHREAD_OK(pthread_join(h->thread, NULL));
	return h->error;
}

static void health_free(struct health *h)
{
	sem_destroy(&h->opened);
	sem_destroy(&h->ended);
	counters_free(h->counters, 1);
	free(h->watches);
	free(h);
}

struct health *health_start(const char *name, struct lb *lb, const char **why)
{
	struct health *h = calloc(1, sizeof(*h));

	*why = "out of memory";
	if (!h)
		return NULL;
	h->lb = lb;
	h->random = (uint64_t)clock_now();
	MUST(sem_init(&h->opened, 0, 0) == 0 && sem_init(&h->ended, 0, 0) == 0);
	h->counters = counters_new(1);
	if (h->counters && make_watches(h)) {
		int error = start_thread(h, name);

		if (error == 0)
			return h;
		*why = strerror(error);
	}
	health_free(h);
	return NULL;
}

void health_wake(struct health *h)
{
	loop_wake(&h->loop);
}

const struct counters *health_counters(const struct health *h)
{
	return h->counters;
}

void health_retire(struct health *h)
{
	atomic_store(&h->stop, true);
	loop_wake(&h->loop);
}

static void join(struct health *h)
{
	PTHREAD_OK(pthread_join(h->thread, NULL));
	h->joined = true;
}

bool health_has_ended(struct health *h)
{
	if (!h->joined && sem_trywait(&h->ended) == 0)
		join(h);
	return h->joined;
}

/* False: it has not after a while. */
static bool wait_for_end(struct health *h)
{
	struct timespec until;
	int error;

	MUST(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
	until.tv_nsec += STOP_PATIENCE_NS;
	until.tv_sec += until.tv_nsec / CLOCK_NS_PER_S;
	until.tv_nsec %= CLOCK_NS_PER_S;
	do {
		error = sem_clockwait(&h->ended, CLOCK_MONOTONIC, &until) == 0 ? 0 : errno;
	} while (error == EINTR);
	if (error == ETIMEDOUT)
		return false;
	MUST(error == 0);
	join(h);
	return true;
}

bool health_stop(struct health *h)
{
	if (!h->joined) {
		health_retire(h);
		if (!wait_for_end(h))
			return false;
	}
	MUST(loop_free(&h->loop) == NULL); /* nobody posts to it */
	health_free(h);
	return true;
}
