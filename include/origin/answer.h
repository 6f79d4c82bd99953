/* Answers: each has Date, Server and a Connection field. Exactly one is started for a request; failures to send set r->cut. */
#ifndef TPLB_ORIGIN_ANSWER_H
#define TPLB_ORIGIN_ANSWER_H

#include <sys/uio.h>

#include "origin/request.h"

#define ANSWER_SERVER "Server: tplb-origin\r\n"

enum answer_framing {
	ANSWER_LENGTH,
	ANSWER_CHUNKED, /* to HTTP/1.0 it becomes ANSWER_CLOSE: see answer_stream */
	ANSWER_CLOSE,   /* the end of the stream ends the body */
	ANSWER_NONE     /* a status without a body */
};

struct answer {
	int status;
	enum answer_framing framing;
	uint64_t length;  /* for ANSWER_LENGTH */
	struct str type;  /* Content-Type, or empty */
	struct str extra; /* further complete field lines, or empty */
};

/* How a body of unknown length goes to this client: chunked, or by closing, which it then prepares. */
enum answer_framing answer_stream(struct request *r);

enum { ANSWER_PARTS_MAX = 6 };

/* Sends the head and, unless the request is a HEAD, the body's first parts [0, count), in one go. */
void answer_start(struct request *r, const struct answer *a, const struct iovec *parts, int count);

/* Sends more of the body; changes the parts. Nothing is sent to a HEAD or once r->cut. */
void answer_more(struct request *r, struct iovec *parts, int count);

/* A whole answer with this body. */
void answer_bytes(struct request *r, int status, struct str type, struct str body, struct str extra);

/* A whole answer of one text line (empty: the reason phrase), for errors and small facts. text and extra: under 400 bytes together. */
void answer_text(struct request *r, int status, struct str text, struct str extra);

/* 405 with this Allow. */
void answer_not_allowed(struct request *r, struct str allow);

/* Refuses a malformed request; the connection will close. */
void answer_fault(struct request *r, enum http_fault fault);

/* 100 (Continue), where the client waits for it. */
void answer_continue(struct request *r);

/* A whole answer that is written already. */
void answer_ready(struct request *r, int status, struct str bytes);

/* For tables of parts. */
static inline struct iovec answer_part(struct str s)
{
	return (struct iovec){(char *)(uintptr_t)s.at, s.len};
}

#endif
