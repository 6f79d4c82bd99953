/*
 * The acceptor: one thread that accepts connections, keeps the parking lot, and puts what is readable on the queue, many
 * under one lock. It never waits for a client, a worker or a server.
 */
#ifndef TPLB_ENGINE_ACCEPTOR_H
#define TPLB_ENGINE_ACCEPTOR_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/lot.h"
#include "work/queue.h"

struct acceptor {
	/* constant once started */
	const struct engine_options *options;
	struct lot *lot;
	struct queue *queue;
	struct counters *counters; /* its own set */
	struct log_ring *log;      /* its own; NULL: no access log */
	pthread_t thread;
	_Atomic bool draining; /* set by anyone, never reset; seq_cst */
	_Atomic unsigned
	        cut; /* connections left when the drain's time was over; read after the thread was joined */
	/* its own */
	bool listening;    /* listeners are open */
	int64_t resume_at; /* accepting is put off until then; CLOCK_NEVER: it is not */
	int64_t warn_at;   /* not before then is a failed accept logged again */
	int64_t drain_end; /* when draining: the end of it */
	int64_t sweep_at;  /* when draining: when to look for idle connections next */
};

/* Registers the listeners and starts the thread. 0 or an errno. */
int acceptor_start(struct acceptor *a);

/* Begins the drain. The thread ends when no connection is left or the time is over; then join a->thread. */
void acceptor_drain(struct acceptor *a);
static inline bool acceptor_is_draining(const struct acceptor *a)
{
	return atomic_load_explicit(&a->draining, memory_order_relaxed);
}

/* Anyone who owns the connection: sends the service's refusal and closes, lingering. Never waits. counters and log: the caller's own. */
void acceptor_refuse(struct acceptor *a, struct counters *counters, struct log_ring *log, struct conn *c,
        enum refusal why);

#endif
