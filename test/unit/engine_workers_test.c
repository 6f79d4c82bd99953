/* How the workers share requests: waits for servers, bursts, held connections, other numbers of workers. The service is that of engine_app.h; _i is the engine. */
#include "engine_app.h"

/* One worker (or as many fibers as it takes), eight servers at work at once, which answer in the reverse order. */
START_TEST(servers)
{
	int fds[SERVERS];
	char text[8];

	use_engine(_i, engines[_i].kind == ENGINE_POOL ? 1 : 2 * (SERVERS + 1));
	start();
	int gate = ask("s0\n"); /* so that the others come as one burst */
	wait_until(&app.asleep, 1);
	for (int i = 0; i < SERVERS; i++) {
		snprintf(text, sizeof(text), "w%d\n", i);
		fds[i] = ask(text);
	}
	open_gate(0);
	expect(gate, "s0\n");
	for (int i = SERVERS - 1; i >= 0; i--) {
		/* The worker sleeps for those it has; it takes the others when one of those is done. */
		snprintf(text, sizeof(text), "a%d\n", i);
		say(app.servers[i][1], text);
	}
	for (int i = 0; i < SERVERS; i++) {
		snprintf(text, sizeof(text), "a%d\n", i);
		expect(fds[i], text);
		close(fds[i]);
	}
	close(gate);
	ck_assert_uint_eq(atomic_load(&app.late), 0);
	stop();
}
END_TEST

START_TEST(server_is_late)
{
	use_engine(_i, 2);
	app.server_timeout = 40 * MS;
	start();
	int64_t began = clock_now();
	int fd = ask("w3\n");
	expect(fd, "late\n");
	ck_assert_int_ge(clock_now() - began, app.server_timeout);
	app.server_timeout = LONG;
	say(fd, "w3\n");
	wait_until(&app.waiting, 1);
	say(app.servers[3][1], "in time\n");
	expect(fd, "in time\n");
	ck_assert_uint_eq(atomic_load(&app.late), 1);
	close(fd);
	stop();
}
END_TEST

/*
 * Both workers are held while eight requests are queued: one sleeper, seven others. The first worker that is
 * let go takes them all in one burst; when it comes to sleep for the sleeper alone, the other must get the
 * rest: those not begun (the sleeper came first) and those that wait for a server (it came last).
 */
START_TEST(burst_passes_on)
{
	int fds[8], sleeper = _i == 0 ? 0 : 7;
	char text[16];

	options.queue_size = 8;
	start();
	int first = ask("s0\n");
	wait_until(&app.asleep, 1);
	int second = ask("s0\n");
	wait_until(&app.asleep, 2);
	for (int i = 0; i < 8; i++)
		fds[i] = dial();
	int full = dial();
	wait_counted(COUNTER_connections_accepted, 11); /* what is said from here on is heard in order */
	for (int i = 0; i < 8; i++) {
		snprintf(text, sizeof(text), i == sleeper ? "s1\n" : _i == 0 ? "e %d\n" : "w%d\n", i);
		say(fds[i], text);
	}
	/* One more is refused: the eight are queued. */
	say(full, "e\n");
	expect_refused(full, REFUSAL_QUEUE_FULL);
	open_gate(0);
	expect(first, "s0\n");
	expect(second, "s0\n");
	wait_until(&app.asleep, 1);
	for (int i = 0; i < 8; i++) {
		if (i == sleeper)
			continue;
		if (_i == 1)
			say(app.servers[i][1], "answer\n");
		snprintf(text, sizeof(text), _i == 0 ? "e %d\n" : "answer\n", i);
		expect(fds[i], text);
	}
	ck_assert(!has_answer(fds[sleeper]));
	ck_assert_uint_eq(atomic_load(&app.asleep), 1);
	open_gate(1);
	expect(fds[sleeper], "s1\n");
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(first);
	close(second);
	stop();
}
END_TEST

/* pool.hold = "connection": who came first keeps the only worker, idle or not, until he leaves. */
START_TEST(holds)
{
	options.workers = 1;
	options.hold_connection = true;
	start();
	int first = ask("e 1\n");
	expect(first, "e 1\n");
	int second = ask("e 2\n");
	for (int i = 0; i < 100; i++) {
		say(first, "e again\n");
		expect(first, "e again\n");
	}
	ck_assert(!has_answer(second));
	close(first);
	expect(second, "e 2\n");
	close(second);
	stop();
}
END_TEST

