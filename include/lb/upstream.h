/* Upstreams and their servers as they run: addresses, idle connections, counts. */
#ifndef TPLB_LB_UPSTREAM_H
#define TPLB_LB_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "lb/config.h"
#include "lb/name.h"
#include "lb/tally.h"
#include "net/addr.h"
#include "net/io.h"

enum { SERVER_TEXT_MAX = NAME_TEXT_MAX + 24 };

/* What becomes of it is in lb/standing.h. */
enum server_state {
	SERVER_UP,            /* it gets requests */
	SERVER_DOWN,          /* it gets none, or only when all are down (`panic`) */
	SERVER_DOWN_DRAINING, /* down, and it was draining: none, not even then */
	SERVER_DRAINING,      /* by the operator: nothing new, what it has it keeps */
	SERVER_MAINT,         /* by the operator: nothing at all, and no probes */
	SERVER_ABSENT         /* a name's empty slot: there is nobody to be asked */
};

/* Why a server is in its state. All fields: the upstream's lock. */
struct standing {
	enum server_state wanted; /* by the operator: UP, DRAINING or MAINT */
	bool absent;              /* it has no address */
	bool dead;
	bool proved;      /* it was seen alive by a probe since the start, or came up once */
	unsigned rising;  /* good probes in a row, while dead */
	unsigned falling; /* bad probes in a row */
	int64_t since;    /* when its state changed last */
	int64_t recheck_at; /* dead, and no probes are made: when to look at it again; CLOCK_NEVER: nothing to look at */
	int64_t slow_since;             /* when its slow start began */
	unsigned downs;                 /* how often it went down */
	uint64_t probes, probes_failed; /* how many were made */
};

/*
 * How many requests and tunnels a server has now; kept where upstream.counts, or it has a limit. Those of all configurations in which it stands: a reload
 * hands it on, so the count stays exact. On a cache line of its own.
 */
struct server_load {
	_Alignas(64) _Atomic unsigned active; /* seq_cst where it has a limit, see lb/shelf.h */
	_Atomic unsigned refs;                /* struct server that point to it; acq_rel */
};

/* With one reference; NULL when memory is out. */
struct server_load *server_load_new(void);
/* One reference more. */
struct server_load *server_load_share(struct server_load *l);
/* One reference less; the last one frees. NULL is allowed. */
void server_load_drop(struct server_load *l);

struct server {
	/* constant */
	unsigned
	        index; /* among all servers of all upstreams: of its per-worker counters and idle connections */
	unsigned most;  /* requests at once (max_connections); 0: no limit */
	unsigned label; /* of "UPSTREAM/SERVER": obs/labels.h */
	size_t cells;   /* where its cells begin, in each worker's row (struct lb_row) */
	uint64_t
	        id; /* for hashes: of its text, so that it stays when others come and go, or its address changes */

	/* Changed only when something happens to it. */
	_Atomic unsigned weight;     /* relaxed: as configured, or as a command has said (server_weigh) */
	_Atomic unsigned state;      /* enum server_state; relaxed; written under the upstream's lock */
	_Atomic unsigned held_back;  /* relaxed, likewise: of 256, so much of its share it is not given yet */
	_Atomic unsigned lighter;    /* relaxed, likewise: of SHARE_FULL, see server_share */
	_Atomic unsigned fails;      /* relaxed: requests in a row that it failed */
	_Atomic unsigned generation; /* relaxed; written under addr_lock: goes up with each change of addr */

	/* constant */
	const struct lb_config_server *from; /* its row; the slots of a name stand in a row */
	const char *host;                    /* what Host says where the client did not */
	/* its name: as configured, with "#2" behind it a name's second slot, or a server that is there twice; none of the upstream's others has it */
	char text[SERVER_TEXT_MAX];

	struct server_load *load;

	/* What changes has a cache line of its own: every pick reads what is above. */
	_Alignas(64) _Atomic int64_t
	        refused_at; /* relaxed: a connect failed then; kept where it has a limit, see lb/shelf.h */
	_Atomic int64_t warn_at; /* relaxed: a failed connect is logged again from then on */
	struct standing standing;

	_Alignas(64) struct lock addr_lock; /* held for a copy; each connect takes it */
	struct addr addr;                   /* addr_lock; len 0: none */

	uint64_t past[SERVER_CELLS]; /* balancer.lock: of configurations before that are over */
};

struct picker;

struct upstream {
	/* constant */
	const char *name;
	const struct lb_config_upstream *config;
	size_t cells; /* where its cells begin, in each worker's row (struct lb_row) */
	unsigned count;
	unsigned primaries; /* servers[0] to [primaries - 1], at least one; behind them the backups */
	struct server *servers;
	struct picker *picker;
	bool counts; /* the picker looks at server.load */
	struct queue *
	        shelf; /* exchanges that wait for a server with room; NULL: no server has a limit. See lb/shelf.h */

	_Atomic unsigned
	        impaired;      /* relaxed; written under lock: servers that are not up, or not wholly yet */
	_Atomic uint64_t dice; /* relaxed: what decides who has to wait in a slow start; see base/rng.h */
	struct lock lock;      /* of the servers' standings */

	uint64_t past[UPSTREAM_CELLS]; /* balancer.lock: of configurations before that are over */
};

/* Its address and the generation that it is of; false: it has none just now. Any thread; taken to connect only. */
bool server_address(struct server *s, struct addr *out, unsigned *generation);
/* By the resolver; len 0: none. Requests that are under way with the old one go on. */
void server_set_address(struct server *s, const struct addr *addr);

/* Of SHARE_FULL: its SRV record's weight next to the heaviest one's. */
static inline unsigned server_share(const struct server *s)
{
	return SHARE_FULL - atomic_load_explicit(&s->lighter, memory_order_relaxed);
}

static inline unsigned server_generation(const struct server *s)
{
	return atomic_load_explicit(&s->generation, memory_order_relaxed);
}

/* A kept connection that no request uses. */
struct idle {
	int fd;
	unsigned generation; /* of the server's address */
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
 * An idle connection of this generation, not older than max_idle ns, open and quiet; -1 when there is none. *stale counts those that were
 * not. io: the worker's, as below.
 */
int idle_take(struct idle_set *s, struct io *io, int64_t now, int64_t max_idle, unsigned generation,
        unsigned *stale);

/* Keeps a connection, made under that generation, for the next request, or closes it. */
void idle_keep(struct idle_set *s, struct io *io, int fd, unsigned generation, int64_t now);

/*
 * Closes those that are no longer good or of another generation, or more than are to be kept, or unused for long. About once a second: what a server
 * has closed must not stay open here until somebody needs a connection. A loop may hold more than `keep` in between, for a load that comes in waves.
 */
void idle_trim(struct idle_set *s, struct io *io, unsigned generation, int64_t now);

/*
 * To the set of the same server in another configuration, and its generation there; what there is no room for is closed, as are those of another
 * generation than `of`.
 */
void idle_move(struct idle_set *from, struct io *io, unsigned of, struct idle_set *to, unsigned generation);

/* Closes all. */
void idle_clear(struct idle_set *s, struct io *io);

#endif
