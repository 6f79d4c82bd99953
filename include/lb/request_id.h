/*
 * A request's id: one name for it in the log, at its server and at its client. 128 random bits as hexadecimal digits, so nobody meets it again: not in another worker, after a restart or
 * on another node; nor guesses the next one. The bits are the system's, fetched for many requests at once.
 */
#ifndef TPLB_LB_REQUEST_ID_H
#define TPLB_LB_REQUEST_ID_H

#include <stdbool.h>

#include "base/str.h"

struct exchange;

enum {
	REQUEST_ID_MAX = 128,      /* of one that comes with the request */
	REQUEST_ID_NAME_MAX = 64,  /* of the field's name */
	REQUEST_ID_MADE_BYTES = 32 /* of one of ours */
};

/* A worker's store of random bits. All zero: none. */
struct request_ids {
	unsigned left; /* bytes at the end of `bits` that were not used yet */
	unsigned char bits[4096];
};

void request_id_make(struct request_ids *ids, char out[REQUEST_ID_MADE_BYTES]);

/* 1 to REQUEST_ID_MAX letters, digits and "-._~+/=:@": what neither a log nor a header could misunderstand. */
bool request_id_is_fit(struct str id);

/* The exchange's, which is settled when it is asked for first: the one that a trusted client has sent in the field forward.request_id, or a new one. */
struct str request_id(struct exchange *x);

/* The line that tells it to a client that wants it (forward.request_id_answer), with its CRLF, into out; otherwise nothing. */
enum { REQUEST_ID_FIELD_MAX = REQUEST_ID_NAME_MAX + REQUEST_ID_MAX + 4 };
struct str request_id_field(struct exchange *x, char out[REQUEST_ID_FIELD_MAX]);

#endif
