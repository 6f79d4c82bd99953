/*
 * One lock guards the ring and the idle workers. Beside it stand two atomics that a worker looks at without the
 * lock each time it goes to sleep in the kernel:
 *
 *   running   workers that are awake (neither idle nor asleep in the kernel)
 *   depth     items in the ring (written under the lock)
 *
 * No wake-up is lost: queue_put writes depth and then reads running; a worker that sleeps lowers running and then
 * reads depth; all four are sequentially consistent, so at least one of the two sees the other.
 *
 * The ring holds, from its front: what was put back, which is next whatever the discipline; then the others in the order of their
 * coming. So the newest are at its end, and those to shed or push out in one piece behind the first part. Time is what those who put bring with their
 * items, and a taker needs none: between two puts it makes no difference whether the queue stands.
 */
#include "work/queue.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"

/* An idle worker, on its own stack. All fields: the queue's lock. */
struct waiter {
	pthread_cond_t wake; /* woken or dismissed became true, or the queue was closed */
	bool woken;
	bool dismissed; /* it is to leave; out of the list already, and not among those that run */
	struct waiter *next;
};

struct queue {
	/* constant */
	size_t size;
	size_t room; /* of the ring: size, and what is reserved for items that are put back */
	int runnable;
	unsigned share;

	struct lock lock;
	size_t first;           /* lock: where the oldest item is */
	size_t ahead;           /* lock: items that were put back */
	struct queue_rule rule; /* lock */
	int64_t busy_since; /* lock: when the first item was put since the queue was empty last; CLOCK_NEVER: it is, or holds but what was put back */
	bool stands;        /* lock: the newest are next; never with fifo */
	struct waiter *idle;  /* lock: a stack, so that few workers run, and those often, with warm caches */
	bool closed;          /* lock */
	size_t leaving;       /* lock: workers that are to leave when they next come for an item */
	_Atomic size_t depth; /* written under lock, seq_cst; read anywhere */
	_Atomic int running;  /* seq_cst */
	struct queue_item *items; /* lock: ring of `room` */
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
	q->room = size;
	q->runnable = (int)runnable;
	q->share = share;
	q->busy_since = CLOCK_NEVER;
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

void queue_set_rule(struct queue *q, struct queue_rule rule)
{
	lock_take(&q->lock);
	q->rule = rule;
	q->stands = false; /* the next put tells */
	lock_drop(&q->lock);
}

/* The item k places behind the front. */
static struct queue_item *item_locked(struct queue *q, size_t k)
{
	size_t at = q->first + k;

