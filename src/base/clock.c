#include "base/clock.h"

#include <limits.h>
#include <time.h>

#include "base/assert.h"

static int64_t read_clock(clockid_t id)
{
	struct timespec t;

	MUST(clock_gettime(id, &t) == 0); /* cannot fail: the clock exists and the address is valid */
	return (int64_t)t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec;
}

int64_t clock_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_coarse(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE);
}

int64_t clock_after(int64_t now, int64_t delay)
{
	if (delay <= 0 || delay > CLOCK_NEVER - now)
		return CLOCK_NEVER;
	return now + delay;
}

int clock_poll_ms(int64_t now, int64_t deadline)
{
	if (deadline == CLOCK_NEVER)
		return -1;
	if (deadline <= now)
		return 0;
	int64_t ms = (deadline - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}
