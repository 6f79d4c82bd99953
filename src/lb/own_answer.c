/* Answers that the balancer makes itself, in the server's place. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "http/reply.h"
#include "lb/exchange.h"
#include "lb/forward.h"

enum { RETRY_AFTER_S = 1, TEXT_MAX_BYTES = 128 };

/* The line that says why: "Service Unavailable: no server could be connected to (connect_failed)". */
static struct str reason_of(int status, enum exchange_end end, char out[TEXT_MAX_BYTES])
{
	const struct end_kind *kind = &end_kinds[end];

	if (kind->text.len == 0)
		return STR("");
	int len = snprintf(
	        out, TEXT_MAX_BYTES, "%s: %s (%s)", http_reason(status), kind->text.at, kind->word);
	MUST(len > 0 && len < TEXT_MAX_BYTES);
	return (struct str){out, (size_t)len};
}

static struct http_reply reply_of(struct exchange *x, int status)
{
	struct http_reply r = {.status = status, .date = http_date_now(&x->worker->date), .head = x->is_head};

	if (status == 503)
		r.retry_after = RETRY_AFTER_S;
	if (status == 429)
		r.retry_after = x->retry_after;
	if (status == 405 || status == 200)
		r.allow = STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	return r;
}

int exchange_tell(struct exchange *x)
{
	struct io *io = x->worker->io;

	if (x->worker->patience <= 0) {
		int error = io_send_str(io, x->conn->fd, x->unsent, exchange_timeouts(x)->client);
		x->unsent = STR("");
		return error;
	}
	while (x->unsent.len > 0) {
		ssize_t n = io_send(io, x->conn->fd, x->unsent, IO_NOW);

		x->leaves = n == -EAGAIN;
		if (n < 0)
			return x->leaves ? 0 : (int)n;
		x->unsent.at += n;
		x->unsent.len -= (size_t)n;
	}
	return 0;
}

struct verdict exchange_refuse_rest(struct exchange *x)
{
	exchange_doing(x, DOING_REFUSE);
	int error = exchange_tell(x);

	if (x->leaves) {
		x->leaves = false;
		return (struct verdict){.kind = VERDICT_LEAVE};
	}
	if (error != 0) {
		x->status = 0;
		x->body_bytes = 0;
		x->client_close = true; /* some of it may be out: nothing may follow */
		x->end = error == -ETIMEDOUT ? END_CLIENT_TIMEOUT : END_CLIENT_LEFT;
		return exchange_finish(x);
	}
	tally_sent(x, buf_len(x->out));
	return exchange_finish(x);
}

/* The field lines that configuration asks for. */
static struct str extra_of(struct exchange *x, char out[FORWARD_QUEUE_BYTES + REQUEST_ID_FIELD_MAX])
{
	struct str wait = forward_queue_field(x->lb->config->queue.header, x->conn, out);

	return (struct str){out, wait.len + request_id_field(x, out + wait.len).len};
}

struct verdict exchange_refuse(struct exchange *x, int status, enum exchange_end end)
{
	char text[TEXT_MAX_BYTES], fields[FORWARD_QUEUE_BYTES + REQUEST_ID_FIELD_MAX];
	struct http_reply r = reply_of(x, status);

	if (end == END_SERVER_BROKE && x->lost)
		end = END_SERVER_LOST;
	r.text = reason_of(status, end, text);
	r.extra = extra_of(x, fields);
	x->end = end;
	x->server_reusable = false;
	/* 429 says "later", and a client that has to connect anew for that costs more than one that waits. */
	bool goes_on = status >= 500 || status == 429 || status == 200;
	if (!exchange_request_is_over(x) || exchange_is_last(x) || !goes_on)
		x->client_close = true;
	r.close = x->client_close;
	buf_clear(x->out);
	x->out->end = http_reply_write(&r, x->out->data, x->out->cap);
	MUST(x->out->end > 0 && (status >= 400 || end == END_MAX_FORWARDS));
	x->unsent = buf_str(x->out);
	x->status = status;
	x->body_bytes = http_reply_body_len(&r);
	x->stage = STAGE_REFUSAL;
	return exchange_refuse_rest(x);
}

/* However little of the request was understood: the client waits for a head alone (RFC 9110 section 9.3.2). */
static bool begins_with_head(struct str bytes)
{
	struct str method = STR("HEAD ");

	return bytes.len >= method.len && memcmp(bytes.at, method.at, method.len) == 0;
}

struct verdict exchange_refuse_fault(struct exchange *x, enum http_fault fault)
{
	x->fault = fault;
	x->is_head = begins_with_head(buf_str(x->in));
	x->head_at = x->in->start;
	x->request.size = 0; /* where the next request begins is not known */
	x->client_close = true;
	COUNT(x->worker->counters, requests_malformed);
	return exchange_refuse(x, http_fault_status(fault), END_REFUSED);
}
