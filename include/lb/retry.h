/*
 * Retries: a request that was sent, and whose connection to the server was lost before a byte of the answer went to the client, is sent to another
 * server. Only what may be sent twice (RFC 9110 section 9.2.2), at most `retries` times, and within a budget.
 *
 * The budget is a share of the requests: each puts some hundredths of a retry into a bucket, and a retry takes a whole one out. So an
 * outage cannot be multiplied (as in Finagle's RetryBudget and Envoy's retry_budget). Each worker has buckets of its own, one an upstream.
 */
#ifndef TPLB_LB_RETRY_H
#define TPLB_LB_RETRY_H

#include "lb/exchange.h"

/* A worker's own; all zero: full. So many retries at once when there were none for a while. */
struct retry_budget {
	unsigned spent; /* hundredths */
};

void retry_budget_deposit(struct retry_budget *b, unsigned hundredths);
/* False: it is used up. */
bool retry_budget_take(struct retry_budget *b, const struct worker *w);

enum retry_end {
	RETRY_NONE,   /* x->end and x->status tell how it is answered; x->server may be NULL */
	RETRY_SENT,   /* it was sent to another server, and its answer is to be waited for */
	RETRY_SHELVED /* it waits for a server with room, and is no longer the caller's */
};

/* The exchange has failed: x->end and x->status tell how it would be answered. */
enum retry_end retry(struct exchange *x);

#endif
