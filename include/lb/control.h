/*
 * What the operator changes while tplb runs: by HUP in one thread, by commands in another. One lock keeps the changes apart; no request ever
 * takes it.
 *
 * The pool's size has two masters, the file and `set pool workers`. Whoever spoke last is heard: a command counts until a reload finds another number in
 * the file than the reload before. A reload of a file that says the same as before leaves the command's number, and says so. A restart forgets it.
 */
#ifndef TPLB_LB_CONTROL_H
#define TPLB_LB_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/lock.h"
#include "engine/engine.h"
#include "lb/advisor.h"
#include "lb/balancer.h"
#include "lb/config.h"
#include "lb/grants.h"
#include "lb/supply.h"
#include "lb/upgrade.h"
#include "obs/process.h"

enum { CONTROL_WHY_BYTES = 512 };

/* What the command line says in the file's place; it does so at reloads, too. */
struct command_line {
	const char *file;
	long workers; /* -w; 0: as configured */
	int engine;   /* -e, enum lb_engine; -1: as configured */
};

/* Has it its say. False: it cannot be; why tells. */
bool command_line_apply(
        const struct command_line *said, struct lb_config *config, char why[CONTROL_WHY_BYTES]);

struct control {
	/* constant once started */
	struct command_line said;
	const struct supply *supply;
	const struct grants *grants;
	struct balancer *balancer;
	struct engine *engine;
	enum loop_driver_kind driver;
	unsigned loops;
	unsigned connections; /* at most at once */
	int64_t since;        /* CLOCK_MONOTONIC ns: it serves */

	_Atomic bool traced; /* relaxed: somebody takes a trace (lb/trace.h) */

	struct lock reloads; /* held from reading to taking in, lest an older file come last; before `lock` */
	struct lock lock;
	struct lb_config *
	        config; /* lock: of the snapshot that runs; pool.workers: what file and command line said last. Who reloads may read it without */
	struct advisor advisor; /* lock */
	/* set once, before commands are heard: called after each reload, so that somebody calls balancer_look */
	void (*reloaded)(void *arg);
	void *reloaded_arg;
	struct upgrade upgrade; /* set up before commands are heard */
	struct {
		uint64_t done, failed;
		bool last_done;  /* also when there was none: the start */
		int64_t done_at; /* CLOCK_REALTIME ns: of the last that was done, or the start */
	} reloads_so_far;        /* lock */
	struct process *process; /* whose figures they are; NULL: nobody looks */
	unsigned by_command;     /* lock: workers that a command asked for and has; 0: as the file says */
};

/* Sets up locks and advisor; the other fields are set. */
void control_init(struct control *c);
void control_free(struct control *c);

/* When to call control_look, by one thread. It sees to the advisor and to threads that are stuck. at_end: what was measured so far counts, too. */
int64_t control_next_look(struct control *c);
void control_look(struct control *c, bool at_end);
/* As of the last look: somebody serves still, as far as the board tells (lb/watch.h). By that thread. */
bool control_is_alive(const struct control *c);

/* Logs the advisor's word, for the end. */
void control_advise_at_end(struct control *c);

/*
 * Reads the file again and takes in what can be, names looked up where they are new: that may take a while. What was done, what needs a restart and the mistakes go to the log, and to out unless that is NULL. False:
 * nothing was taken in. *replaced, unless it is NULL: the number (balancer_is_over) of the snapshot that ran before; 0: that runs still.
 */
bool control_reload(struct control *c, FILE *out, uint64_t *replaced);

/* From now on so many workers, 1 to LB_WORKERS_MAX. What was done goes to the log and to out. False: not all of it; why tells. */
bool control_resize(struct control *c, unsigned workers, FILE *out, char why[CONTROL_WHY_BYTES]);

/* Writes the advisor's word so far. False: why tells. */
bool control_advise(struct control *c, FILE *out, char why[CONTROL_WHY_BYTES]);
/* The same as data, the caller's. NULL: why tells; empty: memory is out. */
json_t *control_advise_data(struct control *c, char why[CONTROL_WHY_BYTES]);

#endif
