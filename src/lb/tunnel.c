/* Opaque bytes both ways: after 101 Switching Protocols, and in tcp mode. */
#include "lb/dial.h"
#include "lb/exchange.h"
#include "wire/pump.h"

static void prepare(struct exchange *x)
{
	struct http_framing opaque = {.kind = BODY_CLOSE};
	int64_t timeout = exchange_timeouts(x)->tunnel;
	struct str prefix = x->down.prefix; /* the 101's head; empty in tcp mode */

	flow_init(&x->up, x->conn->fd, x->fd, x->in, opaque, 0);
	x->early = buf_len(x->in);
	flow_init(&x->down, x->fd, x->conn->fd, x->from_server, opaque, 0);
	x->up.more = x->up_buf; /* NULL when memory is out: then the small buffer serves on */
	x->down.prefix = prefix;
	x->up.shut = x->down.shut = true;
	x->up.pipes = x->down.pipes = x->lb->pipes;
	x->up.source_timeout = x->up.sink_timeout = timeout;
	x->down.source_timeout = x->down.sink_timeout = timeout;
}

static bool is_lost(const struct flow *f)
{
	return f->state != FLOW_OPEN && f->state != FLOW_DONE;
}

static enum exchange_end end_of(const struct exchange *x)
{
	if (x->up.state == FLOW_SOURCE_LOST || x->down.state == FLOW_SINK_LOST)
		return END_CLIENT_LEFT;
	if (x->down.state == FLOW_SOURCE_LOST || x->up.state == FLOW_SINK_LOST)
		return END_SERVER_LOST;
	if (is_lost(&x->up) || is_lost(&x->down))
		return END_TUNNEL_TIMEOUT;
	return END_OK;
}

void exchange_tunnel_begin(struct exchange *x)
{
	x->is_tunnel = true;
	x->stage = STAGE_TUNNEL;
	COUNT(x->worker->counters, tunnels);
	lb_count(x->lb, x->worker->id, x->listener->cells + LISTENER_tunnels);
	x->up_buf = buf_store_get(&x->worker->bodies);
	prepare(x);
}

void exchange_tunnel(struct exchange *x)
{
	if (x->worker->patience > 0) { /* it lives for long, as a rule */
		x->leaves = true;
		return;
	}
	exchange_doing(x, DOING_TUNNEL);
	while (!is_lost(&x->up) && !is_lost(&x->down) &&
	        (x->up.state == FLOW_OPEN || x->down.state == FLOW_OPEN))
		pump_run(x->worker->io, &x->up, &x->down, -1, (struct patience){0, 0});
	x->end = end_of(x);
	x->client_close = true;
	x->server_reusable = false;
	x->body_bytes = x->down.sent;
	tally_sent(x, x->down.sent);
}

struct verdict exchange_tunnel_tcp(struct exchange *x, int dialled)
{
	if (dialled == DIAL_SHELVED)
		return (struct verdict){.kind = VERDICT_SHELVED};
	if (dialled != DIAL_DONE) {
		x->is_tunnel = true;
		x->end = dial_refusal((enum dial_end)dialled);
		return exchange_finish(x);
	}
	exchange_tunnel_begin(x);
	return exchange_end(x);
}
