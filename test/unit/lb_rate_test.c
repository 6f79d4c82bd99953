/* Token buckets: what a burst and the time after it let through, who is forgotten when a table is full, and that threads together get no token more. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lb/rate.h"

#define MS CLOCK_NS_PER_MS
#define S CLOCK_NS_PER_S
#define NOW (INT64_C(1000000) * S)

enum { THREADS = 4, TRIES = 20000 };

static struct rate *made(int64_t requests, int64_t per, int64_t burst, int64_t entries)
{
	struct rate_options options = {requests, per, burst, entries};
	struct rate *r = rate_new(&options);

	ck_assert_ptr_nonnull(r);
	return r;
}

static int64_t take(struct rate *r, const char *key, int64_t now)
{
	bool evicted;

	return rate_take(r, key, strlen(key), now, &evicted);
}

/* How many of `tries` at that time get a token. */
static int admitted(struct rate *r, const char *key, int64_t now, int tries)
{
	int count = 0;

	for (int i = 0; i < tries; i++)
		count += take(r, key, now) == 0;
	return count;
}

START_TEST(test_burst_and_refill)
{
	struct rate *r = made(10, S, 5, 1024); /* a token each 100 ms */

	ck_assert_int_eq(admitted(r, "a", NOW, 100), 5);
	ck_assert_int_eq(take(r, "a", NOW), 100 * MS);
	ck_assert_int_eq(take(r, "a", NOW + 99 * MS), MS);
	ck_assert_int_eq(admitted(r, "a", NOW + 100 * MS, 100), 1);
	ck_assert_int_eq(admitted(r, "a", NOW + 350 * MS, 100), 2);
	ck_assert_int_eq(take(r, "a", NOW + 350 * MS), 50 * MS);
	/* Never more than the burst, however long it was quiet. */
	ck_assert_int_eq(admitted(r, "a", NOW + 3600 * S, 100), 5);
	rate_free(r);
}
END_TEST

START_TEST(test_burst_of_one)
{
	struct rate *r = made(1, 60 * S, 1, 1024);

	ck_assert_int_eq(take(r, "a", NOW), 0);
	ck_assert_int_eq(take(r, "a", NOW), 60 * S);
	ck_assert_int_eq(take(r, "a", NOW + 60 * S - 1), 1);
	ck_assert_int_eq(take(r, "a", NOW + 60 * S), 0);
	rate_free(r);
}
END_TEST

START_TEST(test_refusals_cost_nothing)
{
	struct rate *r = made(10, S, 1, 1024);

	ck_assert_int_eq(take(r, "a", NOW), 0);
	for (int64_t at = NOW; at < NOW + 100 * MS; at += MS)
		ck_assert_int_gt(take(r, "a", at), 0);
	ck_assert_int_eq(take(r, "a", NOW + 100 * MS), 0);
	rate_free(r);
}
END_TEST

START_TEST(test_long_run)
{
	struct rate *r = made(3, S, 7, 1024); /* intervals that are no whole number of ns */
	int count = 0;

	for (int64_t at = NOW; at < NOW + 100 * S; at += 10 * MS)
		count += admitted(r, "a", at, 3);
	ck_assert_int_ge(count, 7 + 299);
	ck_assert_int_le(count, 7 + 300);
	rate_free(r);
}
END_TEST

START_TEST(test_keys_are_apart)
{
	struct rate *r = made(1, S, 2, 65536);
	char key[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "client %d", i);
		ck_assert_int_eq(admitted(r, key, NOW, 10), 2);
	}
	ck_assert_int_eq(admitted(r, "client 0", NOW, 10), 0);
	rate_free(r);
}
END_TEST

/* A time that another thread read a little earlier counts as that thread's. */
START_TEST(test_time_goes_back)
{
	struct rate *r = made(10, S, 2, 1024);

	ck_assert_int_eq(take(r, "a", NOW), 0);
	ck_assert_int_eq(take(r, "a", NOW - MS), 0);
	ck_assert_int_eq(take(r, "a", NOW - MS), 100 * MS);
	rate_free(r);
}
END_TEST

