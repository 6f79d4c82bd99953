/* A server's idle connections: the last kept is used first, stale ones go, few enough are kept. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "lb/upstream.h"
#include "net/io_blocking.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define S CLOCK_NS_PER_S
#define NOW (INT64_C(100000) * S)

enum { PAIRS = 6, KEEP = 4, THREADS = 4, ROUNDS = 5000 };

static struct idle_set set;
static struct io_blocking driver;
static struct io *io = &driver.io;
static int ours[PAIRS], theirs[PAIRS];

static void setup(void)
{
	io_blocking_init(&driver);
	idle_init(&set, true, KEEP);
	for (int i = 0; i < PAIRS; i++) {
		int fds[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		ours[i] = fds[0];
		theirs[i] = fds[1];
	}
}

static void teardown(void)
{
	idle_clear(&set, io);
	idle_free(&set);
}

/* Whether our side of a pair was closed, as the other side sees it. */
static bool is_closed(int i)
{
	char byte;

	return recv(theirs[i], &byte, 1, MSG_PEEK) == 0;
}

START_TEST(last_first)
{
	unsigned stale = 9;

	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), -1);
	ck_assert_uint_eq(stale, 0);
	for (int i = 0; i < 3; i++)
		idle_keep(&set, io, ours[i], 0, NOW + i);
	ck_assert_int_eq(idle_take(&set, io, NOW + 3, CLOCK_NEVER, 0, &stale), ours[2]);
	idle_keep(&set, io, ours[3], 0, NOW + 4);
	ck_assert_int_eq(idle_take(&set, io, NOW + 5, CLOCK_NEVER, 0, &stale), ours[3]);
	ck_assert_int_eq(idle_take(&set, io, NOW + 5, CLOCK_NEVER, 0, &stale), ours[1]);
	ck_assert_int_eq(idle_take(&set, io, NOW + 5, CLOCK_NEVER, 0, &stale), ours[0]);
	ck_assert_int_eq(idle_take(&set, io, NOW + 5, CLOCK_NEVER, 0, &stale), -1);
	ck_assert_uint_eq(stale, 0);
	for (int i = 0; i < 4; i++)
		ck_assert(!is_closed(i));
}
END_TEST

/* Closed by the server, half-closed, or with bytes that nobody asked for. */
START_TEST(stale_ones)
{
	unsigned stale = 0;

	for (int i = 0; i < 4; i++)
		idle_keep(&set, io, ours[i], 0, NOW);
	ck_assert_int_eq(send(theirs[1], "x", 1, 0), 1);
	ck_assert_int_eq(shutdown(theirs[2], SHUT_WR), 0);
	close(theirs[3]);
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), ours[0]);
	ck_assert_uint_eq(stale, 3);
	ck_assert_uint_eq(set.count, 0);
	for (int i = 1; i < 4; i++)
		ck_assert_int_eq(fcntl(ours[i], F_GETFD), -1);
	idle_keep(&set, io, ours[4], 0, NOW);
	close(theirs[4]);
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), -1);
	ck_assert_uint_eq(stale, 1);
}
END_TEST

START_TEST(bound)
{
	unsigned stale;

	for (int i = 0; i < PAIRS; i++)
		idle_keep(&set, io, ours[i], 0, NOW);
	ck_assert_uint_eq(set.count, KEEP);
	for (int i = 0; i < PAIRS; i++)
		ck_assert_int_eq(is_closed(i), i >= KEEP);
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), ours[KEEP - 1]);
	set.keep = 0;
	idle_clear(&set, io);
	idle_keep(&set, io, ours[KEEP - 1], 0, NOW);
	for (int i = 0; i < PAIRS; i++)
		ck_assert(is_closed(i));
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), -1);
}
END_TEST

