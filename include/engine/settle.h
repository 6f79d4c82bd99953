/* What becomes of a connection once the service has said so; the same in every worker. */
#ifndef TPLB_ENGINE_SETTLE_H
#define TPLB_ENGINE_SETTLE_H

#include "engine/acceptor.h"

/*
 * Does what the service said, but VERDICT_WAIT and VERDICT_LEAVE, which are the worker's own business. turns: of this connection so far, in a
 * row. True: the connection has a further request here and now; otherwise it is no longer the caller's.
 */
bool settle(struct acceptor *a, struct worker *w, struct conn *c, struct verdict v, unsigned turns);

/* Closes as VERDICT_CLOSE, VERDICT_LINGER or VERDICT_RESET say. */
void settle_close(struct acceptor *a, struct worker *w, struct conn *c, enum verdict_kind how);

#endif