START_TEST(many_clients)
{
	use_engine(_i / 2, 4);
	options.burst = 1 + (unsigned)_i % 2 * 2;
	start();
	chatter_all(6, "e");
	stop();
}
END_TEST

static void stop_resized(void)
{
	engine_drain(app.engine);
	ck_assert_uint_eq(engine_wait(app.engine), 0);
	ck_assert_uint_eq(counted(COUNTER_connections_closed), counted(COUNTER_connections_accepted));
	engine_free(app.engine);
	ck_assert_uint_eq(atomic_load(&app.started), atomic_load(&app.stopped));
}

static void wait_for_workers(unsigned want)
{
	while (atomic_load(&app.started) - atomic_load(&app.stopped) != want)
		usleep(500);
}

static _Atomic bool chatter_is_over;

static void *resize_on_and_on(void *arg)
{
	unsigned state = 5, workers = 4;
	int error;

	while (!atomic_load(&chatter_is_over)) {
		state = state * 1664525u + 1013904223u;
		workers = 1 + (state >> 8) % 40;
		HOLDS(engine_resize(app.engine, workers, &error) == workers && error == 0);
		HOLDS(engine_workers(app.engine) == workers);
		(void)counted(COUNTER_requests); /* sets come into use meanwhile */
		usleep(200);
	}
	*(unsigned *)arg = workers;
	return NULL;
}

/* Each client gets each of its answers, and none of the counts is lost with its worker. */
START_TEST(resized_under_load)
{
	pthread_t thread;
	unsigned workers;

	options.workers = 4;
	options.workers_most = 4096;
	options.loops = 1;
	options.patience = 50 * MS;
	options.burst = 1 + (unsigned)_i * 3;
	start();
	PTHREAD_OK(pthread_create(&thread, NULL, resize_on_and_on, &workers));
	chatter_all(6, "eeeb");
	atomic_store(&chatter_is_over, true);
	PTHREAD_OK(pthread_join(thread, NULL));
	wait_for_workers(workers + 1);
	stop_resized();
}
END_TEST

/* With pool.hold = "connection" a worker leaves when its connection ends, and not before. */
START_TEST(resized_while_held)
{
	int fds[3], error;

	options.workers = 3;
	options.hold_connection = true;
	start();
	for (int i = 0; i < 3; i++) {
		fds[i] = ask("e 1\n");
		expect(fds[i], "e 1\n");
	}
	ck_assert_uint_eq(engine_resize(app.engine, 1, &error), 1);
	for (int i = 0; i < 3; i++) {
		say(fds[i], "e 2\n");
		expect(fds[i], "e 2\n");
	}
	ck_assert_uint_eq(atomic_load(&app.stopped), 0);
	close(fds[1]);
	wait_until(&app.stopped, 1);
	close(fds[2]);
	wait_until(&app.stopped, 2);
	int waits = ask("e 3\n");
	say(fds[0], "e 4\n");
	expect(fds[0], "e 4\n");
	ck_assert(!has_answer(waits));
	ck_assert_uint_eq(engine_resize(app.engine, 2, &error), 2); /* the place of one who left */
	expect(waits, "e 3\n");
	close(waits);
	close(fds[0]);
	stop_resized();
}
END_TEST

/* While it drains, too; and those that are to leave are no hindrance to its end. */
START_TEST(resized_in_a_drain)
{
	int error;

	options.workers = 8;
	options.workers_most = 16;
	start();
	int first = ask("s0\n"), second = ask("s0\n");
	wait_until(&app.asleep, 2);
	engine_drain(app.engine);
	ck_assert_uint_eq(engine_resize(app.engine, 1, &error), 1);
	ck_assert_uint_eq(engine_resize(app.engine, 12, &error), 12);
	ck_assert_uint_eq(engine_resize(app.engine, 1, &error), 1);
	open_gate(0);
	expect(first, "s0\n");
	expect(second, "s0\n");
	close(first);
	close(second);
	stop_resized();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/workers");
	TCase *tc = tcase_create("workers");
	int count = engine_count();

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, servers, 0, count);
	tcase_add_loop_test(tc, server_is_late, 0, count);
	tcase_add_loop_test(tc, burst_passes_on, 0, 2);
	tcase_add_test(tc, holds);
	tcase_add_loop_test(tc, many_clients, 0, count * 2);
	tcase_add_loop_test(tc, resized_under_load, 0, 2);
	tcase_add_test(tc, resized_while_held);
	tcase_add_test(tc, resized_in_a_drain);
	return run_suite(suite);
}
