#include "engine/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

void listeners_init(struct listeners *ls, unsigned acceptors)
{
	pthread_condattr_t attr;

	lock_init(&ls->lock);
	PTHREAD_OK(pthread_condattr_init(&attr));
	PTHREAD_OK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC)); /* clock_now's */
	PTHREAD_OK(pthread_cond_init(&ls->closed, &attr));
	PTHREAD_OK(pthread_condattr_destroy(&attr));
	ls->acceptors = acceptors;
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		ls->slots[i].fd = -1;
}

void listeners_free(struct listeners *ls, bool close)
{
	for (unsigned i = 0; i < LISTENERS_MAX; i++) {
		if (close && ls->slots[i].fd >= 0)
			listeners_close(ls, &ls->slots[i]);
		free((char *)(uintptr_t)ls->slots[i].name);
	}
	PTHREAD_OK(pthread_cond_destroy(&ls->closed));
	lock_destroy(&ls->lock);
}

static struct listener *free_slot_locked(struct listeners *ls)
{
	lock_must_hold(&ls->lock);
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (atomic_load_explicit(&ls->slots[i].state, memory_order_relaxed) == LISTENER_FREE)
			return &ls->slots[i];
	return NULL;
}

static void open_locked(struct listeners *ls, struct listener *l, const struct listener *from)
{
	unsigned slot = (unsigned)(l - ls->slots);

	lock_must_hold(&ls->lock);
	l->fd = from->fd;
	l->eager = from->eager;
	l->addr = from->addr;
	l->file_stays = from->file_stays;
	l->app = from->app;
	l->life++;
	atomic_store_explicit(&l->open, 0, memory_order_relaxed);
	atomic_store_explicit(&l->holders, ls->acceptors, memory_order_relaxed);
	atomic_store_explicit(&l->state, LISTENER_OPEN, memory_order_release);
	if (slot >= atomic_load_explicit(&ls->used, memory_order_relaxed))
		atomic_store_explicit(&ls->used, slot + 1, memory_order_release);
	atomic_fetch_add(&ls->version, 1);
}

struct listener *listeners_add(struct listeners *ls, const struct listener *from)
{
	char *name = strdup(from->name ? from->name : "");

	if (!name)
		return NULL;
	lock_take(&ls->lock);
	struct listener *l = free_slot_locked(ls);
	if (l) {
		l->name = name;
		open_locked(ls, l, from);
	}
	lock_drop(&ls->lock);
	if (!l)
		free(name);
	return l;
}

void listeners_leave(struct listeners *ls, struct listener *l)
{
	unsigned state = LISTENER_OPEN;

	lock_take(&ls->lock);
	/* In a drain it may be closed already. */
	if (atomic_compare_exchange_strong(&l->state, &state, LISTENER_LEAVING))
		atomic_fetch_add(&ls->version, 1);
	lock_drop(&ls->lock);
}

void listeners_leave_files(struct listeners *ls)
{
	lock_take(&ls->lock);
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (atomic_load_explicit(&ls->slots[i].state, memory_order_relaxed) == LISTENER_OPEN)
			ls->slots[i].file_stays = true;
	lock_drop(&ls->lock);
}

void listeners_await_closed(struct listeners *ls, const struct listener *l, int64_t patience)
{
	int64_t end = clock_after(clock_now(), patience);
	struct timespec at = {.tv_sec = end / CLOCK_NS_PER_S, .tv_nsec = end % CLOCK_NS_PER_S};
	int error = 0;

	lock_take(&ls->lock);
	while (atomic_load(&l->state) != LISTENER_CLOSED && error != ETIMEDOUT) {
		error = pthread_cond_timedwait(&ls->closed, &ls->lock.mutex, &at);
		lock_taken_by_wait(&ls->lock);
		MUST(error == 0 || error == ETIMEDOUT);
	}
	lock_drop(&ls->lock);
}

bool listeners_is_gone(const struct listener *l)
{
	return atomic_load(&l->state) == LISTENER_CLOSED && atomic_load(&l->open) == 0;
}

void listeners_forget(struct listeners *ls, struct listener *l)
{
	MUST(listeners_is_gone(l));
	lock_take(&ls->lock);
	free((char *)(uintptr_t)l->name);
	l->name = NULL;
	l->app = NULL;
	atomic_store_explicit(&l->state, LISTENER_FREE, memory_order_release);
	lock_drop(&ls->lock);
}

enum listener_state listeners_state(struct listeners *ls, const struct listener *l, unsigned *life)
{
	lock_take(&ls->lock);
	*life = l->life;
	enum listener_state state = (enum listener_state)atomic_load_explicit(
	        &l->state, memory_order_acquire);
	lock_drop(&ls->lock);
	return state;
}

void listeners_name(struct listeners *ls, unsigned slot, char *out, size_t size)
{
	lock_take(&ls->lock);
	snprintf(out, size, "%s", slot < LISTENERS_MAX && ls->slots[slot].name ? ls->slots[slot].name : "");
	lock_drop(&ls->lock);
}

bool listener_let_go(struct listener *l)
{
	return atomic_fetch_sub_explicit(&l->holders, 1, memory_order_acq_rel) == 1;
}

void listeners_close(struct listeners *ls, struct listener *l)
{
	bool drains = atomic_load(&l->state) == LISTENER_OPEN;

	if (drains && !l->file_stays &&
	        l->addr.u.any.sa_family == AF_UNIX) /* of one that leaves another may have the path by now */
		unlink(l->addr.u.un.sun_path);
	close(l->fd);
	l->fd = -1;
	lock_take(&ls->lock);
	atomic_store(&l->state, LISTENER_CLOSED);
	PTHREAD_OK(pthread_cond_broadcast(&ls->closed));
	lock_drop(&ls->lock);
}
