#include "origin/request.h"

#include <errno.h>

#include "origin/answer.h"

void request_init(struct request *r, struct origin *o, struct worker *w, struct conn *c, size_t len)
{
	memset(r, 0, offsetof(struct request, fields)); /* fields: the parser's to fill */
	r->origin = o;
	r->worker = w;
	r->conn = c;
	r->used = len;
	r->drained = buf_room(c->in) > 0;
	r->head.size = len;
	r->head.fields = r->fields;
	r->head.room = ORIGIN_FIELDS;
}

static void split_path(struct request *r)
{
	struct str whole = r->head.path;
	const char *mark = memchr(whole.at, '?', whole.len);

	r->path = r->query = whole;
	if (mark)
		r->path.len = (size_t)(mark - whole.at);
	r->query.at += r->path.len;
	r->query.len -= r->path.len;
	if (r->path.len == 0) /* "http://host?query" */
		r->path = STR("/");
}

/* RFC 9110 section 10.1.1: any expectation but 100-continue fails; HTTP/1.0 has none. */
static enum http_fault read_expectation(struct request *r)
{
	for (unsigned i = 0; r->head.minor >= 1 && i < r->head.count; i++) {
		const struct http_field *f = &r->head.fields[i];

		if (f->id != FIELD_EXPECT)
			continue;
		if (!str_eq_nocase(f->value, STR("100-continue")))
			return HTTP_BAD_EXPECTATION;
		r->expects = true;
	}
	return HTTP_OK;
}

static bool is_draining(const struct origin *o)
{
	const struct engine *e = atomic_load_explicit(&o->engine, memory_order_acquire);

	return e && engine_is_draining(e);
}

static void decide_persistence(struct request *r)
{
	if (!http_head_keeps_alive(&r->head) || !r->origin->keepalive)
		r->close = true;
	else if (is_draining(r->origin))
		r->close = r->linger = true; /* its next request may be on the way */
}

enum http_fault request_parse(struct request *r)
{
	struct http_framing framing;
	enum http_fault fault = http_request_parse(&r->head, buf_head(r->conn->in), r->used);

	r->is_head = str_eq(r->head.method, STR("HEAD")); /* also where the rest is malformed */
	if (fault == HTTP_OK)
		fault = http_request_framing(&r->head, &framing);
	if (fault == HTTP_OK)
		fault = read_expectation(r);
	if (fault != HTTP_OK)
		return fault;
	http_body_reader_init(&r->body, framing, ORIGIN_LINE_MAX);
	r->has_body = !r->body.done;
	if (!r->has_body)
		r->expects = false;
	split_path(r);
	decide_persistence(r);
	return HTTP_OK;
}

/* Bytes that were received and not looked at. */
static struct str pending(const struct request *r)
{
	const struct buf *in = r->conn->in;

	if (r->spill)
		return buf_str(r->spill);
	return (struct str){in->data + in->start + r->used, buf_len(in) - r->used};
}

static void advance(struct request *r, size_t n)
{
	if (r->spill)
		buf_consume(r->spill, n);
	else
		r->used += n;
}

/* Receives more, all that came before being used up. 1, or a negative error. */
static int receive(struct request *r, int64_t deadline)
{
	struct worker *w = r->worker;

	if (!r->spill)
		r->spill = buf_store_get(&w->heads);
	if (!r->spill)
		return -ENOMEM;
	ssize_t n = io_recv(w->io, r->conn->fd, buf_tail(r->spill), buf_room(r->spill), deadline);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return -EPIPE;
	r->drained = (size_t)n < buf_room(r->spill);
	r->expects = false; /* whoever sends the body does not wait any more */
	r->spill->end += (size_t)n;
	counter_add(w->counters, COUNTER_bytes_in, (uint64_t)n);
	return 1;
}

int request_body(struct request *r, int64_t deadline, struct str *piece)
{
	*piece = (struct str){"", 0};
	while (!r->body.done) {
		struct str bytes = pending(r);
		size_t used;

		if (bytes.len == 0) {
			int got = receive(r, deadline);

			if (got < 0)
				return got;
			continue;
		}
		if (http_body_read(&r->body, bytes.at, bytes.len, &used, piece) != HTTP_OK)
			return -EBADMSG;
		advance(r, used);
		if (piece->len > 0)
			return 1;
	}
	return 0;
}

int request_body_wait(struct request *r, struct str *piece)
{
	/* Most bodies are there already, and then no clock is read. */
	int got = request_body(r, IO_NOW, piece);

	if (got == -EAGAIN)
		got = request_body(r, clock_after(clock_now(), ORIGIN_CLIENT_TIMEOUT), piece);
	return got;
}

void request_body_failed(struct request *r, int error)
{
	r->close = r->linger = true;
	switch (error) {
	case -EBADMSG:
		answer_fault(r, HTTP_BAD_CHUNK);
		return;
	case -EPIPE:
		answer_text(r, 400, STR("the body ended early"), STR(""));
		return;
	case -ETIMEDOUT:
		COUNT(r->worker->counters, client_timeout);
		answer_text(r, 408, STR("the body did not come"), STR(""));
		return;
	case -ENOMEM:
		answer_text(r, 503, STR("out of memory"), STR(""));
		return;
	default:
		COUNT(r->worker->counters, client_left);
		r->cut = true;
	}
}

bool request_discard(struct request *r)
{
	struct str piece;
	int got = 1;

	if (!r->has_body)
		return true;
	if (r->expects && pending(r).len > 0)
		r->expects = false;
	if (r->expects || (r->body.kind == BODY_LENGTH && r->body.left > ORIGIN_DISCARD_MAX)) {
		r->close = r->linger = true;
		return true;
	}
	while (got > 0 && r->body.taken <= ORIGIN_DISCARD_MAX)
		got = request_body_wait(r, &piece);
	if (got < 0) {
		request_body_failed(r, got);
		return false;
	}
	if (got > 0)
		r->close = r->linger = true;
	return true;
}

bool request_settle(struct request *r)
{
	struct worker *w = r->worker;
	struct conn *c = r->conn;
	bool whole = r->body.done;

	buf_consume(c->in, r->used);
	c->scanned = 0;
	c->head_since = 0;
	if (r->spill && buf_len(r->spill) > 0) { /* then conn->in was used up */
		buf_store_put(&w->heads, c->in);
		c->in = r->spill;
	} else {
		buf_store_put(&w->heads, r->spill);
	}
	r->spill = NULL;
	return whole;
}
