#include "lb/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "lb/health.h"
#include "lb/pick.h"
#include "lb/retry.h"
#include "lb/shelf.h"
#include "lb/standing.h"
#include "net/proxy_header.h"

/* A request that must not be sent twice goes only where the server hardly had time to close (RFC 9110 section 9.2.2). */
#define UNSAFE_IDLE_NS CLOCK_NS_PER_S

bool dial_is_repeatable(const struct exchange *x)
{
	return !x->has_body && http_method_is_idempotent(x->request.method);
}

bool dial_may_repeat(const struct exchange *x)
{
	return x->reused && !x->answer_begun && dial_is_repeatable(x);
}

static void count(const struct exchange *x, const struct server *s, enum server_cell cell)
{
	lb_count(x->lb, x->worker->id, s->cells + cell);
}

static bool take_idle(struct exchange *x, struct server *s)
{
	unsigned stale;
	int64_t max_idle = dial_is_repeatable(x) ? CLOCK_NEVER : UNSAFE_IDLE_NS;

	if (x->listener->mode != LB_MODE_HTTP)
		return false;
	x->generation = server_generation(s);
	x->fd = idle_take(
	        lb_idle(x->lb, x->worker, s), x->worker->io, clock_coarse(), max_idle, x->generation, &stale);
	counter_add(x->worker->counters, COUNTER_server_stale, stale);
	return x->fd >= 0;
}

/* What this machine lacks is not the server's fault. */
static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
	       error == EADDRNOTAVAIL;
}

static const char *remedy(int error)
{
	if (error == EMFILE)
		return ": raise the limit (ulimit -n), or lower limits.connections";
	if (error == EADDRNOTAVAIL)
		return ": no local port is free, see net.ipv4.ip_local_port_range";
	return "";
}

/* Once a second for each server: a dead one fails as often as it is asked. All failures are counted. */
static void warn(const struct exchange *x, struct server *s, int error)
{
	int64_t now = clock_coarse();
	int64_t at = atomic_load_explicit(&s->warn_at, memory_order_relaxed);

	if (now < at || !atomic_compare_exchange_strong_explicit(&s->warn_at, &at, now + CLOCK_NS_PER_S,
	                        memory_order_relaxed, memory_order_relaxed))
		return;
	diag_warning("server %s of %s: cannot connect: %s%s", s->text, x->listener->upstream->name,
	        strerror(error), remedy(error));
}

void dial_server_failed(struct exchange *x, struct server *s, const char *what)
{
	count(x, s, SERVER_failures);
	if (x->generation != server_generation(s)) /* it was its old address */
		return;
	if (!standing_failed(x->listener->upstream, s, what, clock_now()))
		return;
	COUNT(x->worker->counters, server_downs);
	health_wake(x->lb->health);
}

/* Where the client connected to: as its PROXY header says, or its socket. */
static struct addr target_of(const struct conn *c)
{
	struct addr own = {.len = sizeof(own.u)};

	if (c->target.family != 0)
		return addr_of_ip(&c->target);
	if (getsockname(c->fd, &own.u.any, &own.len) != 0)
		own.len = 0;
	if (own.len == 0 || own.u.any.sa_family == AF_UNIX)
		return own;
	struct addr_ip ip = addr_ip_of(&own); /* IPv4 in IPv6 is IPv4 again, as the client's is */
	return addr_of_ip(&ip);
}

/* Tells the server whose connection this is, before anything else. 0 or -errno. */
static int introduce(const struct exchange *x, const struct server *s, int fd)
{
	char header[PROXY_HEADER_WRITE_MAX];

	if (s->from->send_proxy == LB_SEND_PROXY_OFF)
		return 0;
	struct addr client = addr_of_ip(&x->conn->peer), target = target_of(x->conn);
	size_t len = proxy_header_write((unsigned)s->from->send_proxy, &client, &target, header);
	return io_send_str(x->worker->io, fd, (struct str){header, len}, exchange_timeouts(x)->connect);
}

static bool connect_to(struct exchange *x, struct server *s)
{
	int64_t began = clock_now(), deadline = clock_after(began, exchange_timeouts(x)->connect);
	struct addr addr;

	board_step_at(x->worker->row, DOING_CONNECT, s->label, x->conn->fd, began);
	conn_does(x->conn, board_word(DOING_CONNECT, s->label, -1));
	if (!server_address(s, &addr, &x->generation)) /* its slot was emptied since it was picked */
		return false;
	int fd = io_connect(x->worker->io, &addr, deadline);
	int sent = fd >= 0 ? introduce(x, s, fd) : 0;
	int64_t took = x->timed ? clock_now() - began : 0;
	x->connect_time += took;

	if (sent != 0) {
		io_close(x->worker->io, fd);
		fd = sent;
	}
	if (fd >= 0) {
		x->fd = fd;
		COUNT(x->worker->counters, server_connects);
		count(x, s, SERVER_connects);
		if (x->timed)
			histogram_record(
			        &lb_row(x->lb, x->worker->id)->cells[s->cells + SERVER_connect], took);
		return true;
	}
	COUNT(x->worker->counters, server_connect_failed);
	count(x, s, SERVER_connect_failures);
	if (s->most > 0)
		atomic_store_explicit(&s->refused_at, clock_coarse(), memory_order_relaxed);
	warn(x, s, -fd);
	if (!is_ours(-fd)) {
		char what[80];

		snprintf(what, sizeof(what), "connect: %s", strerror(-fd));
		dial_server_failed(x, s, what);
	}
	return false;
}

