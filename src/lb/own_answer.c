/* Answers that the balancer makes itself, in the server's place. */
#include <errno.h>

#include "base/assert.h"
#include "http/reply.h"
#include "lb/exchange.h"

enum { RETRY_AFTER_S = 1 };

/* Nothing: the status says it. */
static struct str text_of(enum exchange_end end)
{
	if (end == END_RATE)
		return STR("Too Many Requests: more often than is allowed (rate)");
	if (end == END_CLIENT_BUSY)
		return STR("Too Many Requests: too many of them at once (client_requests)");
	return (struct str){NULL, 0};
}

static struct http_reply reply_of(struct exchange *x, int status, enum exchange_end end)
{
	struct http_reply r = {.status = status,
	        .text = text_of(end),
	        .date = http_date_now(&x->worker->date),
	        .head = x->is_head};

	if (status == 503)
		r.retry_after = RETRY_AFTER_S;
	if (status == 429)
		r.retry_after = x->retry_after;
	if (status == 405 || status == 200)
		r.allow = STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	return r;
}

struct verdict exchange_refuse(struct exchange *x, int status, enum exchange_end end)
{
	char answer[HTTP_REPLY_MAX];
	struct http_reply r = reply_of(x, status, end);

	x->end = end;
	x->server_reusable = false;
	/* 429 says "later", and a client that has to connect anew for that costs more than one that waits. */
	bool goes_on = status >= 500 || status == 429 || status == 200;
	if (!exchange_request_is_over(x) || lb_is_draining(x->lb) || !goes_on)
		x->client_close = true;
	r.close = x->client_close;
	size_t len = http_reply_write(&r, answer, sizeof(answer));
	MUST(len > 0 && (status >= 400 || end == END_OK));
	int error = io_send_str(
	        x->worker->io, x->conn->fd, (struct str){answer, len}, exchange_timeouts(x)->client);
	if (error != 0) {
		x->status = 0;
		x->end = error == -ETIMEDOUT ? END_CLIENT_TIMEOUT : END_CLIENT_LEFT;
		return exchange_finish(x);
	}
	x->status = status;
	x->body_bytes = http_reply_body_len(&r);
	counter_add(x->worker->counters, COUNTER_bytes_out, len);
	return exchange_finish(x);
}

struct verdict exchange_refuse_fault(struct exchange *x, enum http_fault fault)
{
	x->fault = fault;
	x->head_at = x->in->start;
	x->request.size = 0; /* where the next request begins is not known */
	x->client_close = true;
	COUNT(x->worker->counters, requests_malformed);
	return exchange_refuse(x, http_fault_status(fault), END_REFUSED);
}
