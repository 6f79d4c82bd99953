/*
 * What only engines with loops do: requests of the pool that go on on a loop, limits over several loops, and the death of a loop. The
 * service is that of engine_app.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "engine_app.h"

/* ---- from the pool to a loop ---- */

/* The pool with loops: _i is one of the async engines without its own. */
static void use_pool(int which, unsigned workers, unsigned fibers)
{
	options.kind = ENGINE_POOL;
	options.workers = workers;
	options.loops = engines[1 + which].loops;
	options.driver = engines[1 + which].driver;
	options.fibers = fibers;
	options.patience = MS;
}

/* There and back again: after its answer the connection is as it was. */
START_TEST(goes_and_comes)
{
	unsigned rounds = 20;

	use_pool(_i, 2, 8);
	start();
	int fd = dial();
	for (unsigned i = 0; i < rounds; i++) {
		say(fd, "be from begin\n");
		expect(fd, "e from begin\n");
		say(fd, "e here\n");
		expect(fd, "e here\n");
		say(fd, "fe from end\n");
		say(app.servers[0][1], "go on");
		expect(fd, "e from end\n");
		say(fd, "be one\ne two\nbe three\nbe four\n"); /* in order, wherever they are served */
		expect(fd, "e one\ne two\ne three\ne four\n");
	}
	ck_assert_uint_ge(counted(COUNTER_handed_off), 3 * rounds);
	ck_assert_uint_eq(atomic_load(&app.on_loop), counted(COUNTER_handed_off));
	ck_assert_uint_eq(counted(COUNTER_connections_accepted), 1);
	close(fd);
	wait_counted(COUNTER_connections_closed, 1);
	stop();
}
END_TEST

/* The only worker is free while the request sleeps on a loop. */
START_TEST(frees_its_worker)
{
	enum { COUNT = 6 };
	int fds[COUNT];

	use_pool(_i, 1, 2); /* fewer fibers than requests: the others wait for one */
	start();
	for (int i = 0; i < COUNT; i++)
		fds[i] = ask(i > 0 ? "bs\n" : "fs\n");
	wait_until(&app.waiting, 1);
	say(app.servers[0][1], "x");
	wait_until(&app.asleep, 2);
	int other = ask("e\n");
	expect(other, "e\n");
	close(other);
	for (int i = 0; i < COUNT; i++)
		ck_assert(!has_answer(fds[i]));
	open_gate(0);
	for (int i = 0; i < COUNT; i++) {
		expect(fds[i], "s\n");
		say(fds[i], "e again\n");
		expect(fds[i], "e again\n");
		close(fds[i]);
	}
	stop();
}
END_TEST

/* All fibers are busy and some wait for one; of these every other is over before its fiber has ever waited. */
START_TEST(waits_for_fibers)
{
	enum { COUNT = 12 };
	int sleepers[2], fds[COUNT];

	use_pool(_i, 2, 1); /* at least one a loop */
	start();
	for (unsigned i = 0; i < options.loops; i++)
		sleepers[i] = ask("bs\n");
	wait_until(&app.asleep, options.loops);
	for (int i = 0; i < COUNT; i++)
		fds[i] = ask(i % 4 < 2 ? "bc\n" : "be\n"); /* so for each of two loops */
	wait_counted(COUNTER_handed_off, options.loops + COUNT);
	open_gate(0);
	for (int i = 0; i < COUNT; i++) {
		if (i % 4 < 2) {
			expect_end(fds[i]);
			continue;
		}
		expect(fds[i], "e\n");
		close(fds[i]);
	}
	for (unsigned i = 0; i < options.loops; i++) {
		expect(sleepers[i], "s\n");
		close(sleepers[i]);
	}
	stop();
}
END_TEST

START_TEST(ends_there)
{
	use_pool(_i, 2, 8);
	start();
	expect_end(ask("bc\n"));
	expect_reset(ask("br\n"));
	int fd = ask("bl\nnever read\n");
	expect(fd, "l\n");
	expect_end(fd);
	fd = ask("fl\n");
	say(app.servers[0][1], "x");
	expect(fd, "l\n");
	expect_end(fd);
	/* Parked from a loop, its time is kept all the same. */
	app.keepalive = 30 * MS;
	fd = ask("be\n");
	expect(fd, "e\n");
	expect_end(fd);
	ck_assert_uint_eq(counted(COUNTER_connections_expired), 1);
	ck_assert_uint_eq(counted(COUNTER_handed_off), 5);
	stop();
}
END_TEST

