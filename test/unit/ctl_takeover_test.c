/* What goes over the channel between a process and the one that takes its place: sockets with their roles, words, and what neither should say. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/takeover.h"
#include "net/pass.h"
#include "net/sock.h"

static int ours, theirs;
static struct activation given;

static void set_up(void)
{
	char text[TAKEOVER_VARIABLE_BYTES];

	memset(&given, 0, sizeof(given));
	ck_assert_int_eq(takeover_open(&ours, &theirs, CLOCK_NS_PER_S), 0);
	takeover_variable(text, theirs, -1, -1);
	*strchr(text, '=') = '\0';
	ck_assert_int_eq(setenv(text, text + strlen(text) + 1, 1), 0);
}

static void tear_down(void)
{
	close(ours);
	for (unsigned i = 0; i < given.count; i++)
		if (given.sockets[i].fd >= 0)
			close(given.sockets[i].fd);
}

static struct addr any_port(void)
{
	struct addr at;
	const char *why;

	ck_assert(addr_parse("127.0.0.1:0", true, &at, &why));
	return at;
}

/* Told apart by role, and those with any port by name; by the address that was asked for. */
START_TEST(sockets)
{
	struct addr at = any_port();
	const struct takeover_socket all[] = {{ACTIVATION_LISTENER, "a", &at, false, sock_listen(&at, 1)},
	        {ACTIVATION_LISTENER, "b", &at, true, sock_listen(&at, 1)},
	        {ACTIVATION_WEB, "", &at, false, sock_listen(&at, 1)}};
	struct takeover t;
	bool managed;

	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(takeover_pass(ours, &all[i]), 0);
		close(all[i].fd);
	}
	ck_assert_int_eq(takeover_pass_end(ours), 0);
	ck_assert(takeover_begin(&t, &given));
	ck_assert_uint_eq(given.count, 3);
	ck_assert_int_eq(activation_inherit(&given, ACTIVATION_LISTENER, "c", &at, &managed), -1);
	int fd = activation_inherit(&given, ACTIVATION_LISTENER, "b", &at, &managed);
	ck_assert(fd >= 0 && managed && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	ck_assert_int_eq(activation_inherit(&given, ACTIVATION_LISTENER, "b", &at, &managed), -1);
	ck_assert_int_eq(activation_find(&given, &at), -1); /* no manager's */
	ck_assert(activation_is_inherited(&given, ACTIVATION_WEB, &at));
	ck_assert(!activation_is_inherited(&given, ACTIVATION_ADMIN, &at));
	fd = activation_inherit(&given, ACTIVATION_WEB, "", &at, &managed);
	ck_assert(fd >= 0 && !managed);
	close(fd);

	/* What is left is told, and closed. */
	struct takeover_said said;
	takeover_leave_rest(&t, &given);
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_UNUSED);
	ck_assert_str_eq(said.role, ACTIVATION_LISTENER);
	ck_assert(addr_equal(&said.at, &at));
	takeover_say(&t, "one\ntwo");
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_TEXT);
	ck_assert_str_eq(said.text, "one\ntwo");
	ck_assert_int_eq(takeover_go(ours), 0);
	ck_assert(takeover_ready(&t));
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_READY);
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_ENDED);
}
END_TEST

/* No program of ours: what makes no sense is passed by, and no descriptor of it stays open. */
START_TEST(nonsense)
{
	static const char *const texts[] = {"\1", "\0011", "\0011x", "\0010listener",
	        "\0010listener\0web\0nowhere", "\377\377\377", "listener\0web\000127.0.0.1:1"};
	static char large[2 * TAKEOVER_MESSAGE_BYTES];
	struct addr at = any_port();
	int fd = sock_listen(&at, 1), pipe_ends[2];
	struct takeover t;

	ck_assert_int_eq(pipe(pipe_ends), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(pass_send(ours, texts[i], strlen(texts[i]) + 1, fd), 0);
		ck_assert_int_eq(pass_send(ours, texts[i], strlen(texts[i]) + 1, -1), 0);
	}
	/* Not a socket that listens, whatever it is said to be. */
	struct takeover_socket s = {ACTIVATION_LISTENER, "a", &at, false, pipe_ends[0]};
	ck_assert_int_eq(takeover_pass(ours, &s), 0);
	ck_assert_int_eq(takeover_pass_end(ours), 0);
	int before = dup(fd);
	close(before);
	ck_assert(takeover_begin(&t, &given));
	ck_assert_uint_eq(given.count, 0);
	int after = dup(fd);
	ck_assert_int_eq(after, before);
	close(after);
	/* The other way. */
	struct takeover_said said;
	ck_assert_int_eq(pass_send(t.channel, large, sizeof(large), -1), 0);
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_TEXT);
	ck_assert_int_eq(pass_send(t.channel, "\4listener\0nowhere", 17, -1), 0);
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_TEXT);
	takeover_end(&t);
	takeover_hear(ours, &said);
	ck_assert_int_eq(said.word, TAKEOVER_ENDED);
	ck_assert_int_ne(takeover_go(ours), 0);
}
END_TEST

/* It ends before it has said all, or in place of the word to go on. */
START_TEST(ends)
{
	struct takeover t;

	close(ours);
	ck_assert(!takeover_begin(&t, &given));
	set_up();
	ck_assert_int_eq(takeover_pass_end(ours), 0);
	ck_assert(takeover_begin(&t, &given));
	close(ours);
	ck_assert(!takeover_ready(&t));
	ck_assert_int_eq(t.channel, -1);
	ours = open("/dev/null", O_RDONLY);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl/takeover");
	TCase *tc = tcase_create("takeover");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, sockets);
	tcase_add_test(tc, nonsense);
	tcase_add_test(tc, ends);
	suite_add_tcase(s, tc);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
