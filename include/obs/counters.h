/*
 * Counters: one row a counter, from which the struct, its names and its help come. Each worker has its own set
 * and is its only writer; readers add the sets up. No cache line is shared on the path of a request.
 */
#ifndef TPLB_OBS_COUNTERS_H
#define TPLB_OBS_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "obs/waits.h"

#define COUNTERS(ROW)                                                                                        \
	ROW(connections_accepted, "client connections accepted")                                             \
	ROW(connections_closed, "client connections closed")                                                 \
	ROW(accept_aborted, "connections that were gone before they could be accepted")                      \
	ROW(accept_no_descriptors, "accepts put off for want of descriptors (EMFILE, ENFILE)")               \
	ROW(accept_no_memory, "accepts put off for want of memory (ENOBUFS, ENOMEM)")                        \
	ROW(accept_failed, "accepts that failed otherwise")                                                  \
	ROW(connections_evicted, "parked connections closed to make room under limits.connections")          \
	ROW(connections_expired, "parked connections closed after timeouts.keepalive")                       \
	ROW(refused_limit, "connections refused at limits.connections")                                      \
	ROW(refused_queue_full, "connections refused because the queue was full")                            \
	ROW(refused_queue_timeout, "connections refused after queue.timeout")                                \
	ROW(refused_shed, "connections shed by queue.discipline: they waited while the queue stood")         \
	ROW(refused_draining, "connections that still were in the queue when timeouts.drain was over")       \
	ROW(refused_header_timeout, "requests whose head did not come within timeouts.request_header")       \
	ROW(proxy_headers, "PROXY protocol headers read")                                                    \
	ROW(proxy_header_bad,                                                                                \
	        "connections closed because their PROXY protocol header was malformed or missing")           \
	ROW(refused_rate, "requests, or connections in tcp mode, refused over their listener's rate")        \
	ROW(refused_client_requests, "likewise at limits.requests_per_client")                               \
	ROW(refused_client_connections, "connections refused at limits.connections_per_client")              \
	ROW(rate_evicted, "clients forgotten by a full table of a rate before their time")                   \
	ROW(dispatched, "connections given to a worker or fiber to begin a request")                         \
	ROW(bursts, "times that a worker of the pool took connections off the queue")                        \
	ROW(busy_ns, "time that workers of the pool had connections in hand, in nanoseconds")                \
	ROW(requests, "requests whose head was read, or that were refused before that")                      \
	/* Each of them is counted once in one of these three when it is over. */                            \
	ROW(requests_answered, "requests that were answered to the end, and upgrades that ended well")       \
	ROW(requests_refused, "requests refused: malformed, over a limit, or there was no server for them")  \
	ROW(requests_failed, "requests that ended otherwise: their client or their server broke off")        \
	ROW(requests_malformed, "requests refused as malformed or over a limit")                             \
	ROW(responses_1xx, "interim responses passed on")                                                    \
	ROW(responses_2xx, "responses with status 2xx")                                                      \
	ROW(responses_3xx, "responses with status 3xx")                                                      \
	ROW(responses_4xx, "responses with status 4xx")                                                      \
	ROW(responses_5xx, "responses with status 5xx")                                                      \
	ROW(handed_off, "bodies and tunnels that left their worker for a loop, so as not to hold it")        \
	ROW(passed_on, "accepted connections given to a loop with fewer")                                    \
	ROW(fibers_short, "requests that waited because all fibers were busy")                               \
	ROW(ring_full, "times that io_uring's submission ring was full and handed in early")                 \
	ROW(ring_buffers_short, "receives that found no buffer in io_uring's ring")                          \
	ROW(tunnels, "tunnels opened (upgrades and tcp mode)")                                               \
	ROW(client_left, "exchanges cut short because the client left")                                      \
	ROW(client_left_queued, "of these, requests dropped after a wait, before any server was asked")      \
	ROW(client_timeout, "exchanges cut short because the client was silent or did not read")             \
	ROW(tunnel_timeout, "tunnels cut after timeouts.tunnel without a byte")                              \
	ROW(client_slow, "exchanges cut short at limits.min_body_rate or min_answer_rate")                   \
	ROW(server_connects, "connections opened to servers")                                                \
	ROW(server_reuses, "requests sent on a kept connection to a server")                                 \
	ROW(server_stale, "kept server connections found closed and replaced")                               \
	ROW(server_connect_failed, "failed connects to servers")                                             \
	ROW(server_broke, "server answers that broke the protocol")                                          \
	ROW(server_lost, "server connections that ended before the answer or amid it")                       \
	ROW(server_timeout, "server answers that did not come in time")                                      \
	ROW(retries, "requests sent to another server after one had lost them")                              \
	ROW(retries_denied, "retries that retry_budget did not allow")                                       \
	ROW(server_downs, "times that a server went down")                                                   \
	ROW(server_ups, "times that a server came up again")                                                 \
	ROW(probes, "health probes made")                                                                    \
	ROW(probes_failed, "health probes that failed")                                                      \
	ROW(shelved, "requests that waited for a server below its max_connections")                          \
	ROW(server_busy, "requests refused because all servers stayed at their max_connections")             \
	ROW(no_server, "requests for which there was no server to ask")                                      \
	ROW(connect_failed, "requests for which no server could be connected to")                            \
	ROW(no_memory, "requests refused for want of memory")                                                \
	ROW(resolved, "lookups of servers' names that found something")                                      \
	ROW(resolve_failed, "lookups of servers' names that failed; the last good addresses stay")           \
	ROW(address_changes, "addresses of servers that changed, came or went by a lookup")                  \
	ROW(bytes_in, "bytes received from clients")                                                         \
	ROW(bytes_out, "bytes sent to clients")                                                              \
	ROW(workers_stuck, "times that a worker, loop or acceptor was stuck for timeouts.stuck")             \
	ROW(log_lost, "log lines lost: the log could not keep up, or could not be written")

enum counter_id {
#define COUNTER_ID(name, help) COUNTER_##name,
	COUNTERS(COUNTER_ID)
#undef COUNTER_ID
	        COUNTER_COUNT
};

/* 64: a cache line, so that two workers' sets never share one. Allocate with counters_new. */
struct counters {
	_Alignas(64) _Atomic uint64_t value[COUNTER_COUNT]; /* relaxed; one writer */
	struct waits waits;                                 /* of those dispatched, in the queue */
};

/* n sets in one array, zeroed; one that is never written takes no memory. NULL when memory is out. Freed with the same n. */
struct counters *counters_new(unsigned n);
void counters_free(struct counters *sets, unsigned n);

/* By the owner of the set only. */
static inline void counter_add(struct counters *c, enum counter_id id, uint64_t n)
{
	uint64_t now = atomic_load_explicit(&c->value[id], memory_order_relaxed);

	atomic_store_explicit(&c->value[id], now + n, memory_order_relaxed);
}
#define COUNT(set, name) counter_add((set), COUNTER_##name, 1)

const char *counter_name(enum counter_id id);
const char *counter_help(enum counter_id id);

/* The waits of all of sets[0, n) together. Any thread. */
struct waits_total counters_waits(const struct counters *sets, unsigned n);

/* The sum of one counter over sets[0, n). Any thread. */
uint64_t counters_sum(const struct counters *sets, unsigned n, enum counter_id id);

#endif
