/* Dates in HTTP, RFC 9110 section 5.6.7. */
#ifndef TPLB_HTTP_DATE_H
#define TPLB_HTTP_DATE_H

#include <stdbool.h>
#include <time.h>

#include "base/str.h"

enum { HTTP_DATE_LEN = 29 };

/* "Sun, 06 Nov 1994 08:49:37 GMT", 29 bytes and a NUL. */
void http_date_format(time_t when, char out[HTTP_DATE_LEN + 1]);

/* All three forms: IMF-fixdate, RFC 850, asctime. False when it is none of them. */
bool http_date_parse(struct str text, time_t *when);

/* A worker's own copy of the current date, formatted at most once a second. Not shared. */
struct http_date_cache {
	time_t when;
	char text[HTTP_DATE_LEN + 1];
};
struct str http_date_now(struct http_date_cache *cache);

#endif
