/* exchange_head: from the parsed head of a request to its bytes on the way to a server. */
#include "base/assert.h"
#include "lb/admit.h"
#include "lb/dial.h"
#include "lb/exchange.h"
#include "lb/forward.h"
#include "lb/retry.h"
#include "lb/sticky.h"

static enum http_fault check_request(struct exchange *x)
{
	const struct lb_config_limits *limits = &x->lb->config->limits;
	const struct http_field *expect = http_head_find(&x->request, FIELD_EXPECT);

	if (limits->body_size > 0 && x->request_framing.kind == BODY_LENGTH &&
	        x->request_framing.length > limits->body_size)
		return HTTP_BODY_TOO_LARGE;
	if (expect && x->request.minor > 0 && !str_eq_nocase(expect->value, STR("100-continue")))
		return HTTP_BAD_EXPECTATION;
	return HTTP_OK;
}

/* RFC 9110 section 7.6.2. Returns the value to forward, -1 for none, -2 when the request ends here. */
static long long max_forwards(const struct exchange *x)
{
	const struct http_field *field = http_head_find(&x->request, FIELD_MAX_FORWARDS);
	long long value;

	if (!str_eq(x->request.method, STR("TRACE")) && !str_eq(x->request.method, STR("OPTIONS")))
		return -1;
	if (!field || !str_to_uint63(field->value, &value))
		return -1;
	return value == 0 ? -2 : value - 1;
}

static bool asks_for_upgrade(const struct exchange *x)
{
	return x->request.minor > 0 && !x->has_body && http_head_find(&x->request, FIELD_UPGRADE) &&
	       http_head_has_token(&x->request, FIELD_CONNECTION, STR("upgrade"));
}

static void prepare(struct exchange *x)
{
	x->is_head = str_eq(x->request.method, STR("HEAD"));
	x->has_body = x->request_framing.kind == BODY_CHUNKED ||
	              (x->request_framing.kind == BODY_LENGTH && x->request_framing.length > 0);
	x->client_close = !http_head_keeps_alive(&x->request) || exchange_timeouts(x)->keepalive <= 0;
	x->wants_upgrade = asks_for_upgrade(x);
	http_head_mark_hops(&x->request);
}

bool exchange_send(struct exchange *x)
{
	struct str head = buf_str(x->out);

	if (io_send_str(x->worker->io, x->fd, head, exchange_timeouts(x)->server) == 0)
		return true;
	if (dial_may_repeat(x)) {
		if (!dial_again(x))
			return false;
		if (io_send_str(x->worker->io, x->fd, head, exchange_timeouts(x)->server) == 0)
			return true;
	}
	x->lost = true;
	x->end = END_SERVER_BROKE;
	x->status = 502;
	return false;
}

/* Sets the flow of the request's body up, head first. False when memory is out. */
static bool prepare_body(struct exchange *x)
{
	const struct lb_config_limits *limits = &x->lb->config->limits;
	unsigned line_limit = (unsigned)limits->header_size;

	flow_init(&x->up, x->conn->fd, x->fd, x->in, x->request_framing, line_limit);
	x->early = buf_len(x->in);
	x->up.prefix = buf_str(x->out);
	x->up.chunked = x->request_framing.kind == BODY_CHUNKED;
	x->up.pipes = x->up.chunked ? NULL : x->lb->pipes;
	x->up.limit = limits->body_size;
	x->up.source_timeout = exchange_timeouts(x)->client;
	x->up.source_pace = pace_of(limits->min_body_rate, limits->rate_grace);
	x->up.expects = limits->min_body_rate > 0 && http_head_find(&x->request, FIELD_EXPECT);
	x->up.sink_timeout = exchange_timeouts(x)->server;
	if (x->request_framing.kind == BODY_LENGTH && buf_len(x->in) >= x->request_framing.length)
		return true; /* all of it came with the head */
	x->up_buf = buf_store_get(&x->worker->bodies);
	x->up.more = x->up_buf;
	if (x->up.chunked) /* what is read beyond the body's end must fit the connection's buffer */
		x->up.receive_max = x->in->cap;
	return x->up_buf != NULL;
}

/* A body that came whole with its head goes out with it. False: there is more to do, as the answer comes. */
static bool send_whole_body(struct exchange *x)
{
	struct pollfd unused;

	if (x->up.more)
		return false;
	flow_step(&x->up, x->worker->io, &unused);
	return x->up.state == FLOW_DONE;
}

/* A server was dialled; sends the request. */
static struct verdict go_on(struct exchange *x, enum dial_end end)
{
	if (end == DIAL_SHELVED)
		return (struct verdict){.kind = VERDICT_SHELVED};
	if (end != DIAL_DONE)
		return exchange_refuse(x, 503, dial_refusal(end));
	exchange_doing(x, DOING_SEND);
	if (x->has_body) {
		if (!prepare_body(x))
			return exchange_refuse(x, 503, END_NO_MEMORY);
		if (!send_whole_body(x))
			return exchange_end(x);
	} else if (!exchange_send(x)) {
		enum retry_end again = retry(x);

		if (again == RETRY_SHELVED)
			return (struct verdict){.kind = VERDICT_SHELVED};
		if (again == RETRY_NONE)
			return exchange_refuse(x, x->status, x->end);
	}
	x->answer_by = clock_after(clock_coarse(), exchange_timeouts(x)->server);
	conn_does(x->conn,
	        board_word(DOING_ANSWER, x->server->label, -1)); /* the worker may do others meanwhile */
	return (struct verdict){VERDICT_WAIT, x->fd, x->answer_by};
}

struct verdict exchange_head(struct exchange *x, size_t head, enum http_fault fault)
{
	conn_begins(x->conn);
	COUNT(x->worker->counters, requests);
	if (fault == HTTP_OK)
		fault = http_request_framing(&x->request, &x->request_framing);
	if (fault == HTTP_OK)
		fault = check_request(x);
	if (fault != HTTP_OK)
		return exchange_refuse_fault(x, fault);
	x->request.size = head;
	x->head_at = x->in->start;
	buf_consume(x->in, head); /* its bytes stay where they are until the exchange is over */
	prepare(x);
	if (!admit(x))
		return end_is_leave(x->end) ? exchange_finish(x) : exchange_refuse(x, 429, x->end);
	x->max_forwards = max_forwards(x);
	if (x->max_forwards == -2)
		return exchange_refuse(
		        x, str_eq(x->request.method, STR("TRACE")) ? 405 : 200, END_MAX_FORWARDS);
	if (!forward_request(x, x->max_forwards)) {
		x->fault = HTTP_HEAD_TOO_LARGE;
		COUNT(x->worker->counters, requests_malformed);
		return exchange_refuse(x, http_fault_status(x->fault), END_REFUSED);
	}
	x->sticky = sticky_server(x);
	return go_on(x, dial(x));
}

struct verdict exchange_resume(struct exchange *x)
{
	CHECK_MAGIC(x, EXCHANGE_MAGIC);
	bool is_tcp = x->listener->mode == LB_MODE_TCP;

	x->shelf_wait = clock_now() - x->shelved_at;
	if (!x->overdue && !admit_shelved(x)) {
		tally_shelf_left(x);
		return exchange_finish(x);
	}
	enum dial_end end = x->overdue ? DIAL_BUSY : dial_shelved(x);

	if (end == DIAL_SHELVED) /* again, and no longer ours */
		return (struct verdict){.kind = VERDICT_SHELVED};
	tally_shelf_left(x);
	return is_tcp ? exchange_tunnel_tcp(x, (int)end) : go_on(x, end);
}
