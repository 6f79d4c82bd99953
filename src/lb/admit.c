#include "lb/admit.h"

#include "base/clock.h"
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
	x->end = END_CLIENT_LEFT;
	return false;
}

bool admit(struct exchange *x)
{
	return is_there(x, x->conn->queue_wait);
}

bool admit_shelved(struct exchange *x)
{
	return is_there(x, clock_coarse() - x->shelved_at);
}
