/* The bounded queue: order, bounds, and the rule for how many workers are awake. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "work/queue.h"

/* For inner loops and threads: libcheck writes down every assertion that it passes. */
#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { PRODUCERS = 4, CONSUMERS = 4, ITEMS = 100000, THREADS_MAX = 8 };

static struct queue_item item(uintptr_t number, int64_t since)
{
	return (struct queue_item){.what = (void *)number, .since = since};
}

static uintptr_t number_of(const struct queue_item *i)
{
	return (uintptr_t)i->what;
}

static unsigned random_below(unsigned *state, unsigned n)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % n;
}

START_TEST(prefix)
{
	struct queue *q = queue_new(4, 1, 1);
	struct queue_item in[6], out[8];

	for (unsigned i = 0; i < 6; i++)
		in[i] = item(i, i);
	queue_worker_enters(q);
	ck_assert_uint_eq(queue_put(q, in, 0), 0);
	ck_assert_uint_eq(queue_put(q, in, 3), 3);
	ck_assert_uint_eq(queue_put(q, in + 3, 3), 1);
	ck_assert_uint_eq(queue_put(q, in + 4, 2), 0);
	ck_assert_uint_eq(queue_depth(q), 4);
	ck_assert_uint_eq(queue_take(q, out, 3), 3);
	ck_assert_uint_eq(queue_take(q, out + 3, 5), 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(number_of(&out[i]), i);
	ck_assert_uint_eq(queue_depth(q), 0);
	queue_free(q);
}
END_TEST

/* One thread: what comes out is what went in, in order, round and round the ring. */
START_TEST(order)
{
	for (unsigned size = 1; size <= 9; size++) {
		struct queue *q = queue_new(size, 2, 3);
		uintptr_t put = 0, taken = 0;
		unsigned state = size;

		queue_worker_enters(q);
		for (int round = 0; round < 20000; round++) {
			struct queue_item batch[12];
			size_t n = random_below(&state, 12);

			if (random_below(&state, 2)) {
				for (size_t i = 0; i < n; i++)
					batch[i] = item(put + i, CLOCK_NEVER);
				size_t want = n < size - (put - taken) ? n : size - (put - taken);
				HOLDS(queue_put(q, batch, n) == want);
				put += want;
			} else if (put > taken) {
				size_t want = n + 1 < put - taken ? n + 1 : put - taken;
				HOLDS(queue_take(q, batch, n + 1) == want);
				for (size_t i = 0; i < want; i++)
					HOLDS(number_of(&batch[i]) == taken++);
			}
			HOLDS(queue_depth(q) == put - taken && queue_depth(q) <= size);
		}
		queue_free(q);
	}
}
END_TEST

/* What was taken and goes back is taken first again, in its order; a full queue has no room for it. */
START_TEST(put_back)
{
	struct queue *q = queue_new(3, 1, 1);
	struct queue_item put[3] = {item(1, 10), item(2, 20), item(3, 30)}, out[3];

	queue_worker_enters(q);
	for (int round = 0; round < 5; round++) { /* also around the ring's end */
		ck_assert_uint_eq(queue_put(q, put, 3), 3);
		ck_assert(!queue_put_back(q, put[0]));
		ck_assert_uint_eq(queue_take(q, out, 2), 2);
		ck_assert(queue_put_back(q, out[1]) && queue_put_back(q, out[0]));
		ck_assert_int_eq(queue_oldest(q), 10);
		ck_assert_uint_eq(queue_take(q, out, 3), 3);
		for (uintptr_t i = 0; i < 3; i++)
			ck_assert_uint_eq(number_of(&out[i]), i + 1);
	}
	queue_free(q);
}
END_TEST

/* What comes back from elsewhere has room of its own, in front of a queue that is full. */
START_TEST(returned)
{
	struct queue *q = queue_new(2, 1, 1);
	struct queue_item put[3] = {item(1, 10), item(2, 20), item(3, 30)}, out[4];

	queue_worker_enters(q);
	ck_assert(queue_reserve(q, 2));
	ck_assert_uint_eq(queue_try_take(q, out, 4), 0);
	for (int round = 0; round < 7; round++) { /* also around the ring's end */
		ck_assert_uint_eq(queue_put(q, put, 3), 2);
		ck_assert(!queue_put_back(q, item(9, 0)));
		ck_assert(queue_return(q, item(4, CLOCK_NEVER)) && queue_return(q, item(5, CLOCK_NEVER)));
		ck_assert(!queue_return(q, item(6, CLOCK_NEVER)));
		ck_assert_uint_eq(queue_put(q, put, 1), 0);
		ck_assert_uint_eq(queue_try_take(q, out, 3), 3);
		ck_assert_uint_eq(queue_put(q, &put[2], 1), 1);
		ck_assert_uint_eq(queue_take(q, out + 3, 1), 1);
		static const uintptr_t want[] = {5, 4, 1, 2};
		for (int i = 0; i < 4; i++)
			ck_assert_uint_eq(number_of(&out[i]), want[i]);
		ck_assert_uint_eq(queue_try_take(q, out, 4), 1);
	}
	queue_free(q);
}
END_TEST

/* Against a plain list: what is old goes, what never grows old stays, the order of both is kept. */
START_TEST(older)
{
	enum { SIZE = 13 };
	struct queue *q = queue_new(SIZE, 1, 1);
	struct queue_item model[SIZE], out[SIZE + 1];
	size_t count = 0;
	unsigned state = 7;

	queue_worker_enters(q);
	for (int round = 0; round < 20000; round++) {
		if (random_below(&state, 3) > 0 && count < SIZE) {
			model[count] = item((uintptr_t)round, random_below(&state, 3) ? round : CLOCK_NEVER);
			HOLDS(queue_put(q, &model[count], 1) == 1);
			count++;
		} else if (random_below(&state, 4) == 0 && count > 0) {
			HOLDS(queue_take(q, out, 1) == 1 && number_of(out) == number_of(model));
			memmove(model, model + 1, --count * sizeof(model[0]));
		} else {
			int64_t time = round - (int)random_below(&state, 20);
			size_t max = random_below(&state, 5), want = 0, kept = 0;
			size_t n = queue_take_older(q, time, out, max);

			for (size_t i = 0; i < count; i++) {
				if (want < max && model[i].since < time)
					HOLDS(want < n && number_of(&out[want++]) == number_of(&model[i]));
				else
					model[kept++] = model[i];
			}
			HOLDS(n == want);
			count = kept;
		}
		HOLDS(queue_depth(q) == count);
		int64_t oldest = CLOCK_NEVER;
		for (size_t i = 0; i < count; i++)
			if (model[i].since < oldest)
				oldest = model[i].since;
		HOLDS(queue_oldest(q) == oldest);
	}
	queue_free(q);
}
END_TEST

START_TEST(closed)
{
	struct queue *q = queue_new(4, 1, 1);
	struct queue_item in[2] = {item(1, 1), item(2, 2)}, out[2];

	queue_worker_enters(q);
	ck_assert_uint_eq(queue_put(q, in, 2), 2);
	queue_close(q);
	ck_assert_uint_eq(queue_put(q, in, 1), 0);
	ck_assert_uint_eq(queue_take(q, out, 1), 1);
	ck_assert_uint_eq(number_of(out), 1);
	ck_assert_uint_eq(queue_take(q, out, 2), 1);
	ck_assert_uint_eq(number_of(out), 2);
	ck_assert_uint_eq(queue_take(q, out, 2), 0);
	ck_assert_uint_eq(queue_take(q, out, 2), 0);
	queue_free(q);
}
END_TEST

/* ---- threads ---- */

/* A team of workers on one queue. */
struct team {
	struct queue *queue;
	void (*work)(struct team *team, unsigned id, uintptr_t number);
	size_t max; /* items a take */
	unsigned count;
	pthread_t threads[THREADS_MAX];
	_Atomic pid_t tids[THREADS_MAX];
	_Atomic unsigned next_id;
	_Atomic int awake, most; /* inside `work` */
	_Atomic unsigned long done;
	_Atomic unsigned by[THREADS_MAX]; /* items a worker */
	_Atomic unsigned char *seen;
	/* For who waits for another. */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
};

static void *team_thread(void *arg)
{
	struct team *t = arg;
	unsigned id = atomic_fetch_add(&t->next_id, 1);
	struct queue_item items[16];
	size_t n;

	queue_worker_enters(t->queue);
	atomic_store(&t->tids[id], gettid());
	while ((n = queue_take(t->queue, items, t->max)) > 0) {
		HOLDS(n <= t->max);
		int awake = atomic_fetch_add(&t->awake, 1) + 1;
		int most = atomic_load(&t->most);
		while (awake > most && !atomic_compare_exchange_weak(&t->most, &most, awake))
			;
		for (size_t i = 0; i < n; i++) {
			atomic_fetch_add(&t->by[id], 1);
			t->work(t, id, number_of(&items[i]));
		}
		atomic_fetch_sub(&t->awake, 1);
		PTHREAD_OK(pthread_mutex_lock(&t->mutex));
		atomic_fetch_add(&t->done, n);
		PTHREAD_OK(pthread_cond_broadcast(&t->changed));
		PTHREAD_OK(pthread_mutex_unlock(&t->mutex));
	}
	return NULL;
}

static void team_start(struct team *t, unsigned count, struct queue *queue,
        void (*work)(struct team *team, unsigned id, uintptr_t number))
{
	memset(t, 0, sizeof(*t));
	t->queue = queue;
	t->work = work;
	t->max = 1;
	t->count = count;
	PTHREAD_OK(pthread_mutex_init(&t->mutex, NULL));
	PTHREAD_OK(pthread_cond_init(&t->changed, NULL));
	for (unsigned i = 0; i < count; i++)
		PTHREAD_OK(pthread_create(&t->threads[i], NULL, team_thread, t));
}

static void team_wait_done(struct team *t, unsigned long done)
{
	PTHREAD_OK(pthread_mutex_lock(&t->mutex));
	while (atomic_load(&t->done) < done)
		PTHREAD_OK(pthread_cond_wait(&t->changed, &t->mutex));
	PTHREAD_OK(pthread_mutex_unlock(&t->mutex));
}

static void team_stop(struct team *t)
{
	queue_close(t->queue);
	for (unsigned i = 0; i < t->count; i++)
		PTHREAD_OK(pthread_join(t->threads[i], NULL));
	PTHREAD_OK(pthread_cond_destroy(&t->changed));
	PTHREAD_OK(pthread_mutex_destroy(&t->mutex));
	queue_free(t->queue);
}

/* How often the thread gave the processor up, or -1 while it is not asleep. */
static long switches_of(pid_t tid)
{
	char path[64], line[128];
	long switches = -1;
	bool asleep = false;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
	FILE *f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "State:\tS", 8) == 0)
			asleep = true;
		sscanf(line, "voluntary_ctxt_switches: %ld", &switches);
	}
	fclose(f);
	return asleep ? switches : -1;
}

