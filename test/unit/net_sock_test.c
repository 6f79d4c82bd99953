/* Sockets: listening, accepting, connecting over TCP, IPv6 and Unix sockets; quiet and reset connections. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/sock.h"

enum { PATIENCE_MS = 20000 };

static char folder[] = "/tmp/tplb-net-sock-XXXXXX";
static char path[64];

static struct addr parsed(const char *text)
{
	struct addr a;
	const char *why;

	ck_assert_msg(addr_parse(text, true, &a, &why), "%s: %s", text, why);
	return a;
}

/* What the system made of port 0. */
static struct addr bound(int fd)
{
	struct addr a = {.len = sizeof(a.u)};

	ck_assert_int_eq(getsockname(fd, &a.u.any, &a.len), 0);
	return a;
}

static short wait_for(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};

	ck_assert_int_eq(poll(&one, 1, PATIENCE_MS), 1);
	return one.revents;
}

static void assert_flags(int fd)
{
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

struct pair {
	int listener, client, server;
	struct addr peer;
};

static struct pair connected(const char *text)
{
	struct addr at = parsed(text);
	struct pair p;
	bool pending;

	p.listener = sock_listen(&at, 16);
	ck_assert_int_ge(p.listener, 0);
	at = bound(p.listener);
	ck_assert_int_eq(sock_accept(p.listener, &p.peer), -EAGAIN);
	p.client = sock_connect_start(&at, &pending);
	ck_assert_int_ge(p.client, 0);
	if (pending)
		wait_for(p.client, POLLOUT);
	ck_assert_int_eq(sock_error(p.client), 0);
	wait_for(p.listener, POLLIN);
	p.server = sock_accept(p.listener, &p.peer);
	ck_assert_int_ge(p.server, 0);
	return p;
}

static void close_pair(struct pair p)
{
	close(p.client);
	close(p.server);
	close(p.listener);
}

static bool has_ipv6(void)
{
	struct addr at = parsed("[::1]:0");
	int fd = sock_listen(&at, 1);

	close(fd);
	return fd >= 0;
}

static const char *const places[] = {"127.0.0.1:0", "[::1]:0", "unix:"};

START_TEST(round_trip)
{
	char text[80], byte;

	if (_i == 1 && !has_ipv6())
		return;
	snprintf(text, sizeof(text), "%s%s", places[_i], _i == 2 ? path : "");
	struct pair p = connected(text);
	bool is_unix = p.peer.u.any.sa_family == AF_UNIX;
	ck_assert_int_eq(p.peer.u.any.sa_family, _i == 0 ? AF_INET : _i == 1 ? AF_INET6 : AF_UNIX);
	assert_flags(p.listener);
	assert_flags(p.client);
	assert_flags(p.server);
	if (!is_unix) {
		ck_assert_int_ne(option(p.server, IPPROTO_TCP, TCP_NODELAY), 0);
		ck_assert_int_ne(option(p.client, IPPROTO_TCP, TCP_NODELAY), 0);
		struct addr client = bound(p.client);
		ck_assert_uint_eq(addr_port(&p.peer), addr_port(&client));
	}
	ck_assert_int_eq(send(p.client, "x", 1, 0), 1);
	wait_for(p.server, POLLIN);
	ck_assert_int_eq(recv(p.server, &byte, 1, 0), 1);
	ck_assert_int_eq(byte, 'x');
	close_pair(p);
}
END_TEST

START_TEST(port_in_use)
{
	struct addr at = parsed("127.0.0.1:0");
	int first = sock_listen(&at, 1);

	at = bound(first);
	ck_assert_int_eq(sock_listen(&at, 1), -EADDRINUSE);
	close(first);
	/* A port whose last connections are still in TIME_WAIT can be had at once. */
	struct pair p = connected("127.0.0.1:0");
	at = bound(p.listener);
	close(p.server);
	wait_for(p.client, POLLIN);
	close(p.client);
	close(p.listener);
	int again = sock_listen(&at, 1);
	ck_assert_int_ge(again, 0);
	close(again);
}
END_TEST

/* [::] leaves IPv4 of the same port to another listener. */
START_TEST(ipv6_only)
{
	struct addr at = parsed("[::]:0"), v4 = parsed("127.0.0.1:0");
	int six = sock_listen(&at, 1);

	if (six < 0)
		return;
	at = bound(six);
	v4.u.in.sin_port = at.u.in6.sin6_port;
	int four = sock_listen(&v4, 1);
	ck_assert_int_ge(four, 0);
	close(six);
	close(four);
}
END_TEST

START_TEST(unix_files)
{
	char text[80];
	struct stat st;

	snprintf(text, sizeof(text), "unix:%s", path);
	struct addr at = parsed(text);
	int first = sock_listen(&at, 4);
	ck_assert_int_ge(first, 0);
	ck_assert_int_eq(sock_listen(&at, 4), -EADDRINUSE);
	ck_assert_int_eq(stat(path, &st), 0);
	/* It died and left its file. */
	close(first);
	ck_assert_int_eq(stat(path, &st), 0);
	struct pair p = connected(text);
	close_pair(p);
	ck_assert_int_eq(unlink(path), 0);
	/* Another's file that is no socket stays. */
	int file = open(path, O_CREAT | O_WRONLY, 0600);
	close(file);
	ck_assert_int_eq(sock_listen(&at, 4), -EADDRINUSE);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_int_eq(unlink(path), 0);
	/* Nowhere to put it. */
	snprintf(text, sizeof(text), "unix:%s/none/x", folder);
	at = parsed(text);
	ck_assert_int_eq(sock_listen(&at, 4), -ENOENT);
}
END_TEST

/* A live listener whose backlog is full takes no connection, and is not dead for that. */
/* The umask at that moment is not what counts, and is as before afterwards. */
START_TEST(unix_private)
{
	char text[80];
	struct stat st;

	snprintf(text, sizeof(text), "unix:%s", path);
	struct addr at = parsed(text);
	mode_t before = umask(0);
	int fd = sock_listen_private(&at, 8, geteuid(), getegid());
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(umask(before), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(sock_listen_private(&at, 8, geteuid(), getegid()), -EADDRINUSE);
	close(fd);
	fd = sock_listen_private(&at, 8, geteuid(), getegid()); /* nobody listens: replaced */
	ck_assert_int_ge(fd, 0);
	close(fd);
	unlink(path);
	if (geteuid() != 0) { /* it cannot be given away: then there is none */
		ck_assert_int_eq(sock_listen_private(&at, 8, 0, 0), -EPERM);
		ck_assert_int_eq(stat(path, &st), -1);
		return;
	}
	fd = sock_listen_private(&at, 8, 7, 8);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(st.st_uid == 7 && st.st_gid == 8);
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(unix_busy)
{
	char text[80];
	int clients[8];
	bool pending;

	snprintf(text, sizeof(text), "unix:%s", path);
	struct addr at = parsed(text);
	int first = sock_listen(&at, 1);
	for (int i = 0; i < 8; i++)
		clients[i] = sock_connect_start(&at, &pending);
	ck_assert_int_eq(clients[7], -EAGAIN);
	ck_assert_int_eq(sock_listen(&at, 4), -EADDRINUSE);
	for (int i = 0; i < 8; i++)
		if (clients[i] >= 0)
			close(clients[i]);
	close(first);
	unlink(path);
}
END_TEST

START_TEST(refused)
{
	struct addr at = parsed("127.0.0.1:0");
	char text[80];
	bool pending;
	int listener = sock_listen(&at, 1);

	at = bound(listener);
	close(listener);
	int fd = sock_connect_start(&at, &pending);
	if (fd >= 0) {
		wait_for(fd, POLLOUT);
		ck_assert_int_eq(sock_error(fd), -ECONNREFUSED);
		close(fd);
	} else {
		ck_assert_int_eq(fd, -ECONNREFUSED);
	}
	snprintf(text, sizeof(text), "unix:%s", path);
	at = parsed(text);
	ck_assert_int_eq(sock_connect_start(&at, &pending), -ENOENT);
	listener = sock_listen(&at, 1);
	close(listener);
	ck_assert_int_eq(sock_connect_start(&at, &pending), -ECONNREFUSED);
	unlink(path);
}
END_TEST

START_TEST(quiet)
{
	struct pair p = connected("127.0.0.1:0");
	char byte;

	ck_assert(sock_is_quiet(p.client));
	ck_assert(sock_is_quiet(p.server));
	ck_assert_int_eq(send(p.server, "x", 1, 0), 1);
	wait_for(p.client, POLLIN);
	ck_assert(!sock_is_quiet(p.client));
	ck_assert_int_eq(recv(p.client, &byte, 1, 0), 1); /* it was only looked at */
	ck_assert(sock_is_quiet(p.client));
	close(p.server);
	wait_for(p.client, POLLIN);
	ck_assert(!sock_is_quiet(p.client));
	close(p.client);
	close(p.listener);
	p = connected("127.0.0.1:0");
	sock_reset(p.server);
	wait_for(p.client, POLLIN);
	ck_assert(!sock_is_quiet(p.client));
	close(p.client);
	close(p.listener);
	ck_assert(!sock_is_quiet(-1));
}
END_TEST

/* Bytes that nobody has read yet do not hide it. */
START_TEST(peer)
{
	struct pair p = connected("127.0.0.1:0");
	char text[80];

	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_THERE);
	ck_assert_int_eq(send(p.client, "x", 1, 0), 1);
	wait_for(p.server, POLLIN);
	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_THERE);
	ck_assert_int_eq(shutdown(p.client, SHUT_WR), 0);
	wait_for(p.server, POLLRDHUP);
	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_ENDED);
	sock_reset(p.client);
	wait_for(p.server, POLLERR);
	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_GONE);
	close(p.server);
	close(p.listener);
	snprintf(text, sizeof(text), "unix:%s", path);
	p = connected(text);
	ck_assert_int_eq(send(p.client, "x", 1, 0), 1);
	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_THERE);
	ck_assert_int_eq(shutdown(p.client, SHUT_WR), 0);
	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_ENDED);
	close(p.client);
	ck_assert_int_eq(sock_peer(p.server), SOCK_PEER_GONE);
	close(p.server);
	close(p.listener);
	unlink(path);
}
END_TEST

START_TEST(reset)
{
	struct pair p = connected("127.0.0.1:0");
	char byte;

	sock_reset(p.server);
	ck_assert_int_ne(wait_for(p.client, POLLIN) & POLLERR, 0);
	ck_assert_int_eq(recv(p.client, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(p.client);
	close(p.listener);
}
END_TEST

START_TEST(limit)
{
	unsigned long now = sock_raise_limit(0);

	ck_assert_uint_gt(now, 0);
	ck_assert_uint_eq(sock_raise_limit(now - 1), now); /* never lowered */
	ck_assert_uint_ge(sock_raise_limit(now), now);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/sock");
	TCase *tc = tcase_create("sock");

	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "%s/s", folder);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, round_trip, 0, 3);
	tcase_add_test(tc, port_in_use);
	tcase_add_test(tc, ipv6_only);
	tcase_add_test(tc, unix_files);
	tcase_add_test(tc, unix_private);
	tcase_add_test(tc, unix_busy);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, quiet);
	tcase_add_test(tc, peer);
	tcase_add_test(tc, reset);
	tcase_add_test(tc, limit);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	unlink(path);
	rmdir(folder);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
