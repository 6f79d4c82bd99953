/* The sums. A part of the program that uses a resource adds a term here. */
#include "lb/needs.h"

#include <string.h>

#include "base/assert.h"
#include "ctl/admin.h"
#include "ctl/web.h"
#include "engine/conn.h"
#include "engine/engine.h"
#include "engine/pool_engine.h"
#include "engine/worker.h"
#include "lb/exchange.h"
#include "lb/health.h"
#include "obs/log.h"

enum {
	SPARE_DESCRIPTORS = 64, /* standard streams, logs, eventfds and epolls, a name being resolved */
	LOOP_DESCRIPTORS = 8,   /* of a loop: its epoll or ring, its eventfd */
	OTHER_THREADS =
	        6, /* main, health, lingerer, log, reloader, who ends the process at a second signal */
	ARENAS_A_CORE = 8,
	STACK_MAPPINGS = 2,  /* a stack and its guard */
	SPARE_MAPPINGS = 512 /* programs, libraries, heaps */
};

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define WORKER_STACK (256 * KIB) /* as src/work/pool.c asks for */
#define PIPE_BYTES (256 * KIB)   /* as src/wire/flow.c does */
#define WATCH_BYTES UINT64_C(64) /* what a loop knows of a descriptor, or less */
#define ARENA_BYTES (64 * MIB)   /* of addresses: HEAP_MAX_SIZE of glibc where a pointer has 64 bits */
#define RATE_BUCKET_BYTES 16     /* as src/lb/rate.c has them */
#define SPARE_LOCKED (16 * KIB)
#define SPARE_BYTES (32 * MIB) /* programs, libraries, tables */

/* Of all that follows: what depends on the configuration and is used in several sums. */
struct scale {
	uint64_t loops, workers, fibers;
	uint64_t others;     /* threads */
	uint64_t probes;     /* at once */
	uint64_t in_workers; /* requests at once on the pool's threads */
	uint64_t put_back;   /* begun requests that wait in the queue */
	uint64_t requests;   /* all of these; none without a client */
	uint64_t in_flight;  /* of them with a server's connection */
	uint64_t waiting;    /* requests that wait for a server with room (max_connections) */
	uint64_t connections;
	struct worker sizes; /* for the capacities of its stores */
};

