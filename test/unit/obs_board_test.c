#include "obs/board.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each word for each step, and nothing of one field runs into another. */
START_TEST(test_words)
{
	static const int fds[] = {-1, 0, 3, 1048575, INT32_MAX};
	static const unsigned some_labels[] = {LABEL_NONE, 1, LABELS_MAX - 1};

	for (int doing = 0; doing < DOING_COUNT; doing++)
		for (size_t f = 0; f < sizeof(fds) / sizeof(fds[0]); f++)
			for (size_t l = 0; l < sizeof(some_labels) / sizeof(some_labels[0]); l++)
				for (int asleep = 0; asleep < 2; asleep++) {
					uint64_t word = board_word((enum doing)doing, some_labels[l], fds[f]);
					struct board_entry e = board_entry_of(
					        asleep ? word | BOARD_ASLEEP : word);

					ck_assert_int_eq((int)e.doing, doing);
					ck_assert_int_eq(e.asleep, asleep);
					ck_assert_uint_eq(e.label, some_labels[l]);
					ck_assert_int_eq(e.fd, fds[f]);
				}
}
END_TEST

START_TEST(test_rows)
{
	struct board_row *rows = board_new(4096);

	ck_assert_ptr_nonnull(rows);
	ck_assert_uint_eq((uintptr_t)&rows[1] - (uintptr_t)&rows[0], 64);
	ck_assert_int_eq((int)board_entry_of(board_get(&rows[4095])).doing, DOING_GONE);
	board_step_at(&rows[7], DOING_SEND, 5, 9, 1234);
	ck_assert_int_eq(rows[7].since, 1234);
	struct board_entry e = board_entry_of(board_get(&rows[7]));
	ck_assert_int_eq((int)e.doing, DOING_SEND);
	ck_assert_uint_eq(e.label, 5);
	ck_assert_int_eq(e.fd, 9);
	board_put(&rows[7], board_word(DOING_TURN, LABEL_NONE, -1));
	ck_assert_int_eq(rows[7].since, 1234);
	board_hold(&rows[7], 3);
	ck_assert_uint_eq(board_holds(&rows[7]), 3);
	board_free(rows, 4096, 8);
}
END_TEST

/* Where nobody looks there is no row. */
START_TEST(test_no_row)
{
	board_step(NULL, DOING_SEND, 1, 1);
	board_put(NULL, 1);
	board_hold(NULL, 1);
	ck_assert_uint_eq(board_holds(NULL), 0);
}
END_TEST

START_TEST(test_labels)
{
	unsigned a = label_of("origins/127.0.0.1:9012"), b = label_of("origins/127.0.0.1:9013");

	ck_assert_uint_ne(a, LABEL_NONE);
	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(a, label_of("origins/127.0.0.1:9012"));
	ck_assert_str_eq(label_text(a), "origins/127.0.0.1:9012");
	ck_assert_str_eq(label_text(b), "origins/127.0.0.1:9013");
	ck_assert_str_eq(label_text(LABEL_NONE), "");
	ck_assert_str_eq(label_text(b + 1), "");
	ck_assert_str_eq(label_text(LABELS_MAX), "");
	ck_assert_uint_ne(label_of(""), LABEL_NONE);
}
END_TEST

enum { NAMES = 5000, THREADS = 4 };

static void *name_them(void *arg)
{
	unsigned *numbers = arg;
	char text[32];

	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(text, sizeof(text), "up/%u", i);
		numbers[i] = label_of(text);
		if (strcmp(label_text(numbers[i]), text) != 0)
			return arg;
	}
	return NULL;
}

/* Threads that name the same things at the same time get the same numbers. */
START_TEST(test_labels_of_threads)
{
	static unsigned numbers[THREADS][NAMES];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, name_them, numbers[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
		ck_assert_ptr_null(wrong);
	}
	for (int i = 1; i < THREADS; i++)
		ck_assert_mem_eq(numbers[i], numbers[0], sizeof(numbers[0]));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("obs_board");
	TCase *c = tcase_create("board");

	tcase_add_test(c, test_words);
	tcase_add_test(c, test_rows);
	tcase_add_test(c, test_no_row);
	tcase_add_test(c, test_labels);
	tcase_add_test(c, test_labels_of_threads);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
