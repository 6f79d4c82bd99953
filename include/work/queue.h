/*
 * The bounded queue between an acceptor and the workers, and the rule for how many of them are awake.
 *
 * A pool that is larger than the machine costs nothing here: of all its threads only `runnable` are kept awake. A
 * worker that is about to sleep in the kernel says so (queue_worker_sleeps) and lets another one run, as
 * Windows' completion ports do. Knows no sockets.
 */
#ifndef TPLB_WORK_QUEUE_H
#define TPLB_WORK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_item {
	void *what;
	int64_t since; /* CLOCK_MONOTONIC ns when it was put; INT64_MAX: it never grows old */
};

struct queue;

/*
 * size: items at most, > 0. runnable: workers awake at once, > 0. share: items that one worker is woken for, > 0.
 * NULL when memory is out.
 */
struct queue *queue_new(size_t size, unsigned runnable, unsigned share);
void queue_free(struct queue *q);

/* Puts the first items that fit, all under one lock, and wakes workers for them. Returns how many were taken. Never waits. */
size_t queue_put(struct queue *q, const struct queue_item *items, size_t n);

/*
 * Takes up to max items; waits while there are none. Returns 0 once the queue was
 * closed and is empty. For workers only.
 */
size_t queue_take(struct queue *q, struct queue_item *items, size_t max);

/* Takes up to max items that were put before `time`, the oldest first, without waiting. For any thread. */
size_t queue_take_older(struct queue *q, int64_t time, struct queue_item *items, size_t max);

/* When the oldest item was put; INT64_MAX when empty. */
int64_t queue_oldest(struct queue *q);

/*
 * Puts an item that was taken back at the front, where it came from: it has waited already. False when there is no room. Several go
 * back in the reverse of their order.
 */
bool queue_put_back(struct queue *q, struct queue_item item);

/* Each worker, once, before its first queue_take: it counts as awake from now on. */
void queue_worker_enters(struct queue *q);

/* A worker that came out of queue_take is about to sleep in the kernel (or is back). */
void queue_worker_sleeps(struct queue *q);
void queue_worker_wakes(struct queue *q);

/* Nothing is put any more; takers get what is left, then 0. */
void queue_close(struct queue *q);

/* Items now in the queue. */
size_t queue_depth(const struct queue *q);

#endif
