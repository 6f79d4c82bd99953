/*
 * The loop and both its drivers, by the contract of net/io.h and net/loop.h. All is one thread, so what happens is in the test's
 * hands: fibers run until they wait, then the next of the test's actions is done (later), and so on. _i is the driver.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/loop.h"
#include "net/sock.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define SHORT (30 * CLOCK_NS_PER_MS)
#define LONG (60 * CLOCK_NS_PER_S)
#define SOON (clock_now() + SHORT)
#define PATIENT (clock_now() + LONG)

enum {
	CLIENT_BUFFER = 512,
	SERVER_BUFFER = 4096,
	BIG = 3 * 1024 * 1024,
	TURNS = 30, /* a fiber gets so far in them that it waits for somebody */
	FIBERS = FIBER_STORE_MAX < 200 ? FIBER_STORE_MAX : 200
};

static const enum loop_driver_kind drivers[] = {LOOP_EPOLL, LOOP_URING};

static struct loop loop;
static struct io *const io = &loop.io;
static struct loop_options options;
static unsigned running; /* fibers */

/* What the loop told. */
static struct {
	void *ready[2048];
	unsigned ready_count;
	int accepted[64]; /* descriptors or -errno */
	unsigned listeners[64];
	unsigned accepted_count;
} told;

static void on_ready(void *arg, void *thing, bool over)
{
	(void)over;
	HOLDS(arg == &told && loop.fibers.current == NULL && told.ready_count < 2048);
	told.ready[told.ready_count++] = thing;
}

static bool on_accepted(void *arg, unsigned listener, int fd, const struct addr *peer)
{
	HOLDS(arg == &told && loop.fibers.current == NULL && told.accepted_count < 64);
	HOLDS(!peer || peer->u.any.sa_family == AF_INET);
	told.listeners[told.accepted_count] = listener;
	told.accepted[told.accepted_count++] = fd;
	return true;
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	memset(&told, 0, sizeof(told));
	running = 0;
	options = (struct loop_options){.fibers = 32,
	        .client_buffer = CLIENT_BUFFER,
	        .server_buffer = SERVER_BUFFER,
	        .events = {&told, on_ready, on_accepted}};
}

static void open_loop(int which)
{
	options.driver = drivers[which];
	HOLDS(loop_open(&loop, &options) == 0);
	ck_assert_str_eq(loop.driver->name, loop_driver_name(drivers[which]));
}

static void close_loop(void)
{
	ck_assert_uint_eq(running, 0);
	ck_assert_uint_eq(loop.fibers.busy, 0);
	loop_close(&loop);
	ck_assert_ptr_null(loop_free(&loop));
}

static bool is_uring(void)
{
	return loop.options.driver == LOOP_URING;
}

/* ---- fibers and actions ---- */

struct start {
	void (*run)(void *arg);
	void *arg;
};

static void fiber(void *arg)
{
	struct start s = *(struct start *)arg;

	s.run(s.arg);
	running--;
}

static void spawn(void (*run)(void *arg), void *arg)
{
	struct start s = {run, arg};

	running++;
	HOLDS(loop_start(&loop, fiber, &s));
}

typedef void (*act_fn)(int fd, const char *text);

static struct {
	act_fn act;
	int fd;
	const char *text;
} actions[32];
static unsigned actions_done, action_count;

/* To be done when the fibers have come to wait. */
static void later(act_fn act, int fd, const char *text)
{
	HOLDS(action_count < 32);
	actions[action_count].act = act;
	actions[action_count].fd = fd;
	actions[action_count++].text = text;
}

/* Sees to all that has happened up to now. */
static void look(void)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(&loop, 0);
}

/* Until all fibers have returned. */
static void finish(void)
{
	while (running > 0) {
		look();
		if (running == 0)
			break;
		if (actions_done < action_count) {
			unsigned i = actions_done++;

			actions[i].act(actions[i].fd, actions[i].text);
		} else {
			loop_turn(&loop, CLOCK_NEVER);
		}
	}
	ck_assert_uint_eq(actions_done, action_count);
}

static void run_on_fiber(void (*run)(void *arg), void *arg)
{
	spawn(run, arg);
	finish();
}

/* Lets the loop see what has happened. Within a fiber. */
static void yield(void)
{
	for (int i = 0; i < 3; i++)
		HOLDS(io_wait(io, NULL, 0, IO_NOW) == -ETIMEDOUT);
}

/* ---- sockets, and what the other side does ---- */

static void pair(int fds[2])
{
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
}

static void say(int fd, const char *text)
{
	HOLDS(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void hang_up(int fd, const char *text)
{
	(void)text;
	HOLDS(close(fd) == 0);
}

static void shut(int fd, const char *text)
{
	(void)text;
	HOLDS(shutdown(fd, SHUT_WR) == 0);
}

static void drain(int fd, const char *text)
{
	char bytes[4096];

	(void)text;
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	HOLDS(errno == EAGAIN);
}

/* Exactly this is there. */
static void hear(int fd, const char *text)
{
	char got[200];
	ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);

	if (n != (ssize_t)strlen(text) || memcmp(got, text, (size_t)n) != 0)
		ck_abort_msg("want \"%s\", got %zd", text, n);
}

/* The next bytes on the loop's side. */
static void expect(int fd, const char *text)
{
	char got[200];
	size_t len = strlen(text), at = 0;

	while (at < len) {
		ssize_t n = io_recv(io, fd, got + at, len - at, PATIENT);

		if (n <= 0)
			ck_abort_msg("want \"%s\", got %zd after %zu", text, n, at);
		at += (size_t)n;
	}
	if (memcmp(got, text, len) != 0)
		ck_abort_msg("want \"%s\", got \"%.*s\"", text, (int)len, got);
}

/* The same, which may take the loop's own buffer for it. */
static void expect_in_buf(int fd, const char *text)
{
	struct buf *b = buf_new(SERVER_BUFFER);
	ssize_t n = io_recv_buf(io, fd, &b, PATIENT);

	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_uint_eq(buf_len(b), (size_t)n);
	ck_assert(memcmp(buf_head(b), text, (size_t)n) == 0);
	free(b);
}

static size_t fill(int fd)
{
	char bytes[4096] = {0};
	size_t sum = 0;
	ssize_t n;

	while ((n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	HOLDS(errno == EAGAIN);
	return sum;
}

static struct addr listen_tcp(int backlog, int *listener)
{
	struct addr at;
	const char *why;

	HOLDS(addr_parse("127.0.0.1:0", true, &at, &why));
	*listener = sock_listen(&at, backlog);
	HOLDS(*listener >= 0);
	HOLDS(getsockname(*listener, &at.u.any, &at.len) == 0);
	return at;
}

static int dial(const struct addr *at)
{
	int fd = sock_connect_waiting(at, LONG);

	HOLDS(fd >= 0);
	return fd;
}

static int accept_one(int listener)
{
	struct pollfd one = {.fd = listener, .events = POLLIN};
	struct addr peer;

	HOLDS(poll(&one, 1, 30000) == 1);
	int fd = sock_accept(listener, &peer);
	HOLDS(fd >= 0);
	return fd;
}

static void tcp_pair(int fds[2])
{
	int listener;
	struct addr at = listen_tcp(8, &listener);

	fds[0] = dial(&at);
	fds[1] = accept_one(listener);
	close(listener);
}

static void await_byte(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	HOLDS(poll(&one, 1, 30000) == 1);
}

/* Where most tests play: [0] is the loop's. */
static int ends[2];

static void close_ends(void)
{
	io_close(io, ends[0]);
	close(ends[1]);
	look();
}

/* ---- receive ---- */

static void receives_in(void *arg)
{
	char got[16];

	(void)arg;
	later(say, ends[1], "0123456789");
	ck_assert_int_eq(io_recv(io, ends[0], got, 4, PATIENT), 4);
	ck_assert(memcmp(got, "0123", 4) == 0);
	ck_assert_int_eq(io_recv(io, ends[0], got, 4, IO_NOW), 4);
	ck_assert(memcmp(got, "4567", 4) == 0);
	ck_assert_int_eq(io_recv(io, ends[0], got, 4, CLOCK_NEVER), 2);
	ck_assert(memcmp(got, "89", 2) == 0);
	ck_assert_int_eq(io_recv(io, ends[0], got, 4, IO_NOW), -EAGAIN);
	later(say, ends[1], "once more");
	ck_assert_int_eq(io_recv(io, ends[0], got, sizeof(got), CLOCK_NEVER), 9);
	later(shut, ends[1], NULL);
	for (int i = 0; i < 3; i++) /* the end stays the end */
		ck_assert_int_eq(io_recv(io, ends[0], got, sizeof(got), i == 1 ? IO_NOW : PATIENT), 0);
	/* Only their direction is over. */
	ck_assert_int_eq(io_send_str(io, ends[0], STR("answer"), LONG), 0);
	hear(ends[1], "answer");
}

START_TEST(receives)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(receives_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

/* The last bytes and the end come together. */
static void bytes_and_end_in(void *arg)
{
	char got[16];

	(void)arg;
	later(say, ends[1], "last");
	ck_assert_int_eq(io_recv(io, ends[0], got, 2, PATIENT), 2);
	shut(ends[1], NULL);
	ck_assert_int_eq(io_recv(io, ends[0], got, sizeof(got), PATIENT), 2);
	ck_assert_int_eq(io_recv(io, ends[0], got, sizeof(got), PATIENT), 0);
	struct buf *b = buf_new(SERVER_BUFFER);
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, PATIENT), 0);
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, IO_NOW), 0);
	struct pollfd one = {.fd = ends[0], .events = POLLIN};
	ck_assert_int_eq(io_wait(io, &one, 1, PATIENT), 1);
	free(b);
}

