/* The log thread: files, reopening, what happens when nobody reads, and lines that stay whole. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "obs/log.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { TEXT_MAX = 1 << 20, THREADS = 4, LINES = 400 };

static char folder[] = "/tmp/tplb-obs-log-XXXXXX";
static char output[64], access_path[64], old_output[64], old_access[64];
static char text[TEXT_MAX], piped[TEXT_MAX];

static void setup(void)
{
	unlink(output);
	unlink(access_path);
	unlink(old_output);
	unlink(old_access);
}

/* The whole file, in `text`; "" when there is none. */
static const char *contents(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static void wait_for_text(const char *path, const char *part)
{
	while (!strstr(contents(path), part))
		usleep(1000); /* Check's time limit is the bound */
}

static struct log *start(const char *out, const char *acc, unsigned rings)
{
	struct log_targets targets = {.output = out, .access = acc, .tag = "test"};
	const char *where, *why;
	struct log *log = log_start(&targets, rings, &where, &why);

	ck_assert_msg(log != NULL, "%s: %s", where, why);
	return log;
}

START_TEST(files)
{
	struct log *log = start(output, access_path, 2);

	ck_assert(log_access_on(log));
	ck_assert(log_access(log_ring(log, 0), STR("first\n")));
	diag_error("a %s", "b");
	diag_debug("not wanted");
	wait_for_text(access_path, "first\n"); /* by itself, not only at the end */
	wait_for_text(output, "error: a b\n");
	ck_assert(log_access(log_ring(log, 1), STR("second\n")));
	diag_warning("two\nlines");
	log_stop(log);
	ck_assert_str_eq(contents(access_path), "first\nsecond\n");
	ck_assert_ptr_nonnull(strstr(contents(output), "Z error: a b\n"));
	ck_assert_ptr_nonnull(strstr(text, "Z warning: two?lines\n"));
	ck_assert_ptr_null(strstr(text, "wanted"));
	/* Appended to, not begun anew. */
	log = start(output, access_path, 1);
	ck_assert(log_access(log_ring(log, 0), STR("third\n")));
	log_stop(log);
	ck_assert_str_eq(contents(access_path), "first\nsecond\nthird\n");
}
END_TEST

/* Rings come into use while the thread is at work, in any order, from several threads. */
static void *log_lines_late(void *arg)
{
	struct log *log = arg;
	static _Atomic unsigned next;
	unsigned id = 4000 - 7 * atomic_fetch_add(&next, 1);

	for (int i = 0; i < LINES; i++)
		HOLDS(log_access(log_ring(log, id), STR("a line\n")));
	return NULL;
}

START_TEST(rings_made_late)
{
	struct log *log = start(output, access_path, 4100);
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		PTHREAD_OK(pthread_create(&threads[i], NULL, log_lines_late, log));
	for (int i = 0; i < THREADS; i++)
		PTHREAD_OK(pthread_join(threads[i], NULL));
	ck_assert_ptr_eq(log_ring(log, 4000), log_ring(log, 4000));
	log_stop(log);
	ck_assert_uint_eq(strlen(contents(access_path)), THREADS * LINES * strlen("a line\n"));
}
END_TEST

START_TEST(no_access_log)
{
	struct log *log = start(output, "off", 3);

	ck_assert(!log_access_on(log));
	ck_assert_ptr_null(log_ring(log, 0));
	log_stop(log);
}
END_TEST

START_TEST(cannot_open)
{
	struct log_targets targets = {.output = output, .access = "/nowhere/at/all", .tag = "test"};
	const char *where = NULL, *why = NULL;

	ck_assert_ptr_null(log_start(&targets, 1, &where, &why));
	ck_assert_str_eq(where, "/nowhere/at/all");
	ck_assert_str_eq(why, strerror(ENOENT));
	targets = (struct log_targets){.output = folder, .access = "off", .tag = "test"};
	ck_assert_ptr_null(log_start(&targets, 1, &where, &why));
	ck_assert_str_eq(where, folder);
	ck_assert_str_eq(why, strerror(EISDIR));
}
END_TEST

START_TEST(standard_streams)
{
	int pipes[2][2];

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(pipes[i]), 0);
		ck_assert_int_eq(dup2(pipes[i][1], i + 1), i + 1);
		close(pipes[i][1]);
	}
	struct log *log = start("stderr", "stdout", 1);
	ck_assert(log_access(log_ring(log, 0), STR("line\n")));
	diag_error("to stderr");
	log_reopen(log); /* nothing to reopen */
	log_stop(log);
	ck_assert_int_eq(read(pipes[0][0], text, 100), 5);
	ck_assert_int_eq(memcmp(text, "line\n", 5), 0);
	ssize_t n = read(pipes[1][0], text, 100);
	ck_assert_int_gt(n, 17);
	ck_assert_int_eq(memcmp(text + n - 17, "error: to stderr\n", 17), 0);
}
END_TEST

