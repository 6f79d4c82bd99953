/* Counters: names, sets that share no cache line, sums while they are being written. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "obs/counters.h"

enum { SETS = 4, TIMES = 100000 };

START_TEST(names)
{
	for (int i = 0; i < COUNTER_COUNT; i++) {
		const char *name = counter_name((enum counter_id)i);

		ck_assert_uint_gt(strlen(name), 0);
		ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
		ck_assert_uint_gt(strlen(counter_help((enum counter_id)i)), 0);
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(name, counter_name((enum counter_id)k));
	}
	ck_assert_str_eq(counter_name(COUNTER_requests), "requests");
	ck_assert_str_eq(counter_name(COUNTER_log_lost), "log_lost");
}
END_TEST

START_TEST(sums)
{
	struct counters *sets = counters_new(SETS);

	ck_assert_ptr_nonnull(sets);
	for (unsigned i = 0; i < SETS; i++) {
		ck_assert_uint_eq((uintptr_t)&sets[i] % 64, 0);
		for (int k = 0; k < COUNTER_COUNT; k++)
			ck_assert_uint_eq(atomic_load(&sets[i].value[k]), 0);
		counter_add(&sets[i], COUNTER_bytes_out, UINT64_C(10000000000) << i);
		COUNT(&sets[i], requests);
		COUNT(&sets[i], requests);
	}
	ck_assert_uint_eq(counters_sum(sets, SETS, COUNTER_bytes_out), UINT64_C(150000000000));
	ck_assert_uint_eq(counters_sum(sets, 1, COUNTER_bytes_out), UINT64_C(10000000000));
	ck_assert_uint_eq(counters_sum(sets, 0, COUNTER_bytes_out), 0);
	ck_assert_uint_eq(counters_sum(sets, SETS, COUNTER_requests), 2 * SETS);
	ck_assert_uint_eq(counters_sum(sets, SETS, COUNTER_bytes_in), 0);
	counters_free(sets, SETS);
}
END_TEST

static void *add_often(void *arg)
{
	struct counters *set = arg;

	for (int i = 0; i < TIMES; i++) {
		COUNT(set, requests);
		counter_add(set, COUNTER_bytes_in, 3);
	}
	return NULL;
}

START_TEST(many_threads)
{
	struct counters *sets = counters_new(SETS);
	pthread_t threads[SETS];
	uint64_t before = 0;

	for (unsigned i = 0; i < SETS; i++)
		PTHREAD_OK(pthread_create(&threads[i], NULL, add_often, &sets[i]));
	for (int i = 0; i < 1000; i++) {
		uint64_t now = counters_sum(sets, SETS, COUNTER_requests);

		MUST(now >= before && now <= SETS * TIMES);
		before = now;
	}
	for (unsigned i = 0; i < SETS; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	ck_assert_uint_eq(counters_sum(sets, SETS, COUNTER_requests), SETS * TIMES);
	ck_assert_uint_eq(counters_sum(sets, SETS, COUNTER_bytes_in), 3 * SETS * TIMES);
	counters_free(sets, SETS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/counters");
	TCase *tc = tcase_create("counters");

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, names);
	tcase_add_test(tc, sums);
	tcase_add_test(tc, many_threads);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
