/*
 * A client's connection, as long as it lives. Between requests it is parked: this record and an entry in epoll,
 * no worker, no buffer.
 *
 *            accept                 readable                    begin/end say PARK
 *   FREE ------------> PARKED ---------------> BUSY -----------------------------------> PARKED
 *                        |  timer                |  readable again
 *                        v                       v
 *                     CLOSING                BUSY_READY (dispatched again in place of parking)
 *
 * On a loop all of that happens in one thread, and its driver sees what comes while a connection is busy: no BUSY_READY.
 * `state` changes by compare-and-swap only. Whoever took it out of PARKED owns all other fields until it is parked
 * again or closed; the fields marked "acceptor" belong to the acceptor throughout.
 */
#ifndef TPLB_ENGINE_CONN_H
#define TPLB_ENGINE_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/timers.h"
#include "net/addr.h"
#include "net/loop.h"

enum conn_state { CONN_FREE, CONN_PARKED, CONN_BUSY, CONN_BUSY_READY, CONN_CLOSING };

struct listener;
struct lot;

/* What a connection is at, for who looks at it from outside (engine/look.h). */
enum conn_at {
	CONN_AT_NOTHING, /* there is no connection in this record, or it is being made or unmade */
	CONN_AT_NEXT,    /* parked: it waits for the client's next request, or its first */
	CONN_AT_HEAD,    /* parked: for the rest of a head */
	CONN_AT_QUEUE,   /* for a worker or fiber */
	CONN_AT_WORK,    /* a worker or fiber has it */
	CONN_AT_ROOM,    /* shelved: for a server with room */
	CONN_AT_LOOP,    /* on its way from a worker to a loop's fiber */
	CONN_AT_LINGER   /* it was answered, and waits for the client to close */
};

/*
 * What its owner tells of a connection when it comes, for those who look at it from outside. Written by release after the record's generation has changed, and read by
 * acquire; so one that looks at the generation before and after has these of one life.
 */
struct conn_card {
	_Atomic uint64_t
	        peer[3]; /* struct conn.peer; written again when a PROXY header names somebody else */
	_Atomic int64_t accepted_at;
	_Atomic unsigned listener; /* its slot */
};

/* What the service says of a connection that has just come, and of whose connections it is one. */
enum welcome {
	WELCOME,
	WELCOME_NOT, /* it is to be refused, so that its client can read it */
	WELCOME_GONE /* there are too many of those as well: it is reset without a word, at once */
};
struct arrival {
	enum welcome welcome;
	void *client; /* the service's own; NULL: there is nothing to tell service.departs */
};

struct conn {
	unsigned magic;
	_Atomic unsigned state; /* enum conn_state; acquire on taking, release on giving */
	_Atomic uint32_t
	        generation; /* counts the record's lives, so that a late event is told from a new one */
	uint32_t index;     /* of this record in the table; constant */
	struct lot *lot;    /* whose record it is; constant */
	int fd;
	/* Relaxed; the owner writes them, anybody may look. */
	_Atomic uint64_t doing;    /* at CONN_AT_WORK: a word of obs/board.h, what is done for its request */
	_Atomic unsigned at;       /* enum conn_at */
	_Atomic unsigned requests; /* begun on this connection; see conn_begins */
	_Atomic int64_t queued_at; /* when its request was put on the queue; 0: it did not pass it */

	struct listener *listener; /* the keeper writes it */
	struct buf *in; /* received and not consumed; NULL: nothing. malloc'd, moves between stores */
	size_t scanned; /* of `in`: how far http_head_find_end looked */
	bool led;       /* the empty line that may stand before this request was taken off */
	bool watched;   /* it is in the lot's epoll */
	bool unread; /* a receive may have left bytes in the socket, of which epoll, edge-triggered, tells no more */
	int64_t accepted_at;
	int64_t head_since;        /* when the first byte of the incomplete head in `in` came; 0: none */
	int64_t queue_wait;        /* ns that its request waited there */
	_Atomic int64_t deadline;  /* while PARKED: when the timer closes it; see lot.c */
	_Atomic int64_t parked_at; /* while PARKED: since when; relaxed, for choosing whom to evict */
	struct addr_ip peer;       /* the client; with a PROXY header, whom that names */
	struct addr_ip
	        target;  /* with such a header: where that client connected to; family 0: ask the socket */
	bool introduced; /* the service has read the PROXY header that comes first on this connection */
	struct conn_card card;
	struct arrival arrival; /* of service.arrives; until the record is given back */
	/* A request on its way from one worker to another: through the queue when it waits for its server, to a loop by `message`. */
	void *exchange; /* NULL: none */
	bool resumes;   /* it was shelved: begin() goes on with the exchange */
	struct loop_message message;
	int wait_fd;
	int64_t wait_deadline;
	/* acceptor */
	struct timer timer;
	_Atomic int64_t timer_at; /* when the acceptor looks at it next, CLOCK_NEVER: not at all; see lot.c */
	/* lingerer */
	struct timer linger_timer;
	/* whose the list is */
	struct conn *next; /* in one list at a time: free, given back, lingering, waiting for a fiber */
};

enum { CONN_MAGIC = 0x434f4e4e };

/* By the owner: what it is at from now on. */
static inline void conn_is_at(struct conn *c, enum conn_at at)
{
	atomic_store_explicit(&c->at, at, memory_order_relaxed);
}

/* By the owner: what is done for its request from now on. */
static inline void conn_does(struct conn *c, uint64_t word)
{
	atomic_store_explicit(&c->doing, word, memory_order_relaxed);
}

static inline unsigned conn_requests(const struct conn *c)
{
	return atomic_load_explicit(&c->requests, memory_order_relaxed);
}

static inline int64_t conn_queued_at(const struct conn *c)
{
	return atomic_load_explicit(&c->queued_at, memory_order_relaxed);
}

/* By the owner: a request begins. */
static inline void conn_begins(struct conn *c)
{
	atomic_store_explicit(&c->requests, conn_requests(c) + 1, memory_order_relaxed);
}

/* By the owner: its request was put on the queue at that time; 0: it did not pass it. */
static inline void conn_queued(struct conn *c, int64_t at)
{
	atomic_store_explicit(&c->queued_at, at, memory_order_relaxed);
}

/* By the owner: c->peer is set, or is another one. */
void conn_show_peer(struct conn *c);
/* The same by who looks. */
struct addr_ip conn_shown_peer(const struct conn *c);

#endif
