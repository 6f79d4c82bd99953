/* The advisor: Erlang's formula against values worked out otherwise, and what follows from what was measured. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lb/advise.h"

#define MS CLOCK_NS_PER_MS
#define S CLOCK_NS_PER_S

/* By the closed sum C = (a^c/c! c/(c-a)) / (sum of a^k/k! for k < c, and that), in exact fractions (Python); the first five are fractions to be
 * worked out by hand: 1/2, 1/3, 4/9, 4/23, 128/231. */
static const struct {
	unsigned servers;
	double load, waits;
} erlang_c[] = {
        {1, 0.5, 0.5},
        {2, 1, 1.0 / 3},
        {3, 2, 4.0 / 9},
        {4, 2, 4.0 / 23},
        {5, 4, 128.0 / 231},
        {10, 8, 0.40918015079644354},
        {16, 15, 0.7300759610864087},
        {24, 15, 0.02207388650551156},
        {100, 90, 0.2169404809063664},
        {300, 270, 0.0457426146331405},
        {2000, 1900, 0.013406437303190343},
        {1, 1, 1}, /* the queue grows without end */
        {4, 7, 1},
        {3, 0, 0},
};

START_TEST(erlang)
{
	double got = advise_erlang_c(erlang_c[_i].servers, erlang_c[_i].load);

	ck_assert_msg(fabs(got - erlang_c[_i].waits) <= 1e-12, "%u, %g: %.17g", erlang_c[_i].servers,
	        erlang_c[_i].load, got);
}
END_TEST

/* 1200 requests/s, 12.5 ms each, one at a time: 15 in hand, and 16 workers, on which they wait. */
static struct advise_input busy(void)
{
	return (struct advise_input){.interval = 10 * S,
	        .dispatched = 12000,
	        .bursts = 12000,
	        .busy = 150 * S,
	        .wait_mean = 9 * MS,
	        .wait_p99 = 40 * MS,
	        .cpu = 8 * S,
	        .target = 5 * MS,
	        .cores = 2,
	        .burst = 1,
	        .workers = 16,
	        .workers_most = 4096};
}

static void expect_text(const struct advice *a, const char *part)
{
	ck_assert_msg(strstr(a->text, part) != NULL, "no \"%s\" in:\n%s", part, a->text);
}

START_TEST(more_would_do)
{
	struct advise_input in = busy();
	struct advice a;

	advise(&in, &a);
	ck_assert_double_eq_tol(a.in_hand, 15, 1e-9);
	/* C(21, 15) e^-(6 x 5 / 12.5) = 0.1023 x 0.0907 = 0.0093; with 20 it is 0.0217. */
	ck_assert_uint_eq(a.least, 21);
	ck_assert_uint_eq(a.workers, 21);
	expect_text(&a, "1200 requests/s x 12.5 ms in a worker's hands = 15.0 at a time (Little's law");
	expect_text(&a, "15.0 of 16 workers were busy on the average");
	expect_text(&a, "waited for 9.00 ms on the average, 99 % of them for at most 40.0 ms\n");
	expect_text(&a, "with 16 48.9 % wait for longer than 5.00 ms, with 21 1 % or fewer\n");
	expect_text(&a, "busy with it for 40 % of the time\n");
	expect_text(&a, "so 21 would do: pool: { workers = 21; };\n");
	ck_assert_uint_lt(strlen(a.text), sizeof(a.text) - 100);
}
END_TEST

/* The least is what it says: one fewer lets too many wait. */
START_TEST(least_is_least)
{
	for (unsigned load = 1; load <= 1000; load += 111) {
		struct advise_input in = busy();
		struct advice a;

		in.dispatched = 10 * load; /* a second each */
		in.bursts = in.dispatched;
		in.busy = (int64_t)in.dispatched * S;
		if (in.dispatched < ADVISE_REQUESTS_MIN)
			continue;
		advise(&in, &a);
		double t = (double)in.target / (double)S;
		ck_assert_double_le(
		        advise_erlang_c(a.least, load) * exp(-(a.least - (double)load) * t), 0.01);
		if (a.least - 1 > load)
			ck_assert_double_gt(
			        advise_erlang_c(a.least - 1, load) * exp(-(a.least - 1 - (double)load) * t),
			        0.01);
	}
}
END_TEST

/* Requests that were put aside and taken up again: two bursts each, and as many in hand as workers were busy. */
START_TEST(put_aside)
{
	struct advise_input in = busy();
	struct advice a;

	in.bursts = 2 * in.dispatched;
	advise(&in, &a);
	ck_assert_double_eq_tol(a.in_hand, (double)in.busy / (double)in.interval, 1e-9);
	ck_assert_ptr_null(strstr(a.text, "that one takes at once"));
}
END_TEST