START_TEST(bytes_and_end)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(bytes_and_end_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

static void reset_by(int fd, const char *text)
{
	(void)text;
	sock_reset(fd);
}

static void resets_in(void *arg)
{
	struct buf *b = buf_new(SERVER_BUFFER);
	char got[16];

	later(reset_by, ends[1], NULL);
	if (*(bool *)arg)
		ck_assert_int_eq(io_recv_buf(io, ends[0], &b, PATIENT), -ECONNRESET);
	else
		ck_assert_int_eq(io_recv(io, ends[0], got, sizeof(got), PATIENT), -ECONNRESET);
	free(b);
	ck_assert_int_eq(io_send(io, ends[0], STR("x"), PATIENT), -EPIPE); /* and no SIGPIPE */
	ck_assert_int_eq(io_recv(io, ends[0], got, sizeof(got), PATIENT), 0);
}

START_TEST(resets)
{
	open_loop(_i);
	for (int i = 0; i < 2; i++) {
		bool in_buf = i == 1;

		tcp_pair(ends);
		run_on_fiber(resets_in, &in_buf);
		io_close(io, ends[0]);
		look();
	}
	close_loop();
}
END_TEST

/* A buffer of the loop's may come in its place, which is as large and is the caller's. */
static void receives_buf_in(void *arg)
{
	struct buf *b = buf_new(SERVER_BUFFER), *given = b;

	(void)arg;
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, IO_NOW), -EAGAIN);
	later(say, ends[1], "one");
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, PATIENT), 3);
	ck_assert(is_uring() == (b != given));
	ck_assert_uint_ge(b->cap, SERVER_BUFFER);
	ck_assert_uint_eq(buf_len(b), 3);
	/* Behind what it holds. */
	given = b;
	later(say, ends[1], "two");
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, PATIENT), 3);
	ck_assert_ptr_eq(b, given);
	ck_assert_uint_eq(buf_len(b), 6);
	say(ends[1], "three");
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, IO_NOW), 5);
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, IO_NOW), -EAGAIN);
	ck_assert(memcmp(buf_head(b), "onetwothree", 11) == 0);
	free(b);
}

START_TEST(receives_buf)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(receives_buf_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

/* Smaller or larger than the loop's own buffers: nothing is lost, and what comes back has the room that it had. */
static void odd_buffers_in(void *arg)
{
	struct buf *small = buf_new(4), *large = buf_new(2 * SERVER_BUFFER);

	(void)arg;
	later(say, ends[1], "0123456789");
	ck_assert_int_eq(io_recv_buf(io, ends[0], &small, PATIENT), 4);
	ck_assert(memcmp(buf_head(small), "0123", 4) == 0);
	buf_clear(small);
	ck_assert_int_eq(io_recv_buf(io, ends[0], &small, IO_NOW), 4);
	ck_assert(memcmp(buf_head(small), "4567", 4) == 0);
	expect(ends[0], "89");
	later(say, ends[1], "large");
	ck_assert_int_eq(io_recv_buf(io, ends[0], &large, PATIENT), 5);
	ck_assert_uint_ge(large->cap, 2 * SERVER_BUFFER);
	ck_assert(memcmp(buf_head(large), "large", 5) == 0);
	free(small);
	free(large);
}

START_TEST(odd_buffers)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(odd_buffers_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

/* ---- send ---- */

static char big_byte(size_t at)
{
	return (char)(at * 2654435761u >> 13);
}

static char *big_bytes(void)
{
	char *bytes = malloc(BIG);

	HOLDS(bytes != NULL);
	for (size_t i = 0; i < BIG; i++)
		bytes[i] = big_byte(i);
	return bytes;
}

/* Reads up to the end; how much it was, in *arg. */
static void read_big(void *arg)
{
	size_t sum = 0;

	for (;;) {
		char bytes[7001];
		ssize_t n = io_recv(io, ends[1], bytes, sizeof(bytes), PATIENT);

		if (n == 0)
			break;
		HOLDS(n > 0);
		for (ssize_t i = 0; i < n; i++)
			HOLDS(bytes[i] == big_byte(sum + (size_t)i));
		sum += (size_t)n;
	}
	*(size_t *)arg = sum;
}

static void send_big(void *arg)
{
	char *bytes = arg;
	struct iovec parts[5] = {{bytes, 0}, {bytes, 1}, {bytes + 1, BIG / 2}, {bytes, 0},
	        {bytes + 1 + BIG / 2, BIG - BIG / 2 - 1}};

	ck_assert_int_eq(io_send_all(io, ends[0], parts, 5, LONG), 0);
	shut(ends[0], NULL);
}

START_TEST(sends_all)
{
	char *bytes = big_bytes();
	size_t sum = 0;

	open_loop(_i);
	pair(ends);
	spawn(send_big, bytes);
	spawn(read_big, &sum);
	finish();
	ck_assert_uint_eq(sum, BIG);
	io_close(io, ends[1]);
	io_close(io, ends[0]);
	look();
	close_loop();
	free(bytes);
}
END_TEST

static void full_in(void *arg)
{
	(void)arg;
	ck_assert_int_eq(io_send(io, ends[0], STR("ab"), IO_NOW), 2);
	fill(ends[0]);
	ck_assert_int_eq(io_send(io, ends[0], STR("ab"), IO_NOW), -EAGAIN);
	later(drain, ends[1], NULL);
	ck_assert_int_eq(io_send(io, ends[0], STR("cd"), PATIENT), 2);
	hear(ends[1], "cd");
	struct iovec parts[2] = {{(void *)(uintptr_t) "ef", 2}, {(void *)(uintptr_t) "gh", 2}};
	fill(ends[0]);
	ck_assert_int_eq(io_sendv(io, ends[0], parts, 2, IO_NOW), -EAGAIN);
	later(drain, ends[1], NULL);
	ck_assert_int_eq(io_sendv(io, ends[0], parts, 2, CLOCK_NEVER), 4);
	hear(ends[1], "efgh");
	/* It leaves while we wait for room. */
	fill(ends[0]);
	later(hang_up, ends[1], NULL);
	ssize_t n = io_send(io, ends[0], STR("x"), PATIENT);
	ck_assert(n == -EPIPE || n == -ECONNRESET);
}

START_TEST(full)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(full_in, NULL);
	io_close(io, ends[0]);
	look();
	close_loop();
}
END_TEST

/* ---- deadlines ---- */

static void late_in(void *arg)
{
	struct buf *b = buf_new(SERVER_BUFFER);
	char byte;
	int64_t deadline = SOON;

	(void)arg;
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = SOON;
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = SOON;
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	struct pollfd two[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = -1}};
	deadline = SOON + 123;
	ck_assert_int_eq(io_wait(io, two, 2, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = SOON;
	ck_assert_int_eq(io_wait(io, NULL, 0, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = SOON;
	io_sleep(io, deadline);
	ck_assert_int_ge(clock_now(), deadline);
	fill(ends[0]);
	deadline = SOON;
	ck_assert_int_eq(io_send(io, ends[0], STR("x"), deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = SOON;
	ck_assert_int_eq(io_send_str(io, ends[0], STR("x"), SHORT), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	/* It did no harm: what comes now comes through. */
	later(say, ends[1], "after");
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, PATIENT), 5);
	free(b);
	later(drain, ends[1], NULL);
	ck_assert_int_eq(io_send(io, ends[0], STR("x"), PATIENT), 1);
	/* One that has passed already: what is there counts. */
	say(ends[1], "ab");
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, clock_now() - 1), 1);
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, clock_now() - 1), 1);
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, clock_now() - 1), -ETIMEDOUT);
}

