/* Conditional and range requests, RFC 9110 sections 13 and 14. Pure functions. */
#ifndef TPLB_ORIGIN_CONDITIONS_H
#define TPLB_ORIGIN_CONDITIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "http/head.h"

/* What there is now. */
struct representation {
	struct str etag; /* opaque-tag with its quotes, without "W/"; empty: there is none */
	bool settled; /* it did not change lately, so that the ETag and the second of `modified` are strong validators (8.8.1, 8.8.2.2) */
	time_t modified;
	uint64_t size;
};

enum outcome_kind {
	OUTCOME_WHOLE,        /* 200 */
	OUTCOME_PART,         /* 206, bytes first to last */
	OUTCOME_NOT_MODIFIED, /* 304 */
	OUTCOME_FAILED,       /* 412 */
	OUTCOME_UNSATISFIABLE /* 416 */
};

struct outcome {
	enum outcome_kind kind;
	uint64_t first, last; /* for OUTCOME_PART, inclusive */
};

/*
 * In the order of section 13.2.2. Dates that are none, repeated or not valid, are ignored; so is a Range that is malformed, repeated,
 * in another unit than bytes, or of several parts (14.2 allows it), and any Range of a method other than GET.
 */
struct outcome conditions_decide(const struct http_head *head, const struct representation *now);

#endif
