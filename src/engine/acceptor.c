#include "engine/acceptor.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "net/sock.h"

enum { REFUSAL_BYTES = 2048 };

/* After an accept failed for want of something: long enough not to spin, short enough not to be felt. */
#define ACCEPT_PAUSE_NS (50 * CLOCK_NS_PER_MS)
#define DRAIN_SWEEP_NS (50 * CLOCK_NS_PER_MS)
#define DRAIN_IDLE_NS CLOCK_NS_PER_S

static enum counter_id counter_of(enum refusal why)
{
	static const enum counter_id ids[] = {
	        [REFUSAL_QUEUE_FULL] = COUNTER_refused_queue_full,
	        [REFUSAL_QUEUE_TIMEOUT] = COUNTER_refused_queue_timeout,
	        [REFUSAL_LIMIT] = COUNTER_refused_limit,
	        [REFUSAL_HEADER_TIMEOUT] = COUNTER_refused_header_timeout,
	        [REFUSAL_SHED] = COUNTER_refused_shed,
	        [REFUSAL_DRAINING] = COUNTER_refused_draining,
	        [REFUSAL_CLIENT] = COUNTER_refused_client_connections,
	        [REFUSAL_NO_MEMORY] = COUNTER_no_memory,
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

static void refuse_queued(struct acceptor *a, const struct queue_item *items, size_t n, enum refusal why)
{
	for (size_t i = 0; i < n; i++) {
		struct conn *c = items[i].what;

		c->queue_wait = a->now - c->queued_at;
		acceptor_refuse(a, a->counters, a->log, c, why);
	}
}

static void batch_put(struct acceptor *a)
{
	size_t taken = a->batch_count ? a->ops->dispatch(a->arg, a->batch, a->batch_count) : 0;

	refuse_queued(a, a->batch + taken, a->batch_count - taken, REFUSAL_QUEUE_FULL);
	a->batch_count = 0;
}

void acceptor_add(struct acceptor *a, struct conn *c)
{
	if (a->batch_count == ACCEPTOR_BATCH)
		batch_put(a);
	c->queued_at = a->now;
	a->batch[a->batch_count++] = (struct queue_item){.what = c, .since = a->now};
}

void acceptor_hang_up(struct acceptor *a, struct conn *c)
{
	if (c->in)
		COUNT(a->counters, client_left);
	COUNT(a->counters, connections_closed);
	lot_close(a->lot, c);
}

bool acceptor_requeue(struct acceptor *a, struct conn *c)
{
	struct queue_item item = {.what = c, .since = clock_now()};

	c->queued_at = item.since;
	return queue_put(a->queue, &item, 1) == 1;
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

/* A connection that has come and has no record yet. */
struct newcomer {
	int fd;
	struct listener *listener;
	struct addr_ip peer;
	struct arrival arrival;
};

/* False: it was reset meanwhile, and nobody can tell whose it was. */
static bool peer_of(int fd, const struct addr *peer, struct addr_ip *out)
{
	struct addr asked = {.len = sizeof(asked.u)};

	if (!peer && getpeername(fd, &asked.u.any, &asked.len) != 0)
		return false;
	*out = addr_ip_of(peer ? peer : &asked);
	return true;
}

static struct arrival arrives(struct acceptor *a, const struct addr_ip *peer)
{
	const struct service *s = &a->options->service;

	return s->arrives ? s->arrives(s->app, peer) : (struct arrival){.welcome = WELCOME};
}

static void departs(struct acceptor *a, const struct newcomer *n)
{
	const struct service *s = &a->options->service;

	if (n->arrival.client)
		s->departs(s->app, n->arrival);
}

/* No record, no words: it is reset, so that nothing of it is left. Counted already in *total. */
static void turn_away(struct acceptor *a, const struct newcomer *n, enum refusal why)
{
	counter_add(a->counters, counter_of(why), 1);
	departs(a, n);
	atomic_fetch_sub_explicit(a->lot->table.total, 1, memory_order_relaxed);
	sock_reset(n->fd);
}

/* Counted already in *total. */
static void admit(struct acceptor *a, const struct newcomer *n, bool full)
{
	struct conn *c = conn_table_take(&a->lot->table);

	if (!c) { /* even the records for refusing are used up, or there is no memory */
		turn_away(a, n, REFUSAL_LIMIT);
		return;
	}
	COUNT(a->counters, connections_accepted);
	c->fd = n->fd;
	c->listener = n->listener;
	c->peer = n->peer;
	c->arrival = n->arrival;
	c->accepted_at = a->now;
	c->queued_at = a->now;
	if (n->arrival.welcome == WELCOME_NOT) {
		acceptor_refuse(a, a->counters, a->log, c, REFUSAL_CLIENT);
	} else if (full) {
		acceptor_refuse(a, a->counters, a->log, c, REFUSAL_LIMIT);
	} else if (n->listener->eager) {
		acceptor_add(a, c);
	} else if (a->ops->is_eager(a->arg, n->fd)) {
		lot_time(a->lot, c, clock_after(a->now, a->options->header_timeout));
		acceptor_add(a, c);
	} else if (!lot_watch(a->lot, c, a->now, clock_after(a->now, a->options->header_timeout))) {
		COUNT(a->counters, accept_no_memory);
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
}

void acceptor_take_passed(
        struct acceptor *a, unsigned listener, int fd, const struct addr *peer, unsigned hops)
{
	_Atomic unsigned *total = a->lot->table.total;
	struct newcomer n = {.fd = fd, .listener = &a->options->listeners[listener]};

	/* What can still be read of it must not pass for a Unix socket's client's, which has no address either. */
	if (!peer_of(fd, peer, &n.peer)) {
		COUNT(a->counters, accept_aborted);
		close(fd);
		return;
	}
	bool full = atomic_fetch_add_explicit(total, 1, memory_order_relaxed) >= a->options->connections;
	n.arrival = arrives(a, &n.peer);
	/* For one that is refused in any case nobody has to make room. */
	if (n.arrival.welcome == WELCOME_GONE || (n.arrival.welcome == WELCOME_NOT && full)) {
		turn_away(a, &n, REFUSAL_CLIENT);
		return;
	}
	if (full && evict_oldest(a))
		full = false;
	if (full && a->ops->pass &&
	        a->ops->pass(a->arg, listener, fd, peer, hops)) { /* where one is parked */
		departs(a, &n);                                   /* it arrives there */
		atomic_fetch_sub_explicit(total, 1, memory_order_relaxed);
		return;
	}
	admit(a, &n, full);
}

/* Accepting failed for want of something: stop for a moment, say so once a second at most. */
static void put_off(struct acceptor *a, int error)
{
	if (a->now >= a->warn_at) {
		a->warn_at = a->now + CLOCK_NS_PER_S;
		errno = error;
		diag_warning("cannot accept: %m; trying again every %d ms (descriptors: raise the limit with "
		             "ulimit -n, "
		             "or lower limits.connections)",
		        (int)(ACCEPT_PAUSE_NS / CLOCK_NS_PER_MS));
	}
	a->resume_at = a->now + ACCEPT_PAUSE_NS;
	a->ops->listen(a->arg, false);
}

/* Sorts a failed accept into its kind (accept(2)). True: the next one may go well at once. */
static bool accept_failed(struct acceptor *a, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EINTR:
		return true;
	case EMFILE:
	case ENFILE:
		COUNT(a->counters, accept_no_descriptors);
		put_off(a, error);
		return false;
	case ENOBUFS:
	case ENOMEM:
		COUNT(a->counters, accept_no_memory);
		put_off(a, error);
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
		put_off(a, error);
		return false;
	}
}

bool acceptor_take(struct acceptor *a, unsigned listener, int fd, const struct addr *peer)
{
	if (fd < 0)
		return a->listening && accept_failed(a, -fd);
	if (!a->ops->pass || !a->ops->pass(a->arg, listener, fd, peer, 0))
		acceptor_take_passed(a, listener, fd, peer, 1);
	return true;
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
}

/* The first step of a drain. What watched the listeners lets go of them within a turn; then they can be closed. */
static void begin_drain(struct acceptor *a)
{
	a->ops->listen(a->arg, false);
	a->listening = false;
	a->resume_at = CLOCK_NEVER;
	atomic_store(&a->lot->wake_on_close, true);
	a->drain_end = clock_after(a->now, a->options->drain);
}

/*
 * Closing a parked connection races with its next request, so those that may still ask are left a second; their answer says
 * `Connection: close`.
 */
static void sweep(struct acceptor *a)
{
	uint32_t at = 0;
	struct conn *c;

	if (a->listening) {
		begin_drain(a);
		return; /* sweep_at is past still: the next turn goes on */
	}
	if (!a->unlistened) {
		a->unlistened = true;
		if (atomic_fetch_sub_explicit(a->listening_now, 1, memory_order_acq_rel) == 1)
			close_listeners(a);
	}
	while ((c = lot_claim_idle(a->lot, &at, a->now - DRAIN_IDLE_NS))) {
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
	a->sweep_at = a->now + DRAIN_SWEEP_NS;
}

static void expire_parked(struct acceptor *a)
{
	struct conn *c;

	while ((c = lot_claim_expired(a->lot, a->now))) {
		if (c->in) {
			acceptor_refuse(a, a->counters, a->log, c, REFUSAL_HEADER_TIMEOUT);
			continue;
		}
		COUNT(a->counters, connections_expired);
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
}

static void expire_queued(struct acceptor *a)
{
	struct queue_item items[64];
	size_t n;

	while (a->sheds && (n = queue_take_shed(a->queue, a->now, items, 64)) > 0)
		refuse_queued(a, items, n, REFUSAL_SHED);
	if (a->options->queue_timeout <= 0)
		return;
	while ((n = queue_take_older(a->queue, a->now - a->options->queue_timeout, items, 64)) > 0)
		refuse_queued(a, items, n, REFUSAL_QUEUE_TIMEOUT);
}

/* Those still in the queue hear of it before they are cut. */
static void end_drain(struct acceptor *a)
{
	struct queue_item items[64];
	size_t n;

	while ((n = queue_take_older(a->queue, CLOCK_NEVER, items, 64)) > 0)
		refuse_queued(a, items, n, REFUSAL_DRAINING);
}

/* When the thread must wake even if nothing happens. */
int64_t acceptor_next_look(struct acceptor *a)
{
	int64_t at = timers_next(&a->lot->timers);
	int64_t oldest = a->options->queue_timeout > 0 ? queue_oldest(a->queue) : CLOCK_NEVER;

	if (oldest != CLOCK_NEVER && oldest + a->options->queue_timeout < at)
		at = oldest + a->options->queue_timeout;
	if (a->sheds && queue_next_shed(a->queue) < at)
		at = queue_next_shed(a->queue);
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

void acceptor_begin_turn(struct acceptor *a)
{
	a->now = clock_now();
}

/* What is ready goes to the workers before anything else is looked at. */
void acceptor_end_turn(struct acceptor *a)
{
	batch_put(a);
	lot_collect(a->lot);
	expire_parked(a);
	expire_queued(a);
	if (a->resume_at <= a->now && a->listening) {
		a->resume_at = a->ops->listen(a->arg, true) ? CLOCK_NEVER : a->now + ACCEPT_PAUSE_NS;
	}
	if (atomic_load(&a->draining) && a->sweep_at <= a->now)
		sweep(a);
}

bool acceptor_is_finished(struct acceptor *a)
{
	unsigned open = atomic_load_explicit(&a->lot->table.open, memory_order_relaxed);

	if (!atomic_load(&a->draining) || !a->unlistened)
		return false;
	a->now = clock_now();
	if (open > 0 && a->now < a->drain_end)
		return false;
	end_drain(a);
	atomic_store(&a->cut, open);
	return true;
}

bool acceptor_open(struct acceptor *a)
{
	a->listening = true;
	a->resume_at = CLOCK_NEVER;
	a->drain_end = CLOCK_NEVER;
	a->now = clock_now();
	return a->ops->listen(a->arg, true);
}

void acceptor_drain(struct acceptor *a)
{
	atomic_store(&a->draining, true);
	lot_wake(a->lot);
}
