/*
 * A run of load: one loop, a fiber a connection. In an open loop the thread hands each request that is due to the connection that
 * has been free for longest; where none is free, the first that becomes so takes it. In a closed loop each connection goes on by itself.
 */
#ifndef TPLB_LOAD_LOAD_H
#define TPLB_LOAD_LOAD_H

#include "load/options.h"
#include "load/result.h"
#include "net/addr.h"

enum load_verdict {
	LOAD_ENDED,
	LOAD_LEFT,        /* ended early, by a signal: fibers are in flight still, so leave by _exit */
	LOAD_UNREACHABLE, /* no connection was ever made; likewise */
	LOAD_FAILED       /* no memory, no descriptors; likewise */
};

/* After signals_block. *result is zeroed. LOAD_UNREACHABLE and LOAD_FAILED: *why is static or strerror's. */
enum load_verdict load_run(const struct load_options *options, const struct addr *to,
        enum loop_driver_kind driver, struct load_result *result, const char **why);

#endif