/* A request on a loop is in flight like any other. */
START_TEST(drains_there)
{
	use_pool(_i, 2, 8);
	start();
	int busy = ask("bs\n");
	wait_until(&app.asleep, 1);
	int idle = ask("be\n");
	expect(idle, "e\n");
	engine_drain(app.engine);
	expect_end(idle);
	ck_assert(!has_answer(busy));
	open_gate(0);
	expect(busy, "s\n");
	expect_end(busy);
	stop();
}
END_TEST

START_TEST(many_come_and_go)
{
	use_pool(_i, 3, 2);
	start();
	chatter_all(6, "eb");
	ck_assert_uint_gt(counted(COUNTER_handed_off), 0);
	stop();
}
END_TEST

/* ---- several loops ---- */

enum { FULL = 12 /* connections: so few that no loop has enough to pass on because of their number */ };

static unsigned loop_of(int fd)
{
	char text[2];

	say(fd, "i\n");
	HOLDS(recv(fd, text, 2, MSG_WAITALL) == 2 && text[1] == '\n');
	return (unsigned)(text[0] - '0');
}

static uint64_t passed_by(unsigned loop)
{
	unsigned count;
	const struct counters *sets = engine_counters(app.engine, &count);

	return counters_sum(&sets[loop], 1, COUNTER_passed_on);
}

/* One of the loop's stays parked, all others are busy; then one too many comes. Returns whether it came to the other loop. */
static bool overfill(int fds[FULL], unsigned loop)
{
	int parked = -1;
	uint64_t before = passed_by(1 - loop);

	for (int i = 0; i < FULL; i++)
		if (parked < 0 && loop_of(fds[i]) == loop)
			parked = i;
	ck_assert_int_ge(parked, 0);
	for (int i = 0; i < FULL; i++)
		if (i != parked)
			say(fds[i], "s\n");
	wait_until(&app.asleep, FULL - 1);
	int late = ask("e late\n");
	expect(late, "e late\n");
	expect_end(fds[parked]);
	fds[parked] = late;
	ck_assert_uint_eq(loop_of(late), loop);
	open_gate(0);
	for (int i = 0; i < FULL; i++)
		if (i != parked)
			expect(fds[i], "s\n");
	wait_until(&app.asleep, 0);
	close_gate(0);
	return passed_by(1 - loop) > before;
}

/* The limit is for all loops together: where none of its own is parked, another loop closes one. */
START_TEST(limit_of_all)
{
	int fds[FULL], refused;
	unsigned loop = 0;

	use_engine(_i ? 4 : 2, 2 * FULL);
	options.connections = FULL;
	start();
	for (int i = 0; i < FULL; i++) {
		fds[i] = dial();
		(void)loop_of(fds[i]); /* its loop has it: the next one is told where to go by that */
	}
	unsigned rounds = 0;
	for (bool passed = false; !passed; loop = 1 - loop) {
		passed = overfill(fds, loop);
		rounds++;
	}
	ck_assert_uint_eq(counted(COUNTER_connections_evicted), rounds);
	/* None is parked anywhere. */
	for (int i = 0; i < FULL; i++)
		say(fds[i], "s\n");
	wait_until(&app.asleep, FULL);
	refused = ask("e\n");
	expect_refused(refused, REFUSAL_LIMIT);
	open_gate(0);
	for (int i = 0; i < FULL; i++) {
		expect(fds[i], "s\n");
		close(fds[i]);
	}
	stop();
}
END_TEST

/* Where one loop gets most connections, it gives of them. */
START_TEST(balances)
{
	enum { COUNT = 48 };
	int fds[COUNT];
	unsigned on[2] = {0, 0};

	use_engine(_i ? 4 : 2, 16);
	start();
	for (int i = 0; i < COUNT; i++) {
		fds[i] = dial();
		on[loop_of(fds[i])]++;
	}
	ck_assert_uint_ge(on[0], COUNT / 4);
	ck_assert_uint_ge(on[1], COUNT / 4);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	stop();
}
END_TEST

/* ---- ends ---- */

static _Atomic int64_t both_expired; /* at the latest */
static _Atomic unsigned in_block;
static int first_refused; /* -1: none yet */

static void block_until_expired(void)
{
	atomic_fetch_add(&in_block, 1);
	while (atomic_load(&both_expired) == 0 || clock_now() < atomic_load(&both_expired))
		usleep(500);
}

/* The first one's client is gone and its descriptor closed before the turn goes on. */
static void wait_for_first(const struct conn *c)
{
	if (first_refused < 0) {
		first_refused = c->fd;
		return;
	}
	while (fcntl(first_refused, F_GETFD) >= 0)
		usleep(500);
	usleep(20000); /* for what must not come; on a slow machine it may come unseen */
}