/* What was logged before the reopening is in the old file, what comes after it in the new one. */
START_TEST(reopen)
{
	struct log *log = start(output, access_path, 1);
	struct stat st;

	ck_assert(log_access(log_ring(log, 0), STR("one\n")));
	wait_for_text(access_path, "one\n");
	ck_assert_int_eq(rename(output, old_output), 0);
	ck_assert_int_eq(rename(access_path, old_access), 0);
	ck_assert(log_access(log_ring(log, 0), STR("two\n")));
	diag_error("two");
	log_reopen(log);
	while (stat(access_path, &st) != 0 || stat(output, &st) != 0)
		usleep(1000);
	ck_assert(log_access(log_ring(log, 0), STR("three\n")));
	diag_error("three");
	log_stop(log);
	ck_assert_str_eq(contents(old_access), "one\ntwo\n");
	ck_assert_str_eq(contents(access_path), "three\n");
	ck_assert_ptr_nonnull(strstr(contents(old_output), "error: two\n"));
	ck_assert_ptr_null(strstr(text, "three"));
	ck_assert_ptr_nonnull(strstr(contents(output), "error: three\n"));
	ck_assert_ptr_null(strstr(text, "two"));
}
END_TEST

/* The file cannot be opened again: the old one serves on, and that is said. */
START_TEST(reopen_fails)
{
	struct log *log = start(output, access_path, 1);

	ck_assert_int_eq(rename(access_path, old_access), 0);
	ck_assert_int_eq(mkdir(access_path, 0700), 0);
	log_reopen(log);
	wait_for_text(output, "cannot open");
	ck_assert(log_access(log_ring(log, 0), STR("on\n")));
	log_stop(log);
	ck_assert_str_eq(contents(old_access), "on\n");
	ck_assert_int_eq(rmdir(access_path), 0);
}
END_TEST

/* A FIFO whose reader is us; it reads nothing until asked to. */
static int open_fifo(const char *path)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static struct str numbered(char line[64], unsigned i)
{
	int n = snprintf(line, 64, "%06u ...............................................\n", i);

	return (struct str){line, (size_t)n};
}

static const char numbered_text[] = "000000 ...............................................\n";

/* How many numbered lines from this number on are there, whole, in order, and nothing else. */
static unsigned count_numbered(const char *at, unsigned from)
{
	char line[64];
	unsigned n = 0;

	while (*at) {
		struct str want = numbered(line, from + n++);

		ck_assert_msg(strncmp(at, want.at, want.len) == 0, "not line %u: %.60s", from + n, at);
		at += want.len;
	}
	return n;
}

struct drain {
	int fd;
	char *to; /* TEXT_MAX bytes; NULL: text */
	size_t len;
	_Atomic unsigned lines;
	pthread_t thread;
};

static void *drain_fifo(void *arg)
{
	struct drain *d = arg;
	ssize_t n;

	if (!d->to)
		d->to = text;
	HOLDS(fcntl(d->fd, F_SETFL, 0) == 0);
	while ((n = read(d->fd, d->to + d->len, TEXT_MAX - 1 - d->len)) > 0)
		for (ssize_t i = 0; i < n; i++)
			atomic_fetch_add(&d->lines, d->to[d->len++] == '\n');
	d->to[d->len] = '\0';
	return NULL;
}

/* Until so many lines were read: a stop waits for who reads, but two seconds only. */
static void wait_for_drain(struct drain *d, unsigned lines)
{
	while (atomic_load(&d->lines) < lines)
		usleep(1000); /* Check's time limit is the bound */
}

/* The ring takes whole lines or none; what it took comes out once somebody reads. */
START_TEST(full_ring)
{
	int fifo = open_fifo(access_path);
	struct log *log = start(output, access_path, 1);
	char line[64];
	unsigned taken = 0;

	while (log_access(log_ring(log, 0), numbered(line, taken)))
		ck_assert_uint_lt(++taken, 100000);
	struct drain d = {.fd = fifo};
	PTHREAD_OK(pthread_create(&d.thread, NULL, drain_fifo, &d));
	wait_for_drain(&d, taken);
	log_stop(log);
	PTHREAD_OK(pthread_join(d.thread, NULL));
	struct str all = {text, d.len};
	for (unsigned i = 0; i < taken; i++) {
		struct str want = numbered(line, i);

		HOLDS(all.len >= want.len && memcmp(all.at, want.at, want.len) == 0);
		all.at += want.len;
		all.len -= want.len;
	}
	ck_assert_uint_eq(all.len, 0);
	close(fifo);
}
END_TEST

