/* The parent that keeps the rights: it gives what its configuration says, and nothing that a child that was taken over may ask for besides. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "ctl/signals.h"
#include "lb/keeper.h"
#include "net/pass.h"

#define SERVED "upstreams = ( { name = \"u\"; servers = ( { address = \"127.0.0.1:9\"; } ); } );\n"

static char folder[] = "/tmp/tplb-keeper-test-XXXXXX";
static char file[64], more[64], web[64], second[64], secret[64];

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void write_config(const char *bind, const char *access)
{
	char text[1024];

	snprintf(text, sizeof(text),
	        "listeners = ( { name = \"w\"; bind = \"unix:%s\"; upstream = \"u\"; } );\n" SERVED
	        "log: { access = \"%s\"; };\n@include \"%s\"\n",
	        bind, access, more);
	write_text(file, text);
}

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/tplb.conf", folder);
	snprintf(more, sizeof(more), "%s/more.conf", folder);
	snprintf(web, sizeof(web), "%s/web.sock", folder);
	snprintf(second, sizeof(second), "%s/second.sock", folder);
	snprintf(secret, sizeof(secret), "%s/secret", folder);
	write_text(more, "abort_on_close = true;\n");
	write_text(secret, "secret");
	write_config(web, secret);
	signals_block();
}

static void tear_down(void)
{
	const char *const all[] = {file, more, web, second, secret};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		unlink(all[i]);
	ck_assert_int_eq(rmdir(folder), 0);
	strcpy(folder, "/tmp/tplb-keeper-test-XXXXXX");
}

/* What is started to take the child's place: it does nothing, and cannot be told to end. */
static char program[] = "/bin/sleep", seconds[] = "100", *words[] = {program, seconds, NULL};

