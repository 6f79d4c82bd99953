/* The schedule of an open loop: how many, when, and none dropped. */
#include <check.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load/schedule.h"

#define START (1000 * CLOCK_NS_PER_S)

static struct schedule s;

static void init(double rate, int64_t duration)
{
	schedule_init(&s, START, duration, rate);
}

static const struct {
	double rate;
	int64_t ms;
	unsigned count;
} counts[] = {
        {100, 2000, 200},
        {0.5, 4000, 2},
        {0.1, 30000, 3},
        {0.3, 10000, 3},
        {3, 1000, 3},
        {1, 500, 1},
        {1e-300, 1000, 1},
        {1000000, 10, 10000},
        {33.3, 10000, 333},
};

START_TEST(as_many_as_fit_before_the_end)
{
	unsigned count = 0;
	int64_t due, before = START - 1;

	init(counts[_i].rate, counts[_i].ms * CLOCK_NS_PER_MS);
	while (schedule_take(&s, INT64_MAX - 1, &due)) {
		ck_assert_int_gt(due, before);
		ck_assert_int_lt(due, s.end);
		before = due;
		count++;
	}
	ck_assert_uint_eq(count, counts[_i].count);
	ck_assert_uint_eq(s.taken, counts[_i].count);
	ck_assert(schedule_next(&s) == CLOCK_NEVER);
}
END_TEST

START_TEST(evenly_spaced_without_drift)
{
	int64_t due;

	init(3, 100 * CLOCK_NS_PER_S);
	for (int k = 0; k < 300; k++) {
		ck_assert(schedule_take(&s, INT64_MAX - 1, &due));
		ck_assert_int_le(llabs(due - (START + k * CLOCK_NS_PER_S / 3)), 1);
	}
	ck_assert(!schedule_take(&s, INT64_MAX - 1, &due));
}
END_TEST

START_TEST(not_before_its_time)
{
	int64_t due;

	init(10, CLOCK_NS_PER_S);
	ck_assert(!schedule_take(&s, START - 1, &due));
	ck_assert(schedule_take(&s, START, &due));
	ck_assert_int_eq(due, START);
	ck_assert_int_eq(schedule_next(&s), START + 100 * CLOCK_NS_PER_MS);
	ck_assert(!schedule_take(&s, START + 100 * CLOCK_NS_PER_MS - 1, &due));
	ck_assert(schedule_take(&s, START + 100 * CLOCK_NS_PER_MS, &due));
	ck_assert_uint_eq(s.taken, 2);
}
END_TEST

/* Nobody took any for half a second: they are all there still, each with its own time. */
START_TEST(what_is_late_keeps_its_time)
{
	int64_t due;

	init(10, CLOCK_NS_PER_S);
	for (int k = 0; k <= 5; k++) {
		ck_assert(schedule_take(&s, START + 500 * CLOCK_NS_PER_MS, &due));
		ck_assert_int_eq(due, START + k * 100 * CLOCK_NS_PER_MS);
	}
	ck_assert(!schedule_take(&s, START + 500 * CLOCK_NS_PER_MS, &due));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("load/schedule");
	TCase *t = tcase_create("schedule");
	SRunner *sr = srunner_create(suite);

	tcase_add_loop_test(t, as_many_as_fit_before_the_end, 0, (int)(sizeof(counts) / sizeof(counts[0])));
	tcase_add_test(t, evenly_spaced_without_drift);
	tcase_add_test(t, not_before_its_time);
	tcase_add_test(t, what_is_late_keeps_its_time);
	suite_add_tcase(suite, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
