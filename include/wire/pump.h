/*
 * Moves one or two flows at once until something happens that the caller must know. Sending a body to its end and only
 * then reading the answer would deadlock on a server that answers early; so every body and tunnel goes through here.
 */
#ifndef TPLB_WIRE_PUMP_H
#define TPLB_WIRE_PUMP_H

#include "wire/flow.h"

enum pump_end {
	PUMP_FIRST,  /* the first flow is no longer FLOW_OPEN */
	PUMP_SECOND, /* the second is not */
	PUMP_ALERT,  /* `alert` is readable */
	PUMP_STALLED /* nothing moved for longer than the patience; all may go on, here or elsewhere */
};

/* How long nothing may move, in ns; 0: endless. */
struct patience {
	int64_t with_client; /* that does not send its body, or does not take the answer */
	int64_t with_server;
};

/*
 * first, from the client, and second, to it, may each be NULL or already over (then they are left alone). alert: a descriptor to
 * watch for reading, or -1. Something must be left to wait for. Progress of one flow restarts the other's timeout too.
 */
enum pump_end pump_run(
        struct io *io, struct flow *first, struct flow *second, int alert, struct patience patience);

#endif
