#include "engine/worker.h"

#include <stdlib.h>

#include "engine/conn.h"
#include "work/queue.h"

enum {
	BODY_BUFFER_BYTES = 96 * 1024, /* a 64 KiB answer with its head in one receive and one send */
	PATIENCE_SHARE = 16
};

struct buf *buf_store_get(struct buf_store *s)
{
	struct buf *b = s->free;

	if (!b)
		return buf_new(s->cap);
	s->free = b->next;
	if (--s->count < s->low)
		s->low = s->count;
	b->next = NULL;
	buf_clear(b);
	return b;
}

void buf_store_put(struct buf_store *s, struct buf *b)
{
	if (!b)
		return;
	if (s->count >= s->keep) {
		free(b);
		return;
	}
	b->next = s->free;
	s->free = b;
	s->count++;
}

void buf_store_trim(struct buf_store *s)
{
	for (; s->low > 0; s->low--) {
		struct buf *b = s->free;

		s->free = b->next;
		s->count--;
		free(b);
	}
	s->low = s->count;
}

void buf_store_free(struct buf_store *s)
{
	while (s->free) {
		struct buf *b = s->free;

		s->free = b->next;
		free(b);
	}
	s->count = 0;
}

/* Of a connection among all that are open: those of a loop with a lot of its own have its number in front. */
static uint64_t trace_id(const struct worker *w, const struct conn *c)
{
	uint64_t generation = atomic_load_explicit(&c->generation, memory_order_relaxed) & 0xffffff;

	return (w->is_loop && w->queue ? (uint64_t)(w->id + 1) << 56 : 0) | generation << 32 | c->index;
}

void worker_takes(struct worker *w, struct conn *c, int64_t now)
{
	int64_t wait = now - conn_queued_at(c);

	conn_is_at(c, CONN_AT_WORK);
	c->queue_wait = wait > 0 ? wait : 0; /* `now` may be the beginning of a turn in which it was queued */
	COUNT(w->counters, dispatched);
	waits_record(&w->counters->waits, wait);
	if (board_is_traced(w->row))
		trace_write(w->row, TRACE_TAKEN, trace_id(w, c), (uint64_t)c->queue_wait,
		        w->queue ? (int)queue_depth(w->queue) : -1);
	histogram_record(w->counters->queue_wait, wait);
}

void worker_goes_on(struct worker *w, struct conn *c)
{
	conn_is_at(c, CONN_AT_WORK);
	conn_queued(c, 0);
	c->queue_wait = 0;
	if (board_is_traced(w->row))
		trace_write(w->row, TRACE_NEXT, trace_id(w, c), 0, -1);
}

void worker_is_done(struct worker *w, const struct conn *c)
{
	if (board_is_traced(w->row))
		trace_write(w->row, TRACE_DONE, trace_id(w, c), 0, -1);
}

struct patience worker_patience(const struct worker *w)
{
	struct patience p = {w->patience, w->patience};

	/* Else a burst of slow readers would take the whole of it from each worker for each of them, one after the other. */
	if (w->patience >= PATIENCE_SHARE && w->queue && queue_depth(w->queue) > 0)
		p.with_client = w->patience / PATIENCE_SHARE;
	return p;
}

void worker_init(struct worker *w, unsigned id, struct io *io, struct counters *counters,
        struct log_ring *log, size_t header_size, unsigned keep)
{
	/* A head as it goes out may name the host once more and gains a few fields. */
	size_t head_out = 2 * header_size + 4096;

	*w = (struct worker){.id = id, .io = io, .counters = counters, .log = log};
	w->heads = (struct buf_store){.keep = keep, .cap = header_size};
	w->bodies = (struct buf_store){
	        .keep = 2 * keep, .cap = head_out > BODY_BUFFER_BYTES ? head_out : BODY_BUFFER_BYTES};
}

void worker_free(struct worker *w)
{
	buf_store_free(&w->heads);
	buf_store_free(&w->bodies);
}
