/*
 * What the kernel refuses: no descriptors, no memory, no threads, a ring that it forbids or does not know. Each is told to the caller as what
 * it is, and nothing of what was had before stays behind: descriptors and mappings are as they were.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/helpers.h"
#include "net/io_blocking.h"
#include "net/loop.h"
#include "net/sock.h"
#include "denied_call.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { NOBODY = 65534, BUFFER = 4096, FEW = 64 };

#define LATER (clock_now() + 60 * CLOCK_NS_PER_S)

static const enum loop_driver_kind drivers[] = {LOOP_EPOLL, LOOP_URING};

static char folder[] = "/tmp/tplb-net-denied-XXXXXX";

/* ---- what the process holds ---- */

static unsigned open_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	unsigned count = 0;

	HOLDS(all != NULL);
	while (readdir(all))
		count++;
	closedir(all);
	return count;
}

static unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned count = 0;

	HOLDS(f != NULL);
	for (int c; (c = fgetc(f)) != EOF;)
		count += c == '\n';
	fclose(f);
	return count;
}

static struct addr parsed(const char *text)
{
	struct addr a;
	const char *why;

	HOLDS(addr_parse(text, true, &a, &why));
	return a;
}

static struct addr unix_addr(const char *name)
{
	char text[80];

	snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
	return parsed(text);
}

/* ---- sockets ---- */

START_TEST(no_descriptors)
{
	struct addr at = parsed("127.0.0.1:0"), at_file = unix_addr("none");
	struct stat st;
	bool pending;

	if (!may_deny())
		return;
	deny(SYS_socket, EMFILE);
	ck_assert_int_eq(sock_listen(&at, 1), -EMFILE);
	ck_assert_int_eq(sock_listen_private(&at_file, 1, geteuid(), getegid()), -EMFILE);
	ck_assert_int_eq(stat(at_file.u.un.sun_path, &st), -1);
	ck_assert_int_eq(sock_connect_start(&at, &pending), -EMFILE);
	ck_assert_int_eq(sock_connect_waiting(&at, CLOCK_NS_PER_S), -EMFILE);
}
END_TEST