/* Lines of a little more than half a ring, and until all of them are in the file; `size` bytes are there already. */
static off_t fill_half(struct log *log, off_t size)
{
	struct stat st = {.st_size = 0};
	char line[64];

	for (off_t end = size + LOG_RING_BYTES * 5 / 8; size < end;) {
		struct str s = numbered(line, 0);

		HOLDS(log_access(log_ring(log, 0), s));
		size += (off_t)s.len;
	}
	while (stat(access_path, &st) != 0 || st.st_size < size)
		usleep(100); /* Check's time limit is the bound */
	return size;
}

/* Who writes faster than the thread waits for company need not wait for it, and loses nothing for want of room. */
START_TEST(half_full_ring)
{
	const int times = 10;
	struct log *log = start(output, access_path, 1);
	int64_t took = CLOCK_NEVER;
	off_t size = 0;

	/* Ten waits of 20 ms would take 200. A machine that is busy elsewhere may take that long as well, but not always. */
	while (took > 100 * CLOCK_NS_PER_MS) {
		int64_t began = clock_now();

		for (int i = 0; i < times; i++)
			size = fill_half(log, size);
		took = clock_now() - began;
	}
	ck_assert_uint_eq(log_lost(log), 0);
	log_stop(log);
}
END_TEST

/* Each diagnostic line is either written or counted as lost, be it ours or the one by which the thread says that lines are lost. */
START_TEST(lost_lines)
{
	int fifo = open_fifo(output);
	struct log *log = start(output, "off", 1);
	unsigned said = 0, seen = 0;

	while (log_lost(log) < 10) {
		diag_error("%06u .......................................", said);
		ck_assert_uint_lt(++said, 100000);
	}
	struct drain d = {.fd = fifo};
	PTHREAD_OK(pthread_create(&d.thread, NULL, drain_fifo, &d));
	uint64_t lost = log_lost(log);
	wait_for_drain(&d, said - (unsigned)lost);
	log_stop(log);
	PTHREAD_OK(pthread_join(d.thread, NULL));
	for (const char *at = text; (at = strstr(at, "...\n")); at++)
		seen++;
	ck_assert_uint_ge(seen + lost, said);
	ck_assert_uint_le(seen + lost, said + 1);
	close(fifo);
}
END_TEST

/* Nobody ever reads: stopping gives up after seconds. */
START_TEST(nobody_reads)
{
	int fifo = open_fifo(output);
	struct log *log = start(output, "off", 1);
	unsigned said = 0;

	while (log_lost(log) == 0) {
		diag_error("%06u .......................................", said);
		ck_assert_uint_lt(++said, 100000);
	}
	int64_t began = clock_now();
	log_stop(log);
	ck_assert_int_lt(clock_now() - began, 10 * CLOCK_NS_PER_S);
	close(fifo);
}
END_TEST

/* The reader goes away: lines wait as far as there is room, are counted beyond it, and the next reader gets those that waited. */
START_TEST(reader_left)
{
	signal(SIGPIPE, SIG_IGN); /* as the programs do */
	int fifo = open_fifo(access_path);
	struct log *log = start(output, access_path, 1);
	char line[64];
	unsigned taken = 0;

	close(fifo);
	ck_assert(log_access(log_ring(log, 0), numbered(line, taken++)));
	wait_for_text(output, "cannot write to ");
	while (log_access(log_ring(log, 0), numbered(line, taken)))
		ck_assert_uint_lt(++taken, 100000);
	ck_assert_uint_eq(log_lost(log), 1);
	fifo = open(access_path, O_RDONLY | O_NONBLOCK);
	struct drain d = {.fd = fifo, .to = piped};
	PTHREAD_OK(pthread_create(&d.thread, NULL, drain_fifo, &d));
	wait_for_text(output, "takes lines again; 1 were lost\n");
	wait_for_drain(&d, taken);
	log_stop(log);
	PTHREAD_OK(pthread_join(d.thread, NULL));
	ck_assert_uint_eq(count_numbered(piped, 0), taken);
	close(fifo);
}
END_TEST

/* A full disk, as a limit of the size of files shows it: a write is cut short, and those after it fail. */
START_TEST(full_disk)
{
	struct rlimit limit, old;
	char line[64];
	unsigned taken = 0, lost = 0, more = 0;

	signal(SIGXFSZ, SIG_IGN);
	struct log *log = start(output, access_path, 1);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){10000, old.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while (lost < 10) {
		bool took = log_access(log_ring(log, 0), numbered(line, taken));

		taken += took ? 1U : 0U;
		lost += took ? 0U : 1U;
	}
	wait_for_text(output, "cannot write to ");
	ck_assert_uint_eq(log_lost(log), 10);
	/* Others' lines are written as ever. */
	diag_error("something else");
	wait_for_text(output, "something else\n");
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	wait_for_text(output, "takes lines again; 10 were lost\n");
	while (more < 5)
		more += log_access(log_ring(log, 0), numbered(line, taken + more)) ? 1U : 0U;
	log_stop(log);
	(void)contents(output);
	ck_assert_ptr_null(strstr(strstr(text, "cannot write") + 1, "cannot write")); /* once */
	ck_assert_ptr_null(strstr(strstr(text, "takes lines again") + 1, "takes lines again"));
	ck_assert_uint_eq(count_numbered(contents(access_path), 0), taken + more);
}
END_TEST

