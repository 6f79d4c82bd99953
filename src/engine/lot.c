/*
 * Two races are decided here, both by sequentially consistent atomics in the order shown.
 *
 * An event against a finishing worker. The keeper turns BUSY into BUSY_READY; the worker that parks finds its
 * exchange BUSY -> PARKED refused and goes on with the connection. Edge-triggered epoll says it once, so it must not be lost.
 *
 * A timer against a finishing worker. The wheel is the keeper's, so a worker that parks with a deadline earlier than
 * the connection's timer tells the keeper by a notice:
 *	worker:  deadline = D;  state = PARKED;  if (D < timer_at) notice
 *	keeper:  timer_at = NEVER;  if (state == PARKED) look at deadline
 * At least one of the two sees the other's write.
 */
#include "engine/lot.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/service.h"
#include "net/sock.h"

static void set_timer(struct lot *lot, struct conn *c, int64_t at)
{
	timers_set(&lot->timers, &c->timer, at);
	atomic_store(&c->timer_at, at);
}

static uint32_t generation_of(struct conn *c)
{
	return atomic_load_explicit(&c->generation, memory_order_relaxed);
}

static bool open_descriptors(struct lot *lot)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = UINT64_MAX >> 1};

	lot->epoll = epoll_create1(EPOLL_CLOEXEC);
	lot->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return lot->epoll >= 0 && lot->event >= 0 &&
	       epoll_ctl(lot->epoll, EPOLL_CTL_ADD, lot->event, &e) == 0;
}

bool lot_init(struct lot *lot, struct loop *loop, struct lingerer *lingerer, unsigned connections,
        _Atomic unsigned *total, const char **why)
{
	memset(lot, 0, sizeof(*lot));
	lot->epoll = lot->event = -1;
	lot->loop = loop;
	lot->lingerer = lingerer;
	lock_init(&lot->lock);
	timers_init(&lot->timers, clock_now());
	if (!conn_table_init(&lot->table, connections, lot, total)) {
		*why = "out of memory";
		return false;
	}
	if (loop || open_descriptors(lot))
		return true;
	*why = strerror(errno);
	return false;
}

void lot_free(struct lot *lot)
{
	if (lot->epoll >= 0)
		close(lot->epoll);
	if (lot->event >= 0)
		close(lot->event);
	conn_table_free(&lot->table);
	lock_destroy(&lot->lock);
}

void lot_wake(struct lot *lot)
{
	uint64_t one = 1;

	if (lot->loop)
		loop_wake(lot->loop);
	else
		(void)!write(lot->event, &one,
		        sizeof(one)); /* fails only when full, and then the keeper wakes anyway */
}

static bool add_to_epoll(struct lot *lot, struct conn *c)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};

	e.data.u64 = LOT_EVENT_CONN | (uint64_t)(generation_of(c) & 0x7fffffff) << 32 | c->index;
	c->watched = epoll_ctl(lot->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
	return c->watched;
}

/* LOOP_READY: it stays BUSY. LOOP_FAILED likewise. */
static enum loop_parked park_on_loop(struct lot *lot, struct conn *c, int64_t deadline)
{
	enum loop_parked parked = loop_park(lot->loop, c->fd, c);

	if (parked != LOOP_PARKED)
		return parked;
	atomic_store_explicit(&c->deadline, deadline, memory_order_relaxed);
	atomic_store_explicit(&c->state, CONN_PARKED, memory_order_relaxed);
	if (deadline < atomic_load_explicit(&c->timer_at, memory_order_relaxed))
		set_timer(lot, c, deadline);
	return parked;
}

bool lot_watch(struct lot *lot, struct conn *c, int64_t now, int64_t deadline)
{
	conn_is_at(c, CONN_AT_NEXT);
	if (lot->loop) {
		atomic_store_explicit(&c->parked_at, now, memory_order_relaxed);
		return park_on_loop(lot, c, deadline) == LOOP_PARKED;
	}
	lot_time(lot, c, deadline);
	atomic_store_explicit(&c->parked_at, now, memory_order_relaxed);
	atomic_store(&c->deadline, deadline);
	atomic_store(&c->state, CONN_PARKED); /* only the keeper, who is here, would claim it */
	if (add_to_epoll(lot, c))
		return true;
	atomic_store(&c->state, CONN_BUSY);
	return false;
}

void lot_time(struct lot *lot, struct conn *c, int64_t deadline)
{
	set_timer(lot, c, deadline);
}

struct conn *lot_claim(struct lot *lot, uint64_t event, bool last)
{
	struct conn *c = conn_table_at(&lot->table, (uint32_t)event);
	uint32_t generation = (uint32_t)(event >> 32) & 0x7fffffff;
	unsigned state = CONN_PARKED;

	if ((generation_of(c) & 0x7fffffff) != generation)
		return NULL;
	for (;;) {
		if (atomic_compare_exchange_strong(&c->state, &state, last ? CONN_BUSY_READY : CONN_BUSY))
			return c;
		if (state != CONN_BUSY && state != CONN_PARKED)
			return NULL;
		if (state == CONN_BUSY && atomic_compare_exchange_strong(&c->state, &state, CONN_BUSY_READY))
			return NULL;
		state = CONN_PARKED;
	}
}

void lot_claim_ready(struct conn *c)
{
	MUST(atomic_load_explicit(&c->state, memory_order_relaxed) == CONN_PARKED);
	atomic_store_explicit(&c->state, CONN_BUSY, memory_order_relaxed);
}

/* Keeper: its timer went off or a notice came. Claims it when its deadline has passed, else sets the timer to what it should be. */
static struct conn *look_at(struct lot *lot, struct conn *c, int64_t now)
{
	unsigned state = CONN_PARKED;

