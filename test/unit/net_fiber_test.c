/* Fibers by themselves: who runs when, how many there may be, what becomes of their stacks, and what an overflow says. */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/fiber.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#ifdef __SANITIZE_THREAD__
enum { MANY = FIBER_STORE_MAX };
#else
enum { MANY = 3000 };
#endif

enum { ROUNDS = 5, KEPT = 16 /* by a trim, however few were busy */ };

static struct fiber_store store;
static char told[200]; /* what was done, a letter each */

static void tell(char letter)
{
	size_t len = strlen(told);

	HOLDS(len + 1 < sizeof(told));
	told[len] = letter;
	told[len + 1] = '\0';
}

static void setup(void)
{
	told[0] = '\0';
}

struct part {
	char letter;
	int suspensions;
	struct fiber *self;
};

/* Its letter, then small ones, each after a suspension. */
static void speak(void *arg)
{
	struct part *p = arg;

	p->self = store.current;
	HOLDS(p->self != NULL);
	tell(p->letter);
	for (int i = 0; i < p->suspensions; i++) {
		fiber_suspend(&store);
		HOLDS(store.current == p->self);
		tell((char)(p->letter - 'A' + 'a'));
	}
}

START_TEST(order)
{
	struct part a = {.letter = 'A', .suspensions = 2}, b = {.letter = 'B', .suspensions = 1};
	struct part c = {.letter = 'C'};

	fiber_store_init(&store, 8);
	ck_assert(fiber_start(&store, speak, &a));
	ck_assert_ptr_null(store.current);
	tell('-');
	ck_assert(fiber_start(&store, speak, &b));
	ck_assert(fiber_start(&store, speak, &c));
	ck_assert_uint_eq(store.busy, 2);
	tell('-');
	fiber_resume(&store, b.self);
	ck_assert_uint_eq(store.busy, 1);
	fiber_resume(&store, a.self);
	tell('-');
	fiber_resume(&store, a.self);
	ck_assert_uint_eq(store.busy, 0);
	ck_assert_ptr_null(store.current);
	ck_assert_str_eq(told, "A-BC-ba-a");
	fiber_store_free(&store);
	ck_assert_uint_eq(store.made, 0);
}
END_TEST

START_TEST(limit)
{
	struct part all[4];

	fiber_store_init(&store, 3);
	for (int i = 0; i < 3; i++) {
		all[i] = (struct part){.letter = (char)('A' + i), .suspensions = 1};
		ck_assert(fiber_is_free(&store));
		ck_assert(fiber_start(&store, speak, &all[i]));
	}
	all[3] = (struct part){.letter = 'D'};
	ck_assert(!fiber_is_free(&store));
	ck_assert(!fiber_start(&store, speak, &all[3]));
	fiber_resume(&store, all[1].self);
	ck_assert(fiber_is_free(&store));
	ck_assert(fiber_start(&store, speak, &all[3]));
	fiber_resume(&store, all[0].self);
	fiber_resume(&store, all[2].self);
	ck_assert_str_eq(told, "ABCbDac");
	fiber_store_free(&store);
	fiber_store_init(&store, FIBER_STORE_MAX + 1u);
	ck_assert_uint_eq(store.limit, FIBER_STORE_MAX);
	fiber_store_free(&store);
}
END_TEST

/* One after another: one stack does for all. */
START_TEST(reuse)
{
	fiber_store_init(&store, 8);
	struct fiber *first = NULL;
	for (int i = 0; i < 50; i++) {
		struct part p = {.letter = 'A', .suspensions = i % 2};

		told[0] = '\0';
		ck_assert(fiber_start(&store, speak, &p));
		if (i % 2)
			fiber_resume(&store, p.self);
		if (!first)
			first = p.self;
		ck_assert_ptr_eq(p.self, first);
		ck_assert_uint_eq(store.made, 1);
	}
	fiber_store_free(&store);
}
END_TEST

/* Its own stack keeps what is on it, whatever the others do meanwhile. */
struct worker {
	struct fiber *self;
	unsigned seed, sum;
	bool done;
};

static unsigned step(unsigned state)
{
	return state * 1664525u + 1013904223u;
}

static void work(void *arg)
{
	struct worker *w = arg;
	unsigned local[ROUNDS], state = w->seed;
	double half = w->seed / 2.0; /* floating point survives a switch, too */

	w->self = store.current;
	for (int i = 0; i < ROUNDS; i++) {
		local[i] = state = step(state);
		fiber_suspend(&store);
		half += 1;
	}
	for (int i = 0; i < ROUNDS; i++)
		w->sum += local[i];
	HOLDS((unsigned)(half * 2) == w->seed + 2 * ROUNDS);
	w->done = true;
}

