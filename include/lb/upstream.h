/* Upstreams and their servers as they run: addresses, idle connections, counts. */
#ifndef TPLB_LB_UPSTREAM_H
#define TPLB_LB_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "net/addr.h"

/* A kept connection that no request uses. */
struct idle {
	int fd;
	int64_t since;
};

struct server {
	/* constant */
	unsigned index; /* among all servers of all upstreams: of its per-worker counters */
	unsigned weight;
	unsigned keepalive; /* idle connections kept */
	struct addr addr;
	char text[ADDR_TEXT_MAX]; /* the address for logs */

	_Atomic int64_t warn_at; /* relaxed: a failed connect is logged again from then on */

	struct lock lock;
	unsigned idle_count; /* lock */
	struct idle *idle;   /* lock: a stack, so that few connections are used, and those often */
};

struct picker;

struct upstream {
	/* constant */
	const char *name;
	unsigned count;
	struct server *servers;
	struct picker *picker;
};

/* An idle connection, not older than max_idle ns, checked to be open and quiet; -1 when there is none. *stale counts those that were closed. */
int server_take_idle(struct server *s, int64_t now, int64_t max_idle, unsigned *stale);

/* Keeps a connection for the next request, or closes it when enough are kept. */
void server_keep(struct server *s, int fd, int64_t now);

/* Closes all idle connections. */
void server_close_idle(struct server *s);

#endif
