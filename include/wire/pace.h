/*
 * The least rate at which one side of a flow must move bytes: it has a time in hand, the grace, of which it uses up what we wait for it, and to
 * which every byte adds 1/rate seconds, up to the grace again. Who has none left is too slow. So one that sends nothing is ended after the grace, one that sends
 * at half the rate after twice the grace, and one that keeps the rate never, though it may pause for as long as the grace. Time that
 * we spend waiting for the other side does not count. What Apache's mod_reqtimeout (MinRate) and IIS (minBytesPerSecond) ask for is of this kind.
 *
 * The bytes are looked at only when the time in hand is over: seldom more than once in a grace, and never for those who are fast.
 * All times are ns of CLOCK_MONOTONIC.
 */
#ifndef TPLB_WIRE_PACE_H
#define TPLB_WIRE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
	uint64_t rate; /* bytes a second; 0: any pace will do, and the rest is unused */
	int64_t grace; /* ns, > 0 */
	int64_t left;  /* ns in hand */
	int64_t since; /* we wait since then; 0: we do not */
	uint64_t seen; /* bytes moved when they were looked at last */
};

static inline struct pace pace_of(uint64_t rate, int64_t grace)
{
	return (struct pace){.rate = rate, .grace = grace, .left = grace};
}

/* We begin to wait for that side. */
void pace_wait(struct pace *p, int64_t now);
/* That wait is over. Allowed without one. */
void pace_resume(struct pace *p, int64_t now);

/* When to call pace_keeps: CLOCK_NEVER while we do not wait. */
int64_t pace_deadline(const struct pace *p);

/* moved: bytes in all so far. False: too slow. True: it has time again. */
bool pace_keeps(struct pace *p, uint64_t moved, int64_t now);

#endif
