/* The three forms of a date, and what is none. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/date.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

static const struct {
	int64_t when;
	const char *text;
} fixed[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT"},
};

START_TEST(format_and_back)
{
	char out[HTTP_DATE_LEN + 1];
	time_t when;

	http_date_format((time_t)fixed[_i].when, out);
	ck_assert_str_eq(out, fixed[_i].text);
	ck_assert(http_date_parse(str_of(out), &when));
	ck_assert_int_eq(when, fixed[_i].when);
}
END_TEST

START_TEST(format_out_of_range)
{
	char out[HTTP_DATE_LEN + 1];

	http_date_format(INT64_MAX, out);
	ck_assert_str_eq(out, "Fri, 31 Dec 9999 23:59:59 GMT");
	http_date_format(INT64_MIN, out);
	ck_assert_str_eq(out, "Sat, 01 Jan 0000 00:00:00 GMT");
}
END_TEST

static const struct {
	const char *text;
	int64_t when;
} forms[] = {
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777}, {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777}, {"Wednesday, 01-Jan-20 00:00:00 GMT", 1577836800},
        {"Tue, 30 Jun 2015 23:59:60 GMT", 1435708800}, /* a leap second */
};

START_TEST(parse_forms)
{
	time_t when = 1;

	ck_assert(http_date_parse(str_of(forms[_i].text), &when));
	ck_assert_int_eq(when, forms[_i].when);
}
END_TEST

/* RFC 9110 section 5.6.7: never more than 50 years ahead, never a year that is closer in the next century. */
START_TEST(parse_two_digit_years)
{
	time_t now = time(NULL), when;
	struct tm t;

	for (int digits = 0; digits < 100; digits++) {
		char text[64];

		snprintf(text, sizeof(text), "Sunday, 06-Nov-%02d 08:49:37 GMT", digits);
		ck_assert(http_date_parse(str_of(text), &when));
		int this_year = gmtime_r(&now, &t)->tm_year;
		int year = gmtime_r(&when, &t)->tm_year;
		ck_assert_int_eq(year % 100, digits);
		ck_assert(year <= this_year + 50 && year > this_year - 50);
	}
}
END_TEST

static const char *const bad[] = {
        "",
        "S",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun; 06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sux, 06 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:-1 GMT",
        "Sun, 06 Nov 1994 08:4x:37 GMT",
        "Sun, 06 Nov 1994 0x:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06 Nov 1994 -8:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "Sun, 06 Nov 1994x08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-9x 08:49:37 GMT",
        "Sunday, 31-Feb-94 08:49:37 GMT",
        "Someday, 06-Nov-94 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov   08:49:37 1994 ",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov 6  08:49:37 1994",
        "Sun Nov  6 08:49:37x1994",
        "Sun Feb 30 08:49:37 1994",
};

START_TEST(parse_refuses)
{
	size_t len = strlen(bad[_i]);
	char *copy = malloc(len > 0 ? len : 1);
	time_t when = 42;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bad[_i], len);
	ck_assert_msg(!http_date_parse((struct str){copy, len}, &when), "%s", bad[_i]);
	ck_assert_int_eq(when, 42);
	free(copy);
}
END_TEST

START_TEST(now_is_kept)
{
	struct http_date_cache cache = {0};
	time_t before = time(NULL), when;
	struct str text = http_date_now(&cache);

	ck_assert(http_date_parse(text, &when));
	ck_assert(when >= before && when <= time(NULL));
	cache.text[0] = 'X'; /* kept for the rest of the second */
	text = http_date_now(&cache);
	ck_assert(text.at[0] == 'X' || cache.when != when);
	cache.when--; /* and made anew in another */
	text = http_date_now(&cache);
	ck_assert(http_date_parse(text, &when));
}
END_TEST

/* Against the C library, some thousand moments of 1900 to 2100. */
START_TEST(format_as_strftime)
{
	for (int64_t when = -2208988800; when < 4102444800; when += 1234567) {
		char out[HTTP_DATE_LEN + 1], expected[64];
		time_t t = (time_t)when, back;
		struct tm tm;

		http_date_format(t, out);
		strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
		ck_assert_str_eq(out, expected);
		ck_assert(http_date_parse(str_of(out), &back) && back == t);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/date");
	TCase *tc = tcase_create("date");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, format_and_back, 0, COUNT(fixed));
	tcase_add_test(tc, format_out_of_range);
	tcase_add_loop_test(tc, parse_forms, 0, COUNT(forms));
	tcase_add_test(tc, parse_two_digit_years);
	tcase_add_loop_test(tc, parse_refuses, 0, COUNT(bad));
	tcase_add_test(tc, now_is_kept);
	tcase_add_test(tc, format_as_strftime);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
