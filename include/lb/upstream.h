/* Upstreams and their servers as they run: addresses, idle connections, counts. */
#ifndef TPLB_LB_UPSTREAM_H
#define TPLB_LB_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "lb/config.h"
#include "net/addr.h"
#include "net/io.h"

/* What becomes of it is in lb/standing.h. */
enum server_state {
	SERVER_UP,       /* it gets requests */
	SERVER_DOWN,     /* it gets none, or only when all are down (`panic`) */
	SERVER_DRAINING, /* by the operator: nothing new, what it has it keeps */
	SERVER_MAINT     /* by the operator: nothing at all, and no probes */
};

/* Why a server is in its state. All fields: the upstream's lock. */
struct standing {
	enum server_state wanted; /* by the operator: UP, DRAINING or MAINT */
	bool dead;
	bool proved;      /* it was seen alive by a probe since the start, or came up once */
	unsigned rising;  /* good probes in a row, while dead */
	unsigned falling; /* bad probes in a row */
	int64_t since;    /* when its state changed last */
	int64_t recheck_at; /* dead, and no probes are made: when to look at it again; CLOCK_NEVER: nothing to look at */
	int64_t slow_since; /* when its slow start began */
	unsigned downs;     /* how often it went down */
};

struct server {
	/* constant */
	unsigned
	        index; /* among all servers of all upstreams: of its per-worker counters and idle connections */
	unsigned weight;
	unsigned most; /* requests at once (max_connections); 0: no limit */
	uint64_t id;   /* for hashes: of its address, so that it stays when others come and go */
	struct addr addr;
	char text[ADDR_TEXT_MAX]; /* the address for logs */

	/* Changed only when something happens to it. */
	_Atomic unsigned state;     /* enum server_state; relaxed; written under the upstream's lock */
	_Atomic unsigned held_back; /* relaxed, likewise: of 256, so much of its share it is not given yet */
	_Atomic unsigned fails;     /* relaxed: requests in a row that it failed */

	/* What changes has a cache line of its own: every pick reads what is above. */
	_Alignas(
	        64) _Atomic unsigned active; /* requests and tunnels that it has now; kept where upstream.counts, or it has a limit; seq_cst where it has, see lb/shelf.h */
	_Atomic int64_t warn_at;             /* relaxed: a failed connect is logged again from then on */
	struct standing standing;
};

struct picker;

struct upstream {
	/* constant */
	const char *name;
	const struct lb_config_upstream *config;
	unsigned count;
	unsigned primaries; /* servers[0] to [primaries - 1], at least one; behind them the backups */
	struct server *servers;
	struct picker *picker;
	bool counts; /* the picker looks at server.active */
	struct queue *
	        shelf; /* exchanges that wait for a server with room; NULL: no server has a limit. See lb/shelf.h */

	_Atomic unsigned
	        impaired;      /* relaxed; written under lock: servers that are not up, or not wholly yet */
	_Atomic uint64_t dice; /* relaxed: what decides who has to wait in a slow start; see base/rng.h */
	struct lock lock;      /* of the servers' standings */
};

/* A kept connection that no request uses. */
struct idle {
	int fd;
	int64_t since;
};

/*
 * The idle connections to one server: those of all the pool's threads, under a lock; or of one loop, which needs none, and whose
 * driver watches them.
 */
struct idle_set {
	bool shared;   /* constant */
	unsigned keep; /* constant: so many stay for longer than a moment */
	struct lock lock;
	unsigned count; /* lock, where shared */
	unsigned room;
	struct idle *at; /* lock, where shared: a stack, so that few connections are used, and those often */
};

/* keep: 0: none are kept. Room is made as needed. */
void idle_init(struct idle_set *s, bool shared, unsigned keep);
/* No connection is in it. */
void idle_free(struct idle_set *s);

/*
 * An idle connection, not older than max_idle ns, open and quiet; -1 when there is none. *stale counts those that were not. io: the
 * worker's, as below.
 */
int idle_take(struct idle_set *s, struct io *io, int64_t now, int64_t max_idle, unsigned *stale);

/* Keeps a connection for the next request, or closes it. */
void idle_keep(struct idle_set *s, struct io *io, int fd, int64_t now);

/*
 * Closes those that are no longer good, or more than are to be kept, or unused for long. A loop's, about once a second: it
 * may hold more than `keep` in between, for a load that comes in waves.
 */
void idle_trim(struct idle_set *s, struct io *io, int64_t now);

/* Closes all. */
void idle_clear(struct idle_set *s, struct io *io);

#endif
