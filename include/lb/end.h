/*
 * How an exchange ended: one row a cause, from which the enum, the word in the access log, the counters, what the client is told and the manual come.
 * A new cause is one row.
 */
#ifndef TPLB_LB_END_H
#define TPLB_LB_END_H

#include "base/str.h"
#include "obs/counters.h"

/*
 * name; its word; which of the three counters of ended requests it adds to, requests_SORT, or "none"; its own counter, or COUNTER_COUNT: none, or counted where it happens; the client's
 * line, where tplb answers: "", the status's name; what it means
 */
#define EXCHANGE_ENDS(ROW)                                                                                   \
	ROW(OK, "ok", answered, COUNTER_COUNT, "",                                                           \
	        "a server's answer, whatever its status, was relayed to its end; or a tunnel ended well")    \
	ROW(MAX_FORWARDS, "max_forwards", answered, COUNTER_COUNT, "",                                       \
	        "a TRACE (405) or OPTIONS (200) that was to go no further, by its Max-Forwards")             \
	/* the log has the word of x->fault in its place */                                                  \
	ROW(REFUSED, "malformed", refused, COUNTER_COUNT, "", "")                                            \
	ROW(PROXY_HEADER, "proxy_header", none, COUNTER_proxy_header_bad, "",                                \
	        "no answer: the connection does not begin with the PROXY protocol header that "              \
	        "accept_proxy demands")                                                                      \
	ROW(RATE, "rate", refused, COUNTER_COUNT, "more often than is allowed",                              \
	        "429: the client is over its listener's rate")                                               \
	ROW(CLIENT_BUSY, "client_requests", refused, COUNTER_COUNT, "too many of them at once",              \
	        "429: the client has limits.requests_per_client under way already")                          \
	ROW(NO_MEMORY, "no_memory", refused, COUNTER_no_memory, "out of memory", "503: memory was out")      \
	ROW(NO_SERVER, "no_server", refused, COUNTER_no_server, "there is no server to ask",                 \
	        "503: there was no server to ask: all are down or in maintenance")                           \
	ROW(CONNECT_FAILED, "connect_failed", refused, COUNTER_connect_failed,                               \
	        "no server could be connected to", "503: no server could be connected to")                   \
	ROW(SERVER_BUSY, "server_busy", refused, COUNTER_server_busy,                                        \
	        "all servers have what they may have at once",                                               \
	        "503: all servers had max_connections requests, for too long or with too many waiting")      \
	ROW(CLIENT_LEFT, "client_left", failed, COUNTER_client_left, "",                                     \
	        "the client left before the end of its request or of the answer")                            \
	ROW(CLIENT_LEFT_QUEUED, "client_left_queued", failed, COUNTER_client_left, "",                       \
	        "the client left while its request waited in the queue or for a server: none was asked")     \
	ROW(CLIENT_TIMEOUT, "client_timeout", failed, COUNTER_client_timeout,                                \
	        "the body was not sent in time",                                                             \
	        "the client was silent for timeouts.client within its body (408), or did not take the "      \
	        "answer")                                                                                    \
	ROW(CLIENT_SLOW, "client_slow", failed, COUNTER_client_slow, "the body came too slowly",             \
	        "the body came slower than limits.min_body_rate (408), or the answer was taken slower than " \
	        "limits.min_answer_rate")                                                                    \
	ROW(SERVER_BROKE, "server_broke", failed, COUNTER_server_broke,                                      \
	        "the server did not speak HTTP as it must",                                                  \
	        "502, or the answer was cut: the server broke the protocol, or a limit of tplb's for heads") \
	/* SERVER_BROKE becomes this one at the end, where x->lost */                                        \
	ROW(SERVER_LOST, "server_lost", failed, COUNTER_server_lost,                                         \
	        "the server broke off, or sent no answer",                                                   \
	        "502, or the answer was cut: the server closed or reset its connection before the end")      \
	ROW(SERVER_TIMEOUT, "server_timeout", failed, COUNTER_server_timeout,                                \
	        "the server did not answer in time",                                                         \
	        "504, or the answer was cut: the server was silent, or took nothing, for timeouts.server")   \
	ROW(TUNNEL_TIMEOUT, "tunnel_timeout", failed, COUNTER_tunnel_timeout, "",                            \
	        "a tunnel (an upgrade, or tcp mode) in which nothing moved for timeouts.tunnel")

enum exchange_end {
#define END_ID(name, word, sort, counter, text, help) END_##name,
	EXCHANGE_ENDS(END_ID)
#undef END_ID
};

struct end_kind {
	const char *word;
	enum counter_id sort;    /* COUNTER_COUNT: none, it is of a connection, before any request */
	enum counter_id counter; /* COUNTER_COUNT: none */
	struct str text;
	const char *help;
};

extern const struct end_kind end_kinds[];

/* The client is gone: there is nobody to answer. */
static inline bool end_is_leave(enum exchange_end end)
{
	return end == END_CLIENT_LEFT || end == END_CLIENT_LEFT_QUEUED;
}

/* Tells of every word that the access log can have for an end, once: those above, those for faults of a request (http/head.h), and the engine's refusals (engine/service.h). */
void ends_tell(void (*tell)(void *arg, const char *word, const char *help), void *arg);

#endif
