/*
 * A small service over loopback for the tests of the engines, and the clients' side of it. One line is one request; its first
 * letter says what to do:
 *
 *	e         echo at once
 *	i         answer with the worker's number
 *	c, l, r   close; linger after an answer; reset
 *	x         block the thread in app.block
 *	s, s0, s1 sleep until that gate opens, then echo
 *	w0 to w7  answer what comes from that server
 *	b, f      leave the worker for a loop, from begin or (when server 0 has answered) from end; what follows is
 *	          done on the loop: e, c, l, r or s
 */
#ifndef TPLB_TEST_UNIT_ENGINE_APP_H
#define TPLB_TEST_UNIT_ENGINE_APP_H

#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "net/sock.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define MS CLOCK_NS_PER_MS
#define LONG (60 * CLOCK_NS_PER_S)

enum { PATIENCE_MS = 30000, SERVERS = 8, GATES = 2, LINE_MAX_BYTES = 200 };

struct app {
	struct engine *engine;
	int servers[SERVERS][2]; /* [0] the service's side */
	int gates[GATES][2];
	_Atomic int64_t keepalive, head_timeout, server_timeout;
	_Atomic unsigned asleep;  /* requests at a gate */
	_Atomic unsigned waiting; /* requests at a server */
	_Atomic unsigned late;    /* ended at their deadline */
	_Atomic unsigned on_loop; /* ended on a loop after they left their worker */
	_Atomic unsigned started, stopped;
	void (*block)(void);                      /* NULL: never */
	void (*on_refusal)(const struct conn *c); /* likewise */
};

static struct app app;
static struct listener listener;
static struct engine_options options;

/* Every engine that there is here, by _i. */
static const struct {
	enum engine_kind kind;
	enum loop_driver_kind driver;
	unsigned loops;
} engines[] = {{ENGINE_POOL, LOOP_EPOLL, 0}, {ENGINE_ASYNC, LOOP_EPOLL, 1}, {ENGINE_ASYNC, LOOP_EPOLL, 2},
        {ENGINE_ASYNC, LOOP_URING, 1}, {ENGINE_ASYNC, LOOP_URING, 2}};

static inline int engine_count(void)
{
	const char *only = getenv(
	        "TPLB_TEST_ENGINE"); /* "epoll": Valgrind does not see what io_uring writes */
	const char *why;

	if (only && strcmp(only, "epoll") == 0)
		return 3;
	if (loop_choose(LOOP_AUTO, &why) == LOOP_URING)
		return 5;
	printf("io_uring is not tested: %s\n", why);
	return 3;
}

/* So many requests at once: threads or fibers. */
static inline void use_engine(int which, unsigned workers)
{
	options.kind = engines[which].kind;
	options.driver = engines[which].driver;
	options.loops = engines[which].loops;
	options.workers = options.kind == ENGINE_POOL ? workers : 0;
	options.fibers = workers;
}

/* ---- the service ---- */

struct request {
	struct conn *conn;
	int server; /* -1: none */
	int64_t deadline;
	bool leaves;
	char line[LINE_MAX_BYTES]; /* what is left to do */
	size_t len;
};

static inline void answer(struct worker *w, struct conn *c, const char *text, size_t len)
{
	HOLDS(io_send_str(w->io, c->fd, (struct str){text, len}, LONG) == 0);
}

static inline struct verdict next(struct conn *c)
{
	if (c->in && memchr(buf_head(c->in), '\n', buf_len(c->in)))
		return (struct verdict){.kind = VERDICT_AGAIN};
	if (c->in && buf_len(c->in) == 0) {
		free(c->in);
		c->in = NULL;
	}
	return (struct verdict){VERDICT_PARK, -1, clock_now() + (c->in ? app.head_timeout : app.keepalive)};
}

/* By a descriptor of its own: on a loop one fiber waits for one. */
static inline void sleep_at_gate(struct worker *w, int gate)
{
	struct pollfd one = {.fd = dup(app.gates[gate][0]), .events = POLLIN};

	HOLDS(one.fd >= 0);
	atomic_fetch_add(&app.asleep, 1);
	while (io_wait(w->io, &one, 1, clock_now() + LONG) < 0)
		;
	io_forget(w->io, one.fd);
	close(one.fd);
	io_sleep(w->io, clock_now() + MS);
	atomic_fetch_sub(&app.asleep, 1);
}

