/* The service: what the engine calls when a connection is ready. */
#include <errno.h>

#include "base/assert.h"
#include "base/diag.h"
#include "http/reply.h"
#include "lb/access.h"
#include "lb/admit.h"
#include "lb/balancer.h"
#include "lb/dial.h"
#include "lb/exchange.h"
#include "lb/forward.h"
#include "net/proxy_header.h"

static const struct verdict gone = {.kind = VERDICT_CLOSE};

/* The head is not complete: the connection goes back to the lot with what came, and the deadline that it began with. */
static struct verdict wait_for_rest(struct exchange *x)
{
	struct conn *c = x->conn;
	int64_t deadline = clock_after(c->head_since, exchange_timeouts(x)->request_header);

	if (buf_len(x->in) == 0 && conn_requests(c) > 0) /* nothing came: still idle */
		deadline = clock_after(clock_coarse(), exchange_timeouts(x)->keepalive);
	else if (buf_len(x->in) == 0)
		deadline = clock_after(c->accepted_at, exchange_timeouts(x)->request_header);
	if (buf_len(x->in) > 0) {
		c->in = x->in;
		x->in = NULL;
	}
	exchange_free(x);
	return (struct verdict){VERDICT_PARK, -1, deadline};
}

static struct verdict hang_up(struct exchange *x)
{
	if (buf_len(x->in) > 0) {
		COUNT(x->worker->counters, client_left);
		x->head_at = x->in->start;
		x->end = END_CLIENT_LEFT;
		access_log(x);
	}
	exchange_free(x);
	return gone;
}

/* Before its head was read to the end. */
static struct verdict refuse_early(struct exchange *x, enum http_fault fault)
{
	COUNT(x->worker->counters, requests);
	return exchange_refuse_fault(x, fault);
}

static struct verdict refuse_oversized(struct exchange *x)
{
	bool has_line = memchr(buf_head(x->in), '\n', buf_len(x->in)) != NULL;

	return refuse_early(x, has_line ? HTTP_HEAD_TOO_LARGE : HTTP_TARGET_TOO_LONG);
}

/* One, however the bytes come. */
static void skip_empty_line(struct exchange *x)
{
	struct conn *c = x->conn;
	size_t len = c->led || c->scanned > 0 ? 0 : http_leading_crlf(buf_head(x->in), buf_len(x->in));

	buf_consume(x->in, len);
	c->led |= len > 0;
}

/* Receives behind what is there already: > 0, 0 at the stream's end, -errno. */
static ssize_t receive(struct exchange *x)
{
	struct conn *c = x->conn;

	buf_compact(x->in);
	bool first = buf_len(x->in) == 0;
	size_t room = buf_room(x->in);
	ssize_t n = io_recv_buf(x->worker->io, c->fd, &x->in, IO_NOW);
	c->unread = n > 0 && (size_t)n == room;
	if (n > 0 && first)
		c->head_since = clock_coarse();
	return n;
}

/* Once a second for each listener: who comes without a header comes again and again. */
static void warn_of_header(const struct exchange *x, enum proxy_fault fault)
{
	_Atomic int64_t *warn_at = &x->lb->listeners[x->listener - x->lb->listeners].warn_at;
	int64_t now = clock_coarse(), at = atomic_load_explicit(warn_at, memory_order_relaxed);
	char client[ADDR_TEXT_MAX];

	if (now < at || !atomic_compare_exchange_strong_explicit(warn_at, &at, now + CLOCK_NS_PER_S,
	                        memory_order_relaxed, memory_order_relaxed))
		return;
	addr_ip_format(&x->conn->peer, client);
	diag_warning("%s: %s: its PROXY protocol header is malformed or missing (%s): closed",
	        x->conn->listener->name, client, proxy_fault_word(fault));
}

/* The header is not complete. From the connection's beginning on it has as long as a request's head. */
static struct verdict wait_for_header(struct exchange *x)
{
	struct conn *c = x->conn;
	int64_t deadline = clock_after(c->accepted_at, exchange_timeouts(x)->request_header);

	if (buf_len(x->in) > 0) {
		c->in = x->in;
		x->in = NULL;
	}
	exchange_free(x);
	return (struct verdict){VERDICT_PARK, -1, deadline};
}

static struct verdict refuse_header(struct exchange *x, enum proxy_fault fault)
{
	warn_of_header(x, fault);
	x->is_tunnel =
	        true; /* closed at once, and without an answer, which would be none in whatever is spoken there */
	x->end = END_PROXY_HEADER;
	return exchange_finish(x);
}

static void take_header(struct exchange *x, const struct proxy_header *header)
{
	struct conn *c = x->conn;

	COUNT(x->worker->counters, proxy_headers);
	buf_consume(x->in, header->size);
	c->introduced = true;
	c->head_since = buf_len(x->in) > 0 ? clock_coarse() : 0;
	if (!header->relayed)
		return;
	c->peer = addr_ip_of(&header->source);
	conn_show_peer(c);
	c->target = addr_ip_of(&header->destination);
}

