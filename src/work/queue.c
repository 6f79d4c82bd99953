/*
 * One lock guards the ring and the idle workers. Beside it stand two atomics that a worker looks at without the
 * lock each time it goes to sleep in the kernel:
 *
 *   running   workers that are awake (neither idle nor asleep in the kernel)
 *   depth     items in the ring (written under the lock)
 *
 * No wake-up is lost: queue_put writes depth and then reads running; a worker that sleeps lowers running and then
 * reads depth; all four are sequentially consistent, so at least one of the two sees the other.
 */
#include "work/queue.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"

/* An idle worker, on its own stack. All fields: the queue's lock. */
struct waiter {
	pthread_cond_t wake; /* woken became true, or the queue was closed */
	bool woken;
	struct waiter *next;
};

struct queue {
	/* constant */
	size_t size;
	int runnable;
	unsigned share;

	struct lock lock;
	size_t first;         /* lock: where the oldest item is */
	struct waiter *idle;  /* lock: a stack, so that few workers run, and those often, with warm caches */
	bool closed;          /* lock */
	_Atomic size_t depth; /* written under lock, seq_cst; read anywhere */
	_Atomic int running;  /* seq_cst */
	struct queue_item *items; /* lock: ring of `size` */
};

struct queue *queue_new(size_t size, unsigned runnable, unsigned share)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->items = calloc(size, sizeof(*q->items));
	if (!q->items) {
		free(q);
		return NULL;
	}
	q->size = size;
	q->runnable = (int)runnable;
	q->share = share;
	lock_init(&q->lock);
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	lock_destroy(&q->lock);
	free(q->items);
	free(q);
}

/*
 * Wakes up to n workers, but keeps to the limit of workers that run; a woken one counts as running at once. The signal is given under the
 * lock: a waiter is gone as soon as it has the lock again.
 */
static void wake_locked(struct queue *q, size_t n)
{
	lock_must_hold(&q->lock);
	while (n-- > 0 && q->idle && atomic_load(&q->running) < q->runnable) {
		struct waiter *w = q->idle;

		q->idle = w->next;
		w->woken = true;
		atomic_fetch_add(&q->running, 1);
		PTHREAD_OK(pthread_cond_signal(&w->wake));
	}
}

size_t queue_put(struct queue *q, const struct queue_item *items, size_t n)
{
	lock_take(&q->lock);
	size_t depth = atomic_load(&q->depth);
	size_t taken = q->closed ? 0 : q->size - depth;
	if (taken > n)
		taken = n;
	size_t at = q->first + depth;
	if (at >= q->size)
		at -= q->size;
	for (size_t i = 0; i < taken; i++) {
		q->items[at] = items[i];
		if (++at == q->size)
			at = 0;
	}
	atomic_store(&q->depth, depth + taken);
	wake_locked(q, (taken + q->share - 1) / q->share);
	lock_drop(&q->lock);
	return taken;
}

bool queue_put_back(struct queue *q, struct queue_item item)
{
	lock_take(&q->lock);
	size_t depth = atomic_load(&q->depth);
	bool fits = !q->closed && depth < q->size;
	if (fits) {
		q->first = (q->first > 0 ? q->first : q->size) - 1;
		q->items[q->first] = item;
		atomic_store(&q->depth, depth + 1);
		wake_locked(q, 1);
	}
	lock_drop(&q->lock);
	return fits;
}

static void pop_locked(struct queue *q, struct queue_item *items, size_t n)
{
	lock_must_hold(&q->lock);
	for (size_t i = 0; i < n; i++) {
		items[i] = q->items[q->first];
		if (++q->first == q->size)
			q->first = 0;
	}
	atomic_store(&q->depth, atomic_load(&q->depth) - n);
}

static void remove_locked(struct queue *q, const struct waiter *w)
{
	struct waiter **at = &q->idle;

	lock_must_hold(&q->lock);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

static void wait_locked(struct queue *q)
{
	struct waiter self = {.wake = PTHREAD_COND_INITIALIZER, .next = q->idle};

	lock_must_hold(&q->lock);
	atomic_fetch_sub(&q->running, 1);
	q->idle = &self;
	while (!self.woken && !q->closed) {
		PTHREAD_OK(pthread_cond_wait(&self.wake, &q->lock.mutex));
		lock_taken_by_wait(&q->lock);
	}
	if (!self.woken) { /* else the waker has seen to both */
		remove_locked(q, &self);
		atomic_fetch_add(&q->running, 1);
	}
	PTHREAD_OK(pthread_cond_destroy(&self.wake));
}

void queue_worker_enters(struct queue *q)
{
	atomic_fetch_add(&q->running, 1);
}

size_t queue_take(struct queue *q, struct queue_item *items, size_t max)
{
	lock_take(&q->lock);
	while (atomic_load(&q->depth) == 0 && !q->closed)
		wait_locked(q);
	size_t n = atomic_load(&q->depth);
	if (n > max)
		n = max;
	pop_locked(q, items, n);
	lock_drop(&q->lock);
	return n;
}

/* The item k places behind the oldest. */
static struct queue_item *item_locked(struct queue *q, size_t k)
{
	size_t at = q->first + k;

	lock_must_hold(&q->lock);
	return &q->items[at < q->size ? at : at - q->size];
}

size_t queue_take_older(struct queue *q, int64_t time, struct queue_item *items, size_t max)
{
	size_t n = 0;

	if (atomic_load(&q->depth) == 0)
		return 0;
	lock_take(&q->lock);
	size_t depth = atomic_load(&q->depth);
	size_t kept = 0;
	for (size_t k = 0; k < depth; k++) {
		struct queue_item *item = item_locked(q, k);

		if (n < max && item->since < time)
			items[n++] = *item;
		else
			*item_locked(q, kept++) = *item;
	}
	atomic_store(&q->depth, kept);
	lock_drop(&q->lock);
	return n;
}

int64_t queue_oldest(struct queue *q)
{
	int64_t since = CLOCK_NEVER;

	if (atomic_load(&q->depth) == 0)
		return since;
	lock_take(&q->lock);
	size_t depth = atomic_load(&q->depth);
	for (size_t k = 0; k < depth && since == CLOCK_NEVER; k++)
		since = item_locked(q, k)->since;
	lock_drop(&q->lock);
	return since;
}

void queue_worker_sleeps(struct queue *q)
{
	atomic_fetch_sub(&q->running, 1);
	if (atomic_load(&q->depth) == 0)
		return;
	lock_take(&q->lock);
	if (atomic_load(&q->depth) > 0)
		wake_locked(q, 1);
	lock_drop(&q->lock);
}

void queue_worker_wakes(struct queue *q)
{
	atomic_fetch_add(&q->running, 1);
}

void queue_close(struct queue *q)
{
	lock_take(&q->lock);
	q->closed = true;
	for (struct waiter *w = q->idle; w; w = w->next)
		PTHREAD_OK(pthread_cond_signal(&w->wake));
	lock_drop(&q->lock);
}

size_t queue_depth(const struct queue *q)
{
	return atomic_load_explicit(&q->depth, memory_order_relaxed);
}
