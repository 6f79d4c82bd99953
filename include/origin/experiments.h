/* Endpoints for experiments. `rest` is what follows the route's prefix, percent-decoded. */
#ifndef TPLB_ORIGIN_EXPERIMENTS_H
#define TPLB_ORIGIN_EXPERIMENTS_H

#include "origin/request.h"

/* Longest /delay, in ms. */
enum { EXPERIMENTS_DELAY_MAX = 60000 };

void experiments_delay(
        struct request *r, struct str rest); /* /delay/MS: answers after so long, holding its worker */
void experiments_bytes(struct request *r, struct str rest);   /* /bytes/N: N bytes with a length */
void experiments_chunked(struct request *r, struct str rest); /* /chunked/N: N bytes in chunks */
void experiments_close(struct request *r,
        struct str rest); /* /close and /close/N: no length, the end of the stream ends it */
void experiments_status(
        struct request *r, struct str rest); /* /status/CODE: that status; for 1xx it comes ahead of a 200 */
void experiments_echo(struct request *r, struct str rest);  /* /echo: the request's head and body */
void experiments_count(struct request *r, struct str rest); /* /count: how many requests were answered */

#endif
