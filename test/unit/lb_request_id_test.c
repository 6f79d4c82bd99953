/* Ids: what they look like, that none comes twice, and which of others' are kept. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lb/request_id.h"

enum { COUNT = 20000 };

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, REQUEST_ID_MADE_BYTES);
}

START_TEST(made)
{
	static char ids[2 * COUNT][REQUEST_ID_MADE_BYTES];
	static struct request_ids stores[2];
	static const char digits[] = "0123456789abcdef";
	unsigned counts[16] = {0};

	for (size_t i = 0; i < 2 * COUNT; i++)
		request_id_make(&stores[i % 2], ids[i]);
	for (size_t i = 0; i < 2 * COUNT; i++)
		for (size_t k = 0; k < REQUEST_ID_MADE_BYTES; k++) {
			const char *digit = memchr(digits, ids[i][k], 16);

			ck_assert_ptr_nonnull(digit);
			counts[digit - digits]++;
		}
	/* Some 80,000 of each digit, whose deviation is some 270. */
	for (size_t i = 0; i < 16; i++) {
		ck_assert_uint_gt(counts[i], 77000);
		ck_assert_uint_lt(counts[i], 83000);
	}
	qsort(ids, sizeof(ids) / sizeof(ids[0]), sizeof(ids[0]), compare);
	for (size_t i = 1; i < sizeof(ids) / sizeof(ids[0]); i++)
		ck_assert_int_ne(compare(ids[i - 1], ids[i]), 0);
}
END_TEST

START_TEST(fit)
{
	static char text[REQUEST_ID_MAX + 1];

	memset(text, 'a', sizeof(text));
	ck_assert(request_id_is_fit((struct str){text, REQUEST_ID_MAX}));
	ck_assert(!request_id_is_fit((struct str){text, REQUEST_ID_MAX + 1}));
	ck_assert(!request_id_is_fit(STR("")));
	for (int c = 0; c < 256; c++) {
		char one[3] = {'a', (char)c, 'b'};
		bool want =
		        c != 0 &&
		        strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=:@", c);

		ck_assert_msg(request_id_is_fit((struct str){one, 3}) == want, "byte %d", c);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/request_id");
	TCase *tc = tcase_create("all");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, made);
	tcase_add_test(tc, fit);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
