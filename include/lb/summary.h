/* What was done, as lines of the log: for the end of a run. */
#ifndef TPLB_LB_SUMMARY_H
#define TPLB_LB_SUMMARY_H

#include "engine/engine.h"
#include "lb/lb.h"
#include "lb/resolver.h"

/* Server by server, the waits in the queue, and every counter that is not 0. resolver: NULL, there is none. The health thread still runs. */
void summary_log(struct lb *lb, const struct engine *engine, const struct resolver *resolver);

/* One counter over all sets: the engine's, the health thread's and the resolver's. Likewise. */
uint64_t summary_counter(const struct lb *lb, const struct engine *engine, const struct resolver *resolver,
        enum counter_id id);

#endif
