/* exchange_body: the answer, and what is left of the request's body meanwhile. */
#include <errno.h>

#include "lb/access.h"
#include "lb/exchange.h"
#include "lb/dial.h"
#include "lb/forward.h"
#include "lb/retry.h"
#include "net/sock.h"
#include "wire/pump.h"

enum { INTERIM_MAX = 32 };

/* The request's body is over, well or not. False: the exchange ends with x->end, x->status says how to answer. */
static bool take_up_end(struct exchange *x)
{
	switch (x->up.state) {
	case FLOW_OPEN:
	case FLOW_DONE:
	case FLOW_SINK_LOST: /* the server reads no more; it may have answered */
		return true;
	case FLOW_SOURCE_ENDED:
	case FLOW_SOURCE_LOST:
		x->end = END_CLIENT_LEFT;
		x->status = 0;
		return false;
	case FLOW_SOURCE_SILENT:
		x->end = END_CLIENT_TIMEOUT;
		x->status = 408;
		return false;
	case FLOW_SOURCE_SLOW:
		x->end = END_CLIENT_SLOW;
		x->status = 408;
		return false;
	case FLOW_SINK_STUCK:
	case FLOW_SINK_SLOW: /* servers have no pace */
		x->end = END_SERVER_TIMEOUT;
		x->status = 504;
		return false;
	case FLOW_BAD_FRAMING:
		x->fault = HTTP_BAD_CHUNK;
		break;
	case FLOW_TOO_LARGE:
		x->fault = HTTP_BODY_TOO_LARGE;
		break;
	}
	COUNT(x->worker->counters, requests_malformed);
	x->end = END_REFUSED;
	x->status = http_fault_status(x->fault);
	return false;
}

static bool fail(struct exchange *x, enum exchange_end end, int status)
{
	x->end = end;
	x->status = status;
	return false;
}

/* Just now. Not before it was asked for: a loop may have woken before that. */
static int64_t time_of_first_byte(const struct exchange *x)
{
	int64_t at = io_woke(x->worker->io);

	return at > x->asked_at ? at : x->asked_at;
}

/* More bytes of the answer, while the request's body is sent on. False: the exchange is over, or leaves. */
static bool receive_answer(struct exchange *x)
{
	struct io *io = x->worker->io;
	ssize_t n;

	for (;;) {
		if (x->has_body && x->up.state == FLOW_OPEN) {
			enum pump_end end = pump_run(io, &x->up, NULL, x->fd, worker_patience(x->worker));

			x->leaves = end == PUMP_STALLED;
			if (x->leaves || (end == PUMP_FIRST && !take_up_end(x)))
				return false;
			x->answer_by = 0; /* while the body moves, its own timeouts count */
			if (end == PUMP_FIRST)
				continue;
		}
		bool sending = x->has_body && x->up.state == FLOW_OPEN;
		if (x->answer_by == 0) /* the body went out just now */
			x->answer_by = clock_after(clock_coarse(), exchange_timeouts(x)->server);
		/* An alert may have been for nothing: then the body goes on. */
		n = io_recv_buf(io, x->fd, &x->from_server, sending ? IO_NOW : x->answer_by);
		if (n == -EAGAIN && sending)
			continue;
		if (n > 0) {
			if (x->timed && !x->answer_begun)
				x->first_byte_at = time_of_first_byte(x);
			x->answer_begun = true;
			x->answer_by = clock_after(clock_coarse(), exchange_timeouts(x)->server);
			return true;
		}
		if (n == -ETIMEDOUT)
			return fail(x, END_SERVER_TIMEOUT, 504);
		if (!dial_may_repeat(x)) {
			x->lost = true;
			return fail(x, END_SERVER_BROKE, 502);
		}
		if (!dial_again(x) || !exchange_send(x))
			return false; /* they say how it ends */
		x->answer_by = clock_after(clock_coarse(), exchange_timeouts(x)->server);
	}
}

/* Reads and parses the next head of the answer. False: the exchange is over, or leaves. */
static bool read_answer_head(struct exchange *x)
{
	size_t len;

	for (;;) {
		len = http_head_find_end(buf_head(x->from_server), buf_len(x->from_server), &x->scanned);
		if (len > 0)
			break;
		buf_compact(x->from_server);
		if (buf_len(x->from_server) >= x->lb->config->limits.header_size)
			return fail(x, END_SERVER_BROKE, 502);
		if (!receive_answer(x))
			return false;
	}
	if (len > x->lb->config->limits.header_size ||
	        http_response_parse(&x->response, buf_head(x->from_server), len) != HTTP_OK)
		return fail(x, END_SERVER_BROKE, 502);
	x->scanned = 0;
	buf_consume(x->from_server, len);
	http_head_mark_hops(&x->response);
	/* The room for the request's head is the answer's from here on. */
	if (x->has_body && x->up.prefix.len > 0)
		return fail(x, END_SERVER_BROKE, 502);
	buf_clear(x->out);
	return true;
}

