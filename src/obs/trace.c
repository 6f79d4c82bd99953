#include "obs/trace.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/sparse.h"
#include "obs/board.h"

struct trace_ring {
	/* constant */
	size_t size; /* a power of two */
	struct trace_event *events;
	/* the writer's */
	_Alignas(64) _Atomic uint64_t written; /* events ever written; release */
	_Atomic uint64_t lost;                 /* relaxed: that found no room, ever */
	bool gap;                              /* the last one was lost */
	/* the reader's */
	_Alignas(64) _Atomic uint64_t read; /* events ever read; release */
	uint64_t lost_before;               /* trace_begin */
};

void trace_write(struct board_row *r, enum trace_kind kind, uint64_t id, uint64_t value, int depth)
{
	struct trace_ring *t = atomic_load_explicit(&r->trace, memory_order_acquire);

	if (!t) /* it has ended since the look */
		return;
	uint64_t written = atomic_load_explicit(&t->written, memory_order_relaxed);

	if (written - atomic_load_explicit(&t->read, memory_order_acquire) == t->size) {
		atomic_store_explicit(&t->lost, atomic_load_explicit(&t->lost, memory_order_relaxed) + 1,
		        memory_order_relaxed);
		t->gap = true;
		return;
	}
	t->events[written & (t->size - 1)] = (struct trace_event){.time = clock_now(),
	        .kind = kind,
	        .after_gap = t->gap,
	        .depth = depth,
	        .id = id,
	        .value = value};
	t->gap = false;
	atomic_store_explicit(&t->written, written + 1, memory_order_release);
}

static struct trace_ring *ring_new(size_t events)
{
	struct trace_ring *t = aligned_alloc(64, sizeof(*t));
	size_t size = 1;

	while (size <= events / 2)
		size *= 2;
	if (!t)
		return NULL;
	*t = (struct trace_ring){.size = size, .events = sparse_new(size, sizeof(struct trace_event))};
	if (t->events)
		return t;
	free(t);
	return NULL;
}

bool trace_begin(struct board_row *r, size_t events)
{
	if (!r->ring)
		r->ring = ring_new(events);
	if (!r->ring)
		return false;
	/* What a late writer has left of the trace before. */
	atomic_store_explicit(&r->ring->read, atomic_load_explicit(&r->ring->written, memory_order_acquire),
	        memory_order_release);
	r->ring->lost_before = atomic_load_explicit(&r->ring->lost, memory_order_relaxed);
	atomic_store_explicit(&r->trace, r->ring, memory_order_release);
	return true;
}

void trace_end(struct board_row *r)
{
	atomic_store_explicit(&r->trace, NULL, memory_order_release);
}

size_t trace_read(struct board_row *r, struct trace_event *out, size_t n)
{
	struct trace_ring *t = r->ring;

	if (!t)
		return 0;
	uint64_t read = atomic_load_explicit(&t->read, memory_order_relaxed);
	uint64_t there = atomic_load_explicit(&t->written, memory_order_acquire) - read;
	if (n > there)
		n = (size_t)there;
	for (size_t i = 0; i < n; i++)
		out[i] = t->events[(read + i) & (t->size - 1)];
	atomic_store_explicit(&t->read, read + n, memory_order_release);
	return n;
}

uint64_t trace_lost(const struct board_row *r)
{
	return r->ring ? atomic_load_explicit(&r->ring->lost, memory_order_relaxed) - r->ring->lost_before
	               : 0;
}

void trace_trim(struct board_row *r)
{
	if (r->ring) /* a right address: cannot fail */
		MUST(madvise(r->ring->events, r->ring->size * sizeof(struct trace_event), MADV_DONTNEED) ==
		        0);
}

void trace_free(struct board_row *r)
{
	if (!r->ring)
		return;
	sparse_free(r->ring->events, r->ring->size, sizeof(struct trace_event));
	free(r->ring);
	r->ring = NULL;
}
