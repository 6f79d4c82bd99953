/* In place of base/clock.c, where a target wants to be the one who says how late it is. The linker takes this one and leaves that. */
#include "made_up_clock.h"

#include <limits.h>

#include "base/clock.h"

int64_t made_up_now;

int64_t clock_now(void)
{
	return made_up_now;
}

int64_t clock_coarse(void)
{
	return made_up_now;
}

int64_t clock_after(int64_t now, int64_t delay)
{
	return delay <= 0 || delay > CLOCK_NEVER - now ? CLOCK_NEVER : now + delay;
}

int clock_poll_ms(int64_t now, int64_t deadline)
{
	int64_t ms = deadline > now ? (deadline - now) / CLOCK_NS_PER_MS + 1 : 0;

	return deadline == CLOCK_NEVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
}