START_TEST(late)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(late_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

enum { BY_RECV, BY_RECV_BUF, BY_WAIT, WAYS };

/* One way to wait for a byte. */
struct waiting {
	int way;
	int64_t deadline;
	ssize_t result;
	bool done;
};

static void wait_in_a_way(void *arg)
{
	struct waiting *w = arg;
	struct pollfd one = {.fd = ends[0], .events = POLLIN};
	struct buf *b = buf_new(SERVER_BUFFER);
	char byte;

	if (w->way == BY_RECV)
		w->result = io_recv(io, ends[0], &byte, 1, w->deadline);
	else if (w->way == BY_RECV_BUF)
		w->result = io_recv_buf(io, ends[0], &b, w->deadline);
	else
		w->result = io_wait(io, &one, 1, w->deadline);
	free(b);
	w->done = true;
}

/* The byte comes when the deadline has passed and the loop has not looked yet. */
START_TEST(last_moment)
{
	open_loop(_i);
	for (int i = 0; i < 2 * WAYS; i++) {
		struct waiting w;

		/* Handed in before, or together with the byte; the former needs a machine that is not too slow. */
		for (int64_t wait = SHORT;; wait *= 2) {
			pair(ends);
			w = (struct waiting){.way = i / 2, .deadline = clock_now() + wait};
			spawn(wait_in_a_way, &w);
			if (i % 2 == 0)
				look();
			if (!w.done)
				break;
			close_ends();
		}
		while (clock_now() < w.deadline + 10 * CLOCK_NS_PER_MS)
			usleep(1000);
		say(ends[1], "x");
		finish();
		ck_assert_msg(w.result == 1, "way %d: %zd", i, w.result);
		close_ends();
	}
	close_loop();
}
END_TEST

static unsigned awake;

static void sleep_until(void *arg)
{
	int64_t until = *(int64_t *)arg;

	io_sleep(io, until);
	HOLDS(clock_now() >= until);
	awake++;
}

START_TEST(sleeps)
{
	enum { COUNT = 10 };
	int64_t all[COUNT];

	open_loop(_i);
	for (int i = 0; i < COUNT; i++) {
		all[i] = clock_now() + (i * 7 % COUNT) * 10 * CLOCK_NS_PER_MS;
		spawn(sleep_until, &all[i]);
	}
	finish();
	ck_assert_uint_eq(awake, COUNT);
	close_loop();
}
END_TEST

/* ---- wait ---- */

static void waits_in(void *arg)
{
	int other[2];
	char byte;

	(void)arg;
	pair(other);
	/* One of several; entries without a descriptor are none. */
	struct pollfd set[4] = {{.fd = -1, .events = POLLIN, .revents = POLLIN},
	        {.fd = ends[0], .events = POLLIN}, {.fd = other[0], .events = POLLIN}};
	later(say, other[1], "o");
	ck_assert_int_eq(io_wait(io, set, 3, PATIENT), 1);
	ck_assert_int_eq(set[0].revents, 0);
	ck_assert_int_eq(set[1].revents, 0);
	ck_assert_int_eq(set[2].revents, POLLIN);
	ck_assert_int_eq(io_recv(io, other[0], &byte, 1, IO_NOW), 1);
	ck_assert_int_eq(io_recv(io, other[0], &byte, 1, IO_NOW), -EAGAIN);
	/* It waits again, for both. */
	ck_assert_int_eq(io_wait(io, set, 3, SOON), -ETIMEDOUT);
	later(say, ends[1], "e");
	ck_assert_int_eq(io_wait(io, set, 3, PATIENT), 1);
	ck_assert_int_eq(set[1].revents, POLLIN);
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), 1);
	/* Both at once. */
	say(ends[1], "e");
	say(other[1], "o");
	int ready = io_wait(io, set, 3, PATIENT);
	ck_assert_int_ge(ready, 1);
	ck_assert_int_eq((set[1].revents != 0) + (set[2].revents != 0), ready);
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, PATIENT), 1);
	ck_assert_int_eq(io_recv(io, other[0], &byte, 1, PATIENT), 1);
	io_close(io, other[0]);
	close(other[1]);
}

START_TEST(waits)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(waits_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

static void wait_both(struct pollfd set[2], short in, short out)
{
	/* The contract lets it say so too early, not too often: a try settles it. */
	for (;;) {
		int ready = io_wait(io, set, 2, PATIENT);

		ck_assert_int_ge(ready, 1);
		ck_assert_int_eq((set[0].revents != 0) + (set[1].revents != 0), ready);
		if (set[0].revents == in && set[1].revents == out)
			return;
		char byte;
		if (set[0].revents && !in)
			ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), -EAGAIN);
		if (set[1].revents && !out)
			ck_assert_int_eq(io_send(io, ends[0], STR("x"), IO_NOW), -EAGAIN);
	}
}

/* As a tunnel waits: for bytes from where it cannot send to now. */
static void both_ways_in(void *arg)
{
	struct pollfd set[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[0], .events = POLLOUT}};
	char byte;

	(void)arg;
	for (int i = 0; i < 5; i++) {
		fill(ends[0]);
		ck_assert_int_eq(io_send(io, ends[0], STR("x"), IO_NOW), -EAGAIN);
		later(say, ends[1], "i");
		wait_both(set, POLLIN, 0);
		ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), 1);
		ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), -EAGAIN);
		later(drain, ends[1], NULL);
		wait_both(set, 0, POLLOUT);
		ck_assert_int_eq(io_send(io, ends[0], STR("x"), IO_NOW), 1);
		hear(ends[1], "x");
	}
	fill(ends[0]);
	ck_assert_int_eq(io_send(io, ends[0], STR("x"), IO_NOW), -EAGAIN);
	later(hang_up, ends[1], NULL);
	ck_assert_int_ge(io_wait(io, set, 2, PATIENT), 1);
}

START_TEST(both_ways)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(both_ways_in, NULL);
	io_close(io, ends[0]);
	look();
	close_loop();
}
END_TEST

static unsigned turns_had;

static void count_turns(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++) {
		yield();
		turns_had++;
	}
}

static void wait_now_in(void *arg)
{
	struct pollfd one = {.fd = ends[0], .events = POLLIN};
	struct pollfd out = {.fd = ends[0], .events = POLLOUT};
	char byte;

	(void)arg;
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), -ETIMEDOUT);
	ck_assert_int_eq(one.revents, 0);
	ck_assert_int_eq(io_wait(io, &out, 1, IO_NOW), 1);
	ck_assert_int_eq(out.revents, POLLOUT);
	say(ends[1], "x");
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), 1);
	ck_assert_int_eq(one.revents, POLLIN);
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), 1);
	ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), -EAGAIN);
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), -ETIMEDOUT);
	/* Also where a receive is in the ring already. */
	struct buf *b = buf_new(SERVER_BUFFER);
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, SOON), -ETIMEDOUT);
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), -ETIMEDOUT);
	say(ends[1], "y");
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), 1);
	ck_assert_int_eq(io_recv_buf(io, ends[0], &b, PATIENT), 1);
	free(b);
	/* Nobody is held up by one who only ever looks. */
	while (turns_had < 5)
		ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), -ETIMEDOUT);
}

