/* A desk: who comes late is answered like who comes early, and who says nothing has to go. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/desk.h"

#define PATIENCE_NS (400 * CLOCK_NS_PER_MS)

static char said[32]; /* the messages, as they were answered; the desk's until it is stopped */
static size_t said_count;

/* A message is a byte, and its answer the same one. */
static bool echo(void *arg, struct desk_peer *p)
{
	(void)arg;
	if (p->in_len == 0)
		return false;
	said[said_count++ % sizeof(said)] = p->in[0];
	char *out = malloc(1);
	if (out)
		*out = p->in[0];
	desk_answer(p, 1, out, 1);
	return true;
}

static struct addr at;

static struct desk *open_desk(void)
{
	const struct desk_rules rules = {.places = 2, .room = 16, .patience = PATIENCE_NS, .next = echo};
	int error, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	at.u.in.sin_family = AF_INET;
	at.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.len = sizeof(at.u.in);
	ck_assert_int_eq(bind(fd, &at.u.any, at.len), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, &at.u.any, &at.len), 0);
	struct desk *d = desk_open(fd, &at, false, &rules, &error);
	ck_assert_ptr_nonnull(d);
	return d;
}

static struct desk *start(void)
{
	struct desk *d = open_desk();

	ck_assert_int_eq(desk_start(d, "test", "desk", NULL), 0);
	return d;
}

static int come(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, &at.u.any, at.len), 0);
	return fd;
}

/* 1: it was answered; 0: it was left. */
static ssize_t ask(int fd)
{
	char byte = 'x';

	ck_assert_int_eq(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
	ssize_t n = recv(fd, &byte, 1, 0);
	return n < 0 ? 0 : n;
}

static void pass(int64_t ns)
{
	struct timespec left = {.tv_sec = ns / CLOCK_NS_PER_S, .tv_nsec = ns % CLOCK_NS_PER_S};

	while (nanosleep(&left, &left) != 0)
		continue;
}

/* The patience counts from when somebody came, not from when the desk began to wait for him. */
START_TEST(after_a_quiet_time)
{
	struct desk *d = start();

	for (int i = 0; i < 3; i++) {
		pass(PATIENCE_NS + 50 * CLOCK_NS_PER_MS);
		int fd = come();
		ck_assert_int_eq(ask(fd), 1);
		close(fd);
	}
	ck_assert(desk_stop(d));
}
END_TEST

START_TEST(who_is_silent_has_to_go)
{
	struct desk *d = start();
	int fd = come();
	char byte;

	ck_assert_int_eq(ask(fd), 1);
	int64_t since = clock_now();
	ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
	ck_assert_int_ge(clock_now() - since, PATIENCE_NS / 2);
	close(fd);
	ck_assert(desk_stop(d));
}
END_TEST

/* A third one takes the place of who has been silent for longest. */
START_TEST(a_place_for_who_comes)
{
	struct desk *d = start();
	int first = come();
	char byte;

	ck_assert_int_eq(ask(first), 1);
	int second = come();
	ck_assert_int_eq(ask(second), 1);
	int third = come();
	ck_assert_int_eq(ask(third), 1);
	ck_assert_int_le(recv(first, &byte, 1, 0), 0);
	ck_assert_int_eq(ask(second), 1);
	close(first);
	close(second);
	close(third);
	ck_assert(desk_stop(d));
}
END_TEST

/* Who says much at once does not keep the others from having their say. */
START_TEST(in_turn)
{
	struct desk *d = open_desk();
	int first = come(), second = come();
	char answers[8];

	said_count = 0;
	ck_assert_int_eq(send(first, "aaaaaaaa", 8, MSG_NOSIGNAL), 8);
	ck_assert_int_eq(send(second, "b", 1, MSG_NOSIGNAL), 1);
	ck_assert_int_eq(desk_start(d, "test", "desk", NULL), 0);
	ck_assert_int_eq(recv(second, answers, 1, MSG_WAITALL), 1);
	ck_assert_int_eq(recv(first, answers, 8, MSG_WAITALL), 8);
	ck_assert(desk_stop(d));
	ck_assert_uint_eq(said_count, 9);
	ck_assert_ptr_nonnull(memchr(said, 'b', 4));
	close(first);
	close(second);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl/desk");
	TCase *tc = tcase_create("desk");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, after_a_quiet_time);
	tcase_add_test(tc, who_is_silent_has_to_go);
	tcase_add_test(tc, a_place_for_who_comes);
	tcase_add_test(tc, in_turn);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