/* An interim answer's head becomes x->unsent. */
static bool take_interim(struct exchange *x)
{
	COUNT(x->worker->counters, responses_1xx);
	if (x->request.minor == 0)
		return true; /* RFC 9110 section 15.2 */
	if (!forward_response(x, (struct http_framing){.kind = BODY_NONE}))
		return fail(x, END_SERVER_BROKE, 502);
	x->unsent = buf_str(x->out);
	x->interim_told = true;
	return true;
}

/* False: the exchange is over, or leaves. */
static bool tell_interim(struct exchange *x)
{
	int error = exchange_tell(x);

	if (error != 0) {
		x->client_close = true; /* some of it may be out: nothing may follow */
		return fail(x, error == -ETIMEDOUT ? END_CLIENT_TIMEOUT : END_CLIENT_LEFT, 0);
	}
	x->up.expects = false;
	return !x->leaves;
}

/* The final answer's head. False: the exchange is over, or leaves. */
static bool read_final_head(struct exchange *x)
{
	while (x->interims < INTERIM_MAX) {
		if (x->unsent.len == 0) {
			if (!read_answer_head(x))
				return false;
			if (x->response.status >= 200 || x->response.status == 101)
				return true;
			if (!take_interim(x))
				return false;
		}
		if (!tell_interim(x))
			return false;
		x->interims++;
	}
	return fail(x, END_SERVER_BROKE, 502);
}

/* How the client gets a body that the server frames like this; may decide that its connection ends. */
static struct http_framing framing_for_client(struct exchange *x, struct http_framing from)
{
	if (from.kind != BODY_CHUNKED && from.kind != BODY_CLOSE)
		return from;
	if (x->request.minor > 0)
		return (struct http_framing){.kind = BODY_CHUNKED};
	x->client_close = true;
	return (struct http_framing){.kind = BODY_CLOSE};
}

/* Nothing of it was told yet, and the client can still be told what went wrong; else what was told stands. */
static int status_after(const struct exchange *x, int status)
{
	return x->down.sent == 0 ? status : x->status;
}

static void take_down_end(struct exchange *x)
{
	switch (x->down.state) {
	case FLOW_OPEN:
	case FLOW_DONE:
		break;
	case FLOW_SINK_LOST:
		fail(x, END_CLIENT_LEFT, status_after(x, 0));
		break;
	case FLOW_SINK_STUCK:
		fail(x, END_CLIENT_TIMEOUT, status_after(x, 0));
		break;
	case FLOW_SINK_SLOW:
		fail(x, END_CLIENT_SLOW, status_after(x, 0));
		break;
	case FLOW_SOURCE_SILENT:
	case FLOW_SOURCE_SLOW:
		fail(x, END_SERVER_TIMEOUT, status_after(x, 504));
		break;
	case FLOW_SOURCE_ENDED:
	case FLOW_SOURCE_LOST:
		x->lost = true;
		fail(x, END_SERVER_BROKE, status_after(x, 502));
		break;
	case FLOW_BAD_FRAMING:
	case FLOW_TOO_LARGE:
		fail(x, END_SERVER_BROKE, status_after(x, 502));
		break;
	}
}

/*
 * The server has answered, and says that it reads on: it gets the rest, or what it has would look whole to the client and be cut off. The
 * client sees the end of the answer meanwhile; it was told that its connection closes. False: the exchange leaves.
 */
static bool finish_upload(struct exchange *x)
{
	(void)shutdown(x->conn->fd, SHUT_WR); /* fails when the client is gone, which the flow tells */
	for (uint64_t moved = UINT64_MAX; x->up.state == FLOW_OPEN;) {
		enum pump_end end = pump_run(x->worker->io, &x->up, NULL, x->fd, worker_patience(x->worker));

		x->leaves = end == PUMP_STALLED;
		if (x->leaves)
			return false;
		if (end != PUMP_ALERT)
			continue;
		if (!sock_is_quiet(x->fd) || moved == x->up.received)
			break; /* it closed, or sent more than an answer */
		moved = x->up.received;
		io_spent(x->worker->io, x->fd, POLLIN); /* an alert for nothing */
	}
	if (x->up.state == FLOW_SOURCE_SILENT)
		COUNT(x->worker->counters, client_timeout);
	else if (x->up.state == FLOW_SOURCE_SLOW)
		COUNT(x->worker->counters, client_slow);
	else if (x->up.state == FLOW_SOURCE_ENDED || x->up.state == FLOW_SOURCE_LOST)
		COUNT(x->worker->counters, client_left);
	return true;
}

