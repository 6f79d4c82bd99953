/* A mutex that knows whether the caller holds it, so that a `_locked` function can say so. */
#ifndef TPLB_BASE_LOCK_H
#define TPLB_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "base/assert.h"

struct lock {
	pthread_mutex_t mutex;
#ifndef NDEBUG
	pthread_t owner; /* valid while held */
	bool held;       /* written by the holder only */
#endif
};

void lock_init(struct lock *l);
void lock_destroy(struct lock *l);

static inline void lock_take(struct lock *l)
{
	PTHREAD_OK(pthread_mutex_lock(&l->mutex));
#ifndef NDEBUG
	l->owner = pthread_self();
	l->held = true;
#endif
}

static inline void lock_drop(struct lock *l)
{
#ifndef NDEBUG
	l->held = false;
#endif
	PTHREAD_OK(pthread_mutex_unlock(&l->mutex));
}

/* After pthread_cond_wait on l->mutex: it is held again, by this thread. */
static inline void lock_taken_by_wait(struct lock *l)
{
#ifndef NDEBUG
	l->owner = pthread_self();
	l->held = true;
#else
	(void)l;
#endif
}

/* For `_locked` functions: a bug when the caller does not hold l. */
static inline void lock_must_hold(const struct lock *l)
{
#ifndef NDEBUG
	MUST(l->held && pthread_equal(l->owner, pthread_self()));
#else
	(void)l;
#endif
}

#endif
