/*
 * How an exchange ended: one row a cause, from which the enum, the word in the access log, the counter and what the client is told come.
 * A new cause is one row.
 */
#ifndef TPLB_LB_END_H
#define TPLB_LB_END_H

#include "base/str.h"
#include "obs/counters.h"

/* name; its word; its counter, or COUNTER_COUNT: none, or counted where it happens; the client's line, where tplb answers: "", the status's name */
#define EXCHANGE_ENDS(ROW)                                                                                   \
	ROW(OK, "ok", COUNTER_COUNT, "")                                                                     \
	ROW(REFUSED, "malformed", COUNTER_COUNT, "") /* or over a limit: x->fault */                         \
	ROW(PROXY_HEADER, "proxy_header", COUNTER_proxy_header_bad, "")                                      \
	ROW(RATE, "rate", COUNTER_COUNT, "more often than is allowed")                                       \
	ROW(CLIENT_BUSY, "client_requests", COUNTER_COUNT, "too many of them at once")                       \
	ROW(NO_MEMORY, "no_memory", COUNTER_no_memory, "out of memory")                                      \
	ROW(NO_SERVER, "no_server", COUNTER_no_server, "there is no server to ask")                          \
	ROW(CONNECT_FAILED, "connect_failed", COUNTER_connect_failed, "no server could be connected to")     \
	ROW(SERVER_BUSY, "server_busy", COUNTER_server_busy, "all servers have what they may have at once")  \
	ROW(CLIENT_LEFT, "client_left", COUNTER_client_left, "")                                             \
	ROW(CLIENT_TIMEOUT, "client_timeout", COUNTER_client_timeout, "the body was not sent in time")       \
	ROW(CLIENT_SLOW, "client_slow", COUNTER_client_slow, "the body came too slowly")                     \
	/* it closed, was reset or broke the protocol */                                                     \
	ROW(SERVER_BROKE, "server_broke", COUNTER_server_broke, "the server broke off, or sent no answer")   \
	ROW(SERVER_TIMEOUT, "server_timeout", COUNTER_server_timeout, "the server did not answer in time")

enum exchange_end {
#define END_ID(name, word, counter, text) END_##name,
	EXCHANGE_ENDS(END_ID)
#undef END_ID
};

struct end_kind {
	const char *word;
	enum counter_id counter; /* COUNTER_COUNT: none */
	struct str text;
};

extern const struct end_kind end_kinds[];

#endif
