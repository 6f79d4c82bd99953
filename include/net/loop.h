/*
 * An event loop: one thread that runs fibers, each of which reads as if it blocked. It carries the I/O contract (io.h)
 * for its fibers; one of two drivers, on epoll(7) or io_uring(7), does the waiting.
 *
 *	loop_turn ──> driver: sleep until something happens or a time comes
 *	                ├─ a fiber's wait is over         ──> the fiber goes on, until it waits again
 *	                ├─ a parked descriptor is readable ──> events.ready
 *	                └─ a connection came               ──> events.accepted
 *	          ──> messages from other threads are delivered; waits that are late end with -ETIMEDOUT
 *
 * All of it belongs to the loop's thread; only loop_post and loop_wake are for others.
 */
#ifndef TPLB_NET_LOOP_H
#define TPLB_NET_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/timers.h"
#include "net/addr.h"
#include "net/fiber.h"
#include "net/helpers.h"
#include "net/io.h"

struct loop;

/* From another thread to the loop: delivered once in its thread, outside of any fiber. The message lives until then. */
struct loop_message {
	void (*deliver)(struct loop *l, struct loop_message *m);
	struct loop_message *next;
};

struct loop_events {
	void *arg;
	/* A parked descriptor has bytes or is at its end; it is no longer parked. over: at its end, or broken, and no bytes came before that. */
	void (*ready)(void *arg, void *thing, bool over);
	/* A connection was accepted from the listener (peer NULL: ask the socket), or accepting failed with -errno. False: no more for now. */
	bool (*accepted)(void *arg, unsigned listener, int fd, const struct addr *peer);
	/* NULL, or: the thread is about to sleep until something happens, or was asleep. */
	void (*sleeps)(void *arg, bool asleep);
	/* Both NULL, or: on a fiber that is about to wait: what is to be kept for it; and when it goes on, with that. */
	uint64_t (*leaves)(void *arg);
	void (*returns)(void *arg, uint64_t kept);
};

enum loop_driver_kind { LOOP_AUTO, LOOP_URING, LOOP_EPOLL };

enum {
	LOOP_LISTENERS_MAX = 1024, /* their numbers are below it */
	LOOP_RING_ENTRIES = 2048,  /* of io_uring's submission ring, as a rule */
	/* Buffers that its driver makes at most for parked descriptors, and as many for resting ones; a power of two. */
	LOOP_RING_BUFFERS = 1024,
	/* What the kernel pins for a loop: entries of 64 bytes and an index each, four completions of 16 for each, both groups' rings, heads. */
	LOOP_RING_PINNED = LOOP_RING_ENTRIES * (64 + 4 + 4 * 16) + 2 * LOOP_RING_BUFFERS * 16 + 4096
};

struct loop_options {
	enum loop_driver_kind driver; /* LOOP_AUTO is asked for with loop_choose */
	unsigned fibers;
	unsigned entries;        /* of io_uring's submission ring; 0: enough */
	size_t client_buffer;    /* bytes that a parked descriptor's first receive takes */
	size_t server_buffer;    /* bytes that a resting descriptor's first receive takes */
	struct helpers *helpers; /* for io_call; not owned */
	struct loop_events events;
};

enum loop_parked { LOOP_PARKED, LOOP_READY /* there is something to read already */, LOOP_FAILED };

struct loop_driver;

/* What went short and was got over; by the loop's thread. */
struct loop_stats {
	uint64_t ring_full;     /* the submission ring was full and had to be handed in early */
	uint64_t buffers_short; /* a receive found no buffer */
};

struct loop {
	struct io io; /* first: what this loop's fibers are given */
	const struct loop_driver *driver;
	void *own; /* the driver's */
	struct loop_options options;
	struct fiber_store fibers;
	struct timers timers; /* of fibers that wait */
	struct loop_wait *yielded, **yielded_last;
	struct loop_stats stats;
	int64_t trim_at;      /* when stacks are trimmed next */
	int event;            /* eventfd that wakes the loop */
	unsigned descriptors; /* how many the process may have open */