	lock_must_hold(&q->lock);
	return &q->items[at < q->room ? at : at - q->room];
}

bool queue_reserve(struct queue *q, size_t n)
{
	struct queue_item *items = calloc(q->size + n, sizeof(*items)), *before = items;

	if (!items)
		return false;
	lock_take(&q->lock);
	if (q->size + n > q->room) {
		size_t depth = queue_depth(q);

		for (size_t k = 0; k < depth; k++)
			items[k] = *item_locked(q, k);
		before = q->items;
		q->items = items;
		q->first = 0;
		q->room = q->size + n;
	}
	lock_drop(&q->lock);
	free(before);
	return true;
}

static void set_depth_locked(struct queue *q, size_t depth)
{
	lock_must_hold(&q->lock);
	atomic_store(&q->depth, depth);
	if (depth == 0) {
		q->busy_since = CLOCK_NEVER;
		q->stands = false;
	}
}

/* Takes n items out that lie behind those that were put back: these move up. */
static void close_gap_locked(struct queue *q, size_t n)
{
	lock_must_hold(&q->lock);
	for (size_t k = q->ahead; k-- > 0;)
		*item_locked(q, k + n) = *item_locked(q, k);
	q->first += n;
	if (q->first >= q->room)
		q->first -= q->room;
}

static void look_at_time_locked(struct queue *q, int64_t now)
{
	lock_must_hold(&q->lock);
	if (q->busy_since == CLOCK_NEVER)
		q->busy_since = now;
	else if (q->rule.discipline != QUEUE_FIFO && now - q->busy_since >= q->rule.interval)
		q->stands = true;
}

/* The queue is full, and its newest are served first: the item takes the oldest's place, and becomes that one. */
static void push_out_locked(struct queue *q, struct queue_item *item)
{
	size_t depth = atomic_load(&q->depth);

	lock_must_hold(&q->lock);
	if (q->ahead == depth)
		return;
	struct queue_item oldest = *item_locked(q, q->ahead);
	close_gap_locked(q, 1);
	*item_locked(q, depth - 1) = *item;
	*item = oldest;
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

size_t queue_put(struct queue *q, struct queue_item *items, size_t n)
{
	if (n == 0)
		return 0;
	lock_take(&q->lock);
	size_t depth = atomic_load(&q->depth);
	size_t taken = q->closed || depth >= q->size ? 0 : q->size - depth;
	if (taken > n)
		taken = n;
	look_at_time_locked(q, items[0].since);
	for (size_t i = 0; i < taken; i++)
		*item_locked(q, depth + i) = items[i];
	atomic_store(&q->depth, depth + taken);
	for (size_t i = taken; i < n && q->stands && !q->closed; i++)
		push_out_locked(q, &items[i]);
	wake_locked(q, (taken + q->share - 1) / q->share);
	lock_drop(&q->lock);
	return taken;
}

static bool put_front(struct queue *q, struct queue_item item, size_t most)
{
	lock_take(&q->lock);
	size_t depth = atomic_load(&q->depth);
	bool fits = !q->closed && depth < most;
	if (fits) {
		q->first = (q->first > 0 ? q->first : q->room) - 1;
		q->items[q->first] = item;
		q->ahead++;
		atomic_store(&q->depth, depth + 1);
		wake_locked(q, 1);
	}
	lock_drop(&q->lock);
	return fits;
}

bool queue_put_back(struct queue *q, struct queue_item item)
{
	return put_front(q, item, q->size);
}

bool queue_return(struct queue *q, struct queue_item item)
{
	return put_front(q, item, q->room);
}

/* The next n. */
static void pop_locked(struct queue *q, struct queue_item *items, size_t n)
{
	size_t depth = atomic_load(&q->depth);
	size_t ahead = n < q->ahead ? n : q->ahead;
	size_t front = q->stands ? ahead : n;

	lock_must_hold(&q->lock);
	for (size_t i = 0; i < front; i++) {
		items[i] = q->items[q->first];
		if (++q->first == q->room)
			q->first = 0;
	}
	q->ahead -= ahead;
	set_depth_locked(q, depth - n);
	for (size_t i = front; i < n; i++)
		items[i] = *item_locked(q, depth - 1 - i);
}

static void remove_locked(struct queue *q, const struct waiter *w)
{
	struct waiter **at = &q->idle;

	lock_must_hold(&q->lock);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

/* False: it was dismissed. */
static bool wait_locked(struct queue *q)
{
	struct waiter self = {.wake = PTHREAD_COND_INITIALIZER, .next = q->idle};

	lock_must_hold(&q->lock);
	atomic_fetch_sub(&q->running, 1);
	q->idle = &self;
	while (!self.woken && !self.dismissed && !q->closed) {
		PTHREAD_OK(pthread_cond_wait(&self.wake, &q->lock.mutex));
		lock_taken_by_wait(&q->lock);
	}
	if (!self.woken && !self.dismissed) { /* else the waker has seen to both */
		remove_locked(q, &self);
		atomic_fetch_add(&q->running, 1);
	}
	PTHREAD_OK(pthread_cond_destroy(&self.wake));
	return !self.dismissed;
}

/*
 * False: the worker that asks is one of those that leave. While there are such nobody is idle, since all come by here before they wait: so it need
 * not wake another one to run in its place.
 */
static bool stays_locked(struct queue *q)
{
	lock_must_hold(&q->lock);
	if (q->leaving == 0)
		return true;
	MUST(!q->idle);
	q->leaving--;
	atomic_fetch_sub(&q->running, 1);
	return false;
}

void queue_worker_enters(struct queue *q)
{
	atomic_fetch_add(&q->running, 1);
}

size_t queue_take(struct queue *q, struct queue_item *items, size_t max)
{
	lock_take(&q->lock);
	bool stays = stays_locked(q);
	while (stays && atomic_load(&q->depth) == 0 && !q->closed)
		stays = wait_locked(q) && stays_locked(q);
	size_t n = stays ? atomic_load(&q->depth) : 0;
	if (n > max)
		n = max;
	pop_locked(q, items, n);
	lock_drop(&q->lock);
	return n;
}

size_t queue_try_take(struct queue *q, struct queue_item *items, size_t max)
{
	if (atomic_load(&q->depth) == 0)
		return 0;
	lock_take(&q->lock);
	size_t n = atomic_load(&q->depth);
	if (n > max)
		n = max;
	pop_locked(q, items, n);
	lock_drop(&q->lock);
	return n;
}

/* Those that were put back may be in any order; of the others the first is the oldest. */
static int64_t oldest_locked(struct queue *q)
{
	size_t depth = atomic_load(&q->depth);
	int64_t oldest = CLOCK_NEVER;

	lock_must_hold(&q->lock);
	for (size_t k = 0; k < depth && (k <= q->ahead || oldest == CLOCK_NEVER); k++)
		if (item_locked(q, k)->since < oldest)
			oldest = item_locked(q, k)->since;
	return oldest;
}

size_t queue_take_older(struct queue *q, int64_t time, struct queue_item *items, size_t max)
{
	size_t n = 0, kept = 0, ahead = 0;

	if (atomic_load(&q->depth) == 0)
		return 0;
	lock_take(&q->lock);
	size_t depth = oldest_locked(q) < time ? atomic_load(&q->depth)
	                                       : 0; /* as a rule there is nothing to do */
	for (size_t k = 0; k < depth; k++) {
		struct queue_item *item = item_locked(q, k);

		if (n < max && item->since < time) {
			items[n++] = *item;
			continue;
		}
		ahead += k < q->ahead;
		*item_locked(q, kept++) = *item;
	}
	if (depth > 0) {
		q->ahead = ahead;
		set_depth_locked(q, kept);
	}
	lock_drop(&q->lock);
	return n;
}

size_t queue_take_shed(struct queue *q, int64_t now, struct queue_item *items, size_t max)
{
	size_t n = 0;

	if (atomic_load(&q->depth) == 0)
		return 0;
	lock_take(&q->lock);
	size_t depth = q->rule.discipline == QUEUE_CODEL ? atomic_load(&q->depth) : 0;
	if (depth > 0)
		look_at_time_locked(q, now);
	while (q->stands && n < max && q->ahead + n < depth &&
	        now - item_locked(q, q->ahead + n)->since >= q->rule.target) {
		items[n] = *item_locked(q, q->ahead + n);
		n++;
	}
	if (n > 0) {
		close_gap_locked(q, n);
		set_depth_locked(q, depth - n);
	}
	lock_drop(&q->lock);
	return n;
}

int64_t queue_next_shed(struct queue *q)
{
	int64_t at = CLOCK_NEVER;

	if (atomic_load(&q->depth) == 0)
		return at;
	lock_take(&q->lock);
	if (q->rule.discipline == QUEUE_CODEL && q->ahead < atomic_load(&q->depth)) {
		int64_t since = item_locked(q, q->ahead)->since;

		at = since + q->rule.target;
		if (!q->stands && at < q->busy_since + q->rule.interval)
			at = q->busy_since + q->rule.interval;
	}
	lock_drop(&q->lock);
	return at;
}

int64_t queue_oldest(struct queue *q)
{
	if (atomic_load(&q->depth) == 0)
		return CLOCK_NEVER;
	lock_take(&q->lock);
	int64_t since = oldest_locked(q);
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

void queue_dismiss(struct queue *q, size_t n)
{
	size_t idle = 0;
	struct waiter **rest = &q->idle;

	lock_take(&q->lock);
	for (struct waiter *w = q->idle; w; w = w->next)
		idle++;
	for (; idle > n; idle--)
		rest = &(*rest)->next;
	for (struct waiter *w = *rest; w; w = w->next) { /* those that slept longest */
		w->dismissed = true;
		PTHREAD_OK(pthread_cond_signal(&w->wake));
	}
	*rest = NULL;
	q->leaving += n - idle;
	lock_drop(&q->lock);
}

size_t queue_recall(struct queue *q, size_t n)
{
	lock_take(&q->lock);
	if (n > q->leaving)
		n = q->leaving;
	q->leaving -= n;
	lock_drop(&q->lock);
	return n;
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
	return atomic_load(&q->depth);
}

bool queue_is_full(const struct queue *q)
{
	return queue_depth(q) >= q->size;
}
