/*
 * The program that stands at its path now takes this one's place: it is started beside it, gets the listening sockets, reads the file anew, and once it serves this
 * process drains. Whatever fails before that has changed nothing here. (How the two talk: ctl/takeover.h; who is told: ctl/office.h.)
 */
#ifndef TPLB_LB_UPGRADE_H
#define TPLB_LB_UPGRADE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "net/addr.h"

struct control;

enum { UPGRADE_WHY_BYTES = 512, UPGRADE_OTHERS = 4 };

enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_UNDER_WAY,
	UPGRADE_CANCELLED, /* this process is to end, and the new one is let go */
	UPGRADE_COMMITTED, /* the new one has it, or is gone, in a moment */
	UPGRADE_DONE       /* the new one has taken over; this process is to drain */
};

/* A socket that listens, besides the listeners. */
struct upgrade_socket {
	const char *role; /* constant text, below ACTIVATION_ROLE_BYTES */
	const struct addr *at;
	bool managed; /* a service manager has opened it */
	int fd;
	void *arg;
	void (*keep)(void *arg,
	        bool keep); /* false: the new one has it from now on; true: it has not after all. Any thread */
};

struct upgrade {
	_Atomic int state;       /* enum upgrade_state, by compare-and-swap; seq_cst */
	_Atomic bool reload;     /* relaxed: HUP has come meanwhile */
	int cancel;              /* constant: an eventfd */
	void (*done)(void *arg); /* constant: called once it is UPGRADE_DONE, in any thread */
	void *done_arg;
	/* set before commands are heard */
	unsigned others;
	struct upgrade_socket sockets[UPGRADE_OTHERS];
};

/* False: there is no descriptor for it. */
bool upgrade_init(struct upgrade *u, void (*done)(void *arg), void *arg);
void upgrade_free(struct upgrade *u);

/* One more socket that the new process is to get. Before commands are heard. */
void upgrade_add(struct upgrade *u, const struct upgrade_socket *s);

/*
 * Carries it out, within timeouts.upgrade. What the new process has to say goes to the log and to out, which may be NULL. False: this one goes on as before, why tells. It holds reloads up meanwhile; a
 * second one is refused.
 */
bool upgrade_run(struct control *c, FILE *out, char why[UPGRADE_WHY_BYTES]);

/* One is under way, or done: a further one is refused, with a line in the log. */
bool upgrade_refuses(const struct upgrade *u, char why[UPGRADE_WHY_BYTES]);

/* For a signal. True: it is none of this process's any more, or is done later: HUP. */
bool upgrade_takes_reload(struct upgrade *u);
/* This process is told to end: one that is under way comes to nothing. False: it is done already. Any thread; waits for moments at most. */
bool upgrade_cancel(struct control *c);

static inline bool upgrade_is(const struct upgrade *u, enum upgrade_state state)
{
	return atomic_load(&u->state) == (int)state;
}

#endif
