/* Two flows at once: no deadlock, alerts, timeouts, half-closes. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/io_blocking.h"
#include "wire/pump.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define SHORT (40 * CLOCK_NS_PER_MS)
#define COARSE (20 * CLOCK_NS_PER_MS) /* more than clock_coarse is behind */

enum { BIG = 4 * 1024 * 1024, CAP = 16384 };

/* client[0] -- client[1] [up, down] server[0] -- server[1] */
struct rig {
	int client[2], server[2];
	struct buf *bufs[2];
	struct flow up, down;
};

static struct io_blocking driver;
static struct rig rig;

static void setup(void)
{
	struct http_framing opaque = {.kind = BODY_CLOSE};

	io_blocking_init(&driver);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, rig.client) == 0);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, rig.server) == 0);
	rig.bufs[0] = buf_new(CAP);
	rig.bufs[1] = buf_new(CAP);
	flow_init(&rig.up, rig.client[1], rig.server[0], rig.bufs[0], opaque, 0);
	flow_init(&rig.down, rig.server[0], rig.client[1], rig.bufs[1], opaque, 0);
}

static void teardown(void)
{
	for (int i = 0; i < 2; i++) {
		close(rig.client[i]);
		close(rig.server[i]);
		free(rig.bufs[i]);
	}
}

static char byte_at(size_t at)
{
	return (char)(at * 2654435761u >> 13);
}

static void *send_big(void *arg)
{
	int fd = *(int *)arg;
	struct io_blocking own;
	char bytes[30011];

	io_blocking_init(&own);
	for (size_t at = 0; at < BIG;) {
		size_t n = BIG - at < sizeof(bytes) ? BIG - at : sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_at(at + i);
		HOLDS(io_send_str(&own.io, fd, (struct str){bytes, n}, 0) == 0);
		at += n;
	}
	HOLDS(shutdown(fd, SHUT_WR) == 0);
	return NULL;
}

static void *receive_big(void *arg)
{
	int fd = *(int *)arg;
	struct io_blocking own;
	char bytes[20011];
	size_t sum = 0;
	ssize_t n;

	io_blocking_init(&own);
	while ((n = io_recv(&own.io, fd, bytes, sizeof(bytes), CLOCK_NEVER)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			HOLDS(bytes[i] == byte_at(sum + (size_t)i));
		sum += (size_t)n;
	}
	HOLDS(n == 0 && sum == BIG);
	return NULL;
}

/* Each side sends far more than all buffers hold before it must be read. */
START_TEST(both_ways)
{
	void *(*roles[4])(void *) = {send_big, receive_big, send_big, receive_big};
	int *fds[4] = {&rig.client[0], &rig.client[0], &rig.server[1], &rig.server[1]};
	pthread_t threads[4];

	rig.up.shut = rig.down.shut = true;
	for (int i = 0; i < 4; i++)
		PTHREAD_OK(pthread_create(&threads[i], NULL, roles[i], fds[i]));
	enum pump_end first = pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0});
	ck_assert_int_eq(first == PUMP_FIRST ? rig.up.state : rig.down.state, FLOW_DONE);
	/* The other, with the one that is over beside it. */
	if ((first == PUMP_FIRST ? rig.down.state : rig.up.state) == FLOW_OPEN)
		ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}),
		        first == PUMP_FIRST ? PUMP_SECOND : PUMP_FIRST);
	for (int i = 0; i < 4; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	ck_assert_int_eq(rig.up.state, FLOW_DONE);
	ck_assert_int_eq(rig.down.state, FLOW_DONE);
	ck_assert_uint_eq(rig.up.sent, BIG);
	ck_assert_uint_eq(rig.down.sent, BIG);
}
END_TEST

/* The server answers and ends without reading the request that still comes: the client gets the answer. */
START_TEST(early_answer)
{
	pthread_t answer, reader;

	rig.down.shut = true;
	while (send(rig.client[0], rig.bufs[0]->data, CAP, 0) > 0)
		;
	PTHREAD_OK(pthread_create(&answer, NULL, send_big, &rig.server[1]));
	PTHREAD_OK(pthread_create(&reader, NULL, receive_big, &rig.client[0]));
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}), PUMP_SECOND);
	ck_assert_int_eq(rig.down.state, FLOW_DONE);
	ck_assert_int_eq(rig.up.state, FLOW_OPEN);
	PTHREAD_OK(pthread_join(answer, NULL));
	PTHREAD_OK(pthread_join(reader, NULL));
}
END_TEST

