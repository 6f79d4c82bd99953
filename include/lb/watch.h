/*
 * The watchdog: looks at the board now and then, and reports a thread that is stuck: at one step for longer than timeouts.stuck, where it is supposed to go on. Reported once,
 * and once more when it goes on; nothing is done to it, and the others serve on.
 *
 * What may last is no report. A thread of the pool that sleeps in the kernel until a server, a client or a time limit wakes it says so on the board, as one does that has no work; and
 * a request on a loop holds up nobody, however long it waits. What is left is a thread that a system call does not return to, that waits for a lock, or that
 * spins. A loop wakes once a second for its housekeeping, so one that does not is stuck too, whatever it was at.
 *
 * By one thread but for watch_is_stuck.
 */
#ifndef TPLB_LB_WATCH_H
#define TPLB_LB_WATCH_H

#include "engine/engine.h"

/* The least limit, so that a loop which sleeps is not taken for stuck. */
#define WATCH_LEAST_NS (2 * CLOCK_NS_PER_S)

enum { WATCH_ROWS_MAX = 8192 };

struct watch {
	const struct engine *engine;
	int64_t look_at;          /* when to look next */
	bool dead;                /* nobody of some kind goes on */
	_Atomic uint64_t reports; /* relaxed: of threads that were stuck, so far */
	/* [row]: it was reported, and has not gone on since this step began; 0: it was not */
	int64_t stuck_since[WATCH_ROWS_MAX];
	uint64_t stuck_at[WATCH_ROWS_MAX]; /* [row]: its word then */
};

void watch_init(struct watch *w, const struct engine *engine);

/* Looks, if it is time. limit: timeouts.stuck; 0: nobody is watched. When to come again. */
int64_t watch_look(struct watch *w, int64_t limit);

/*
 * As of the last look: the acceptor, all loops or all workers are stuck. Then nobody need be told that all is well: a service manager may start the
 * program anew.
 */
bool watch_is_dead(const struct watch *w);

/* Whether a row is stuck at time `now`. Any thread. */
bool watch_is_stuck(enum engine_seat seat, const struct board_row *row, int64_t limit, int64_t now);

#endif