START_TEST(wait_now)
{
	open_loop(_i);
	pair(ends);
	spawn(wait_now_in, NULL);
	spawn(count_turns, NULL);
	finish();
	close_ends();
	close_loop();
}
END_TEST

/* Who yields does not sleep, though there is nothing else to wait for. */
START_TEST(yields)
{
	open_loop(_i);
	spawn(count_turns, NULL);
	while (running > 0)
		loop_turn(&loop, CLOCK_NEVER);
	ck_assert_uint_eq(turns_had, 5);
	close_loop();
}
END_TEST

/* ---- connect ---- */

static char folder[] = "/tmp/tplb-loop-XXXXXX";

static struct addr unix_addr(const char *name)
{
	char text[sizeof(folder) + 32];
	struct addr at;
	const char *why;

	snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
	HOLDS(addr_parse(text, true, &at, &why));
	return at;
}

static void remove_unix(const struct addr *at, int listener)
{
	close(listener);
	HOLDS(unlink(at->u.un.sun_path) == 0 && rmdir(folder) == 0);
}

static void connects_in(void *arg)
{
	const struct addr *at = arg;
	int listener = sock_listen(at, 4);

	HOLDS(listener >= 0);
	struct addr bound = *at;
	HOLDS(getsockname(listener, &bound.u.any, &bound.len) == 0);
	ends[0] = io_connect(io, &bound, PATIENT);
	ck_assert_int_ge(ends[0], 0);
	ends[1] = accept_one(listener);
	ck_assert_int_eq(io_send_str(io, ends[0], STR("question"), LONG), 0);
	await_byte(ends[1]);
	hear(ends[1], "question");
	later(say, ends[1], "answer");
	expect(ends[0], "answer");
	io_close(io, ends[0]);
	close(ends[1]);
	close(listener);
	ck_assert_int_eq(io_connect(io, &bound, PATIENT), -ECONNREFUSED);
	int error = io_connect(io, &bound, IO_NOW);
	ck_assert(error == -ECONNREFUSED || error == -EAGAIN);
}

START_TEST(connects)
{
	struct addr at;
	const char *why;

	open_loop(_i);
	HOLDS(addr_parse("127.0.0.1:0", true, &at, &why));
	run_on_fiber(connects_in, &at);
	HOLDS(mkdtemp(folder) != NULL);
	at = unix_addr("s");
	run_on_fiber(connects_in, &at);
	HOLDS(unlink(at.u.un.sun_path) == 0 && rmdir(folder) == 0);
	look();
	close_loop();
}
END_TEST

