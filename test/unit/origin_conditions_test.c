/* The table of RFC 9110 section 13.2.2, row by row, and the byte ranges of section 14. */
#include "origin/conditions.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define OLD "Sat, 01 Jan 2022 00:00:00 GMT"
#define SAME "Sun, 01 Jan 2023 00:00:00 GMT"
#define NEW "Mon, 01 Jan 2024 00:00:00 GMT"

static const struct representation now = {
        .etag = {"\"x,y\"", 5}, .settled = true, .modified = 1672531200, .size = 100};

static struct outcome decide_for(const char *method, const char *fields, const struct representation *what)
{
	static char text[2048];
	struct http_field room[16];
	struct http_head head = {.fields = room, .room = 16};
	int n = snprintf(text, sizeof(text), "%s /f HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

	ck_assert_int_eq(http_request_parse(&head, text, (size_t)n), HTTP_OK);
	return conditions_decide(&head, what);
}

static struct outcome decide(const char *fields)
{
	return decide_for("GET", fields, &now);
}

static const struct {
	const char *method;
	const char *fields;
	enum outcome_kind kind;
} rows[] = {
        {"GET", "", OUTCOME_WHOLE},
        /* 1: If-Match, strong comparison */
        {"GET", "If-Match: \"x,y\"\r\n", OUTCOME_WHOLE},
        {"GET", "If-Match: *\r\n", OUTCOME_WHOLE},
        {"GET", "If-Match: \"a\", \"x,y\"\r\n", OUTCOME_WHOLE},
        {"GET", "If-Match: \"a\"\r\nIf-Match: \"x,y\"\r\n", OUTCOME_WHOLE},
        {"GET", "If-Match: W/\"x,y\"\r\n", OUTCOME_FAILED},
        {"GET", "If-Match: \"x\"\r\n", OUTCOME_FAILED},
        {"GET", "If-Match: x,y\r\n", OUTCOME_FAILED},
        {"GET", "If-Match:\r\n", OUTCOME_FAILED},
        {"GET", "If-Match: \"x,y\r\n", OUTCOME_FAILED},
        /* 1 comes before 2 */
        {"GET", "If-Match: \"x,y\"\r\nIf-Unmodified-Since: " OLD "\r\n", OUTCOME_WHOLE},
        /* 2: If-Unmodified-Since */
        {"GET", "If-Unmodified-Since: " OLD "\r\n", OUTCOME_FAILED},
        {"GET", "If-Unmodified-Since: " SAME "\r\n", OUTCOME_WHOLE},
        {"GET", "If-Unmodified-Since: " NEW "\r\n", OUTCOME_WHOLE},
        {"GET", "If-Unmodified-Since: yesterday\r\n", OUTCOME_WHOLE},
        {"GET", "If-Unmodified-Since: " OLD "\r\nIf-Unmodified-Since: " OLD "\r\n", OUTCOME_WHOLE},
        /* 3: If-None-Match, weak comparison */
        {"GET", "If-None-Match: \"x,y\"\r\n", OUTCOME_NOT_MODIFIED},
        {"HEAD", "If-None-Match: W/\"x,y\"\r\n", OUTCOME_NOT_MODIFIED},
        {"GET", "If-None-Match: *\r\n", OUTCOME_NOT_MODIFIED},
        {"GET", "If-None-Match: \"a\" ,, \"x,y\"\r\n", OUTCOME_NOT_MODIFIED},
        {"GET", "If-None-Match: \"a\"\r\n", OUTCOME_WHOLE},
        {"PUT", "If-None-Match: *\r\n", OUTCOME_FAILED},
        /* 3 comes before 4 */
        {"GET", "If-None-Match: \"a\"\r\nIf-Modified-Since: " NEW "\r\n", OUTCOME_WHOLE},
        /* 4: If-Modified-Since */
        {"GET", "If-Modified-Since: " OLD "\r\n", OUTCOME_WHOLE},
        {"GET", "If-Modified-Since: " SAME "\r\n", OUTCOME_NOT_MODIFIED},
        {"GET", "If-Modified-Since: Sunday, 01-Jan-23 00:00:00 GMT\r\n", OUTCOME_NOT_MODIFIED},
        {"GET", "If-Modified-Since: 2023\r\n", OUTCOME_WHOLE},
        {"PUT", "If-Modified-Since: " SAME "\r\n", OUTCOME_WHOLE},
        /* 1 and 2 come before 3 and 4, and those before ranges */
        {"GET", "If-Match: \"a\"\r\nIf-None-Match: \"x,y\"\r\n", OUTCOME_FAILED},
        {"GET", "If-None-Match: \"x,y\"\r\nRange: bytes=0-1\r\n", OUTCOME_NOT_MODIFIED},
        /* 5: If-Range */
        {"GET", "Range: bytes=0-1\r\nIf-Range: \"x,y\"\r\n", OUTCOME_PART},
        {"GET", "Range: bytes=0-1\r\nIf-Range: W/\"x,y\"\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=0-1\r\nIf-Range: \"a\"\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=0-1\r\nIf-Range: " SAME "\r\n", OUTCOME_PART},
        {"GET", "Range: bytes=0-1\r\nIf-Range: " NEW "\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=0-1\r\nIf-Range: soon\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=500-\r\nIf-Range: \"a\"\r\n", OUTCOME_WHOLE},
        {"GET", "If-Range: \"x,y\"\r\n", OUTCOME_WHOLE},
        /* Ranges */
        {"HEAD", "Range: bytes=0-1\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=100-\r\n", OUTCOME_UNSATISFIABLE},
        {"GET", "Range: bytes=-0\r\n", OUTCOME_UNSATISFIABLE},
        {"GET", "Range: bytes=99999999999999999999999-\r\n", OUTCOME_UNSATISFIABLE},
        {"GET", "Range: bytes=5-4\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=0-1,3-4\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=0-1\r\nRange: bytes=0-1\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=-\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=1\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=+1-2\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=1-2x\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes=--1\r\n", OUTCOME_WHOLE},
        {"GET", "Range: lines=0-1\r\n", OUTCOME_WHOLE},
        {"GET", "Range: bytes\r\n", OUTCOME_WHOLE},
};

START_TEST(every_row_decides)
{
	struct outcome outcome = decide_for(rows[_i].method, rows[_i].fields, &now);

	ck_assert_msg(outcome.kind == rows[_i].kind, "%s %s: %d, not %d", rows[_i].method, rows[_i].fields,
	        outcome.kind, rows[_i].kind);
}
END_TEST

static const struct {
	const char *fields;
	uint64_t first, last;
} parts[] = {
        {"Range: bytes=0-0\r\n", 0, 0},
        {"Range: bytes=10-19\r\n", 10, 19},
        {"Range: bytes=90-\r\n", 90, 99},
        {"Range: bytes=99-99999999999999999999999\r\n", 99, 99},
        {"Range: bytes=-1\r\n", 99, 99},
        {"Range: bytes=-100\r\n", 0, 99},
        {"Range: bytes=-18446744073709551617\r\n", 0, 99},
        {"Range: BYTES=1-2\r\n", 1, 2},
        {"Range: bytes= 1-2 ,\r\n", 1, 2},
};

START_TEST(every_part_is_exact)
{
	struct outcome outcome = decide(parts[_i].fields);

	ck_assert_int_eq(outcome.kind, OUTCOME_PART);
	ck_assert_uint_eq(outcome.first, parts[_i].first);
	ck_assert_uint_eq(outcome.last, parts[_i].last);
}
END_TEST

START_TEST(what_changed_lately_has_weak_validators)
{
	struct representation fresh = now;

	fresh.settled = false;
	ck_assert_int_eq(decide_for("GET", "If-Match: \"x,y\"\r\n", &fresh).kind, OUTCOME_FAILED);
	ck_assert_int_eq(
	        decide_for("GET", "If-None-Match: W/\"x,y\"\r\n", &fresh).kind, OUTCOME_NOT_MODIFIED);
	ck_assert_int_eq(
	        decide_for("GET", "Range: bytes=0-1\r\nIf-Range: \"x,y\"\r\n", &fresh).kind, OUTCOME_WHOLE);
	ck_assert_int_eq(
	        decide_for("GET", "Range: bytes=0-1\r\nIf-Range: " SAME "\r\n", &fresh).kind, OUTCOME_WHOLE);
}
END_TEST

START_TEST(nothing_of_an_empty_file_can_be_had)
{
	struct representation empty = now;

	empty.size = 0;
	ck_assert_int_eq(decide_for("GET", "Range: bytes=0-\r\n", &empty).kind, OUTCOME_UNSATISFIABLE);
	ck_assert_int_eq(decide_for("GET", "Range: bytes=-5\r\n", &empty).kind, OUTCOME_WHOLE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origin/conditions");
	TCase *t = tcase_create("conditions");
	SRunner *sr = srunner_create(s);

	tcase_add_loop_test(t, every_row_decides, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(t, every_part_is_exact, 0, (int)(sizeof(parts) / sizeof(parts[0])));
	tcase_add_test(t, what_changed_lately_has_weak_validators);
	tcase_add_test(t, nothing_of_an_empty_file_can_be_had);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
