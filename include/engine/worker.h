/* What a worker carries, be it a thread of the pool or (later) a fiber's loop: its I/O driver and its own stores. Never shared. */
#ifndef TPLB_ENGINE_WORKER_H
#define TPLB_ENGINE_WORKER_H

#include "base/buf.h"
#include "http/date.h"
#include "net/io.h"
#include "obs/counters.h"
#include "obs/log.h"

/* Free buffers of one size; a worker's own. */
struct buf_store {
	struct buf *free;
	unsigned count;
	unsigned keep; /* at most so many are kept */
	size_t cap;    /* of each */
};

struct worker {
	unsigned id; /* 0 to workers - 1 */
	struct io *io;
	struct counters *counters;
	struct log_ring *log; /* NULL: no log thread */
	struct http_date_cache date;
	struct buf_store heads;  /* buffers of limits.header_size, for what clients send */
	struct buf_store bodies; /* larger ones, for what goes to clients */
	void *local;             /* the service's own, from service.worker_start */
};

/* A buffer, empty; NULL when memory is out. */
struct buf *buf_store_get(struct buf_store *s);
/* Gives it back. NULL is allowed. */
void buf_store_put(struct buf_store *s, struct buf *b);
void buf_store_free(struct buf_store *s);

#endif
