/*
 * begin(): one request after another off a connection. A head that is not complete goes back to the parking lot with the
 * deadline it started with; so does a connection that has nothing more to read.
 */
#include "origin/origin.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "http/reply.h"
#include "origin/answer.h"
#include "origin/files.h"
#include "origin/pages.h"
#include "origin/request.h"

struct origin *origin_new(int root, bool keepalive, unsigned workers)
{
	struct origin *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->magic = ORIGIN_MAGIC;
	o->workers = aligned_alloc(_Alignof(struct origin_worker), workers * sizeof(struct origin_worker));
	if (!o->workers) {
		free(o);
		return NULL;
	}
	memset(o->workers, 0, workers * sizeof(struct origin_worker));
	for (unsigned i = 0; i < workers; i++)
		pages_prepare(&o->workers[i]);
	for (size_t i = 0; i < sizeof(o->pattern); i++)
		o->pattern[i] = (char)('a' + i % 26);
	o->worker_count = workers;
	o->keepalive = keepalive;
	o->root = root;
	o->openat2 = root >= 0 && files_have_openat2(root);
	return o;
}

void origin_free(struct origin *o)
{
	CHECK_MAGIC(o, ORIGIN_MAGIC);
	if (o->root >= 0)
		close(o->root);
	free(o->workers);
	o->magic = 0;
	free(o);
}

void origin_set_engine(struct origin *o, const struct engine *engine)
{
	atomic_store_explicit(&o->engine, engine, memory_order_release);
}

uint64_t origin_answered(const struct origin *o)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < o->worker_count; i++)
		sum += atomic_load_explicit(&o->workers[i].answered, memory_order_acquire);
	return sum;
}

/* The connection is at its end, or idle: in either case it needs no buffer. */
static void put_buffer(struct worker *w, struct conn *c)
{
	buf_store_put(&w->heads, c->in);
	c->in = NULL;
	c->scanned = 0;
	c->led = false;
	c->head_since = 0;
}

static struct verdict end_with(struct worker *w, struct conn *c, enum verdict_kind kind)
{
	put_buffer(w, c);
	return (struct verdict){.kind = kind, .fd = -1};
}

static struct verdict park(struct worker *w, struct conn *c)
{
	struct verdict v = {.kind = VERDICT_PARK, .fd = -1};

	if (buf_len(c->in) == 0) {
		put_buffer(w, c);
		v.deadline = clock_after(clock_coarse(), ORIGIN_KEEPALIVE);
		return v;
	}
	if (c->head_since == 0)
		c->head_since = clock_coarse();
	v.deadline = clock_after(c->head_since, ORIGIN_HEADER_TIMEOUT);
	return v;
}

/* Answers what is no request, however much of it there is. */
static struct verdict refuse_bytes(struct origin *o, struct worker *w, struct conn *c, enum http_fault fault)
{
	struct request r;

	request_init(&r, o, w, c, buf_len(c->in));
	answer_fault(&r, fault);
	return end_with(w, c, r.cut ? VERDICT_RESET : VERDICT_LINGER);
}

enum head_state { HEAD_WHOLE, HEAD_MORE, HEAD_EOF, HEAD_FULL, HEAD_LOST };

/* The next request's head comes no further for now. */
static struct verdict stop_reading(struct origin *o, struct worker *w, struct conn *c, enum head_state why)
{
	struct str got = buf_str(c->in);

	switch (why) {
	case HEAD_MORE:
		if (got.len > 0 && http_request_sniff(got.at, got.len) != HTTP_OK)
			return refuse_bytes(o, w, c, HTTP_BAD_REQUEST_LINE);
		return park(w, c);
	case HEAD_FULL:
		if (memchr(got.at, '\n', got.len) == NULL)
			return refuse_bytes(o, w, c, HTTP_TARGET_TOO_LONG);
		return refuse_bytes(o, w, c, HTTP_HEAD_TOO_LARGE);
	case HEAD_EOF:
		if (got.len > 0)
			return refuse_bytes(o, w, c, HTTP_BAD_REQUEST_LINE);
		return end_with(w, c, VERDICT_CLOSE);
	default:
		return end_with(w, c, VERDICT_CLOSE);
	}
}

/* Receives what is there. HEAD_WHOLE: something came. */
static enum head_state receive(struct worker *w, struct conn *c)
{
	if (buf_room(c->in) == 0)
		buf_compact(c->in);
	if (buf_room(c->in) == 0)
		return HEAD_FULL;
	ssize_t n = io_recv_buf(w->io, c->fd, &c->in, IO_NOW);
	if (n == -EAGAIN)
		return HEAD_MORE;
	if (n <= 0)
		return n == 0 ? HEAD_EOF : HEAD_LOST;
	counter_add(w->counters, COUNTER_bytes_in, (uint64_t)n);
	return HEAD_WHOLE;
}

