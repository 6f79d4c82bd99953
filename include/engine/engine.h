/*
 * The engine: listeners, acceptor, parking lot, queue and pool. Started, drained and stopped by a program.
 */
#ifndef TPLB_ENGINE_ENGINE_H
#define TPLB_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/service.h"
#include "net/addr.h"
#include "obs/counters.h"
#include "obs/log.h"

/* One listening socket. */
struct listener {
	int fd;
	bool eager; /* a connection is dispatched at once, without waiting for its first bytes (tcp mode) */
	const char *name;
	struct addr addr;
	void *app; /* the service's own */
};

/* Connections beyond options.connections that are held for a moment, to tell them that they are refused. */
enum { ENGINE_REFUSAL_RECORDS = 256 };

struct engine_options {
	const char *name; /* threads are named after it */
	unsigned workers;
	bool hold_connection; /* a worker keeps its connection until it closes */
	unsigned burst;       /* requests a worker may have with servers at once */
	unsigned queue_size;
	int64_t queue_timeout; /* ns */
	unsigned connections;  /* at most, all listeners together */
	size_t header_size;
	int64_t header_timeout; /* ns; 0: none */
	int64_t drain;          /* ns */
	struct listener *listeners;
	unsigned listener_count;
	struct service service;
	struct log *log; /* with workers + 1 rings; may be NULL */
};

struct engine;

/* Starts all threads. NULL on failure, *why then tells. The options are copied; what they point to must outlive the engine. */
struct engine *engine_start(const struct engine_options *options, const char **why);

/*
 * Stops accepting (closes the listeners) and lets what is in flight finish; parked clients get `Connection: close` with
 * their next answer, or are closed after a second of idleness. Returns at once.
 */
void engine_drain(struct engine *e);
/* True while draining: answers then say `Connection: close`. Any thread. */
bool engine_is_draining(const struct engine *e);

/* Waits until a drained engine has no connection left or options.drain has passed. Returns how many connections were cut. */
unsigned engine_wait(struct engine *e);

/* Joins all threads and frees. After engine_wait returned 0 only; otherwise the caller exits with threads running. */
void engine_free(struct engine *e);

/* Sets of counters: one a worker, then the acceptor's. */
const struct counters *engine_counters(const struct engine *e, unsigned *count);

/* Connections open now. */
unsigned engine_connections(const struct engine *e);

#endif