/* The exit status that the parent gives. In the child CHECK ends it with the line's number. */
static int with_child(void (*in_child)(struct keeper_link *link))
{
	struct keeper_link link;
	struct keeper *keeper;
	struct lb_config *config = lb_config_read(file);

	ck_assert_ptr_nonnull(config);
	ck_assert_uint_eq(conf_fault_count(config->conf), 0);
	static struct activation given;
	struct office office;
	office_init(&office, words, -1);
	pid_t child = keeper_fork(file, config, &given, &office, &keeper, &link);
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		in_child(&link);
		_exit(0);
	}
	int status = keeper_serve(keeper, child);
	lb_config_free(config);
	office_free(&office);
	return status;
}
#define CHECK(condition)                                                                                     \
	((condition) ? (void)0 : (dprintf(2, "line %d: %s\n", __LINE__, #condition), _exit(1)))

static bool reads(int fd, const char *text)
{
	char got[64];
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

static void ask_well(struct keeper_link *link)
{
	const struct supply *s = &link->supply;
	struct stat st;

	/* By a file that has changed since. */
	write_config(second, "off");
	struct lb_config *c = s->read(s->arg, file);
	CHECK(c && conf_fault_count(c->conf) == 0 && c->abort_on_close);
	int fd = s->listen(s->arg, lb_config_listener(c, 0));
	CHECK(fd >= 0 && stat(second, &st) == 0 && S_ISSOCK(st.st_mode));
	close(fd);
	s->remove(s->arg, lb_config_listener(c, 0));
	CHECK(stat(second, &st) != 0);
	lb_config_free(c);
	fd = keeper_open_log(link, secret); /* the log of the start */
	CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	write_text(more, "abort_on_close = 3;\n");
	c = s->read(s->arg, file);
	CHECK(c && conf_fault_count(c->conf) == 1);
	lb_config_free(c);
	unlink(file);
	c = s->read(s->arg, file);
	CHECK(c && conf_unreadable(c->conf));
	lb_config_free(c);
}

START_TEST(gives)
{
	ck_assert_int_eq(with_child(ask_well), 0);
}
END_TEST

/* As a child that was taken over would: numbers as in keeper.c. */
static int ask_raw(struct keeper_link *link, unsigned ask, const char *text)
{
	char question[8192];
	int answer[2] = {0}, fd; /* error, value */

	memcpy(question, &ask, sizeof(ask));
	memcpy(question + sizeof(ask), text, strlen(text));
	CHECK(pass_send(link->sock, question, sizeof(ask) + strlen(text), -1) == 0);
	CHECK(pass_recv(link->sock, answer, sizeof(answer), &fd) == sizeof(answer));
	CHECK((fd >= 0) == (answer[0] == 0));
	if (fd >= 0)
		close(fd);
	return answer[0];
}

static void ask_badly(struct keeper_link *link)
{
	enum { READ, FILE_, LISTEN, LOG, REMOVE, NOTIFY, OFFICE, SPAWN, REAP, HAND_OVER };
	struct lb_config_listener other = {.bind = "127.0.0.1:1"};
	struct stat st;
	char nothing = 0;

	write_config(web, "off");
	CHECK(ask_raw(link, FILE_, file) == EPERM); /* nothing was read yet */
	lb_config_free(link->supply.read(link->supply.arg, file));
	CHECK(ask_raw(link, FILE_, file) == 0);
	CHECK(ask_raw(link, FILE_, more) == 0);
	CHECK(ask_raw(link, FILE_, "/etc/shadow") == EPERM);
	CHECK(ask_raw(link, FILE_, "") == EPERM);
	CHECK(ask_raw(link, LOG, "/etc/passwd") == EPERM);
	CHECK(ask_raw(link, LOG, file) == EPERM);
	CHECK(ask_raw(link, LISTEN, "127.0.0.1:1") == EPERM);
	CHECK(link->supply.listen(link->supply.arg, &other) == -EPERM);
	write_text(web, "a file");
	char bind[80];
	snprintf(bind, sizeof(bind), "unix:%s", web);
	CHECK(ask_raw(link, REMOVE, bind) == ENOENT); /* not of its making */
	snprintf(bind, sizeof(bind), "unix:%s", secret);
	CHECK(ask_raw(link, REMOVE, bind) == ENOENT);
	CHECK(stat(secret, &st) == 0);
	CHECK(ask_raw(link, 77, "") == EINVAL);
	CHECK(ask_raw(link, REMOVE, "127.0.0.1:1") == EINVAL);
	CHECK(ask_raw(link, SPAWN, "") == EBUSY); /* without a channel */
	CHECK(ask_raw(link, REAP, "0") == ESRCH);
	CHECK(ask_raw(link, HAND_OVER, "0") == ESRCH); /* to nobody */
	/* Too short, too long, nothing at all: no answer, and no harm. */
	CHECK(pass_send(link->sock, &nothing, 1, -1) == 0);
	char *large = calloc(1, 100000);
	CHECK(large && pass_send(link->sock, large, 100000, 2) == 0);
	free(large);
	CHECK(ask_raw(link, FILE_, more) == 0);
	CHECK(pass_send(link->sock, &nothing, 0, -1) == 0); /* as if it were gone */
}

START_TEST(gives_nothing_else)
{
	ck_assert_int_eq(with_child(ask_badly), 0);
}
END_TEST

static int count_open(pid_t of)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)of);
	DIR *all = opendir(path);
	CHECK(all);
	while (readdir(all))
		n++;
	closedir(all);
	return n;
}

/* Two descriptors, where the room for one has padding that a second fits. */
static void send_two(struct keeper_link *link)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	unsigned ask = 1;
	int fds[2] = {0, 1};
	struct iovec part = {&ask, sizeof(ask)};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = &control,
	        .msg_controllen = sizeof(control)};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	CHECK(ask_raw(link, 77, "") == EINVAL);
	int before = count_open(getppid());
	for (int i = 0; i < 8; i++) {
		int answer[2], none;

		CHECK(sendmsg(link->sock, &message, 0) == sizeof(ask));
		CHECK(pass_recv(link->sock, answer, sizeof(answer), &none) == sizeof(answer));
	}
	CHECK(ask_raw(link, 77, "") == EINVAL); /* it is through with the last one */
	CHECK(count_open(getppid()) == before);
}

START_TEST(keeps_no_descriptors)
{
	ck_assert_int_eq(with_child(send_two), 0);
}
END_TEST

