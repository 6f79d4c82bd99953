/*
 * The engine: listeners, acceptor, parking lot, queue and workers, be they a pool of threads or loops of fibers. Started, drained and
 * stopped by a program.
 */
#ifndef TPLB_ENGINE_ENGINE_H
#define TPLB_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/service.h"
#include "net/addr.h"
#include "net/loop.h"
#include "obs/board.h"
#include "obs/counters.h"
#include "obs/log.h"
#include "work/queue.h"

enum listener_state { LISTENER_FREE, LISTENER_OPEN, LISTENER_LEAVING, LISTENER_CLOSED };

/* One listening socket. The program fills in the first five; the rest is the engine's. */
struct listener {
	int fd;
	_Atomic bool
	        eager; /* relaxed: a connection is dispatched at once, without waiting for its first bytes (tcp mode) */
	const char *name;
	struct addr addr;
	bool file_stays; /* a Unix socket's file is somebody else's to remove; listeners.lock once it runs */
	void *app;       /* the service's own */
	/* See engine/listeners.h. */
	unsigned life;            /* of this slot; listeners.lock, or who holds it */
	_Atomic unsigned state;   /* enum listener_state; release, acquire */
	_Atomic unsigned holders; /* acceptors that have not let go of it; acq_rel */
	_Atomic unsigned open;    /* relaxed: connections accepted from it that have not ended */
	_Atomic uint64_t
	        accepted; /* relaxed: how many there were, on the line that each accept writes anyway */
};

/* It takes no more connections; those that it has are to end soon: answers say `Connection: close`. */
static inline bool listener_is_leaving(const struct listener *l)
{
	return atomic_load_explicit(&l->state, memory_order_relaxed) >= LISTENER_LEAVING;
}

/* Connections beyond options.connections that are held for a moment, to tell them that they are refused. */
enum { ENGINE_REFUSAL_RECORDS = 256 };

enum engine_kind { ENGINE_POOL, ENGINE_ASYNC };
enum { ENGINE_LOOPS_MAX = 64 };

struct engine_options {
	const char *name; /* threads are named after it */
	enum engine_kind kind;
	unsigned workers; /* threads of the pool; the async engine has none */
	unsigned
	        workers_most; /* for engine_resize; 0: it stays as it is. Those who are not there cost addresses, not memory */
	bool hold_connection; /* a worker keeps its connection until it closes */
	unsigned burst;       /* requests a worker may have with servers at once */
	int64_t patience;     /* ns that a body may stall before it leaves its worker for a loop */
	unsigned
	        loops; /* threads with fibers; in the pool engine for what leaves its worker, 0: nothing does */
	enum loop_driver_kind driver; /* not LOOP_AUTO */
	unsigned fibers;              /* at once, all loops together; at least one a loop */
	bool reads_files;             /* the service reads files: helpers do that for fibers */
	unsigned queue_size;
	int64_t queue_timeout; /* ns */
	struct queue_rule queue_rule;
	size_t shelved;       /* connections that the service may have shelved at once, at most */
	unsigned connections; /* at most, all listeners together */
	size_t header_size;
	int64_t header_timeout; /* ns; 0: none */
	int64_t drain;          /* ns */
	struct listener *listeners;
	unsigned listener_count;
	struct service service;
	struct log *log; /* with engine_sets rings; may be NULL */
};

/*
 * How many sets of counters and rings of the log the engine may come to use: one a loop, then the pool's acceptor, then one a worker that there
 * can be. Worker ids are below it.
 */
unsigned engine_sets(const struct engine_options *options);

struct engine;

/* Starts all threads. NULL on failure, *why then tells. The options are copied; what they point to must outlive the engine. */
struct engine *engine_start(const struct engine_options *options, const char **why);

/*
 * Stops accepting (closes the listeners) and lets what is in flight finish; parked clients get `Connection: close` with
 * their next answer, or are closed after a second of idleness. Returns at once.
 */
void engine_drain(struct engine *e);
/* Another process has the listening sockets: their files are its own to remove. Before engine_drain. */
void engine_leave_files(struct engine *e);
/* True while draining: answers then say `Connection: close`. Any thread. */
bool engine_is_draining(const struct engine *e);