START_TEST(one_flow)
{
	char bytes[10];

	HOLDS(send(rig.client[0], "abc", 3, 0) == 3);
	shutdown(rig.client[0], SHUT_WR);
	if (_i == 0)
		ck_assert_int_eq(
		        pump_run(&driver.io, &rig.up, NULL, -1, (struct patience){0, 0}), PUMP_FIRST);
	else
		ck_assert_int_eq(
		        pump_run(&driver.io, NULL, &rig.up, -1, (struct patience){0, 0}), PUMP_SECOND);
	ck_assert_int_eq(rig.up.state, FLOW_DONE);
	ck_assert_int_eq(recv(rig.server[1], bytes, sizeof(bytes), 0), 3);
}
END_TEST

START_TEST(alert)
{
	int fds[2];
	char bytes[10];

	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	HOLDS(send(fds[1], "!", 1, 0) == 1);
	HOLDS(send(rig.client[0], "abc", 3, 0) == 3);
	ck_assert_int_eq(
	        pump_run(&driver.io, &rig.up, &rig.down, fds[0], (struct patience){0, 0}), PUMP_ALERT);
	ck_assert_int_eq(rig.up.state, FLOW_OPEN);
	ck_assert_int_eq(rig.down.state, FLOW_OPEN);
	/* What could be moved was moved, and it goes on where it was. */
	ck_assert_int_eq(recv(rig.server[1], bytes, sizeof(bytes), 0), 3);
	HOLDS(recv(fds[0], bytes, sizeof(bytes), 0) == 1);
	shutdown(rig.client[0], SHUT_WR);
	ck_assert_int_eq(
	        pump_run(&driver.io, &rig.up, &rig.down, fds[0], (struct patience){0, 0}), PUMP_FIRST);
	ck_assert_int_eq(rig.up.state, FLOW_DONE);
	/* No flow at all, or only one that is over. */
	HOLDS(send(fds[1], "!", 1, 0) == 1);
	ck_assert_int_eq(pump_run(&driver.io, NULL, NULL, fds[0], (struct patience){0, 0}), PUMP_ALERT);
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, NULL, fds[0], (struct patience){0, 0}), PUMP_ALERT);
	close(fds[1]);
	HOLDS(recv(fds[0], bytes, sizeof(bytes), 0) == 1);
	ck_assert_int_eq(pump_run(&driver.io, &rig.down, NULL, fds[0], (struct patience){0, 0}),
	        PUMP_ALERT); /* its end, too */
	close(fds[0]);
}
END_TEST

START_TEST(silent_source)
{
	int64_t began = clock_now();

	rig.up.source_timeout = SHORT;
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}), PUMP_FIRST);
	ck_assert_int_eq(rig.up.state, FLOW_SOURCE_SILENT);
	ck_assert_int_eq(rig.down.state, FLOW_OPEN);
	ck_assert_int_ge(clock_now() - began, SHORT - COARSE);
}
END_TEST

START_TEST(stuck_sink)
{
	pthread_t sender;

	rig.down.sink_timeout = SHORT; /* the client does not read */
	PTHREAD_OK(pthread_create(&sender, NULL, send_big, &rig.server[1]));
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}), PUMP_SECOND);
	ck_assert_int_eq(rig.down.state, FLOW_SINK_STUCK);
	ck_assert_int_eq(rig.up.state, FLOW_OPEN);
	/* Let the sender go. */
	rig.down.state = FLOW_OPEN;
	rig.down.sink_timeout = 0;
	pthread_t reader;
	PTHREAD_OK(pthread_create(&reader, NULL, receive_big, &rig.client[0]));
	rig.down.shut = true;
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}), PUMP_SECOND);
	ck_assert_int_eq(rig.down.state, FLOW_DONE);
	PTHREAD_OK(pthread_join(sender, NULL));
	PTHREAD_OK(pthread_join(reader, NULL));
}
END_TEST

/* The blocking driver with a wait of our own: it notes the deadline, lets time pass, sends a byte down. */
static struct io_ops watched;
static int64_t waits[3];
static int wait_count;

static int watch_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	(void)io;
	waits[wait_count++] = deadline;
	if (wait_count == 3)
		shutdown(rig.client[0], SHUT_WR);
	usleep(30000);
	HOLDS(send(rig.server[1], "x", 1, 0) == 1);
	return poll(set, n, 0);
}

