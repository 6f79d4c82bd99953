/* The histogram: exact for small values, within 0.4 % for all others, in every order. */
#include <check.h>
#include <stdlib.h>

#include "load/histogram.h"

static struct histogram h;

static void setup(void)
{
	h = (struct histogram){.count = 0};
}

static void is_near(int64_t got, int64_t want)
{
	double error = (double)(got - want) / (double)want;

	ck_assert_msg(error > -0.004 && error < 0.004, "%lld for %lld", (long long)got, (long long)want);
}

START_TEST(empty)
{
	ck_assert_int_eq(histogram_percentile(&h, 50), 0);
	ck_assert_int_eq(histogram_percentile(&h, 100), 0);
	ck_assert_double_eq(histogram_mean(&h), 0);
}
END_TEST

START_TEST(one_value_is_every_percentile)
{
	histogram_record(&h, 1234567);
	ck_assert_int_eq(histogram_percentile(&h, 0), 1234567);
	ck_assert_int_eq(histogram_percentile(&h, 50), 1234567);
	ck_assert_int_eq(histogram_percentile(&h, 100), 1234567);
	ck_assert_double_eq(histogram_mean(&h), 1234567);
	ck_assert_int_eq(h.max, 1234567);
}
END_TEST

START_TEST(small_values_are_exact)
{
	for (int i = 1; i <= 200; i++)
		histogram_record(&h, i);
	ck_assert_int_eq(histogram_percentile(&h, 0), 1);
	ck_assert_int_eq(histogram_percentile(&h, 50), 100);
	ck_assert_int_eq(histogram_percentile(&h, 50.1), 101);
	ck_assert_int_eq(histogram_percentile(&h, 99), 198);
	ck_assert_int_eq(histogram_percentile(&h, 100), 200);
	ck_assert_double_eq(histogram_mean(&h), 100.5);
}
END_TEST

/* Between two others, so that neither the least nor the largest hides the bucket. */
START_TEST(error_is_bounded)
{
	for (int64_t v = 2; v < HISTOGRAM_MOST - 1; v += v / 97 + 1) {
		setup();
		histogram_record(&h, 1);
		histogram_record(&h, v);
		histogram_record(&h, HISTOGRAM_MOST);
		is_near(histogram_percentile(&h, 50), v);
	}
}
END_TEST

START_TEST(percentiles_of_many)
{
	for (int64_t i = 1; i <= 100000; i++)
		histogram_record(&h, (i * 7919 % 100000 + 1) * CLOCK_NS_PER_US);
	is_near(histogram_percentile(&h, 50), 50000 * CLOCK_NS_PER_US);
	is_near(histogram_percentile(&h, 90), 90000 * CLOCK_NS_PER_US);
	is_near(histogram_percentile(&h, 99), 99000 * CLOCK_NS_PER_US);
	is_near(histogram_percentile(&h, 99.9), 99900 * CLOCK_NS_PER_US);
	ck_assert_int_eq(histogram_percentile(&h, 100), 100000 * CLOCK_NS_PER_US);
	ck_assert_int_eq(h.min, CLOCK_NS_PER_US);
	ck_assert_uint_eq(h.count, 100000);
}
END_TEST

START_TEST(beyond_the_ends)
{
	histogram_record(&h, -5);
	histogram_record(&h, INT64_MAX);
	ck_assert_int_eq(histogram_percentile(&h, 50), 0);
	ck_assert_int_eq(histogram_percentile(&h, 100), HISTOGRAM_MOST);
	ck_assert_int_eq(h.max, HISTOGRAM_MOST);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("load/histogram");
	TCase *t = tcase_create("histogram");
	SRunner *sr = srunner_create(s);

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, empty);
	tcase_add_test(t, one_value_is_every_percentile);
	tcase_add_test(t, small_values_are_exact);
	tcase_add_test(t, error_is_bounded);
	tcase_add_test(t, percentiles_of_many);
	tcase_add_test(t, beyond_the_ends);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
