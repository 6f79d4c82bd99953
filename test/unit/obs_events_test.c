/* The ring of events: what is kept, what is cut, what is cleaned, and many threads at once. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "obs/events.h"

enum { THREADS = 4, EACH = 5000 };

static struct event got[EVENTS_KEPT + 1];

/* Each case in a process of its own (Check forks), and the log out of the way. */
static void drop_line(void *arg, enum diag_level level, const char *line, size_t len)
{
	(void)level;
	(void)len;
	if (arg)
		snprintf(arg, 200, "%s", line);
}

static const char *kept_of(const char *text)
{
	event(DIAG_INFO, "%s", text);
	ck_assert_uint_eq(events_read(got, 1), 1);
	return got[0].text;
}

START_TEST(in_order)
{
	char line[200] = "";

	diag_set_sink(drop_line, line);
	ck_assert_uint_eq(events_last(), 0);
	ck_assert_uint_eq(events_read(got, EVENTS_KEPT), 0);
	event_warning("server %d is down", 1);
	ck_assert_ptr_nonnull(strstr(line, "Z warning: server 1 is down\n"));
	event_info("server %d is up", 1);
	ck_assert_uint_eq(events_read(got, EVENTS_KEPT), 2);
	ck_assert_str_eq(got[0].text, "server 1 is down");
	ck_assert_int_eq(got[0].level, DIAG_WARNING);
	ck_assert_uint_eq(got[0].id, 1);
	ck_assert_str_eq(got[1].text, "server 1 is up");
	ck_assert_uint_eq(got[1].id, 2);
	ck_assert_int_le(got[0].at, got[1].at);
	ck_assert_int_le(llabs(got[1].at / 1000 - (long long)time(NULL)), 60);
	ck_assert_uint_eq(events_read(got, 1), 1);
	ck_assert_uint_eq(got[0].id, 2);
	ck_assert_uint_eq(events_last(), 2);
}
END_TEST

/* What the log does not show is an event still. */
START_TEST(whatever_is_logged)
{
	char line[200] = "";

	diag_set_sink(drop_line, line);
	diag_set_level(DIAG_ERROR);
	event_info("quiet");
	ck_assert_str_eq(line, "");
	ck_assert_uint_eq(events_last(), 1);
}
END_TEST

START_TEST(the_last_stay)
{
	diag_set_sink(drop_line, NULL);
	for (int i = 1; i <= EVENTS_KEPT + 50; i++)
		event_info("number %d", i);
	ck_assert_uint_eq(events_read(got, EVENTS_KEPT + 1), EVENTS_KEPT);
	for (unsigned i = 0; i < EVENTS_KEPT; i++)
		ck_assert_uint_eq(got[i].id, 51 + i);
	ck_assert_str_eq(got[0].text, "number 51");
}
END_TEST

START_TEST(errno_is_heard_and_kept)
{
	diag_set_sink(drop_line, NULL);
	errno = ENOENT;
	event_info("%m");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_uint_eq(events_read(got, 1), 1);
	ck_assert_str_eq(got[0].text, strerror(ENOENT));
}
END_TEST

START_TEST(texts_are_clean)
{
	diag_set_sink(drop_line, NULL);
	ck_assert_str_eq(kept_of("<b>&\"quoted\"</b>"), "<b>&\"quoted\"</b>");
	ck_assert_str_eq(kept_of("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8c"),
	        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8c");
	ck_assert_str_eq(kept_of("a\nb\tc\x7f\x1b[2J"), "a?b?c??[2J");
	ck_assert_str_eq(kept_of("\xff|\xc3|\xc0\x80|\xe0\x80\x80|\xed\xa0\x80|\xf4\x90\x80\x80|\xf5"),
	        "?|?|??|???|???|????|?");
	ck_assert_str_eq(kept_of("\xc2\x9b"
	                         "2J\xc2\xa0."),
	        "??2J\xc2\xa0."); /* a terminal's CSI in one character */
}
END_TEST

/* What is left of a character that was cut is question marks. */
START_TEST(long_ones_are_cut)
{
	char text[2 * EVENT_TEXT_BYTES];

	diag_set_sink(drop_line, NULL);
	memset(text, 'x', sizeof(text));
	memcpy(text + EVENT_TEXT_BYTES - 3, "\xe2\x82\xac", 3);
	text[sizeof(text) - 1] = '\0';
	const char *kept = kept_of(text);
	ck_assert_uint_eq(strlen(kept), EVENT_TEXT_BYTES - 1);
	ck_assert_str_eq(kept + EVENT_TEXT_BYTES - 4, "x??");
}
END_TEST

static void *tell_many(void *arg)
{
	for (int i = 0; i < EACH; i++)
		event_info("%s %d", (const char *)arg, i);
	return NULL;
}

/* Whoever reads meanwhile sees whole events, without gaps. */
START_TEST(all_at_once)
{
	static char names[THREADS][8] = {"one", "two", "three", "four"};
	pthread_t threads[THREADS];

	diag_set_sink(drop_line, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, tell_many, names[i]), 0);
	while (events_last() < THREADS * EACH) {
		unsigned n = events_read(got, EVENTS_KEPT);

		for (unsigned i = 1; i < n; i++)
			ck_assert_uint_eq(got[i].id, got[i - 1].id + 1);
		for (unsigned i = 0; i < n; i++)
			ck_assert_ptr_nonnull(strchr(got[i].text, ' '));
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(events_last(), THREADS * EACH);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/events");
	TCase *tc = tcase_create("events");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, whatever_is_logged);
	tcase_add_test(tc, the_last_stay);
	tcase_add_test(tc, errno_is_heard_and_kept);
	tcase_add_test(tc, texts_are_clean);
	tcase_add_test(tc, long_ones_are_cut);
	tcase_add_test(tc, all_at_once);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
