/* The heads as they go out: RFC 9110 section 7.6, RFC 9112 section 3.2.2, and the X-Forwarded fields. */
#ifndef TPLB_LB_FORWARD_H
#define TPLB_LB_FORWARD_H

#include "lb/exchange.h"

/* The client is one of forward.trusted: what it says of others is believed. */
bool forward_trusts(const struct exchange *x);

/*
 * Writes the request's head for the server into x->out (cleared first). max_forwards: the value to write in place of the
 * client's Max-Forwards, or -1. False when x->out is too small.
 */
bool forward_request(struct exchange *x, long long max_forwards);

/*
 * Writes the head of a response (interim or final) for the client, after what x->out holds. framing: how the body will be
 * framed for the client. False when x->out is too small.
 */
bool forward_response(struct exchange *x, struct http_framing framing);

/* wanted: as queue.header says. The line that tells how long the connection's request waited in the queue, into out; otherwise nothing. */
enum { FORWARD_QUEUE_BYTES = 48 };
struct str forward_queue_field(bool wanted, const struct conn *c, char out[FORWARD_QUEUE_BYTES]);

#endif
