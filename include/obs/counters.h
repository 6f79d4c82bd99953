/*
 * Counters: one row a counter, from which the struct, its names, its metric and its help come. Each worker has its own set
 * and is its only writer; readers add the sets up. No cache line is shared on the path of a request.
 *
 * A row: its name, its metric and its label there (see counter_metric; several counters may be one metric with different labels), its help.
 */
#ifndef TPLB_OBS_COUNTERS_H
#define TPLB_OBS_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "obs/histogram.h"
#include "obs/waits.h"

#define COUNTERS(ROW)                                                                                        \
	ROW(connections_accepted, "connections_accepted", "", "client connections accepted")                 \
	ROW(connections_closed, "connections_closed", "", "client connections closed")                       \
	ROW(accept_aborted, "accept_failures", "reason=\"aborted\"",                                         \
	        "connections that were gone before they could be accepted")                                  \
	ROW(accept_no_descriptors, "accept_failures", "reason=\"no_descriptors\"",                           \
	        "accepts put off for want of descriptors (EMFILE, ENFILE)")                                  \
	ROW(accept_no_memory, "accept_failures", "reason=\"no_memory\"",                                     \
	        "accepts put off for want of memory (ENOBUFS, ENOMEM)")                                      \
	ROW(accept_failed, "accept_failures", "reason=\"other\"", "accepts that failed otherwise")           \
	ROW(connections_evicted, "parked_closed", "reason=\"evicted\"",                                      \
	        "parked connections closed to make room under limits.connections")                           \
	ROW(connections_expired, "parked_closed", "reason=\"expired\"",                                      \
	        "parked connections closed after timeouts.keepalive")                                        \
	ROW(refused_limit, "refusals", "reason=\"limit\"", "connections refused at limits.connections")      \
	ROW(refused_queue_full, "refusals", "reason=\"queue_full\"",                                         \
	        "connections refused because the queue was full")                                            \
	ROW(refused_queue_timeout, "refusals", "reason=\"queue_timeout\"",                                   \
	        "connections refused after queue.timeout")                                                   \
	ROW(refused_shed, "refusals", "reason=\"shed\"",                                                     \
	        "connections shed by queue.discipline: they waited while the queue stood")                   \
	ROW(refused_draining, "refusals", "reason=\"draining\"",                                             \
	        "connections that still were in the queue when timeouts.drain was over")                     \
	ROW(refused_header_timeout, "refusals", "reason=\"header_timeout\"",                                 \
	        "requests whose head did not come within timeouts.request_header")                           \
	ROW(proxy_headers, "proxy_headers", "", "PROXY protocol headers read")                               \
	ROW(proxy_header_bad, "refusals", "reason=\"proxy_header\"",                                         \
	        "connections closed because their PROXY protocol header was malformed or missing")           \
	ROW(refused_rate, "refusals", "reason=\"rate\"",                                                     \
	        "requests, or connections in tcp mode, refused over their listener's rate")                  \
	ROW(refused_client_requests, "refusals", "reason=\"client_requests\"",                               \
	        "likewise at limits.requests_per_client")                                                    \
	ROW(refused_client_connections, "refusals", "reason=\"client_connections\"",                         \
	        "connections refused at limits.connections_per_client")                                      \
	ROW(rate_evicted, "rate_evictions", "",                                                              \
	        "clients forgotten by a full table of a rate before their time")                             \
	ROW(dispatched, "dispatched", "", "connections given to a worker or fiber to begin a request")       \
	ROW(bursts, "bursts", "", "times that a worker of the pool took connections off the queue")          \
	ROW(busy_ns, "workers_busy_seconds", "", "time that workers of the pool had connections in hand")    \
	ROW(requests, "requests", "", "requests whose head was read, or that were refused before that")      \
	/* Each of them is counted once in one of these three when it is over. */                            \
	ROW(requests_answered, "requests_ended", "outcome=\"answered\"",                                     \
	        "requests that were answered to the end, and upgrades that ended well")                      \
	ROW(requests_refused, "requests_ended", "outcome=\"refused\"",                                       \
	        "requests refused: malformed, over a limit, or there was no server for them")                \
	ROW(requests_failed, "requests_ended", "outcome=\"failed\"",                                         \
	        "requests that ended otherwise: their client or their server broke off")                     \
	ROW(requests_malformed, "refusals", "reason=\"malformed\"",                                          \
	        "requests refused as malformed or over a limit")                                             \
	ROW(responses_1xx, "responses", "code=\"1xx\"", "interim responses passed on")                       \
	ROW(responses_2xx, "responses", "code=\"2xx\"", "responses with status 2xx")                         \
	ROW(responses_3xx, "responses", "code=\"3xx\"", "responses with status 3xx")                         \
	ROW(responses_4xx, "responses", "code=\"4xx\"", "responses with status 4xx")                         \
	ROW(responses_5xx, "responses", "code=\"5xx\"", "responses with status 5xx")                         \
	ROW(handed_off, "handed_off", "",                                                                    \
	        "bodies and tunnels that left their worker for a loop, so as not to hold it")                \
	ROW(passed_on, "connections_passed_on", "", "accepted connections given to a loop with fewer")       \
	ROW(fibers_short, "fibers_short", "", "requests that waited because all fibers were busy")           \
	ROW(ring_full, "ring_full", "",                                                                      \
	        "times that io_uring's submission ring was full and handed in early")                        \
	ROW(ring_buffers_short, "ring_buffers_short", "",                                                    \
	        "receives that found no buffer in io_uring's ring")                                          \
	ROW(tunnels, "tunnels_opened", "", "tunnels opened (upgrades and tcp mode)")                         \
	ROW(tunnels_closed, "tunnels_closed", "", "tunnels that ended")                                      \
	ROW(client_left, "failures", "reason=\"client_left\"",                                               \
	        "exchanges cut short because the client left")                                               \
	ROW(client_left_queued, "client_left_queued", "",                                                    \
	        "of these, requests dropped after a wait, before any server was asked")                      \
	ROW(client_timeout, "failures", "reason=\"client_timeout\"",                                         \
	        "exchanges cut short because the client was silent or did not read")                         \
	ROW(tunnel_timeout, "failures", "reason=\"tunnel_timeout\"",                                         \
	        "tunnels cut after timeouts.tunnel without a byte")                                          \
	ROW(client_slow, "failures", "reason=\"client_slow\"",                                               \
	        "exchanges cut short at limits.min_body_rate or min_answer_rate")                            \
	ROW(server_connects, "connects", "result=\"connected\"", "connections opened to servers")            \
	ROW(server_reuses, "connections_reused", "", "requests sent on a kept connection to a server")       \
	ROW(server_stale, "connections_stale", "", "kept server connections found closed and replaced")      \
	ROW(server_connect_failed, "connects", "result=\"failed\"", "failed connects to servers")            \
	ROW(server_broke, "failures", "reason=\"server_broke\"", "server answers that broke the protocol")   \
	ROW(server_lost, "failures", "reason=\"server_lost\"",                                               \
	        "server connections that ended before the answer or amid it")                                \
	ROW(server_timeout, "failures", "reason=\"server_timeout\"",                                         \
	        "server answers that did not come in time")                                                  \
	ROW(retries, "retries", "", "requests sent to another server after one had lost them")               \
	ROW(retries_denied, "retries_denied", "", "retries that retry_budget did not allow")                 \
	ROW(server_downs, "state_changes", "to=\"down\"", "times that a server went down")                   \
	ROW(server_ups, "state_changes", "to=\"up\"", "times that a server came up again")                   \
	ROW(probes, "probes", "", "health probes made")                                                      \
	ROW(probes_failed, "probes_failed", "", "health probes that failed")                                 \
	ROW(shelved, "shelved", "", "requests that waited for a server below its max_connections")           \
	ROW(server_busy, "refusals", "reason=\"server_busy\"",                                               \
	        "requests refused because all servers stayed at their max_connections")                      \
	ROW(no_server, "refusals", "reason=\"no_server\"", "requests for which there was no server to ask")  \
	ROW(connect_failed, "refusals", "reason=\"connect_failed\"",                                         \
	        "requests for which no server could be connected to")                                        \
	ROW(no_memory, "refusals", "reason=\"no_memory\"", "requests refused for want of memory")            \
	ROW(resolved, "lookups", "result=\"found\"", "lookups of servers' names that found something")       \
	ROW(resolve_failed, "lookups", "result=\"failed\"",                                                  \
	        "lookups of servers' names that failed; the last good addresses stay")                       \
	ROW(address_changes, "address_changes", "",                                                          \
	        "addresses of servers that changed, came or went by a lookup")                               \
	ROW(bytes_in, "received_bytes", "", "bytes received from clients")                                   \
	ROW(bytes_out, "sent_bytes", "", "bytes sent to clients")                                            \
	ROW(workers_stuck, "workers_stuck", "",                                                              \
	        "times that a worker, loop or acceptor was stuck for timeouts.stuck")                        \
	ROW(log_lost, "log_lines_lost", "",                                                                  \
	        "log lines lost: the log could not keep up, or could not be written")

enum counter_id {
#define COUNTER_ID(name, metric, label, help) COUNTER_##name,
	COUNTERS(COUNTER_ID)
#undef COUNTER_ID
	        COUNTER_COUNT
};

/* 64: a cache line, so that two workers' sets never share one. Allocate with counters_new. */
struct counters {
	_Alignas(64) _Atomic uint64_t value[COUNTER_COUNT]; /* relaxed; one writer */
	struct waits waits;                                 /* of those dispatched, in the queue */
	_Atomic uint64_t queue_wait[HISTOGRAM_CELLS];       /* of these as well; relaxed; one writer */
	_Atomic uint64_t
	        service[HISTOGRAM_CELLS]; /* of requests: how long a worker or fiber had each; likewise */
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

/* The histograms of all of them together, HISTOGRAM_CELLS each. Any thread. */
void counters_times(const struct counters *sets, unsigned n, uint64_t *queue_wait, uint64_t *service);

/* Its metric, with neither "tplb_" before nor "_total" behind; its label there, or "". */
const char *counter_metric(enum counter_id id);
const char *counter_label(enum counter_id id);

/* The sum of one counter over sets[0, n). Any thread. */
uint64_t counters_sum(const struct counters *sets, unsigned n, enum counter_id id);

#endif