/* Refused ones came as well. */
START_TEST(refused_count)
{
	struct advise_input in = busy();
	struct advice a;

	in.busy = 150 * S;
	in.refused = 12000;
	advise(&in, &a);
	ck_assert_double_eq_tol(a.in_hand, 30, 1e-9);
	ck_assert_uint_gt(a.workers, 30);
	expect_text(&a, "of these 12000 were refused");
	expect_text(&a, "16 can't keep up");
}
END_TEST

START_TEST(fewer_would_do)
{
	struct advise_input in = busy();
	struct advice a;

	in.workers = 64;
	in.wait_mean = MS / 10;
	in.wait_p99 = MS;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 21);
	expect_text(&a, "so 21 would do");
	/* But they wait: then the arithmetic is not right here. */
	in.wait_p99 = 6 * MS;
	advise(&in, &a);
	ck_assert_uint_eq(a.least, 21);
	ck_assert_uint_eq(a.workers, 64);
	expect_text(&a, "so the 64 that there are should do");
}
END_TEST

/* Four that never rest: nobody knows what would come to more of them. */
START_TEST(all_busy)
{
	struct advise_input in = busy();
	struct advice a;

	in.workers = 4;
	in.dispatched = in.bursts = 4000;
	in.busy = 40 * S;
	in.wait_p99 = 600 * MS;
	advise(&in, &a);
	ck_assert_double_eq_tol(a.in_hand, 4, 1e-9);
	in.workers = 16;
	in.dispatched = in.bursts = 16000;
	in.busy = 160 * S;
	advise(&in, &a);
	ck_assert_uint_lt(a.least, 32);
	ck_assert_uint_eq(a.workers, 32);
	expect_text(&a,
	        "all were busy all the time: how much more would come is not known, so see with 32: pool: {");
	in.workers_most = 20;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 20);
	in.cpu = 20 * S;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 16);
}
END_TEST

/* Bursts of four: the arithmetic gives each request a worker, but those who share one did not wait, as was measured. */
START_TEST(bursts)
{
	struct advise_input in = busy();
	struct advice a;

	in.burst = 8;
	in.bursts = 3000;
	in.busy = 3000 * INT64_C(50) * MS;
	in.wait_p99 = 2 * MS;
	advise(&in, &a);
	ck_assert_double_eq_tol(a.in_hand, 60, 1e-9);
	ck_assert_uint_gt(a.least, 60);
	ck_assert_uint_eq(a.workers, 16);
	expect_text(&a, "15.0 of 16 workers were busy on the average, with 4.00 requests of 8");
	expect_text(&a, "so the 16 that there are do: as measured, 1 % or fewer waited for longer\n");
	in.wait_p99 = 20 * MS;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, a.least);
}
END_TEST

START_TEST(processors_are_short)
{
	struct advise_input in = busy();
	struct advice a;

	in.cpu = 18 * S;
	advise(&in, &a);
	ck_assert_uint_eq(a.least, 21);
	ck_assert_uint_eq(a.workers, 16);
	expect_text(&a, "90 % of the time: they are what is short");
	expect_text(&a, "so the 16 that there are stay");
	in.cpu = -1;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 21);
	ck_assert_ptr_null(strstr(a.text, "processors"));
}
END_TEST

START_TEST(extremes)
{
	struct advise_input in = busy();
	struct advice a;

	in.dispatched = in.bursts = ADVISE_REQUESTS_MIN - 1;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 0);
	ck_assert_str_eq(a.text, "");
	in = busy();
	in.bursts = 0; /* all of them still in hand */
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 0);
	/* More than there can be. */
	in = busy();
	in.busy = 100000 * S;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 4096);
	/* Next to nothing. */
	in = busy();
	in.busy = 1;
	in.target = 0;
	in.wait_p99 = 0;
	advise(&in, &a);
	ck_assert_uint_eq(a.workers, 1);
	/* The longest text. */
	in = busy();
	in.dispatched = in.refused = in.bursts = UINT64_C(1) << 60;
	in.busy = INT64_MAX / 2;
	in.interval = 1;
	in.wait_mean = in.wait_p99 = in.target = INT64_MAX / 2;
	in.workers = 4096;
	advise(&in, &a);
	ck_assert_uint_lt(strlen(a.text), sizeof(a.text) - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/advise");
	TCase *tc = tcase_create("advise");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, erlang, 0, (int)(sizeof(erlang_c) / sizeof(erlang_c[0])));
	tcase_add_test(tc, more_would_do);
	tcase_add_test(tc, least_is_least);
	tcase_add_test(tc, refused_count);
	tcase_add_test(tc, fewer_would_do);
	tcase_add_test(tc, all_busy);
	tcase_add_test(tc, bursts);
	tcase_add_test(tc, processors_are_short);
	tcase_add_test(tc, put_aside);
	tcase_add_test(tc, extremes);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
