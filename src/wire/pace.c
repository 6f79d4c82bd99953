#include "wire/pace.h"

#include "base/clock.h"

void pace_wait(struct pace *p, int64_t now)
{
	p->since = now;
}

void pace_resume(struct pace *p, int64_t now)
{
	if (p->since != 0)
		p->left -= now - p->since;
	p->since = 0;
}

int64_t pace_deadline(const struct pace *p)
{
	if (p->since == 0)
		return CLOCK_NEVER;
	return p->left > 0 ? clock_after(p->since, p->left) : p->since;
}

/* The time that so many bytes buy, at most the grace. */
static int64_t worth(const struct pace *p, uint64_t bytes)
{
	double ns = (double)bytes / (double)p->rate * (double)CLOCK_NS_PER_S;

	return ns < (double)p->grace ? (int64_t)ns : p->grace;
}

bool pace_keeps(struct pace *p, uint64_t moved, int64_t now)
{
	pace_resume(p, now);
	if (moved > p->seen) {
		p->left += worth(p, moved - p->seen);
		p->seen = moved;
	}
	if (p->left > p->grace)
		p->left = p->grace;
	pace_wait(p, now);
	return p->left > 0;
}
