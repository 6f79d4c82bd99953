#include "load/schedule.h"

#include "base/clock.h"

void schedule_init(struct schedule *s, int64_t start, int64_t duration, double rate)
{
	*s = (struct schedule){.start = start, .end = start + duration, .rate = rate};
}

int64_t schedule_next(const struct schedule *s)
{
	double after = (double)s->taken / s->rate * (double)CLOCK_NS_PER_S + 0.5;

	if (after >= (double)(s->end - s->start))
		return CLOCK_NEVER;
	return s->start + (int64_t)after;
}

bool schedule_take(struct schedule *s, int64_t now, int64_t *due)
{
	int64_t next = schedule_next(s);

	if (next > now || next == CLOCK_NEVER)
		return false;
	*due = next;
	s->taken++;
	return true;
}
