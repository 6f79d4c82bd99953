/* The state of a server: what probes, requests and the operator make of it, at times that the test names. */
#include <check.h>
#include <string.h>

#include "base/clock.h"
#include "lb/standing.h"

#define S CLOCK_NS_PER_S
#define NOW (1000 * S)

static struct lb_config_upstream config;
static struct server servers[2];
static struct upstream u;

/* A server that requests bring down after 3 failures, for 10 s; no probes. */
static void setup(void)
{
	config = (struct lb_config_upstream){
	        .passive = {.max_fails = 3, .fail_timeout = 10 * S}, .health = {.rise = 2, .fall = 3}};
	memset(servers, 0, sizeof(servers));
	u = (struct upstream){.name = "u", .config = &config, .count = 2, .primaries = 2, .servers = servers};
	lock_init(&u.lock);
	for (int i = 0; i < 2; i++)
		standing_init(&servers[i], LB_SERVER_READY, true, NOW);
}

static void teardown(void)
{
	lock_destroy(&u.lock);
}

static void fail_times(int n, int64_t now)
{
	while (n-- > 0)
		(void)standing_failed(&u, &servers[0], "connect: refused", now);
}

START_TEST(failures_in_a_row)
{
	fail_times(2, NOW);
	ck_assert(!standing_succeeded(&u, &servers[0], false, NOW)); /* not in a row any more */
	fail_times(2, NOW);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert(standing_failed(&u, &servers[0], "x", NOW + S));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	ck_assert_int_eq(server_state(&servers[1]), SERVER_UP);
	ck_assert_uint_eq(u.impaired, 1);
	ck_assert(!standing_failed(&u, &servers[0], "x", NOW + S)); /* told once */
	ck_assert_uint_eq(standing_downs(&u, &servers[0]), 1);
	ck_assert_int_eq(standing_tick(&u, &servers[0], NOW + S).recheck, NOW + 11 * S);
	ck_assert_int_eq(standing_tick(&u, &servers[1], NOW + S).recheck, CLOCK_NEVER);
}
END_TEST

