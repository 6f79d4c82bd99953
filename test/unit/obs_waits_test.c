/* The histogram of waits: what is near what, and sums while it is being written. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "obs/counters.h"

enum { SETS = 4, EACH = 200000 };

static struct waits_total total_of(const struct waits *w)
{
	struct waits_total total = {0};

	waits_add(&total, w);
	return total;
}

START_TEST(empty)
{
	static const struct waits none;
	struct waits_total total = total_of(&none);

	ck_assert_uint_eq(total.count, 0);
	ck_assert_uint_eq(waits_percentile(&total, 0), 0);
	ck_assert_uint_eq(waits_percentile(&total, 99), 0);
	ck_assert_uint_eq(waits_percentile(&total, 100), 0);
}
END_TEST

START_TEST(percentiles)
{
	static struct waits w;

	for (int64_t us = 1; us <= 1000; us++)
		waits_record(&w, us * CLOCK_NS_PER_US + 999);
	struct waits_total total = total_of(&w);
	ck_assert_uint_eq(total.count, 1000);
	ck_assert_uint_eq(total.sum, 500500);
	ck_assert_uint_eq(total.max, 1000);
	ck_assert_uint_eq(waits_percentile(&total, 0), 1);
	ck_assert_uint_eq(waits_percentile(&total, 1), 10);
	ck_assert_uint_eq(waits_percentile(&total, 100), 1000);
	for (unsigned percent = 5; percent < 100; percent += 5) {
		uint64_t got = waits_percentile(&total, percent);

		ck_assert_uint_ge(got * 100, percent * 10 * 93);
		ck_assert_uint_le(got * 100, percent * 10 * 107);
	}
}
END_TEST

START_TEST(error_is_bounded)
{
	for (int64_t us = 1; us < UINT32_MAX; us += us / 7 + 1) {
		struct waits w = {0};

		waits_record(&w, us * CLOCK_NS_PER_US);
		waits_record(&w, CLOCK_NEVER);
		struct waits_total total = total_of(&w);
		double error = ((double)waits_percentile(&total, 50) - (double)us) / (double)us;
		ck_assert_msg(error > -0.0626 && error < 0.0626, "%lld", (long long)us);
	}
}
END_TEST

START_TEST(bounds)
{
	static struct waits w;

	waits_record(&w, -1);
	waits_record(&w, INT64_MIN);
	struct waits_total total = total_of(&w);
	ck_assert_uint_eq(total.count, 2);
	ck_assert_uint_eq(total.max, 0);
	waits_record(&w, CLOCK_NEVER);
	total = total_of(&w);
	ck_assert_uint_eq(total.count, 3);
	ck_assert_uint_eq(total.max, UINT32_MAX);
	ck_assert_uint_eq(waits_percentile(&total, 100), UINT32_MAX);
}
END_TEST

static void *record(void *arg)
{
	struct counters *set = arg;

	for (int64_t i = 0; i < EACH; i++)
		waits_record(&set->waits, i * CLOCK_NS_PER_US);
	return NULL;
}

/* Each has one writer; a reader never sees more than there will be. */
START_TEST(all_at_once)
{
	struct counters *sets = counters_new(SETS);
	pthread_t threads[SETS];

	for (unsigned i = 0; i < SETS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, record, &sets[i]), 0);
	for (uint64_t before = 0, count = 0; count < SETS * EACH / 2; before = count) {
		count = counters_waits(sets, SETS).count;
		ck_assert_uint_ge(count, before);
	}
	for (unsigned i = 0; i < SETS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	struct waits_total total = counters_waits(sets, SETS);
	ck_assert_uint_eq(total.count, SETS * EACH);
	ck_assert_uint_eq(total.max, EACH - 1);
	ck_assert_uint_eq(total.sum, (uint64_t)SETS * EACH * (EACH - 1) / 2);
	counters_free(sets, SETS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/waits");
	TCase *tc = tcase_create("waits");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, empty);
	tcase_add_test(tc, percentiles);
	tcase_add_test(tc, error_is_bounded);
	tcase_add_test(tc, bounds);
	tcase_add_test(tc, all_at_once);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
