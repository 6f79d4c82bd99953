/* The engines, each with the small service of engine_app.h over loopback. _i is the engine, and where it says so a variation of it. */
#include "engine_app.h"

static const struct {
	unsigned workers, burst;
	bool hold;
} shapes[] = {{1, 1, false}, {4, 1, false}, {2, 8, false}, {4, 16, false}, {4, 1, true}};
enum { SHAPES = 5, ASYNC_SHAPES = 2 /* the others differ for the pool only */ };

START_TEST(answers)
{
	int fds[4];
	char text[20];

	int shape = _i % SHAPES;

	if (shape >= ASYNC_SHAPES && engines[_i / SHAPES].kind == ENGINE_ASYNC)
		return;
	use_engine(_i / SHAPES, shapes[shape].workers);
	options.burst = shapes[shape].burst;
	options.hold_connection = shapes[shape].hold;
	start();
	for (int i = 0; i < 4; i++)
		fds[i] = dial();
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 4; i++) {
			snprintf(text, sizeof(text), "e %d/%d", round, i);
			say(fds[i], text); /* a request in two parts */
			say(fds[i], "\n");
		}
		for (int i = 0; i < 4; i++) {
			snprintf(text, sizeof(text), "e %d/%d\n", round, i);
			expect(fds[i], text);
		}
	}
	ck_assert_uint_eq(engine_connections(app.engine), 4);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	wait_counted(COUNTER_connections_closed, 4);
	ck_assert_uint_eq(counted(COUNTER_connections_accepted), 4);
	stop();
}
END_TEST

/* Many requests in one go, one worker; a client that asks once has its answer as well. */
START_TEST(pipelined)
{
	enum { COUNT = 300 };
	static char text[COUNT * 8 + 1];
	size_t len = 0;

	use_engine(_i / 2, 1);
	options.burst = 1 + (unsigned)_i % 2;
	start();
	for (int i = 0; i < COUNT; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "e %05d\n", i);
	int greedy = ask(text), modest = ask("e modest\n");
	expect(modest, "e modest\n");
	expect(greedy, text);
	close(modest);
	close(greedy);
	stop();
}
END_TEST

/* The queue is full: who comes is told so, though what he sent is never read. */
START_TEST(queue_full)
{
	static char junk[200001];

	if (engines[_i].loops > 1)
		return; /* each has a queue of its own */
	use_engine(_i, 1);
	options.burst = 1;
	options.queue_size = 1;
	start();
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	memset(junk, 'e', sizeof(junk) - 1);
	junk[sizeof(junk) - 2] = '\n';
	int queued = dial(), refused = dial();
	wait_counted(COUNTER_connections_accepted, 3); /* what is said from here on is heard in order */
	say(queued, "e queued\n");
	say(refused, junk);
	expect_refused(refused, REFUSAL_QUEUE_FULL);
	ck_assert_uint_eq(counted(COUNTER_refused_queue_full), 1);
	open_gate(0);
	expect(busy, "s\n");
	expect(queued, "e queued\n");
	close(busy);
	close(queued);
	stop();
}
END_TEST

START_TEST(queue_timeout)
{
	if (engines[_i].loops > 1)
		return;
	use_engine(_i, 1);
	options.queue_timeout = 50 * MS;
	start();
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	int64_t began = clock_now();
	int queued = ask("e queued\n");
	expect_refused(queued, REFUSAL_QUEUE_TIMEOUT);
	ck_assert_int_ge(clock_now() - began, options.queue_timeout);
	open_gate(0);
	expect(busy, "s\n");
	close(busy);
	stop();
}
END_TEST

static void wait_queued(size_t depth)
{
	while (engine_queue(app.engine).depth != depth)
		usleep(500);
}

