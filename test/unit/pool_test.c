/* The fixed pool: every item once, bursts, ids and names, and that stopping finishes what is queued. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "work/pool.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { ITEMS = 20000, WORKERS_MAX = 8 };

struct record {
	unsigned workers, burst;
	const char *name; /* what the kernel keeps of the pool's; NULL: do not look */
	_Atomic unsigned char *seen;
	_Atomic unsigned done;
	_Atomic unsigned full_bursts;
	_Atomic unsigned busy[WORKERS_MAX]; /* a worker is never entered twice at once */
};

static void work(void *arg, unsigned id, const struct queue_item *items, size_t n)
{
	struct record *r = arg;
	char name[16], want[32];

	HOLDS(id < r->workers);
	HOLDS(n > 0 && n <= r->burst);
	HOLDS(atomic_fetch_add(&r->busy[id], 1) == 0);
	if (r->name) {
		HOLDS(pthread_getname_np(pthread_self(), name, sizeof(name)) == 0);
		snprintf(want, sizeof(want), "%s-%u", r->name, id);
		HOLDS(strcmp(name, want) == 0);
	}
	for (size_t i = 0; i < n; i++)
		HOLDS(atomic_fetch_add(&r->seen[(uintptr_t)items[i].what], 1) == 0);
	atomic_fetch_add(&r->full_bursts, n == r->burst);
	atomic_fetch_sub(&r->busy[id], 1);
	atomic_fetch_add(&r->done, (unsigned)n);
}

static void put_all(struct queue *q, uintptr_t count)
{
	for (uintptr_t i = 0; i < count;) {
		struct queue_item batch[5];
		size_t n = count - i < 5 ? count - i : 5;

		for (size_t k = 0; k < n; k++)
			batch[k] = (struct queue_item){.what = (void *)(i + k), .since = 1};
		size_t put = queue_put(q, batch, n);
		i += put;
		if (put < n)
			sched_yield();
	}
}

static const struct {
	unsigned workers, burst, runnable, share;
	const char *name, *kept;
} pools[] = {
        {1, 1, 1, 1, "one", "one"},
        {4, 1, 4, 1, "tplb", "tplb"},
        {3, 8, 2, 8, "ninechars", "ninechars"},
        {8, POOL_BURST_MAX, 2, 4, "a-name-too-long", "a-name-to"},
};

START_TEST(every_item_once)
{
	static struct record r;
	struct queue *q = queue_new(100, pools[_i].runnable, pools[_i].share);
	int error;

	r = (struct record){.workers = pools[_i].workers, .burst = pools[_i].burst, .name = pools[_i].kept};
	r.seen = calloc(ITEMS, 1);
	struct pool *p = pool_start(pools[_i].name, r.workers, r.burst, q, work, &r, &error);
	ck_assert_ptr_nonnull(p);
	put_all(q, ITEMS);
	pool_stop(p);
	ck_assert_uint_eq(atomic_load(&r.done), ITEMS);
	ck_assert_uint_eq(queue_depth(q), 0);
	queue_free(q);
	free((void *)r.seen);
}
END_TEST

/* All is queued before the first thread is there, and the stop comes at once. */
START_TEST(stop_finishes)
{
	static struct record r;
	struct queue *q = queue_new(1000, 1, 1);
	int error;

	r = (struct record){.workers = 4, .burst = 7};
	r.seen = calloc(1000, 1);
	put_all(q, 1000);
	struct pool *p = pool_start("stop", r.workers, r.burst, q, work, &r, &error);
	ck_assert_ptr_nonnull(p);
	pool_stop(p);
	ck_assert_uint_eq(atomic_load(&r.done), 1000);
	ck_assert_uint_gt(atomic_load(&r.full_bursts), 0);
	queue_free(q);
	free((void *)r.seen);
}
END_TEST

START_TEST(nothing_to_do)
{
	static struct record r;
	struct queue *q = queue_new(1, 1, 1);
	int error;

	r = (struct record){.workers = 8, .burst = 1};
	struct pool *p = pool_start("idle", r.workers, r.burst, q, work, &r, &error);
	ck_assert_ptr_nonnull(p);
	pool_stop(p);
	ck_assert_uint_eq(atomic_load(&r.done), 0);
	queue_free(q);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("work/pool");
	TCase *tc = tcase_create("pool");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_item_once, 0, (int)(sizeof(pools) / sizeof(pools[0])));
	tcase_add_test(tc, stop_finishes);
	tcase_add_test(tc, nothing_to_do);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