/*
 * Until all workers are idle. Two looks between which none of them ran: all slept at once, and so none waits
 * for the queue's lock, which one that runs would hold.
 */
static void team_wait_idle(struct team *t)
{
	long before[THREADS_MAX] = {0};

	for (unsigned still = 0; still < t->count;) {
		still = 0;
		for (unsigned i = 0; i < t->count; i++) {
			long now = atomic_load(&t->tids[i]) ? switches_of(atomic_load(&t->tids[i])) : -1;

			still += now >= 0 && now == before[i];
			before[i] = now;
		}
		sched_yield();
	}
}

static void see_once(struct team *t, unsigned id, uintptr_t number)
{
	(void)id;
	HOLDS(atomic_fetch_add(&t->seen[number], 1) == 0);
}

struct producer {
	struct team *team;
	uintptr_t from;
	pthread_t thread;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	struct queue_item batch[7];
	uintptr_t next = p->from, end = p->from + ITEMS / PRODUCERS;
	unsigned state = (unsigned)p->from;

	while (next < end) {
		size_t n = 1 + random_below(&state, 7);

		if (n > end - next)
			n = end - next;
		for (size_t i = 0; i < n; i++)
			batch[i] = item(next + i, 1);
		size_t taken = queue_put(p->team->queue, batch, n);
		next += taken;
		if (taken < n)
			sched_yield();
	}
	return NULL;
}