/* A socket that cannot be had under its right owner is not had at all. */
START_TEST(private_not_given)
{
	static const long calls[] = {SYS_openat, SYS_fchownat};
	struct addr at = unix_addr("private");
	unsigned before = open_descriptors();
	struct stat st;

	if (!may_deny())
		return;
	deny(calls[_i], EACCES);
	ck_assert_int_eq(sock_listen_private(&at, 1, geteuid() + 1, getegid()), -EACCES);
	ck_assert_int_eq(stat(at.u.un.sun_path, &st), -1);
	if (calls[_i] != SYS_openat)
		ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(connect_waiting)
{
	struct addr at = unix_addr("waiting");
	int clients[8], listener = sock_listen(&at, 1);
	bool pending;

	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(sock_connect_waiting(&at, -1), -ETIMEDOUT);
	int fd = sock_connect_waiting(&at, 0); /* no limit, and none is needed */
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	close(fd);
	for (int i = 0; i < 8; i++)
		clients[i] = sock_connect_start(&at, &pending);
	ck_assert_int_eq(clients[7], -EAGAIN);
	unsigned before = open_descriptors();
	ck_assert_int_eq(sock_connect_waiting(&at, 1),
	        -ETIMEDOUT); /* a limit below what the kernel counts in is one still */
	ck_assert_uint_eq(open_descriptors(), before);
	for (int i = 0; i < 8; i++)
		if (clients[i] >= 0)
			close(clients[i]);
	close(listener);
	unlink(at.u.un.sun_path);
	ck_assert_int_eq(sock_error(-1), -EBADF);
}
END_TEST

/* Without the right to it the limit goes up to where it may. */
START_TEST(limit_is_hard)
{
	struct rlimit low = {.rlim_cur = FEW, .rlim_max = 2 * FEW};

	HOLDS(setrlimit(RLIMIT_NOFILE, &low) == 0);
	if (geteuid() == 0)
		HOLDS(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	ck_assert_uint_eq(sock_raise_limit(3 * FEW), 2 * FEW);
	ck_assert_uint_eq(sock_raise_limit(0), 2 * FEW);
}
END_TEST

/* ---- the blocking driver ---- */

static int asleep, sleeps;

static void hook(void *arg, int now_asleep)
{
	HOLDS(arg == &sleeps && asleep != now_asleep);
	asleep = now_asleep;
	sleeps += now_asleep;
}

/* poll(2) itself has no memory: told as such, after the hook was told that the sleep is over. */
START_TEST(no_poll)
{
	struct io_blocking driver;
	struct pollfd one = {.events = POLLIN};
	int fds[2];
	char byte;

	if (!may_deny())
		return;
	io_blocking_init(&driver);
	driver.sleeping = hook;
	driver.arg = &sleeps;
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	one.fd = fds[0];
#ifdef SYS_poll
	deny(SYS_poll, ENOMEM);
#endif
	deny(SYS_ppoll, ENOMEM);
	ck_assert_int_eq(io_wait(&driver.io, &one, 1, LATER), -ENOMEM);
	ck_assert_int_eq(io_recv(&driver.io, fds[0], &byte, 1, LATER), -ENOMEM);
	ck_assert_int_eq(sleeps, 2);
	ck_assert_int_eq(asleep, 0);
	ck_assert_int_eq(io_recv(&driver.io, -1, &byte, 1, LATER), -EBADF);
	ck_assert_int_eq(io_send_str(&driver.io, -1, STR("x"), CLOCK_NS_PER_S), -EBADF);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* A Unix socket with a full backlog cannot be polled for: the thread waits in connect(2), and says that it sleeps. */
START_TEST(full_backlog)
{
	struct addr at = unix_addr("full");
	int clients[8], listener = sock_listen(&at, 1);
	struct io_blocking driver;
	bool pending;

	io_blocking_init(&driver);
	driver.sleeping = hook;
	driver.arg = &sleeps;
	for (int i = 0; i < 8; i++)
		clients[i] = sock_connect_start(&at, &pending);
	ck_assert_int_eq(clients[7], -EAGAIN);
	ck_assert_int_eq(io_connect(&driver.io, &at, IO_NOW), -EAGAIN);
	ck_assert_int_eq(sleeps, 0);
	ck_assert_int_eq(io_connect(&driver.io, &at, clock_now() + 20 * CLOCK_NS_PER_MS), -ETIMEDOUT);
	ck_assert_int_eq(sleeps, 1);
	ck_assert_int_eq(asleep, 0);
	driver.sleeping = NULL;
	ck_assert_int_eq(io_connect(&driver.io, &at, clock_now() + 20 * CLOCK_NS_PER_MS), -ETIMEDOUT);
	for (int i = 0; i < 8; i++)
		if (clients[i] >= 0)
			close(clients[i]);
	close(listener);
	unlink(at.u.un.sun_path);
}
END_TEST

/* ---- fibers and helpers ---- */

static void nothing(void *arg)
{
	(void)arg;
}

START_TEST(no_stack)
{
	static const long calls[] = {SYS_mmap, SYS_mprotect};
	static struct fiber_store store;

	if (!may_deny_memory())
		return;
	fiber_store_init(&store, 8);
	unsigned before = mappings();
	deny(calls[_i], ENOMEM);
	for (int i = 0; i < 3; i++)
		ck_assert(!fiber_start(&store, nothing, NULL));
	ck_assert_uint_eq(store.busy, 0);
	ck_assert_uint_eq(store.made, 0);
	ck_assert_uint_le(mappings(), before);
	fiber_store_free(&store);
}
END_TEST

START_TEST(no_threads)
{
	int error = 0;

	if (!may_deny_memory())
		return;
	deny_threads();
	ck_assert_ptr_null(helpers_start("test", 4, &error));
	ck_assert_int_eq(error, EAGAIN);
}
END_TEST

/* ---- loops ---- */

static struct loop loop;

static void on_ready(void *arg, void *thing, bool over)
{
	(void)arg, (void)thing, (void)over;
}

static int accepted;

static bool on_accepted(void *arg, unsigned listener, int fd, const struct addr *peer)
{
	(void)arg, (void)listener, (void)peer;
	accepted = fd;
	return false;
}

static struct loop_options options_of(enum loop_driver_kind kind)
{
	return (struct loop_options){.driver = kind,
	        .fibers = 8,
	        .client_buffer = BUFFER,
	        .server_buffer = BUFFER,
	        .events = {.ready = on_ready, .accepted = on_accepted}};
}

static bool has_uring(void)
{
	const char *why;

	return loop_choose(LOOP_AUTO, &why) == LOOP_URING;
}

/* Whatever of a loop cannot be had, all of it is given back, and the error is the kernel's. */
START_TEST(loop_not_opened)
{
	static const struct {
		enum loop_driver_kind driver;
		long call;
		int error;
	} cases[] = {
	        {LOOP_EPOLL, SYS_eventfd2, EMFILE},
	        {LOOP_EPOLL, SYS_epoll_create1, EMFILE},
	        {LOOP_EPOLL, SYS_epoll_ctl, ENOSPC},
	        {LOOP_EPOLL, SYS_mmap, ENOMEM},
	        {LOOP_URING, SYS_io_uring_setup, ENOMEM},
	        {LOOP_URING, SYS_io_uring_register, EINVAL},
	};
	struct loop_options options = options_of(cases[_i].driver);

	if (!may_deny() || (cases[_i].call == SYS_mmap && SANITIZED) ||
	        (cases[_i].driver == LOOP_URING && !has_uring()))
		return;
	unsigned descriptors = open_descriptors(), mapped = mappings();
	deny(cases[_i].call, cases[_i].error);
	ck_assert_int_eq(loop_open(&loop, &options), cases[_i].error);
	ck_assert_uint_eq(open_descriptors(), descriptors);
	if (!SANITIZED)
		ck_assert_uint_le(mappings(), mapped + 1); /* the heap may have grown */
}
END_TEST

START_TEST(no_uring)
{
	static const struct {
		int error;
		const char *says;
	} cases[] = {
	        {EPERM, "not permitted"},
	        {EACCES, "not permitted"},
	        {ENOSYS, "too old"},
	        {EINVAL, "too old"},
	        {ENOMEM, "Cannot allocate memory"},
	};
	const char *why = NULL;

	if (!may_deny() || !has_uring())
		return;
	deny(SYS_io_uring_setup, cases[_i].error);
	ck_assert_int_eq(loop_choose(LOOP_AUTO, &why), LOOP_EPOLL);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, cases[_i].says) != NULL, "%s", why);
	ck_assert_int_eq(loop_choose(LOOP_URING, &why), LOOP_URING);
	ck_assert_ptr_nonnull(why);
}
END_TEST

static int pair_of[2];

static void not_watched(void *arg)
{
	struct io *io = &loop.io;
	char byte;

	(void)arg;
	ck_assert_int_eq(io_recv(io, pair_of[0], &byte, 1, LATER), -ENOSPC);
	ck_assert(!io_rest(io, pair_of[0]));
	while (io_send_str(io, pair_of[0], STR("xxxxxxxxxxxxxxxx"), CLOCK_NS_PER_S) == 0)
		;
	ck_assert_int_eq(io_send_str(io, pair_of[0], STR("x"), CLOCK_NS_PER_S), -ENOSPC);
}

/* epoll takes no more descriptors (fs.epoll.max_user_watches): the wait fails, nobody hangs. */
START_TEST(no_watches)
{
	struct loop_options options = options_of(LOOP_EPOLL);
	struct addr at = parsed("127.0.0.1:0");

	if (!may_deny())
		return;
	HOLDS(loop_open(&loop, &options) == 0);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair_of) == 0);
	int listener = sock_listen(&at, 1);
	HOLDS(listener >= 0);
	deny(SYS_epoll_ctl, ENOSPC);
	ck_assert(loop_start(&loop, not_watched, NULL));
	ck_assert_uint_eq(loop.fibers.busy, 0); /* it did not wait */
	ck_assert_int_eq(loop_park(&loop, pair_of[1], &loop), LOOP_FAILED);
	ck_assert(!loop_listen(&loop, 0, listener));
	io_close(&loop.io, pair_of[0]);
	io_close(&loop.io, pair_of[1]);
	close(listener);
	loop_close(&loop);
	ck_assert_ptr_null(loop_free(&loop));
}
END_TEST