/*
 * Two are refused in one turn of the loop. It has not let go of the first one's socket (in a ring, a receive waits to be
 * cancelled) when that one's client leaves, the lingerer is through with it and gives its record back: once.
 */
START_TEST(lingers_once)
{
	int fds[2], other;

	use_engine(_i ? 3 : 1, 8);
	app.head_timeout = 100 * MS;
	app.block = block_until_expired;
	app.on_refusal = wait_for_first;
	first_refused = -1;
	start();
	for (int i = 0; i < 2; i++)
		fds[i] = ask("half a he");
	other = ask("i\n");
	expect(other, "0\n");
	say(other, "x\n");
	wait_until(&in_block, 1);
	atomic_store(&both_expired, clock_now() + app.head_timeout + 20 * MS);
	for (int i = 0; i < 2; i++)
		expect_refused(fds[i], REFUSAL_HEADER_TIMEOUT);
	expect(other, "x\n");
	close(other);
	stop();
}
END_TEST

/* ---- the death of a loop ---- */

static void read_link(const char *file, char *out, size_t cap)
{
	ssize_t n = readlink(file, out, cap - 1);

	out[n > 0 ? n : 0] = '\0';
}

/* Whether the epoll descriptor watches the listener. */
static bool watches_listener(const char *number)
{
	char path[64], line[256];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%.20s", number);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		int fd = -1;

		found |= sscanf(line, "tfd: %d", &fd) == 1 && fd == listener.fd;
	}
	if (f)
		fclose(f);
	return found;
}

/* A loop's epoll or ring, not the lingerer's. */
static int find_driver(void)
{
	DIR *d = opendir("/proc/self/fd");
	int found = -1;

	for (struct dirent *e; d && (e = readdir(d));) {
		char path[64], to[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%.20s", e->d_name);
		read_link(path, to, sizeof(to));
		if (options.driver == LOOP_URING
		                ? strcmp(to, "anon_inode:[io_uring]") == 0
		                : strcmp(to, "anon_inode:[eventpoll]") == 0 && watches_listener(e->d_name))
			found = atoi(e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

static void break_a_loop(int say_to)
{
	struct rlimit none = {0, 0};
	int null = open("/dev/null", O_RDWR);

	(void)setrlimit(RLIMIT_CORE, &none);
	HOLDS(dup2(say_to, STDERR_FILENO) >= 0);
	start();
	int fd = ask("e\n");
	expect(fd, "e\n");
	int driver = find_driver();
	HOLDS(driver >= 0 && dup2(null, driver) == driver);
	engine_drain(app.engine); /* wakes all loops */
	for (;;)
		pause();
}

/* Clients would wait for ever for a loop that is no more: the process ends, and says where. */
START_TEST(dies_aloud)
{
	int pipe_ends[2], status;
	char said[2000];
	size_t len = 0;
	ssize_t n;

	use_engine(1 + _i, 4);
	HOLDS(pipe(pipe_ends) == 0);
	pid_t child = fork();
	HOLDS(child >= 0);
	if (child == 0) {
		alarm(60);
		break_a_loop(pipe_ends[1]);
	}
	close(pipe_ends[1]);
	while (len + 1 < sizeof(said) && (n = read(pipe_ends[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	HOLDS(waitpid(child, &status, 0) == child);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %d: %s", status, said);
	ck_assert_msg(strstr(said, "assertion failed") != NULL, "said: %s", said);
	ck_assert_msg(strstr(said, options.driver == LOOP_URING ? "loop_uring.c:" : "loop_epoll.c:") != NULL,
	        "said: %s", said);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/async");
	TCase *tc = tcase_create("async");
	int count = engine_count() - 1; /* without the pool */

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, goes_and_comes, 0, count);
	tcase_add_loop_test(tc, frees_its_worker, 0, count);
	tcase_add_loop_test(tc, waits_for_fibers, 0, count);
	tcase_add_loop_test(tc, ends_there, 0, count);
	tcase_add_loop_test(tc, drains_there, 0, count);
	tcase_add_loop_test(tc, many_come_and_go, 0, count);
	tcase_add_loop_test(tc, limit_of_all, 0, count / 2);
	tcase_add_loop_test(tc, balances, 0, count / 2);
	tcase_add_loop_test(tc, lingers_once, 0, count / 2);
	tcase_add_loop_test(tc, dies_aloud, 0, count);
	return run_suite(suite);
}
