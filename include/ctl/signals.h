/* Signals, taken by sigwait in ordinary threads: no work is done in a handler. */
#ifndef TPLB_CTL_SIGNALS_H
#define TPLB_CTL_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Blocks HUP, INT, TERM, USR1 and USR2 in this thread and all it starts, and ignores PIPE. Before any thread is started. */
void signals_block(void);

/* These, as a set. */
void signals_set(sigset_t *set);

/* Waits for the next of them and returns its number. */
int signals_next(void);

/* The same until a deadline (CLOCK_MONOTONIC ns): 0 when that has passed. *from: the process that sent it. */
int signals_next_by(int64_t deadline, pid_t *from);

/* For a loop, in place of signals_next: a descriptor that is readable when one of them has come; or -errno. */
int signals_open(void);
/* Takes the next of them off that descriptor; 0 when there is none. Never waits. *from: the process that sent it. */
int signals_take(int fd, pid_t *from);

/*
 * Who is told to end by its parent, which hands its signals on, and by others, as by killall, is told once: that and its own are one. again: whether
 * one of the two has said so before.
 */
struct signals_told {
	pid_t parent; /* 0: there is none */
	bool by[2];
};
bool signals_again(struct signals_told *told, pid_t from);

/*
 * From now on a further INT or TERM ends the process at once with this status. Starts a thread for it. first: who sent the one before. A parent that
 * hands its signals on (0: there is none) makes two of one that was sent to all processes, as by killall: that and its own are one.
 */
void signals_exit_on_next(int status, pid_t parent, pid_t first);

/* From now on a thread takes them, and calls back with each; again: an INT or TERM, and not the first (signals_told, without the ones before). */
typedef void signals_taker(void *arg, int number, bool again);
void signals_hand_over(signals_taker *taker, void *arg, pid_t parent);
/* It takes no more of them, and is through with those that it has taken: what comes stays pending, for the program that this process is about to become. Not within the taker, where this holds already. */
void signals_leave_pending(void);

#endif
