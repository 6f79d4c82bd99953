/* The I/O contract as the blocking driver keeps it: deadlines, partial transfers, files, hooks, signals. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/io_blocking.h"
#include "net/sock.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define SHORT (30 * CLOCK_NS_PER_MS)
#define LONG (60 * CLOCK_NS_PER_S)

enum { BIG = 3 * 1024 * 1024 };

static struct io_blocking driver;
static struct io *io = &driver.io;

/* The hook: each sleep has its wake-up. */
static int asleep, sleeps;

static void hook(void *arg, int now_asleep)
{
	HOLDS(arg == &sleeps);
	HOLDS(asleep != now_asleep);
	asleep = now_asleep;
	sleeps += now_asleep;
}

static void setup(void)
{
	io_blocking_init(&driver);
	driver.sleeping = hook;
	driver.arg = &sleeps;
	asleep = sleeps = 0;
}

static void teardown(void)
{
	ck_assert_int_eq(asleep, 0);
}

static void pair(int fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void close_both(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

static char big_byte(size_t at)
{
	return (char)(at * 2654435761u >> 13);
}

static char *big_bytes(void)
{
	char *bytes = malloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		bytes[i] = big_byte(i);
	return bytes;
}

/* Fills the socket until it takes no more. */
static size_t fill(int fd)
{
	char bytes[4096] = {0};
	size_t sum = 0;
	ssize_t n;

	while ((n = send(fd, bytes, sizeof(bytes), 0)) > 0)
		sum += (size_t)n;
	ck_assert_int_eq(errno, EAGAIN);
	return sum;
}

START_TEST(now)
{
	int fds[2];
	char byte;
	struct pollfd one;

	pair(fds);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, IO_NOW), -EAGAIN);
	ck_assert_int_eq(io_send(io, fds[1], STR("ab"), IO_NOW), 2);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, IO_NOW), 1);
	ck_assert_int_eq(byte, 'a');
	one = (struct pollfd){.fd = fds[0], .events = POLLIN};
	ck_assert_int_eq(sleeps, 0);
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), 1);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, IO_NOW), 1);
	ck_assert_int_eq(io_wait(io, &one, 1, IO_NOW), -ETIMEDOUT);
	fill(fds[1]);
	ck_assert_int_eq(io_send(io, fds[1], STR("ab"), IO_NOW), -EAGAIN);
	close(fds[1]);
	close(fds[0]);
}
END_TEST

START_TEST(ends)
{
	int fds[2];
	char byte;

	pair(fds);
	close(fds[1]);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, IO_NOW), 0);
	ck_assert_int_eq(io_send(io, fds[0], STR("x"), IO_NOW), -EPIPE); /* and no SIGPIPE */
	struct iovec parts[2] = {{(void *)(uintptr_t) "x", 1}, {(void *)(uintptr_t) "y", 1}};
	ck_assert_int_eq(io_sendv(io, fds[0], parts, 2, CLOCK_NEVER), -EPIPE);
	ck_assert_int_eq(io_send_str(io, fds[0], STR("x"), LONG), -EPIPE);
	close(fds[0]);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, CLOCK_NEVER), -EBADF);
	ck_assert_int_eq(sleeps, 0);
}
END_TEST

