/*
 * Answers that a program makes itself: complete, with a length, a Connection field, Date and a one-line text
 * body. Knows no sockets.
 */
#ifndef TPLB_HTTP_REPLY_H
#define TPLB_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* "OK", "Not Found"; "Unknown" for a status that neither RFC 9110 nor 6585 (429, 431) names. */
const char *http_reason(int status);

struct http_reply {
	int status;
	struct str text;  /* the body's line, without its newline; empty: the reason phrase */
	struct str date;  /* Date's value; empty: no Date field */
	bool close;       /* "Connection: close", else "Connection: keep-alive" */
	bool head;        /* answer to HEAD: the length is told, the body is not sent */
	int retry_after;  /* seconds; 0: no such field */
	struct str allow; /* value of an Allow field (405), or empty */
	struct str extra; /* further complete field lines, each ending in CRLF, or empty */
};

/* Room that is always enough as long as text, allow and extra together stay under 512 bytes. */
enum { HTTP_REPLY_MAX = 1024 };

/*
 * Writes the whole answer; returns its length, or 0 when cap is too small. Field order: Date, Content-Type:
 * text/plain; charset=utf-8, Content-Length, Retry-After, Allow, extra, Connection. The status line is HTTP/1.1. 1xx, 204 and 304 get
 * neither body nor Content fields.
 */
size_t http_reply_write(const struct http_reply *reply, char *out, size_t cap);

/* Length of the body that is sent: the line with its newline; 0 in answer to HEAD. */
size_t http_reply_body_len(const struct http_reply *reply);

#endif