START_TEST(many)
{
	static struct team t;
	struct producer producers[PRODUCERS];
	unsigned long sum = 0;

	team_start(&t, CONSUMERS, queue_new(64, (unsigned)_i, 3), see_once);
	t.seen = calloc(ITEMS, 1);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){.team = &t, .from = i * (ITEMS / PRODUCERS)};
		PTHREAD_OK(pthread_create(&producers[i].thread, NULL, produce, &producers[i]));
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		PTHREAD_OK(pthread_join(producers[i].thread, NULL));
	team_wait_done(&t, ITEMS);
	team_stop(&t);
	for (unsigned i = 0; i < CONSUMERS; i++)
		sum += t.by[i];
	ck_assert_uint_eq(sum, ITEMS);
	ck_assert_uint_eq(atomic_load(&t.done), ITEMS);
	free((void *)t.seen);
}
END_TEST

static void nothing(struct team *t, unsigned id, uintptr_t number)
{
	(void)t, (void)id, (void)number;
}

START_TEST(close_wakes_all)
{
	static struct team t;

	team_start(&t, 6, queue_new(4, 1, 1), nothing);
	team_wait_idle(&t);
	team_stop(&t);
	ck_assert_uint_eq(atomic_load(&t.done), 0);
}
END_TEST

static void yield_often(struct team *t, unsigned id, uintptr_t number)
{
	(void)t, (void)id, (void)number;
	for (int i = 0; i < 5; i++)
		sched_yield();
}

