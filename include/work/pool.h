/* A fixed pool of threads that drain a queue. Knows no sockets. */
#ifndef TPLB_WORK_POOL_H
#define TPLB_WORK_POOL_H

#include <stdbool.h>

#include "work/queue.h"

enum { POOL_BURST_MAX = 16 };

/* What a worker does with what it took: items[0, n), n at most the pool's burst. `id` is 0 to workers - 1. */
typedef void pool_work(void *arg, unsigned id, const struct queue_item *items, size_t n);

struct pool;

/* Starts `workers` threads named "NAME-ID". NULL when memory or threads are out; *error then is an errno. */
struct pool *pool_start(const char *name, unsigned workers, unsigned burst, struct queue *queue,
        pool_work *work, void *arg, int *error);

/* Closes the queue, lets the workers finish, joins them and frees. */
void pool_stop(struct pool *pool);

#endif
