#include "lb/retry.h"

#include "lb/dial.h"
#include "lb/forward.h"
#include "lb/shelf.h"
#include "work/pool.h"

/* A worker has few requests with servers at once, a loop all of its clients'. */
enum { WHOLE = 100, ROOM = 2 * POOL_BURST_MAX, ROOM_OF_LOOP = 1024 };

void retry_budget_deposit(struct retry_budget *b, unsigned hundredths)
{
	b->spent -= hundredths < b->spent ? hundredths : b->spent;
}

bool retry_budget_take(struct retry_budget *b, const struct worker *w)
{
	unsigned room = WHOLE * (w->is_loop ? ROOM_OF_LOOP : ROOM);

	if (b->spent + WHOLE > room)
		return false;
	b->spent += WHOLE;
	return true;
}

static bool may_retry(const struct exchange *x)
{
	const struct upstream *u = x->listener->upstream;

	return x->lost && x->server && x->end == END_SERVER_BROKE &&
	       x->failed_count < (unsigned)u->config->retries &&
	       x->failed_count + 1 < u->count && /* there may be another */
	       !x->is_tunnel && x->down.sent == 0 && !x->interim_told && dial_is_repeatable(x);
}

/* Nothing of the answer that broke off is left. */
static void forget_answer(struct exchange *x)
{
	flow_close(&x->down);
	x->down = (struct flow){.buf = NULL};
	buf_clear(x->from_server);
	x->scanned = 0;
	x->interims = 0;
	x->answer_begun = false;
	x->first_byte_at = 0;
	x->answer_by = 0;
	x->stage = STAGE_HEAD;
	x->end = END_OK;
	x->status = 0;
	x->lost = false;
	x->server_keeps = false;
	x->server_reusable = false;
}

/* A loop of the pool engine's knows the client's descriptor, and must not give it away like that. */
static bool may_wait(const struct exchange *x)
{
	return !x->worker->is_loop || x->lb->config->engine == LB_ENGINE_ASYNC;
}

/* All servers are full: the request waits for one, as a new one would. */
static enum retry_end wait_for_server(struct exchange *x)
{
	if (may_wait(x) && shelf_put(x))
		return RETRY_SHELVED;
	x->end = END_SERVER_BUSY;
	x->status = 503;
	return RETRY_NONE;
}

static enum retry_end fail(struct exchange *x, int status)
{
	x->end = END_SERVER_LOST;
	x->status = status;
	return RETRY_NONE;
}

static enum retry_end send_anew(struct exchange *x, int status)
{
	forget_answer(x);
	if (!forward_request(x, x->max_forwards))
		return fail(x, status);
	switch (dial_other(x)) {
	case DIAL_DONE:
		break;
	case DIAL_BUSY:
		return wait_for_server(x);
	case DIAL_NONE:
	case DIAL_FAILED:
	case DIAL_SHELVED:
		return fail(x, status);
	}
	if (!exchange_send(x))
		return RETRY_NONE;
	x->answer_by = clock_after(clock_coarse(), exchange_timeouts(x)->server);
	return RETRY_SENT;
}

/* A kept connection was lost, and all servers that could take its place are full. */
static bool wants_server(const struct exchange *x)
{
	return x->end == END_SERVER_BUSY && !x->overdue && !x->is_tunnel && !x->answer_begun &&
	       !x->interim_told && dial_is_repeatable(x);
}

enum retry_end retry(struct exchange *x)
{
	struct counters *counters = x->worker->counters;
	size_t cells = x->listener->upstream->cells;
	int status = x->status;
	enum retry_end end = RETRY_NONE;

	if (wants_server(x)) {
		forget_answer(x);
		return forward_request(x, x->max_forwards) ? wait_for_server(x) : fail(x, 502);
	}
	while (end == RETRY_NONE && may_retry(x)) {
		if (!retry_budget_take(exchange_budget(x), x->worker)) {
			COUNT(counters, retries_denied);
			lb_count(x->lb, x->worker->id, cells + UPSTREAM_retries_denied);
			break;
		}
		COUNT(counters, retries);
		lb_count(x->lb, x->worker->id, cells + UPSTREAM_retries);
		end = send_anew(x, status);
		if (end != RETRY_NONE || x->lost) /* else it is counted at the end */
			COUNT(counters, server_lost);
	}
	return end;
}
