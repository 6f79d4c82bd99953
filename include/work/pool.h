/* A pool of threads that drain a queue. Their number is fixed until someone says another. Knows no sockets. */
#ifndef TPLB_WORK_POOL_H
#define TPLB_WORK_POOL_H

#include <stdbool.h>

#include "work/queue.h"

enum { POOL_BURST_MAX = 16 };

/* What a worker does with what it took: items[0, n), n at most the pool's burst. `id` is below the pool's `most`, and no other thread's. */
typedef void pool_work(void *arg, unsigned id, const struct queue_item *items, size_t n);

struct pool_options {
	const char *name; /* threads are called "NAME-ID" */
	unsigned workers; /* to begin with, > 0 */
	unsigned most;    /* ids, hence workers, at most; at least `workers` */
	unsigned burst;
	struct queue *queue;
	/* NULL, or: before a thread of this id starts, in the thread that starts or resizes the pool. False: there is no memory. */
	bool (*enter)(void *arg, unsigned id);
	pool_work *work;
	/* NULL, or: once for each `enter`, when its thread ends, in that thread. Then the id is free for another. */
	void (*leave)(void *arg, unsigned id);
	void *arg;
};

struct pool;

/* Starts the threads. The options are copied. NULL when memory or threads are out; *error then is an errno. */
struct pool *pool_start(const struct pool_options *options, int *error);

/*
 * From now on so many workers, > 0 and at most options.most. Further ones are started here. Those that are too many leave when they next come
 * for work: idle ones now, the others when they are done with what they have; nobody waits for them. Returns how many workers stay: fewer than
 * asked for when memory or threads are out, *error then is an errno, otherwise 0. One
 * caller at a time, and none of the pool's threads.
 */
unsigned pool_resize(struct pool *pool, unsigned workers, int *error);

/* How many there are to be: what was started, or asked for last. Any thread. */
unsigned pool_workers(struct pool *pool);

/* Closes the queue, lets the workers finish, joins them and frees. */
void pool_stop(struct pool *pool);

#endif
