/*
 * Probes: one thread with an event loop of its own asks the servers, never behind the pool's queue; so it answers when
 * all workers are busy. A probe is a fiber, straight-line code with one deadline; many run at once.
 *
 * The thread also looks at servers that requests brought down (passive), moves slow starts on, and sees to those who wait for a server (lb/shelf.h).
 */
#ifndef TPLB_LB_HEALTH_H
#define TPLB_LB_HEALTH_H

#include "lb/lb.h"
#include "obs/counters.h"

struct health;

enum {
	HEALTH_PROBES_MAX = 256 /* at once */,
	HEALTH_BUFFER = 64 * 1024 /* of a probe, for either of the answer's halves */
};

/* Starts the thread, named "NAME-health", for all servers of lb, which outlives it. NULL: *why tells. */
struct health *health_start(const char *name, struct lb *lb, const char **why);

/* Any thread: a server's standing has changed, look now. */
void health_wake(struct health *h);

/* Its own set, for sums. */
const struct counters *health_counters(const struct health *h);

/* Its configuration was replaced: no more probes, and what those under way find counts no more; shelves are seen to until it has ended. Any thread. */
void health_retire(struct health *h);
/* Whether the thread of one that was retired has ended; never waits. health_wake may be called still. */
bool health_has_ended(struct health *h);

/* Waits for probes that are about to end; joins and frees. False: one hangs, and the thread goes on with lb: nothing of it may be freed, the process is to end. */
bool health_stop(struct health *h);

#endif
