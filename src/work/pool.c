#include "work/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

/* Ample for the relay, whose buffers live on the heap; the sanitizers' frames are larger. */
enum { STACK_BYTES = 256 * 1024 };

struct pool_thread {
	pthread_t thread;
	struct pool *pool;
	unsigned id;
};

struct pool {
	unsigned workers; /* threads started */
	unsigned burst;
	struct queue *queue;
	pool_work *work;
	void *arg;
	struct pool_thread threads[];
};

static void *pool_thread_run(void *arg)
{
	struct pool_thread *t = arg;
	struct pool *p = t->pool;
	struct queue_item items[POOL_BURST_MAX];
	size_t n;

	queue_worker_enters(p->queue);
	while ((n = queue_take(p->queue, items, p->burst)) > 0)
		p->work(p->arg, t->id, items, n);
	return NULL;
}

static int start_thread(struct pool_thread *t, const char *name)
{
	pthread_attr_t attr;
	char text[16]; /* the kernel's limit */

	PTHREAD_OK(pthread_attr_init(&attr));
	PTHREAD_OK(pthread_attr_setstacksize(&attr, STACK_BYTES));
	int error = pthread_create(&t->thread, &attr, pool_thread_run, t);
	PTHREAD_OK(pthread_attr_destroy(&attr));
	if (error == 0) {
		snprintf(text, sizeof(text), "%.9s-%u", name, t->id);
		(void)pthread_setname_np(t->thread, text); /* a name is a convenience */
	}
	return error;
}

struct pool *pool_start(const char *name, unsigned workers, unsigned burst, struct queue *queue,
        pool_work *work, void *arg, int *error)
{
	MUST(workers > 0 && burst > 0 && burst <= POOL_BURST_MAX);
	struct pool *p = calloc(1, sizeof(*p) + workers * sizeof(p->threads[0]));
	if (!p) {
		*error = ENOMEM;
		return NULL;
	}
	p->burst = burst;
	p->queue = queue;
	p->work = work;
	p->arg = arg;
	for (unsigned i = 0; i < workers; i++) {
		p->threads[i].pool = p;
		p->threads[i].id = i;
		*error = start_thread(&p->threads[i], name);
		if (*error != 0) {
			pool_stop(p);
			return NULL;
		}
		p->workers++;
	}
	return p;
}

void pool_stop(struct pool *p)
{
	queue_close(p->queue);
	for (unsigned i = 0; i < p->workers; i++)
		PTHREAD_OK(pthread_join(p->threads[i].thread, NULL));
	free(p);
}
