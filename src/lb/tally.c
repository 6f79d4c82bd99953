#include "lb/tally.h"

#include <stdio.h>

#include "base/clock.h"
#include "lb/dial.h"
#include "lb/exchange.h"
#include "lb/standing.h"

/* What the exchange says about its server. */
static void tell_standing(struct exchange *x)
{
	struct upstream *u = x->listener->upstream;
	char what[32];

	if (!x->server)
		return;
	if (x->end == END_SERVER_BROKE) {
		dial_server_failed(x, x->server, "a broken answer");
	} else if (x->end == END_SERVER_LOST) {
		dial_server_failed(x, x->server, "its connection was lost");
	} else if (x->end == END_SERVER_TIMEOUT) {
		dial_server_failed(x, x->server, "no answer within timeouts.server");
	} else if (x->end == END_OK && x->response.status >= 500 && u->config->passive.count_5xx) {
		snprintf(what, sizeof(what), "status %d", x->response.status);
		dial_server_failed(x, x->server, what);
	} else if (x->end == END_OK && standing_awaits_success(x->server, x->in_panic) &&
	           standing_succeeded(u, x->server, x->in_panic, clock_now())) {
		COUNT(x->worker->counters, server_ups);
	}
}

/* What came of a message's body, and with its head: of a chunked one that came so, its data only. */
static uint64_t body_received(const struct flow *f)
{
	return f->received > f->reader.taken ? f->received : f->reader.taken;
}

/* The cells of the worker's row. */
static _Atomic uint64_t *row_of(const struct exchange *x)
{
	return lb_row(x->lb, x->worker->id)->cells;
}

void tally_sent(const struct exchange *x, uint64_t n)
{
	counter_add(x->worker->counters, COUNTER_bytes_out, n);
	cell_add(&row_of(x)[x->listener->cells + LISTENER_sent], n);
}

void tally_shelf_left(const struct exchange *x)
{
	histogram_record(&row_of(x)[x->listener->upstream->cells + UPSTREAM_wait], x->shelf_wait);
}

/* What is left of a request's time without its waits. */
static int64_t service_time(const struct exchange *x)
{
	return x->ended_at - conn_queued_at(x->conn) - x->conn->queue_wait - x->shelf_wait;
}

static void tally_listener(
        const struct exchange *x, _Atomic uint64_t *cells, enum counter_id sort, uint64_t received)
{
	_Static_assert(COUNTER_requests_failed - COUNTER_requests_answered == 2 &&
	                       LISTENER_failed - LISTENER_answered == 2,
	        "in the same order");

	if (sort != COUNTER_COUNT)
		cell_add(&cells[LISTENER_answered + (sort - COUNTER_requests_answered)], 1);
	if (x->status >= 200 && x->status < 600)
		cell_add(&cells[LISTENER_responses_2xx + x->status / 100 - 2], 1);
	cell_add(&cells[LISTENER_received], received);
	if (x->stage == STAGE_TUNNEL)
		cell_add(&cells[LISTENER_tunnels_closed], 1);
	if (x->ended_at != 0 && sort != COUNTER_COUNT && !x->is_tunnel) {
		histogram_record(&cells[LISTENER_duration], x->ended_at - conn_queued_at(x->conn));
		histogram_record(&cells[LISTENER_queue_wait], x->conn->queue_wait);
		histogram_record(&cells[LISTENER_service], service_time(x));
	}
}

static void tally_upstream(const struct exchange *x, _Atomic uint64_t *cells)
{
	if (x->end == END_NO_SERVER)
		cell_add(&cells[UPSTREAM_no_server], 1);
	else if (x->end == END_CONNECT_FAILED)
		cell_add(&cells[UPSTREAM_connect_failed], 1);
	else if (x->end == END_SERVER_BUSY)
		cell_add(&cells[UPSTREAM_server_busy], 1);
}

static void tally_server(const struct exchange *x, _Atomic uint64_t *cells, uint64_t sent)
{
	int status = x->response.status;

	if (status >= 200 && status < 600)
		cell_add(&cells[SERVER_responses_2xx + status / 100 - 2], 1);
	cell_add(&cells[SERVER_sent], sent);
	cell_add(&cells[SERVER_received], x->response.size + body_received(&x->down));
	if (x->first_byte_at != 0)
		histogram_record(&cells[SERVER_response], x->first_byte_at - x->asked_at);
}

/* Of a tunnel it would tell how long that lived. */
static void tally_service(const struct exchange *x)
{
	if (x->ended_at != 0 && !x->is_tunnel)
		histogram_record(x->worker->counters->service, service_time(x));
}

void tally_end(struct exchange *x)
{
	static const enum counter_id classes[] = {
	        COUNTER_responses_2xx, COUNTER_responses_3xx, COUNTER_responses_4xx, COUNTER_responses_5xx};
	struct counters *c = x->worker->counters;
	/* Every request is counted in one of three. */
	enum counter_id sort = x->listener->mode == LB_MODE_HTTP ? end_kinds[x->end].sort : COUNTER_COUNT;
	uint64_t received = exchange_bytes_in(x);

	if (x->timed)
		x->ended_at = clock_now();
	if (x->status >= 200 && x->status < 600)
		counter_add(c, classes[x->status / 100 - 2], 1);
	if (end_kinds[x->end].counter != COUNTER_COUNT)
		counter_add(c, end_kinds[x->end].counter, 1);
	if (sort != COUNTER_COUNT)
		counter_add(c, sort, 1);
	if (x->stage == STAGE_TUNNEL)
		COUNT(c, tunnels_closed);
	counter_add(c, COUNTER_bytes_in, received);
	_Atomic uint64_t *row = row_of(x);
	tally_listener(x, row + x->listener->cells, sort, received);
	if (x->end != END_OK)
		tally_upstream(x, row + x->listener->upstream->cells);
	if (x->server)
		tally_server(x, row + x->server->cells, received);
	tally_service(x);
	tell_standing(x);
	if (x->end != END_OK && x->status >= 500 &&
	        atomic_load_explicit(&x->lb->retired, memory_order_relaxed))
		atomic_fetch_add_explicit(&x->lb->late_failures, 1, memory_order_relaxed);
}
