/*
 * Who stands for the program towards whoever started it, while one process takes the place of another.
 *
 * A service manager that hears ($NOTIFY_SOCKET) is told of the new main process, and the old one ends when it has drained. Nobody else can be told: a shell, a supervisor, a container whose
 * process 1 tplb is. For them the process that they started stays, whatever is upgraded how often: once drained it becomes the *caretaker* (started_become), which hands signals on to the
 * process in office, takes in orphans, and ends with that one's status. Each process in office holds a socket to the caretaker, to name its successor.
 *
 * In the process that was started, or that keeps its rights: what serves and has given them up knows nothing of it.
 */
#ifndef TPLB_CTL_OFFICE_H
#define TPLB_CTL_OFFICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/lock.h"
#include "ctl/started.h"

struct office {
	struct started started;
	int above;      /* to the caretaker that there is; -1: none */
	pid_t boss;     /* the caretaker's pid; 0: none */
	bool will_stay; /* set by the first spawn: this process will be the caretaker */
	int near, far;  /* then: our end, and the one that the heirs get; -1 */
	struct lock lock;
	pid_t heir; /* lock: who has taken over; 0: nobody */
};

/* above: as office_above gave it to this process; -1: none. Takes it over. */
void office_init(struct office *o, char *const *argv, int above);

void office_free(struct office *o);

/*
 * Starts the program that stands at its path now, to take this one's place: channel is its end of the socket for that (ctl/takeover.h), and its standard error
 * until it is ready. 0 and *pid, or -errno.
 */
int office_spawn(struct office *o, int channel, pid_t *pid);

/* How a process that was spawned has ended, as from waitpid; -1: it runs. END: it has a second to end by itself, and is killed then. KILL: at once. */
enum office_reap { OFFICE_LOOK, OFFICE_END, OFFICE_KILL };
int office_reap(struct office *o, pid_t pid, enum office_reap how);

/* The process that was spawned has taken over: whoever must know is told. reload: it is to read its file again at once, since it may have read it too early. */
void office_hand_over(struct office *o, pid_t heir, bool reload);
/* Who is in office by now, after office_hand_over: the heir, or the heir's; 0: this process. For signals, while this process drains. Any thread. */
pid_t office_heir(struct office *o);

/* When this process has drained and will_stay: it becomes the caretaker. Returns only when that fails. */
void office_stay(struct office *o);

/* The caretaker's whole life, where this process was started to be it; -1: it was not. Otherwise the exit status. First thing in main. */
int office_take_care(void);

#endif