/* Once the queue stands, the newest are served first: the older one waits for longer than the one who came after it. */
START_TEST(lifo)
{
	if (engines[_i].loops > 1)
		return;
	use_engine(_i, 1);
	options.burst = 1;
	options.queue_rule = (struct queue_rule){QUEUE_LIFO, 0, 20 * MS};
	start();
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	ck_assert_uint_eq(engine_queue(app.engine).depth, 0);
	ck_assert_int_eq(engine_queue(app.engine).age, 0);
	int old = ask("e old\n");
	wait_queued(1);
	while (engine_queue(app.engine).age < 20 * MS)
		usleep(500);
	int newest = ask("s1 newest\n");
	wait_queued(2);
	open_gate(0);
	expect(busy, "s\n");
	wait_queued(1);
	wait_until(&app.asleep, 1);
	ck_assert(!has_answer(old));
	open_gate(1);
	expect(newest, "s1 newest\n");
	expect(old, "e old\n");
	ck_assert_uint_ge(counted(COUNTER_dispatched),
	        3); /* epoll tries a new connection at once, and again when its bytes come */
	close(busy);
	close(old);
	close(newest);
	stop();
}
END_TEST

/* While the queue stands, who has waited for the target is told that it was in vain. */
START_TEST(shed)
{
	if (engines[_i].loops > 1)
		return;
	use_engine(_i, 1);
	options.burst = 1;
	options.queue_rule = (struct queue_rule){QUEUE_CODEL, 10 * MS, 60 * MS};
	start();
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	uint64_t taken = counted(COUNTER_dispatched); /* twice where it was tried before its bytes came */
	int64_t began = clock_now();
	int first = ask("e 1\n"), second = ask("e 2\n");
	expect_refused(first, REFUSAL_SHED);
	expect_refused(second, REFUSAL_SHED);
	ck_assert_int_ge(clock_now() - began, 60 * MS);
	ck_assert_uint_eq(counted(COUNTER_refused_shed), 2);
	ck_assert_uint_eq(counted(COUNTER_dispatched), taken);
	open_gate(0);
	expect(busy, "s\n");
	int after = ask("e after\n");
	expect(after, "e after\n");
	close(busy);
	close(after);
	stop();
}
END_TEST

/* At the limit the longest-parked makes room; when all are busy, the new one is refused. */
START_TEST(connection_limit)
{
	if (engines[_i].loops > 1)
		return; /* engine_async_test.c */
	use_engine(_i, 2);
	options.connections = 2;
	start();
	int first = dial();
	wait_counted(COUNTER_connections_accepted, 1);
	usleep(20000); /* more than the coarse clock is behind: it was parked first, and is seen to be */
	int second = ask("e 2\n");
	expect(second, "e 2\n");
	int third = ask("s\n");
	expect_end(first);
	wait_until(&app.asleep, 1);
	ck_assert_uint_eq(counted(COUNTER_connections_evicted), 1);
	say(second, "s\n");
	wait_until(&app.asleep, 2);
	int fourth = ask("e 4\n");
	expect_refused(fourth, REFUSAL_LIMIT);
	open_gate(0);
	expect(second, "s\n");
	expect(third, "s\n");
	close(second);
	close(third);
	stop();
}
END_TEST

START_TEST(ends)
{
	use_engine(_i, 2);
	start();
	expect_end(ask("c\n"));
	expect_reset(ask("r\n"));
	int fd = ask("l\nnever read\n");
	expect(fd, "l\n");
	expect_end(fd);
	/* Nothing comes for too long; half a head, too. */
	app.keepalive = 30 * MS;
	app.head_timeout = 30 * MS;
	fd = ask("e\n");
	expect(fd, "e\n");
	expect_end(fd);
	fd = ask("e, but not all");
	expect_refused(fd, REFUSAL_HEADER_TIMEOUT);
	ck_assert_uint_eq(counted(COUNTER_connections_expired), 1);
	ck_assert_uint_eq(counted(COUNTER_refused_header_timeout), 1);
	stop();
}
END_TEST

/* The last loop that lets go of a listener closes it. */
static void expect_no_listener(void)
{
	for (int refused = 0; !refused;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		refused = connect(fd, &listener.addr.u.any, listener.addr.len) != 0;
		/* Reset: it came between the last accept and the close, which no call makes one. */
		ck_assert(!refused || errno == ECONNREFUSED || errno == ECONNRESET);
		close(fd);
	}
}