/*
 * A connection that the service has shelved (VERDICT_SHELVED) goes on: begin() is called with the exchange on some worker, or on the loop
 * whose connection it is. Any thread; never waits. options.shelved of them at most at a time.
 */
void engine_resume(struct engine *e, struct conn *c, void *exchange);

/* Waits until a drained engine has no connection left or options.drain has passed. Returns how many connections were cut. */
unsigned engine_wait(struct engine *e);

/*
 * Pool engine: from now on so many threads, > 0 and at most options.workers_most. Further ones start at once. Those that are too many leave when
 * they are done with what they have in hand (with hold_connection: when that connection ends), and nobody waits for them. Returns how many there are
 * to be: fewer than asked for when memory or threads are out, *error then is an errno, otherwise 0. One caller at a time; not once engine_free was
 * called.
 */
unsigned engine_resize(struct engine *e, unsigned workers, int *error);
/* Threads of the pool that there are to be; 0 in the async engine. Any thread. */
unsigned engine_workers(const struct engine *e);

/* Joins all threads and frees. After engine_wait returned 0 only; otherwise the caller exits with threads running. */
void engine_free(struct engine *e);

/*
 * The sets of counters used so far: one a loop, then the pool's acceptor's, then one a worker. One of a worker that left keeps its counts, and is
 * the next one's. They stay where they are. Any thread.
 */
const struct counters *engine_counters(const struct engine *e, unsigned *count);

/*
 * What each of them does now, a row for each of those sets: see obs/board.h. The rows stay where they are. Any thread.
 */
const struct board_row *engine_board(const struct engine *e, unsigned *count);
/* The same, for who traces them (obs/trace.h): one thread. */
struct board_row *engine_rows(struct engine *e, unsigned *count);

/* Whose row or set it is, and the thread's name behind options.name and a dash: "loop0", "accept", "17". */
enum engine_seat { SEAT_LOOP, SEAT_ACCEPTOR, SEAT_WORKER };
enum { ENGINE_SEAT_BYTES = 16 };
enum engine_seat engine_seat(const struct engine *e, unsigned id, char name[ENGINE_SEAT_BYTES]);

/*
 * A further listener: all accept from it within a turn. The record is the engine's and stays good until engine_forget. fd is the engine's. NULL: there
 * are LOOP_LISTENERS_MAX of them, or memory is out; fd is the caller's still. Not while draining.
 */
struct listener *engine_listen(struct engine *e, const struct listener *from);
/* The record of options.listeners[i]. */
struct listener *engine_listener(struct engine *e, unsigned i);
/*
 * One less: what stands in its backlog is accepted still, then the socket is closed; a Unix socket's file is the caller's to remove, before. Its connections get `Connection:
 * close` with their next answer, or are closed after a second of idleness. Returns when the socket is
 * closed and its address free: a turn of the acceptors later, after a second at most.
 */
void engine_unlisten(struct engine *e, struct listener *l);
/* Whether all that is over: its socket is closed and its last connection has ended. Then engine_forget gives the record back. */
bool engine_listener_is_gone(const struct listener *l);
void engine_forget(struct engine *e, struct listener *l);

/* What waits for a worker or fiber now. Any thread. */
struct engine_queue {
	size_t depth;
	int64_t age; /* ns that the oldest has waited; 0: there is none */
};
struct engine_queue engine_queue(const struct engine *e);

/* What can be set while it runs; the rest of engine_options stays. Any thread. */
struct engine_settings {
	int64_t queue_timeout;
	struct queue_rule queue_rule;
	int64_t header_timeout; /* of connections that are accepted from now on */
	int64_t drain;
};
void engine_set(struct engine *e, const struct engine_settings *s);
/* From now on the service may have so many connections shelved, if it was fewer. False when memory is out. */
bool engine_set_shelved(struct engine *e, size_t shelved);

struct lot;
/* The lots that connections are parked in, from 0; NULL: there are no more. They stay as long as the engine. */
const struct lot *engine_lot(const struct engine *e, unsigned i);
/* The name of the listener in that slot, cut short to fit; "": there is none. Any thread. */
enum { ENGINE_LISTENERS_MAX = LOOP_LISTENERS_MAX };
void engine_listener_name(struct engine *e, unsigned slot, char *out, size_t size);

/* Connections open now. */
unsigned engine_connections(const struct engine *e);

#endif