/* However many workers there are, no more than `runnable` work at once, once they all have been idle. */
START_TEST(runnable)
{
	static struct team t;
	struct queue_item batch[40];

	for (unsigned i = 0; i < 40; i++)
		batch[i] = item(i, 1);
	team_start(&t, 6, queue_new(64, (unsigned)_i, 1), yield_often);
	team_wait_idle(&t);
	for (unsigned long round = 1; round <= 100; round++) {
		HOLDS(queue_put(t.queue, batch, 20) == 20);
		HOLDS(queue_put(t.queue, batch + 20, 20) == 20);
		team_wait_done(&t, round * 40);
	}
	ck_assert_int_le(atomic_load(&t.most), _i);
	team_stop(&t);
}
END_TEST

/* While the one that may run does, no other is woken. */
START_TEST(one_runs)
{
	static struct team t;
	struct queue_item batch[3] = {item(0, 1), item(1, 1), item(2, 1)};

	team_start(&t, 4, queue_new(64, 1, 1), yield_often);
	team_wait_idle(&t);
	HOLDS(queue_put(t.queue, batch, 3) == 3);
	team_wait_done(&t, 3);
	team_stop(&t);
	for (unsigned i = 0; i < 4; i++)
		ck_assert(t.by[i] == 0 || t.by[i] == 3);
}
END_TEST

/* Item 0 waits in the kernel for item 1, which only another worker can work on. */
static void wait_for_other(struct team *t, unsigned id, uintptr_t number)
{
	(void)id;
	if (number == 1)
		return;
	queue_worker_sleeps(t->queue);
	PTHREAD_OK(pthread_mutex_lock(&t->mutex));
	while (atomic_load(&t->done) == 0)
		PTHREAD_OK(pthread_cond_wait(&t->changed, &t->mutex));
	PTHREAD_OK(pthread_mutex_unlock(&t->mutex));
	queue_worker_wakes(t->queue);
}

START_TEST(sleeper_lets_run)
{
	static struct team t;
	struct queue_item batch[2] = {item(0, 1), item(1, 1)};

	team_start(&t, 2, queue_new(64, 1, 2), wait_for_other);
	team_wait_idle(&t);
	if (_i == 0) { /* both at once, or the second while the first sleeps */
		HOLDS(queue_put(t.queue, batch, 2) == 2);
	} else {
		HOLDS(queue_put(t.queue, batch, 1) == 1);
		HOLDS(queue_put(t.queue, batch + 1, 1) == 1);
	}
	team_wait_done(&t, 2);
	team_stop(&t);
	ck_assert_uint_eq(t.by[0], 1);
	ck_assert_uint_eq(t.by[1], 1);
}
END_TEST

static void nap(struct team *t, unsigned id, uintptr_t number)
{
	unsigned state = (unsigned)number * 31 + id;

	if (random_below(&state, 2) == 0)
		return;
	queue_worker_sleeps(t->queue);
	if (random_below(&state, 4) == 0)
		usleep(random_below(&state, 50));
	else
		sched_yield();
	queue_worker_wakes(t->queue);
}

