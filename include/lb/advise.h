/*
 * How many workers would do, from what was measured, with the arithmetic. Numbers in, numbers and text out.
 *
 * Requests in hand on the average are L = lambda x W (John D. C. Little, "A Proof for the Queuing Formula: L = lambda W", Operations
 * Research 9 (3), 1961). As many workers would be busy all the time, and whoever comes then waits; how many wait with c workers, and for how long, is A. K.
 * Erlang's delay formula ("Solution of some Problems in the Theory of Probabilities of Significance in Automatic Telephone Exchanges", 1917), for
 * requests that come independently of each other and stay for times without memory. Real ones come more in heaps; so what was measured in the queue has
 * the last word.
 */
#ifndef TPLB_LB_ADVISE_H
#define TPLB_LB_ADVISE_H

#include <stdint.h>

/* What was measured in a stretch of time. Times in ns. */
struct advise_input {
	int64_t interval;    /* its length, > 0 */
	uint64_t dispatched; /* requests that workers took off the queue */
	uint64_t refused;    /* that no worker saw: the queue was full, or they waited for too long */
	uint64_t bursts;     /* times that a worker took some */
	int64_t busy;        /* that workers had some in hand, all workers together */
	int64_t wait_mean;   /* in the queue */
	int64_t wait_p99;
	int64_t cpu;           /* that the program had processors for; negative: unknown */
	int64_t target;        /* a wait in the queue that hurts nobody */
	unsigned cores;        /* > 0 */
	unsigned burst;        /* requests a worker takes at once, at most */
	unsigned workers;      /* there are; > 0 */
	unsigned workers_most; /* there can be */
};

enum { ADVISE_TEXT_BYTES = 1024, ADVISE_REQUESTS_MIN = 100 };

struct advice {
	unsigned workers; /* that would do; 0: too few requests to tell, then nothing else is set */
	unsigned least;   /* by the arithmetic alone */
	double in_hand;   /* L, requests */
	char text[ADVISE_TEXT_BYTES]; /* lines, each with its newline */
};

void advise(const struct advise_input *in, struct advice *out);

/* Erlang C: the probability that one who comes finds all `servers` (> 0) busy and waits; load: those in hand on the average. 1 where that is no less. */
double advise_erlang_c(unsigned servers, double load);

#endif