static inline struct verdict serve(struct worker *w, struct conn *c, const char *line, size_t len)
{
	char text[16];

	switch (line[0]) {
	case 'i':
		answer(w, c, text, (size_t)snprintf(text, sizeof(text), "%u\n", w->id));
		return next(c);
	case 's':
		sleep_at_gate(w, line[1] == '1');
		break;
	case 'x':
		app.block();
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

/* Begins what end() is to go on with. */
static inline struct verdict put_off(
        struct worker *w, struct conn *c, const char *line, size_t len, void **exchange)
{
	struct request *r = calloc(1, sizeof(*r));

	HOLDS(r != NULL);
	*r = (struct request){.conn = c, .server = -1, .deadline = clock_now() + app.server_timeout};
	r->leaves = line[0] != 'w';
	r->len = len - 1;
	memcpy(r->line, line + 1, r->len);
	*exchange = r;
	if (line[0] == 'b')
		return (struct verdict){.kind = VERDICT_LEAVE};
	r->server = app.servers[line[0] == 'w' ? line[1] - '0' : 0][0];
	atomic_fetch_add(&app.waiting, 1);
	(void)w;
	return (struct verdict){VERDICT_WAIT, r->server, r->deadline};
}

static inline struct verdict begin_line(
        struct worker *w, struct conn *c, const char *line, size_t len, void **exchange)
{
	conn_begins(c);
	if (line[0] == 'b' && w->patience == 0) /* it is on a loop already */
		return serve(w, c, line + 1, len - 1);
	if (line[0] == 'b' || line[0] == 'f' || line[0] == 'w')
		return put_off(w, c, line, len, exchange);
	return serve(w, c, line, len);
}

static inline struct verdict app_begin(void *arg, struct worker *w, struct conn *c, void **exchange)
{
	char line[LINE_MAX_BYTES];

	HOLDS(arg == &app && c->magic == CONN_MAGIC && w->id < engine_sets(&options) && w->local == &app);
	HOLDS(*exchange == NULL);
	if (!c->in)
		c->in = buf_new(options.header_size);
	for (;;) {
		char *end = memchr(buf_head(c->in), '\n', buf_len(c->in));

		if (end) {
			size_t len = (size_t)(end + 1 - buf_head(c->in));
			HOLDS(len <= sizeof(line));
			memcpy(line, buf_head(c->in), len);
			buf_consume(c->in, len);
			return begin_line(w, c, line, len, exchange);
		}
		buf_compact(c->in);
		size_t room = buf_room(c->in);
		ssize_t n = io_recv_buf(w->io, c->fd, &c->in, IO_NOW);
		c->unread = n == (ssize_t)room;
		if (n == -EAGAIN)
			return next(c);
		if (n <= 0)
			return (struct verdict){.kind = VERDICT_CLOSE};
	}
}

/* Its server has answered, or it is overdue. A loop calls this before either, and the receive waits. */
static inline void take_answer(struct worker *w, const struct request *r, char *text, size_t *len)
{
	ssize_t n = io_recv(w->io, r->server, text, LINE_MAX_BYTES, r->deadline);

	io_forget(w->io, r->server); /* the next one may be on another loop */
	atomic_fetch_sub(&app.waiting, 1);
	if (n < 0) {
		HOLDS(n == -ETIMEDOUT);
		atomic_fetch_add(&app.late, 1);
		n = (ssize_t)strlen(strcpy(text, "late\n"));
	}
	*len = (size_t)n;
}

static inline struct verdict app_end(void *arg, struct worker *w, void *exchange)
{
	struct request *r = exchange;
	struct conn *c = r->conn;

	HOLDS(arg == &app && w->local == &app);
	if (r->server >= 0) {
		char text[LINE_MAX_BYTES];
		size_t len;

		take_answer(w, r, text, &len);
		r->server = -1;
		if (!r->leaves) {
			free(r);
			answer(w, c, text, len);
			return next(c);
		}
		if (w->patience > 0)
			return (struct verdict){.kind = VERDICT_LEAVE};
	}
	HOLDS(w->is_loop);
	char line[LINE_MAX_BYTES];
	size_t len = r->len;
	memcpy(line, r->line, len);
	free(r);
	atomic_fetch_add(&app.on_loop, 1);
	return serve(w, c, line, len);
}

static inline size_t app_refuse(
        void *arg, struct log_ring *log, const struct conn *c, enum refusal why, char *out, size_t cap)
{
	(void)log;
	HOLDS(arg == &app && c->listener->app == &app);
	if (app.on_refusal)
		app.on_refusal(c);
	return (size_t)snprintf(out, cap, "refused %d\n", (int)why);
}

static inline bool app_worker_start(void *arg, struct worker *w)
{
	w->local = arg;
	atomic_fetch_add(&app.started, 1);
	return true;
}

static inline void app_worker_stop(void *arg, struct worker *w)
{
	HOLDS(w->local == arg);
	atomic_fetch_add(&app.stopped, 1);
}

/* ---- the test's side ---- */

static inline void setup(void)
{
	const char *why;

	memset(&app, 0, sizeof(app));
	for (int i = 0; i < SERVERS; i++)
		HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, app.servers[i]) == 0);
	for (int i = 0; i < GATES; i++)
		HOLDS(pipe(app.gates[i]) == 0);
	app.keepalive = LONG;
	app.head_timeout = LONG;
	app.server_timeout = LONG;
	listener = (struct listener){.name = "test", .app = &app};
	HOLDS(addr_parse("127.0.0.1:0", true, &listener.addr, &why));
	listener.fd = sock_listen(&listener.addr, 128);
	HOLDS(listener.fd >= 0);
	HOLDS(getsockname(listener.fd, &listener.addr.u.any, &listener.addr.len) == 0);
	options = (struct engine_options){
	        .name = "test",
	        .workers = 2,
	        .burst = 8,
	        .driver = LOOP_EPOLL,
	        .fibers = 16,
	        .queue_size = 64,
	        .connections = 64,
	        .header_size = 4096,
	        .header_timeout = LONG,
	        .drain = LONG,
	        .listeners = &listener,
	        .listener_count = 1,
	        .service = {&app, app_worker_start, app_worker_stop, app_begin, app_end, app_refuse},
	};
}

