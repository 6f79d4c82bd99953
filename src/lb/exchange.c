#include "lb/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "http/reply.h"
#include "lb/access.h"
#include "lb/dial.h"
#include "lb/forward.h"
#include "wire/pump.h"

enum { INTERIM_MAX = 32, RETRY_AFTER_S = 1 };

/* A worker's store of exchanges; worker.local. */
struct exchange_store {
	struct exchange *free;
};

static const struct lb_config_timeouts *timeouts(const struct exchange *x)
{
	return &x->lb->config->timeouts;
}

static struct exchange *allocate(struct lb *lb)
{
	size_t fields = (size_t)lb->config->limits.headers;
	struct exchange *x = malloc(sizeof(*x) + 2 * fields * sizeof(struct http_field));

	if (!x)
		return NULL;
	x->request_fields = (struct http_field *)(x + 1);
	x->response_fields = x->request_fields + fields;
	return x;
}

struct exchange *exchange_new(struct lb *lb, struct worker *w, struct conn *c)
{
	struct exchange_store *store = w->local;
	struct exchange *x = store->free;

	if (x)
		store->free = x->next;
	else if (!(x = allocate(lb)))
		return NULL;
	unsigned fields = (unsigned)lb->config->limits.headers;
	*x = (struct exchange){.magic = EXCHANGE_MAGIC,
	        .lb = lb,
	        .conn = c,
	        .listener = c->listener->app,
	        .worker = w,
	        .fd = -1,
	        .request_fields = x->request_fields,
	        .response_fields = x->response_fields};
	x->request = (struct http_head){.room = fields, .fields = x->request_fields};
	x->response = (struct http_head){.room = fields, .fields = x->response_fields};
	x->began = clock_coarse();
	x->in = c->in;
	c->in = NULL;
	x->out = buf_store_get(&w->bodies);
	x->from_server = buf_store_get(&w->bodies);
	if (!x->in)
		x->in = buf_store_get(&w->heads);
	if (x->out && x->from_server && x->in)
		return x;
	exchange_free(x);
	return NULL;
}

void exchange_free(struct exchange *x)
{
	struct exchange_store *store = x->worker->local;
	struct worker *w = x->worker;

	dial_release(x);
	buf_store_put(&w->heads, x->in);
	buf_store_put(&w->bodies, x->out);
	buf_store_put(&w->bodies, x->from_server);
	buf_store_put(&w->bodies, x->up_buf);
	x->magic = 0;
	x->next = store->free;
	store->free = x;
}

bool exchange_store_init(struct worker *w)
{
	w->local = calloc(1, sizeof(struct exchange_store));
	return w->local != NULL;
}

void exchange_store_free(struct worker *w)
{
	struct exchange_store *store = w->local;

	while (store->free) {
		struct exchange *x = store->free;

		store->free = x->next;
		free(x);
	}
	free(store);
	w->local = NULL;
}

/* ---- answers of our own ---- */

static struct http_reply reply_of(struct exchange *x, int status)
{
	struct http_reply r = {.status = status, .date = http_date_now(&x->worker->date), .head = x->is_head};

	if (status == 503)
		r.retry_after = RETRY_AFTER_S;
	if (status == 405 || status == 200)
		r.allow = STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	return r;
}

/* Whether the client's connection can go on after an answer of ours: we know where its next request begins. */
static bool is_request_over(const struct exchange *x)
{
	return x->request.size > 0 && (!x->has_body || x->up.state == FLOW_DONE);
}

struct verdict exchange_refuse(struct exchange *x, int status, enum exchange_end end)
{
	char answer[HTTP_REPLY_MAX];
	struct http_reply r = reply_of(x, status);

	x->end = end;
	x->server_reusable = false;
	if (!is_request_over(x) || (status < 500 && status != 200))
		x->client_close = true;
	r.close = x->client_close;
	size_t len = http_reply_write(&r, answer, sizeof(answer));
	MUST(len > 0);
	int error = io_send_str(x->worker->io, x->conn->fd, (struct str){answer, len}, timeouts(x)->client);
	if (error != 0) {
		x->end = END_CLIENT_LEFT;
		return exchange_finish(x);
	}
	x->status = status;
	counter_add(x->worker->counters, COUNTER_bytes_out, len);
	return exchange_finish(x);
}

