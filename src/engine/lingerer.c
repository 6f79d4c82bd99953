#include "engine/lingerer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"

/* As long as nothing comes for two seconds, or ten in all: what nginx and Apache wait is of this order. */
#define IDLE_NS (2 * CLOCK_NS_PER_S)
#define TOTAL_NS (10 * CLOCK_NS_PER_S)

enum { EVENTS = 64, DISCARD_BYTES = 64 * 1024, READS_A_TURN = 16 };

struct lingerer {
	void (*done)(struct conn *c);
	int epoll;
	int event; /* eventfd: inbox is not empty, or stop */
	pthread_t thread;
	struct lock lock;
	struct conn *inbox; /* lock */
	bool stop;          /* lock */
	/* the thread's own */
	struct timers timers;
	char discard[DISCARD_BYTES];
};

static void signal_thread(struct lingerer *l)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the thread is awake anyway. */
	(void)!write(l->event, &one, sizeof(one));
}

void lingerer_add(struct lingerer *l, struct conn *c, int epoll)
{
	if (epoll >= 0)
		(void)epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL); /* not there: as good */
	atomic_store_explicit(&c->state, CONN_CLOSING, memory_order_relaxed);
	conn_is_at(c, CONN_AT_LINGER);
	lock_take(&l->lock);
	bool first = l->inbox == NULL;
	c->next = l->inbox;
	l->inbox = c;
	lock_drop(&l->lock);
	if (first)
		signal_thread(l);
}

/* The connection is done with; `done` closes it. */
static void finish(struct lingerer *l, struct conn *c)
{
	timers_clear(&l->timers, &c->linger_timer);
	/* By hand: a poll in some ring may hold the socket for a moment still, and with it the entry, which means this record. */
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL); /* not there: as good */
	l->done(c);
}

/* Reads and forgets. False when the client is done or gone. */
static bool discard(struct lingerer *l, struct conn *c)
{
	for (int i = 0; i < READS_A_TURN; i++) {
		ssize_t n = recv(c->fd, l->discard, sizeof(l->discard), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n < 0 && errno == EAGAIN)
			return true;
	}
	return true; /* a flood: the others first */
}

static void set_timer(struct lingerer *l, struct conn *c, int64_t now)
{
	int64_t end = conn_queued_at(c) + TOTAL_NS; /* queued_at: since when it lingers */
	int64_t idle = now + IDLE_NS;

	timers_set(&l->timers, &c->linger_timer, idle < end ? idle : end);
}

static void begin(struct lingerer *l, struct conn *c, int64_t now)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	conn_queued(c, now);
	(void)shutdown(c->fd, SHUT_WR); /* fails when the client is gone, which the read then tells */
	if (!discard(l, c) || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0) {
		finish(l, c);
		return;
	}
	set_timer(l, c, now);
}

/* Returns whether to stop. */
static bool take_inbox(struct lingerer *l, int64_t now)
{
	uint64_t count;

	(void)!read(l->event, &count, sizeof(count));
	lock_take(&l->lock);
	struct conn *c = l->inbox;
	bool stop = l->stop;
	l->inbox = NULL;
	lock_drop(&l->lock);
	while (c) {
		struct conn *next = c->next;

		c->next = NULL;
		memset(&c->linger_timer, 0, sizeof(c->timer));
		begin(l, c, now);
		c = next;
	}
	return stop;
}

static void close_all(struct lingerer *l)
{
	struct timer *timer;

	while ((timer = timers_expire(&l->timers, CLOCK_NEVER - TIMERS_TICK_NS)))
		finish(l, (struct conn *)((char *)timer - offsetof(struct conn, linger_timer)));
}

static void *lingerer_thread(void *arg)
{
	struct lingerer *l = arg;
	bool stop = false;

	while (!stop) {
		struct epoll_event events[EVENTS];
		int timeout = clock_poll_ms(clock_now(), timers_next(&l->timers));
		int n = epoll_wait(l->epoll, events, EVENTS, timeout);
		int64_t now = clock_now();
		struct timer *timer;

		MUST(n >= 0 || errno == EINTR);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!c)
				stop = take_inbox(l, now);
			else if (discard(l, c))
				set_timer(l, c, now);
			else
				finish(l, c);
		}
		while ((timer = timers_expire(&l->timers, now)))
			finish(l, (struct conn *)((char *)timer - offsetof(struct conn, linger_timer)));
	}
	close_all(l);
	return NULL;
}

static int open_descriptors(struct lingerer *l)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll < 0 || l->event < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->event, &e) != 0)
		return errno;
	return 0;
}

static void lingerer_free(struct lingerer *l)
{
	if (l->epoll >= 0)
		close(l->epoll);
	if (l->event >= 0)
		close(l->event);
	lock_destroy(&l->lock);
	free(l);
}

struct lingerer *lingerer_start(const char *name, void (*done)(struct conn *c), int *error)
{
	struct lingerer *l = calloc(1, sizeof(*l));
	char text[16]; /* the kernel's limit */

	*error = ENOMEM;
	if (!l)
		return NULL;
	l->done = done;
	l->epoll = l->event = -1;
	lock_init(&l->lock);
	timers_init(&l->timers, clock_now());
	*error = open_descriptors(l);
	if (*error == 0)
		*error = pthread_create(&l->thread, NULL, lingerer_thread, l);
	if (*error != 0) {
		lingerer_free(l);
		return NULL;
	}
	snprintf(text, sizeof(text), "%.8s-linger", name);
	(void)pthread_setname_np(l->thread, text); /* a name is a convenience */
	return l;
}

void lingerer_stop(struct lingerer *l)
{
	lock_take(&l->lock);
	l->stop = true;
	lock_drop(&l->lock);
	signal_thread(l);
	PTHREAD_OK(pthread_join(l->thread, NULL));
	lingerer_free(l);
}
