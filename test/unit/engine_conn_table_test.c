/* The records of connections: limit, lives, giving back from many threads, the oldest. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/conn_table.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { GIVERS = 4, RECORDS = 300, TAKES = 40000 };

static struct conn_table table;
static struct timers timers;
static _Atomic unsigned total; /* not looked at here: its owner counts up */

static void setup_with(unsigned limit)
{
	ck_assert(conn_table_init(&table, limit, NULL, &total));
	timers_init(&timers, clock_now());
}

START_TEST(limit)
{
	unsigned count = (unsigned)_i;
	struct conn *all[2 * CONN_CHUNK];

	setup_with(count);
	for (unsigned i = 0; i < count; i++) {
		all[i] = conn_table_take(&table);
		HOLDS(all[i] && all[i]->magic == CONN_MAGIC && all[i]->index == i);
		HOLDS(atomic_load(&all[i]->state) == CONN_BUSY);
		HOLDS(atomic_load(&all[i]->timer_at) == CLOCK_NEVER);
		HOLDS(conn_table_at(&table, i) == all[i]);
		HOLDS(atomic_load(&table.open) == i + 1);
	}
	ck_assert_ptr_null(conn_table_take(&table));
	for (unsigned i = 0; i < count; i++)
		conn_table_give_back(&table, all[i]);
	ck_assert_ptr_null(conn_table_take(&table)); /* not before they are collected */
	ck_assert_uint_eq(atomic_load(&table.open), count);
	ck_assert_uint_eq(conn_table_collect(&table, &timers), count);
	ck_assert_uint_eq(conn_table_collect(&table, &timers), 0);
	ck_assert_uint_eq(atomic_load(&table.open), 0);
	for (unsigned i = 0; i < count; i++)
		HOLDS(conn_table_take(&table));
	ck_assert_ptr_null(conn_table_take(&table));
	conn_table_free(&table);
}
END_TEST

/* A record's next life knows nothing of the last. */
START_TEST(lives)
{
	setup_with(1);
	struct conn *c = conn_table_take(&table);
	uint32_t generation = atomic_load(&c->generation);
	c->in = buf_new(100); /* freed with it */
	c->fd = 77;
	c->requests = 5;
	c->scanned = 6;
	c->head_since = 7;
	c->exchange = c;
	timers_set(&timers, &c->timer, clock_now());
	atomic_store(&c->timer_at, 8);
	conn_table_give_back(&table, c);
	ck_assert_uint_eq(atomic_load(&c->state), CONN_FREE);
	ck_assert_uint_eq(atomic_load(&c->generation), generation + 1);
	conn_table_collect(&table, &timers);
	ck_assert_ptr_null(timers_expire(&timers, clock_now() + CLOCK_NS_PER_S));
	ck_assert_ptr_eq(conn_table_take(&table), c);
	ck_assert_ptr_null(c->in);
	ck_assert_int_eq(c->fd, -1);
	ck_assert_uint_eq(c->requests, 0);
	ck_assert_uint_eq(c->scanned, 0);
	ck_assert_int_eq(c->head_since, 0);
	ck_assert_ptr_null(c->exchange);
	ck_assert_int_eq(atomic_load(&c->timer_at), CLOCK_NEVER);
	ck_assert_uint_eq(atomic_load(&c->generation), generation + 1);
	conn_table_free(&table);
}
END_TEST

START_TEST(oldest)
{
	enum { N = 5 };
	struct conn *all[N];
	const int64_t since[N] = {30, 10, 40, 20, 5};
	const unsigned order[] = {1, 3, 0, 2};

	setup_with(N);
	ck_assert_ptr_null(conn_table_claim_oldest(&table));
	for (unsigned i = 0; i < N; i++) {
		all[i] = conn_table_take(&table);
		atomic_store(&all[i]->parked_at, since[i]);
	}
	ck_assert_ptr_null(conn_table_claim_oldest(&table)); /* none is parked */
	for (unsigned i = 0; i < N - 1; i++)
		atomic_store(&all[i]->state, CONN_PARKED);
	for (unsigned i = 0; i < N - 1; i++) {
		struct conn *c = conn_table_claim_oldest(&table);

		ck_assert_ptr_eq(c, all[order[i]]);
		ck_assert_uint_eq(atomic_load(&c->state), CONN_CLOSING);
	}
	ck_assert_ptr_null(conn_table_claim_oldest(&table));
	ck_assert_uint_eq(atomic_load(&all[4]->state), CONN_BUSY);
	conn_table_free(&table);
}
END_TEST

/* Handed from the keeper to a giver, one slot each. */
static _Atomic(struct conn *) slots[GIVERS];
static _Atomic bool stop;

static void *give(void *arg)
{
	_Atomic(struct conn *) *slot = arg;

	for (;;) {
		struct conn *c = atomic_exchange(slot, NULL);

		if (c)
			conn_table_give_back(&table, c);
		else if (atomic_load(&stop))
			return NULL;
		else
			sched_yield();
	}
}

START_TEST(many_givers)
{
	pthread_t threads[GIVERS];
	unsigned taken = 0, back = 0;

	setup_with(RECORDS);
	for (int i = 0; i < GIVERS; i++)
		PTHREAD_OK(pthread_create(&threads[i], NULL, give, &slots[i]));
	while (taken < TAKES) {
		for (int i = 0; i < GIVERS && taken < TAKES; i++) {
			if (atomic_load(&slots[i]))
				continue;
			struct conn *c = conn_table_take(&table);
			if (!c)
				break;
			c->requests = ++taken;
			atomic_store(&slots[i], c);
		}
		if (taken % 7 == 0 || taken - back == RECORDS)
			back += conn_table_collect(&table, &timers);
		sched_yield();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < GIVERS; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	back += conn_table_collect(&table, &timers);
	ck_assert_uint_eq(back, TAKES);
	ck_assert_uint_eq(atomic_load(&table.open), 0);
	uint32_t sum = 0;
	for (uint32_t i = 0; i < table.made; i++)
		sum += atomic_load(&conn_table_at(&table, i)->generation);
	ck_assert_uint_eq(sum, TAKES);
	conn_table_free(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/conn_table");
	TCase *tc = tcase_create("conn_table");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, limit, 1, 4);
	tcase_add_loop_test(tc, limit, CONN_CHUNK - 1, CONN_CHUNK + 2);
	tcase_add_loop_test(tc, limit, 2 * CONN_CHUNK, 2 * CONN_CHUNK + 1);
	tcase_add_test(tc, lives);
	tcase_add_test(tc, oldest);
	tcase_add_test(tc, many_givers);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
