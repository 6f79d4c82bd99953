/*
 * Looks the servers' names up again, each upstream's every `resolve`, on a thread of its own, for a lookup blocks. One after the other: a name
 * server that does not answer delays the names behind it. A name whose lookup fails keeps its last good addresses.
 */
#ifndef TPLB_LB_RESOLVER_H
#define TPLB_LB_RESOLVER_H

#include "lb/lb.h"
#include "obs/counters.h"

struct resolver;

/* NULL with *error 0 when no name is to be looked up again; NULL with an errno when there can be no thread. */
struct resolver *resolver_start(struct lb *lb, int *error);

/*
 * The name's slots as they are: s->slots targets. False: this name is not looked up in the upstream of that name. Any thread.
 */
bool resolver_copy(
        struct resolver *r, const char *upstream, const struct lb_config_server *s, struct target *out);

/*
 * Before lb_free, and while lines can still be logged. Does not wait for a lookup that hangs: that thread is left alone with memory of its own, and
 * touches nothing else any more. Its counts are added to past.
 */
void resolver_stop(struct resolver *r, uint64_t past[COUNTER_COUNT]);

/* Its one set. */
const struct counters *resolver_counters(const struct resolver *r);

#endif
