/* The helpers: jobs that may block, done by other threads. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "net/helpers.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { MANY = 1000, GIVERS = 4 };

static struct helpers *helpers;
static pthread_t giver;
static sem_t gate; /* a job goes on when it is posted */
static sem_t done; /* posted by each done() */
static _Atomic unsigned started, ran, ended;

static void setup(void)
{
	giver = pthread_self();
	HOLDS(sem_init(&gate, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
	started = ran = ended = 0;
}

static void start(unsigned threads)
{
	int error = -1;

	helpers = helpers_start("test", threads, &error);
	ck_assert_ptr_nonnull(helpers);
	ck_assert_int_eq(error, 0);
}

static void take(sem_t *s)
{
	while (sem_wait(s) != 0)
		HOLDS(errno == EINTR);
}

/* A job and what is known of it. */
struct task {
	struct helper_job job;
	bool waits;
	unsigned runs, dones; /* its helper's, then the test's */
	unsigned place;       /* how many had run before it */
};

static void run(void *arg)
{
	struct task *t = arg;

	HOLDS(!pthread_equal(pthread_self(), giver));
	atomic_fetch_add(&started, 1);
	if (t->waits)
		take(&gate);
	t->place = atomic_fetch_add(&ran, 1);
	t->runs++;
}

static void note_done(struct helper_job *job)
{
	struct task *t = (struct task *)((char *)job - offsetof(struct task, job));

	HOLDS(!pthread_equal(pthread_self(), giver));
	HOLDS(t->runs == 1);
	t->dones++;
	atomic_fetch_add(&ended, 1);
	sem_post(&done);
}

static struct task *tasks_new(unsigned count, bool waits)
{
	struct task *all = calloc(count, sizeof(*all));

	HOLDS(all != NULL);
	for (unsigned i = 0; i < count; i++) {
		all[i].job = (struct helper_job){.run = run, .arg = &all[i], .done = note_done};
		all[i].waits = waits;
	}
	return all;
}

static void expect_once(const struct task *all, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_eq(all[i].runs, 1);
		ck_assert_uint_eq(all[i].dones, 1);
	}
}

/* One thread does them in the order in which they came. */
START_TEST(in_order)
{
	struct task *all = tasks_new(MANY, false);

	start(1);
	for (int i = 0; i < MANY; i++)
		helpers_give(helpers, &all[i].job);
	for (int i = 0; i < MANY; i++)
		take(&done);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(all[i].place, i);
	expect_once(all, MANY);
	helpers_stop(helpers);
	free(all);
}
END_TEST

/* As many at once as there are threads; one that blocks holds up no other thread's. */
START_TEST(side_by_side)
{
	enum { THREADS = 3 };
	struct task *blocked = tasks_new(THREADS, true), *free_one = tasks_new(1, false);

	start(THREADS);
	for (int i = 0; i < THREADS - 1; i++)
		helpers_give(helpers, &blocked[i].job);
	helpers_give(helpers, &free_one->job);
	take(&done);
	expect_once(free_one, 1);
	helpers_give(helpers, &blocked[THREADS - 1].job);
	while (atomic_load(&started) < THREADS + 1)
		sched_yield();
	ck_assert_uint_eq(atomic_load(&ended), 1);
	for (int i = 0; i < THREADS; i++)
		sem_post(&gate);
	for (int i = 0; i < THREADS; i++)
		take(&done);
	expect_once(blocked, THREADS);
	helpers_stop(helpers);
	free(blocked);
	free(free_one);
}
END_TEST

/* What was given is done before the threads end. */
START_TEST(stop_finishes)
{
	struct task *all = tasks_new(MANY, true);

	start((unsigned)_i);
	for (int i = 0; i < MANY; i++)
		helpers_give(helpers, &all[i].job);
	for (int i = 0; i < MANY; i++)
		sem_post(&gate);
	helpers_stop(helpers);
	ck_assert_uint_eq(atomic_load(&ended), MANY);
	expect_once(all, MANY);
	free(all);
}
END_TEST

START_TEST(nothing_to_do)
{
	start(2);
	helpers_stop(helpers);
}
END_TEST

static void *give_many(void *arg)
{
	struct task *all = arg;

	for (int i = 0; i < MANY; i++)
		helpers_give(helpers, &all[i].job);
	return NULL;
}

static void no_giver(void *arg)
{
	struct task *t = arg;

	t->runs++;
}

START_TEST(many_givers)
{
	pthread_t threads[GIVERS];
	struct task *all[GIVERS];

	start(4);
	for (int i = 0; i < GIVERS; i++) {
		all[i] = tasks_new(MANY, false);
		for (int n = 0; n < MANY; n++)
			all[i][n].job.run = no_giver;
		PTHREAD_OK(pthread_create(&threads[i], NULL, give_many, all[i]));
	}
	for (int i = 0; i < GIVERS; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	helpers_stop(helpers);
	ck_assert_uint_eq(atomic_load(&ended), GIVERS * MANY);
	for (int i = 0; i < GIVERS; i++) {
		expect_once(all[i], MANY);
		free(all[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/helpers");
	TCase *tc = tcase_create("helpers");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, side_by_side);
	tcase_add_loop_test(tc, stop_finishes, 1, 5);
	tcase_add_test(tc, nothing_to_do);
	tcase_add_test(tc, many_givers);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
