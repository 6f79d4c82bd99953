/*
 * A second reading of HTTP/1.1 messages, after RFC 9112 alone, to hold the first one (src/http) against. It shares no code with that, reads
 * whole texts only, copies bodies, and refuses all that two readers could take differently.
 */
#ifndef TPLB_TEST_STRICT_H
#define TPLB_TEST_STRICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum strict_verdict {
	STRICT_WHOLE, /* a whole message at the front of the bytes */
	STRICT_MORE,  /* the bytes end within it */
	STRICT_BAD
};

enum strict_body { STRICT_NONE, STRICT_LENGTH, STRICT_CHUNKED, STRICT_TO_END, STRICT_TUNNEL };

enum { STRICT_FIELDS_MAX = 160 };

struct strict_field {
	struct str name, value;
};

/* Slices into the bytes, but for the body. */
struct strict {
	struct str method, target; /* of a request */
	int status;                /* of a response */
	struct str reason;
	int minor;            /* of HTTP/1.minor: 0, or 1 for any other */
	size_t start;         /* empty lines before a request */
	unsigned empty_lines; /* there */
	size_t head; /* bytes from there to the end of the head; 0: it has no end yet, or is not well formed */
	enum strict_body kind;
	uint64_t length;  /* that the head tells */
	unsigned lengths; /* how often */
	bool extras;      /* chunk extensions, trailers */
	size_t size;      /* bytes of the whole message, empty lines included */
	char *body;       /* decoded, as far as it came; from malloc */
	size_t body_len, body_room;
	unsigned count;
	struct strict_field fields[STRICT_FIELDS_MAX]; /* last: those in use only are set */
};

/* A request at the front of the bytes. Whatever the verdict: strict_free. */
enum strict_verdict strict_request(struct strict *m, struct str bytes);

/* A response to such a method; at_end: the stream ended after these bytes. */
enum strict_verdict strict_response(struct strict *m, struct str bytes, bool to_head, bool at_end);

void strict_free(struct strict *m);

/* The chunked coding at the front of the bytes: *used is its length where it is whole. Data go to m->body. */
enum strict_verdict strict_chunks(struct strict *m, struct str bytes, size_t *used);

/* The first field of that name, or NULL. */
const struct strict_field *strict_find(const struct strict *m, const char *name);
bool strict_has_token(const struct strict *m, const char *name, const char *token);

/* What a proxy must make of a request's target and Host: "/path", "*", and the authority (RFC 9112 section 3.2). path_room: two bytes more than the target. */
struct str strict_path(const struct strict *m, char *path_room);
struct str strict_host(const struct strict *m);

/*
 * Whether `out` says what `in` said: the end-to-end fields in order, byte for byte, none added but those that `ours` names (NULL at its end), which
 * are not looked at in either.
 */
bool strict_same_fields(const struct strict *in, const struct strict *out, const char *const *ours);

#endif
