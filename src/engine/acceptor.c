#include "engine/acceptor.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "net/sock.h"

enum { REFUSAL_BYTES = 2048, ACCEPT_REST_MAX = 4096 };

/* After an accept failed for want of something: long enough not to spin, short enough not to be felt. */
#define ACCEPT_PAUSE_NS (50 * CLOCK_NS_PER_MS)
#define DRAIN_SWEEP_NS (50 * CLOCK_NS_PER_MS)
#define DRAIN_IDLE_NS CLOCK_NS_PER_S
#define LEAVE_SWEEP_NS (250 * CLOCK_NS_PER_MS)

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

		c->queue_wait = a->now - conn_queued_at(c);
		acceptor_refuse(a, a->counters, a->log, c, why);
	}
}

static void batch_put(struct acceptor *a)
{
	size_t taken = a->batch_count ? a->ops->dispatch(a->arg, a->batch, a->batch_count) : 0;

	if (a->batch_count > 0 && board_is_traced(a->row))
		trace_write(a->row, TRACE_QUEUE, 0, queue_depth(a->queue), -1);
	refuse_queued(a, a->batch + taken, a->batch_count - taken, REFUSAL_QUEUE_FULL);
	a->batch_count = 0;
}

void acceptor_add(struct acceptor *a, struct conn *c)
{
	if (a->batch_count == ACCEPTOR_BATCH)
		batch_put(a);
	conn_queued(c, a->now);
	conn_is_at(c, CONN_AT_QUEUE);
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

	conn_queued(c, item.since);
	conn_is_at(c, CONN_AT_QUEUE);
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

/* By when the first head of a connection just accepted must be there. */
static int64_t first_deadline(const struct acceptor *a)
{
	return clock_after(a->now, atomic_load_explicit(&a->settings->header_timeout, memory_order_relaxed));
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

/* No record, no words: it is reset, so that nothing of it is left. Counted already in *total, and in listener->open. */
static void turn_away(struct acceptor *a, const struct newcomer *n, enum refusal why)
{
	counter_add(a->counters, counter_of(why), 1);
	departs(a, n);
	atomic_fetch_sub_explicit(&n->listener->open, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(a->lot->table.total, 1, memory_order_relaxed);
	sock_reset(n->fd);
}

/* Counted already in *total, and in listener->open. */
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
	atomic_store_explicit(&c->card.accepted_at, a->now, memory_order_release);
	atomic_store_explicit(
	        &c->card.listener, (unsigned)(n->listener - a->listeners->slots), memory_order_release);
	conn_show_peer(c);
	conn_queued(c, a->now);
	if (listener_is_leaving(n->listener) && a->leave_at == CLOCK_NEVER) /* out of its backlog */
		a->leave_at = a->now + LEAVE_SWEEP_NS;
	if (n->arrival.welcome == WELCOME_NOT) {
		acceptor_refuse(a, a->counters, a->log, c, REFUSAL_CLIENT);
	} else if (full) {
		acceptor_refuse(a, a->counters, a->log, c, REFUSAL_LIMIT);
	} else if (atomic_load_explicit(&n->listener->eager, memory_order_relaxed)) {
		acceptor_add(a, c);
	} else if (a->ops->is_eager(a->arg, n->fd)) {
		lot_time(a->lot, c, first_deadline(a));
		acceptor_add(a, c);
	} else if (!lot_watch(a->lot, c, a->now, first_deadline(a))) {
		COUNT(a->counters, accept_no_memory);
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
}

void acceptor_take_passed(
        struct acceptor *a, unsigned listener, int fd, const struct addr *peer, unsigned hops)
{
	_Atomic unsigned *total = a->lot->table.total;
	struct newcomer n = {.fd = fd, .listener = &a->listeners->slots[listener]};

	/* What can still be read of it must not pass for a Unix socket's client's, which has no address either. */
	if (!peer_of(fd, peer, &n.peer)) {
		COUNT(a->counters, accept_aborted);
		atomic_fetch_sub_explicit(&n.listener->open, 1, memory_order_relaxed);
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

void acceptor_unlisten(struct acceptor *a)
{
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (a->held[i].hold == HOLD_WATCHED)
			(void)a->ops->unlisten(a->arg, i, a->listeners->slots[i].fd);
}

static void pause_accepting(struct acceptor *a)
{
	acceptor_unlisten(a);
	a->resume_at = a->now + ACCEPT_PAUSE_NS;
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
	pause_accepting(a);
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
	atomic_fetch_add_explicit(&a->listeners->slots[listener].open, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->listeners->slots[listener].accepted, 1, memory_order_relaxed);
	if (!a->ops->pass || !a->ops->pass(a->arg, listener, fd, peer, 0))
		acceptor_take_passed(a, listener, fd, peer, 1);
	return true;
}

/* Who connected before it went is not turned away. */
static void accept_rest(struct acceptor *a, unsigned listener)
{
	for (int i = 0; i < ACCEPT_REST_MAX; i++) {
		struct addr peer;
		int fd = sock_accept(a->listeners->slots[listener].fd, &peer);

		if (fd == -EAGAIN || !acceptor_take(a, listener, fd, &peer))
			return;
	}
}

/* The last acceptor that does so closes the listener. */
static void let_go(struct acceptor *a, unsigned listener)
{
	struct listener *l = &a->listeners->slots[listener];

	a->held[listener] = (struct held){l->life, HOLD_NONE};
	if (!listener_let_go(l))
		return;
	if (!acceptor_is_draining(a))
		accept_rest(a, listener);
	listeners_close(a->listeners, l);
}

/* Listens on one that has come. False: it cannot be watched just now. */
static bool hold(struct acceptor *a, unsigned listener)
{
	struct listener *l = &a->listeners->slots[listener];

	a->held[listener] = (struct held){l->life, HOLD_WATCHED};
	a->held_count++;
	return a->resume_at != CLOCK_NEVER || a->ops->listen(a->arg, listener, l->fd);
}

static void end_hold(struct acceptor *a, unsigned listener)
{
	a->held[listener].hold = HOLD_ENDING;
	if (!a->ops->unlisten(a->arg, listener, a->listeners->slots[listener].fd))
		return; /* a later turn goes on */
	a->held_count--;
	let_go(a, listener);
}

/* Brings what it has to do with one listener in line with what becomes of that. False: it cannot be watched just now. */
static bool look_at_listener(struct acceptor *a, unsigned listener)
{
	struct listener *l = &a->listeners->slots[listener];
	struct held *h = &a->held[listener];
	unsigned life;
	enum listener_state state = listeners_state(a->listeners, l, &life);
	bool stays = state == LISTENER_OPEN && a->listening;

	if (h->hold != HOLD_NONE) {
		if (!stays || h->hold == HOLD_ENDING)
			end_hold(a, listener);
	} else if (state == LISTENER_OPEN || state == LISTENER_LEAVING) {
		if (h->life == life) /* let go of in this life already */
			return true;
		if (stays)
			return hold(a, listener);
		let_go(a, listener);
	}
	return true;
}

/* False: one cannot be watched just now. */
static bool look_at_listeners(struct acceptor *a)
{
	unsigned used = atomic_load_explicit(&a->listeners->used, memory_order_acquire);
	bool good = true;

	for (unsigned i = 0; i < used; i++)
		good = look_at_listener(a, i) && good;
	return good;
}

static void follow_listeners(struct acceptor *a)
{
	unsigned version = atomic_load(&a->listeners->version);

	if (version == a->version && !a->ending)
		return;
	a->version = version;
	if (!look_at_listeners(a))
		put_off(a, errno);
	a->ending = false;
	for (unsigned i = 0; i < atomic_load_explicit(&a->listeners->used, memory_order_acquire); i++)
		a->ending |= a->held[i].hold == HOLD_ENDING;
	a->leave_at = a->now;
}

/* The first step of a drain: all listeners are let go of. */
static void begin_drain(struct acceptor *a)
{
	a->listening = false;
	a->resume_at = CLOCK_NEVER;
	a->ending = true;
	follow_listeners(a);
	atomic_store(&a->lot->wake_on_close, true);
	a->drain_end = clock_after(a->now, atomic_load_explicit(&a->settings->drain, memory_order_relaxed));
}

static void close_idle(struct acceptor *a, bool leaving)
{
	uint32_t at = 0;
	struct conn *c;

	while ((c = lot_claim_idle(a->lot, &at, a->now - DRAIN_IDLE_NS, leaving))) {
		COUNT(a->counters, connections_closed);
		lot_close(a->lot, c);
	}
}

/*
 * Closing a parked connection races with its next request, so those that may still ask are left a second; their answer says
 * `Connection: close`.
 */
static void sweep(struct acceptor *a)
{
	if (a->listening) {
		begin_drain(a);
		return; /* sweep_at is past still: the next turn goes on */
	}
	close_idle(a, false);
	a->sweep_at = a->now + DRAIN_SWEEP_NS;
}

/* The same for connections whose listener has gone. */
static void sweep_leaving(struct acceptor *a)
{
	unsigned used = atomic_load_explicit(&a->listeners->used, memory_order_acquire);
	bool any = false;

	for (unsigned i = 0; i < used && !any; i++) {
		const struct listener *l = &a->listeners->slots[i];

		any = listener_is_leaving(l) && atomic_load_explicit(&l->open, memory_order_relaxed) > 0;
	}
	if (any)
		close_idle(a, true);
	a->leave_at = any ? a->now + LEAVE_SWEEP_NS : CLOCK_NEVER;
}

/* What was put off is tried again. */
static void resume_accepting(struct acceptor *a)
{
	unsigned used = atomic_load_explicit(&a->listeners->used, memory_order_acquire);
	bool good = true;

	for (unsigned i = 0; i < used && good; i++)
		if (a->held[i].hold == HOLD_WATCHED)
			good = a->ops->listen(a->arg, i, a->listeners->slots[i].fd);
	a->resume_at = good ? CLOCK_NEVER : a->now + ACCEPT_PAUSE_NS;
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

static int64_t queue_timeout(const struct acceptor *a)
{
	return atomic_load_explicit(&a->settings->queue_timeout, memory_order_relaxed);
}

static bool sheds(const struct acceptor *a)
{
	return atomic_load_explicit(&a->settings->sheds, memory_order_relaxed);
}

static void expire_queued(struct acceptor *a)
{
	struct queue_item items[64];
	size_t n;

	while (sheds(a) && (n = queue_take_shed(a->queue, a->now, items, 64)) > 0)
		refuse_queued(a, items, n, REFUSAL_SHED);
	int64_t timeout = queue_timeout(a);
	if (timeout <= 0)
		return;
	while ((n = queue_take_older(a->queue, a->now - timeout, items, 64)) > 0)
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
	int64_t timeout = queue_timeout(a);
	int64_t oldest = timeout > 0 ? queue_oldest(a->queue) : CLOCK_NEVER;

	if (oldest != CLOCK_NEVER && oldest + timeout < at)
		at = oldest + timeout;
	if (sheds(a) && queue_next_shed(a->queue) < at)
		at = queue_next_shed(a->queue);
	if (a->resume_at < at)
		at = a->resume_at;
	if (a->leave_at < at)
		at = a->leave_at;
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
	if (a->resume_at <= a->now && a->listening)
		resume_accepting(a);
	follow_listeners(a);
	batch_put(a); /* who came out of a backlog */
	if (a->leave_at <= a->now)
		sweep_leaving(a);
	if (atomic_load(&a->draining) && a->sweep_at <= a->now)
		sweep(a);
}

bool acceptor_is_finished(struct acceptor *a)
{
	unsigned open = atomic_load_explicit(&a->lot->table.open, memory_order_relaxed);

	if (!atomic_load(&a->draining) || a->sweep_at == 0 || a->held_count > 0)
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
	a->leave_at = a->now; /* one may be leaving by then */
	a->version = atomic_load(&a->listeners->version);
	return look_at_listeners(a);
}

void acceptor_drain(struct acceptor *a)
{
	atomic_store(&a->draining, true);
	lot_wake(a->lot);
}
