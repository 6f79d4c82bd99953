/* The pool: every item once, bursts, ids and names, other sizes while it works, and that stopping finishes what is queued. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "denied_call.h"
#include "work/pool.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { ITEMS = 20000, WORKERS_MAX = 32 };

struct record {
	unsigned workers, burst;
	const char *name; /* what the kernel keeps of the pool's; NULL: do not look */
	_Atomic unsigned char *seen;
	_Atomic unsigned done;
	_Atomic unsigned full_bursts;
	_Atomic unsigned busy[WORKERS_MAX];  /* a worker is never entered twice at once */
	_Atomic unsigned there[WORKERS_MAX]; /* entered and not left */
	_Atomic unsigned entered, left;      /* how often */
	unsigned most_enter;                 /* ids from here on find no memory */
	_Atomic unsigned inside;             /* workers in hold() */
	pthread_mutex_t gate;                /* they wait for it */
};

static bool enter(void *arg, unsigned id)
{
	struct record *r = arg;

	HOLDS(id < WORKERS_MAX);
	if (id >= r->most_enter)
		return false;
	HOLDS(atomic_fetch_add(&r->there[id], 1) == 0);
	atomic_fetch_add(&r->entered, 1);
	return true;
}

static void leave(void *arg, unsigned id)
{
	struct record *r = arg;

	HOLDS(atomic_fetch_sub(&r->there[id], 1) == 1);
	HOLDS(atomic_load(&r->busy[id]) == 0);
	atomic_fetch_add(&r->left, 1);
}

static struct pool *start(const char *name, struct record *r, struct queue *q, pool_work *work)
{
	int error = 0;
	struct pool_options options = {.name = name,
	        .workers = r->workers,
	        .most = WORKERS_MAX,
	        .burst = r->burst,
	        .queue = q,
	        .enter = enter,
	        .work = work,
	        .leave = leave,
	        .arg = r};

	r->most_enter = WORKERS_MAX;
	struct pool *p = pool_start(&options, &error);
	ck_assert_ptr_nonnull(p);
	return p;
}

static void stop(struct pool *p, struct record *r)
{
	pool_stop(p);
	ck_assert_uint_eq(atomic_load(&r->entered), atomic_load(&r->left));
}

static void work(void *arg, unsigned id, const struct queue_item *items, size_t n)
{
	struct record *r = arg;
	char name[16], want[32];

	HOLDS(atomic_load(&r->there[id]) == 1);
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

	r = (struct record){.workers = pools[_i].workers, .burst = pools[_i].burst, .name = pools[_i].kept};
	r.seen = calloc(ITEMS, 1);
	struct pool *p = start(pools[_i].name, &r, q, work);
	put_all(q, ITEMS);
	stop(p, &r);
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

	r = (struct record){.workers = 4, .burst = 7};
	r.seen = calloc(1000, 1);
	put_all(q, 1000);
	struct pool *p = start("stop", &r, q, work);
	stop(p, &r);
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

	r = (struct record){.workers = 8, .burst = 1};
	struct pool *p = start("idle", &r, q, work);
	stop(p, &r);
	ck_assert_uint_eq(atomic_load(&r.done), 0);
	queue_free(q);
}
END_TEST

static unsigned random_below(unsigned *state, unsigned n)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % n;
}

/* A stream that waits for each of its batches: one item that is left lying, and it stands still. */
struct stream {
	struct queue *q;
	struct record *r;
	_Atomic bool over;
};

static void *put_and_wait(void *arg)
{
	struct stream *s = arg;
	unsigned state = 7;
	uintptr_t next = 0;

	while (next < ITEMS) {
		struct queue_item batch[8];
		size_t n = 1 + random_below(&state, 8);

		if (n > ITEMS - next)
			n = ITEMS - next;
		for (size_t k = 0; k < n; k++)
			batch[k] = (struct queue_item){.what = (void *)(next + k), .since = 1};
		HOLDS(queue_put(s->q, batch, n) == n);
		next += n;
		while (atomic_load(&s->r->done) < next)
			sched_yield();
	}
	atomic_store(&s->over, true);
	return NULL;
}

