/*
 * The board: what each thread that serves is doing now. One row a worker (a thread of the pool, a loop with all its fibers, the acceptor), on cache lines of
 * its own; its thread writes it, anybody reads it. A step costs its writer a store or two, at times a look at the coarse clock, and a branch: no lock, no system
 * call, and no line that another worker writes.
 *
 * What it does, to which server and on which descriptor is one word, so that a reader never sees halves of two steps. On a loop the word is of the fiber
 * that runs: it is kept when that fiber waits, and put back when it goes on.
 */
#ifndef TPLB_OBS_BOARD_H
#define TPLB_OBS_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "obs/labels.h"
#include "obs/trace.h"

/* A row: its word for operators, and what it means. */
#define DOINGS(ROW)                                                                                          \
	ROW(GONE, "gone", "there is no such thread now")                                                     \
	ROW(IDLE, "idle", "it waits for something to do")                                                    \
	ROW(TURN, "turn", "an acceptor or loop accepts, parks, wakes fibers, looks after what is late")      \
	ROW(HEAD, "head", "reads and checks a request's head")                                               \
	ROW(PICK, "pick", "picks a server and a connection to it")                                           \
	ROW(CONNECT, "connect", "connects to the server")                                                    \
	ROW(SEND, "send", "sends the request to the server")                                                 \
	ROW(WAIT, "wait", "waits for the servers of all requests that it has in hand")                       \
	ROW(ANSWER, "answer", "reads the answer's head, or what is left of the request's body meanwhile")    \
	ROW(BODY, "body", "sends the answer to the client")                                                  \
	ROW(TUNNEL, "tunnel", "moves the bytes of an upgrade or of tcp mode")                                \
	ROW(REFUSE, "refuse", "answers in a server's place")                                                 \
	ROW(FINISH, "finish", "logs, and lets go of the server's connection")                                \
	ROW(SETTLE, "settle", "parks or closes the client's connection, or hands it on")                     \
	ROW(HOLD, "hold", "waits for the client's next request (pool.hold)")                                 \
	ROW(TICK, "tick", "a loop's housekeeping, once a second")

enum doing {
#define DOING_ID(id, word, help) DOING_##id,
	DOINGS(DOING_ID)
#undef DOING_ID
	        DOING_COUNT
};

const char *doing_word(enum doing doing);
const char *doing_help(enum doing doing);

/* What the word of a row is made of. */
struct board_entry {
	enum doing doing;
	bool asleep; /* a thread of the pool sleeps in the kernel until that is over or its time limit comes */
	unsigned label; /* of the server, "UPSTREAM/SERVER"; LABEL_NONE: none */
	int fd;         /* on which it works; -1: none */
};

struct board_row {
	_Alignas(64) _Atomic uint64_t word; /* relaxed; one writer, as the others */
	_Atomic int64_t
	        since; /* relaxed: CLOCK_MONOTONIC_COARSE ns of the last step; at the earliest when its thread woke last, took its turn or began a request */
	_Atomic unsigned in_hand; /* relaxed: connections that it has */
	_Atomic(struct trace_ring *)
	        trace;           /* release, acquire: each step goes there, too; NULL: nobody traces */
	struct trace_ring *ring; /* who traces: kept from one trace to the next; NULL: there was none */
};

#define BOARD_ASLEEP (UINT64_C(1) << 8)
enum { BOARD_LABEL_SHIFT = 12, BOARD_FD_SHIFT = 32 };

static inline uint64_t board_word(enum doing doing, unsigned label, int fd)
{
	return (uint64_t)doing | (uint64_t)label << BOARD_LABEL_SHIFT |
	       (uint64_t)(uint32_t)fd << BOARD_FD_SHIFT;
}
struct board_entry board_entry_of(uint64_t word);

static inline uint64_t board_get(const struct board_row *r)
{
	return r ? atomic_load_explicit(&r->word, memory_order_relaxed) : 0;
}

static inline bool board_is_traced(const struct board_row *r)
{
	return r && atomic_load_explicit(&r->trace, memory_order_relaxed);
}

/* By the row's thread: the word is another one, and no step has begun that a trace need know of. NULL: nobody looks. */
static inline void board_put(struct board_row *r, uint64_t word)
{
	if (r)
		atomic_store_explicit(&r->word, word, memory_order_relaxed);
}

/* The same, and a trace tells of it. */
static inline void board_switch(struct board_row *r, uint64_t word)
{
	board_put(r, word);
	if (board_is_traced(r))
		trace_write(r, TRACE_STEP, 0, word, -1);
}

/* By the row's thread: a step begins, at this time. NULL: nobody looks. */
static inline void board_go(struct board_row *r, uint64_t word, int64_t now)
{
	if (!r)
		return;
	atomic_store_explicit(&r->since, now, memory_order_relaxed);
	board_switch(r, word);
}

static inline void board_step_at(struct board_row *r, enum doing doing, unsigned label, int fd, int64_t now)
{
	board_go(r, board_word(doing, label, fd), now);
}

static inline void board_step(struct board_row *r, enum doing doing, unsigned label, int fd)
{
	if (r)
		board_step_at(r, doing, label, fd, clock_coarse());
}

/* The same, a moment after the step before, which needs no look at the clock. */
static inline void board_next(struct board_row *r, enum doing doing, unsigned label, int fd)
{
	board_switch(r, board_word(doing, label, fd));
}

/* By the row's thread: the step goes on, and so does the thread. */
static inline void board_goes_on(struct board_row *r)
{
	if (r)
		atomic_store_explicit(&r->since, clock_coarse(), memory_order_relaxed);
}

/* By the row's thread: so many connections are its. */
static inline void board_hold(struct board_row *r, unsigned in_hand)
{
	if (r)
		atomic_store_explicit(&r->in_hand, in_hand, memory_order_relaxed);
}

static inline unsigned board_holds(const struct board_row *r)
{
	return r ? atomic_load_explicit(&r->in_hand, memory_order_relaxed) : 0;
}

/* n rows, all GONE; one that is never written takes no memory. NULL when memory is out. Freed with the same n; used: those that may have been written or traced are below it. */
struct board_row *board_new(unsigned n);
void board_free(struct board_row *rows, unsigned n, unsigned used);

#endif
