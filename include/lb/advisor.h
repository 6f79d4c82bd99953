/*
 * Watches how busy the pool's workers are, a stretch of some seconds at a time, and advises about the busiest: over a whole run, nights included, no
 * pool is ever too small. One thread.
 */
#ifndef TPLB_LB_ADVISOR_H
#define TPLB_LB_ADVISOR_H

#include <jansson.h>
#include <stdio.h>

#include "engine/engine.h"
#include "lb/advise.h"
#include "obs/waits.h"

/* What the counters said. */
struct advisor_counts {
	int64_t at, cpu; /* ns */
	uint64_t dispatched, refused, bursts, busy;
	struct waits_total waits;
};

struct advisor {
	struct engine *engine;
	int64_t target; /* ns; see advise.h */
	unsigned burst;
	struct advisor_counts before; /* at the beginning of the stretch */
	bool seen;                    /* a stretch with requests has ended */
	double load;                  /* of the busiest, requests in hand */
	struct advise_input busiest;
};

/* In the async engine there are no workers to advise about: then all of this does nothing. */
void advisor_init(struct advisor *a, struct engine *engine, int64_t target, unsigned burst);

/* When to look next; CLOCK_NEVER: not at all. */
int64_t advisor_next_look(const struct advisor *a);

/* Ends a stretch. Before the number of workers changes, too. */
void advisor_look(struct advisor *a);

/* Logs the advice about the busiest stretch since the beginning or the last call, if there were requests enough, and begins anew. */
void advisor_tell(struct advisor *a);

/* Writes the same to out, and goes on with what it has. False: there were too few requests. */
bool advisor_print(struct advisor *a, FILE *out);

/* The same as data, with what was measured; *enough: as above. NULL: they were too few, or memory is out. */
json_t *advisor_data(struct advisor *a, bool *enough);

#endif