/* Reads the PROXY header that comes first. False: *v says what becomes of the connection. */
static bool read_header(struct exchange *x, struct verdict *v)
{
	struct proxy_header header;

	for (;;) {
		enum proxy_fault fault = proxy_header_parse(buf_head(x->in), buf_len(x->in), &header);
		if (fault == PROXY_OK)
			break;
		if (fault == PROXY_MORE && buf_len(x->in) == x->in->cap)
			fault = PROXY_BAD_LENGTH;
		if (fault != PROXY_MORE) {
			*v = refuse_header(x, fault);
			return false;
		}
		ssize_t n = receive(x);
		if (n <= 0) {
			*v = n == -EAGAIN ? wait_for_header(x) : hang_up(x);
			return false;
		}
	}
	take_header(x, &header);
	return true;
}

static struct verdict begin_http(struct exchange *x)
{
	struct conn *c = x->conn;
	size_t limit = x->lb->config->limits.header_size;
	enum http_fault fault;

	for (;;) {
		if (buf_len(x->in) > 0) {
			skip_empty_line(x);
			size_t len = buf_len(x->in) < limit ? buf_len(x->in) : limit;
			size_t head = http_request_read(
			        &x->request, buf_head(x->in), len, &c->scanned, &fault);
			if (head > 0)
				return exchange_head(x, head, fault);
			if (len == limit)
				return refuse_oversized(x);
			if (buf_len(x->in) > 0 &&
			        http_request_sniff(buf_head(x->in), buf_len(x->in)) != HTTP_OK)
				return refuse_early(x, HTTP_BAD_REQUEST_LINE);
		}
		ssize_t n = receive(x);
		if (n == -EAGAIN)
			return wait_for_rest(x);
		if (n <= 0)
			return hang_up(x);
	}
}

static struct verdict begin_tcp(struct exchange *x)
{
	if (admit(x))
		return exchange_tunnel_tcp(x, (int)dial(x));
	x->is_tunnel = true;
	return exchange_finish(x);
}

static size_t relay_refuse(
        void *app, struct log_ring *log, const struct conn *c, enum refusal why, char *out, size_t cap)
{
	struct refusal_style style = balancer_refusal_style(c);
	struct http_date_cache date = {0};
	struct http_reply reply = refusal_reply(why);
	char field[FORWARD_QUEUE_BYTES];

	(void)app;
	/* Nor to whom it is no request's head that did not come. */
	if (style.is_tcp || (why == REFUSAL_HEADER_TIMEOUT && style.accepts_proxy && !c->introduced)) {
		access_log_refusal(style.format, log, c, NULL, refusal_word(why));
		return 0;
	}
	reply.date = http_date_now(&date);
	reply.extra = forward_queue_field(style.queue_field, c, field);
	access_log_refusal(style.format, log, c, &reply, refusal_word(why));
	return http_reply_write(&reply, out, cap);
}

/* Not even an exchange is to be had: the refusal is made without. */
static struct verdict refuse_without(struct balancer *b, struct worker *w, const struct conn *c)
{
	char answer[HTTP_REPLY_MAX];
	size_t len = relay_refuse(b, w->log, c, REFUSAL_NO_MEMORY, answer, sizeof(answer));

	COUNT(w->counters, no_memory);
	if (len == 0)
		return gone;
	/* It fits a socket that takes requests in turn; one that it does not fit can't be helped. */
	if (io_send(w->io, c->fd, (struct str){answer, len}, IO_NOW) == (ssize_t)len)
		counter_add(w->counters, COUNTER_bytes_out, len);
	return (struct verdict){.kind = VERDICT_LINGER};
}

static struct verdict relay_begin(void *app, struct worker *w, struct conn *c, void **exchange)
{
	struct exchange *x = *exchange;
	struct verdict v;

	board_step(w->row, x ? DOING_PICK : DOING_HEAD, LABEL_NONE, c->fd);
	conn_does(c, board_word(x ? DOING_PICK : DOING_HEAD, LABEL_NONE, -1));
	if (x) {
		x->worker = w;
		return exchange_resume(x);
	}
	x = exchange_new(balancer_enter(app, w, c), w, c);
	if (!x)
		return refuse_without(app, w, c);
	*exchange = x;
	/* A connection that had requests before a reload asked for headers goes on as it began: one amid it is nobody's word. */
	if (x->listener->accept_proxy && !c->introduced && conn_requests(c) == 0 && !read_header(x, &v))
		return v;
	return x->listener->mode == LB_MODE_TCP ? begin_tcp(x) : begin_http(x);
}

static struct verdict relay_end(void *app, struct worker *w, void *exchange)
{
	struct exchange *x = exchange;

	CHECK_MAGIC(x, EXCHANGE_MAGIC);
	(void)app;
	x->worker = w;
	return exchange_end(x);
}

static bool relay_worker_start(void *app, struct worker *w)
{
	(void)app;
	return exchange_store_init(w);
}

static void relay_tick(void *app, struct worker *w)
{
	balancer_tick(app, w);
}

static void relay_worker_stop(void *app, struct worker *w)
{
	balancer_leave(app, w);
	exchange_store_free(w);
}

struct service lb_service(struct balancer *b)
{
	return (struct service){
	        .app = b,
	        .worker_start = relay_worker_start,
	        .worker_stop = relay_worker_stop,
	        .begin = relay_begin,
	        .end = relay_end,
	        .tick = relay_tick,
	        .refuse = relay_refuse,
	        .arrives = b->connected ? admit_connection : NULL,
	        .departs = admit_departure,
	};
}
