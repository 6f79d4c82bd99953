/*
 * The origin server: what it does with a request, as a service for an engine. It never waits for a server, so `begin`
 * does everything and there is no exchange.
 */
#ifndef TPLB_ORIGIN_ORIGIN_H
#define TPLB_ORIGIN_ORIGIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/service.h"

enum {
	ORIGIN_MAGIC = 0x4f524947,
	ORIGIN_FIELDS = 100,            /* of a request's head, at most */
	ORIGIN_HEADER_SIZE = 16 * 1024, /* bytes of a request's head, at most */
	ORIGIN_DISCARD_MAX =
	        256 *
	        1024, /* bytes of an unwanted body that are read; behind a longer one the connection closes */
	ORIGIN_LINE_MAX = 4096,     /* of a chunk's size line with extensions, and of a trailer section */
	ORIGIN_PATTERN = 26 * 2048, /* bytes of the block that /bytes and its like are made of */
	ORIGIN_PAGE_MAX = 512       /* a ready-made answer */
};

#define ORIGIN_HEADER_TIMEOUT (10 * CLOCK_NS_PER_S)
#define ORIGIN_CLIENT_TIMEOUT (30 * CLOCK_NS_PER_S)
#define ORIGIN_KEEPALIVE (60 * CLOCK_NS_PER_S)
#define ORIGIN_DRAIN (30 * CLOCK_NS_PER_S)

/* The greeting's whole answer, ready to send; only its date changes, once a second, in place. */
struct origin_page {
	size_t len;
	size_t date; /* where in `bytes` the date stands */
	char bytes[ORIGIN_PAGE_MAX];
};

/* A worker's own part. 64: no two workers write to one cache line. */
struct origin_worker {
	_Alignas(64) _Atomic uint64_t answered; /* one writer; everybody sums */
	time_t greeting_at;                     /* the second whose date the two greetings carry */
	struct origin_page greeting[2];         /* [1]: says Connection: close */
};

struct origin {
	unsigned magic;
	bool keepalive; /* off: every connection is closed after its answer */
	bool openat2;   /* the kernel resolves beneath the root; otherwise we walk, and follow no link */
	int root;       /* O_PATH descriptor of the docroot, owned; -1: no files */
	unsigned worker_count;
	struct origin_worker *workers;         /* owned; [id] */
	_Atomic(const struct engine *) engine; /* NULL until it is started; not owned */
	char pattern[ORIGIN_PATTERN];          /* byte i is the letter 'a' + i mod 26 */
};

/* root: becomes the origin's, -1 for none. NULL when memory is out (root then stays the caller's). */
struct origin *origin_new(int root, bool keepalive, unsigned workers);
void origin_free(struct origin *o);

/* For engine_options. The origin must outlive the engine. */
struct service origin_service(struct origin *o);

/* The engine that was started, so that answers tell when it drains. */
void origin_set_engine(struct origin *o, const struct engine *engine);

/* Requests answered so far, but those for /count. Any thread. */
uint64_t origin_answered(const struct origin *o);

#endif