/* One way's progress restarts the other's time: a long download is not cut for the client's silence. */
START_TEST(progress_is_shared)
{
	watched = *driver.io.ops;
	watched.wait = watch_wait;
	driver.io.ops = &watched;
	rig.up.source_timeout = rig.down.source_timeout = 100 * CLOCK_NS_PER_S;
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}), PUMP_FIRST);
	ck_assert_int_eq(rig.up.state, FLOW_DONE);
	ck_assert_int_eq(wait_count, 3);
	ck_assert_int_ge(waits[1], waits[0] + COARSE);
	ck_assert_int_ge(waits[2], waits[1] + COARSE);
}
END_TEST

/* The client's bytes never end, and the server takes them all: what comes down has its turn nevertheless. */
static ssize_t (*real_recv)(struct io *io, int fd, void *to, size_t room, int64_t deadline);
static ssize_t (*real_send)(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline);

static ssize_t flood_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	return fd == rig.client[1] ? (ssize_t)room : real_recv(io, fd, to, room, deadline);
}

static ssize_t flood_send(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	return fd == rig.server[0] ? (ssize_t)parts[0].iov_len : real_send(io, fd, parts, count, deadline);
}

START_TEST(takes_turns)
{
	char bytes[10];

	watched = *driver.io.ops;
	real_recv = watched.recv;
	real_send = watched.send;
	watched.recv = flood_recv;
	watched.send = flood_send;
	driver.io.ops = &watched;
	memset(rig.bufs[0]->data, 'x', CAP);
	HOLDS(send(rig.server[1], "abc", 3, 0) == 3);
	shutdown(rig.server[1], SHUT_WR);
	ck_assert_int_eq(pump_run(&driver.io, &rig.up, &rig.down, -1, (struct patience){0, 0}), PUMP_SECOND);
	ck_assert_int_eq(rig.down.state, FLOW_DONE);
	ck_assert_int_eq(recv(rig.client[0], bytes, sizeof(bytes), 0), 3);
}
END_TEST

static void *drip(void *arg)
{
	struct io_blocking own;

	io_blocking_init(&own);
	/* As long as somebody takes it: until the other end is shut down. */
	while (send(*(int *)arg, "x", 1, MSG_NOSIGNAL) == 1)
		io_sleep(&own.io, clock_now() + 2 * CLOCK_NS_PER_MS);
	return NULL;
}

/* Waits for one byte after the other add up, though none of them is long: of the client to the patience, of the server to four times that. */
START_TEST(short_waits_add_up)
{
	int *fds[2] = {&rig.client[0], &rig.server[1]};
	pthread_t thread;
	int64_t began = clock_now();

	PTHREAD_OK(pthread_create(&thread, NULL, drip, fds[_i]));
	ck_assert_int_eq(pump_run(&driver.io, _i == 0 ? &rig.up : NULL, &rig.down, -1,
	                         (struct patience){SHORT, SHORT}),
	        PUMP_STALLED);
	int64_t took = clock_now() - began;
	shutdown(rig.client[1], SHUT_RDWR);
	shutdown(rig.server[0], SHUT_RDWR);
	PTHREAD_OK(pthread_join(thread, NULL));
	ck_assert_int_ge(took, _i == 0 ? SHORT : 4 * SHORT);
	ck_assert_uint_gt(rig.up.received + rig.down.received, 0);
}
END_TEST

/* Enough that moves makes up for what it was waited for. */
START_TEST(bulk_is_no_stall)
{
	pthread_t sender, reader;

	rig.up.shut = true;
	PTHREAD_OK(pthread_create(&sender, NULL, send_big, &rig.client[0]));
	PTHREAD_OK(pthread_create(&reader, NULL, receive_big, &rig.server[1]));
	ck_assert_int_eq(
	        pump_run(&driver.io, &rig.up, NULL, -1, (struct patience){CLOCK_NS_PER_S, CLOCK_NS_PER_S}),
	        PUMP_FIRST);
	ck_assert_int_eq(rig.up.state, FLOW_DONE);
	PTHREAD_OK(pthread_join(sender, NULL));
	PTHREAD_OK(pthread_join(reader, NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire/pump");
	TCase *tc = tcase_create("pump");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, both_ways);
	tcase_add_test(tc, early_answer);
	tcase_add_loop_test(tc, one_flow, 0, 2);
	tcase_add_test(tc, alert);
	tcase_add_test(tc, silent_source);
	tcase_add_test(tc, stuck_sink);
	tcase_add_test(tc, progress_is_shared);
	tcase_add_test(tc, takes_turns);
	tcase_add_loop_test(tc, short_waits_add_up, 0, 2);
	tcase_add_test(tc, bulk_is_no_stall);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