START_TEST(too_old)
{
	unsigned stale;

	idle_keep(&set, io, ours[0], 0, NOW);
	idle_keep(&set, io, ours[1], 0, NOW + 3 * S);
	ck_assert_int_eq(idle_take(&set, io, NOW + 4 * S + 1, S, 0, &stale), -1);
	ck_assert_int_eq(idle_take(&set, io, NOW + 4 * S, S, 0, &stale), ours[1]);
	ck_assert_int_eq(idle_take(&set, io, NOW + 4 * S, S, 0, &stale), -1);
	ck_assert(!is_closed(0)); /* good enough for another request */
	ck_assert_int_eq(idle_take(&set, io, NOW + 4 * S, CLOCK_NEVER, 0, &stale), ours[0]);
	ck_assert_uint_eq(stale, 0);
}
END_TEST

/* The bottom of the stack goes once it has not been needed for a minute. */
START_TEST(not_needed)
{
	for (int i = 0; i < 3; i++)
		idle_keep(&set, io, ours[i], 0, NOW + i * S);
	idle_keep(&set, io, ours[3], 0, NOW + 60 * S);
	ck_assert_uint_eq(set.count, 4);
	idle_keep(&set, io, ours[4], 0, NOW + 60 * S + 1);
	ck_assert_uint_eq(set.count, 4);
	ck_assert(is_closed(0));
	for (int i = 1; i < 5; i++) {
		ck_assert(!is_closed(i));
		ck_assert_int_eq(set.at[i - 1].fd, ours[i]);
	}
}
END_TEST

START_TEST(close_idle)
{
	unsigned stale;

	for (int i = 0; i < 3; i++)
		idle_keep(&set, io, ours[i], 0, NOW);
	idle_clear(&set, io);
	for (int i = 0; i < 3; i++)
		ck_assert(is_closed(i));
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), -1);
	idle_clear(&set, io);
}
END_TEST

/* Those of another generation go, wherever they lie in the stack. */
START_TEST(generations)
{
	unsigned stale;

	set.shared = _i == 0;
	idle_keep(&set, io, ours[0], 7, NOW);
	idle_keep(&set, io, ours[1], 8, NOW);
	idle_keep(&set, io, ours[2], 7, NOW);
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 8, &stale), ours[1]);
	ck_assert_uint_eq(stale, 1);
	ck_assert(is_closed(2));
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 8, &stale), -1);
	ck_assert(is_closed(0));
	ck_assert(!is_closed(1));
	idle_keep(&set, io, ours[3], 8, NOW);
	idle_keep(&set, io, ours[4], 9, NOW);
	idle_trim(&set, io, 9, NOW);
	ck_assert_uint_eq(set.count, 1);
	ck_assert(is_closed(3));
	ck_assert(!is_closed(4));
	close(ours[1]);
}
END_TEST

START_TEST(address)
{
	static struct server s; /* AddressSanitizer's stack would not align it as its type asks */
	struct addr first, second, none = {.len = 0}, got;
	unsigned generation, before;
	const char *why;

	lock_init(&s.addr_lock);
	ck_assert(addr_parse("192.0.2.1:80", false, &first, &why));
	ck_assert(addr_parse("192.0.2.2:80", false, &second, &why));
	ck_assert(!server_address(&s, &got, &before));
	server_set_address(&s, &first);
	ck_assert(server_address(&s, &got, &generation));
	ck_assert(addr_equal(&got, &first));
	ck_assert_uint_eq(generation, before + 1);
	ck_assert_uint_eq(generation, server_generation(&s));
	server_set_address(&s, &second);
	ck_assert(server_address(&s, &got, &generation));
	ck_assert(addr_equal(&got, &second));
	ck_assert_uint_eq(generation, before + 2);
	server_set_address(&s, &none);
	ck_assert(!server_address(&s, &got, &generation));
	ck_assert_uint_eq(generation, before + 3);
	lock_destroy(&s.addr_lock);
}
END_TEST

