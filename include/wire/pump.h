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
	PUMP_STALLED /* the patience is over; all may go on, here or elsewhere */
};

/*
 * How long we wait, in ns; 0: endlessly. Waits for the client add up until 64 KiB have moved, so that a byte now and then does not
 * hold whoever waits. Those for the server add up likewise, to four times as much; a single one may last for as long as is said.
 */
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
