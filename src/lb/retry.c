#include "lb/retry.h"

#include "lb/dial.h"
#include "lb/forward.h"
#include "work/pool.h"

/* A worker has few requests with servers at once, a loop all of its clients'. */
enum { WHOLE = 100, ROOM = 2 * POOL_BURST_MAX, ROOM_OF_LOOP = 1024 };

void retry_budget_init(struct retry_budget *b, const struct worker *w)
{
	b->room = WHOLE * (w->is_loop ? ROOM_OF_LOOP : ROOM);
	b->hundredths = b->room;
}

void retry_budget_deposit(struct retry_budget *b, unsigned hundredths)
{
	b->hundredths += hundredths;
	if (b->hundredths > b->room)
		b->hundredths = b->room;
}

bool retry_budget_take(struct retry_budget *b)
{
	if (b->hundredths < WHOLE)
		return false;
	b->hundredths -= WHOLE;
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
	x->answer_by = 0;
	x->stage = STAGE_HEAD;
	x->end = END_OK;
	x->status = 0;
	x->lost = false;
	x->server_keeps = false;
	x->server_reusable = false;
}

static bool send_anew(struct exchange *x)
{
	forget_answer(x);
	if (!forward_request(x, x->max_forwards) || !dial_other(x))
		return false;
	if (!exchange_send(x))
		return false;
	x->answer_by = clock_after(clock_coarse(), exchange_timeouts(x)->server);
	return true;
}

bool retry(struct exchange *x)
{
	int status = x->status;

	while (may_retry(x)) {
		if (!retry_budget_take(exchange_budget(x))) {
			COUNT(x->worker->counters, retries_denied);
			break;
		}
		COUNT(x->worker->counters, retries);
		COUNT(x->worker->counters, server_broke);
		if (send_anew(x))
			return true;
		x->end = END_SERVER_BROKE;
		x->status = status;
	}
	return false;
}