static void connect_late_in(void *arg)
{
	const struct addr *at = arg;
	int64_t deadline = SOON;

	ck_assert_int_eq(io_connect(io, at, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	ck_assert_int_eq(io_connect(io, at, IO_NOW), -EAGAIN);
	ck_assert_int_eq(io_connect(io, at, clock_now() - 1), -ETIMEDOUT);
}

/* Connects until the backlog is full. How many. */
static unsigned fill_backlog(const struct addr *at, int *fds, unsigned room)
{
	unsigned n = 0;
	bool pending = false;

	do {
		HOLDS(n < room);
		fds[n] = sock_connect_start(at, &pending);
		struct pollfd one = {.fd = fds[n], .events = POLLOUT};
		if (fds[n] >= 0 && pending && poll(&one, 1, 50) == 1)
			pending = false;
		n++;
	} while (fds[n - 1] >= 0 && !pending);
	return n;
}

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

START_TEST(connect_late)
{
	int listener, fds[16];
	struct addr at = listen_tcp(0, &listener);
	unsigned n = fill_backlog(&at, fds, 16);

	open_loop(_i);
	run_on_fiber(connect_late_in, &at);
	look();
	close_all(fds, n);
	close(listener);
	close_loop();
}
END_TEST

static void connect_patiently(void *arg)
{
	int fd = io_connect(io, arg, PATIENT);

	ck_assert_int_ge(fd, 0);
	io_close(io, fd);
}

static void accept_away(int listener, const char *text)
{
	(void)text;
	close(accept_one(listener));
}

/* A Unix socket with a full backlog tells nothing when there is room: it is tried again. */
START_TEST(connect_unix)
{
	int fds[16];

	open_loop(_i);
	HOLDS(mkdtemp(folder) != NULL);
	struct addr at = unix_addr("s");
	int listener = sock_listen(&at, 1);
	HOLDS(listener >= 0);
	unsigned n = fill_backlog(&at, fds, 16);
	run_on_fiber(connect_late_in, &at);
	later(accept_away, listener, NULL);
	run_on_fiber(connect_patiently, &at);
	look();
	close_all(fds, n);
	remove_unix(&at, listener);
	close_loop();
}
END_TEST

/* ---- rest ---- */

static void rests_in(void *arg)
{
	(void)arg;
	ck_assert(io_rest(io, ends[0]));
	ck_assert(io_is_quiet(io, ends[0]));
	yield();
	ck_assert(io_is_quiet(io, ends[0]));
	/* Used again, and at rest again. */
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(io_send_str(io, ends[0], STR("question"), LONG), 0);
		hear(ends[1], "question");
		later(say, ends[1], "answer");
		if (i % 2)
			expect(ends[0], "answer");
		else
			expect_in_buf(ends[0], "answer");
		char byte;
		ck_assert_int_eq(io_recv(io, ends[0], &byte, 1, IO_NOW), -EAGAIN);
		ck_assert(io_rest(io, ends[0]));
		yield();
		ck_assert(io_is_quiet(io, ends[0]));
	}
	/* The answer is longer than the loop's own buffer. */
	struct pollfd one = {.fd = ends[0], .events = POLLIN};
	static char text[2 * SERVER_BUFFER + 2];
	memset(text, 'l', sizeof(text) - 1);
	later(say, ends[1], text);
	ck_assert_int_eq(io_wait(io, &one, 1, PATIENT), 1);
	for (size_t at = 0; at < sizeof(text) - 1;) {
		char got[1000];
		ssize_t n = io_recv(io, ends[0], got, sizeof(got), PATIENT);

		ck_assert_int_gt(n, 0);
		for (ssize_t i = 0; i < n; i++)
			HOLDS(got[i] == 'l');
		at += (size_t)n;
	}
}

START_TEST(rests)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(rests_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

/* It has said what nobody asked for, or gone: seen without a receive. */
static void disturbed_in(void *arg)
{
	act_fn act = *(act_fn *)arg;

	ck_assert(io_rest(io, ends[0]));
	yield();
	ck_assert(io_is_quiet(io, ends[0]));
	act(ends[1], "stray");
	yield();
	ck_assert(!io_is_quiet(io, ends[0]));
}

START_TEST(disturbed)
{
	act_fn acts[] = {say, shut, hang_up};

	open_loop(_i);
	for (int i = 0; i < 3; i++) {
		pair(ends);
		run_on_fiber(disturbed_in, &acts[i]);
		io_close(io, ends[0]);
		if (acts[i] != hang_up)
			close(ends[1]);
	}
	look();
	close_loop();
}
END_TEST

/* ---- forget and close ---- */

/* Gives the number of `old` to a new socket, whose peer is returned. */
static int renew(int old)
{
	int fresh[2];

	pair(fresh);
	if (fresh[1] == old) { /* the number is free, and came second */
		fresh[1] = fresh[0];
		fresh[0] = old;
	}
	if (fresh[0] == old)
		return fresh[1];
	HOLDS(dup2(fresh[0], old) == old);
	close(fresh[0]);
	return fresh[1];
}

/* Leaves all that a loop may have in the ring for a descriptor: a receive and a poll for room. */
static void leave_traces(int fd)
{
	struct buf *b = buf_new(SERVER_BUFFER);
	struct pollfd two[2] = {{.fd = fd, .events = POLLIN}, {.fd = fd, .events = POLLOUT}};

	fill(fd);
	ck_assert_int_eq(io_send(io, fd, STR("x"), IO_NOW), -EAGAIN);
	ck_assert_int_eq(io_recv_buf(io, fd, &b, clock_now() - 1), -ETIMEDOUT);
	ck_assert_int_eq(io_wait(io, two, 2, clock_now() - 1), -ETIMEDOUT);
	free(b);
}

static void expect_new_life(int fd, int peer)
{
	ck_assert(io_rest(io, fd));
	yield();
	ck_assert(io_is_quiet(io, fd));
	later(say, peer, "new");
	expect_in_buf(fd, "new");
	struct pollfd one = {.fd = fd, .events = POLLIN};
	ck_assert_int_eq(io_wait(io, &one, 1, SOON), -ETIMEDOUT);
}

static void forgets_in(void *arg)
{
	(void)arg;
	/* The old one's peer speaks before or after it is forgotten; nobody hears it here. */
	for (int i = 0; i < 4; i++) {
		int fd = ends[0], old = ends[1], kept;

		leave_traces(fd);
		if (i % 2)
			say(old, "old");
		kept = dup(fd); /* the old socket lives on, with another owner */
		io_forget(io, fd);
		ends[1] = renew(fd);
		if (i % 2 == 0)
			say(old, "old");
		expect_new_life(fd, ends[1]);
		hear(kept, "old"); /* and that one has its bytes */
		close(kept);
		close(old);
	}
}

START_TEST(forgets)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(forgets_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

/* Its peer sees the end although there was something in the ring. */
static void expect_closed(int peer)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	ck_assert(n == 0 || errno == ECONNRESET);
}

static void close_and_renew_in(void *arg)
{
	(void)arg;
	for (int i = 0; i < 4; i++) {
		int fd = ends[0], old = ends[1];

		leave_traces(fd);
		if (i % 2)
			say(old, "old");
		io_close(io, fd);
		while (fcntl(fd, F_GETFD) >= 0) /* the ring closes it with the next turn */
			yield();
		yield();
		expect_closed(old);
		ends[1] = renew(fd);
		expect_new_life(fd, ends[1]);
		close(old);
	}
}

START_TEST(closes)
{
	open_loop(_i);
	pair(ends);
	run_on_fiber(close_and_renew_in, NULL);
	close_ends();
	close_loop();
}
END_TEST

/* Two descriptors become readable in the same turn; the first one's fiber gives the second one's number to another socket. */
struct trade {
	int first, second; /* the loop's */
	int peer;          /* of the new one */
	bool was_parked, is_parked;
};

static void trade_in(void *arg)
{
	struct trade *t = arg;

	if (!t->was_parked)
		ck_assert(io_rest(io, t->second));
	expect_in_buf(t->first, "go");
	io_forget(io, t->second);
	t->peer = renew(t->second);
	if (!t->is_parked) {
		expect_new_life(t->second, t->peer);
		return;
	}
	ck_assert_int_eq(loop_park(&loop, t->second, t), LOOP_PARKED);
	yield();
	ck_assert_uint_eq(told.ready_count, 0);
	say(t->peer, "new");
	yield();
	ck_assert_uint_eq(told.ready_count, 1);
	told.ready_count = 0;
	expect(t->second, "new");
}

START_TEST(late_event)
{
	int first[2], second[2];

	open_loop(_i);
	for (int i = 0; i < 4; i++) {
		pair(first);
		pair(second);
		struct trade t = {.first = first[0],
		        .second = second[0],
		        .was_parked = i % 2 == 1,
		        .is_parked = i / 2 == 1};
		if (t.was_parked)
			ck_assert_int_eq(loop_park(&loop, t.second, &t), LOOP_PARKED);
		spawn(trade_in, &t);
		look();
		say(first[1], "go");
		say(second[1], "old");
		finish();
		ck_assert_uint_eq(told.ready_count, 0);
		io_close(io, first[0]);
		io_close(io, second[0]);
		close(t.peer);
		close(first[1]);
		close(second[1]);
		look();
	}
	close_loop();
}
END_TEST

/* ---- parking ---- */

static void expect_ready(void *thing)
{
	for (unsigned before = told.ready_count; told.ready_count == before;)
		loop_turn(&loop, CLOCK_NEVER);
	look();
	ck_assert_uint_eq(told.ready_count, 1);
	ck_assert_ptr_eq(told.ready[0], thing);
	told.ready_count = 0;
}

static void expect_fiber(void *arg)
{
	expect(ends[0], arg);
}

static void try_in(void *arg)
{
	char byte;

	*(ssize_t *)arg = io_recv(io, ends[0], &byte, 1, IO_NOW);
}

static ssize_t try_recv(void)
{
	ssize_t n;

	run_on_fiber(try_in, &n);
	return n;
}

START_TEST(parks)
{
	int thing;

	open_loop(_i);
	pair(ends);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(loop_park(&loop, ends[0], &thing), LOOP_PARKED);
		look();
		ck_assert_uint_eq(told.ready_count, 0);
		say(ends[1], "byte");
		expect_ready(&thing);
		say(ends[1], "more"); /* not parked: nobody is told */
		look();
		ck_assert_uint_eq(told.ready_count, 0);
		run_on_fiber(expect_fiber, (void *)(uintptr_t) "bytemore");
		ck_assert_int_eq(try_recv(), -EAGAIN);
	}
	/* It goes. */
	ck_assert_int_eq(loop_park(&loop, ends[0], &thing), LOOP_PARKED);
	look();
	shut(ends[1], NULL);
	expect_ready(&thing);
	ck_assert_int_eq(try_recv(), 0);
	close_ends();
	close_loop();
}
END_TEST

static void read_two(void *arg)
{
	char got[2];

	(void)arg;
	ck_assert_int_eq(io_recv(io, ends[0], got, 2, IO_NOW), 2);
}

/* There is something already: it is said at once, or by the loop. */
START_TEST(parks_readable)
{
	int thing;

	open_loop(_i);
	for (int i = 0; i < 3; i++) {
		bool end = i == 2;

		pair(ends);
		ck_assert_int_eq(loop_park(&loop, ends[0], &thing), LOOP_PARKED);
		say(ends[1], "bytes");
		expect_ready(&thing);
		if (i > 0)
			run_on_fiber(read_two, NULL); /* some are left */
		if (end) {
			run_on_fiber(expect_fiber, (void *)(uintptr_t) "tes");
			shut(ends[1], NULL);
		}
		enum loop_parked parked = loop_park(&loop, ends[0], &thing);
		ck_assert_int_ne(parked, LOOP_FAILED);
		if (!end)
			ck_assert_int_eq(parked, LOOP_READY);
		if (parked == LOOP_PARKED)
			expect_ready(&thing);
		look();
		ck_assert_uint_eq(told.ready_count, 0);
		if (end)
			ck_assert_int_eq(try_recv(), 0);
		else
			run_on_fiber(expect_fiber, (void *)(uintptr_t)(i > 0 ? "tes" : "bytes"));
		close_ends();
	}
	close_loop();
}
END_TEST

/* Bytes came before it was ever seen by the loop. */
START_TEST(parks_late)
{
	int thing;

	open_loop(_i);
	pair(ends);
	say(ends[1], "early");
	ck_assert_int_eq(loop_park(&loop, ends[0], &thing), LOOP_PARKED);
	expect_ready(&thing);
	run_on_fiber(expect_fiber, (void *)(uintptr_t) "early");
	close_ends();
	/* Closed while parked: nothing is told. */
	pair(ends);
	ck_assert_int_eq(loop_park(&loop, ends[0], &thing), LOOP_PARKED);
	look();
	say(ends[1], "unheard");
	close_ends();
	ck_assert_uint_eq(told.ready_count, 0);
	close_loop();
}
END_TEST

/* ---- messages ---- */

enum { MESSAGES = 2000 };

struct note {
	struct loop_message message;
	unsigned from, number;
};
static unsigned delivered[2];

static void deliver(struct loop *l, struct loop_message *m)
{
	struct note *n = (struct note *)((char *)m - offsetof(struct note, message));

	HOLDS(l == &loop && loop.fibers.current == NULL);
	HOLDS(n->number == delivered[n->from]);
	delivered[n->from]++;
	free(n);
}

static void post_many(unsigned from)
{
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct note *n = malloc(sizeof(*n));

		HOLDS(n != NULL);
		*n = (struct note){.message.deliver = deliver, .from = from, .number = i};
		loop_post(&loop, &n->message);
	}
}

