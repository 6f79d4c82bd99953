/*
 * The parking lot: connections that wait for their next bytes hold a record here and nothing else. One thread, the lot's
 * keeper, watches them; whoever owns a connection parks it, closes it or lets it linger.
 *
 * In the pool engine the keeper is the acceptor, it watches with epoll, and owners are workers. In the async engine each loop has a lot
 * of its own, watches with its driver, and is the only owner: nothing is shared but what the lingerer gives back.
 */
#ifndef TPLB_ENGINE_LOT_H
#define TPLB_ENGINE_LOT_H

#include "base/lock.h"
#include "engine/conn_table.h"
#include "engine/lingerer.h"
#include "obs/counters.h"

enum { LOT_NOTICES = 1024 };

struct service;

struct lot_notice {
	uint32_t index, generation;
};

struct lot {
	struct loop *loop;         /* constant: the keeper, in the async engine; NULL in the pool engine */
	int epoll;                 /* constant; without a loop */
	int event;                 /* constant; without a loop: eventfd that wakes the keeper */
	struct lingerer *lingerer; /* constant; not owned */
	const struct service *service; /* constant: who is told of departures; NULL: nobody */
	struct conn_table table;
	struct timers timers;       /* keeper */
	_Atomic bool wake_on_close; /* the keeper wants to know when a connection is given back; seq_cst */
	struct lock lock;
	unsigned notice_count;                  /* lock */
	bool notices_lost;                      /* lock: there were too many, look at all records */
	struct lot_notice notices[LOT_NOTICES]; /* lock: parked with a deadline before their timer */
};

/* Epoll data of connections have this bit; the keeper's own descriptors do not. */
#define LOT_EVENT_CONN (UINT64_C(1) << 63)

/*
 * loop: the keeper, or NULL. service: may be set afterwards. connections: records at most; total: see conn_table.h. False on failure, *why then tells. lot_free comes
 * after it in either case.
 */
bool lot_init(struct lot *lot, struct loop *loop, struct lingerer *lingerer, unsigned connections,
        _Atomic unsigned *total, const char **why);
/* All connections are closed before. */
void lot_free(struct lot *lot);

/* Keeper: registers a fresh connection (state BUSY) and parks it. False when epoll has no room; still the caller's. */
bool lot_watch(struct lot *lot, struct conn *c, int64_t now, int64_t deadline);

/* Keeper: sets the timer of a fresh connection that is dispatched at once; its owner's lot_park will watch it. */
void lot_time(struct lot *lot, struct conn *c, int64_t deadline);

/*
 * Keeper: the connection that an event means, now BUSY and the caller's; NULL when it was stale or its owner will see to it.
 * last: the event tells of the stream's end too (FIN, reset), of which there will be no further one: it is claimed as BUSY_READY, so
 * that whoever serves it looks again before parking.
 */
struct conn *lot_claim(struct lot *lot, uint64_t event, bool last);

/* Keeper, a loop: the parked connection that its driver says is readable, now BUSY and the caller's. */
void lot_claim_ready(struct conn *c);

/* The lingerer is through with it. */
void lot_done_lingering(struct conn *c);

/* Keeper: a parked connection whose deadline has passed, now CLOSING and the caller's; NULL when there is none left. */
struct conn *lot_claim_expired(struct lot *lot, int64_t now);

/* Keeper: takes in what others left (notices, records given back). Once a turn. */
void lot_collect(struct lot *lot);

/*
 * Keeper: claims every parked connection that has been idle since before `idle_since`, one a call; *at is the caller's cursor, 0 at first. Those amid a
 * request's head are not idle. leaving: only those whose listener is leaving.
 */
struct conn *lot_claim_idle(struct lot *lot, uint32_t *at, int64_t idle_since, bool leaving);

/*
 * Owner: parks the connection until its next bytes or the deadline. LOOP_PARKED: it is no longer the caller's. LOOP_READY: bytes
 * came while it was busy; it is BUSY still and the caller's to go on with. LOOP_FAILED: likewise, but nobody would ever see its next request: close it.
 */
enum loop_parked lot_park(struct lot *lot, struct conn *c, int64_t deadline);

/* Owner: closes; with a reset; or so that the last answer is not lost. The connection is gone then. */
void lot_close(struct lot *lot, struct conn *c);
void lot_reset(struct lot *lot, struct conn *c);
void lot_linger(struct lot *lot, struct conn *c);

/* Anyone: wakes the keeper. */
void lot_wake(struct lot *lot);

#endif