static struct addr dialled;
static int dial_result;

static void dial(void *arg)
{
	(void)arg;
	dial_result = io_connect(&loop.io, &dialled, LATER);
}

/* The limit was raised behind the loop's back: a descriptor that its table has no room for is as good as none, and is closed. */
START_TEST(beyond_the_table)
{
	struct loop_options options = options_of(drivers[_i]);
	struct rlimit limit, low;
	int filler[2 * FEW];
	bool pending;

	if (drivers[_i] == LOOP_URING && !has_uring())
		return;
	dialled = parsed("127.0.0.1:0");
	int listener = sock_listen(&dialled, 16);
	dialled.len = sizeof(dialled.u);
	HOLDS(listener >= 0 && getsockname(listener, &dialled.u.any, &dialled.len) == 0);
	int client = sock_connect_start(&dialled, &pending);
	HOLDS(client >= 0);
	HOLDS(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	low = (struct rlimit){.rlim_cur = FEW, .rlim_max = limit.rlim_max};
	HOLDS(setrlimit(RLIMIT_NOFILE, &low) == 0);
	HOLDS(loop_open(&loop, &options) == 0);
	ck_assert_uint_eq(loop.descriptors, FEW);
	HOLDS(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	unsigned filled = 0;
	do
		HOLDS((filler[filled] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
	while (filler[filled++] < FEW - 1);
	unsigned before = open_descriptors();

	ck_assert(loop_start(&loop, dial, NULL));
	while (loop.fibers.busy > 0)
		loop_turn(&loop, LATER);
	ck_assert_int_eq(dial_result, -EMFILE);
	ck_assert(loop_listen(&loop, 0, listener));
	for (accepted = 0; accepted == 0;)
		loop_turn(&loop, LATER);
	ck_assert_int_eq(accepted, -EMFILE);
	loop_unlisten(&loop, 0, listener);
	loop_turn(&loop, 0);
	ck_assert_uint_eq(open_descriptors(), before);
	for (unsigned i = 0; i < filled; i++)
		close(filler[i]);
	close(client);
	close(listener);
	loop_close(&loop);
	ck_assert_ptr_null(loop_free(&loop));
}
END_TEST

/* More listeners than the ring's table knows. */
START_TEST(listener_too_many)
{
	struct loop_options options = options_of(LOOP_URING);

	if (!has_uring())
		return;
	HOLDS(loop_open(&loop, &options) == 0);
	ck_assert(!loop_listen(&loop, 1024, 0));
	loop_close(&loop);
	ck_assert_ptr_null(loop_free(&loop));
}
END_TEST

enum { RING_ENTRIES = 4, PAIRS = 3 };
static int pairs[PAIRS][2];
static unsigned told;

/* Each fiber's turn comes when the one before has ended: none of these may wait. */
static void full_ring(void *arg)
{
	struct io *io = &loop.io;
	struct buf *b = buf_new(BUFFER);
	struct pollfd set[2] = {
	        {.fd = pairs[1][0], .events = POLLIN}, {.fd = pairs[1][0], .events = POLLOUT}};
	char byte;

	(void)arg;
	ck_assert(io_rest(io, pairs[0][0])); /* one that is armed before */
	while (io_rest(io, pairs[PAIRS - 1][0]))
		io_forget(io, pairs[PAIRS - 1][0]);
	ck_assert_int_eq(io_recv(io, pairs[1][0], &byte, 1, LATER), -ENOBUFS);
	ck_assert_int_eq(io_recv_buf(io, pairs[1][0], &b, LATER), -ENOBUFS);
	ck_assert_int_eq(io_send_str(io, pairs[1][0], STR("x"), CLOCK_NS_PER_S), -ENOBUFS);
	ck_assert_int_eq(io_wait(io, set, 1, LATER), -ENOBUFS);
	ck_assert_int_eq(io_wait(io, set + 1, 1, LATER), -ENOBUFS);
	/* No entry for its cancel, nor for its close: the other side sees the end all the same. */
	io_close(io, pairs[0][0]);
	ck_assert_int_eq(recv(pairs[0][1], &byte, 1, MSG_DONTWAIT), 0);
	free(b);
	told++;
}

/*
 * The kernel takes no entries for as long as it is short of memory (EBUSY): whoever needs one is told, nobody waits for ever, and the loop lives
 * on. (It cannot be closed in this state; it goes with the process.)
 */
START_TEST(ring_stays_full)
{
	struct loop_options options = options_of(LOOP_URING);
	struct addr at = parsed("127.0.0.1:0");

	if (!may_deny() || !has_uring())
		return;
	options.entries = RING_ENTRIES;
	HOLDS(loop_open(&loop, &options) == 0);
	for (int i = 0; i < PAIRS; i++)
		HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]) == 0);
	int listener = sock_listen(&at, 1);
	HOLDS(listener >= 0);
	deny(SYS_io_uring_enter, EBUSY);
	ck_assert(loop_start(&loop, full_ring, NULL));
	ck_assert_uint_eq(told, 1);
	ck_assert_uint_eq(loop.fibers.busy, 0);
	ck_assert_int_eq(loop_park(&loop, pairs[1][1], &loop), LOOP_FAILED);
	ck_assert(loop_listen(&loop, 0, listener)); /* it accepts once there is an entry */
	ck_assert_uint_gt(loop.stats.ring_full, 0);
	loop_turn(&loop, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/denied");
	TCase *tc = tcase_create("denied");

	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, no_descriptors);
	tcase_add_loop_test(tc, private_not_given, 0, 2);
	tcase_add_test(tc, connect_waiting);
	tcase_add_test(tc, limit_is_hard);
	tcase_add_test(tc, no_poll);
	tcase_add_test(tc, full_backlog);
	tcase_add_loop_test(tc, no_stack, 0, 2);
	tcase_add_test(tc, no_threads);
	tcase_add_loop_test(tc, loop_not_opened, 0, 6);
	tcase_add_loop_test(tc, no_uring, 0, 5);
	tcase_add_test(tc, no_watches);
	tcase_add_loop_test(tc, beyond_the_table, 0, 2);
	tcase_add_test(tc, listener_too_many);
	tcase_add_test(tc, ring_stays_full);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rmdir(folder);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
