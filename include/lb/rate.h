/*
 * How often each client may ask: token buckets, one a client, exact over all workers and loops.
 *
 * A bucket is one number, the time when it will be full again (the "theoretical arrival time" of the generic cell rate algorithm, ATM Forum,
 * Traffic Management Specification 4.0, 1996). A request moves it on by the interval between two tokens; where it is more than burst - 1 intervals
 * ahead of now there is no token. So nothing has to be filled up in the background, and a bucket that is full again is as good as none.
 *
 * Buckets are in sets of 16, a set is chosen by a keyed hash, and a look-up looks at one set and no further, whatever clients send. A set that
 * has no bucket free gives up the one that is nearest to full: who asks much stays known however many others turn up.
 */
#ifndef TPLB_LB_RATE_H
#define TPLB_LB_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate;

/* In the long run `requests` > 0 in each `per` ns, at most `burst` > 0 at once; `entries` > 0 buckets, rounded up to whole sets. */
struct rate_options {
	int64_t requests, per, burst, entries;
};

enum { RATE_SET = 16 };

/* The time between two tokens, ns, rounded. */
int64_t rate_interval(const struct rate_options *options);

/* NULL when memory is out, or random bytes. interval * burst must not pass a year. */
struct rate *rate_new(const struct rate_options *options);
/* The same buckets for one more owner, where it was made with these options; NULL: it was not, or r is NULL. */
struct rate *rate_share(struct rate *r, const struct rate_options *options);
/* By each owner. NULL is allowed. */
void rate_free(struct rate *r);

/*
 * Takes a token out of the key's bucket: 0. Or there is none, and nothing changes: ns until there will be one. now: CLOCK_MONOTONIC.
 * *evicted: another key's bucket, which was not full, was given up for it. Any thread.
 */
int64_t rate_take(struct rate *r, const void *key, size_t len, int64_t now, bool *evicted);

#endif
