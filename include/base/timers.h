/*
 * A wheel of timers: setting, clearing and expiring cost the same however many there are (Varghese and Lauck, "Hashed
 * and Hierarchical Timing Wheels", 1987). A time beyond the horizon is looked at again when the horizon comes. Not locked: one owner.
 */
#ifndef TPLB_BASE_TIMERS_H
#define TPLB_BASE_TIMERS_H

#include <stdint.h>

enum { TIMERS_SLOTS = 8192 };

#define TIMERS_TICK_NS INT64_C(1000000)

struct timer {
	struct timer *next, *prev; /* in its slot; NULL: not set */
	int64_t at;
};

struct timers {
	int64_t tick;                     /* ticks before this one have been expired */
	struct timer slots[TIMERS_SLOTS]; /* heads of circular lists */
	uint64_t used[TIMERS_SLOTS / 64]; /* one bit a slot that holds timers */
	int64_t soonest;                  /* no slot of an earlier tick holds one */
};

void timers_init(struct timers *t, int64_t now);

/* Sets (or moves) a timer; `at` CLOCK_NEVER clears it. It fires at `at` or up to a tick later, never earlier. */
void timers_set(struct timers *t, struct timer *timer, int64_t at);
void timers_clear(struct timers *t, struct timer *timer);

/* One timer that is due, cleared; NULL when there is none (any more). Call until NULL. */
struct timer *timers_expire(struct timers *t, int64_t now);

/* When timers_expire should be called next; CLOCK_NEVER without timers. */
int64_t timers_next(struct timers *t);

#endif
