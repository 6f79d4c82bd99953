#include "engine/settle.h"

#include "base/assert.h"

enum { PIPELINE_TURNS = 16 /* pipelined requests of one client in a row, then the others */ };

void settle_close(struct acceptor *a, struct worker *w, struct conn *c, enum verdict_kind how)
{
	COUNT(w->counters, connections_closed);
	if (how == VERDICT_LINGER)
		lot_linger(a->lot, c);
	else if (how == VERDICT_RESET)
		lot_reset(a->lot, c);
	else
		lot_close(a->lot, c);
}

/* False: it is to go on at once. */
static bool park(struct acceptor *a, struct worker *w, struct conn *c, int64_t deadline)
{
	enum loop_parked parked = lot_park(a->lot, c, deadline);

	if (parked == LOOP_FAILED) /* no memory to watch it */
		settle_close(a, w, c, VERDICT_CLOSE);
	return parked != LOOP_READY;
}

bool settle(struct acceptor *a, struct worker *w, struct conn *c, struct verdict v, unsigned turns)
{
	switch (v.kind) {
	case VERDICT_PARK:
		return c->unread || !park(a, w, c, v.deadline);
	case VERDICT_AGAIN: /* a greedy pipeliner goes to the end of the queue; where that is full, on with him */
		return turns % PIPELINE_TURNS != 0 || !acceptor_requeue(a, c);
	case VERDICT_CLOSE:
	case VERDICT_LINGER:
	case VERDICT_RESET:
		settle_close(a, w, c, v.kind);
		return false;
	case VERDICT_WAIT:
	case VERDICT_SHELVED:
	case VERDICT_LEAVE:
		break;
	}
	UNREACHABLE("a service waits where it may not");
}
