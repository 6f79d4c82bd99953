#include "net/helpers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/lock.h"

enum { STACK_BYTES = 128 * 1024 };

struct helpers {
	unsigned count; /* threads started */
	struct lock lock;
	pthread_cond_t wake;      /* a job was given, or it is to stop */
	struct helper_job *first; /* lock */
	struct helper_job **last; /* lock: where the next one is hung in */
	bool stop;                /* lock */
	pthread_t threads[];
};

static struct helper_job *take(struct helpers *h)
{
	lock_take(&h->lock);
	while (!h->first && !h->stop) {
		PTHREAD_OK(pthread_cond_wait(&h->wake, &h->lock.mutex));
		lock_taken_by_wait(&h->lock);
	}
	struct helper_job *job = h->first;
	if (job) {
		h->first = job->next;
		if (!h->first)
			h->last = &h->first;
	}
	lock_drop(&h->lock);
	return job;
}

static void *helper_thread(void *arg)
{
	struct helper_job *job;

	while ((job = take(arg))) {
		job->run(job->arg);
		job->done(job);
	}
	return NULL;
}

static int start_thread(struct helpers *h, const char *name)
{
	pthread_attr_t attr;
	char text[16]; /* the kernel's limit */

	PTHREAD_OK(pthread_attr_init(&attr));
	PTHREAD_OK(pthread_attr_setstacksize(&attr, STACK_BYTES));
	int error = pthread_create(&h->threads[h->count], &attr, helper_thread, h);
	PTHREAD_OK(pthread_attr_destroy(&attr));
	if (error != 0)
		return error;
	snprintf(text, sizeof(text), "%.10s-help", name);
	(void)pthread_setname_np(h->threads[h->count++], text); /* a name is a convenience */
	return 0;
}

struct helpers *helpers_start(const char *name, unsigned threads, int *error)
{
	struct helpers *h = calloc(1, sizeof(*h) + threads * sizeof(h->threads[0]));

	*error = ENOMEM;
	if (!h)
		return NULL;
	lock_init(&h->lock);
	PTHREAD_OK(pthread_cond_init(&h->wake, NULL));
	h->last = &h->first;
	for (unsigned i = 0; i < threads; i++) {
		*error = start_thread(h, name);
		if (*error != 0) {
			helpers_stop(h);
			return NULL;
		}
	}
	return h;
}

void helpers_stop(struct helpers *h)
{
	lock_take(&h->lock);
	h->stop = true;
	PTHREAD_OK(pthread_cond_broadcast(&h->wake));
	lock_drop(&h->lock);
	for (unsigned i = 0; i < h->count; i++)
		PTHREAD_OK(pthread_join(h->threads[i], NULL));
	PTHREAD_OK(pthread_cond_destroy(&h->wake));
	lock_destroy(&h->lock);
	free(h);
}

void helpers_give(struct helpers *h, struct helper_job *job)
{
	job->next = NULL;
	lock_take(&h->lock);
	*h->last = job;
	h->last = &job->next;
	PTHREAD_OK(pthread_cond_signal(&h->wake));
	lock_drop(&h->lock);
}