/* Idle clients are closed, one whose request is in flight has its answer first. */
START_TEST(drains)
{
	enum { IDLE = 5 };
	int idle[IDLE];

	use_engine(_i / 2, 8);
	options.hold_connection = _i % 2 == 1;
	if (options.hold_connection && options.kind == ENGINE_ASYNC)
		return;
	start();
	for (int i = 0; i < IDLE; i++) {
		idle[i] = ask("e\n");
		expect(idle[i], "e\n");
	}
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	engine_drain(app.engine);
	for (int i = 0; i < IDLE; i++)
		expect_end(idle[i]);
	expect_no_listener();
	ck_assert(!has_answer(busy));
	open_gate(0);
	expect(busy, "s\n");
	expect_end(busy);
	stop();
}
END_TEST

/* A listener comes and goes: who is at the others notices nothing, who is at that one is let go in time. */
START_TEST(listeners_come_and_go)
{
	struct listener first = listener, more = {.name = "more", .app = &app};
	const char *why;

	use_engine(_i, 4);
	options.connections = 4096; /* nobody is evicted for those who try whether it listens */
	start();
	int stays = ask("e\n");
	expect(stays, "e\n");
	for (int round = 0; round < 3; round++) {
		HOLDS(addr_parse("127.0.0.1:0", true, &more.addr, &why));
		more.fd = sock_listen(&more.addr, 128);
		HOLDS(more.fd >= 0 && getsockname(more.fd, &more.addr.u.any, &more.addr.len) == 0);
		struct listener *l = engine_listen(app.engine, &more);
		ck_assert_ptr_nonnull(l);
		listener = more; /* who dials from here on does it there */
		int idle = round == 0 ? ask("e\n") : -1, busy = ask("s\n");
		if (idle >= 0)
			expect(idle, "e\n");
		wait_until(&app.asleep, 1);
		ck_assert(!listener_is_leaving(l));
		engine_unlisten(app.engine, l);
		ck_assert(listener_is_leaving(l));
		int again = sock_listen(&more.addr, 1); /* the address is free at once */
		HOLDS(again >= 0 && close(again) == 0);
		expect_no_listener();
		if (idle >= 0)
			expect_end(idle);               /* after a second */
		ck_assert(!engine_listener_is_gone(l)); /* one is busy */
		say(stays, "e still\n");
		expect(stays, "e still\n");
		open_gate(0);
		expect(busy, "s\n");
		close_gate(0);
		close(busy);
		while (!engine_listener_is_gone(l))
			usleep(500);
		engine_forget(app.engine, l);
		listener = first;
	}
	int new = ask("e new\n");
	expect(new, "e new\n");
	close(new);
	close(stays);
	stop();
}
END_TEST

/* Who connected before a listener went is answered, though nobody had accepted him yet. */
START_TEST(backlog_is_served)
{
	enum { COUNT = 40 };
	struct listener first = listener, more = {.name = "more", .app = &app};
	const char *why;
	int fds[COUNT];

	use_engine(_i, 4);
	options.connections = 4096; /* nobody is evicted for those who try whether it listens */
	start();
	HOLDS(addr_parse("127.0.0.1:0", true, &more.addr, &why));
	more.fd = sock_listen(&more.addr, 128);
	HOLDS(more.fd >= 0 && getsockname(more.fd, &more.addr.u.any, &more.addr.len) == 0);
	listener = more;
	for (int i = 0; i < COUNT; i++)
		fds[i] = ask("e\n");
	struct listener *l = engine_listen(app.engine, &more);
	engine_unlisten(app.engine, l);
	for (int i = 0; i < COUNT; i++) {
		expect(fds[i], "e\n");
		expect_end(fds[i]);
	}
	listener = first;
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine");
	TCase *tc = tcase_create("engine");
	int count = engine_count();

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, answers, 0, count * SHAPES);
	tcase_add_loop_test(tc, pipelined, 0, count * 2);
	tcase_add_loop_test(tc, queue_full, 0, count);
	tcase_add_loop_test(tc, queue_timeout, 0, count);
	tcase_add_loop_test(tc, lifo, 0, count);
	tcase_add_loop_test(tc, shed, 0, count);
	tcase_add_loop_test(tc, connection_limit, 0, count);
	tcase_add_loop_test(tc, ends, 0, count);
	tcase_add_loop_test(tc, drains, 0, count * 2);
	tcase_add_loop_test(tc, listeners_come_and_go, 0, count);
	tcase_add_loop_test(tc, backlog_is_served, 0, count);
	return run_suite(suite);
}