static void log_choice(const struct exchange *x)
{
	char client[ADDR_TEXT_MAX];

	addr_ip_format(&x->conn->peer, client);
	diag_debug("%s: client %s port %u -> server %s of %s%s", x->listener->name, client,
	        ntohs(x->conn->peer.port), x->server->text, x->listener->upstream->name,
	        x->reused ? " (kept)" : "");
}

/* The server has this request no more. */
static void let_go(struct exchange *x)
{
	if (x->counted && x->server->most > 0)
		shelf_end_lease(x->lb, x->listener->upstream, x->server);
	else if (x->counted)
		atomic_fetch_sub_explicit(&x->server->load->active, 1, memory_order_relaxed);
	x->counted = false;
}

/* False: it has what it may have. */
static bool hold(struct exchange *x, struct server *s)
{
	if (s->most > 0 && !shelf_lease(s)) {
		x->sticky_busy |= s == x->sticky;
		return false;
	}
	x->server = s;
	x->counted = x->listener->upstream->counts || s->most > 0;
	if (x->counted && s->most == 0)
		atomic_fetch_add_explicit(&s->load->active, 1, memory_order_relaxed);
	return true;
}

/* Connects to x->server, which the exchange holds. */
static bool reach(struct exchange *x)
{
	struct server *s = x->server;

	x->reused = take_idle(x, s);
	if (!x->reused && !connect_to(x, s)) {
		let_go(x);
		return false;
	}
	if (x->timed)
		x->asked_at = clock_now();
	if (x->reused) {
		COUNT(x->worker->counters, server_reuses);
		count(x, s, SERVER_reuses);
	}
	count(x, s, SERVER_requests);
	if (diag_enabled(DIAG_DEBUG))
		log_choice(x);
	return true;
}

/* refused: could not be reached just now; NULL: nobody was asked yet. */
static enum dial_end dial_but(struct exchange *x, const struct server *refused)
{
	struct upstream *u = x->listener->upstream;
	unsigned i;
	bool busy = false, failed = refused != NULL;
	struct pick_request request = {.client = &x->conn->peer,
	        .head = x->listener->mode == LB_MODE_HTTP ? &x->request : NULL,
	        .wanted = x->sticky};

	let_go(x);
	if (refused)
		server_set_add(&request.tried, (unsigned)(refused - u->servers));
	for (unsigned k = 0; k < x->failed_count; k++)
		server_set_add(&request.tried, (unsigned)(x->failed[k] - u->servers));
	while ((i = pick_server(u, &request)) < u->count) {
		if (busy && (i >= u->primaries || request.in_panic))
			break; /* those who are asked last are for when the others are down, not busy */
		x->in_panic = request.in_panic;
		if (!hold(x, &u->servers[i])) /* before the connect: others pick meanwhile */
			busy = true;
		else if (reach(x))
			return DIAL_DONE;
		else
			failed = true;
	}
	x->server = NULL;
	if (busy)
		return DIAL_BUSY;
	return failed ? DIAL_FAILED : DIAL_NONE;
}

static enum dial_end or_wait(struct exchange *x, enum dial_end end)
{
	if (end != DIAL_BUSY)
		return end;
	return shelf_put(x) ? DIAL_SHELVED : DIAL_BUSY;
}

enum dial_end dial(struct exchange *x)
{
	const struct upstream *u = x->listener->upstream;

	exchange_doing(x, DOING_PICK);
	lb_count(x->lb, x->worker->id, u->cells + UPSTREAM_requests);
	retry_budget_deposit(exchange_budget(x), (unsigned)u->config->retry_budget);
	return or_wait(x, dial_but(x, NULL));
}

enum dial_end dial_shelved(struct exchange *x)
{
	const struct server *s = x->server;

	return reach(x) ? DIAL_DONE : or_wait(x, dial_but(x, s));
}

enum dial_end dial_other(struct exchange *x)
{
	struct server *failed = x->server;

	dial_server_failed(x, failed, "its connection was lost before the answer");
	x->failed[x->failed_count++] = failed;
	x->server_reusable = false;
	dial_release(x);
	return dial_but(x, NULL);
}

bool dial_again(struct exchange *x)
{
	io_close(x->worker->io, x->fd);
	x->fd = -1;
	x->reused = false;
	COUNT(x->worker->counters, server_stale);
	if (connect_to(x, x->server))
		return true;
	enum dial_end end = dial_but(x, x->server);
	if (end == DIAL_DONE)
		return true;
	x->end = dial_refusal(end);
	x->status = 503;
	return false;
}

static void put_away(struct exchange *x)
{
	struct idle_set *idle = lb_idle(x->lb, x->worker, x->server);
	if (x->server_reusable && idle->shared && x->worker->is_loop)
		io_close(x->worker->io,
		        x->fd); /* it stalled on a thread; and the loop may have seen of it what threads can't */
	else if (x->server_reusable && x->generation == server_generation(x->server) &&
	         !atomic_load_explicit(&x->lb->retired, memory_order_acquire))
		idle_keep(idle, x->worker->io, x->fd, x->generation, clock_coarse());
	else if (x->is_tunnel && x->end != END_OK)
		io_reset(x->worker->io, x->fd); /* half an upload must not look like a whole one */
	else
		io_close(x->worker->io, x->fd);
	x->fd = -1;
}

/* The connection goes back or closes before another request may have its place. */
void dial_release(struct exchange *x)
{
	if (x->fd >= 0)
		put_away(x);
	let_go(x);
}
