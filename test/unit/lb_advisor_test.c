/* Which stretch of time the advisor speaks of. The counters are written as workers would write them; those of the engine here are idle. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/diag.h"
#include "lb/advisor.h"

#define S CLOCK_NS_PER_S

static struct engine *engine;
static struct advisor advisor;
static char said[4096];

static void sink(void *arg, enum diag_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	strncat(said, line, len);
}

static void setup(void)
{
	struct engine_options options = {.name = "advisor",
	        .workers = 8,
	        .burst = 1,
	        .queue_size = 8,
	        .connections = 8,
	        .header_size = 4096,
	        .drain = S};
	const char *why;

	engine = engine_start(&options, &why);
	ck_assert_msg(engine != NULL, "%s", why);
	advisor_init(&advisor, engine, 5 * CLOCK_NS_PER_MS, 1);
	said[0] = '\0';
	diag_set_sink(sink, NULL);
}

static void teardown(void)
{
	diag_set_sink(NULL, NULL);
	engine_drain(engine);
	ck_assert_uint_eq(engine_wait(engine), 0);
	engine_free(engine);
}

/* n requests kept workers busy for 10 ms each and waited for `wait`. */
static void count_requests(uint64_t n, int64_t wait)
{
	unsigned count;
	struct counters *set = (struct counters *)(uintptr_t)engine_counters(engine, &count);

	counter_add(set, COUNTER_dispatched, n);
	counter_add(set, COUNTER_bursts, n);
	counter_add(set, COUNTER_busy_ns, n * 10 * CLOCK_NS_PER_MS);
	for (uint64_t i = 0; i < n; i++)
		waits_record(&set->waits, wait);
}

/* A stretch of so many seconds with these. */
static void stretch(int64_t seconds, uint64_t n, int64_t wait)
{
	advisor.before.at -= seconds * S;
	count_requests(n, wait);
	advisor_look(&advisor);
}

static void expect_said(const char *text)
{
	ck_assert_msg(strstr(said, text) != NULL, "no \"%s\" in:\n%s", text, said);
}

static void expect(const char *text)
{
	advisor_tell(&advisor);
	expect_said(text);
	said[0] = '\0';
}

START_TEST(the_busiest)
{
	stretch(10, 1000, 0);
	stretch(10, 4000, 20 * CLOCK_NS_PER_MS);
	stretch(10, 2000, 0);
	stretch(10, 0, 0);
	/* 400 a second, 4 in hand, of whom all waited, while nobody did in the other stretches. */
	advisor_tell(&advisor);
	expect_said("advice: in the busiest 10 s there were\n");
	expect_said("400 requests/s x 10.0 ms in a worker's hands = 4.00 at a time");
	expect_said("waited for 20.0 ms on the average, 99 % of them for at most 19.5 ms\n");
	said[0] = '\0';
	/* It was told, and begins anew. */
	stretch(10, 1000, 40 * CLOCK_NS_PER_MS);
	advisor_tell(&advisor);
	expect_said("waited for 40.0 ms on the average, 99 % of them for at most 38.9 ms\n");
	expect_said("x 10.0 ms in a worker's hands = 1.00 at a time");
}
END_TEST

/* A short one is not worth more than a long one; one in which more was finished than the workers can have done tells nothing. */
START_TEST(short_ones)
{
	stretch(10, 1000, 0);
	stretch(0, 1000, 0);
	expect("x 10.0 ms in a worker's hands = 1.00 at a time");
	stretch(10, 100000, 0);
	advisor_tell(&advisor);
	ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(too_few)
{
	advisor_tell(&advisor);
	advisor_look(&advisor);
	advisor_tell(&advisor);
	stretch(10, 5, 0);
	advisor_tell(&advisor);
	ck_assert_str_eq(said, "");
}
END_TEST

/* Of the stretch that ends with a resize the workers are those before it. */
START_TEST(resized)
{
	int error;

	stretch(10, 1000, 0);
	ck_assert_uint_eq(engine_resize(engine, 3, &error), 3);
	expect("of 8 workers were busy");
	stretch(10, 1000, 0);
	expect("of 3 workers were busy");
	ck_assert_int_le(advisor_next_look(&advisor), clock_now() + 10 * S);
}
END_TEST

/* What is printed is not used up, and a stretch that is asked about too early goes on. */
START_TEST(printed)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert(!advisor_print(&advisor, out));
	stretch(10, 1000, 0);
	ck_assert(advisor_print(&advisor, out));
	ck_assert_int_eq(fflush(out), 0);
	ck_assert_ptr_nonnull(strstr(text, "in the busiest 10 s there were\n"));
	ck_assert_ptr_nonnull(strstr(text, "x 10.0 ms in a worker's hands = 1.00 at a time"));
	count_requests(3000, 0);
	ck_assert(advisor_print(&advisor, out));
	advisor.before.at -= 10 * S;
	ck_assert(advisor_print(&advisor, out));
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_ptr_nonnull(strstr(text, "x 10.0 ms in a worker's hands = 3.00 at a time"));
	free(text);
	expect("x 10.0 ms in a worker's hands = 3.00 at a time");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/advisor");
	TCase *tc = tcase_create("advisor");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_busiest);
	tcase_add_test(tc, short_ones);
	tcase_add_test(tc, too_few);
	tcase_add_test(tc, resized);
	tcase_add_test(tc, printed);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
