/* Signals, taken by sigwait in ordinary threads: no work is done in a handler. */
#ifndef TPLB_CTL_SIGNALS_H
#define TPLB_CTL_SIGNALS_H

#include <stdint.h>
#include <sys/types.h>

/* Blocks HUP, INT, TERM, USR1 and USR2 in this thread and all it starts, and ignores PIPE. Before any thread is started. */
void signals_block(void);

/* Waits for the next of them and returns its number. */
int signals_next(void);

/* The same until a deadline (CLOCK_MONOTONIC ns): 0 when that has passed. *from: the process that sent it. */
int signals_next_by(int64_t deadline, pid_t *from);

/* For a loop, in place of signals_next: a descriptor that is readable when one of them has come; or -errno. */
int signals_open(void);
/* Takes the next of them off that descriptor; 0 when there is none. Never waits. */
int signals_take(int fd);

/*
 * From now on a further INT or TERM ends the process at once with this status. Starts a thread for it. first: who sent the one before. A parent that
 * hands its signals on (0: there is none) makes two of one that was sent to all processes, as by killall: that and its own are one.
 */
void signals_exit_on_next(int status, pid_t parent, pid_t first);

#endif
