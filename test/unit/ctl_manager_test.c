/* What a service manager is told and gives: notices to $NOTIFY_SOCKET, listening sockets by $LISTEN_FDS. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/activation.h"
#include "ctl/notify.h"

static int manager(const char *name, size_t len)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	memcpy(at.sun_path, name, len);
	ck_assert_int_eq(
	        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
	        0);
	return fd;
}

static void check_hears(int fd, const char *text)
{
	char got[128];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	ck_assert_msg(strncmp(got, text, strlen(text)) == 0, "%s", got);
}

START_TEST(notices)
{
	char path[64];

	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(notify_send(NOTICE_READY), 0);
	snprintf(path, sizeof(path), "/tmp/tplb-notify-%d", (int)getpid());
	int fd = manager(path, strlen(path) + 1);
	setenv("NOTIFY_SOCKET", path, 1);
	ck_assert_int_eq(notify_send(NOTICE_READY), 0);
	check_hears(fd, "READY=1");
	ck_assert_int_eq(notify_send(NOTICE_RELOADING), 0);
	check_hears(fd, "RELOADING=1\nMONOTONIC_USEC=");
	ck_assert_int_eq(notify_send(NOTICE_STOPPING), 0);
	check_hears(fd, "STOPPING=1");
	ck_assert_int_eq(notify_send(NOTICE_ALIVE), 0);
	check_hears(fd, "WATCHDOG=1");
	close(fd);
	unlink(path);
	ck_assert_int_eq(notify_send(NOTICE_READY), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	ck_assert_int_eq(notify_send(NOTICE_READY), -EINVAL);
}
END_TEST

START_TEST(abstract)
{
	char name[64] = "", variable[64];

	snprintf(name + 1, sizeof(name) - 1, "tplb-notify-%d", (int)getpid());
	snprintf(variable, sizeof(variable), "@%s", name + 1);
	int fd = manager(name, 1 + strlen(name + 1));
	setenv("NOTIFY_SOCKET", variable, 1);
	ck_assert_int_eq(notify_send(NOTICE_READY), 0);
	check_hears(fd, "READY=1");
	close(fd);
}
END_TEST

/* A manager that has much to hear. */
START_TEST(waits)
{
	char path[64], text[64], next[8];
	pid_t reader;
	int status;

	snprintf(path, sizeof(path), "/tmp/tplb-notify-%d", (int)getpid());
	int fd = manager(path, strlen(path) + 1);
	setenv("NOTIFY_SOCKET", path, 1);
	for (status = 0; status == 0;)
		status = notify_send(NOTICE_ALIVE);
	ck_assert_int_eq(status, -EAGAIN);
	reader = fork();
	ck_assert_int_ge(reader, 0);
	if (reader == 0) {
		usleep(100000);
		_exit(recv(fd, text, sizeof(text), 0) < 0);
	}
	ck_assert_int_eq(notify_send_main(getpid()), 0);
	ck_assert_int_eq(waitpid(reader, &status, 0), reader);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(notify_send(NOTICE_READY), -EAGAIN);
	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1", (int)getpid());
	while (recv(fd, next, sizeof(next), MSG_DONTWAIT | MSG_PEEK) > 0 && memcmp(next, "WATCHDOG", 8) == 0)
		check_hears(fd, "WATCHDOG=1");
	check_hears(fd, text);
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(interval)
{
	char pid[32];

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	ck_assert_int_eq(notify_interval(), 0);
	setenv("WATCHDOG_USEC", "3000000", 1);
	ck_assert_int_eq(notify_interval(), INT64_C(1500000000));
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert_int_eq(notify_interval(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_int_eq(notify_interval(), INT64_C(1500000000));
	setenv("WATCHDOG_USEC", "3s", 1);
	ck_assert_int_eq(notify_interval(), 0);
	setenv("WATCHDOG_USEC", "9223372036854775807", 1);
	ck_assert_int_eq(notify_interval(), 0);
}
END_TEST

static int listener(int type, struct addr *at)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, type, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	ck_assert(type != SOCK_STREAM || listen(fd, 1) == 0);
	at->len = sizeof(at->u);
	ck_assert_int_eq(getsockname(fd, &at->u.any, &at->len), 0);
	return fd;
}

#define CHECK(condition) ((condition) ? (void)0 : _exit(__LINE__ % 256))

/* As a manager gives them, from 3 on: in a process of its own, for Check has descriptors there. */
static void take_three(const int *fds, const struct addr *web, const struct addr *datagrams)
{
	struct activation a = {0};
	char pid[32];

	for (int i = 0; i < 3; i++) /* out of the way first */
		CHECK(dup2(fds[i], 100 + i) == 100 + i);
	for (int i = 0; i < 3; i++)
		CHECK(dup2(100 + i, 3 + i) == 3 + i);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "a:b:c", 1);
	activation_take(&a);
	CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	CHECK(a.count == 2);
	CHECK(fcntl(4, F_GETFD) == -1); /* the datagram socket is shut */
	CHECK(activation_find(&a, datagrams) == -1);
	CHECK(activation_find(&a, web) == 3);
	CHECK(activation_find(&a, web) == -1);
	CHECK(fcntl(3, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(3, F_GETFL) & O_NONBLOCK);
	activation_end(&a);
	CHECK(fcntl(5, F_GETFD) == -1);
	CHECK(fcntl(3, F_GETFD) >= 0);
	_exit(0);
}

START_TEST(sockets)
{
	struct addr web, other, datagrams;
	int status, fds[] = {listener(SOCK_STREAM, &web), listener(SOCK_DGRAM, &datagrams),
	                    listener(SOCK_STREAM, &other)};
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0)
		take_three(fds, &web, &datagrams);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "line %d", WEXITSTATUS(status));
}
END_TEST

START_TEST(not_ours)
{
	struct activation a = {0};

	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "1", 1);
	activation_take(&a);
	ck_assert_uint_eq(a.count, 0);
	unsetenv("LISTEN_PID");
	setenv("LISTEN_FDS", "1", 1);
	activation_take(&a);
	ck_assert_uint_eq(a.count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl/manager");
	TCase *t = tcase_create("manager");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_test(t, notices);
	tcase_add_test(t, abstract);
	tcase_add_test(t, waits);
	tcase_add_test(t, interval);
	tcase_add_test(t, sockets);
	tcase_add_test(t, not_ours);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
