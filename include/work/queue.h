/*
 * The bounded queue between an acceptor and the workers, and the rule for how many of them are awake.
 *
 * A pool that is larger than the machine costs nothing here: of all its threads only `runnable` are kept awake. A
 * worker that is about to sleep in the kernel says so (queue_worker_sleeps) and lets another one run, as
 * Windows' completion ports do. Knows no sockets.
 *
 * Three disciplines say who is next, and who is not worth serving any more. A queue *stands* once it has not been empty for `interval`: a burst
 * is over by then, so more comes than can be served.
 *
 *	fifo     The oldest first. Under lasting overload everyone waits for as long as the queue is long, and all of it is late.
 *	lifo     Fifo until the queue stands, then the newest first: those who are served are served at once, and those below
 *	         them are served when the rush is over, or time out. (Adaptive LIFO: Ben Maurer, "Fail at Scale", ACM Queue 13 (8), 2015.)
 *	codel    Lifo, and while the queue stands nobody waits longer than `target`: who has is shed, and can be told so early enough
 *	         to go elsewhere. (Controlled delay, also Maurer's.) A queue kept so short is empty now and then and has its interval
 *	         again: nobody ever waits for longer than the two together, and few for more than half of it.
 *
 * Maurer took the idea of `target` and `interval` from CoDel (Kathleen Nichols and Van Jacobson, "Controlling Queue Delay", ACM Queue 10 (5),
 * 2012; RFC 8289), but not its control law, nor do we. CoDel drops one packet, then the next after interval / sqrt(count): that tells TCP
 * senders to slow down, and is enough because they do. Those who send requests don't. At the law's 100 ms the rate of drops grows by some 50
 * a second each second; with 800 requests a second too many it takes 16 s to match them, and long before a queue of a thousand is
 * full and all that is served is late. What bounds the wait itself keeps pace with any load, at once.
 *
 * Nor is a mark on each item needed, as Maurer's code sets when it is put: while the queue does not stand nothing in it is older than `interval`
 * anyway, and once it stands those who have waited for longer than `target` lie at the bottom, where nobody would come for
 * them before the rush is over.
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

/* By what was put back (queue_put_back) none of this is touched: it is next in every discipline, and neither shed nor pushed out. */
enum queue_discipline { QUEUE_FIFO, QUEUE_LIFO, QUEUE_CODEL };

struct queue_rule {
	enum queue_discipline discipline;
	int64_t target;   /* ns; codel's */
	int64_t interval; /* ns; lifo's and codel's */
};

struct queue;

/*
 * size: items at most, > 0. runnable: workers awake at once, > 0. share: items that one worker is woken for, > 0.
 * NULL when memory is out.
 */
struct queue *queue_new(size_t size, unsigned runnable, unsigned share);
/* Room for n more than `size` from now on, for queue_return; what there was before stays. Any thread. False when memory is out. */
bool queue_reserve(struct queue *q, size_t n);
void queue_free(struct queue *q);

/* Fifo until this is called. Any thread; what waits already falls under the new rule. */
void queue_set_rule(struct queue *q, struct queue_rule rule);

/*
 * Puts items, the oldest first, all under one lock, and wakes workers for them. Returns how many there was room for; those behind them,
 * items[that, n), are then the ones to refuse: the last of the items themselves, or, where the newest are served first, the
 * oldest of the queue in their place, who would have been served last. Never waits.
 */
size_t queue_put(struct queue *q, struct queue_item *items, size_t n);

/*
 * Takes up to max items; waits while there are none. Returns 0 once the queue was
 * closed and is empty, or when the worker is dismissed: it then is none any more. For workers only.
 */
size_t queue_take(struct queue *q, struct queue_item *items, size_t max);

/* The same, without waiting. For any thread. */
size_t queue_try_take(struct queue *q, struct queue_item *items, size_t max);

/* Takes up to max items that were put before `time`, the oldest first, without waiting. For any thread. */
size_t queue_take_older(struct queue *q, int64_t time, struct queue_item *items, size_t max);

/*
 * Codel: takes up to max items that have waited for too long at time `now`, the oldest first, without waiting. None in other disciplines.
 * For any thread.
 */
size_t queue_take_shed(struct queue *q, int64_t now, struct queue_item *items, size_t max);

/* When queue_take_shed will have some, if nobody takes them before; INT64_MAX: as it looks, never. */
int64_t queue_next_shed(struct queue *q);

/* When the oldest item was put; INT64_MAX when empty. */
int64_t queue_oldest(struct queue *q);

/*
 * Puts an item that was taken back at the front, where it came from: it has waited already. False when there is no room. Several go
 * back in the reverse of their order.
 */
bool queue_put_back(struct queue *q, struct queue_item item);

/* The same for an item that was elsewhere meanwhile, and may use what queue_reserve has made room for. */
bool queue_return(struct queue *q, struct queue_item item);

/* Each worker, once, before its first queue_take: it counts as awake from now on. */
void queue_worker_enters(struct queue *q);

/* A worker that came out of queue_take is about to sleep in the kernel (or is back). */
void queue_worker_sleeps(struct queue *q);
void queue_worker_wakes(struct queue *q);

/*
 * n workers are to leave: queue_take returns 0 to so many, at once to those that wait in it (first to those that have waited longest), to others
 * when they come next. One stays at least. Never waits.
 */
void queue_dismiss(struct queue *q, size_t n);
/* Up to n of those that were dismissed and have not been told yet stay. Returns how many. */
size_t queue_recall(struct queue *q, size_t n);

/* Nothing is put any more; takers get what is left, then 0. */
void queue_close(struct queue *q);

/* Items now in the queue; sequentially consistent with queue_put. */
size_t queue_depth(const struct queue *q);
bool queue_is_full(const struct queue *q);

#endif
