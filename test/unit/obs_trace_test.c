#include "obs/trace.h"

#include <check.h>
#include <pthread.h>

#include "obs/board.h"

static struct board_row row;

static void setup(void)
{
	row = (struct board_row){0};
}

static void teardown(void)
{
	trace_free(&row);
}

/* Off, nothing is written anywhere; on, each step is, in its order. */
START_TEST(test_steps)
{
	struct trace_event e[8];

	board_step(&row, DOING_HEAD, 1, 2);
	ck_assert(!board_is_traced(&row));
	ck_assert_uint_eq(trace_read(&row, e, 8), 0);
	ck_assert(trace_begin(&row, 5));
	board_step(&row, DOING_SEND, 1, 2);
	board_put(&row, board_word(DOING_TURN, LABEL_NONE, -1)); /* no step */
	board_switch(&row, board_word(DOING_IDLE, LABEL_NONE, -1));
	trace_write(&row, TRACE_TAKEN, 77, 1234, 5);
	ck_assert_uint_eq(trace_read(&row, e, 8), 3);
	ck_assert_int_eq((int)e[0].kind, TRACE_STEP);
	ck_assert_uint_eq(e[0].value, board_word(DOING_SEND, 1, 2));
	ck_assert_uint_eq(e[1].value, board_word(DOING_IDLE, LABEL_NONE, -1));
	ck_assert_int_eq((int)e[2].kind, TRACE_TAKEN);
	ck_assert_uint_eq(e[2].id, 77);
	ck_assert_uint_eq(e[2].value, 1234);
	ck_assert_int_eq(e[2].depth, 5);
	ck_assert_int_le(e[0].time, e[1].time);
	trace_end(&row);
	board_step(&row, DOING_HEAD, 1, 2);
	ck_assert_uint_eq(trace_read(&row, e, 8), 0);
}
END_TEST

/* What finds no room is lost and counted, and the next that finds some says so. */
START_TEST(test_lost)
{
	struct trace_event e[16];

	ck_assert(trace_begin(&row, 8));
	for (unsigned i = 0; i < 11; i++)
		trace_write(&row, TRACE_DONE, i, 0, -1);
	ck_assert_uint_eq(trace_lost(&row), 3);
	ck_assert_uint_eq(trace_read(&row, e, 16), 8);
	ck_assert_uint_eq(e[7].id, 7);
	for (unsigned i = 0; i < 8; i++)
		ck_assert(!e[i].after_gap);
	trace_write(&row, TRACE_DONE, 20, 0, -1);
	trace_write(&row, TRACE_DONE, 21, 0, -1);
	ck_assert_uint_eq(trace_read(&row, e, 16), 2);
	ck_assert(e[0].after_gap && !e[1].after_gap);
	ck_assert_uint_eq(trace_lost(&row), 3);
}
END_TEST

/* The next trace begins with nothing, in the same ring, whose memory was given back. */
START_TEST(test_again)
{
	struct trace_event e[16];

	ck_assert(trace_begin(&row, 4));
	for (unsigned i = 0; i < 5; i++)
		trace_write(&row, TRACE_DONE, i, 0, -1);
	trace_end(&row);
	trace_trim(&row);
	ck_assert(trace_begin(&row, 4));
	ck_assert_uint_eq(trace_lost(&row), 0);
	ck_assert_uint_eq(trace_read(&row, e, 16), 0);
	trace_write(&row, TRACE_DONE, 9, 0, -1);
	ck_assert_uint_eq(trace_read(&row, e, 16), 1);
	ck_assert_uint_eq(e[0].id, 9);
}
END_TEST

enum { WRITES = 200000 };

static void *write_all(void *arg)
{
	struct board_row *r = arg;

	for (uint64_t i = 0; i < WRITES; i++)
		trace_write(r, TRACE_DONE, i, ~i, -1);
	return NULL;
}

/* A writer and a reader at once: each event comes whole, in order, once, or is counted. */
START_TEST(test_threads)
{
	struct trace_event e[64];
	pthread_t writer;
	uint64_t got = 0, last = 0;

	ck_assert(trace_begin(&row, 256));
	ck_assert_int_eq(pthread_create(&writer, NULL, write_all, &row), 0);
	while (got + trace_lost(&row) < WRITES) {
		size_t n = trace_read(&row, e, 64);

		for (size_t i = 0; i < n; i++) {
			ck_assert_uint_eq(e[i].value, ~e[i].id);
			ck_assert(got == 0 || e[i].id > last);
			ck_assert(got == 0 || e[i].after_gap == (e[i].id > last + 1));
			last = e[i].id;
			got++;
		}
	}
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	ck_assert_uint_eq(got + trace_lost(&row), WRITES);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("obs_trace");
	TCase *c = tcase_create("trace");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_steps);
	tcase_add_test(c, test_lost);
	tcase_add_test(c, test_again);
	tcase_add_test(c, test_threads);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