static void *poster(void *arg)
{
	post_many(*(unsigned *)arg);
	return NULL;
}

START_TEST(posts)
{
	pthread_t threads[2];
	unsigned numbers[2] = {0, 1};

	open_loop(_i);
	for (int i = 0; i < 2; i++)
		PTHREAD_OK(pthread_create(&threads[i], NULL, poster, &numbers[i]));
	while (delivered[0] + delivered[1] < 2 * MESSAGES)
		loop_turn(&loop, CLOCK_NEVER);
	for (int i = 0; i < 2; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	/* From its own thread as well. */
	delivered[0] = 0;
	post_many(0);
	while (delivered[0] < MESSAGES)
		loop_turn(&loop, CLOCK_NEVER);
	look();
	close_loop();
}
END_TEST

static void *waker(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++)
		loop_wake(&loop);
	return NULL;
}

START_TEST(wakes)
{
	pthread_t thread;

	open_loop(_i);
	for (int i = 0; i < 20; i++) {
		PTHREAD_OK(pthread_create(&thread, NULL, waker, NULL));
		loop_turn(&loop, CLOCK_NEVER); /* would sleep for ever */
		PTHREAD_OK(pthread_join(thread, NULL));
		look();
	}
	/* No wake is left over: it sleeps as long as it is told. */
	int64_t until = SOON;
	while (clock_now() < until)
		loop_turn(&loop, until);
	close_loop();
}
END_TEST

/* What comes after its end is given back, in order. */
START_TEST(posts_after_end)
{
	struct note notes[3];
	struct loop_message *m;

	open_loop(_i);
	loop_close(&loop);
	for (unsigned i = 0; i < 3; i++)
		loop_post(&loop, &notes[i].message);
	loop_wake(&loop);
	m = loop_free(&loop);
	for (unsigned i = 0; i < 3; i++, m = m->next)
		ck_assert_ptr_eq(m, &notes[i].message);
	ck_assert_ptr_null(m);
}
END_TEST

/* ---- what blocks ---- */

static pthread_t loop_thread;
static int gate[2]; /* a pipe that a job reads from */

static void block(void *arg)
{
	char byte;

	HOLDS(!pthread_equal(pthread_self(), loop_thread));
	HOLDS(read(gate[0], &byte, 1) == 1);
	(*(int *)arg)++;
}

static void call_in(void *arg)
{
	int before = *(int *)arg;

	io_call(io, block, arg);
	ck_assert_int_eq(*(int *)arg, before + 1);
}

static void open_gate_in(void *arg)
{
	yield();
	ck_assert_int_eq(*(int *)arg, 0);
	HOLDS(write(gate[1], "x", 1) == 1);
}

static void start_helpers(unsigned threads)
{
	int error;

	loop_thread = pthread_self();
	options.helpers = helpers_start("test", threads, &error);
	HOLDS(options.helpers != NULL);
}

/* A job that blocks holds up its fiber alone. */
START_TEST(calls)
{
	int values[20] = {0};

	start_helpers(2);
	HOLDS(pipe(gate) == 0);
	open_loop(_i);
	spawn(call_in, &values[0]);
	spawn(open_gate_in, &values[0]);
	finish();
	ck_assert_int_eq(values[0], 1);
	for (int i = 0; i < 20; i++)
		spawn(call_in, &values[i]);
	for (int i = 0; i < 20; i++)
		HOLDS(write(gate[1], "x", 1) == 1);
	finish();
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(values[i], 1 + (i == 0));
	helpers_stop(options.helpers);
	close_loop();
}
END_TEST

static int big_file(void)
{
	char name[] = "/tmp/tplb-loop-file-XXXXXX";
	char *bytes = big_bytes();
	int file = mkstemp(name);

	HOLDS(file >= 0 && unlink(name) == 0);
	HOLDS(write(file, bytes, BIG) == BIG);
	free(bytes);
	return file;
}

static void send_file_in(void *arg)
{
	int file = *(int *)arg;
	off_t offset = 0;

	ck_assert_int_eq(io_send_file(io, ends[0], file, &offset, 0, LONG), 0);
	ck_assert_int_eq(io_send_file(io, ends[0], file, &offset, 1000, LONG), 0);
	ck_assert_int_eq(offset, 1000);
	ck_assert_int_eq(io_send_file(io, ends[0], file, &offset, BIG - 1000, LONG), 0);
	ck_assert_int_eq(offset, BIG);
	shut(ends[0], NULL);
}

static void send_file_badly_in(void *arg)
{
	int file = *(int *)arg;
	off_t offset = BIG - 10;

	ck_assert_int_eq(io_send_file(io, ends[0], file, &offset, 11, LONG), -EIO);
	ck_assert_int_eq(offset, BIG);
	/* Nobody reads it. */
	offset = 0;
	int64_t deadline = SOON;
	ck_assert_int_eq(io_send_file(io, ends[0], file, &offset, BIG, SHORT), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	ck_assert_int_lt(offset, BIG);
}

START_TEST(sends_file)
{
	int file = big_file();
	size_t sum = 0;

	start_helpers(1);
	open_loop(_i);
	pair(ends);
	spawn(send_file_in, &file);
	spawn(read_big, &sum);
	finish();
	ck_assert_uint_eq(sum, BIG);
	io_close(io, ends[0]);
	io_close(io, ends[1]);
	look();
	pair(ends);
	run_on_fiber(send_file_badly_in, &file);
	close_ends();
	helpers_stop(options.helpers);
	close_loop();
	close(file);
}
END_TEST

/*
 * Room comes while the helper is still on its way back with word that there is none: the edge must not be forgotten. Here the helper
 * makes that room itself, and comes back only when the loop has seen it.
 */
static struct {
	bool on;
	_Atomic bool made_room;
	size_t sum; /* bytes that came out at the other end */
	bool sent;
} race;

static void read_all(void)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		race.sum += (size_t)n;
}

/* Takes the place of the C library's. */
ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
	ssize_t n = syscall(SYS_sendfile, to, from, offset, count);
	char byte;

	if (n >= 0 || errno != EAGAIN || !race.on)
		return n;
	read_all();
	atomic_store(&race.made_room, true);
	HOLDS(read(gate[0], &byte, 1) == 1);
	errno = EAGAIN;
	return -1;
}

static void send_file_racing_in(void *arg)
{
	off_t offset = 0;

	ck_assert_int_eq(io_send_file(io, ends[0], *(int *)arg, &offset, BIG, 2 * CLOCK_NS_PER_S), 0);
	race.sent = true;
}

static void let_back_in(void *arg)
{
	(void)arg;
	while (!race.sent) {
		yield();
		if (atomic_exchange(&race.made_room, false)) {
			yield();
			HOLDS(write(gate[1], "x", 1) == 1);
		}
	}
}

START_TEST(sends_file_racing)
{
	int file = big_file();

	start_helpers(1);
	HOLDS(pipe(gate) == 0);
	open_loop(_i);
	pair(ends);
	race.on = true;
	race.sum = 0;
	race.sent = false;
	spawn(send_file_racing_in, &file);
	spawn(let_back_in, NULL);
	finish();
	read_all();
	ck_assert_uint_eq(race.sum, BIG);
	race.on = false;
	close_ends();
	helpers_stop(options.helpers); /* first: they post to the loop */
	close_loop();
	close(file);
}
END_TEST