struct verdict exchange_refuse_fault(struct exchange *x, enum http_fault fault)
{
	x->fault = fault;
	x->client_close = true;
	COUNT(x->worker->counters, requests_malformed);
	return exchange_refuse(x, http_fault_status(fault), END_REFUSED);
}

/* ---- exchange_head ---- */

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
	x->client_close = !http_head_keeps_alive(&x->request) || timeouts(x)->keepalive <= 0;
	x->wants_upgrade = asks_for_upgrade(x);
	http_head_mark_hops(&x->request);
}

static bool may_resend(const struct exchange *x)
{
	return x->reused && !x->has_body && !x->answer_begun && http_method_is_idempotent(x->request.method);
}

/* Sends a request without a body. A kept connection that was closed under it is replaced where that is safe. */
static bool send_request(struct exchange *x)
{
	struct str head = buf_str(x->out);

	if (io_send_str(x->worker->io, x->fd, head, timeouts(x)->server) == 0)
		return true;
	return may_resend(x) && dial_again(x) &&
	       io_send_str(x->worker->io, x->fd, head, timeouts(x)->server) == 0;
}

/* Sets the flow of the request's body up, head first. False when memory is out. */
static bool prepare_body(struct exchange *x)
{
	unsigned line_limit = (unsigned)x->lb->config->limits.header_size;

	flow_init(&x->up, x->conn->fd, x->fd, x->in, x->request_framing, line_limit);
	x->up.prefix = buf_str(x->out);
	x->up.chunked = x->request_framing.kind == BODY_CHUNKED;
	x->up.limit = x->lb->config->limits.body_size;
	x->up.source_timeout = timeouts(x)->client;
	x->up.sink_timeout = timeouts(x)->server;
	if (x->request_framing.kind == BODY_LENGTH && buf_len(x->in) >= x->request_framing.length)
		return true; /* all of it came with the head */
	x->up_buf = buf_store_get(&x->worker->bodies);
	x->up.more = x->up_buf;
	if (x->up.chunked) /* what is read beyond the body's end must fit the connection's buffer */
		x->up.receive_max = x->in->cap;
	return x->up_buf != NULL;
}

struct verdict exchange_head(struct exchange *x, size_t head)
{
	enum http_fault fault = http_request_parse(&x->request, buf_head(x->in), head);

	x->head_at = x->in->start;
	x->conn->requests++;
	COUNT(x->worker->counters, requests);
	if (fault == HTTP_OK)
		fault = http_request_framing(&x->request, &x->request_framing);
	if (fault == HTTP_OK)
		fault = check_request(x);
	if (fault != HTTP_OK) {
		x->request.size = 0;
		return exchange_refuse_fault(x, fault);
	}
	x->request.size = head;
	buf_consume(x->in, head); /* its bytes stay where they are until the exchange is over */
	prepare(x);
	long long forwards = max_forwards(x);
	if (forwards == -2)
		return exchange_refuse(x, str_eq(x->request.method, STR("TRACE")) ? 405 : 200, END_OK);
	if (!forward_request(x, forwards))
		return exchange_refuse_fault(x, HTTP_HEAD_TOO_LARGE);
	if (!dial(x))
		return exchange_refuse(x, 503, END_NO_SERVER);
	if (x->has_body) {
		if (!prepare_body(x))
			return exchange_refuse(x, 503, END_REFUSED);
		return exchange_end(x);
	}
	if (!send_request(x))
		return exchange_refuse(x, 502, END_SERVER_BROKE);
	return (struct verdict){VERDICT_WAIT, x->fd, clock_after(clock_coarse(), timeouts(x)->server)};
}

/* ---- exchange_body ---- */

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
		return false;
	case FLOW_SOURCE_SILENT:
		x->end = END_CLIENT_TIMEOUT;
		x->status = 408;
		return false;
	case FLOW_SINK_STUCK:
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

