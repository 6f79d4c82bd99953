#include "lb/admit.h"

#include "base/clock.h"
#include "lb/balancer.h"
#include "net/sock.h"

#define LONG_WAIT_NS CLOCK_NS_PER_MS

/*
 * A look at the socket costs a system call, so only those are looked at that have waited for a while: in the queue, or on the shelf of a
 * server that was full.
 */
static bool is_there(struct exchange *x, int64_t wait)
{
	if (wait < LONG_WAIT_NS)
		return true;
	enum sock_peer peer = sock_peer(x->conn->fd);
	if (peer == SOCK_PEER_THERE || (peer == SOCK_PEER_ENDED && !x->lb->config->abort_on_close))
		return true;
	COUNT(x->worker->counters, client_left_queued);
	x->end = END_CLIENT_LEFT_QUEUED;
	return false;
}

/* The key of the client's bucket: a field's value, which holds no NUL, or a struct addr_ip, which always does. */
static struct str rate_key(const struct exchange *x, const struct addr_ip *site)
{
	struct str name = x->listener->rate_header;

	for (unsigned i = 0; name.len > 0 && i < x->request.count; i++)
		if (str_eq_nocase(x->request.fields[i].name, name))
			return x->request.fields[i].value;
	return (struct str){(const char *)site, sizeof(*site)};
}

static bool is_within_rate(struct exchange *x, const struct addr_ip *site)
{
	struct str key = rate_key(x, site);
	bool evicted;
	/* Not the coarse clock: between two of its ticks more than a bucket's tokens may come. */
	int64_t wait = rate_take(x->listener->rate, key.at, key.len, clock_now(), &evicted);

	if (evicted)
		COUNT(x->worker->counters, rate_evicted);
	if (wait == 0)
		return true;
	COUNT(x->worker->counters, refused_rate);
	x->retry_after = (int)((wait + CLOCK_NS_PER_S - 1) / CLOCK_NS_PER_S); /* a year at most */
	x->end = END_RATE;
	return false;
}

bool admit(struct exchange *x)
{
	if (!is_there(x, x->conn->queue_wait))
		return false;
	if (!x->lb->clients && !x->listener->rate)
		return true;
	struct addr_ip site = addr_ip_site(&x->conn->peer);
	if (x->lb->clients && !clients_enter(x->lb->clients, &site, &x->client)) {
		COUNT(x->worker->counters, refused_client_requests);
		x->retry_after = 1;
		x->end = END_CLIENT_BUSY;
		return false;
	}
	/* Behind the other, so that a request which that one refuses takes no token. */
	return !x->listener->rate || is_within_rate(x, &site);
}

void admit_release(struct exchange *x)
{
	clients_leave(x->lb->clients, x->client);
	x->client = NULL;
}

bool admit_shelved(struct exchange *x)
{
	return is_there(x, clock_coarse() - x->shelved_at);
}

struct arrival admit_connection(void *app, const struct addr_ip *peer)
{
	struct balancer *b = app;
	struct addr_ip site = addr_ip_site(peer);
	struct arrival arrival = {.welcome = WELCOME};
	struct client *client = NULL;

	if (peer->family == 0) /* a Unix socket's: whoever may open it is one of ours */
		return arrival;
	if (!clients_enter(b->connected, &site, &client))
		arrival.welcome = clients_enter(b->unwelcome, &site, &client) ? WELCOME_NOT : WELCOME_GONE;
	arrival.client = client;
	return arrival;
}

void admit_departure(void *app, struct arrival arrival)
{
	struct balancer *b = app;

	clients_leave(arrival.welcome == WELCOME ? b->connected : b->unwelcome, arrival.client);
}
