/* Round-robin: the order of smooth weights, and exactness over threads. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lb/pick.h"

enum { SERVERS_MAX = 8, THREADS = 4, PICKS = 7000 };

static struct server servers[SERVERS_MAX];

static struct upstream upstream_of(const unsigned *weights, unsigned count)
{
	struct upstream u = {.name = "u", .count = count, .servers = servers};

	memset(servers, 0, sizeof(servers));
	for (unsigned i = 0; i < count; i++)
		servers[i].weight = weights[i];
	u.picker = picker_new(LB_BALANCE_ROUNDROBIN, &u);
	ck_assert_ptr_nonnull(u.picker);
	return u;
}

static const struct {
	unsigned count;
	unsigned weights[SERVERS_MAX];
	const char *order; /* once around, by hand */
} orders[] = {
        {1, {1}, "a"},
        {1, {256}, "a"},
        {3, {1, 1, 1}, "abc"},
        {3, {7, 7, 7}, "abc"},
        {2, {2, 1}, "aba"},
        {2, {1, 2}, "bab"},
        {2, {4, 2}, "aba"},
        {3, {5, 1, 1}, "aabacaa"},
        {3, {10, 2, 2}, "aabacaa"},
        {4, {4, 3, 2, 1}, "abcabdacba"},
};

START_TEST(order)
{
	struct upstream u = upstream_of(orders[_i].weights, orders[_i].count);
	size_t len = strlen(orders[_i].order);

	for (size_t turn = 0; turn < 5 * len; turn++)
		ck_assert_int_eq('a' + (int)pick_server(&u), orders[_i].order[turn % len]);
	picker_free(u.picker);
}
END_TEST

/* Each gets its share of every round exactly, whatever the weights. */
START_TEST(shares)
{
	unsigned weights[SERVERS_MAX], got[SERVERS_MAX] = {0}, sum = 0;
	unsigned state = (unsigned)_i + 1;

	for (unsigned i = 0; i < SERVERS_MAX; i++) {
		state = state * 1664525u + 1013904223u;
		weights[i] = 1 + (state >> 8) % 256;
		sum += weights[i];
	}
	struct upstream u = upstream_of(weights, SERVERS_MAX);
	for (unsigned i = 0; i < 3 * sum; i++)
		got[pick_server(&u)]++;
	for (unsigned i = 0; i < SERVERS_MAX; i++)
		ck_assert_uint_eq(got[i], 3 * weights[i]);
	picker_free(u.picker);
}
END_TEST

struct picking {
	const struct upstream *upstream;
	pthread_t thread;
	unsigned got[SERVERS_MAX];
};

static void *pick_often(void *arg)
{
	struct picking *p = arg;

	for (int i = 0; i < PICKS; i++) {
		unsigned server = pick_server(p->upstream);

		MUST(server < p->upstream->count);
		p->got[server]++;
	}
	return NULL;
}

START_TEST(over_threads)
{
	static const unsigned weights[] = {5, 1, 1};
	struct upstream u = upstream_of(weights, 3);
	static struct picking all[THREADS];
	unsigned got[3] = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct picking){.upstream = &u};
		PTHREAD_OK(pthread_create(&all[i].thread, NULL, pick_often, &all[i]));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		PTHREAD_OK(pthread_join(all[i].thread, NULL));
		for (unsigned k = 0; k < 3; k++)
			got[k] += all[i].got[k];
	}
	for (unsigned k = 0; k < 3; k++)
		ck_assert_uint_eq(got[k], THREADS * PICKS / 7 * weights[k]);
	picker_free(u.picker);
}
END_TEST

START_TEST(nobody)
{
	picker_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/pick");
	TCase *tc = tcase_create("roundrobin");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, order, 0, (int)(sizeof(orders) / sizeof(orders[0])));
	tcase_add_loop_test(tc, shares, 0, 10);
	tcase_add_test(tc, over_threads);
	tcase_add_test(tc, nobody);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
