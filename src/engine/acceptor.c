#include "engine/acceptor.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "net/sock.h"

enum { EVENTS = 256, ACCEPTS_A_TURN = 64, REFUSAL_BYTES = 2048 };

/* After an accept failed for want of something: long enough not to spin, short enough not to be felt. */
#define ACCEPT_PAUSE_NS (50 * CLOCK_NS_PER_MS)
#define DRAIN_SWEEP_NS (50 * CLOCK_NS_PER_MS)
#define DRAIN_IDLE_NS CLOCK_NS_PER_S

/* Connections to be put on the queue together. */
struct batch {
	struct queue_item items[EVENTS];
	size_t count;
};

static enum counter_id counter_of(enum refusal why)
{
	static const enum counter_id ids[] = {
	        [REFUSAL_QUEUE_FULL] = COUNTER_refused_queue_full,
	        [REFUSAL_QUEUE_TIMEOUT] = COUNTER_refused_queue_timeout,
	        [REFUSAL_LIMIT] = COUNTER_refused_limit,
	        [REFUSAL_HEADER_TIMEOUT] = COUNTER_refused_header_timeout,
	};

	return ids[why];
}

void acceptor_refuse(
        struct acceptor *a, struct counters *counters, struct log_ring *log, struct conn *c, enum refusal why)
{
	const struct service *s = &a->options->service;
	char answer[REFUSAL_BYTES];
	size_t len = s->refuse(s->app, log, c, why, answer, sizeof(answer));

