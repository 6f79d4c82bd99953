#include "lb/watch.h"

#include <check.h>

#include "obs/board.h"

#define S CLOCK_NS_PER_S

static bool stuck(enum engine_seat seat, uint64_t word, int64_t limit, int64_t age)
{
	static struct board_row row; /* Check's stack does not keep what it is aligned to */

	row.since = 100 * S;
	row.word = word;
	return watch_is_stuck(seat, &row, limit, 100 * S + age);
}

/* What a thread is at decides whether it may take so long. */
START_TEST(test_who_is_stuck)
{
	uint64_t connect = board_word(DOING_CONNECT, 3, 17), idle = board_word(DOING_IDLE, LABEL_NONE, -1);
	uint64_t wait = board_word(DOING_WAIT, 3, 17), gone = board_word(DOING_GONE, LABEL_NONE, -1);
	uint64_t turn = board_word(DOING_TURN, LABEL_NONE, -1);

	ck_assert(!stuck(SEAT_WORKER, connect, 10 * S, 10 * S - 1));
	ck_assert(stuck(SEAT_WORKER, connect, 10 * S, 10 * S));
	ck_assert(!stuck(SEAT_WORKER, connect, 0, 1000 * S));
	ck_assert(!stuck(SEAT_WORKER, connect | BOARD_ASLEEP, 10 * S, 1000 * S));
	ck_assert(!stuck(SEAT_WORKER, wait | BOARD_ASLEEP, 10 * S, 1000 * S));
	ck_assert(stuck(SEAT_WORKER, wait, 10 * S, 11 * S)); /* awake, and goes nowhere */
	ck_assert(!stuck(SEAT_WORKER, idle, 10 * S, 1000 * S));
	ck_assert(!stuck(SEAT_ACCEPTOR, idle, 10 * S, 1000 * S));
	ck_assert(stuck(SEAT_ACCEPTOR, turn, 10 * S, 11 * S));
	ck_assert(stuck(SEAT_LOOP, turn, 10 * S, 11 * S));
	ck_assert(stuck(SEAT_LOOP, idle, 10 * S, 11 * S)); /* it should have looked up each second */
	for (int seat = SEAT_LOOP; seat <= SEAT_WORKER; seat++)
		ck_assert(!stuck((enum engine_seat)seat, gone, 10 * S, 1000 * S));
}
END_TEST

/* A step that is younger than `now`, as the coarse clock and the exact one may have it. */
START_TEST(test_ahead)
{
	ck_assert(!stuck(SEAT_WORKER, board_word(DOING_HEAD, LABEL_NONE, 4), 2 * S, -S));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb_watch");
	TCase *c = tcase_create("watch");

	tcase_add_test(c, test_who_is_stuck);
	tcase_add_test(c, test_ahead);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