	timers_clear(&lot->timers, &c->timer);
	atomic_store(&c->timer_at, CLOCK_NEVER);
	if (atomic_load(&c->state) != CONN_PARKED)
		return NULL;
	int64_t deadline = atomic_load(&c->deadline);
	if (deadline <= now && atomic_compare_exchange_strong(&c->state, &state, CONN_CLOSING))
		return c;
	set_timer(lot, c, deadline);
	return NULL;
}

struct conn *lot_claim_expired(struct lot *lot, int64_t now)
{
	struct timer *timer;

	while ((timer = timers_expire(&lot->timers, now))) {
		struct conn *c = (struct conn *)((char *)timer - offsetof(struct conn, timer));

		if (look_at(lot, c, now))
			return c;
	}
	return NULL;
}

/* A deadline that has passed already expires through the wheel, a tick later. */
static void take_notice(struct lot *lot, struct conn *c)
{
	if (atomic_load(&c->state) != CONN_PARKED)
		return;
	int64_t deadline = atomic_load(&c->deadline);
	if (deadline < atomic_load(&c->timer_at))
		set_timer(lot, c, deadline);
}

static void take_notices(struct lot *lot)
{
	lock_take(&lot->lock);
	for (unsigned i = 0; i < lot->notice_count; i++) {
		struct conn *c = conn_table_at(&lot->table, lot->notices[i].index);

		if (generation_of(c) == lot->notices[i].generation)
			take_notice(lot, c);
	}
	for (uint32_t i = 0; lot->notices_lost && i < conn_table_made(&lot->table); i++)
		take_notice(lot, conn_table_at(&lot->table, i));
	lot->notice_count = 0;
	lot->notices_lost = false;
	lock_drop(&lot->lock);
}

void lot_collect(struct lot *lot)
{
	take_notices(lot);
	conn_table_collect(&lot->table, &lot->timers);
}

struct conn *lot_claim_idle(struct lot *lot, uint32_t *at, int64_t idle_since, bool leaving)
{
	while (*at < conn_table_made(&lot->table)) {
		struct conn *c = conn_table_at(&lot->table, (*at)++);
		unsigned state = CONN_PARKED;

		if (leaving && !(c->listener && listener_is_leaving(c->listener)))
			continue;
		if (atomic_load_explicit(&c->at, memory_order_relaxed) == CONN_AT_HEAD)
			continue; /* its deadline is near, and tells it why */
		if (atomic_load_explicit(&c->parked_at, memory_order_relaxed) < idle_since &&
		        atomic_compare_exchange_strong(&c->state, &state, CONN_CLOSING))
			return c;
	}
	return NULL;
}

static void give_notice(struct lot *lot, struct lot_notice notice)
{
	lock_take(&lot->lock);
	bool first = lot->notice_count == 0;
	if (lot->notice_count < LOT_NOTICES)
		lot->notices[lot->notice_count++] = notice;
	else
		lot->notices_lost = true;
	lock_drop(&lot->lock);
	if (first)
		lot_wake(lot);
}

enum loop_parked lot_park(struct lot *lot, struct conn *c, int64_t deadline)
{
	struct lot_notice notice = {c->index, generation_of(c)};
	unsigned state = CONN_BUSY;

	conn_is_at(c, c->head_since ? CONN_AT_HEAD : CONN_AT_NEXT);
	/* A client that trickles its head does not get younger by it. */
	atomic_store_explicit(
	        &c->parked_at, c->head_since ? c->head_since : clock_coarse(), memory_order_relaxed);
	enum loop_parked parked = LOOP_PARKED;
	if (lot->loop)
		parked = park_on_loop(lot, c, deadline);
	else if (!c->watched && !add_to_epoll(lot, c))
		parked = LOOP_FAILED;
	if (lot->loop || parked == LOOP_FAILED)
		return parked;
	atomic_store_explicit(
	        &c->deadline, deadline, memory_order_relaxed); /* the exchange below orders it */
	if (!atomic_compare_exchange_strong(&c->state, &state, CONN_PARKED)) {
		MUST(state == CONN_BUSY_READY);
		atomic_store(&c->state, CONN_BUSY);
		return LOOP_READY;
	}
	/* No longer ours. The record lives on, so its timer can be read; the generation makes a mistaken notice harmless. */
	if (deadline < atomic_load(&c->timer_at))
		give_notice(lot, notice);
	return LOOP_PARKED;
}

/* Before its descriptor is closed: a client that sees the end may come back at once. */
static void depart(struct lot *lot, struct conn *c)
{
	if (c->arrival.client)
		lot->service->departs(lot->service->app, c->arrival);
	c->arrival.client = NULL;
}

static void give_back(struct lot *lot, struct conn *c)
{
	conn_table_give_back(&lot->table, c);
	if (atomic_load(&lot->wake_on_close))
		lot_wake(lot);
}

void lot_done_lingering(struct conn *c)
{
	depart(c->lot, c);
	close(c->fd);
	give_back(c->lot, c);
}

void lot_close(struct lot *lot, struct conn *c)
{
	depart(lot, c);
	if (lot->loop)
		io_close(&lot->loop->io, c->fd);
	else
		close(c->fd); /* leaves epoll by itself, or its generation tells a late event from a new one */
	give_back(lot, c);
}

void lot_reset(struct lot *lot, struct conn *c)
{
	sock_linger_none(c->fd);
	lot_close(lot, c);
}

void lot_linger(struct lot *lot, struct conn *c)
{
	if (lot->loop)
		io_forget(&lot->loop->io, c->fd);
	lingerer_add(lot->lingerer, c, lot->epoll);
}