/* ---- pipes ---- */

static void wait_one(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};

	ck_assert_int_eq(io_wait(io, &one, 1, PATIENT), 1);
}

/* From one socket through a pipe into another, as the relay does with large bodies; to the end of the stream. */
struct splicing {
	int from, to;
};

static void splice_in(void *arg)
{
	struct splicing *s = arg;
	int ends_of_pipe[2];

	HOLDS(pipe2(ends_of_pipe, O_NONBLOCK) == 0);
	ck_assert_int_eq(io_splice_in(io, s->from, ends_of_pipe[1], 1), -EAGAIN);
	for (;;) {
		ssize_t n = io_splice_in(io, s->from, ends_of_pipe[1], 65536);

		if (n == -EAGAIN) {
			wait_one(s->from, POLLIN);
			continue;
		}
		if (n == 0)
			break;
		ck_assert_int_gt(n, 0);
		while (n > 0) {
			ssize_t moved = io_splice_out(io, ends_of_pipe[0], s->to, (size_t)n);

			if (moved == -EAGAIN)
				wait_one(s->to, POLLOUT);
			else
				n -= moved;
			ck_assert(moved == -EAGAIN || moved > 0);
		}
	}
	shut(s->to, NULL);
	close(ends_of_pipe[0]);
	close(ends_of_pipe[1]);
}

START_TEST(splices)
{
	char *bytes = big_bytes();
	int in[2], out[2];
	size_t sum = 0;

	open_loop(_i);
	pair(in);
	pair(out);
	struct splicing s = {.from = in[1], .to = out[0]};
	spawn(splice_in, &s);
	ends[0] = in[0];
	ends[1] = out[1];
	spawn(send_big, bytes);
	look(); /* until nothing moves any more: all is full */
	spawn(read_big, &sum);
	finish();
	ck_assert_uint_eq(sum, BIG);
	for (int i = 0; i < 2; i++) {
		io_close(io, in[i]);
		io_close(io, out[i]);
	}
	look();
	close_loop();
	free(bytes);
}
END_TEST

/* ---- listeners ---- */

static void expect_accepted(unsigned count)
{
	while (told.accepted_count < count)
		loop_turn(&loop, CLOCK_NEVER);
	look();
	ck_assert_uint_eq(told.accepted_count, count);
}

/* All of this listener's, each as fit for the loop as any other socket. */
static void close_accepted(unsigned listener)
{
	for (unsigned i = 0; i < told.accepted_count; i++) {
		ck_assert_int_ge(told.accepted[i], 0);
		ck_assert_uint_eq(told.listeners[i], listener);
		ck_assert(fcntl(told.accepted[i], F_GETFL) & O_NONBLOCK);
		ck_assert(fcntl(told.accepted[i], F_GETFD) & FD_CLOEXEC);
		io_close(io, told.accepted[i]);
	}
	told.accepted_count = 0;
}

START_TEST(listens)
{
	enum { COUNT = 20 };
	int fds[COUNT], listeners[2];
	struct addr at[2];

	for (int i = 0; i < 2; i++)
		at[i] = listen_tcp(64, &listeners[i]);
	open_loop(_i);
	ck_assert(loop_listen(&loop, 0, listeners[0]));
	ck_assert(loop_listen(&loop, 1, listeners[1]));
	ck_assert(loop_listen(&loop, 1, listeners[1])); /* it does already */
	look();
	for (unsigned l = 0; l < 2; l++) {
		for (int i = 0; i < COUNT; i++)
			fds[i] = dial(&at[l]);
		expect_accepted(COUNT);
		close_accepted(l);
		close_all(fds, COUNT);
	}
	for (unsigned l = 0; l < 2; l++)
		loop_unlisten(&loop, l, listeners[l]);
	loop_unlisten(&loop, 0, listeners[0]);
	look();
	close_all(listeners, 2);
	close_loop();
}
END_TEST

/* It stops and goes on; whoever came meanwhile is taken then. */
START_TEST(listens_again)
{
	int listener, fds[4];
	struct addr at = listen_tcp(64, &listener);

	open_loop(_i);
	for (int i = 0; i < 4; i++) {
		ck_assert(loop_listen(&loop, 3, listener));
		look();
		fds[0] = dial(&at);
		expect_accepted(1);
		loop_unlisten(&loop, 3, listener);
		if (i % 2 == 0) { /* or at once, before it has let go */
			look();
			fds[1] = dial(&at);
			fds[2] = dial(&at);
			look();
			ck_assert_uint_eq(told.accepted_count, 1);
		} else {
			fds[1] = fds[2] = -1;
		}
		ck_assert(loop_listen(&loop, 3, listener));
		fds[3] = dial(&at);
		expect_accepted(i % 2 == 0 ? 4 : 2);
		close_accepted(3);
		close_all(fds, 4);
		loop_unlisten(&loop, 3, listener);
		look();
	}
	close(listener);
	close_loop();
}
END_TEST

/* ---- what is short ---- */

struct player {
	int fd;
	bool first;
	unsigned rounds;
};

static void play(void *arg)
{
	struct player *p = arg;
	struct buf *b = buf_new(SERVER_BUFFER);

	for (unsigned i = 0; i < 20; i++) {
		char text[16];
		size_t len = (size_t)snprintf(text, sizeof(text), "round %u", i);

		if (p->first)
			HOLDS(io_send_str(io, p->fd, (struct str){text, len}, LONG) == 0);
		buf_clear(b);
		ssize_t n = i % 2 ? io_recv_buf(io, p->fd, &b, PATIENT)
		                  : io_recv(io, p->fd, b->data, b->cap, PATIENT);
		if (n != (ssize_t)len || memcmp(b->data, text, len) != 0)
			ck_abort_msg("round %u: %zd", i, n);
		if (!p->first)
			HOLDS(io_send_str(io, p->fd, (struct str){text, len}, LONG) == 0);
		p->rounds++;
	}
	io_close(io, p->fd);
	free(b);
}

/* A ring that holds four entries for many fibers. */
START_TEST(tiny_ring)
{
	static struct player all[FIBERS];

	options.entries = 4;
	options.fibers = FIBERS;
	open_loop(_i);
	for (unsigned i = 0; i < FIBERS; i += 2) {
		int fds[2];

		pair(fds);
		all[i] = (struct player){.fd = fds[0], .first = true};
		all[i + 1] = (struct player){.fd = fds[1]};
	}
	for (unsigned i = 0; i < FIBERS; i++)
		spawn(play, &all[i]);
	finish();
	for (unsigned i = 0; i < FIBERS; i++)
		ck_assert_uint_eq(all[i].rounds, 20);
	ck_assert(is_uring() == (loop.stats.ring_full > 0));
	look();
	close_loop();
}
END_TEST

enum { PARKED = 1100 }; /* more than the ring has buffers */

static void receive_all(void *arg)
{
	int(*pairs)[2] = arg;

	for (unsigned i = 0; i < PARKED; i++) {
		char text[16];
		struct buf *b = buf_new(CLIENT_BUFFER);
		size_t len = (size_t)snprintf(text, sizeof(text), "client %u", i);

		ck_assert_int_eq(io_recv_buf(io, pairs[i][0], &b, IO_NOW), (ssize_t)len);
		ck_assert(memcmp(buf_head(b), text, len) == 0);
		ck_assert_int_eq(io_recv_buf(io, pairs[i][0], &b, IO_NOW), -EAGAIN);
		free(b);
	}
}