	struct lock lock;
	struct loop_message *first, **last; /* lock */
	_Atomic bool posted;                /* written under lock, seq_cst: there is something in `first` */
};

/*
 * LOOP_URING or LOOP_EPOLL. *why: why io_uring, asked for, is not to be had here (static or strerror's), else NULL. Then it is LOOP_EPOLL
 * for LOOP_AUTO; LOOP_URING stays, and no loop can be opened.
 */
enum loop_driver_kind loop_choose(enum loop_driver_kind wanted, const char **why);
const char *loop_driver_name(enum loop_driver_kind kind);

/* By the thread that will run it. 0 or an errno. */
int loop_open(struct loop *l, const struct loop_options *options);
/* By that thread: no fiber runs, nothing is parked or rests, no listener is listened on. loop_post and loop_wake may still be called. */
void loop_close(struct loop *l);
/* After it, when nobody calls those any more: the messages that were not delivered, in a list; then it is all gone. */
struct loop_message *loop_free(struct loop *l);

/* Waits until something happens, or the deadline at the latest, and sees to it. */
void loop_turn(struct loop *l, int64_t deadline);

/* Runs run(arg) on a fiber until it first waits. False: all fibers are busy, or no memory. */
static inline bool loop_start(struct loop *l, void (*run)(void *arg), void *arg)
{
	return fiber_start(&l->fibers, run, arg);
}

/* Accept from this listening descriptor from now on. False when it cannot be watched. */
bool loop_listen(struct loop *l, unsigned listener, int fd);
/* No more. False: a connection may come of it still; ask again in a later turn, before the descriptor is closed. */
bool loop_unlisten(struct loop *l, unsigned listener, int fd);

/* Watches for the descriptor's next bytes, on behalf of no fiber; then events.ready(thing). */
enum loop_parked loop_park(struct loop *l, int fd, void *thing);

/* Any thread. */
void loop_post(struct loop *l, struct loop_message *m);
void loop_wake(struct loop *l);

/* For drivers ------------------------------------------------------------------------------------------------*/

struct loop_driver {
	const char *name;
	const struct io_ops *ops;
	int (*open)(struct loop *l); /* 0 or an errno */
	void (*close)(struct loop *l);
	/* Sleeps until something happened or the deadline (CLOCK_NEVER: none; a past one: not at all), and tells whom it concerns. */
	void (*turn)(struct loop *l, int64_t deadline);
	bool (*listen)(struct loop *l, unsigned listener, int fd);
	bool (*unlisten)(struct loop *l, unsigned listener, int fd);
	enum loop_parked (*park)(struct loop *l, int fd, void *thing);
};
extern const struct loop_driver loop_epoll;
#if HAVE_LIBURING
extern const struct loop_driver loop_uring;
/* Whether this kernel lets us: 0 or an errno. */
int loop_uring_probe(void);
#endif

/* Around what may sleep, once a turn. */
static inline void loop_sleeps(struct loop *l, bool asleep)
{
	if (!asleep)
		l->io.woke = clock_now();
	if (l->options.events.sleeps)
		l->options.events.sleeps(l->options.events.arg, asleep);
}

/* A fiber's wait; on its own stack. */
struct loop_wait {
	struct timer timer;
	struct fiber *fiber;
	bool late;
	struct loop_wait *next; /* among those that yielded */
};

/* Within a fiber: until loop_resume(w), or the deadline. False when the deadline came. */
bool loop_suspend(struct loop *l, struct loop_wait *w, int64_t deadline);
static inline void loop_resume(struct loop *l, struct loop_wait *w)
{
	fiber_resume(&l->fibers, w->fiber);
}
/* Within a fiber: lets everybody else have a turn. */
void loop_yield(struct loop *l);

/* Parts of the contract that are the same on every driver. */
int loop_connect(struct io *io, const struct addr *to, int64_t deadline);
void loop_call(struct io *io, void (*function)(void *arg), void *arg);

/* A table of `descriptors` entries of this size, all zero, found by descriptor; NULL when memory is out. */
void *loop_table_new(const struct loop *l, size_t entry);
void loop_table_free(const struct loop *l, void *table, size_t entry);

#endif
