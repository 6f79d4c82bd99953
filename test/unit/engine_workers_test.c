/* How the workers share requests: waits for servers, bursts, held connections. One line is one request. */
#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
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

enum { PATIENCE_MS = 30000, SERVERS = 8 };

/* e echo at once; w0 to w7 answer what comes from that server; s0, s1 sleep until that gate opens. */
struct app {
	struct engine *engine;
	int servers[SERVERS][2]; /* [0] the service's side */
	int gates[2][2];
	_Atomic int64_t server_timeout;
	_Atomic unsigned asleep;  /* requests at a gate */
	_Atomic unsigned waiting; /* requests at a server */
	_Atomic unsigned late;    /* ended at their deadline */
	_Atomic unsigned started, stopped;
};

static struct app app;
static struct listener listener;
static struct engine_options options;

struct request {
	struct conn *conn;
	int server;
};

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
	return (struct verdict){VERDICT_PARK, -1, clock_now() + LONG};
}

static void sleep_at_gate(struct worker *w, int gate)
{
	atomic_fetch_add(&app.asleep, 1);
	struct pollfd one = {.fd = app.gates[gate][0], .events = POLLIN};
	while (io_wait(w->io, &one, 1, clock_now() + LONG) < 0)
		;
	io_sleep(w->io, clock_now() + MS);
	atomic_fetch_sub(&app.asleep, 1);
}

static struct verdict serve(struct worker *w, struct conn *c, const char *line, size_t len, void **exchange)
{
	struct request *r;

	c->requests++;
	switch (line[0]) {
	case 'w':
		r = malloc(sizeof(*r));
		*r = (struct request){c, app.servers[line[1] - '0'][0]};
		*exchange = r;
		atomic_fetch_add(&app.waiting, 1);
		return (struct verdict){VERDICT_WAIT, r->server, clock_now() + app.server_timeout};
	case 's':
		sleep_at_gate(w, line[1] - '0');
		break;
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
	if (!c->in)
		c->in = buf_new(4096);
	for (;;) {
		char *end = memchr(buf_head(c->in), '\n', buf_len(c->in));

		if (end) {
			size_t len = (size_t)(end + 1 - buf_head(c->in));
			HOLDS(len <= sizeof(line));
			memcpy(line, buf_head(c->in), len);
			buf_consume(c->in, len);
			return serve(w, c, line, len, exchange);
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

static struct verdict app_end(void *arg, struct worker *w, void *exchange)
{
	struct request r = *(struct request *)exchange;
	char bytes[100];

	HOLDS(arg == &app);
	free(exchange);
	atomic_fetch_sub(&app.waiting, 1);
	ssize_t n = io_recv(w->io, r.server, bytes, sizeof(bytes), IO_NOW);
	if (n > 0) {
		answer(w, r.conn, bytes, (size_t)n);
	} else {
		HOLDS(n == -EAGAIN);
		atomic_fetch_add(&app.late, 1);
		answer(w, r.conn, "late\n", 5);
	}
	return next(r.conn);
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
	for (int i = 0; i < SERVERS; i++)
		HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, app.servers[i]) == 0);
	for (int i = 0; i < 2; i++)
		HOLDS(pipe(app.gates[i]) == 0);
	app.server_timeout = LONG;
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

static void open_gate(int gate)
{
	HOLDS(write(app.gates[gate][1], "x", 1) == 1);
}

/* One worker, eight servers at work at once, which answer in the reverse order. */
START_TEST(servers)
{
	int fds[SERVERS];
	char text[8];

	options.workers = 1;
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
	for (int i = 0; i < 8; i++) {
		snprintf(text, sizeof(text), i == sleeper ? "s1\n" : _i == 0 ? "e %d\n" : "w%d\n", i);
		fds[i] = ask(text);
	}
	/* One more is refused: the eight are queued. */
	int full = ask("e\n");
	expect(full, "refused 0\n");
	expect_end(full);
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

struct client {
	unsigned seed;
	pthread_t thread;
};

static void *chatter(void *arg)
{
	struct client *k = arg;
	unsigned state = k->seed;
	int fd = dial();

	for (int i = 0; i < 500; i++) {
		char text[100];
		size_t len = 0;

		state = state * 1664525u + 1013904223u;
		for (unsigned n = 1 + (state >> 8) % 4; n > 0; n--)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "e %u %d\n", k->seed, i);
		say(fd, text);
		expect(fd, text);
		if ((state >> 20) % 16 == 0) {
			close(fd);
			fd = dial();
		}
	}
	close(fd);
	return NULL;
}

START_TEST(many_clients)
{
	enum { CLIENTS = 6 };
	struct client all[CLIENTS];

	options.workers = 4;
	options.burst = (unsigned)_i;
	start();
	for (unsigned i = 0; i < CLIENTS; i++) {
		all[i] = (struct client){.seed = i};
		PTHREAD_OK(pthread_create(&all[i].thread, NULL, chatter, &all[i]));
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		PTHREAD_OK(pthread_join(all[i].thread, NULL));
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/workers");
	TCase *tc = tcase_create("workers");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, servers);
	tcase_add_test(tc, server_is_late);
	tcase_add_loop_test(tc, burst_passes_on, 0, 2);
	tcase_add_test(tc, holds);
	tcase_add_loop_test(tc, many_clients, 1, 4);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
