#include "lb/reloader.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"

/* At the end a reload that is under way is given so long. */
#define STOP_PATIENCE_NS (500 * CLOCK_NS_PER_MS)

struct reloader {
	struct control *control; /* constant */
	pthread_t thread;
	struct lock lock;
	pthread_cond_t wake;  /* any of these was set */
	pthread_cond_t ended; /* `over` was set */
	bool reload;          /* lock */
	bool upgrade;         /* lock */
	bool look;            /* lock */
	bool stop;            /* lock */
	bool over;            /* lock: the thread touches nothing any more */
};

static struct timespec time_of(int64_t at)
{
	return (struct timespec){.tv_sec = at / CLOCK_NS_PER_S, .tv_nsec = at % CLOCK_NS_PER_S};
}

static void wait_locked(struct reloader *k, int64_t until)
{
	struct timespec at = time_of(until);

	lock_must_hold(&k->lock);
	while (!k->reload && !k->upgrade && !k->look && !k->stop && clock_now() < until) {
		int error = until == CLOCK_NEVER ? pthread_cond_wait(&k->wake, &k->lock.mutex)
		                                 : pthread_cond_timedwait(&k->wake, &k->lock.mutex, &at);

		MUST(error == 0 || error == ETIMEDOUT);
		lock_taken_by_wait(&k->lock);
	}
}

static void *reloader_thread(void *arg)
{
	struct reloader *k = arg;
	int64_t until = CLOCK_NEVER;
	char why[UPGRADE_WHY_BYTES];

	lock_take(&k->lock);
	for (;;) {
		wait_locked(k, until);
		if (k->stop)
			break;
		bool reload = k->reload, upgrade = k->upgrade;
		k->reload = k->upgrade = k->look = false;
		lock_drop(&k->lock);
		if (reload)
			(void)control_reload(k->control, NULL, NULL);
		if (upgrade)
			(void)upgrade_run(k->control, NULL, why);
		until = balancer_look(k->control->balancer);
		lock_take(&k->lock);
	}
	k->over = true;
	PTHREAD_OK(pthread_cond_signal(&k->ended));
	lock_drop(&k->lock);
	return NULL;
}

static void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	PTHREAD_OK(pthread_condattr_init(&attr));
	PTHREAD_OK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC)); /* clock_now's */
	PTHREAD_OK(pthread_cond_init(cond, &attr));
	PTHREAD_OK(pthread_condattr_destroy(&attr));
}

static void reloader_free(struct reloader *k)
{
	PTHREAD_OK(pthread_cond_destroy(&k->wake));
	PTHREAD_OK(pthread_cond_destroy(&k->ended));
	lock_destroy(&k->lock);
	free(k);
}

static void reloaded(void *arg)
{
	reloader_wake(arg);
}

struct reloader *reloader_start(struct control *control, int *error)
{
	struct reloader *k = calloc(1, sizeof(*k));

	*error = ENOMEM;
	if (!k)
		return NULL;
	k->control = control;
	lock_init(&k->lock);
	cond_init(&k->wake);
	cond_init(&k->ended);
	*error = pthread_create(&k->thread, NULL, reloader_thread, k);
	if (*error != 0) {
		reloader_free(k);
		return NULL;
	}
	(void)pthread_setname_np(k->thread, "tplb-reload"); /* a name is a convenience */
	control->reloaded = reloaded;
	control->reloaded_arg = k;
	return k;
}

static void set(struct reloader *k, bool *what)
{
	lock_take(&k->lock);
	*what = true;
	PTHREAD_OK(pthread_cond_signal(&k->wake));
	lock_drop(&k->lock);
}

void reloader_reload(struct reloader *k)
{
	set(k, &k->reload);
}

void reloader_upgrade(struct reloader *k)
{
	set(k, &k->upgrade);
}

void reloader_wake(struct reloader *k)
{
	set(k, &k->look);
}

bool reloader_stop(struct reloader *k)
{
	struct timespec until = time_of(clock_now() + STOP_PATIENCE_NS);
	int error = 0;

	set(k, &k->stop);
	lock_take(&k->lock);
	while (!k->over && error == 0) {
		error = pthread_cond_timedwait(&k->ended, &k->lock.mutex, &until);
		lock_taken_by_wait(&k->lock);
	}
	bool over = k->over;
	lock_drop(&k->lock);
	if (!over)
		return false;
	PTHREAD_OK(pthread_join(k->thread, NULL));
	reloader_free(k);
	return true;
}
