/* The engine with a small service over loopback: one line a request, whose first letter says what to do. */
#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "net/sock.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define MS CLOCK_NS_PER_MS
#define LONG (60 * CLOCK_NS_PER_S)

enum { PATIENCE_MS = 30000 };

/* e echo at once; s sleep in begin until the gate opens; c close, l linger after an answer, r reset. */
struct app {
	struct engine *engine;
	int gate[2];
	_Atomic int64_t keepalive, head_timeout;
	_Atomic unsigned asleep; /* requests at the gate */
	_Atomic unsigned started, stopped;
};

static struct app app;
static struct listener listener;
static struct engine_options options;

static void answer(struct worker *w, struct conn *c, const char *text, size_t len)
{
	HOLDS(io_send_str(w->io, c->fd, (struct str){text, len}, LONG) == 0);
}

static struct verdict next(struct conn *c)
{
	if (c->in && memchr(buf_head(c->in), '\n', buf_len(c->in)))
		return (struct verdict){.kind = VERDICT_AGAIN};
	if (c->in && buf_len(c->in) == 0) {
		free(c->in);
		c->in = NULL;
	}
	return (struct verdict){VERDICT_PARK, -1, clock_now() + (c->in ? app.head_timeout : app.keepalive)};
}

static void sleep_at_gate(struct worker *w)
{
	atomic_fetch_add(&app.asleep, 1);
	struct pollfd one = {.fd = app.gate[0], .events = POLLIN};
	while (io_wait(w->io, &one, 1, clock_now() + LONG) < 0)
		;
	io_sleep(w->io, clock_now() + MS);
	atomic_fetch_sub(&app.asleep, 1);
}

static struct verdict serve(struct worker *w, struct conn *c, const char *line, size_t len)
{
	c->requests++;
	switch (line[0]) {
	case 's':
		sleep_at_gate(w);
		break;
	case 'c':
		return (struct verdict){.kind = VERDICT_CLOSE};
	case 'r':
		return (struct verdict){.kind = VERDICT_RESET};
	case 'l':
		answer(w, c, line, len);
		return (struct verdict){.kind = VERDICT_LINGER};
	default:
		break;
	}
	answer(w, c, line, len);
	return next(c);
}

static struct verdict app_begin(void *arg, struct worker *w, struct conn *c, void **exchange)
{
	char line[200];

	HOLDS(arg == &app && c->magic == CONN_MAGIC && w->id < options.workers && w->local == &app);
	HOLDS(*exchange == NULL);
	if (!c->in)
		c->in = buf_new(4096);
	for (;;) {
		char *end = memchr(buf_head(c->in), '\n', buf_len(c->in));

		if (end) {
			size_t len = (size_t)(end + 1 - buf_head(c->in));
			HOLDS(len <= sizeof(line));
			memcpy(line, buf_head(c->in), len);
			buf_consume(c->in, len);
			return serve(w, c, line, len);
		}
		buf_compact(c->in);
		ssize_t n = io_recv(w->io, c->fd, buf_tail(c->in), buf_room(c->in), IO_NOW);
		if (n == -EAGAIN)
			return next(c);
		if (n <= 0)
			return (struct verdict){.kind = VERDICT_CLOSE};
		c->in->end += (size_t)n;
	}
}

/* None of its requests waits for a server. */
static struct verdict app_end(void *arg, struct worker *w, void *exchange)
{
	(void)arg, (void)w, (void)exchange;
	ck_abort_msg("end without a wait");
}

static size_t app_refuse(
        void *arg, struct log_ring *log, const struct conn *c, enum refusal why, char *out, size_t cap)
{
	(void)log;
	HOLDS(arg == &app && c->listener == &listener);
	return (size_t)snprintf(out, cap, "refused %d\n", (int)why);
}

static bool app_worker_start(void *arg, struct worker *w)
{
	w->local = arg;
	atomic_fetch_add(&app.started, 1);
	return true;
}

static void app_worker_stop(void *arg, struct worker *w)
{
	HOLDS(w->local == arg);
	atomic_fetch_add(&app.stopped, 1);
}

/* ---- the test's side ---- */

static void setup(void)
{
	const char *why;

	memset(&app, 0, sizeof(app));
	HOLDS(pipe(app.gate) == 0);
	app.keepalive = LONG;
	app.head_timeout = LONG;
	listener = (struct listener){.name = "test"};
	HOLDS(addr_parse("127.0.0.1:0", true, &listener.addr, &why));
	listener.fd = sock_listen(&listener.addr, 128);
	HOLDS(listener.fd >= 0);
	HOLDS(getsockname(listener.fd, &listener.addr.u.any, &listener.addr.len) == 0);
	options = (struct engine_options){
	        .name = "test",
	        .workers = 2,
	        .burst = 8,
	        .queue_size = 64,
	        .connections = 64,
	        .header_size = 1024,
	        .header_timeout = LONG,
	        .drain = LONG,
	        .listeners = &listener,
	        .listener_count = 1,
	        .service = {&app, app_worker_start, app_worker_stop, app_begin, app_end, app_refuse},
	};
}

static void start(void)
{
	const char *why;

	app.engine = engine_start(&options, &why);
	ck_assert_msg(app.engine != NULL, "%s", why);
}

static void stop(void)
{
	engine_drain(app.engine);
	ck_assert(engine_is_draining(app.engine));
	ck_assert_uint_eq(engine_wait(app.engine), 0);
	ck_assert_uint_eq(engine_connections(app.engine), 0);
	engine_free(app.engine);
	ck_assert_uint_eq(atomic_load(&app.started), options.workers);
	ck_assert_uint_eq(atomic_load(&app.stopped), options.workers);
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int on = 1;

	HOLDS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
	HOLDS(connect(fd, &listener.addr.u.any, listener.addr.len) == 0);
	HOLDS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	return fd;
}