	counter_add(counters, counter_of(why), 1);
	COUNT(counters, connections_closed);
	if (len == 0) {
		lot_close(a->lot, c);
		return;
	}
	/* A socket that was not written to lately has room for this; one that has not can't be helped. */
	if (send(c->fd, answer, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
		counter_add(counters, COUNTER_bytes_out, len);
	lot_linger(a->lot, c);
}

static void batch_put(struct acceptor *a, struct batch *b)
{
	size_t taken = b->count ? queue_put(a->queue, b->items, b->count) : 0;

	for (size_t i = taken; i < b->count; i++)
		acceptor_refuse(a, a->counters, a->log, b->items[i].what, REFUSAL_QUEUE_FULL);
	b->count = 0;
}

static void batch_add(struct acceptor *a, struct batch *b, struct conn *c, int64_t now)
{
	if (b->count == EVENTS)
		batch_put(a, b);
	c->queued_at = now;
	b->items[b->count++] = (struct queue_item){.what = c, .since = now};
}

/* Makes room at limits.connections: the longest-parked connection is closed and its record free at once. */
static bool evict_oldest(struct acceptor *a)
{
	struct conn *c = conn_table_claim_oldest(&a->lot->table);

	if (!c)
		return false;
	COUNT(a->counters, connections_evicted);
	COUNT(a->counters, connections_closed);
	lot_close(a->lot, c);
	conn_table_collect(&a->lot->table, &a->lot->timers);
	return true;
}

/* Under load the request is there when its connection is accepted: then the way through epoll is spared. */
static bool has_input(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void admit(struct acceptor *a, struct listener *listener, int fd, const struct addr *peer, int64_t now,
        struct batch *batch)
{
	struct conn_table *table = &a->lot->table;
	bool full = atomic_load_explicit(&table->open, memory_order_relaxed) >= a->options->connections;

	if (full && evict_oldest(a))
		full = false;
	struct conn *c = conn_table_take(table);
	if (!c) { /* even the records for refusing are used up, or there is no memory */
		COUNT(a->counters, refused_limit);
		close(fd);
		return;
	}
	COUNT(a->counters, connections_accepted);
	c->fd = fd;
	c->listener = listener;
	c->peer = addr_ip_of(peer);
	c->accepted_at = now;
	if (full) {
		acceptor_refuse(a, a->counters, a->log, c, REFUSAL_LIMIT);
	} else if (listener->eager) {
		batch_add(a, batch, c, now);
	} else if (has_input(fd)) {
		lot_time(a->lot, c, clock_after(now, a->options->header_timeout));
		batch_add(a, batch, c, now);
	} else if (!lot_watch(a->lot, c, now, clock_after(now, a->options->header_timeout))) {
		COUNT(a->counters, accept_no_memory);
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
}

static bool watch_listeners(struct acceptor *a, bool on)
{
	for (unsigned i = 0; i < a->options->listener_count; i++) {
		struct epoll_event e = {.events = on ? EPOLLIN : 0, .data.u64 = i};
		int fd = a->options->listeners[i].fd;

		if (epoll_ctl(a->lot->epoll, EPOLL_CTL_MOD, fd, &e) != 0)
			return false;
	}
	return true;
}

/* Accepting failed for want of something: stop for a moment, say so once a second at most. */
static void put_off(struct acceptor *a, int64_t now, int error)
{
	if (now >= a->warn_at) {
		a->warn_at = now + CLOCK_NS_PER_S;
		errno = error;
		diag_warning("cannot accept: %m; trying again every %d ms (descriptors: raise the limit with "
		             "ulimit -n, "
		             "or lower limits.connections)",
		        (int)(ACCEPT_PAUSE_NS / CLOCK_NS_PER_MS));
	}
	a->resume_at = now + ACCEPT_PAUSE_NS;
	watch_listeners(a, false);
}

/* Sorts a failed accept into its kind (accept(2)). True: the next one may go well at once. */
static bool accept_failed(struct acceptor *a, int error, int64_t now)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EINTR:
		return true;
	case EMFILE:
	case ENFILE:
		COUNT(a->counters, accept_no_descriptors);
		put_off(a, now, error);
		return false;
	case ENOBUFS:
	case ENOMEM:
		COUNT(a->counters, accept_no_memory);
		put_off(a, now, error);
		return false;
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN: /* errors of the network that wait on the new socket */
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM: /* a firewall's rule */
		COUNT(a->counters, accept_aborted);
		return true;
	default:
		COUNT(a->counters, accept_failed);
		put_off(a, now, error);
		return false;
	}
}

static void accept_some(struct acceptor *a, struct listener *listener, int64_t now, struct batch *batch)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct addr peer;
		int fd = sock_accept(listener->fd, &peer);

		if (fd >= 0) {
			admit(a, listener, fd, &peer, now, batch);
		} else if (!accept_failed(a, -fd, now)) {
			return;
		}
	}
}

static void close_listeners(struct acceptor *a)
{
	for (unsigned i = 0; i < a->options->listener_count; i++) {
		struct listener *l = &a->options->listeners[i];

		close(l->fd);
		l->fd = -1;
		if (l->addr.u.any.sa_family == AF_UNIX)
			unlink(l->addr.u.un.sun_path);
	}
	a->listening = false;
	a->resume_at = CLOCK_NEVER;
}

/*
 * Closing a parked connection races with its next request, so those that may still ask are left a second; their answer says
 * `Connection: close`.
 */
