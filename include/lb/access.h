/* The access log's lines. */
#ifndef TPLB_LB_ACCESS_H
#define TPLB_LB_ACCESS_H

#include "http/reply.h"
#include "lb/exchange.h"

/* A line will be made soon: has what was out of use for longest, the request's head, fetched meanwhile. To wait for it would be half of what the line costs. */
static inline void access_log_soon(const struct exchange *x)
{
	if (x->worker->log)
		__builtin_prefetch(x->in->data + x->head_at);
}

/* Queues the line of a finished exchange, where an access log is wanted. Never waits. */
void access_log(struct exchange *x);

struct log_format;

/* The same for a connection that was refused before any of its request was looked at. log may be NULL. reply: what its client is told; NULL: nothing. why: in one word. */
void access_log_refusal(const struct log_format *format, struct log_ring *log, const struct conn *c,
        const struct http_reply *reply, const char *why);

#endif