/* What each call says when its time is over, and that it does not say so earlier. */
START_TEST(times_out)
{
	int fds[2];
	char byte;
	struct pollfd two[2];

	pair(fds);
	int64_t deadline = clock_now() + SHORT;
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	ck_assert_int_eq(sleeps, 1);
	deadline = clock_now() + SHORT + 123;
	two[0] = (struct pollfd){.fd = fds[0], .events = POLLIN};
	two[1] = (struct pollfd){.fd = fds[1], .events = POLLIN};
	ck_assert_int_eq(io_wait(io, two, 2, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = clock_now() + SHORT;
	io_sleep(io, deadline);
	ck_assert_int_ge(clock_now(), deadline);
	fill(fds[1]);
	deadline = clock_now() + SHORT;
	ck_assert_int_eq(io_send(io, fds[1], STR("x"), deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	deadline = clock_now() + SHORT;
	ck_assert_int_eq(io_send_str(io, fds[1], STR("x"), SHORT), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	ck_assert_int_eq(sleeps, 5);
	/* One that has passed already: tried, not waited for. */
	ck_assert_int_eq(io_recv(io, fds[1], &byte, 1, clock_now() - 1), -ETIMEDOUT);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, clock_now() - 1), 1);
	close_both(fds);
}
END_TEST

struct late {
	int fd;
	pthread_t thread;
};

static void *send_late(void *arg)
{
	struct late *l = arg;

	usleep(20000);
	HOLDS(send(l->fd, "z", 1, 0) == 1);
	return NULL;
}

START_TEST(waits)
{
	int fds[2];
	char byte;

	pair(fds);
	struct late late = {.fd = fds[1]};
	PTHREAD_OK(pthread_create(&late.thread, NULL, send_late, &late));
	int64_t deadline = _i ? CLOCK_NEVER : clock_now() + LONG;
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, deadline), 1);
	ck_assert_int_eq(byte, 'z');
	PTHREAD_OK(pthread_join(late.thread, NULL));
	struct pollfd set[3] = {
	        {.fd = -1}, {.fd = fds[0], .events = POLLIN}, {.fd = fds[0], .events = POLLOUT}};
	ck_assert_int_eq(io_wait(io, set, 3, deadline), 1);
	ck_assert_int_eq(set[0].revents, 0);
	ck_assert_int_eq(set[1].revents, 0);
	ck_assert_int_eq(set[2].revents, POLLOUT);
	close_both(fds);
}
END_TEST

START_TEST(connects)
{
	struct addr at, peer;
	const char *why;
	char byte;

	ck_assert(addr_parse("127.0.0.1:0", true, &at, &why));
	int listener = sock_listen(&at, 4);
	ck_assert_int_eq(getsockname(listener, &at.u.any, &at.len), 0);
	int client = io_connect(io, &at, clock_now() + LONG);
	ck_assert_int_ge(client, 0);
	struct pollfd one = {.fd = listener, .events = POLLIN};
	ck_assert_int_eq(io_wait(io, &one, 1, clock_now() + LONG), 1);
	int server = sock_accept(listener, &peer);
	ck_assert_int_eq(io_send_str(io, client, STR("q"), LONG), 0);
	ck_assert_int_eq(io_recv(io, server, &byte, 1, clock_now() + LONG), 1);
	close(client);
	close(server);
	close(listener);
	ck_assert_int_eq(io_connect(io, &at, clock_now() + LONG), -ECONNREFUSED);
}
END_TEST

/* A backlog that is full leaves connects unanswered. */
START_TEST(connect_times_out)
{
	struct addr at;
	const char *why;
	int fds[16], n = 0;

	ck_assert(addr_parse("127.0.0.1:0", true, &at, &why));
	int listener = sock_listen(&at, 0);
	ck_assert_int_eq(getsockname(listener, &at.u.any, &at.len), 0);
	int64_t deadline;
	do {
		deadline = clock_now() + 5 * SHORT;
		fds[n] = io_connect(io, &at, deadline);
	} while (fds[n] >= 0 && ++n < 16);
	ck_assert_int_lt(n, 16);
	ck_assert_int_eq(fds[n], -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	ck_assert_int_eq(io_connect(io, &at, IO_NOW), -EAGAIN);
	while (n > 0)
		close(fds[--n]);
	close(listener);
}
END_TEST

/* ---- all of it ---- */

struct reader {
	int fd;
	size_t until; /* then it stops and closes */
	pthread_t thread;
};

static void *read_slowly(void *arg)
{
	struct reader *r = arg;
	struct io_blocking own;
	char bytes[7001];
	size_t sum = 0;

	io_blocking_init(&own);
	while (sum < r->until) {
		ssize_t n = io_recv(&own.io, r->fd, bytes, sizeof(bytes), CLOCK_NEVER);

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			HOLDS(bytes[i] == big_byte(sum + (size_t)i));
		sum += (size_t)n;
	}
	close(r->fd);
	return (void *)sum;
}

static void start_reader(struct reader *r, int fd, size_t until)
{
	*r = (struct reader){.fd = fd, .until = until};
	PTHREAD_OK(pthread_create(&r->thread, NULL, read_slowly, r));
}

static size_t join_reader(struct reader *r)
{
	void *sum;

	PTHREAD_OK(pthread_join(r->thread, &sum));
	return (size_t)sum;
}

START_TEST(sends_all)
{
	char *bytes = big_bytes();
	struct iovec parts[6];
	struct reader r;
	int fds[2];

	pair(fds);
	/* Empty parts at both ends and between. */
	parts[0] = (struct iovec){bytes, 0};
	parts[1] = (struct iovec){bytes, 1};
	parts[2] = (struct iovec){bytes + 1, 0};
	parts[3] = (struct iovec){bytes + 1, BIG / 2};
	parts[4] = (struct iovec){bytes + 1 + BIG / 2, BIG - BIG / 2 - 1};
	parts[5] = (struct iovec){bytes, 0};
	start_reader(&r, fds[1], SIZE_MAX);
	ck_assert_int_eq(io_send_all(io, fds[0], parts, 6, LONG), 0);
	close(fds[0]);
	ck_assert_uint_eq(join_reader(&r), BIG);
	ck_assert_int_eq(io_send_all(io, -1, NULL, 0, LONG), 0);
	ck_assert_int_eq(io_send_str(io, -1, STR(""), LONG), 0);
	free(bytes);
}
END_TEST

START_TEST(reader_leaves)
{
	char *bytes = big_bytes();
	struct reader r;
	int fds[2];

	pair(fds);
	start_reader(&r, fds[1], 500000);
	int error = io_send_str(io, fds[0], (struct str){bytes, BIG}, LONG);
	ck_assert(error == -EPIPE || error == -ECONNRESET);
	join_reader(&r);
	close(fds[0]);
	free(bytes);
}
END_TEST

static int big_file(void)
{
	char name[] = "/tmp/tplb-net-io-XXXXXX";
	char *bytes = big_bytes();
	int file = mkstemp(name);

	ck_assert_int_ge(file, 0);
	unlink(name);
	ck_assert_int_eq(write(file, bytes, BIG), BIG);
	free(bytes);
	return file;
}

START_TEST(sends_file)
{
	int file = big_file(), fds[2];
	struct reader r;
	off_t offset = 0;

	pair(fds);
	start_reader(&r, fds[1], SIZE_MAX);
	ck_assert_int_eq(io_send_file(io, fds[0], file, &offset, 0, LONG), 0);
	ck_assert_int_eq(io_send_file(io, fds[0], file, &offset, 1000, LONG), 0);
	ck_assert_int_eq(offset, 1000);
	ck_assert_int_eq(io_send_file(io, fds[0], file, &offset, BIG - 1000, LONG), 0);
	ck_assert_int_eq(offset, BIG);
	close(fds[0]);
	ck_assert_uint_eq(join_reader(&r), BIG);
	close(file);
}
END_TEST

START_TEST(file_got_shorter)
{
	int file = big_file(), fds[2];
	struct reader r;
	off_t offset = 0;

	pair(fds);
	ck_assert_int_eq(ftruncate(file, 12345), 0);
	start_reader(&r, fds[1], SIZE_MAX);
	ck_assert_int_eq(io_send_file(io, fds[0], file, &offset, BIG, LONG), -EIO);
	ck_assert_int_eq(offset, 12345);
	close(fds[0]);
	ck_assert_uint_eq(join_reader(&r), 12345);
	close(file);
}
END_TEST

START_TEST(file_to_nobody)
{
	int file = big_file(), fds[2];
	off_t offset = 0;

	pair(fds);
	int64_t deadline = clock_now() + SHORT;
	ck_assert_int_eq(io_send_file(io, fds[0], file, &offset, BIG, SHORT), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	ck_assert_int_gt(offset, 0);
	ck_assert_int_lt(offset, BIG);
	close_both(fds);
	close(file);
}
END_TEST

START_TEST(file_to_the_gone)
{
	int file = big_file(), fds[2];
	off_t offset = 0;

	signal(SIGPIPE, SIG_IGN);
	pair(fds);
	close(fds[1]);
	ck_assert_int_eq(io_send_file(io, fds[0], file, &offset, BIG, LONG), -EPIPE);
	ck_assert_int_eq(offset, 0);
	close(fds[0]);
	close(file);
}
END_TEST

/* ---- signals ---- */

static _Atomic int signals;

static void on_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals, 1);
}

struct pest {
	pthread_t victim, thread;
	_Atomic bool stop;
	int fd; /* in the end a byte comes here; -1: no */
};

static void *pester(void *arg)
{
	struct pest *p = arg;

	for (int i = 0; i < 20 && !atomic_load(&p->stop); i++) {
		pthread_kill(p->victim, SIGUSR1);
		usleep(1000);
	}
	if (p->fd >= 0)
		HOLDS(send(p->fd, "s", 1, 0) == 1);
	return NULL;
}

static void start_pest(struct pest *p, int fd)
{
	struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */

	sigaction(SIGUSR1, &action, NULL);
	*p = (struct pest){.victim = pthread_self(), .fd = fd};
	PTHREAD_OK(pthread_create(&p->thread, NULL, pester, p));
}

/* A signal neither ends a wait nor makes it longer. */
START_TEST(interrupted)
{
	struct pest p;
	int fds[2];
	char byte;

	pair(fds);
	struct pollfd one = {.fd = fds[0], .events = POLLIN};
	start_pest(&p, fds[1]);
	ck_assert_int_eq(io_wait(io, &one, 1, CLOCK_NEVER), 1);
	PTHREAD_OK(pthread_join(p.thread, NULL));
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, IO_NOW), 1);
	start_pest(&p, fds[1]);
	ck_assert_int_eq(io_recv(io, fds[0], &byte, 1, clock_now() + LONG), 1);
	PTHREAD_OK(pthread_join(p.thread, NULL));
	start_pest(&p, -1);
	int64_t deadline = clock_now() + SHORT;
	ck_assert_int_eq(io_wait(io, &one, 1, deadline), -ETIMEDOUT);
	ck_assert_int_ge(clock_now(), deadline);
	PTHREAD_OK(pthread_join(p.thread, NULL));
	ck_assert_int_gt(atomic_load(&signals), 0);
	close_both(fds);
}
END_TEST

/* There is no loop that would have woken, whatever was in its place before: the clock tells. */
START_TEST(woke)
{
	struct io_blocking other;

	memset(&other, 0x7f, sizeof(other));
	io_blocking_init(&other);
	int64_t before = clock_now(), at = io_woke(&other.io);
	ck_assert_int_ge(at, before);
	ck_assert_int_le(at, clock_now());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/io");
	TCase *tc = tcase_create("io");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, now);
	tcase_add_test(tc, ends);
	tcase_add_test(tc, times_out);
	tcase_add_loop_test(tc, waits, 0, 2);
	tcase_add_test(tc, connects);
	tcase_add_test(tc, connect_times_out);
	tcase_add_test(tc, sends_all);
	tcase_add_test(tc, reader_leaves);
	tcase_add_test(tc, sends_file);
	tcase_add_test(tc, file_got_shorter);
	tcase_add_test(tc, file_to_nobody);
	tcase_add_test(tc, file_to_the_gone);
	tcase_add_test(tc, interrupted);
	tcase_add_test(tc, woke);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