/* A lost wake-up leaves an item lying: the wait below never ends. */
START_TEST(no_lost_wakeup)
{
	static struct team t;
	unsigned state = 3;
	uintptr_t put = 0;

	alarm(120);
	team_start(&t, 8, queue_new(16, 2, (unsigned)_i), nap);
	while (put < 20000) {
		struct queue_item batch[4];
		size_t n = 1 + random_below(&state, 4);

		for (size_t i = 0; i < n; i++)
			batch[i] = item(put + i, 1);
		put += queue_put(t.queue, batch, n);
		if (random_below(&state, 3) == 0)
			team_wait_done(&t, put);
	}
	team_wait_done(&t, put);
	team_stop(&t);
	alarm(0);
}
END_TEST

/* A worker that takes one at a time until it is told to leave. */
static void *take_until_dismissed(void *arg)
{
	struct queue *q = arg;
	struct queue_item one;

	queue_worker_enters(q);
	while (queue_take(q, &one, 1) > 0)
		atomic_fetch_add((_Atomic unsigned *)one.what, 1);
	return NULL;
}

static void put_and_wait(struct queue *q, _Atomic unsigned *taken, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		struct queue_item one = {.what = (void *)taken, .since = 1};
		unsigned before = atomic_load(taken);

		HOLDS(queue_put(q, &one, 1) == 1);
		while (atomic_load(taken) == before)
			sched_yield();
	}
}

/* One that leaves is awake no more, be it that it worked or that it was idle: the next one may run in its place. */
START_TEST(who_leaves_does_not_run)
{
	struct queue *q = queue_new(4, 1, 1);
	struct queue_item one;
	_Atomic unsigned taken = 0;

	for (int times = 0; times < 20; times++) {
		pthread_t thread;

		queue_worker_enters(q); /* at work, so that it is told when it comes next */
		queue_dismiss(q, 1);
		ck_assert_uint_eq(queue_take(q, &one, 1), 0);
		PTHREAD_OK(pthread_create(&thread, NULL, take_until_dismissed, q));
		put_and_wait(q, &taken, 20);
		queue_dismiss(q, 1);
		PTHREAD_OK(pthread_join(thread, NULL));
	}
	queue_free(q);
}
END_TEST

/* Who is to leave leaves what is queued to the others; and so many, not more. */
START_TEST(dismissed)
{
	struct queue *q = queue_new(4, 4, 1);
	struct queue_item in[2] = {item(1, 1), item(2, 1)}, out[2];

	for (int i = 0; i < 4; i++)
		queue_worker_enters(q);
	ck_assert_uint_eq(queue_put(q, in, 2), 2);
	ck_assert_uint_eq(queue_recall(q, 3), 0);
	queue_dismiss(q, 3);
	ck_assert_uint_eq(queue_recall(q, 1), 1);
	ck_assert_uint_eq(queue_take(q, out, 2), 0);
	ck_assert_uint_eq(queue_take(q, out, 2), 0);
	ck_assert_uint_eq(queue_recall(q, 1), 0);
	ck_assert_uint_eq(queue_take(q, out, 2), 2);
	queue_free(q);
}
END_TEST

/* Of three idle ones two leave, and there are no more to be told. */
START_TEST(idle_ones_leave)
{
	struct queue *q = queue_new(4, 1, 1);
	_Atomic unsigned taken = 0;
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		PTHREAD_OK(pthread_create(&threads[i], NULL, take_until_dismissed, q));
	put_and_wait(q, &taken, 10);
	queue_dismiss(q, 2);
	put_and_wait(q, &taken, 10);
	queue_dismiss(q, 1);
	for (int i = 0; i < 3; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	ck_assert_uint_eq(queue_recall(q, 3), 0);
	ck_assert_uint_eq(atomic_load(&taken), 20);
	queue_free(q);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("work/queue");
	TCase *tc = tcase_create("queue");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, prefix);
	tcase_add_test(tc, order);
	tcase_add_test(tc, put_back);
	tcase_add_test(tc, returned);
	tcase_add_test(tc, older);
	tcase_add_test(tc, closed);
	tcase_add_loop_test(tc, many, 1, 4);
	tcase_add_test(tc, close_wakes_all);
	tcase_add_loop_test(tc, runnable, 1, 4);
	tcase_add_test(tc, one_runs);
	tcase_add_loop_test(tc, sleeper_lets_run, 0, 2);
	tcase_add_loop_test(tc, no_lost_wakeup, 1, 4);
	tcase_add_test(tc, who_leaves_does_not_run);
	tcase_add_test(tc, dismissed);
	tcase_add_test(tc, idle_ones_leave);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