/* One set: 16 clients are remembered; the 17th takes the place of the one that is nearest to full, not of the greediest. */
START_TEST(test_full_table)
{
	struct rate *r = made(1, S, 100, RATE_SET);
	char key[32];
	bool evicted;

	ck_assert_int_eq(admitted(r, "greedy", NOW, 200), 100);
	for (int i = 0; i < RATE_SET - 1; i++) {
		snprintf(key, sizeof(key), "client %d", i);
		ck_assert_int_eq(rate_take(r, key, strlen(key), NOW + i, &evicted), 0);
		ck_assert(!evicted);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "new %d", i);
		ck_assert_int_eq(rate_take(r, key, strlen(key), NOW + 100, &evicted), 0);
		ck_assert(evicted);
	}
	ck_assert_int_gt(take(r, "greedy", NOW + 100), 0);
	rate_free(r);
}
END_TEST

/* A bucket that is full again is free for another client, and nobody is given up for it. */
START_TEST(test_full_buckets_are_free)
{
	struct rate *r = made(1, S, 1, RATE_SET);
	char key[32];
	bool evicted;

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < RATE_SET; i++) {
			snprintf(key, sizeof(key), "round %d client %d", round, i);
			ck_assert_int_eq(rate_take(r, key, strlen(key), NOW + round * S, &evicted), 0);
			ck_assert(!evicted);
		}
	}
	rate_free(r);
}
END_TEST

/* Half full: hardly a set has more than its 16. */
START_TEST(test_sets_are_even)
{
	struct rate *r = made(1, 3600 * S, 1, 4096);
	char key[32];
	int lost = 0;
	bool evicted;

	for (int i = 0; i < 2048; i++) {
		snprintf(key, sizeof(key), "client %d", i);
		ck_assert_int_eq(rate_take(r, key, strlen(key), NOW, &evicted), 0);
		lost += evicted;
	}
	/* Poisson with mean 8 in 256 sets: 1.2 of the 2048 are expected not to fit. */
	ck_assert_int_lt(lost, 20);
	rate_free(r);
}
END_TEST

START_TEST(test_extremes)
{
	struct rate *slow = made(1, 86400 * S, 365, RATE_SET), *fast = made(1000000, S, 1000000, RATE_SET);

	ck_assert_int_eq(admitted(slow, "a", NOW, 1000), 365);
	ck_assert_int_eq(take(slow, "a", NOW), 86400 * S);
	ck_assert_int_eq(admitted(fast, "a", NOW, 1000001), 1000000);
	ck_assert_int_eq(take(fast, "a", NOW), 1000);
	rate_free(slow);
	rate_free(fast);
	rate_free(NULL);
}
END_TEST

static void *taker(void *arg)
{
	struct rate *r = arg;

	return (void *)(intptr_t)(admitted(r, "one", NOW, TRIES) + 1000000 * admitted(r, "two", NOW, TRIES));
}

START_TEST(test_threads)
{
	struct rate *r = made(1, 3600 * S, 1000, 1024);
	pthread_t threads[THREADS];
	intptr_t one = 0, two = 0;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, taker, r), 0);
	for (int i = 0; i < THREADS; i++) {
		void *got;

		ck_assert_int_eq(pthread_join(threads[i], &got), 0);
		one += (intptr_t)got % 1000000;
		two += (intptr_t)got / 1000000;
	}
	ck_assert_int_eq(one, 1000);
	ck_assert_int_eq(two, 1000);
	rate_free(r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lb_rate");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_test(all, test_burst_and_refill);
	tcase_add_test(all, test_burst_of_one);
	tcase_add_test(all, test_refusals_cost_nothing);
	tcase_add_test(all, test_long_run);
	tcase_add_test(all, test_keys_are_apart);
	tcase_add_test(all, test_time_goes_back);
	tcase_add_test(all, test_full_table);
	tcase_add_test(all, test_full_buckets_are_free);
	tcase_add_test(all, test_sets_are_even);
	tcase_add_test(all, test_extremes);
	tcase_add_test(all, test_threads);
	suite_add_tcase(s, all);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