static void sweep(struct acceptor *a, int64_t now)
{
	uint32_t at = 0;
	struct conn *c;

	if (a->listening) {
		close_listeners(a);
		atomic_store(&a->lot->wake_on_close, true);
		a->drain_end = clock_after(now, a->options->drain);
	}
	while ((c = lot_claim_idle(a->lot, &at, now - DRAIN_IDLE_NS))) {
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
	a->sweep_at = now + DRAIN_SWEEP_NS;
}

static void expire_parked(struct acceptor *a, int64_t now)
{
	struct conn *c;

	while ((c = lot_claim_expired(a->lot, now))) {
		if (c->in) {
			acceptor_refuse(a, a->counters, a->log, c, REFUSAL_HEADER_TIMEOUT);
			continue;
		}
		COUNT(a->counters, connections_expired);
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
}

static void expire_queued(struct acceptor *a, int64_t now)
{
	struct queue_item items[64];
	size_t n;

	if (a->options->queue_timeout <= 0)
		return;
	while ((n = queue_take_older(a->queue, now - a->options->queue_timeout, items, 64)) > 0)
		for (size_t i = 0; i < n; i++)
			acceptor_refuse(a, a->counters, a->log, items[i].what, REFUSAL_QUEUE_TIMEOUT);
}

/* When the thread must wake even if nothing happens. */
static int64_t next_look(struct acceptor *a)
{
	int64_t at = timers_next(&a->lot->timers);
	int64_t oldest = a->options->queue_timeout > 0 ? queue_oldest(a->queue) : CLOCK_NEVER;

	if (oldest != CLOCK_NEVER && oldest + a->options->queue_timeout < at)
		at = oldest + a->options->queue_timeout;
	if (a->resume_at < at)
		at = a->resume_at;
	if (atomic_load(&a->draining)) {
		if (a->sweep_at < at)
			at = a->sweep_at;
		if (a->drain_end < at)
			at = a->drain_end;
	}
	return at;
}

static void clear_event(struct lot *lot)
{
	uint64_t count;

	(void)!read(lot->event, &count, sizeof(count));
}

static void handle_event(struct acceptor *a, const struct epoll_event *e, int64_t now, struct batch *batch)
{
	uint64_t data = e->data.u64;

	if (data & LOT_EVENT_CONN) {
		struct conn *c = lot_claim(
		        a->lot, data, (e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);

		if (c)
			batch_add(a, batch, c, now);
	} else if (data < a->options->listener_count) {
		if (a->listening)
			accept_some(a, &a->options->listeners[data], now, batch);
	} else {
		clear_event(a->lot);
	}
}

/* One turn: what is ready goes to the workers before anything else is looked at. */
static void turn(struct acceptor *a)
{
	struct epoll_event events[EVENTS];
	struct batch batch = {.count = 0};
	int n = epoll_wait(a->lot->epoll, events, EVENTS, clock_poll_ms(clock_now(), next_look(a)));
	int64_t now = clock_now();

	MUST(n >= 0 || errno == EINTR);
	for (int i = 0; i < n; i++)
		handle_event(a, &events[i], now, &batch);
	batch_put(a, &batch);
	lot_collect(a->lot);
	expire_parked(a, now);
	expire_queued(a, now);
	if (a->resume_at <= now && a->listening) {
		watch_listeners(a, true);
		a->resume_at = CLOCK_NEVER;
	}
	if (atomic_load(&a->draining) && a->sweep_at <= now)
		sweep(a, now);
}

static bool finished(struct acceptor *a)
{
	unsigned open = atomic_load_explicit(&a->lot->table.open, memory_order_relaxed);

	if (!atomic_load(&a->draining) || a->listening)
		return false;
	if (open > 0 && clock_now() < a->drain_end)
		return false;
	atomic_store(&a->cut, open);
	return true;
}

static void *acceptor_thread(void *arg)
{
	struct acceptor *a = arg;

	while (!finished(a))
		turn(a);
	return NULL;
}

int acceptor_start(struct acceptor *a)
{
	char name[16]; /* the kernel's limit */

	for (unsigned i = 0; i < a->options->listener_count; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};

		if (epoll_ctl(a->lot->epoll, EPOLL_CTL_ADD, a->options->listeners[i].fd, &e) != 0)
			return errno;
	}
	a->listening = true;
	a->resume_at = CLOCK_NEVER;
	a->drain_end = CLOCK_NEVER;
	a->sweep_at = 0;
	int error = pthread_create(&a->thread, NULL, acceptor_thread, a);
	if (error == 0) {
		snprintf(name, sizeof(name), "%.8s-accept", a->options->name);
		(void)pthread_setname_np(a->thread, name); /* a name is a convenience */
	}
	return error;
}

void acceptor_drain(struct acceptor *a)
{
	atomic_store(&a->draining, true);
	lot_wake(a->lot);
}