static void say(int fd, const char *text)
{
	HOLDS(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static int ask(const char *text)
{
	int fd = dial();

	say(fd, text);
	return fd;
}

/* Exactly this comes next. */
static void expect(int fd, const char *text)
{
	char got[20000];
	size_t len = strlen(text);

	HOLDS(len < sizeof(got));
	ssize_t n = recv(fd, got, len, MSG_WAITALL);
	if (n != (ssize_t)len || memcmp(got, text, len) != 0)
		ck_abort_msg("want \"%s\", got %zd: \"%.*s\"", text, n, n > 0 ? (int)n : 0, got);
}

static void expect_end(int fd)
{
	char byte;

	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static bool has_answer(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, 0) == 1;
}

static void wait_until(_Atomic unsigned *value, unsigned want)
{
	while (atomic_load(value) != want)
		usleep(500); /* Check's time limit is the bound */
}

static void open_gate(void)
{
	HOLDS(write(app.gate[1], "x", 1) == 1);
}

static uint64_t counted(enum counter_id id)
{
	unsigned count;
	const struct counters *sets = engine_counters(app.engine, &count);

	ck_assert_uint_eq(count, options.workers + 1);
	return counters_sum(sets, count, id);
}

static void wait_counted(enum counter_id id, uint64_t want)
{
	while (counted(id) < want)
		usleep(500);
}

static const struct {
	unsigned workers, burst;
	bool hold;
} shapes[] = {{1, 1, false}, {2, 8, false}, {4, 1, false}, {4, 16, false}, {4, 1, true}};

START_TEST(answers)
{
	int fds[4];
	char text[20];

	options.workers = shapes[_i].workers;
	options.burst = shapes[_i].burst;
	options.hold_connection = shapes[_i].hold;
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

	options.workers = 1;
	options.burst = (unsigned)_i;
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
	char text[16];

	options.workers = 1;
	options.burst = 1;
	options.queue_size = 1;
	start();
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	memset(junk, 'e', sizeof(junk) - 1);
	junk[sizeof(junk) - 2] = '\n';
	int queued = ask("e queued\n");
	int refused = ask(junk);
	snprintf(text, sizeof(text), "refused %d\n", (int)REFUSAL_QUEUE_FULL);
	expect(refused, text);
	expect_end(refused);
	ck_assert_uint_eq(counted(COUNTER_refused_queue_full), 1);
	open_gate();
	expect(busy, "s\n");
	expect(queued, "e queued\n");
	close(busy);
	close(queued);
	stop();
}
END_TEST

START_TEST(queue_timeout)
{
	char text[16];

	options.workers = 1;
	options.queue_timeout = 50 * MS;
	start();
	int busy = ask("s\n");
	wait_until(&app.asleep, 1);
	int64_t began = clock_now();
	int queued = ask("e queued\n");
	snprintf(text, sizeof(text), "refused %d\n", (int)REFUSAL_QUEUE_TIMEOUT);
	expect(queued, text);
	ck_assert_int_ge(clock_now() - began, options.queue_timeout);
	expect_end(queued);
	open_gate();
	expect(busy, "s\n");
	close(busy);
	stop();
}
END_TEST

/* At the limit the longest-parked makes room; when all are busy, the new one is refused. */
START_TEST(connection_limit)
{
	char text[16];

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
	snprintf(text, sizeof(text), "refused %d\n", (int)REFUSAL_LIMIT);
	expect(fourth, text);
	expect_end(fourth);
	open_gate();
	expect(second, "s\n");
	expect(third, "s\n");
	close(second);
	close(third);
	stop();
}
END_TEST

START_TEST(ends)
{
	char byte;

	start();
	expect_end(ask("c\n"));
	int fd = ask("r\n");
	ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
	fd = ask("l\nnever read\n");
	expect(fd, "l\n");
	expect_end(fd);
	/* Nothing comes for too long; half a head, too. */
	app.keepalive = 30 * MS;
	app.head_timeout = 30 * MS;
	fd = ask("e\n");
	expect(fd, "e\n");
	expect_end(fd);
	fd = ask("e, but not all");
	char text[16];
	snprintf(text, sizeof(text), "refused %d\n", (int)REFUSAL_HEADER_TIMEOUT);
	expect(fd, text);
	expect_end(fd);
	ck_assert_uint_eq(counted(COUNTER_connections_expired), 1);
	ck_assert_uint_eq(counted(COUNTER_refused_header_timeout), 1);
	stop();
}
END_TEST

/* Idle clients are closed, one whose request is in flight has its answer first. */
START_TEST(drains)
{
	enum { IDLE = 5 };
	int idle[IDLE];

	options.hold_connection = _i == 1;
	options.workers = 8;
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
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, &listener.addr.u.any, listener.addr.len), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(fd);
	ck_assert(!has_answer(busy));
	open_gate();
	expect(busy, "s\n");
	expect_end(busy);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine");
	TCase *tc = tcase_create("engine");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, answers, 0, (int)(sizeof(shapes) / sizeof(shapes[0])));
	tcase_add_loop_test(tc, pipelined, 1, 3);
	tcase_add_test(tc, queue_full);
	tcase_add_test(tc, queue_timeout);
	tcase_add_test(tc, connection_limit);
	tcase_add_test(tc, ends);
	tcase_add_loop_test(tc, drains, 0, 2);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
