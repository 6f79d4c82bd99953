/* The least rate: whoever keeps it goes on, whoever does not ends after the grace and what it had bought. */
#include <check.h>
#include <stdlib.h>

#include "base/clock.h"
#include "wire/pace.h"

#define MS CLOCK_NS_PER_MS
#define S CLOCK_NS_PER_S

enum { RATE = 1000 };

/* Moves `bytes` each `every` ns, and is waited for all the time; ns until it is too slow, CLOCK_NEVER: not within `until`. */
static int64_t ends_after(uint64_t bytes, int64_t every, int64_t grace, int64_t until)
{
	struct pace p = pace_of(RATE, grace);
	int64_t next = S + every; /* 0 means that nobody waits */
	uint64_t moved = 0;

	pace_wait(&p, S);
	for (int64_t now = S; now < S + until;) {
		int64_t deadline = pace_deadline(&p);

		if (next <= deadline) {
			now = next;
			pace_resume(&p, now);
			moved += bytes;
			pace_wait(&p, now);
			next += every;
			continue;
		}
		now = deadline;
		if (!pace_keeps(&p, moved, now))
			return now - S;
	}
	return CLOCK_NEVER;
}

START_TEST(rates)
{
	/* Nothing at all: the grace. */
	ck_assert_int_eq(ends_after(0, S, 10 * S, 3600 * S), 10 * S);
	/* Half the rate: twice the grace, but for the last steps. */
	int64_t half = ends_after(50, 100 * MS, 10 * S, 3600 * S);
	ck_assert_int_ge(half, 19 * S);
	ck_assert_int_le(half, 20 * S);
	/* A byte a second of a thousand. */
	ck_assert_int_le(ends_after(1, S, 10 * S, 3600 * S), 10 * S + 100 * MS);
	/* At the rate, and above it. */
	ck_assert_int_eq(ends_after(100, 100 * MS, 10 * S, 3600 * S), CLOCK_NEVER);
	ck_assert_int_eq(ends_after(1100, S, 10 * S, 3600 * S), CLOCK_NEVER);
	/* In bursts with pauses almost as long as the grace. */
	ck_assert_int_eq(ends_after(10000, 9900 * MS, 10 * S, 3600 * S), CLOCK_NEVER);
}
END_TEST

/* However much came at first, it buys no more than the grace. */
START_TEST(no_hoard)
{
	struct pace p = pace_of(RATE, 5 * S);

	pace_wait(&p, S);
	ck_assert(pace_keeps(&p, 1000000000, 6 * S));
	ck_assert_int_eq(pace_deadline(&p), 11 * S);
	ck_assert(!pace_keeps(&p, 1000000000, 11 * S));
}
END_TEST

/* What we do not wait for is not its fault. */
START_TEST(only_waits_count)
{
	struct pace p = pace_of(RATE, 5 * S);

	ck_assert_int_eq(pace_deadline(&p), CLOCK_NEVER);
	pace_resume(&p, 100 * S); /* no wait: nothing */
	ck_assert_int_eq(p.left, 5 * S);
	for (int64_t i = 0; i < 4; i++) {
		pace_wait(&p, (1000 * i + 1) * S);
		ck_assert_int_eq(pace_deadline(&p), (1000 * i + 1 + 5 - i) * S);
		pace_resume(&p, (1000 * i + 2) * S);
		ck_assert_int_eq(pace_deadline(&p), CLOCK_NEVER);
	}
	ck_assert_int_eq(p.left, S);
	/* Used up by a wait that ended by itself: due at once in the next one. */
	pace_wait(&p, 9000 * S);
	pace_resume(&p, 9002 * S);
	pace_wait(&p, 9003 * S);
	ck_assert_int_eq(pace_deadline(&p), 9003 * S);
	ck_assert(pace_keeps(&p, 2000, 9003 * S));
	ck_assert_int_eq(pace_deadline(&p), 9004 * S);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_pace");
	TCase *tests = tcase_create("pace");

	tcase_add_test(tests, rates);
	tcase_add_test(tests, no_hoard);
	tcase_add_test(tests, only_waits_count);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
