/* What a worker carries, be it a thread of the pool or a loop with all its fibers: its I/O driver and its own stores. Never shared. */
#ifndef TPLB_ENGINE_WORKER_H
#define TPLB_ENGINE_WORKER_H

#include <stdbool.h>

#include "base/buf.h"
#include "http/date.h"
#include "net/io.h"
#include "obs/board.h"
#include "obs/counters.h"
#include "obs/log.h"
#include "wire/pump.h"

/* Free buffers of one size; a worker's own. */
struct buf_store {
	struct buf *free;
	unsigned count;
	unsigned low;  /* of count, the least since buf_store_trim was called last: so many were not needed */
	unsigned keep; /* at most so many are kept */
	size_t cap;    /* of each */
};

struct conn;
struct queue;

struct worker {
	unsigned id;  /* below engine_sets: loops, then the pool's acceptor (no worker), then its threads */
	bool is_loop; /* its fibers take turns: no request holds it up */
	int64_t patience; /* ns that a body may stall before it leaves (VERDICT_LEAVE) when nobody waits for the worker; 0: it never does */
	const struct queue *queue; /* where those who wait for the worker are; NULL: nowhere that matters */
	struct io *io;
	struct counters *counters;
	struct board_row *row; /* what it does now; NULL: nobody looks */
	struct log_ring *log;  /* NULL: no log thread */
	struct http_date_cache date;
	struct buf_store heads;  /* buffers of limits.header_size, for what clients send */
	struct buf_store bodies; /* larger ones, for what goes to clients */
	void *local;             /* the service's own, from service.worker_start */
};

/* The connection is about to begin a request, off the queue at time `now`: says so in its record, and counts the wait. */
void worker_takes(struct worker *w, struct conn *c, int64_t now);

/* It begins a further one that never was on the queue. */
void worker_goes_on(struct worker *w, struct conn *c);

/* The connection's request, or what there was of it, is over, or it goes back to the queue: before it is parked or closed. For a trace. */
void worker_is_done(struct worker *w, const struct conn *c);

/*
 * How long a body may stall from now on: patience, or a sixteenth of it with a slow client while others wait in the queue. (Not with a
 * server: leaving costs its connection, and on a busy machine such a gap is ordinary.)
 */
struct patience worker_patience(const struct worker *w);

/* A buffer, empty; NULL when memory is out. */
struct buf *buf_store_get(struct buf_store *s);
/* Gives it back. NULL is allowed. */
void buf_store_put(struct buf_store *s, struct buf *b);
/* Frees those that were not needed since the last call. Once in a while. */
void buf_store_trim(struct buf_store *s);
void buf_store_free(struct buf_store *s);

/* Sets the stores up: heads of header_size, bodies with room for a 64 KiB answer and its head; so many of each are kept. */
void worker_init(struct worker *w, unsigned id, struct io *io, struct counters *counters,
        struct log_ring *log, size_t header_size, unsigned keep);
void worker_free(struct worker *w);

#endif