unsigned needs_loops(const struct lb_config *c, unsigned cores)
{
	uint64_t loops = c->async.loops > 0 ? (uint64_t)c->async.loops : cores;

	if (c->engine == LB_ENGINE_POOL && (c->pool.hold == LB_HOLD_CONNECTION || c->pool.patience <= 0))
		return 0; /* nothing ever leaves its worker */
	if (loops > ENGINE_LOOPS_MAX)
		loops = ENGINE_LOOPS_MAX;
	return (unsigned)(loops < (uint64_t)c->async.fibers ? loops : (uint64_t)c->async.fibers);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Counts servers, and what max_connections does: how many requests they take at once, and how many wait for them. */
static void scale_servers(struct scale *s, const struct lb_config *c)
{
	uint64_t room = 0;
	bool all = true, names = false;

	for (size_t i = 0; i < c->upstreams.count; i++) {
		const struct lb_config_upstream *u = lb_config_upstream(c, i);
		bool any = false;

		s->probes += lb_config_slots(u);
		for (size_t k = 0; k < u->servers.count; k++) {
			int64_t most = lb_config_server(u, k)->max_connections;

			any |= most > 0;
			all &= most > 0;
			room += (uint64_t)(most * lb_config_server(u, k)->slots);
			names |= lb_config_server(u, k)->is_name && u->resolve > 0;
		}
		s->waiting += any ? (uint64_t)c->queue.size : 0;
	}
	s->others += names; /* the resolver */
	s->probes = lesser(s->probes, HEALTH_PROBES_MAX);
	s->in_flight = all ? lesser(s->requests, room) : s->requests;
	s->waiting = lesser(s->waiting, s->connections);
}

static struct scale scale_of(const struct lb_config *c, const struct grants *g)
{
	struct scale s = {.loops = needs_loops(c, g->cores), .connections = (uint64_t)c->limits.connections};
	bool pool = c->engine == LB_ENGINE_POOL;
	bool bursts = pool && c->pool.hold == LB_HOLD_REQUEST && c->pool.burst > 1;

	s.workers = pool ? (uint64_t)c->pool.workers : 0;
	s.others = OTHER_THREADS + (uint64_t)pool + (c->admin.addr.len > 0) +
	           (c->admin.web.len > 0); /* and its acceptor; the admin's */
	s.in_workers = bursts ? s.workers * (uint64_t)c->pool.burst : s.workers;
	s.put_back = bursts ? (uint64_t)c->queue.size : 0;
	s.fibers = s.loops > 0 ? (uint64_t)c->async.fibers : 0;
	s.requests = lesser(s.in_workers + s.put_back + s.fibers, s.connections);
	scale_servers(&s, c);
	worker_init(&s.sizes, 0, NULL, NULL, NULL, c->limits.header_size, 0);
	return s;
}

static void add(struct need *need, uint64_t count, uint64_t each, const char *what)
{
	if (count == 0 || each == 0)
		return;
	MUST(need->term_count < NEEDS_TERMS_MAX);
	need->terms[need->term_count++] = (struct needs_term){count, each, what};
	need->amount += count * each;
}

/* In whole KiB, as it is shown. */
static void add_bytes(struct need *need, uint64_t count, uint64_t bytes, const char *what)
{
	add(need, count, (bytes + KIB - 1) / KIB * KIB, what);
}

static void add_in_flight(struct need *need, const struct scale *s)
{
	if (s->in_flight < s->in_workers + s->put_back + s->fibers) {
		add(need, s->in_flight, 1, "at servers");
		return;
	}
	add(need, s->in_workers, 1, "at servers for workers");
	add(need, s->put_back, 1, "at servers, queued again");
	add(need, s->fibers, 1, "at servers for fibers");
}

/* Connections kept to one server. Each loop rounds its part up. */
static uint64_t kept(const struct lb_config *c, const struct scale *s, const struct lb_config_upstream *u)
{
	uint64_t sets = c->engine == LB_ENGINE_ASYNC ? s->loops : 1;

	return ((uint64_t)u->keepalive + sets - 1) / sets * sets;
}

static void sum_descriptors(struct need *need, const struct lb_config *c, const struct scale *s)
{
	uint64_t idle = 0;

	for (size_t i = 0; i < c->upstreams.count; i++) {
		const struct lb_config_upstream *u = lb_config_upstream(c, i);

		idle += lb_config_slots(u) * kept(c, s, u);
	}
	add(need, s->connections, 1, "clients");
	add(need, ENGINE_REFUSAL_RECORDS, 1, "refused clients");
	add_in_flight(need, s);
	add(need, idle, 1, "kept to servers");
	add(need, LB_PIPES_MAX, 2, "in pipes");
	add(need, s->probes, 1, "for probes");
	add(need, s->loops + 1, LOOP_DESCRIPTORS, "of loops and probes");
	add(need, c->listeners.count, 1, "of listeners");
	if (c->admin.addr.len > 0)
		add(need, ADMIN_CONNECTIONS + 3, 1, "of the admin socket");
	if (c->admin.web.len > 0)
		add(need, WEB_CONNECTIONS + 3, 1, "of the admin pages");
	add(need, SPARE_DESCRIPTORS, 1, "others");
}

static void sum_threads(struct need *need, const struct scale *s)
{
	add(need, s->workers, 1, "workers");
	add(need, s->loops, 1, "loops");
	add(need, s->others, 1, "others");
}

static void sum_mappings(struct need *need, const struct scale *s)
{
	add(need, s->fibers + s->probes, STACK_MAPPINGS, "for fibers and probes");
	add(need, s->workers + s->loops + s->others, STACK_MAPPINGS, "for threads");
	add(need, SPARE_MAPPINGS, 1, "others");
}

/* All that is not a stack. */
static void add_buffers(struct need *need, const struct lb_config *c, const struct scale *s, bool uring)
{
	uint64_t head = sizeof(struct buf) + s->sizes.heads.cap;
	uint64_t body = sizeof(struct buf) + s->sizes.bodies.cap;
	uint64_t fields = 2 * (uint64_t)c->limits.headers * sizeof(struct http_field);
	bool logs = c->log.access && strcmp(c->log.access, "off") != 0;
	uint64_t rates = 0;

	add_bytes(need, s->connections + ENGINE_REFUSAL_RECORDS, sizeof(struct conn) + head,
	        "clients with a head");
	/* A head for either side and the answer; the request's body as well, or the other half of a tunnel. */
	add_bytes(need, s->requests + s->waiting, 3 * body + sizeof(struct exchange) + fields, "requests");
	add_bytes(need, uring ? s->loops * LOOP_RING_BUFFERS : 0, head + body, "buffers of rings");
	add_bytes(need, s->probes, 2 * HEALTH_BUFFER, "probes");
	add_bytes(need, LB_PIPES_MAX, PIPE_BYTES, "pipes");
	add_bytes(need, logs ? s->workers + s->loops + 1 : 0,
	        c->engine == LB_ENGINE_ASYNC ? LOG_RING_BYTES_OF_FEW : LOG_RING_BYTES, "of the access log");
	for (size_t i = 0; i < c->listeners.count; i++) {
		const struct lb_config_rate *r = &lb_config_listener(c, i)->rate;

		rates += r->requests > 0 ? (uint64_t)r->entries * RATE_BUCKET_BYTES : 0;
	}
	add_bytes(need, 1, rates, "clients' rates");
	add_bytes(need, 1, SPARE_BYTES, "others");
}

/* Of memory, that is; and a ring to try whether there are rings. */
static void sum_locked(struct need *need, const struct scale *s, bool uring)
{
	if (!uring || s->loops == 0)
		return;
	add_bytes(need, s->loops, LOOP_RING_PINNED, "rings of loops");
	add_bytes(need, 1, SPARE_LOCKED, "others");
}

static void sum_memory(struct need *need, const struct lb_config *c, const struct scale *s, bool uring)
{
	add_buffers(need, c, s, uring);
	add_bytes(need, s->fibers + s->probes, FIBER_STACK_BYTES, "fibers' stacks");
	add_bytes(need, s->workers + s->loops + s->others, WORKER_STACK, "threads' stacks");
}

/* What stands in arrays that have room for as many workers as there can be, and is no memory before one comes. */
static uint64_t room_of_worker(const struct lb_config *c)
{
	uint64_t cells = c->upstreams.count * UPSTREAM_CELLS + c->listeners.count * LISTENER_CELLS;

	for (size_t i = 0; i < c->upstreams.count; i++)
		cells += lb_config_slots(lb_config_upstream(c, i)) * SERVER_CELLS;
	return sizeof(struct counters) + sizeof(struct pool_worker) + cells * sizeof(uint64_t);
}

static void sum_addresses(struct needs *n, const struct scale *s)
{
	struct need *need = &n->of[RESOURCE_ADDRESSES];

	add_buffers(need, n->config, s, n->uring);
	add_bytes(need, s->fibers + s->probes, FIBER_STACK_BYTES + FIBER_GUARD_BYTES, "fibers' stacks");
	add_bytes(need, s->workers, WORKER_STACK, "workers' stacks");
	add_bytes(
	        need, s->workers > 0 ? LB_WORKERS_MAX : 0, room_of_worker(n->config), "for workers to come");
	add_bytes(need, s->loops + s->others, n->grants->thread_stack, "threads' stacks");
	add_bytes(need, s->loops + 1, n->of[RESOURCE_DESCRIPTORS].amount * WATCH_BYTES,
	        "tables of descriptors");
	/* glibc's arenas: a thread gets one of its own while there are fewer than eight for each core (malloc(3), M_ARENA_MAX). */
	add_bytes(need, lesser(s->workers + s->loops + s->others, ARENAS_A_CORE * (uint64_t)n->grants->cores),
	        ARENA_BYTES, "heaps of threads");
}

/* To a server over TCP, should all requests go to one. A local port serves for many servers, but once for each. */
static void sum_ports(struct need *need, const struct lb_config *c, const struct scale *s)
{
	const struct lb_config_upstream *most = NULL;

	for (size_t i = 0; i < c->upstreams.count; i++) {
		const struct lb_config_upstream *u = lb_config_upstream(c, i);

		for (size_t k = 0; k < u->servers.count; k++)
			if (lb_config_server(u, k)->addr.u.any.sa_family != AF_UNIX &&
			        (!most || u->keepalive > most->keepalive))
				most = u;
	}
	if (!most)
		return;
	add_in_flight(need, s);
	add(need, kept(c, s, most), 1, "kept to it");
	add(need, 1, 1, "for a probe");
}

void needs_sum(struct needs *n, const struct lb_config *c, bool uring, const struct grants *g)
{
	struct scale s = scale_of(c, g);

	*n = (struct needs){.config = c, .grants = g, .uring = uring};
	sum_descriptors(&n->of[RESOURCE_DESCRIPTORS], c, &s);
	sum_threads(&n->of[RESOURCE_THREADS], &s);
	sum_mappings(&n->of[RESOURCE_MAPPINGS], &s);
	sum_addresses(n, &s);
	sum_memory(&n->of[RESOURCE_MEMORY], c, &s, uring);
	sum_locked(&n->of[RESOURCE_LOCKED], &s, uring);
	add(&n->of[RESOURCE_BACKLOG], LB_BACKLOG, 1, "for each listener");
	sum_ports(&n->of[RESOURCE_PORTS], c, &s);
}

bool needs_is_short(const struct needs *n, enum resource r)
{
	return n->of[r].amount > grant_free(&n->grants->of[r]);
}
