/* One request while it is answered: its head, what came of its body, and what will become of its connection. */
#ifndef TPLB_ORIGIN_REQUEST_H
#define TPLB_ORIGIN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/frame.h"
#include "http/head.h"
#include "origin/origin.h"

/*
 * Lives on its worker's stack. The head stays at the front of conn->in until request_settle, since all slices point
 * into it; body bytes that did not come along with it are received into `spill`.
 */
struct request {
	struct origin *origin;
	struct worker *worker;
	struct conn *conn;
	struct http_head head;
	struct str path;  /* as received, without the query */
	struct str query; /* with its "?", or empty */
	struct http_body_reader body;
	size_t used;       /* bytes of conn->in that are done with: the head and body bytes behind it */
	struct buf *spill; /* from worker->heads; NULL: none yet */
	bool has_body;
	bool is_head;   /* HEAD: answers have no body */
	bool expects;   /* the client waits for 100 (Continue) */
	bool close;     /* no further request on this connection; the answer says so */
	bool linger;    /* the client may not know yet that the connection closes */
	bool drained;   /* the last receive left nothing in the kernel: an edge will tell of more */
	bool uncounted; /* not one of /count's */
	bool cut;       /* the answer cannot be completed */
	struct http_field fields[ORIGIN_FIELDS];
};

/* For bytes of conn->in up to `len`, a head. */
void request_init(struct request *r, struct origin *o, struct worker *w, struct conn *c, size_t len);

/* Parses the head and decides on framing, expectation and persistence. A fault's answer is the caller's to send. */
enum http_fault request_parse(struct request *r);

/*
 * The next piece of the body, which stays valid until the next call: 1, or 0 at the body's end. Negative: -EBADMSG
 * (malformed), -EPIPE (the stream ended too early), -ENOMEM, -EAGAIN (for IO_NOW), -ETIMEDOUT or what the socket says.
 */
int request_body(struct request *r, int64_t deadline, struct str *piece);

/* The same, waiting as long as a client may be silent. */
int request_body_wait(struct request *r, struct str *piece);

/* Answers a body that failed with this error before anything else was sent. */
void request_body_failed(struct request *r, int error);

/*
 * Reads and drops the body that nobody wants; behind one that is too long for that, or that the client holds back,
 * the connection will close. False: an answer was sent already, or none can be.
 */
bool request_discard(struct request *r);

/* Takes the request off conn->in, which then holds what comes behind it; gives buffers back. False: its body was not read to its end. */
bool request_settle(struct request *r);

#endif
