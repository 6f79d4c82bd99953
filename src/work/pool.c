/*
 * A thread that ends gives its id back, and joins the one that ended before it, which is as good as gone. So no one has to wait for threads
 * that leave, at most one is not joined yet, and whoever joins the last has joined them all.
 */
#include "work/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/lock.h"

/* Ample for the relay, whose buffers live on the heap; the sanitizers' frames are larger. */
enum { STACK_BYTES = 256 * 1024 };

/* Of one id. Written under the pool's lock before its thread starts; read by that thread. */
struct pool_place {
	struct pool *pool;
	unsigned id;
	bool taken; /* lock: its thread is there, or on its way out */
};

struct pool {
	struct pool_options options; /* constant */
	struct lock lock;            /* never taken by a worker that goes on */
	pthread_cond_t left;         /* lock: a place was given back */
	unsigned workers;            /* lock: that are to stay */
	unsigned threads;            /* lock: places taken */
	unsigned first_free;         /* lock: no place below it is free */
	bool unjoined;               /* lock */
	pthread_t last;              /* lock: the thread that ended last, where unjoined */
	struct pool_place places[];
};

/* The last that a thread does with the pool. */
static void give_back(struct pool_place *place)
{
	struct pool *p = place->pool;
	pthread_t before;

	lock_take(&p->lock);
	bool join = p->unjoined;
	if (join)
		before = p->last;
	p->last = pthread_self();
	p->unjoined = true;
	place->taken = false;
	p->threads--;
	if (place->id < p->first_free)
		p->first_free = place->id;
	PTHREAD_OK(pthread_cond_broadcast(&p->left));
	lock_drop(&p->lock);
	if (join)
		PTHREAD_OK(pthread_join(before, NULL));
}

static void *pool_thread_run(void *arg)
{
	struct pool_place *place = arg;
	const struct pool_options *o = &place->pool->options;
	struct queue_item items[POOL_BURST_MAX];
	size_t n;

	queue_worker_enters(o->queue);
	while ((n = queue_take(o->queue, items, o->burst)) > 0)
		o->work(o->arg, place->id, items, n);
	if (o->leave)
		o->leave(o->arg, place->id);
	give_back(place);
	return NULL;
}

static int start_thread(struct pool_place *place)
{
	const struct pool_options *o = &place->pool->options;
	pthread_attr_t attr;
	pthread_t thread;
	char text[16]; /* the kernel's limit */

	if (o->enter && !o->enter(o->arg, place->id))
		return ENOMEM;
	PTHREAD_OK(pthread_attr_init(&attr));
	PTHREAD_OK(pthread_attr_setstacksize(&attr, STACK_BYTES));
	int error = pthread_create(&thread, &attr, pool_thread_run, place);
	PTHREAD_OK(pthread_attr_destroy(&attr));
	if (error ==
	        0) { /* it is joined by one that needs the lock first, so that the thread is there still */
		snprintf(text, sizeof(text), "%.9s-%u", o->name, place->id);
		(void)pthread_setname_np(thread, text); /* a name is a convenience */
	} else if (o->leave) {
		o->leave(o->arg, place->id);
	}
	return error;
}

/* A free place; those who leave give one back soon, without waiting for anything. */
static struct pool_place *place_locked(struct pool *p)
{
	lock_must_hold(&p->lock);
	while (p->threads == p->options.most) {
		PTHREAD_OK(pthread_cond_wait(&p->left, &p->lock.mutex));
		lock_taken_by_wait(&p->lock);
	}
	while (p->places[p->first_free].taken)
		p->first_free++;
	return &p->places[p->first_free];
}

/* One more. Returns an errno. */
static int add_locked(struct pool *p)
{
	struct pool_place *place = place_locked(p);

	place->pool = p;
	place->id = (unsigned)(place - p->places);
	int error = start_thread(place);
	if (error == 0) {
		place->taken = true;
		p->threads++;
		p->workers++;
	}
	return error;
}

unsigned pool_resize(struct pool *p, unsigned workers, int *error)
{
	MUST(workers > 0 && workers <= p->options.most);
	*error = 0;
	lock_take(&p->lock);
	if (workers < p->workers) {
		queue_dismiss(p->options.queue, p->workers - workers);
		p->workers = workers;
	} else {
		p->workers += (unsigned)queue_recall(p->options.queue, workers - p->workers);
	}
	while (p->workers < workers && *error == 0)
		*error = add_locked(p);
	workers = p->workers;
	lock_drop(&p->lock);
	return workers;
}

unsigned pool_workers(struct pool *p)
{
	lock_take(&p->lock);
	unsigned workers = p->workers;
	lock_drop(&p->lock);
	return workers;
}

struct pool *pool_start(const struct pool_options *options, int *error)
{
	MUST(options->burst > 0 && options->burst <= POOL_BURST_MAX);
	struct pool *p = calloc(1, sizeof(*p) + options->most * sizeof(p->places[0]));

	if (!p) {
		*error = ENOMEM;
		return NULL;
	}
	p->options = *options;
	lock_init(&p->lock);
	PTHREAD_OK(pthread_cond_init(&p->left, NULL));
	if (pool_resize(p, options->workers, error) == options->workers)
		return p;
	pool_stop(p);
	return NULL;
}

void pool_stop(struct pool *p)
{
	queue_close(p->options.queue);
	lock_take(&p->lock);
	while (p->threads > 0) {
		PTHREAD_OK(pthread_cond_wait(&p->left, &p->lock.mutex));
		lock_taken_by_wait(&p->lock);
	}
	bool join = p->unjoined;
	lock_drop(&p->lock);
	if (join)
		PTHREAD_OK(pthread_join(p->last, NULL));
	PTHREAD_OK(pthread_cond_destroy(&p->left));
	lock_destroy(&p->lock);
	free(p);
}
