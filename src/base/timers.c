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
}

void timers_clear(struct timers *t, struct timer *timer)
{
	(void)t; /* its slot's bit stays set until the slot is looked at */
	if (!timer->next)
		return;
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
}

struct timer *timers_expire(struct timers *t, int64_t now)
{
	int64_t now_tick = now / TIMERS_TICK_NS;

	if (now_tick - t->tick >= TIMERS_SLOTS) /* long asleep: once around is enough */
		t->tick = now_tick - TIMERS_SLOTS + 1;
	for (; t->tick <= now_tick; t->tick++) {
		unsigned i = slot_of(t->tick);
		struct timer *head = &t->slots[i];

		if (!(t->used[i / 64] & (UINT64_C(1) << (i % 64))))
			continue;
		while (head->next != head) {
			struct timer *timer = head->next;

			timers_clear(t, timer);
			if (timer->at <= now)
				return timer;
			timers_set(
			        t, timer, timer->at); /* it was beyond the horizon; lands in another slot */
		}
		t->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
	}
	return NULL;
}

int64_t timers_next(const struct timers *t)
{
	unsigned first = slot_of(t->tick);

	for (unsigned step = 0; step < TIMERS_SLOTS;) {
		unsigned i = (first + step) % TIMERS_SLOTS;
		uint64_t bits = t->used[i / 64] >> (i % 64);

		if (bits) {
			step += (unsigned)__builtin_ctzll(bits);
			if (step >= TIMERS_SLOTS)
				break;
			return (t->tick + (int64_t)step) * TIMERS_TICK_NS;
		}
		step += 64 - i % 64;
	}
	return CLOCK_NEVER;
}