static inline void start(void)
{
	const char *why;

	app.engine = engine_start(&options, &why);
	ck_assert_msg(app.engine != NULL, "%s", why);
}

static inline uint64_t counted(enum counter_id id)
{
	unsigned count;
	const struct counters *sets = engine_counters(app.engine, &count);

	ck_assert_uint_ge(count, options.workers + options.loops + (options.kind == ENGINE_POOL));
	ck_assert_uint_le(count, engine_sets(&options));
	return counters_sum(sets, count, id);
}

/* Everyone who was given to a worker or fiber has waited, if for no time. */
static inline void expect_all_waits_counted(void)
{
	unsigned count;
	const struct counters *sets = engine_counters(app.engine, &count);

	ck_assert_uint_eq(counters_waits(sets, count).count, counted(COUNTER_dispatched));
}

static inline void stop(void)
{
	unsigned workers = options.workers + options.loops;

	engine_drain(app.engine);
	ck_assert(engine_is_draining(app.engine));
	ck_assert_uint_eq(engine_wait(app.engine), 0);
	ck_assert_uint_eq(engine_connections(app.engine), 0);
	expect_all_waits_counted();
	engine_free(app.engine);
	ck_assert_uint_eq(atomic_load(&app.started), workers);
	ck_assert_uint_eq(atomic_load(&app.stopped), workers);
}

static inline int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int on = 1;

	HOLDS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
	HOLDS(connect(fd, &listener.addr.u.any, listener.addr.len) == 0);
	HOLDS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	HOLDS(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static inline int ask(const char *text)
{
	int fd = dial();

	say(fd, text);
	return fd;
}

/* Exactly this comes next. */
static inline void expect(int fd, const char *text)
{
	char got[20000];
	size_t len = strlen(text);

	HOLDS(len < sizeof(got));
	ssize_t n = recv(fd, got, len, MSG_WAITALL);
	if (n != (ssize_t)len || memcmp(got, text, len) != 0)
		ck_abort_msg("want \"%s\", got %zd: \"%.*s\"", text, n, n > 0 ? (int)n : 0, got);
}

static inline void expect_end(int fd)
{
	char byte;

	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static inline void expect_reset(int fd)
{
	char byte;

	ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
}

static inline void expect_refused(int fd, enum refusal why)
{
	char text[16];

	snprintf(text, sizeof(text), "refused %d\n", (int)why);
	expect(fd, text);
	expect_end(fd);
}

static inline bool has_answer(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, 0) == 1;
}

static inline void wait_until(_Atomic unsigned *value, unsigned want)
{
	while (atomic_load(value) != want)
		usleep(500); /* Check's time limit is the bound */
}

static inline void open_gate(int gate)
{
	HOLDS(write(app.gates[gate][1], "x", 1) == 1);
}

/* Nobody sleeps there. */
static inline void close_gate(int gate)
{
	char byte;

	HOLDS(read(app.gates[gate][0], &byte, 1) == 1);
}

static inline void wait_counted(enum counter_id id, uint64_t want)
{
	while (counted(id) < want)
		usleep(500);
}

/* A client that asks and asks, now and then on a new connection; each has its seed. */
struct client {
	unsigned seed;
	const char *words; /* one letter a request, which stands before the text */
	pthread_t thread;
};

static inline void *chatter(void *arg)
{
	struct client *k = arg;
	unsigned state = k->seed;
	int fd = dial();

	for (int i = 0; i < 500; i++) {
		char asked[200], answered[200];
		size_t len = 0, want = 0;

		state = state * 1664525u + 1013904223u;
		for (unsigned n = 1 + (state >> 8) % 4; n > 0; n--) {
			char word = k->words[(state >> 12) % strlen(k->words)];

			if (word != 'e')
				asked[len++] = word;
			len += (size_t)snprintf(asked + len, sizeof(asked) - len, "e %u %d\n", k->seed, i);
			want += (size_t)snprintf(
			        answered + want, sizeof(answered) - want, "e %u %d\n", k->seed, i);
			state = state * 1664525u + 1013904223u;
		}
		say(fd, asked);
		expect(fd, answered);
		if ((state >> 20) % 16 == 0) {
			close(fd);
			fd = dial();
		}
	}
	close(fd);
	return NULL;
}

static inline void chatter_all(unsigned count, const char *words)
{
	struct client all[16];

	HOLDS(count <= 16);
	for (unsigned i = 0; i < count; i++) {
		all[i] = (struct client){.seed = i, .words = words};
		PTHREAD_OK(pthread_create(&all[i].thread, NULL, chatter, &all[i]));
	}
	for (unsigned i = 0; i < count; i++)
		PTHREAD_OK(pthread_join(all[i].thread, NULL));
}

static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