START_TEST(resize_under_a_stream)
{
	static struct record r;
	struct queue *q = queue_new(8, (unsigned)_i, 2);
	struct stream s = {.q = q, .r = &r};
	pthread_t thread;
	unsigned state = 1, times = 0, workers = 4;
	int error = 0;

	r = (struct record){.workers = workers, .burst = 3};
	r.seen = calloc(ITEMS, 1);
	struct pool *p = start("resize", &r, q, work);
	PTHREAD_OK(pthread_create(&thread, NULL, put_and_wait, &s));
	for (; times < 1000 || !atomic_load(&s.over); times++) {
		workers = 1 + random_below(&state, WORKERS_MAX);
		HOLDS(pool_resize(p, workers, &error) == workers && error == 0);
		HOLDS(pool_workers(p) == workers);
		if (times % 8 == 0)
			sched_yield();
	}
	PTHREAD_OK(pthread_join(thread, NULL));
	while (atomic_load(&r.entered) - atomic_load(&r.left) != workers)
		sched_yield(); /* they are idle, so they go at once */
	stop(p, &r);
	ck_assert_uint_eq(atomic_load(&r.done), ITEMS);
	queue_free(q);
	free((void *)r.seen);
}
END_TEST

static void hold(void *arg, unsigned id, const struct queue_item *items, size_t n)
{
	struct record *r = arg;

	(void)id;
	(void)items;
	atomic_fetch_add(&r->inside, (unsigned)n);
	PTHREAD_OK(pthread_mutex_lock(&r->gate));
	PTHREAD_OK(pthread_mutex_unlock(&r->gate));
	atomic_fetch_sub(&r->inside, (unsigned)n);
	atomic_fetch_add(&r->done, (unsigned)n);
}

static void wait_for(_Atomic unsigned *value, unsigned want)
{
	while (atomic_load(value) != want)
		sched_yield(); /* Check's time limit is the bound */
}

static void put_one(struct queue *q)
{
	struct queue_item one = {.since = 1};

	HOLDS(queue_put(q, &one, 1) == 1);
}

/* As many as were asked for work at once, and not one more. */
START_TEST(as_many_as_asked)
{
	static struct record r;
	struct queue *q = queue_new(64, 2 * WORKERS_MAX, 1);
	unsigned state = 3, done = 0;
	int error = 0;

	r = (struct record){.workers = 1, .burst = 1, .gate = PTHREAD_MUTEX_INITIALIZER};
	struct pool *p = start("many", &r, q, hold);
	for (int times = 0; times < 200; times++) {
		unsigned workers = 1 + random_below(&state, WORKERS_MAX);

		HOLDS(pool_resize(p, workers, &error) == workers && error == 0);
		while (atomic_load(&r.entered) - atomic_load(&r.left) != workers)
			sched_yield();
		PTHREAD_OK(pthread_mutex_lock(&r.gate));
		for (unsigned i = 0; i < workers + 1; i++)
			put_one(q);
		wait_for(&r.inside, workers);
		HOLDS(queue_depth(q) == 1);
		PTHREAD_OK(pthread_mutex_unlock(&r.gate));
		done += workers + 1;
		wait_for(&r.done, done);
	}
	stop(p, &r);
	queue_free(q);
}
END_TEST