/* Looks for a whole head of *len bytes at the front of conn->in, behind an empty line at most (RFC 9112 section 2.2). */
static enum head_state read_head(struct worker *w, struct conn *c, size_t *len)
{
	for (;;) {
		size_t blank = c->led ? 0 : http_leading_crlf(buf_head(c->in), buf_len(c->in));

		if (blank > 0) {
			buf_consume(c->in, blank);
			c->scanned = 0;
			c->led = true;
		}
		*len = http_head_find_end(buf_head(c->in), buf_len(c->in), &c->scanned);
		if (*len > 0) {
			c->led = false; /* the next one may have its own */
			return HEAD_WHOLE;
		}
		enum head_state got = receive(w, c);
		if (got != HEAD_WHOLE)
			return got;
	}
}

static void serve(struct request *r)
{
	enum http_fault fault = request_parse(r);

	if (fault != HTTP_OK)
		answer_fault(r, fault);
	else
		pages_answer(r);
}

/* What becomes of the connection. False: there is, or may be, more to read right now. */
static bool conclude(struct request *r, struct verdict *v)
{
	struct worker *w = r->worker;
	struct conn *c = r->conn;
	bool whole = request_settle(r);
	size_t scanned = 0;

	if (r->cut) {
		*v = end_with(w, c, VERDICT_RESET);
		return true;
	}
	if (r->close || !whole) {
		bool more = r->linger || !whole || !r->drained || buf_len(c->in) > 0;

		*v = end_with(w, c, more ? VERDICT_LINGER : VERDICT_CLOSE);
		return true;
	}
	if (buf_len(c->in) > 0 && http_head_find_end(buf_head(c->in), buf_len(c->in), &scanned) > 0) {
		*v = (struct verdict){.kind = VERDICT_AGAIN, .fd = -1};
		return true;
	}
	/* Readiness is told by edges: bytes that stayed in the kernel would not be told again. */
	if (buf_len(c->in) > 0 || !r->drained)
		return false;
	*v = park(w, c);
	return true;
}

static struct verdict origin_begin(void *app, struct worker *w, struct conn *c, void **exchange)
{
	struct origin *o = app;
	struct request r;
	struct verdict v;
	size_t len;

	(void)exchange; /* nothing is left for end() */
	CHECK_MAGIC(o, ORIGIN_MAGIC);
	CHECK_MAGIC(c, CONN_MAGIC);
	do {
		if (!c->in)
			c->in = buf_store_get(&w->heads);
		if (!c->in)
			return (struct verdict){.kind = VERDICT_CLOSE, .fd = -1};
		enum head_state got = read_head(w, c, &len);
		if (got != HEAD_WHOLE)
			return stop_reading(o, w, c, got);
		c->head_since = 0;
		conn_begins(c);
		COUNT(w->counters, requests);
		request_init(&r, o, w, c, len);
		serve(&r);
	} while (!conclude(&r, &v));
	return v;
}

static struct verdict origin_end(void *app, struct worker *w, void *exchange)
{
	(void)app;
	(void)w;
	(void)exchange;
	MUST(false); /* begin never says VERDICT_WAIT */
	return (struct verdict){.kind = VERDICT_CLOSE, .fd = -1};
}

static bool origin_worker_start(void *app, struct worker *w)
{
	struct origin *o = app;

	CHECK_MAGIC(o, ORIGIN_MAGIC);
	MUST(w->id < o->worker_count);
	w->local = &o->workers[w->id];
	return true;
}

static void origin_worker_stop(void *app, struct worker *w)
{
	(void)app;
	w->local = NULL;
}

static size_t origin_refuse(
        void *app, struct log_ring *log, const struct conn *c, enum refusal why, char *out, size_t cap)
{
	char date[HTTP_DATE_LEN + 1];
	struct http_reply reply = refusal_reply(why);

	(void)app;
	(void)log;
	(void)c;
	reply.extra = STR(ANSWER_SERVER);
	http_date_format(time(NULL), date);
	reply.date = (struct str){date, HTTP_DATE_LEN};
	return http_reply_write(&reply, out, cap);
}

struct service origin_service(struct origin *o)
{
	return (struct service){.app = o,
	        .worker_start = origin_worker_start,
	        .worker_stop = origin_worker_stop,
	        .begin = origin_begin,
	        .end = origin_end,
	        .refuse = origin_refuse};
}
