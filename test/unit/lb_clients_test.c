/* Requests of one client at once: the limit is exact, each client has its own, threads together never pass it. */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lb/clients.h"

enum { THREADS = 4, ROUNDS = 20000, LIMIT = 2 };

static struct addr_ip v4(unsigned n)
{
	uint32_t host = htonl(n);
	struct addr_ip ip = {.family = AF_INET};

	memcpy(ip.bytes, &host, sizeof(host));
	return ip;
}

START_TEST(test_limit)
{
	struct clients *cs = clients_new(3, 1024);
	struct addr_ip a = v4(1), b = v4(2);
	struct client *held[3], *other, *none;

	for (int i = 0; i < 3; i++)
		ck_assert(clients_enter(cs, &a, &held[i]));
	ck_assert(!clients_enter(cs, &a, &none));
	ck_assert_ptr_null(none);
	ck_assert(clients_enter(cs, &b, &other));
	clients_leave(cs, held[1]);
	ck_assert(clients_enter(cs, &a, &held[1]));
	ck_assert(!clients_enter(cs, &a, &none));
	for (int i = 0; i < 3; i++)
		clients_leave(cs, held[i]);
	ck_assert(clients_enter(cs, &a, &held[0]));
	clients_leave(cs, held[0]);
	clients_leave(cs, other);
	clients_leave(cs, NULL);
	clients_free(cs);
	clients_free(NULL);
}
END_TEST

/* Two configurations: who joins changes nothing; the limit that is set counts for both, and who has more than that keeps it. */
START_TEST(test_shared)
{
	struct clients *cs = clients_new(1, 16);
	struct clients *same = clients_share(cs);
	struct addr_ip a = v4(1);
	struct client *held[2], *none;

	ck_assert_ptr_eq(same, cs);
	ck_assert(clients_enter(same, &a, &held[0]));
	ck_assert(!clients_enter(same, &a, &none));
	clients_set_limit(same, 2);
	ck_assert(clients_enter(cs, &a, &held[1]));
	clients_set_limit(same, 1);
	ck_assert(!clients_enter(cs, &a, &none));
	clients_free(cs);
	clients_leave(same, held[0]);
	clients_leave(same, held[1]);
	clients_free(same);
}
END_TEST

/* In few rows, so that each holds many; some leave from the middle. */
START_TEST(test_many)
{
	enum { MANY = 1000 };
	struct clients *cs = clients_new(1, 3);
	struct client *held[MANY], *none;

	for (unsigned i = 0; i < MANY; i++) {
		struct addr_ip ip = v4(i);

		ck_assert(clients_enter(cs, &ip, &held[i]));
	}
	for (unsigned i = 0; i < MANY; i += 3) {
		clients_leave(cs, held[i]);
		held[i] = NULL;
	}
	for (unsigned i = 0; i < MANY; i++) {
		struct addr_ip ip = v4(i);

		ck_assert_int_eq(clients_enter(cs, &ip, i % 3 == 0 ? &held[i] : &none), i % 3 == 0);
	}
	for (unsigned i = 0; i < MANY; i++)
		clients_leave(cs, held[i]);
	clients_free(cs);
}
END_TEST

static struct clients *shared;
static _Atomic int inside;
static _Atomic bool passed;

static void *visitor(void *arg)
{
	struct addr_ip ip = v4(7);
	int *entered = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct client *c;

		if (!clients_enter(shared, &ip, &c))
			continue;
		if (atomic_fetch_add(&inside, 1) >= LIMIT)
			atomic_store(&passed, true);
		++*entered;
		if (i % 64 == 0)
			sched_yield();
		atomic_fetch_sub(&inside, 1);
		clients_leave(shared, c);
	}
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t threads[THREADS];
	int entered[THREADS] = {0};
	struct addr_ip ip = v4(7);
	struct client *held[LIMIT], *none;

	shared = clients_new(LIMIT, 16);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, visitor, &entered[i]), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert(!atomic_load(&passed));
	ck_assert_int_gt(entered[0] + entered[1] + entered[2] + entered[3], 0);
	/* Nothing was left behind. */
	for (int i = 0; i < LIMIT; i++)
		ck_assert(clients_enter(shared, &ip, &held[i]));
	ck_assert(!clients_enter(shared, &ip, &none));
	for (int i = 0; i < LIMIT; i++)
		clients_leave(shared, held[i]);
	clients_free(shared);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lb_clients");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_test(all, test_limit);
	tcase_add_test(all, test_shared);
	tcase_add_test(all, test_many);
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
