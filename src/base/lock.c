#include "base/lock.h"

void lock_init(struct lock *l)
{
	PTHREAD_OK(pthread_mutex_init(&l->mutex, NULL));
#ifndef NDEBUG
	l->held = false;
#endif
}

void lock_destroy(struct lock *l)
{
	PTHREAD_OK(pthread_mutex_destroy(&l->mutex));
}