static void start_many(struct worker *all, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		all[i] = (struct worker){.seed = i};
		ck_assert(fiber_start(&store, work, &all[i]));
	}
	ck_assert_uint_eq(store.busy, count);
}

static void finish_many(struct worker *all, unsigned count)
{
	for (int round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < count; i++)
			fiber_resume(&store, all[round % 2 ? count - 1 - i : i].self);
	for (unsigned i = 0; i < count; i++) {
		unsigned sum = 0, state = i;

		for (int round = 0; round < ROUNDS; round++)
			sum += state = step(state);
		ck_assert(all[i].done);
		ck_assert_uint_eq(all[i].sum, sum);
	}
	ck_assert_uint_eq(store.busy, 0);
}

START_TEST(many)
{
	static struct worker all[MANY];

	fiber_store_init(&store, MANY);
	for (int again = 0; again < 3; again++) {
		start_many(all, MANY);
		ck_assert(!fiber_is_free(&store));
		finish_many(all, MANY);
		ck_assert_uint_eq(store.made, MANY);
	}
	fiber_store_free(&store);
}
END_TEST

/* A trim keeps what was needed since the last one, and a few. */
START_TEST(trim)
{
	enum { BUSY = KEPT + 14, LATER = KEPT + 4 };
	static struct worker all[BUSY];

	fiber_store_init(&store, 60);
	start_many(all, BUSY);
	finish_many(all, BUSY);
	fiber_store_trim(&store);
	ck_assert_uint_eq(store.made, BUSY);
	start_many(all, LATER);
	fiber_store_trim(&store); /* those that run are needed now */
	ck_assert_uint_eq(store.made, LATER);
	fiber_store_trim(&store);
	ck_assert_uint_eq(store.made, LATER);
	finish_many(all, LATER);
	fiber_store_trim(&store);
	ck_assert_uint_eq(store.made, LATER);
	fiber_store_trim(&store);
	ck_assert_uint_eq(store.made, KEPT);
	start_many(all, BUSY);
	finish_many(all, BUSY);
	fiber_store_free(&store);
	ck_assert_uint_eq(store.made, 0);
}
END_TEST

/* ---- overflow ---- */

enum { FRAME = 1024 };

static unsigned recurse(volatile char *above, unsigned depth)
{
	volatile char frame[FRAME];

	frame[0] = (char)(above[0] + 1);
	return depth == 0 ? 0 : recurse(frame, depth - 1) + (unsigned char)frame[0];
}

static void overflow(void *arg)
{
	_exit((int)recurse(arg, 1000) & 1);
}

static void fault(void *arg)
{
	*(volatile int *)arg = 1;
}

/* Its process's standard error, and how it ends. */
static int die(void (*run)(void *arg), void *arg, char *said, size_t cap)
{
	int ends[2], status;
	size_t len = 0;
	ssize_t n;

	HOLDS(pipe(ends) == 0);
	pid_t child = fork();
	HOLDS(child >= 0);
	if (child == 0) {
		HOLDS(dup2(ends[1], STDERR_FILENO) >= 0);
		fiber_store_init(&store, 4);
		fiber_report_overflow(&store);
		(void)fiber_start(&store, run, arg);
		_exit(0);
	}
	close(ends[1]);
	while (len + 1 < cap && (n = read(ends[0], said + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(ends[0]);
	HOLDS(waitpid(child, &status, 0) == child);
	return status;
}

/* The kernel's signal, and a word about why; another fault has the signal alone. */
START_TEST(overflows)
{
	char said[1000], byte = 0;

	if (SANITIZED)
		return; /* a sanitizer tells it in its own way */
	int status = die(overflow, &byte, said, sizeof(said));
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
	ck_assert_msg(strstr(said, "stack overflowed into its guard page") != NULL, "said: %s", said);
	status = die(fault, (void *)(uintptr_t)16, said, sizeof(said));
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
	ck_assert_ptr_null(strstr(said, "overflow"));
}
END_TEST

START_TEST(kind)
{
#if HAVE_FCONTEXT
	ck_assert_str_eq(fiber_kind(), "boost");
#else
	ck_assert_str_eq(fiber_kind(), "ucontext");
#endif
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/fiber");
	TCase *tc = tcase_create("fiber");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, order);
	tcase_add_test(tc, limit);
	tcase_add_test(tc, reuse);
	tcase_add_test(tc, many);
	tcase_add_test(tc, trim);
	tcase_add_test(tc, overflows);
	tcase_add_test(tc, kind);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
