/*
 * What is counted a listener, an upstream and a server: one row a count, from which the cells, their sums over workers and reloads, the metrics and their manual come. Each worker has a row of
 * cells for all of them (struct lb_row) and is its only writer.
 *
 * A row: its name, its metric (without tplb_listener_ and so on before, and _total behind), its label, its help. Times are histograms, behind the counts.
 */
#ifndef TPLB_LB_TALLY_H
#define TPLB_LB_TALLY_H

#include "obs/histogram.h"

#define LISTENER_COUNTS(ROW)                                                                                 \
	ROW(answered, "requests", "outcome=\"answered\"", "requests that were answered to the end")          \
	ROW(refused, "requests", "outcome=\"refused\"",                                                      \
	        "requests refused: malformed, over a limit, or there was no server for them")                \
	ROW(failed, "requests", "outcome=\"failed\"", "requests whose client or server broke off")           \
	ROW(responses_2xx, "responses", "code=\"2xx\"", "answers with status 2xx")                           \
	ROW(responses_3xx, "responses", "code=\"3xx\"", "answers with status 3xx")                           \
	ROW(responses_4xx, "responses", "code=\"4xx\"", "answers with status 4xx")                           \
	ROW(responses_5xx, "responses", "code=\"5xx\"", "answers with status 5xx")                           \
	ROW(received, "received_bytes", "", "bytes received from clients")                                   \
	ROW(sent, "sent_bytes", "", "bytes sent to clients")                                                 \
	ROW(tunnels, "tunnels_opened", "", "tunnels opened (upgrades and tcp mode)")                         \
	ROW(tunnels_closed, "tunnels_closed", "", "tunnels that ended")
#define LISTENER_TIMES(ROW)                                                                                  \
	ROW(duration, "request_duration_seconds", "",                                                        \
	        "from a request's bytes being noticed to the end of its answer; tunnels are left out")       \
	ROW(queue_wait, "queue_wait_seconds", "", "how much of that they waited for a worker or fiber")      \
	ROW(service, "service_seconds", "",                                                                  \
	        "what is left of it without that wait, and the one for a server with room")

#define UPSTREAM_COUNTS(ROW)                                                                                 \
	ROW(requests, "requests", "",                                                                        \
	        "requests, and connections in tcp mode, for which a server was looked for")                  \
	ROW(retries, "retries", "", "requests sent to another server after one had lost them")               \
	ROW(retries_denied, "retries_denied", "", "retries that retry_budget did not allow")                 \
	ROW(no_server, "refusals", "reason=\"no_server\"", "there was no server to ask")                     \
	ROW(connect_failed, "refusals", "reason=\"connect_failed\"", "no server could be connected to")      \
	ROW(server_busy, "refusals", "reason=\"server_busy\"", "all servers stayed at their max_connections")
#define UPSTREAM_TIMES(ROW)                                                                                  \
	ROW(wait, "wait_seconds", "",                                                                        \
	        "how long those waited for a server who found all of them at their max_connections")

#define SERVER_COUNTS(ROW)                                                                                   \
	ROW(requests, "requests", "", "requests and tunnels that it was given")                              \
	ROW(failures, "failures", "", "connects and answers of it that failed")                              \
	ROW(responses_2xx, "responses", "code=\"2xx\"", "its answers with status 2xx")                       \
	ROW(responses_3xx, "responses", "code=\"3xx\"", "its answers with status 3xx")                       \
	ROW(responses_4xx, "responses", "code=\"4xx\"", "its answers with status 4xx")                       \
	ROW(responses_5xx, "responses", "code=\"5xx\"", "its answers with status 5xx")                       \
	ROW(connects, "connects", "", "connections opened to it")                                            \
	ROW(connect_failures, "connect_failures", "", "connects to it that failed")                          \
	ROW(reuses, "connections_reused", "", "requests sent to it on a kept connection")                    \
	ROW(sent, "sent_bytes", "", "bytes of requests and tunnels that were for it")                        \
	ROW(received, "received_bytes", "", "bytes of its answers and tunnels")
#define SERVER_TIMES(ROW)                                                                                    \
	ROW(response, "response_seconds", "",                                                                \
	        "from a request's having its server to the first byte of the answer")                        \
	ROW(connect, "connect_seconds", "", "how long connects took that succeeded")

#define LISTENER_CELL(name, metric, label, help) LISTENER_##name,
#define LISTENER_TIME(name, metric, label, help)                                                             \
	LISTENER_##name, LISTENER_##name##_last = LISTENER_##name + HISTOGRAM_CELLS - 1,
#define UPSTREAM_CELL(name, metric, label, help) UPSTREAM_##name,
#define UPSTREAM_TIME(name, metric, label, help)                                                             \
	UPSTREAM_##name, UPSTREAM_##name##_last = UPSTREAM_##name + HISTOGRAM_CELLS - 1,
#define SERVER_CELL(name, metric, label, help) SERVER_##name,
#define SERVER_TIME(name, metric, label, help)                                                               \
	SERVER_##name, SERVER_##name##_last = SERVER_##name + HISTOGRAM_CELLS - 1,

/* Where each stands among the cells of its listener, upstream or server. */
enum listener_cell { LISTENER_COUNTS(LISTENER_CELL) LISTENER_TIMES(LISTENER_TIME) LISTENER_CELLS };
enum upstream_cell { UPSTREAM_COUNTS(UPSTREAM_CELL) UPSTREAM_TIMES(UPSTREAM_TIME) UPSTREAM_CELLS };
enum server_cell { SERVER_COUNTS(SERVER_CELL) SERVER_TIMES(SERVER_TIME) SERVER_CELLS };

#undef LISTENER_CELL
#undef LISTENER_TIME
#undef UPSTREAM_CELL
#undef UPSTREAM_TIME
#undef SERVER_CELL
#undef SERVER_TIME

struct exchange;

/* The exchange is over: all that is counted of its end, once. Its server is still its. */
void tally_end(struct exchange *x);

/* n bytes more went to the client. */
void tally_sent(const struct exchange *x, uint64_t n);

/* It has left the shelf for good after x->shelf_wait. */
void tally_shelf_left(const struct exchange *x);

#endif
