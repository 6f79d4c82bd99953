/*
 * The acceptor: takes connections in, keeps a parking lot, and gives what is readable to those who serve it, many at a time. It
 * never waits for a client, a worker or a server. In the pool engine it is a thread of its own (pool_acceptor.c) in front of one queue; in
 * the async engine each loop has one, called in the loop's turns.
 */
#ifndef TPLB_ENGINE_ACCEPTOR_H
#define TPLB_ENGINE_ACCEPTOR_H

#include "engine/listeners.h"
#include "engine/lot.h"
#include "work/queue.h"

enum { ACCEPTOR_BATCH = 256 };

struct acceptor;

/* What differs between the engines. arg: acceptor.arg. */
struct acceptor_ops {
	/* Takes what it can, in order, and returns how many: as queue_put, which may choose others to be refused for those behind them. */
	size_t (*dispatch)(void *arg, struct queue_item *items, size_t n);
	/* Accepts from this listener from now on; connections then come through acceptor_take. False when it cannot be watched. */
	bool (*listen)(void *arg, unsigned listener, int fd);
	/* No more. False: one may come still; ask again in a later turn. */
	bool (*unlisten)(void *arg, unsigned listener, int fd);
	/* Whether to dispatch a connection just accepted without waiting for its first bytes. */
	bool (*is_eager)(void *arg, int fd);
	/* Gives an accepted connection to another acceptor; hops: how often this was done already. False: there is none to give it to. NULL: never. */
	bool (*pass)(void *arg, unsigned listener, int fd, const struct addr *peer, unsigned hops);
};

/* What can be set while the engine runs; all of it relaxed. */
struct acceptor_settings {
	_Atomic int64_t queue_timeout, header_timeout, drain;
	_Atomic bool sheds; /* the queue's discipline is codel */
};

/* What an acceptor has to do with a listener, in that life of its slot. */
enum hold { HOLD_NONE /* or no more: it has let go */, HOLD_WATCHED, HOLD_ENDING };
struct held {
	unsigned life;
	enum hold hold;
};

struct acceptor {
	/* constant once started */
	const struct engine_options *options;
	const struct acceptor_ops *ops;
	void *arg;
	struct lot *lot;
	struct queue *queue;
	const struct acceptor_settings *settings;
	struct counters *counters; /* its own set */
	struct board_row *row;     /* its thread's */
	struct log_ring *log;      /* its own; NULL: no access log */
	struct listeners *listeners;
	_Atomic bool draining; /* set by anyone, never reset; seq_cst */
	_Atomic unsigned
	        cut; /* connections left when the drain's time was over; read after the thread was joined */
	/* its thread's */
	int64_t now;         /* of this turn */
	bool listening;      /* not since a drain began */
	unsigned version;    /* of the listeners, as seen last */
	bool ending;         /* some are HOLD_ENDING */
	unsigned held_count; /* listeners that it has not let go of */
	struct held held[LISTENERS_MAX];
	int64_t leave_at; /* when to look for idle connections of listeners that leave; CLOCK_NEVER: there are none */
	int64_t resume_at; /* accepting is put off until then; CLOCK_NEVER: it is not */
	int64_t warn_at;   /* not before then is a failed accept logged again */
	int64_t drain_end; /* when draining: the end of it */
	int64_t sweep_at;  /* when draining: when to look for idle connections next; 0: not yet once */
	struct queue_item batch[ACCEPTOR_BATCH]; /* to be dispatched together */
	size_t batch_count;
};

/* Begins to listen. All constant fields are set. False: a listener cannot be watched, errno tells. */
bool acceptor_open(struct acceptor *a);

/* Its thread could not start after all: watches none any more, and lets go of none. Also when it was not opened. */
void acceptor_unlisten(struct acceptor *a);

/* When its thread must wake even if nothing happens. */
int64_t acceptor_next_look(struct acceptor *a);

/* Beginning of a turn, when the waiting is over. */
void acceptor_begin_turn(struct acceptor *a);
/* What happened in the turn: a parked connection is readable, now the caller's; ... */
void acceptor_add(struct acceptor *a, struct conn *c);
/* ... a parked connection, now the caller's, is at its end, which is no request and takes nobody's time and no place in the queue; ... */
void acceptor_hang_up(struct acceptor *a, struct conn *c);
/* ... one was accepted (peer NULL: ask the socket), or accepting failed with -errno. False: accept no more for now. */
bool acceptor_take(struct acceptor *a, unsigned listener, int fd, const struct addr *peer);
/* ... another acceptor has passed one on. */
void acceptor_take_passed(
        struct acceptor *a, unsigned listener, int fd, const struct addr *peer, unsigned hops);
/* End of a turn: dispatches, and sees to whatever is overdue. */
void acceptor_end_turn(struct acceptor *a);

/* Begins the drain. Any thread. */
void acceptor_drain(struct acceptor *a);
static inline bool acceptor_is_draining(const struct acceptor *a)
{
	return atomic_load_explicit(&a->draining, memory_order_relaxed);
}
/* Draining, and no connection is left or the time is over (then a->cut says how many were). Between turns. */
bool acceptor_is_finished(struct acceptor *a);

/* Anyone who owns the connection: sends the service's refusal and closes, lingering. Never waits. counters and log: the caller's own. */
void acceptor_refuse(struct acceptor *a, struct counters *counters, struct log_ring *log, struct conn *c,
        enum refusal why);

/* Anyone who owns the connection: puts it at the end of the queue. False when that is full. */
bool acceptor_requeue(struct acceptor *a, struct conn *c);

#endif