/* All are readable before anybody has read from one of them. */
START_TEST(buffers_short)
{
	static int pairs[PARKED][2];
	static bool seen[PARKED];

	HOLDS(sock_raise_limit(2 * PARKED + 200) >= 2 * PARKED + 200);
	open_loop(_i);
	for (unsigned i = 0; i < PARKED; i++)
		pair(pairs[i]);
	for (int again = 0; again < 2; again++) {
		told.ready_count = 0;
		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < PARKED; i++)
			ck_assert_int_eq(loop_park(&loop, pairs[i][0], &seen[i]), LOOP_PARKED);
		look();
		ck_assert_uint_eq(told.ready_count, 0);
		for (unsigned i = 0; i < PARKED; i++) {
			char text[16];

			snprintf(text, sizeof(text), "client %u", i);
			say(pairs[i][1], text);
		}
		while (told.ready_count < PARKED)
			loop_turn(&loop, CLOCK_NEVER);
		look();
		ck_assert_uint_eq(told.ready_count, PARKED);
		for (unsigned i = 0; i < PARKED; i++) {
			ck_assert(!*(bool *)told.ready[i]);
			*(bool *)told.ready[i] = true;
		}
		run_on_fiber(receive_all, pairs);
		ck_assert(is_uring() == (loop.stats.buffers_short > 0));
	}
	for (unsigned i = 0; i < PARKED; i++) {
		io_close(io, pairs[i][0]);
		close(pairs[i][1]);
	}
	look();
	close_loop();
}
END_TEST

static void take_many_in(void *arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++) {
		ck_assert(io_rest(io, ends[0]));
		say(ends[1], "answer");
		yield();
		if (i % 2)
			expect(ends[0], "answer");
		else
			expect_in_buf(ends[0], "answer");
	}
}

/* One at a time: each buffer of the ring's is back before the next is asked for, whichever way the bytes were taken. */
START_TEST(buffers_come_back)
{
	int thing;

	open_loop(_i);
	pair(ends);
	run_on_fiber(take_many_in, NULL);
	for (int i = 0; i < 500; i++) {
		ck_assert_int_eq(try_recv(), -EAGAIN); /* that was all */
		ck_assert_int_eq(loop_park(&loop, ends[0], &thing), LOOP_PARKED);
		say(ends[1], "request");
		expect_ready(&thing);
		if (i % 2) {
			run_on_fiber(expect_fiber, (void *)(uintptr_t) "request");
			continue;
		}
		close_ends(); /* unread */
		pair(ends);
	}
	ck_assert_uint_eq(loop.stats.buffers_short, 0);
	close_ends();
	close_loop();
}
END_TEST

static void await(void *arg)
{
	expect(*(int *)arg, "go");
}

START_TEST(fibers_short)
{
	int fds[3][2];

	options.fibers = 2;
	open_loop(_i);
	for (int i = 0; i < 3; i++)
		pair(fds[i]);
	spawn(await, &fds[0][0]);
	spawn(await, &fds[1][0]);
	struct start s = {await, &fds[2][0]};
	ck_assert(!loop_start(&loop, fiber, &s));
	look();
	ck_assert(!loop_start(&loop, fiber, &s));
	say(fds[1][1], "go");
	while (running > 1)
		loop_turn(&loop, CLOCK_NEVER);
	spawn(await, &fds[2][0]);
	ck_assert(!loop_start(&loop, fiber, &s));
	say(fds[0][1], "go");
	say(fds[2][1], "go");
	finish();
	for (int i = 0; i < 3; i++) {
		io_close(io, fds[i][0]);
		close(fds[i][1]);
	}
	look();
	close_loop();
}
END_TEST

/* ---- the rest ---- */

START_TEST(chooses)
{
	const char *why = "";

	ck_assert_int_eq(loop_choose(LOOP_EPOLL, &why), LOOP_EPOLL);
	ck_assert_ptr_null(why);
	enum loop_driver_kind kind = loop_choose(LOOP_AUTO, &why);
	ck_assert(kind == LOOP_URING || kind == LOOP_EPOLL);
	ck_assert((kind == LOOP_URING) == (why == NULL));
	ck_assert_str_eq(loop_driver_name(LOOP_AUTO), "auto");
	options.driver = LOOP_AUTO;
	ck_assert_int_eq(loop_open(&loop, &options), ENOSYS);
}
END_TEST

/* A turn with nothing to do ends at its time; with a past one at once. */
START_TEST(turns)
{
	open_loop(_i);
	int64_t deadline = SOON;
	while (clock_now() < deadline)
		loop_turn(&loop, deadline);
	loop_turn(&loop, deadline);
	loop_turn(&loop, 0);
	loop_turn(&loop, IO_NOW);
	close_loop();
}
END_TEST

static void yield_once(void *arg)
{
	(void)arg;
	yield();
}

/* Stacks that were not needed for a while are given back, a few but. */
START_TEST(trims)
{
	enum { STACKS = 24, KEPT = 16 };

	open_loop(_i);
	for (int i = 0; i < STACKS; i++)
		spawn(yield_once, NULL);
	finish();
	ck_assert_uint_eq(loop.fibers.made, STACKS);
	for (int i = 0; i < 2; i++) { /* they were needed before the first time */
		loop.trim_at = clock_now();
		loop_turn(&loop, 0);
	}
	ck_assert_uint_eq(loop.fibers.made, KEPT);
	ck_assert_int_gt(loop.trim_at, clock_now());
	close_loop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/loop");
	TCase *tc = tcase_create("loop");
	const char *why;
	/* "epoll": Valgrind does not see what io_uring writes. */
	const char *only = getenv("TPLB_TEST_ENGINE");
	int count = loop_choose(LOOP_AUTO, &why) == LOOP_URING ? 2 : 1;

	if (why)
		printf("io_uring is not tested: %s\n", why);
	if (only && strcmp(only, "epoll") == 0)
		count = 1;
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, receives, 0, count);
	tcase_add_loop_test(tc, bytes_and_end, 0, count);
	tcase_add_loop_test(tc, resets, 0, count);
	tcase_add_loop_test(tc, receives_buf, 0, count);
	tcase_add_loop_test(tc, odd_buffers, 0, count);
	tcase_add_loop_test(tc, sends_all, 0, count);
	tcase_add_loop_test(tc, full, 0, count);
	tcase_add_loop_test(tc, late, 0, count);
	tcase_add_loop_test(tc, last_moment, 0, count);
	tcase_add_loop_test(tc, sleeps, 0, count);
	tcase_add_loop_test(tc, waits, 0, count);
	tcase_add_loop_test(tc, both_ways, 0, count);
	tcase_add_loop_test(tc, wait_now, 0, count);
	tcase_add_loop_test(tc, yields, 0, count);
	tcase_add_loop_test(tc, connects, 0, count);
	tcase_add_loop_test(tc, connect_late, 0, count);
	tcase_add_loop_test(tc, connect_unix, 0, count);
	tcase_add_loop_test(tc, rests, 0, count);
	tcase_add_loop_test(tc, disturbed, 0, count);
	tcase_add_loop_test(tc, forgets, 0, count);
	tcase_add_loop_test(tc, closes, 0, count);
	tcase_add_loop_test(tc, late_event, 0, count);
	tcase_add_loop_test(tc, parks, 0, count);
	tcase_add_loop_test(tc, parks_readable, 0, count);
	tcase_add_loop_test(tc, parks_late, 0, count);
	tcase_add_loop_test(tc, calls, 0, count);
	tcase_add_loop_test(tc, sends_file, 0, count);
	tcase_add_loop_test(tc, sends_file_racing, 0, count);
	tcase_add_loop_test(tc, splices, 0, count);
	tcase_add_loop_test(tc, listens, 0, count);
	tcase_add_loop_test(tc, listens_again, 0, count);
	tcase_add_loop_test(tc, tiny_ring, 0, count);
	tcase_add_loop_test(tc, buffers_short, 0, count);
	tcase_add_loop_test(tc, buffers_come_back, 0, count);
	tcase_add_loop_test(tc, fibers_short, 0, count);
	tcase_add_loop_test(tc, turns, 0, count);
	tcase_add_loop_test(tc, trims, 0, count);
	tcase_add_test(tc, chooses);
	tc = tcase_create("messages"); /* planted-race.sh runs these alone */
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, posts, 0, count);
	tcase_add_loop_test(tc, wakes, 0, count);
	tcase_add_loop_test(tc, posts_after_end, 0, count);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
