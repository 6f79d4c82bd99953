/* The log's ring: all or nothing, and a writer and a reader at once. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "obs/ring.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { TOTAL = 1 << 20 };

static unsigned random_below(unsigned *state, unsigned n)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % n;
}

/* The byte at a place of the stream: no period that a ring's size could hide. */
static char byte_at(size_t at)
{
	return (char)(at * 2654435761u >> 13);
}

static size_t ring_len(const struct ring *r)
{
	struct str parts[2];
	size_t len = 0;
	int n = ring_peek(r, parts);

	for (int i = 0; i < n; i++)
		len += parts[i].len;
	return len;
}

START_TEST(all_or_nothing)
{
	struct ring r;
	struct str parts[2];

	ck_assert(ring_init(&r, 8));
	ck_assert_int_eq(ring_peek(&r, parts), 0);
	ck_assert(ring_write(&r, STR("")));
	ck_assert_int_eq(ring_peek(&r, parts), 0);
	ck_assert(!ring_write(&r, STR("123456789")));
	ck_assert(ring_write(&r, STR("12345")));
	ck_assert(!ring_write(&r, STR("6789")));
	ck_assert_uint_eq(ring_len(&r), 5);
	ck_assert(ring_write(&r, STR("678")));
	ck_assert(!ring_write(&r, STR("9")));
	ck_assert_int_eq(ring_peek(&r, parts), 1);
	ck_assert(str_eq(parts[0], STR("12345678")));
	ring_skip(&r, 6);
	ck_assert(ring_write(&r, STR("abcdef")));
	ck_assert_int_eq(ring_peek(&r, parts), 2);
	ck_assert(str_eq(parts[0], STR("78")));
	ck_assert(str_eq(parts[1], STR("abcdef")));
	ring_skip(&r, 8);
	ck_assert_int_eq(ring_peek(&r, parts), 0);
	ring_free(&r);
}
END_TEST

/* The counts of bytes run over the end of their type; nothing else changes. */
START_TEST(counts_wrap)
{
	struct ring r;
	struct str parts[2];

	ck_assert(ring_init(&r, 8));
	atomic_store(&r.written, (size_t)0 - 3);
	atomic_store(&r.read, (size_t)0 - 3);
	ck_assert(ring_write(&r, STR("12345678")));
	ck_assert(!ring_write(&r, STR("9")));
	ck_assert_int_eq(ring_peek(&r, parts), 2);
	ck_assert(str_eq(parts[0], STR("123")));
	ck_assert(str_eq(parts[1], STR("45678")));
	ring_skip(&r, 8);
	ck_assert_int_eq(ring_peek(&r, parts), 0);
	ring_free(&r);
}
END_TEST

static void *write_stream(void *arg)
{
	struct ring *r = arg;
	char bytes[80];
	unsigned state = 1;

	for (size_t at = 0; at < TOTAL;) {
		size_t n = 1 + random_below(&state, r->cap < 70 ? (unsigned)r->cap : 70);

		if (n > TOTAL - at)
			n = TOTAL - at;
		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_at(at + i);
		while (!ring_write(r, (struct str){bytes, n}))
			sched_yield();
		at += n;
	}
	return NULL;
}

START_TEST(two_threads)
{
	struct ring r;
	struct str parts[2];
	pthread_t writer;
	unsigned state = 2;

	ck_assert(ring_init(&r, (size_t)1 << _i));
	PTHREAD_OK(pthread_create(&writer, NULL, write_stream, &r));
	for (size_t at = 0; at < TOTAL;) {
		int n = ring_peek(&r, parts);
		size_t used = 0;

		if (n == 0)
			sched_yield();
		for (int i = 0; i < n; i++)
			for (size_t k = 0; k < parts[i].len; k++)
				HOLDS(parts[i].at[k] == byte_at(at + used++));
		if (used > 0 && random_below(&state, 2)) /* not always all that there is */
			used = 1 + random_below(&state, (unsigned)used);
		ring_skip(&r, used);
		at += used;
	}
	PTHREAD_OK(pthread_join(writer, NULL));
	ck_assert_uint_eq(ring_len(&r), 0);
	ring_free(&r);
}
END_TEST

/* What is written in place: only where it lies in one piece, and the reader sees what was said to be written. */
START_TEST(in_place)
{
	struct ring r;
	struct str parts[2];

	ck_assert(ring_init(&r, 8));
	ck_assert_ptr_null(ring_room(&r, 9));
	char *room = ring_room(&r, 8);
	ck_assert_ptr_eq(room, r.bytes);
	memcpy(room, "12345678", 8);
	ck_assert_int_eq(ring_peek(&r, parts), 0);
	ring_written(&r, 5);
	ck_assert_int_eq(ring_peek(&r, parts), 1);
	ck_assert(str_eq(parts[0], STR("12345")));
	ck_assert_ptr_null(ring_room(&r, 4)); /* there is none */
	ck_assert_ptr_eq(ring_room(&r, 3), r.bytes + 5);
	ring_skip(&r, 5);
	ck_assert_ptr_null(ring_room(&r, 4)); /* in two pieces */
	ck_assert(ring_write(&r, STR("abcd")));
	ck_assert_ptr_eq(ring_room(&r, 4), r.bytes + 1);
	ck_assert_ptr_null(ring_room(&r, 5));
	ring_free(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/ring");
	TCase *tc = tcase_create("ring");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, all_or_nothing);
	tcase_add_test(tc, counts_wrap);
	tcase_add_test(tc, in_place);
	tcase_add_loop_test(tc, two_threads, 4, 9);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
