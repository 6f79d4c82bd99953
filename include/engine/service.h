/*
 * What a program does with connections: the balancer's relay or the origin's handlers. The engine calls these;
 * it is the same code on every engine.
 *
 * Functions of one worker are called in its thread; but worker_start and worker_stop of the pool's in any one.
 *
 * A request is three calls in the relay, two of them seen here. `begin` runs up to the point where only a server's
 * answer is missing; `end` does the rest. Between the two a worker may begin other requests: it has several
 * servers working at once and sleeps once for all of them.
 */
#ifndef TPLB_ENGINE_SERVICE_H
#define TPLB_ENGINE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/conn.h"
#include "engine/worker.h"
#include "http/reply.h"

enum verdict_kind {
	VERDICT_PARK,  /* the connection waits for its (next) request's bytes until `deadline` */
	VERDICT_AGAIN, /* conn->in holds a whole further request: begin again */
	VERDICT_CLOSE, /* close */
	VERDICT_LINGER, /* an answer was sent while the client may still be sending: close without losing it (RFC 9112 section 9.6) */
	VERDICT_RESET, /* close with a reset: a message was cut short */
	VERDICT_WAIT, /* from begin only: call end() when `fd` is readable, or at `deadline`; a loop calls it at once, and its receive waits */
	VERDICT_SHELVED, /* from begin and end: the service keeps connection and exchange, which may be another thread's already; engine_resume brings them back */
	VERDICT_LEAVE /* from begin and end, where worker->patience is set: what is left would hold a thread for too long; call end() on a loop */
};

struct verdict {
	enum verdict_kind kind;
	int fd;
	int64_t deadline;
};

/* Why the engine refuses a connection itself. */
enum refusal {
	REFUSAL_QUEUE_FULL,
	REFUSAL_QUEUE_TIMEOUT,
	REFUSAL_LIMIT,
	REFUSAL_HEADER_TIMEOUT,
	REFUSAL_SHED,
	REFUSAL_DRAINING,
	REFUSAL_CLIENT,
	REFUSAL_NO_MEMORY /* the service says so itself */
};
enum { REFUSAL_COUNT = REFUSAL_NO_MEMORY + 1 };

/* The answer that goes with a refusal, but for its date. */
struct http_reply refusal_reply(enum refusal why);

/* The refusal in one word, for the log. */
const char *refusal_word(enum refusal why);
/* What it means, for the manual. */
const char *refusal_help(enum refusal why);

struct service {
	void *app;
	/* Once in each worker before its first connection; sets worker->local if it likes. False ends the program. */
	bool (*worker_start)(void *app, struct worker *w);
	void (*worker_stop)(void *app, struct worker *w);
	/*
	 * The connection is readable, or was just accepted where its listener is eager; *exchange is NULL. Or it was shelved with this
	 * *exchange, and goes on. *exchange: what end() is to be called with; set with VERDICT_WAIT and VERDICT_LEAVE only.
	 */
	struct verdict (*begin)(void *app, struct worker *w, struct conn *c, void **exchange);
	struct verdict (*end)(void *app, struct worker *w, void *exchange);
	/*
	 * The bytes that tell the client it is refused, into out[0, cap); 0: it is closed without a word (tcp mode). Called by the
	 * acceptor or a worker; log is the caller's ring, or NULL.
	 */
	size_t (*refuse)(void *app, struct log_ring *log, const struct conn *c, enum refusal why, char *out,
	        size_t cap);
	/*
	 * NULL, or: whether there may be one connection more from this address. What comes back is given to departs() when the connection
	 * is about to be closed, however that comes. Any thread.
	 */
	struct arrival (*arrives)(void *app, const struct addr_ip *peer);
	void (*departs)(void *app, struct arrival arrival);
	/* NULL, or: about once a second in each loop's thread, for what should not wait for the next request. */
	void (*tick)(void *app, struct worker *w);
};

#endif