/* Nobody reads the access log: what else there is to say is said. */
START_TEST(stalled_beside)
{
	int fifo = open_fifo(access_path);
	struct log *log = start(output, access_path, 2);
	char line[64];
	unsigned taken = 0;

	for (unsigned id = 0; id < 2; id++)
		for (unsigned lost = 0; lost < 10;) {
			bool took = log_access(log_ring(log, id), numbered(line, taken));

			taken += took ? 1U : 0U;
			lost += took ? 0U : 1U;
		}
	diag_error("something else");
	wait_for_text(output, "something else\n");
	wait_for_text(output, "as fast as they come; some are lost\n");
	/* Whoever wants the log elsewhere meanwhile gets it there, from a whole line on. */
	ck_assert_int_eq(rename(access_path, old_access), 0);
	log_reopen(log);
	wait_for_text(output, "takes lines again; 20 were lost\n");
	ck_assert_uint_ge(log_lost(log), 20);
	ck_assert_uint_le(log_lost(log), 21); /* the one that was cut */
	struct drain d = {.fd = fifo};
	PTHREAD_OK(pthread_create(&d.thread, NULL, drain_fifo, &d));
	PTHREAD_OK(pthread_join(d.thread, NULL)); /* the log has closed it */
	unsigned in_fifo = 0;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		in_fifo++;
	unsigned cut = (unsigned)(log_lost(log) - 20);
	log_stop(log);
	(void)contents(access_path);
	unsigned in_file = 0;
	for (char *at = text, *one; (one = strsep(&at, "\n")) && *one; in_file++)
		ck_assert_uint_eq(strlen(one), strlen(numbered_text) - 1);
	ck_assert_uint_eq(in_fifo + in_file + cut, taken);
	close(fifo);
}
END_TEST

struct talker {
	unsigned id;
	pthread_t thread;
};

static const char stars[] = "****************************************************************";

static void *talk(void *arg)
{
	struct talker *t = arg;

	for (unsigned i = 0; i < LINES; i++)
		diag_info("%u/%u %.*s.", t->id, i, (int)(i % 64), stars);
	return NULL;
}

START_TEST(many_talk)
{
	struct log *log = start(output, "off", 1);
	struct talker all[THREADS];
	unsigned next[THREADS] = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		all[i].id = i;
		PTHREAD_OK(pthread_create(&all[i].thread, NULL, talk, &all[i]));
	}
	for (unsigned i = 0; i < THREADS; i++)
		PTHREAD_OK(pthread_join(all[i].thread, NULL));
	ck_assert_uint_eq(log_lost(log), 0); /* all of it fits */
	log_stop(log);
	char *at = (char *)(uintptr_t)contents(output), *line, want[128];
	while ((line = strsep(&at, "\n")) && *line) {
		unsigned id, i;

		HOLDS(sscanf(line, "%*s info: %u/%u", &id, &i) == 2 && id < THREADS);
		HOLDS(i == next[id]++);
		snprintf(want, sizeof(want), " info: %u/%u %.*s.", id, i, (int)(i % 64), stars);
		HOLDS(strcmp(strchr(line, ' '), want) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_uint_eq(next[i], LINES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/log");
	TCase *tc = tcase_create("log");

	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	snprintf(output, sizeof(output), "%s/output", folder);
	snprintf(access_path, sizeof(access_path), "%s/access", folder);
	snprintf(old_output, sizeof(old_output), "%s/output.1", folder);
	snprintf(old_access, sizeof(old_access), "%s/access.1", folder);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, files);
	tcase_add_test(tc, rings_made_late);
	tcase_add_test(tc, no_access_log);
	tcase_add_test(tc, cannot_open);
	tcase_add_test(tc, standard_streams);
	tcase_add_test(tc, reopen);
	tcase_add_test(tc, reopen_fails);
	tcase_add_test(tc, full_ring);
	tcase_add_test(tc, half_full_ring);
	tcase_add_test(tc, lost_lines);
	tcase_add_test(tc, nobody_reads);
	tcase_add_test(tc, reader_left);
	tcase_add_test(tc, full_disk);
	tcase_add_test(tc, stalled_beside);
	tcase_add_test(tc, many_talk);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	setup();
	rmdir(folder);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