/* What was under way when it went down says nothing about now. */
START_TEST(late_success)
{
	fail_times(3, NOW);
	ck_assert(!standing_succeeded(&u, &servers[0], false, NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	ck_assert(standing_succeeded(&u, &servers[0], true, NOW)); /* in panic it was asked while down */
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert_uint_eq(u.impaired, 0);
}
END_TEST

START_TEST(never_by_requests)
{
	config.passive.max_fails = 0;
	fail_times(100, NOW);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
}
END_TEST

/* On probation: one failure more, and it is down again; a success, and it has all its chances. */
START_TEST(recheck)
{
	fail_times(3, NOW);
	ck_assert(!standing_rechecked(&u, &servers[0], false, "x", NOW + 10 * S));
	ck_assert_int_eq(standing_tick(&u, &servers[0], NOW).recheck, NOW + 20 * S);
	ck_assert(standing_rechecked(&u, &servers[0], true, "", NOW + 20 * S));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert_int_eq(standing_tick(&u, &servers[0], NOW).recheck, CLOCK_NEVER);
	fail_times(1, NOW + 21 * S);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	ck_assert(standing_rechecked(&u, &servers[0], true, "", NOW + 31 * S));
	(void)standing_succeeded(&u, &servers[0], false, NOW + 32 * S);
	fail_times(2, NOW + 33 * S);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
}
END_TEST

static void probe_times(int n, bool good)
{
	while (n-- > 0)
		(void)standing_probed(&u, &servers[0], good, "status 500", NOW);
}

START_TEST(rise_and_fall)
{
	config.health.type = LB_HEALTH_HTTP;
	probe_times(1, true);
	probe_times(2, false);
	probe_times(1, true);
	probe_times(2, false);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert(standing_probed(&u, &servers[0], false, "x", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	probe_times(1, true);
	probe_times(1, false);
	probe_times(1, true);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	ck_assert(standing_probed(&u, &servers[0], true, "", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	probe_times(2, false); /* it has been seen alive */
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
}
END_TEST

/* Of a server that was never seen alive one bad probe is enough. */
START_TEST(dead_from_the_start)
{
	config.health.type = LB_HEALTH_TCP;
	ck_assert(standing_probed(&u, &servers[0], false, "x", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
}
END_TEST

/* Where there are probes they alone bring a server up again, whoever brought it down. */
START_TEST(requests_and_probes)
{
	config.health.type = LB_HEALTH_TCP;
	probe_times(5, true);
	fail_times(3, NOW);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	ck_assert_int_eq(standing_tick(&u, &servers[0], NOW).recheck, CLOCK_NEVER);
	ck_assert(!standing_succeeded(&u, &servers[0], true, NOW));
	probe_times(1, true);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	probe_times(1, true);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
}
END_TEST

START_TEST(operator)
{
	ck_assert(standing_want(&u, &servers[0], LB_SERVER_DRAIN, NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DRAINING);
	ck_assert(!standing_want(&u, &servers[0], LB_SERVER_DRAIN, NOW));
	fail_times(3, NOW); /* it may die as well: then it gets nothing, not even in panic */
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN_DRAINING);
	ck_assert_uint_eq(standing_downs(&u, &servers[0]), 1);
	ck_assert(standing_want(&u, &servers[0], LB_SERVER_MAINT, NOW));
	ck_assert(!standing_tick(&u, &servers[0], NOW).probes);
	ck_assert(standing_want(&u, &servers[0], LB_SERVER_READY, NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN); /* it is still dead */
	ck_assert(standing_rechecked(&u, &servers[0], true, "", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	standing_init(&servers[1], LB_SERVER_MAINT, true, NOW);
	ck_assert_int_eq(server_state(&servers[1]), SERVER_MAINT);
}
END_TEST

/* From a small share to the whole, as time goes; not at the start of the program. */
START_TEST(slow_start)
{
	unsigned last = 256;

	config.slow_start = 8 * S;
	ck_assert_uint_eq(servers[0].held_back, 0);
	fail_times(3, NOW);
	ck_assert(standing_rechecked(&u, &servers[0], true, "", NOW + 10 * S));
	ck_assert_uint_eq(u.impaired, 1);
	for (int64_t at = NOW + 10 * S; at < NOW + 18 * S;) {
		struct standing_due due = standing_tick(&u, &servers[0], at);

		ck_assert_int_gt(due.tick, at);
		ck_assert_int_le(due.tick, at + S / 4);
		ck_assert_uint_le(servers[0].held_back, last);
		last = servers[0].held_back;
		if (at == NOW + 14 * S)
			ck_assert_uint_eq(last, 128);
		at = due.tick;
	}
	ck_assert_uint_le(last, 8);
	ck_assert_int_eq(standing_tick(&u, &servers[0], NOW + 18 * S).tick, CLOCK_NEVER);
	ck_assert_uint_eq(servers[0].held_back, 0);
	ck_assert_uint_eq(u.impaired, 0);
}
END_TEST

/* It dies while it starts slowly: whole again when it is picked in panic. */
START_TEST(slow_start_cut_short)
{
	config.slow_start = 8 * S;
	fail_times(3, NOW);
	(void)standing_rechecked(&u, &servers[0], true, "", NOW + 10 * S);
	fail_times(1, NOW + 11 * S);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	(void)standing_tick(&u, &servers[0], NOW + 11 * S);
	ck_assert_uint_eq(servers[0].held_back, 0);
	ck_assert_uint_eq(u.impaired, 1);
}
END_TEST

/* Its address is another one: what was known of the old one is void. */
START_TEST(moved)
{
	config.health.type = LB_HEALTH_TCP;
	(void)standing_probed(&u, &servers[0], true, "", NOW);
	fail_times(3, NOW);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DOWN);
	ck_assert(standing_moved(&u, &servers[0], true, "address changed", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert_uint_eq(u.impaired, 0);
	fail_times(2, NOW);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert(!standing_moved(&u, &servers[0], true, "address changed", NOW)); /* up before, too */
	fail_times(2, NOW);
	ck_assert_int_eq(server_state(&servers[0]), SERVER_UP);
	ck_assert(standing_probed(&u, &servers[0], false, "x", NOW)); /* never seen alive: one is enough */
}
END_TEST

START_TEST(absent)
{
	ck_assert(standing_moved(&u, &servers[0], false, "gone", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_ABSENT);
	ck_assert_uint_eq(u.impaired, 1);
	ck_assert(!standing_tick(&u, &servers[0], NOW).probes);
	fail_times(10, NOW); /* what was under way */
	ck_assert(!standing_want(&u, &servers[0], LB_SERVER_DRAIN, NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_ABSENT);
	ck_assert(standing_moved(&u, &servers[0], true, "come", NOW));
	ck_assert_int_eq(server_state(&servers[0]), SERVER_DRAINING);
	ck_assert(standing_want(&u, &servers[0], LB_SERVER_READY, NOW));
	ck_assert_uint_eq(u.impaired, 0);
	ck_assert(standing_tick(&u, &servers[0], NOW).probes);
}
END_TEST

START_TEST(newcomer_starts_slowly)
{
	config.slow_start = 10 * S;
	standing_init(&servers[1], LB_SERVER_READY, false, NOW);
	ck_assert(standing_is_impaired(&servers[1]));
	ck_assert(standing_moved(&u, &servers[1], true, "come", NOW));
	ck_assert_uint_gt(servers[1].held_back, 128);
	ck_assert(standing_moved(&u, &servers[1], false, "gone", NOW));
	(void)standing_tick(&u, &servers[1], NOW);
	ck_assert_uint_eq(servers[1].held_back, 0);
}
END_TEST

START_TEST(share)
{
	standing_share(&u, &servers[0], 64);
	ck_assert_uint_eq(server_share(&servers[0]), 64);
	ck_assert_uint_eq(u.impaired, 1);
	standing_share(&u, &servers[0], SHARE_FULL);
	ck_assert_uint_eq(server_share(&servers[0]), SHARE_FULL);
	ck_assert_uint_eq(u.impaired, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("standing");
	TCase *tc = tcase_create("standing");
	SRunner *sr = srunner_create(s);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, failures_in_a_row);
	tcase_add_test(tc, late_success);
	tcase_add_test(tc, never_by_requests);
	tcase_add_test(tc, recheck);
	tcase_add_test(tc, rise_and_fall);
	tcase_add_test(tc, dead_from_the_start);
	tcase_add_test(tc, requests_and_probes);
	tcase_add_test(tc, operator);
	tcase_add_test(tc, slow_start);
	tcase_add_test(tc, slow_start_cut_short);
	tcase_add_test(tc, moved);
	tcase_add_test(tc, absent);
	tcase_add_test(tc, newcomer_starts_slowly);
	tcase_add_test(tc, share);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