/* The server is to get what is left of the body though it has answered: not if the client holds it back for want of a 100. */
static bool upload_goes_on(const struct exchange *x)
{
	return x->down.state == FLOW_DONE && x->has_body && x->up.state == FLOW_OPEN && x->server_keeps &&
	       x->response.status < 400 &&
	       (x->up.reader.taken > 0 || !http_head_find(&x->request, FIELD_EXPECT));
}

static void relay_body(struct exchange *x)
{
	while (x->down.state == FLOW_OPEN) {
		struct flow *up = x->has_body && x->up.state == FLOW_OPEN ? &x->up : NULL;

		enum pump_end end = pump_run(x->worker->io, up, &x->down, -1, worker_patience(x->worker));

		x->leaves = end == PUMP_STALLED;
		if (x->leaves)
			return;
		if (up && end == PUMP_FIRST && !take_up_end(x)) {
			if (x->down.sent > 0)
				x->status = x->response.status; /* what was told stands */
			break;
		}
	}
	if (upload_goes_on(x) && !finish_upload(x))
		return;
	if (x->down.state != FLOW_OPEN)
		take_down_end(x);
	size_t head = buf_len(x->out);
	x->body_bytes = x->down.sent > head ? x->down.sent - head : 0;
	tally_sent(x, x->down.sent);
}

/* The answer begins: how its body comes and goes on. False: the exchange is over. */
static bool begin_answer(struct exchange *x)
{
	const struct lb_config_limits *limits = &x->lb->config->limits;
	struct http_framing framing;

	if (http_response_framing(&x->response, x->request.method, &framing) != HTTP_OK ||
	        (framing.kind == BODY_TUNNEL && !x->wants_upgrade))
		return fail(x, END_SERVER_BROKE, 502);
	if (exchange_is_last(x) || (x->has_body && x->up.state != FLOW_DONE))
		x->client_close = true; /* an early answer: where the next request begins is not known */
	struct http_framing out = framing_for_client(x, framing);
	access_log_soon(x);
	if (!forward_response(x, out))
		return fail(x, END_SERVER_BROKE, 502);
	x->status = x->response.status;
	x->server_keeps = http_head_keeps_alive(&x->response); /* now: the body overwrites the head */
	flow_init(&x->down, x->fd, x->conn->fd, x->from_server, framing,
	        (unsigned)x->lb->config->limits.header_size);
	x->down.prefix = buf_str(x->out);
	x->down.chunked = out.kind == BODY_CHUNKED;
	x->down.source_timeout = exchange_timeouts(x)->server;
	x->down.sink_timeout = exchange_timeouts(x)->client;
	x->down.sink_pace = pace_of(limits->min_answer_rate, limits->rate_grace);
	x->down.pipes = framing.kind == BODY_LENGTH ? x->lb->pipes : NULL;
	x->stage = STAGE_BODY;
	exchange_doing(x, DOING_BODY);
	if (framing.kind == BODY_TUNNEL)
		exchange_tunnel_begin(x);
	return true;
}

/* Begins where the worker before left off. */
static void exchange_body(struct exchange *x)
{
	exchange_doing(x, x->stage == STAGE_HEAD ? DOING_ANSWER : DOING_BODY);
	if (x->stage == STAGE_HEAD && (!read_final_head(x) || !begin_answer(x)))
		return;
	if (x->stage == STAGE_TUNNEL) {
		exchange_tunnel(x);
		return;
	}
	relay_body(x);
	/* A body's last receive takes what is left of it and no more: bytes that nobody asked for may be behind it. */
	bool quiet = x->down.received == 0 || x->end != END_OK || sock_is_quiet(x->fd);
	x->server_reusable = quiet && x->server_keeps && x->end == END_OK &&
	                     x->down.reader.kind != BODY_CLOSE && buf_len(x->from_server) == 0 &&
	                     (!x->has_body || x->up.state == FLOW_DONE);
}

struct verdict exchange_end(struct exchange *x)
{
	enum retry_end again = RETRY_SENT;

	if (x->stage == STAGE_REFUSAL)
		return exchange_refuse_rest(x);
	while (again == RETRY_SENT) {
		exchange_body(x);
		again = x->leaves || x->end == END_OK ? RETRY_NONE : retry(x);
	}
	if (again == RETRY_SHELVED)
		return (struct verdict){.kind = VERDICT_SHELVED};
	if (x->leaves) {
		x->leaves = false;
		return (struct verdict){.kind = VERDICT_LEAVE};
	}
	if (x->end != END_OK && x->status >= 400 && x->down.sent == 0)
		return exchange_refuse(x, x->status, x->end);
	return exchange_finish(x);
}