/* A loop's own may hold more than are to be kept, for a moment. */
START_TEST(loop_surplus)
{
	set.shared = false;
	for (int i = 0; i < PAIRS; i++)
		idle_keep(&set, io, ours[i], 0, NOW + i);
	ck_assert_uint_eq(set.count, PAIRS);
	idle_trim(&set, io, 0, NOW + S / 2);
	ck_assert_uint_eq(set.count, PAIRS);
	close(theirs[PAIRS - 1]); /* not good any more */
	idle_trim(&set, io, 0, NOW + S + PAIRS);
	ck_assert_uint_eq(set.count, KEEP - 1);
	ck_assert(is_closed(0));
	ck_assert(is_closed(1));
	ck_assert(!is_closed(2));
	idle_trim(&set, io, 0, NOW + 60 * S);
	ck_assert_uint_eq(set.count, KEEP - 1);
	idle_trim(&set, io, 0, NOW + 60 * S + PAIRS);
	ck_assert_uint_eq(set.count, 0);
}
END_TEST

/* The pool's: what a server closed goes though nobody asks for a connection, from anywhere in the stack. */
START_TEST(shared_trim)
{
	unsigned stale;

	for (int i = 0; i < KEEP; i++)
		idle_keep(&set, io, ours[i], 0, NOW + i);
	close(theirs[0]);
	ck_assert_int_eq(send(theirs[2], "x", 1, 0), 1);
	idle_trim(&set, io, 0, NOW + S);
	ck_assert_uint_eq(set.count, 2);
	ck_assert_int_eq(fcntl(ours[0], F_GETFD), -1);
	ck_assert_int_eq(fcntl(ours[2], F_GETFD), -1);
	ck_assert(!is_closed(1));
	idle_trim(&set, io, 0, NOW + 60 * S + 2); /* not needed for so long */
	ck_assert_uint_eq(set.count, 1);
	ck_assert(is_closed(1));
	ck_assert_int_eq(idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale), ours[3]);
	ck_assert_uint_eq(stale, 0);
	/* More than one step's worth. */
	set.keep = 200;
	for (int i = 0; i < 150; i++) {
		int fd = open("/dev/null", O_RDWR); /* no socket: not good */

		ck_assert_int_ge(fd, 0);
		idle_keep(&set, io, fd, 0, NOW);
	}
	idle_keep(&set, io, ours[3], 0, NOW);
	idle_trim(&set, io, 0, NOW);
	ck_assert_uint_eq(set.count, 1);
	ck_assert_int_eq(set.at[0].fd, ours[3]);
}
END_TEST

static _Atomic int leased[1024]; /* by descriptor */

static void *lease_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		unsigned stale;
		int fd = idle_take(&set, io, NOW, CLOCK_NEVER, 0, &stale);

		HOLDS(stale == 0);
		if (fd < 0)
			continue;
		HOLDS(atomic_fetch_add(&leased[fd], 1) == 0); /* one at a time */
		atomic_fetch_sub(&leased[fd], 1);
		idle_keep(&set, io, fd, 0, NOW);
	}
	return NULL;
}

START_TEST(one_owner)
{
	pthread_t all[THREADS];

	for (int i = 0; i < 3; i++)
		idle_keep(&set, io, ours[i], 0, NOW);
	for (int i = 0; i < THREADS; i++)
		PTHREAD_OK(pthread_create(&all[i], NULL, lease_often, NULL));
	for (int i = 0; i < THREADS; i++)
		PTHREAD_OK(pthread_join(all[i], NULL));
	ck_assert_uint_eq(set.count, 3);
	for (int i = 0; i < 3; i++)
		ck_assert(!is_closed(i));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/upstream");
	TCase *tc = tcase_create("idle");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, last_first);
	tcase_add_test(tc, stale_ones);
	tcase_add_test(tc, bound);
	tcase_add_test(tc, too_old);
	tcase_add_test(tc, not_needed);
	tcase_add_test(tc, close_idle);
	tcase_add_test(tc, loop_surplus);
	tcase_add_test(tc, shared_trim);
	tcase_add_loop_test(tc, generations, 0, 2);
	tcase_add_test(tc, address);
	tcase_add_test(tc, one_owner);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