/* Those who work stay until they are done; who is asked to stay after all does so, and no thread is started in his place. */
START_TEST(busy_ones_leave_later)
{
	static struct record r;
	struct queue *q = queue_new(64, WORKERS_MAX, 1);
	int error = 0;

	r = (struct record){.workers = 8, .burst = 1, .gate = PTHREAD_MUTEX_INITIALIZER};
	struct pool *p = start("busy", &r, q, hold);
	PTHREAD_OK(pthread_mutex_lock(&r.gate));
	for (int i = 0; i < 8; i++)
		put_one(q);
	wait_for(&r.inside, 8);
	ck_assert_uint_eq(pool_resize(p, 8, &error), 8);
	ck_assert_uint_eq(pool_resize(p, 2, &error), 2);
	ck_assert_uint_eq(pool_resize(p, 5, &error), 5);
	ck_assert_uint_eq(atomic_load(&r.entered), 8);
	ck_assert_uint_eq(atomic_load(&r.left), 0);
	ck_assert_uint_eq(pool_resize(p, 9, &error), 9);
	ck_assert_uint_eq(atomic_load(&r.entered), 9);
	ck_assert_uint_eq(pool_resize(p, 3, &error), 3); /* the new one may be idle by now, or not */
	PTHREAD_OK(pthread_mutex_unlock(&r.gate));
	wait_for(&r.done, 8);
	wait_for(&r.left, 6);
	put_one(q);
	wait_for(&r.done, 9);
	stop(p, &r);
	ck_assert_uint_eq(atomic_load(&r.entered), 9);
	queue_free(q);
}
END_TEST

/* It is closed before those that are to go have come by; nothing is left undone. */
START_TEST(stop_amid_a_resize)
{
	static struct record r;
	struct queue *q = queue_new(64, WORKERS_MAX, 1);
	int error = 0;

	for (unsigned times = 0; times < 100; times++) {
		r = (struct record){.workers = 8, .burst = 1, .gate = PTHREAD_MUTEX_INITIALIZER};
		q = times == 0 ? q : queue_new(64, WORKERS_MAX, 1);
		struct pool *p = start("amid", &r, q, hold);
		for (int i = 0; i < 20; i++)
			put_one(q);
		ck_assert_uint_eq(pool_resize(p, 1 + times % 8, &error), 1 + times % 8);
		ck_assert_uint_eq(pool_resize(p, 1 + times % 5, &error), 1 + times % 5);
		stop(p, &r);
		ck_assert_uint_eq(atomic_load(&r.done), 20);
		queue_free(q);
	}
}
END_TEST

/* What was reached stays, and works. */
START_TEST(no_memory_for_more)
{
	static struct record r;
	struct queue *q = queue_new(64, WORKERS_MAX, 1);
	int error = 0;

	r = (struct record){.workers = 2, .burst = 1, .gate = PTHREAD_MUTEX_INITIALIZER};
	struct pool *p = start("more", &r, q, hold);
	r.most_enter = 5;
	ck_assert_uint_eq(pool_resize(p, 8, &error), 5);
	ck_assert_int_eq(error, ENOMEM);
	ck_assert_uint_eq(pool_workers(p), 5);
	PTHREAD_OK(pthread_mutex_lock(&r.gate));
	for (int i = 0; i < 5; i++)
		put_one(q);
	wait_for(&r.inside, 5);
	PTHREAD_OK(pthread_mutex_unlock(&r.gate));
	stop(p, &r);
	ck_assert_uint_eq(atomic_load(&r.done), 5);
	queue_free(q);
}
END_TEST

/* The system has no more threads: what was made for the first one is given back. */
START_TEST(no_threads)
{
	if (!may_deny_memory())
		return;
	struct record r = {.workers = 3, .burst = 1, .most_enter = WORKERS_MAX};
	struct queue *q = queue_new(4, 2, 1);
	struct pool_options options = {.name = "few",
	        .workers = 3,
	        .most = WORKERS_MAX,
	        .burst = 1,
	        .queue = q,
	        .enter = enter,
	        .work = work,
	        .leave = leave,
	        .arg = &r};
	int error = 0;

	deny_threads();
	ck_assert_ptr_null(pool_start(&options, &error));
	ck_assert_int_eq(error, EAGAIN);
	ck_assert_uint_eq(atomic_load(&r.entered), 1);
	ck_assert_uint_eq(atomic_load(&r.left), 1);
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
	tcase_add_loop_test(tc, resize_under_a_stream, 1, 5); /* as many awake at once */
	tcase_add_test(tc, as_many_as_asked);
	tcase_add_test(tc, busy_ones_leave_later);
	tcase_add_test(tc, stop_amid_a_resize);
	tcase_add_test(tc, no_memory_for_more);
	tcase_add_test(tc, no_threads);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
