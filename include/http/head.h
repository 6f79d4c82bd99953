/*
 * The head of an HTTP/1.x message, parsed: start line and fields, as slices into the caller's bytes.
 * Parsing is strict (RFC 9112): what two parsers could read differently is refused, not repaired.
 * Knows no sockets.
 */
#ifndef TPLB_HTTP_HEAD_H
#define TPLB_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Fields that a proxy or an origin looks at; every other name is FIELD_OTHER. */
enum http_field_id {
	FIELD_OTHER,
	FIELD_ACCEPT_RANGES,
	FIELD_CONNECTION,
	FIELD_CONTENT_LENGTH,
	FIELD_DATE,
	FIELD_EXPECT,
	FIELD_FORWARDED,
	FIELD_HOST,
	FIELD_IF_MATCH,
	FIELD_IF_MODIFIED_SINCE,
	FIELD_IF_NONE_MATCH,
	FIELD_IF_RANGE,
	FIELD_IF_UNMODIFIED_SINCE,
	FIELD_KEEP_ALIVE,
	FIELD_MAX_FORWARDS,
	FIELD_PROXY_CONNECTION,
	FIELD_RANGE,
	FIELD_REFERER,
	FIELD_TE,
	FIELD_TRAILER,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_USER_AGENT,
	FIELD_VIA,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED_HOST,
	FIELD_X_FORWARDED_PROTO,
	FIELD_COUNT
};

/* For a name that is a token; case does not matter. */
enum http_field_id http_field_id_of(struct str name);

struct http_field {
	struct str name;
	struct str value; /* without surrounding white space */
	enum http_field_id id;
	bool hop; /* set by http_head_mark_hops: not to be forwarded */
};

/* Why a message is refused. Each has its own word (http_fault_word) and status (http_fault_status). */
enum http_fault {
	HTTP_OK = 0,
	HTTP_BAD_REQUEST_LINE, /* 400 */
	HTTP_BAD_STATUS_LINE,  /* 502 */
	HTTP_BAD_VERSION,      /* 505 */
	HTTP_BAD_TARGET,       /* 400 */
	HTTP_BAD_FIELD,        /* 400: name, colon, value, folding, white space, bare CR or LF */
	HTTP_BAD_HOST,         /* 400: missing, repeated, invalid */
	HTTP_BAD_FRAMING,      /* 400: Content-Length or Transfer-Encoding */
	HTTP_BAD_CHUNK,        /* 400 */
	HTTP_BAD_CODING,       /* 501: transfer coding that is not chunked */
	HTTP_BAD_EXPECTATION,  /* 417 */
	HTTP_NO_CONNECT,       /* 405: CONNECT */
	HTTP_TARGET_TOO_LONG,  /* 414 */
	HTTP_HEAD_TOO_LARGE,   /* 431: bytes or number of fields */
	HTTP_BODY_TOO_LARGE,   /* 413 */
	HTTP_FAULT_COUNT
};

/* One word for logs and counters, e.g. "bad_host". */
const char *http_fault_word(enum http_fault fault);
/* What it means, for the manual. */
const char *http_fault_help(enum http_fault fault);
/* A request can have it. */
bool http_fault_is_clients(enum http_fault fault);
/* The status that answers a request with this fault; a response with any fault is a 502. */
int http_fault_status(enum http_fault fault);

enum http_target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

struct http_head {
	bool is_request;
	int minor; /* HTTP/1.minor as the peer said it, 0 or 1 (a higher minor version is taken as 1) */
	/* Requests. */
	struct str method;
	struct str target; /* as received */
	enum http_target_form form;
	struct str
	        path; /* origin form of the target: "/…", "*", or "?…", before which a "/" is to be thought */
	struct str
	        host; /* to serve: the absolute target's authority, else Host; HTTP/1.0 may have none: empty */
	/* Responses. */
	int status; /* 100 to 599 */
	struct str reason;
	/* Both. */
	size_t size;               /* bytes of the head, up to and with the empty line */
	unsigned count;            /* fields in use */
	unsigned room;             /* fields available: limits.headers */
	struct http_field *fields; /* the caller's array of `room` */
};

/*
 * Looks for the end of a head in bytes[0, len), continuing at *scanned (0 at first), so that a head that
 * comes byte by byte is looked at once. Returns the head's length with its empty line, or 0 when it
 * is not complete. A bare LF ends a line here; the parser then refuses it. An empty line at the very front is a
 * whole head, refused as well: take one off with http_leading_crlf first.
 */
size_t http_head_find_end(const char *bytes, size_t len, size_t *scanned);

/*
 * A fault that is certain before the head is complete, for bytes[0, len) with len > 0: a first byte that no
 * request begins with (a TLS hello, say). HTTP_OK otherwise.
 */
enum http_fault http_request_sniff(const char *bytes, size_t len);

/* Number of bytes (0, 1 or 2) of one empty line before a request, which is ignored (RFC 9112 section 2.2). */
size_t http_leading_crlf(const char *bytes, size_t len);

/*
 * Parses one complete request head bytes[0, len), as found by http_head_find_end, into *head, whose
 * `fields` and `room` the caller has set. Checks syntax, version, target, Host (sections 3.2 and
 * 3.2.2) and CONNECT; not framing. The slices point into bytes, but for the path of an absolute target without one,
 * which is a constant: "/", or "*" for OPTIONS. After a fault what was read before it is set, for the log; the rest is empty.
 */
enum http_fault http_request_parse(struct http_head *head, const char *bytes, size_t len);

/*
 * The two at once: looks for the end of a request's head as http_head_find_end does, and parses it. Returns its length, with what http_request_parse says in
 * *fault; or 0 when it is not complete.
 */
size_t http_request_read(
        struct http_head *head, const char *bytes, size_t len, size_t *scanned, enum http_fault *fault);

/*
 * The same for a response. White space before a colon is removed and a folded line is joined with spaces
 * (RFC 9112 sections 5.1 and 5.2): the second is written into `bytes`.
 */
enum http_fault http_response_parse(struct http_head *head, char *bytes, size_t len);

/* The first field with this id, or NULL. */
const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id);
/* True when any field of this id, a comma-separated list, has the element `token` (no case). */
bool http_head_has_token(const struct http_head *head, enum http_field_id id, struct str token);

/*
 * Marks `hop` on every field that is not to be forwarded: those that Connection names (never Host,
 * Content-Length, Transfer-Encoding or Via) and Connection, Keep-Alive, Proxy-Connection, TE, Trailer, Upgrade,
 * Transfer-Encoding themselves (RFC 9110 section 7.6.1). Framing and upgrade are then written anew by the forwarder.
 */
void http_head_mark_hops(struct http_head *head);

/* Whether the peer lets the connection go on after this message, by version and Connection (RFC 9112 section 9.3). */
bool http_head_keeps_alive(const struct http_head *head);

/* Methods of RFC 9110 sections 9.2.1 and 9.2.2; unknown ones are neither. */
bool http_method_is_safe(struct str method);
bool http_method_is_idempotent(struct str method);

#endif
