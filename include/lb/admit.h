/* Who gets as far as a server: looked at for each request, and each connection in tcp mode, right before one is picked. */
#ifndef TPLB_LB_ADMIT_H
#define TPLB_LB_ADMIT_H

#include "lb/exchange.h"

/*
 * True: on with it. Else x->end says why not: END_CLIENT_LEFT, nobody is there to be answered; END_CLIENT_BUSY and END_RATE, to be answered with
 * 429 (x->retry_after is set), or closed in tcp mode. All is counted.
 */
bool admit(struct exchange *x);
/* Likewise, once more, for one that has waited on the shelf (lb/shelf.h). */
bool admit_shelved(struct exchange *x);

/* The request is over: it no longer counts as one of its client's. */
void admit_release(struct exchange *x);

/* service.arrives and departs: limits.connections_per_client. */
struct arrival admit_connection(void *balancer, const struct addr_ip *peer);
void admit_departure(void *balancer, struct arrival arrival);

#endif
