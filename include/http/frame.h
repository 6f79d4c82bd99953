/* How long is the body? RFC 9112 section 6, and the chunked coding of section 7.1. Knows no sockets. */
#ifndef TPLB_HTTP_FRAME_H
#define TPLB_HTTP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/head.h"

enum http_body_kind {
	BODY_NONE,    /* no body follows */
	BODY_LENGTH,  /* `length` bytes follow, possibly 0 */
	BODY_CHUNKED, /* chunks follow */
	BODY_CLOSE,   /* everything up to the end of the stream (responses only) */
	BODY_TUNNEL   /* opaque bytes both ways (after 101) */
};

struct http_framing {
	enum http_body_kind kind;
	uint64_t length; /* for BODY_LENGTH */
};

/*
 * Faults: HTTP_BAD_FRAMING (both fields, differing or malformed lengths, HTTP/1.0 with Transfer-Encoding, chunked
 * not once and last, a coding on two lines), HTTP_BAD_CODING (a coding other than chunked).
 * Identical repeated Content-Lengths are one (RFC 9112 section 6.3); a list in one field is refused. Who forwards writes
 * one Content-Length of its own from `length`. The connection is closed after any fault.
 */
enum http_fault http_request_framing(const struct http_head *head, struct http_framing *framing);

/* method: of the request that this answers. 1xx (but 101), 204, 304 and answers to HEAD have no body. */
enum http_fault http_response_framing(
        const struct http_head *head, struct str method, struct http_framing *framing);

/*
 * Reads a body off a stream of bytes and says where its data lie. One per body; bytes are never copied.
 */
struct http_body_reader {
	enum http_body_kind kind;
	uint64_t left;  /* of the length, or of the current chunk */
	uint64_t taken; /* bytes of data handed out so far */
	unsigned state; /* of the chunk parser */
	unsigned line;  /* bytes of the current size line or trailer section, bounded by `line_limit` */
	unsigned line_limit;
	unsigned excess; /* bytes of size lines beyond 16 and twice their chunk's data, likewise bounded */
	bool done;       /* the body is complete */
};

/*
 * line_limit bounds a chunk's size line with extensions, the whole trailer section, and what all size lines have beyond 16 bytes and twice their
 * chunk's data: a body of tiny chunks with large extensions would take as much to read as its sender likes, and no limit of bodies would see it
 * (CVE-2023-39326 was that in another server).
 */
void http_body_reader_init(struct http_body_reader *r, struct http_framing framing, unsigned line_limit);

/*
 * Looks at bytes[0, len) and consumes from the front: *used bytes are done with, of which *data (possibly empty) is
 * body data to pass on. Call again with the rest until r->done or *used is 0 with nothing left to give.
 * Chunk extensions and trailers are dropped. Returns HTTP_OK or HTTP_BAD_CHUNK; after the latter *used and *data are
 * empty and the reader must not be used again.
 */
enum http_fault http_body_read(
        struct http_body_reader *r, const char *bytes, size_t len, size_t *used, struct str *data);

/*
 * The end of the stream came. True when that completes the body (BODY_CLOSE, BODY_TUNNEL, or already done); false
 * when it is truncated.
 */
bool http_body_eof(struct http_body_reader *r);

/* n bytes of data (at most r->left of a length) went by without being looked at. Not for BODY_CHUNKED. */
void http_body_skip(struct http_body_reader *r, uint64_t n);

/* Longest "SIZE CRLF" that http_chunk_head writes. */
enum { HTTP_CHUNK_HEAD_MAX = 18 };
/* Writes the size line of a chunk of n > 0 bytes; returns its length. The data and CRLF follow; "0\r\n\r\n" ends. */
size_t http_chunk_head(char out[HTTP_CHUNK_HEAD_MAX], uint64_t n);

#endif