/* More bytes of the answer, while the request's body is sent on. False: the exchange is over. */
static bool receive_answer(struct exchange *x)
{
	struct io *io = x->worker->io;
	ssize_t n;

	for (;;) {
		if (x->has_body && x->up.state == FLOW_OPEN &&
		        pump_run(io, &x->up, NULL, x->fd) == PUMP_FIRST) {
			if (!take_up_end(x))
				return false;
			continue;
		}
		n = io_recv(io, x->fd, buf_tail(x->from_server), buf_room(x->from_server),
		        clock_after(clock_coarse(), timeouts(x)->server));
		if (n > 0) {
			x->answer_begun = true;
			x->from_server->end += (size_t)n;
			return true;
		}
		if (n == -ETIMEDOUT)
			return fail(x, END_SERVER_TIMEOUT, 504);
		if (!may_resend(x) || !dial_again(x) || !send_request(x))
			return fail(x, END_SERVER_BROKE, 502);
	}
}

/* Reads and parses the next head of the answer. False: the exchange is over. */
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

static bool relay_interim(struct exchange *x)
{
	COUNT(x->worker->counters, responses_1xx);
	if (x->request.minor == 0)
		return true; /* RFC 9110 section 15.2 */
	if (!forward_response(x, (struct http_framing){.kind = BODY_NONE}))
		return fail(x, END_SERVER_BROKE, 502);
	if (io_send_str(x->worker->io, x->conn->fd, buf_str(x->out), timeouts(x)->client) != 0)
		return fail(x, END_CLIENT_LEFT, 0);
	return true;
}

