#include "lb/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "lb/access.h"
#include "lb/admit.h"
#include "lb/dial.h"
#include "lb/log_format.h"
#include "lb/retry.h"
#include "lb/tally.h"

/* Free exchanges that a worker keeps: as many as a burst and the one it works on; or as a loop often has at once. */
enum { STORE_KEEP = 32, STORE_KEEP_LOOP = 512 };

/* A worker's store of exchanges; worker.local. */
struct exchange_store {
	struct exchange *free;
	unsigned count;
	struct request_ids ids;
};

static struct exchange *allocate(unsigned fields)
{
	struct exchange *x = malloc(sizeof(*x) + 2 * (size_t)fields * sizeof(struct http_field));

	if (!x)
		return NULL;
	x->request_fields = (struct http_field *)(x + 1);
	x->response_fields = x->request_fields + fields;
	x->fields_room = fields;
	return x;
}

/* One that has room for so many fields; NULL when memory is out. */
static struct exchange *take(struct exchange_store *store, unsigned fields)
{
	struct exchange *x = store->free;

	if (!x)
		return allocate(fields);
	store->free = x->next;
	store->count--;
	if (x->fields_room >= fields)
		return x;
	free(x); /* limits.headers was raised since */
	return allocate(fields);
}

struct exchange *exchange_new(const struct lb_listener *listener, struct worker *w, struct conn *c)
{
	struct lb *lb = listener->lb;
	unsigned fields = (unsigned)lb->config->limits.headers;
	struct exchange *x = take(w->local, fields);

	if (!x) {
		lb_end_use(lb, w->id);
		return NULL;
	}
	*x = (struct exchange){.magic = EXCHANGE_MAGIC,
	        .lb = lb,
	        .conn = c,
	        .listener = listener,
	        .worker = w,
	        .fd = -1,
	        .fields_room = x->fields_room,
	        .request_fields = x->request_fields,
	        .response_fields = x->response_fields};
	x->request = (struct http_head){.room = fields, .fields = x->request_fields};
	x->response = (struct http_head){.room = fields, .fields = x->response_fields};
	x->in = c->in;
	c->in = NULL;
	x->out = buf_store_get(&w->bodies);
	x->from_server = buf_store_get(&w->bodies);
	if (!x->in)
		x->in = buf_store_get(&w->heads);
	x->timed = lb->measures || (w->log && lb->format->timed);
	if (conn_queued_at(c) == 0 && x->timed)
		conn_queued(c, clock_now());
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
	admit_release(x);
	flow_close(&x->up);
	flow_close(&x->down);
	buf_store_put(&w->heads, x->in);
	buf_store_put(&w->bodies, x->out);
	buf_store_put(&w->bodies, x->from_server);
	buf_store_put(&w->bodies, x->up_buf);
	x->magic = 0;
	lb_end_use(x->lb, w->id); /* last of what looks at it */
	/* Exchanges move between workers: one must not hoard what others make. */
	if (store->count >= (w->is_loop ? STORE_KEEP_LOOP : STORE_KEEP)) {
		free(x);
		return;
	}
	x->next = store->free;
	store->free = x;
	store->count++;
}

bool exchange_store_init(struct worker *w)
{
	w->local = calloc(1, sizeof(struct exchange_store));
	return w->local != NULL;
}

struct request_ids *exchange_ids(const struct worker *w)
{
	struct exchange_store *store = w->local;

	return &store->ids;
}

struct retry_budget *exchange_budget(const struct exchange *x)
{
	return lb_budget(x->lb, x->worker->id, x->listener->upstream);
}

uint64_t exchange_bytes_in(const struct exchange *x)
{
	uint64_t body = x->up.buf ? x->early + x->up.received : 0;

	if (x->up.buf && x->up.state == FLOW_DONE) /* what is behind it is the next request's */
		body -= buf_len(x->up.buf);
	return x->request.size + body;
}

bool exchange_is_last(const struct exchange *x)
{
	return lb_is_draining(x->lb) || listener_is_leaving(x->conn->listener);
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

/* exchange_finish */

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
	return x->down.sent > 0 && x->request.minor == 0 &&
	       (x->down.reader.kind == BODY_CHUNKED || x->down.reader.kind == BODY_CLOSE);
}

static struct verdict verdict_of(struct exchange *x)
{
	struct conn *c = x->conn;

	if (x->up.received > 0) /* a body is read to its end and no further */
		c->unread = true;
	if (x->is_tunnel) /* a side that did not end well must not look to the other as if it had */
		return (struct verdict){
		        .kind = x->server && x->end != END_OK ? VERDICT_RESET : VERDICT_CLOSE};
	if (end_is_leave(x->end))
		return (struct verdict){.kind = VERDICT_CLOSE};
	/* It does not read: what the kernel holds of the answer would stay there for as long as the client likes. */
	if (x->down.state == FLOW_SINK_STUCK || x->down.state == FLOW_SINK_SLOW)
		return (struct verdict){.kind = VERDICT_RESET};
	if (x->end != END_OK && looks_whole(x))
		return (struct verdict){.kind = VERDICT_RESET};
	if (!exchange_request_is_over(x) || (x->end != END_OK && x->down.sent > 0))
		return (struct verdict){.kind = VERDICT_LINGER};
	if (x->client_close)
		return (struct verdict){.kind = has_unread_input(x) ? VERDICT_LINGER : VERDICT_CLOSE};
	c->scanned = 0;
	c->led = false;
	if (buf_len(x->in) > 0) {
		c->in = x->in;
		x->in = NULL;
		c->head_since = clock_now();
		return (struct verdict){.kind = VERDICT_AGAIN};
	}
	c->head_since = 0;
	return (struct verdict){
	        VERDICT_PARK, -1, clock_after(clock_coarse(), exchange_timeouts(x)->keepalive)};
}

struct verdict exchange_finish(struct exchange *x)
{
	CHECK_MAGIC(x, EXCHANGE_MAGIC);
	if (x->end == END_SERVER_BROKE && x->lost)
		x->end = END_SERVER_LOST;
	exchange_doing(x, DOING_FINISH);
	admit_release(x); /* first: the client has its answer and may come back by another connection */
	tally_end(x);
	access_log(x);
	keep_surplus(x);
	struct verdict v = verdict_of(x);
	exchange_free(x);
	return v;
}