/* A log's path is the configuration's, but who may write to its folder decides what stands there. */
static void link_logs(struct keeper_link *link)
{
	int fd;

	CHECK(unlink(secret) == 0 && symlink(more, secret) == 0);
	fd = keeper_open_log(link, secret); /* nobody else could have done that */
	CHECK(fd >= 0);
	close(fd);
	CHECK(chmod(folder, 0777) == 0);
	CHECK(keeper_open_log(link, secret) == -ELOOP);
	CHECK(unlink(secret) == 0 && linkat(AT_FDCWD, more, AT_FDCWD, secret, 0) == 0);
	CHECK(keeper_open_log(link, secret) == -EMLINK);
	CHECK(unlink(secret) == 0);
	fd = keeper_open_log(link, secret);
	CHECK(fd >= 0);
	close(fd);
}

START_TEST(follows_no_links_of_others)
{
	ck_assert_int_eq(with_child(link_logs), 0);
}
END_TEST

static void die(struct keeper_link *link)
{
	(void)link;
	raise(SIGKILL);
}

static void say_three(struct keeper_link *link)
{
	close(link->sock);
	_exit(3);
}

START_TEST(status)
{
	ck_assert_int_eq(with_child(die), 1);
	ck_assert_int_eq(with_child(say_three), 3);
}
END_TEST

static void wait_for_signals(struct keeper_link *link)
{
	static const int expected[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM};

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		CHECK(kill(getppid(), expected[i]) == 0);
		CHECK(signals_next() == expected[i]);
	}
	/* Questions are answered as before. */
	lb_config_free(link->supply.read(link->supply.arg, file));
}

START_TEST(hands_signals_on)
{
	ck_assert_int_eq(with_child(wait_for_signals), 0);
}
END_TEST

/* Signals that wait for it, as /proc has them. */
static unsigned long long pending(pid_t pid)
{
	char path[64], line[256];
	unsigned long long bits = 0, found;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "SigPnd: %llx", &found) == 1 || sscanf(line, "ShdPnd: %llx", &found) == 1)
			bits |= found;
	fclose(f);
	return bits;
}

static unsigned long long bit(int number)
{
	return 1ULL << (number - 1);
}

/* The process that takes over is told what the child was, which had no way back then. */
static void hand_over_when_told(struct keeper_link *link)
{
	static const int told[] = {SIGHUP, SIGUSR1, SIGTERM};
	const struct supply *s = &link->supply;
	int ends[2];
	pid_t heir;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	CHECK(s->spawn(s->arg, ends[1], &heir) == 0);
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		CHECK(kill(getppid(), told[i]) == 0);
		CHECK(signals_next() == told[i]);
	}
	CHECK(pending(heir) == 0);
	s->hand_over(s->arg, heir, false);
	CHECK(pending(heir) == (bit(SIGHUP) | bit(SIGUSR1) | bit(SIGTERM)));
	CHECK(kill(heir, SIGKILL) == 0);
}

/* And when that ends first, it is not the parent who asks how. */
static void hand_over_only(struct keeper_link *link)
{
	const struct supply *s = &link->supply;
	int ends[2];
	pid_t heir;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	CHECK(s->spawn(s->arg, ends[1], &heir) == 0);
	s->hand_over(s->arg, heir, false);
	CHECK(pending(heir) == 0);
	CHECK(kill(heir, SIGKILL) == 0);
}

START_TEST(hands_over)
{
	int how;

	/* Whoever has started us can be told, so that nobody is to stay. */
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", "/no/such/socket", 1), 0);
	ck_assert_int_eq(with_child(hand_over_when_told), 0);
	ck_assert_int_gt(waitpid(-1, &how, 0), 0);
	ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
	ck_assert_int_eq(with_child(hand_over_only), 0);
	ck_assert_int_gt(waitpid(-1, &how, 0), 0);
	ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
	ck_assert_int_eq(unsetenv("NOTIFY_SOCKET"), 0);
}
END_TEST

static void read_parts(struct keeper_link *link)
{
	CHECK(reads(conf_open(secret), "secret"));
	lock_destroy(&link->lock);
}

START_TEST(opens_as_itself)
{
	ck_assert_int_eq(with_child(read_parts), 0);
	ck_assert_int_eq(conf_open("/no/such/file"), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb/keeper");
	TCase *t = tcase_create("keeper");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, gives);
	tcase_add_test(t, gives_nothing_else);
	tcase_add_test(t, keeps_no_descriptors);
	tcase_add_test(t, follows_no_links_of_others);
	tcase_add_test(t, status);
	tcase_add_test(t, hands_signals_on);
	tcase_add_test(t, hands_over);
	tcase_add_test(t, opens_as_itself);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
