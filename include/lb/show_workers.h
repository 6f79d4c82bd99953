/* What the threads that serve do now, as data: for `show workers`, the page, and whoever else asks. Any thread; no worker waits for it. The caller frees the result. */
#ifndef TPLB_LB_SHOW_WORKERS_H
#define TPLB_LB_SHOW_WORKERS_H

#include <jansson.h>

#include "lb/control.h"

/*
 * An array of objects, one for each thread that there is: loops, the pool's acceptor, workers. In each:
 *
 *	worker   the thread's name, behind "tplb-": "0", "loop1", "accept"
 *	kind     "worker", "loop" or "acceptor"
 *	doing    the word of obs/board.h
 *	asleep   true: a worker sleeps in the kernel until that is over, or its time limit comes
 *	age_us   since that step began, to some 4 ms; of a loop that is busy at most since then
 *	in_hand  connections that it has
 *	server   "UPSTREAM/SERVER", or null
 *	fd       the descriptor that it works on, or null
 *	stuck    true: at that step for longer than timeouts.stuck, where it is supposed to go on (lb/watch.h)
 *	taken    connections that it was given to begin a request, so far
 *	busy_us  how long a worker had connections in hand, up to the last time that it had none; null for others
 */
json_t *show_workers(struct control *c);

/*
 * Into the object: how many workers and loops there are (`threads`); of them `idle`, `asleep` amid a request, `running`; and `in_hand` of all of them. The
 * acceptor does not count, but among those that are `stuck`.
 */
void show_workers_total(struct control *c, json_t *into);

#endif