/* The final answer's head. False: the exchange is over. */
static bool read_final_head(struct exchange *x)
{
	for (int i = 0; i < INTERIM_MAX; i++) {
		if (!read_answer_head(x))
			return false;
		if (x->response.status >= 200 || x->response.status == 101)
			return true;
		if (!relay_interim(x))
			return false;
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

static bool take_down_end(struct exchange *x)
{
	switch (x->down.state) {
	case FLOW_OPEN:
	case FLOW_DONE:
		return true;
	case FLOW_SINK_LOST:
		return fail(x, END_CLIENT_LEFT, x->status);
	case FLOW_SINK_STUCK:
		return fail(x, END_CLIENT_TIMEOUT, x->status);
	case FLOW_SOURCE_SILENT:
		return fail(x, END_SERVER_TIMEOUT, status_after(x, 504));
	case FLOW_SOURCE_ENDED:
	case FLOW_SOURCE_LOST:
	case FLOW_BAD_FRAMING:
	case FLOW_TOO_LARGE:
		break;
	}
	return fail(x, END_SERVER_BROKE, status_after(x, 502));
}

static void relay_body(struct exchange *x)
{
	while (x->down.state == FLOW_OPEN) {
		struct flow *up = x->has_body && x->up.state == FLOW_OPEN ? &x->up : NULL;

		if (pump_run(x->worker->io, up, &x->down, -1) == PUMP_FIRST && !take_up_end(x)) {
			if (x->down.sent > 0)
				x->status = x->response.status; /* what was told stands */
			break;
		}
	}
	if (x->down.state != FLOW_OPEN)
		take_down_end(x);
	x->told_client = x->down.sent > 0;
	size_t head = buf_len(x->out);
	x->body_bytes = x->down.sent > head ? x->down.sent - head : 0;
	counter_add(x->worker->counters, COUNTER_bytes_out, x->down.sent);
}

static void exchange_body(struct exchange *x)
{
	struct http_framing framing;

	if (!read_final_head(x))
		return;
	if (http_response_framing(&x->response, x->request.method, &framing) != HTTP_OK ||
	        (framing.kind == BODY_TUNNEL && !x->wants_upgrade)) {
		fail(x, END_SERVER_BROKE, 502);
		return;
	}
	if (lb_is_draining(x->lb) || (x->has_body && x->up.state != FLOW_DONE))
		x->client_close = true; /* an early answer: where the next request begins is not known */
	struct http_framing out = framing_for_client(x, framing);
	if (!forward_response(x, out)) {
		fail(x, END_SERVER_BROKE, 502);
		return;
	}
	x->status = x->response.status;
	flow_init(&x->down, x->fd, x->conn->fd, x->from_server, framing,
	        (unsigned)x->lb->config->limits.header_size);
	x->down.prefix = buf_str(x->out);
	x->down.chunked = out.kind == BODY_CHUNKED;
	x->down.source_timeout = timeouts(x)->server;
	x->down.sink_timeout = timeouts(x)->client;
	if (framing.kind == BODY_TUNNEL) {
		exchange_tunnel(x);
		return;
	}
	relay_body(x);
	x->server_reusable = x->end == END_OK && framing.kind != BODY_CLOSE && buf_len(x->from_server) == 0 &&
	                     (!x->has_body || x->up.state == FLOW_DONE) &&
	                     http_head_keeps_alive(&x->response);
}

struct verdict exchange_end(struct exchange *x)
{
	exchange_body(x);
	if (x->end != END_OK && x->status != 0 && !x->told_client && x->down.sent == 0)
		return exchange_refuse(x, x->status, x->end);
	return exchange_finish(x);
}

/* ---- exchange_finish ---- */

static void count_end(struct exchange *x)
{
	static const enum counter_id classes[] = {COUNTER_responses_1xx, COUNTER_responses_2xx,
	        COUNTER_responses_3xx, COUNTER_responses_4xx, COUNTER_responses_5xx};
	struct counters *c = x->worker->counters;

	if (x->status >= 200 && x->status < 600)
		counter_add(c, classes[x->status / 100 - 1], 1);
	if (x->end == END_CLIENT_LEFT)
		COUNT(c, client_left);
	else if (x->end == END_CLIENT_TIMEOUT)
		COUNT(c, client_timeout);
	else if (x->end == END_SERVER_BROKE)
		COUNT(c, server_broke);
	else if (x->end == END_SERVER_TIMEOUT)
		COUNT(c, server_timeout);
	if (x->server && (x->end == END_SERVER_BROKE || x->end == END_SERVER_TIMEOUT)) {
		_Atomic uint64_t *failures = &lb_counts(x->lb, x->worker->id, x->server->index)->failures;
		uint64_t n = atomic_load_explicit(failures, memory_order_relaxed);

		atomic_store_explicit(failures, n + 1, memory_order_relaxed);
	}
	counter_add(c, COUNTER_bytes_in, x->request.size + x->up.received);
}

/* Bytes that were read beyond the request's body belong to the next request: back to the connection's buffer. */
static void keep_surplus(struct exchange *x)
{
	if (!x->up_buf || x->up.buf != x->up_buf || buf_len(x->up_buf) == 0)
		return;
	buf_clear(x->in);
	bool fits = buf_add_str(x->in, buf_str(x->up_buf));
	MUST(fits); /* up.receive_max saw to that */
}

static bool has_unread_input(const struct exchange *x)
{
	char byte;

	return buf_len(x->in) > 0 || recv(x->conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Whether a client could take what it got for a whole message: then only a reset tells it otherwise. */
static bool looks_whole(const struct exchange *x)
{
	return x->told_client && x->request.minor == 0 &&
	       (x->down.reader.kind == BODY_CHUNKED || x->down.reader.kind == BODY_CLOSE);
}

static struct verdict verdict_of(struct exchange *x)
{
	struct conn *c = x->conn;

	if (x->is_tunnel) /* how one side ended is how the other is told */
		return (struct verdict){.kind = x->end == END_SERVER_BROKE ? VERDICT_RESET : VERDICT_CLOSE};
	if (x->end == END_CLIENT_LEFT)
		return (struct verdict){.kind = VERDICT_CLOSE};
	if (x->end != END_OK && looks_whole(x))
		return (struct verdict){.kind = VERDICT_RESET};
	if (!is_request_over(x) || (x->end != END_OK && x->told_client))
		return (struct verdict){.kind = VERDICT_LINGER};
	if (x->client_close)
		return (struct verdict){.kind = has_unread_input(x) ? VERDICT_LINGER : VERDICT_CLOSE};
	c->scanned = 0;
	if (buf_len(x->in) > 0) {
		c->in = x->in;
		x->in = NULL;
		c->head_since = clock_now();
		return (struct verdict){.kind = VERDICT_AGAIN};
	}
	c->head_since = 0;
	return (struct verdict){VERDICT_PARK, -1, clock_after(clock_coarse(), timeouts(x)->keepalive)};
}

struct verdict exchange_finish(struct exchange *x)
{
	CHECK_MAGIC(x, EXCHANGE_MAGIC);
	count_end(x);
	access_log(x);
	keep_surplus(x);
	struct verdict v = verdict_of(x);
	exchange_free(x);
	return v;
}
