#include "base/timers.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/clock.h"

static unsigned slot_of(int64_t tick)
{
	return (unsigned)(tick % TIMERS_SLOTS);
}

void timers_init(struct timers *t, int64_t now)
{
	t->tick = now / TIMERS_TICK_NS;
	for (unsigned i = 0; i < TIMERS_SLOTS; i++)
		t->slots[i].next = t->slots[i].prev = &t->slots[i];
	for (unsigned i = 0; i < TIMERS_SLOTS / 64; i++)
		t->used[i] = 0;
	t->soonest = t->tick + TIMERS_SLOTS;
}

void timers_clear(struct timers *t, struct timer *timer)
{
	if (!timer->next)
		return;
	if (timer->next == timer->prev) { /* the last of its slot: both are the head */
		unsigned i = (unsigned)(timer->next - t->slots);

		t->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
	}
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->next = timer->prev = NULL;
}

void timers_set(struct timers *t, struct timer *timer, int64_t at)
{
	timers_clear(t, timer);
	timer->at = at;
	if (at == CLOCK_NEVER)
		return;
	int64_t tick = at / TIMERS_TICK_NS + 1; /* never early */
	if (tick < t->tick)
		tick = t->tick;
	if (tick > t->tick + TIMERS_SLOTS - 1)
		tick = t->tick + TIMERS_SLOTS - 1;
	unsigned i = slot_of(tick);
	struct timer *head = &t->slots[i];
	timer->prev = head->prev;
	timer->next = head;
	head->prev->next = timer;
	head->prev = timer;
	t->used[i / 64] |= UINT64_C(1) << (i % 64);
	if (tick < t->soonest)
		t->soonest = tick;
}

struct timer *timers_expire(struct timers *t, int64_t now)
{
	int64_t now_tick = now / TIMERS_TICK_NS;

	if (now_tick - t->tick >= TIMERS_SLOTS) /* long asleep: once around is enough */
		t->tick = now_tick - TIMERS_SLOTS + 1;
	for (; t->tick <= now_tick; t->tick++) {
		unsigned i = slot_of(t->tick);
		struct timer *head = &t->slots[i];

		while (head->next != head) {
			struct timer *timer = head->next;

			timers_clear(t, timer);
			if (timer->at <= now)
				return timer;
			timers_set(
			        t, timer, timer->at); /* it was beyond the horizon; lands in another slot */
		}
	}
	return NULL;
}

int64_t timers_next(struct timers *t)
{
	int64_t end = t->tick + TIMERS_SLOTS;
	int64_t tick = t->soonest > t->tick ? t->soonest : t->tick;

	while (tick < end) {
		unsigned i = slot_of(tick);
		uint64_t bits = t->used[i / 64] >> (i % 64);

		if (bits && tick + __builtin_ctzll(bits) < end) {
			t->soonest = tick + __builtin_ctzll(bits);
			return t->soonest * TIMERS_TICK_NS;
		}
		tick += 64 - i % 64;
	}
	t->soonest = end;
	return CLOCK_NEVER;
}
