/* The timing wheel, against a plain list of times. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/timers.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define TICK TIMERS_TICK_NS
#define HORIZON (TIMERS_SLOTS * TICK)
/* Not on a tick's border. */
#define START (INT64_C(123456789) * TICK + 4321)

static unsigned random_below(unsigned n)
{
	static unsigned state = 1;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

START_TEST(none)
{
	struct timers t;
	struct timer timer = {0};

	timers_init(&t, START);
	ck_assert_int_eq(timers_next(&t), CLOCK_NEVER);
	ck_assert_ptr_null(timers_expire(&t, START + 10 * HORIZON));
	timers_clear(&t, &timer);
	timers_set(&t, &timer, CLOCK_NEVER);
	ck_assert_int_eq(timers_next(&t), CLOCK_NEVER);
	ck_assert_ptr_null(timers_expire(&t, START + 20 * HORIZON));
}
END_TEST

static const int64_t delays[] = {-HORIZON, -1, 0, 1, TICK - 4322, TICK - 4321, TICK - 4320, TICK, 5 * TICK,
        HORIZON - TICK, HORIZON, HORIZON + 1, 3 * HORIZON + 7};

/* One timer, looked at four times a tick: never early, at most a tick late (after now, if it is past already). */
START_TEST(when)
{
	struct timers t;
	struct timer timer = {0};
	int64_t at = START + delays[_i];
	int64_t due = at > START ? at : START;

	timers_init(&t, START);
	timers_set(&t, &timer, at);
	for (int64_t now = START;; now += TICK / 4) {
		struct timer *fired = timers_expire(&t, now);

		HOLDS(fired == NULL || fired == &timer);
		HOLDS(fired ? now >= at : now < due + TICK);
		if (fired)
			break;
		HOLDS(timers_next(&t) <= due + TICK);
		HOLDS(timers_next(&t) > now - TICK);
	}
	ck_assert_ptr_null(timer.next);
	ck_assert_ptr_null(timers_expire(&t, at + HORIZON));
	ck_assert_int_eq(timers_next(&t), CLOCK_NEVER);
}
END_TEST

START_TEST(moved_and_cleared)
{
	struct timers t;
	struct timer a = {0}, b = {0};

	timers_init(&t, START);
	timers_set(&t, &a, START + 5 * TICK);
	timers_set(&t, &b, START + 5 * TICK);
	timers_set(&t, &a, START + 50 * TICK);
	timers_clear(&t, &b);
	timers_clear(&t, &b);
	ck_assert_ptr_null(timers_expire(&t, START + 49 * TICK));
	ck_assert_ptr_eq(timers_expire(&t, START + 51 * TICK), &a);
	timers_set(&t, &b, START + 52 * TICK);
	timers_set(&t, &b, CLOCK_NEVER);
	ck_assert_ptr_null(timers_expire(&t, START + 3 * HORIZON));
	timers_set(&t, &a, START); /* long past: with the next tick */
	ck_assert_ptr_eq(timers_expire(&t, START + 3 * HORIZON + TICK), &a);
	ck_assert_ptr_null(timers_expire(&t, START + 3 * HORIZON + TICK));
}
END_TEST

enum { COUNT = 300 };

struct model {
	struct timers t;
	struct timer timers[COUNT];
	int64_t due[COUNT]; /* CLOCK_NEVER: not set */
	int64_t at[COUNT];
	int64_t now;
	unsigned fired;
};

static int64_t random_delay(void)
{
	switch (random_below(5)) {
	case 0:
		return -(int64_t)random_below(1000000);
	case 1:
		return 3 * HORIZON / 1000 * random_below(1000);
	case 2:
		return HORIZON - 2 * TICK + random_below(4) * TICK;
	default:
		return random_below(1000) * INT64_C(1000000) + random_below(1000000);
	}
}

static void change_one(struct model *m)
{
	unsigned i = random_below(COUNT);

	if (random_below(4) == 0) {
		timers_clear(&m->t, &m->timers[i]);
		m->due[i] = CLOCK_NEVER;
		return;
	}
	m->at[i] = m->now + random_delay();
	m->due[i] = m->at[i] > m->now ? m->at[i] : m->now;
	timers_set(&m->t, &m->timers[i], m->at[i]);
}

static void expire(struct model *m)
{
	struct timer *timer;

	while ((timer = timers_expire(&m->t, m->now))) {
		size_t i = (size_t)(timer - m->timers);

		HOLDS(i < COUNT && m->due[i] != CLOCK_NEVER && m->at[i] <= m->now);
		m->due[i] = CLOCK_NEVER;
		m->fired++;
		if (random_below(10) == 0)
			change_one(m); /* from within */
	}
	for (unsigned i = 0; i < COUNT; i++)
		HOLDS(m->due[i] == CLOCK_NEVER || m->due[i] + TICK > m->now);
}

static int64_t earliest(const struct model *m)
{
	int64_t at = CLOCK_NEVER;

	for (unsigned i = 0; i < COUNT; i++)
		if (m->due[i] < at)
			at = m->due[i];
	return at;
}

START_TEST(many)
{
	static struct model m;

	m.now = START + _i * 777 * TICK;
	timers_init(&m.t, m.now);
	for (unsigned i = 0; i < COUNT; i++)
		m.due[i] = CLOCK_NEVER;
	for (int round = 0; round < 20000; round++) {
		for (unsigned n = random_below(4); n > 0; n--)
			change_one(&m);
		int64_t next = timers_next(&m.t), first = earliest(&m);
		HOLDS(first == CLOCK_NEVER || next <= first + TICK);
		m.now += random_below(200) == 0 ? 2 * HORIZON / 1000 * random_below(1000)
		                                : (int64_t)random_below(30 * 1000000);
		expire(&m);
	}
	ck_assert_uint_gt(m.fired, 10000);
	/* Who sleeps as timers_next says gets to the end, in a bounded number of wake-ups, and on time. */
	for (int wakes = 0; earliest(&m) != CLOCK_NEVER; wakes++) {
		HOLDS(wakes < 10 * COUNT);
		int64_t next = timers_next(&m.t);
		HOLDS(next != CLOCK_NEVER && next <= earliest(&m) + TICK);
		if (next > m.now)
			m.now = next;
		struct timer *timer;
		while ((timer = timers_expire(&m.t, m.now))) {
			HOLDS(m.at[timer - m.timers] <= m.now);
			m.due[timer - m.timers] = CLOCK_NEVER;
		}
	}
	ck_assert_int_eq(timers_next(&m.t), CLOCK_NEVER);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base/timers");
	TCase *tc = tcase_create("timers");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, none);
	tcase_add_loop_test(tc, when, 0, (int)(sizeof(delays) / sizeof(delays[0])));
	tcase_add_test(tc, moved_and_cleared);
	tcase_add_loop_test(tc, many, 0, 3);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
