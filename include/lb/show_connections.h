/*
 * The clients' connections, as data. They are read from cards that their owners keep (engine/look.h): no request and no acceptor waits for that, and a connection
 * that ends meanwhile is not shown. Costs some 50 ns a connection that there is, and some 10 us one that is shown.
 */
#ifndef TPLB_LB_SHOW_CONNECTIONS_H
#define TPLB_LB_SHOW_CONNECTIONS_H

#include <jansson.h>

#include "lb/control.h"
#include "net/addr.h"

enum { SHOW_CONNECTIONS = 100, SHOW_CONNECTIONS_MOST = 100000, SHOW_LISTENER_BYTES = 128 };

/* Which of them. */
struct show_filter {
	unsigned most;        /* so many, those that are in their state for longest */
	const char *state;    /* "parked", "queued", "busy", "closing"; NULL: any */
	const char *listener; /* its name; NULL: any */
	bool by_client;
	struct addr_block client; /* with by_client */
};

/* What the words say, each once at most and in any order: "50", "busy", "listener=web", "client=10.0.0.0/8". False: why tells. */
bool show_filter_parse(struct show_filter *f, char *const *words, char why[CONTROL_WHY_BYTES]);

/*
 * An array of objects, the longest in its state first. In each:
 *
 *	id         of the connection, and of no other one as long as tplb runs
 *	listener   the name of where it came in
 *	client     "1.2.3.4:567", "[::1]:567", or "unix:"; with a PROXY header whom that names
 *	state      "parked", "queued" (for a worker, a fiber or a server with room), "busy" or "closing"
 *	waits_for  what it waits for, or what is done for its request, as in obs/board.h
 *	server     "UPSTREAM/SERVER" that its request is with; null
 *	requests   begun on it
 *	age_ms     since it came
 *	since_ms   since it was parked, its request queued, or its end begun; null: it did not pass the queue
 */
json_t *show_connections(struct control *c, const struct show_filter *f);

#endif
