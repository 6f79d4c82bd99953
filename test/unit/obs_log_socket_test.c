/* Lines to syslog's socket and the journal's, which are made here: what they look like, and what happens when nobody takes them. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/diag.h"
#include "obs/log.h"
#include "obs/log_target.h"

enum { DATAGRAM_MAX = 70000 };

static char folder[] = "/tmp/tplb-obs-socket-XXXXXX";
static char path[64], syslog_name[80], journal_name[80], file_path[64];
static char got[DATAGRAM_MAX];

static void setup(void)
{
	unlink(path);
	unlink(file_path);
}

/* Takes the place of the one that was there. */
static int listen_at(const char *at)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	unlink(at);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* One datagram, in `got`; Check's time limit is the bound. */
static const char *take(int fd)
{
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	return got;
}

static bool has_more(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static struct log *start(const char *out, const char *access)
{
	struct log_targets targets = {.output = out, .access = access, .tag = "me", .facility = 16};
	const char *where, *why;
	struct log *log = log_start(&targets, 2, &where, &why);

	ck_assert_msg(log != NULL, "%s: %s", where, why);
	return log;
}

/* "<PRI>Mmm dd hh:mm:ss me[PID]: ", and what comes behind it. */
static const char *check_syslog(const char *line, int priority)
{
	int pri, day, hour, minute, second, pid, len = 0;
	char month[4];

	ck_assert_msg(sscanf(line, "<%d>%3s %2d %2d:%2d:%2d me[%d]: %n", &pri, month, &day, &hour, &minute,
	                      &second, &pid, &len) == 7 &&
	                      len > 0,
	        "%s", line);
	ck_assert_int_eq(pri, priority);
	ck_assert_int_eq(pid, getpid());
	return line + len;
}

START_TEST(names)
{
	ck_assert_int_eq(log_socket_kind("syslog"), LOG_SOCKET_SYSLOG);
	ck_assert_int_eq(log_socket_kind("syslog:/x"), LOG_SOCKET_SYSLOG);
	ck_assert_int_eq(log_socket_kind("journald"), LOG_SOCKET_JOURNAL);
	ck_assert_int_eq(log_socket_kind("journald:/x"), LOG_SOCKET_JOURNAL);
	ck_assert_int_eq(log_socket_kind("syslog/x"), LOG_SOCKET_NONE);
	ck_assert_int_eq(log_socket_kind("/dev/log"), LOG_SOCKET_NONE);
	ck_assert_int_eq(log_socket_kind("journal"), LOG_SOCKET_NONE);
	ck_assert_int_eq(log_socket_open(syslog_name), -ENOENT);
	static const struct {
		const char *name;
		bool is_right;
	} rows[] = {{"syslog", true}, {"journald", true}, {"syslog:/x", true}, {"journald:/x", true},
	        {"syslog:192.0.2.1:514", true}, {"syslog:[::1]:514", true}, {"syslog:", false},
	        {"syslog:192.0.2.1", false}, {"syslog:192.0.2.1:", false}, {"syslog:192.0.2.1:0", false},
	        {"syslog:192.0.2.1:65536", false}, {"syslog:192.0.2.1:5x", false},
	        {"syslog:192.0.2.1:+5", false}, {"syslog::514", false}, {"syslog:[]:514", false},
	        {"syslog:]:514", false}, {"syslog:::1:514", false}, {"syslog:[192.0.2.1]:514", false},
	        {"syslog:name:514", false}, {"journald:", false}, {"journald:192.0.2.1:514", false},
	        {"journald:x", false}, {"stderr", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(log_socket_is_right(rows[i].name) == rows[i].is_right, "%s", rows[i].name);
	ck_assert_int_eq(log_socket_open("syslog:nonsense"), -EINVAL);
}
END_TEST

START_TEST(to_syslog)
{
	int fd = listen_at(path);
	struct log *log = start(syslog_name, syslog_name);

	diag_error("an error: %d", 7);
	diag_warning("a warning");
	diag_info("some\ninformation");
	ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 3), "error: an error: 7");
	ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 4), "warning: a warning");
	ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 6), "info: some?information");
	/* What looks like a mark in an access line is none. */
	ck_assert(log_access(log_ring(log, 0), STR("<0> GET /\n")));
	ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 6), "<0> GET /");
	log_stop(log);
	ck_assert(!has_more(fd));
	close(fd);
}
END_TEST

/* Over UDP, with both families; who hears nothing of it is not waited for. */
START_TEST(to_another_machine)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char name[80], host[80];
	const char *line;
	int pri, pid, month, end = 0;

	for (int six = 0; six < 2; six++) {
		int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		at = (struct sockaddr_storage){.ss_family = six ? AF_INET6 : AF_INET};
		if (six)
			((struct sockaddr_in6 *)&at)->sin6_addr = in6addr_loopback;
		else
			((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		len = six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
		if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0)
			continue; /* no IPv6 here */
		ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
		snprintf(name, sizeof(name), "syslog:%s:%d", six ? "[::1]" : "127.0.0.1",
		        ntohs(((struct sockaddr_in *)&at)->sin_port));
		struct log *log = start(name, name);
		diag_warning("far away");
		line = take(fd);
		ck_assert_msg(sscanf(line, "<%d>1 %*4d-%2d-%*2dT%*2d:%*2d:%*9[0-9.]Z %79s me %d - - %n", &pri,
		                      &month, host, &pid, &end) == 4 &&
		                      end > 0,
		        "%s", line);
		ck_assert_int_eq(pri, 16 * 8 + 4);
		ck_assert_int_eq(pid, getpid());
		ck_assert_str_eq(line + end, "warning: far away");
		close(fd);
		for (int i = 0; i < 10; i++)
			ck_assert(log_access(log_ring(log, 0), STR("nobody\n")));
		log_stop(log);
	}
}
END_TEST

START_TEST(to_the_journal)
{
	int fd = listen_at(path);
	struct log *log = start(journal_name, journal_name);

	diag_error("an error=7");
	ck_assert_str_eq(take(fd), "MESSAGE=error: an error=7\nPRIORITY=3\nSYSLOG_FACILITY=16\n"
	                           "SYSLOG_IDENTIFIER=me\nTPLB_LOG=diagnostics\n");
	ck_assert(log_access(log_ring(log, 0), STR("GET / 200\n")));
	ck_assert_str_eq(take(fd), "MESSAGE=GET / 200\nPRIORITY=6\nSYSLOG_FACILITY=16\nSYSLOG_IDENTIFIER=me\n"
	                           "TPLB_LOG=access\n");
	log_stop(log);
	close(fd);
}
END_TEST

/* A ring's end may lie amid a line: each is one datagram all the same, and all come, though the socket has room for a few only. */
START_TEST(lines_stay_whole)
{
	int fd = listen_at(path);
	struct log *log = start(file_path, syslog_name);
	char line[1100];
	unsigned lines = 500, taken = 0;

	for (unsigned sent = 0; sent < lines;) {
		int n = snprintf(line, sizeof(line), "%u %0*u\n", sent, (int)(sent * 7 % 1000) + 1, 0U);

		if (log_access(log_ring(log, 0), (struct str){line, (size_t)n})) {
			sent++;
			continue;
		}
		for (; has_more(fd); taken++) {
			n = snprintf(line, sizeof(line), "%u %0*u", taken, (int)(taken * 7 % 1000) + 1, 0U);
			ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 6), line);
		}
	}
	for (; taken < lines; taken++) {
		snprintf(line, sizeof(line), "%u %0*u", taken, (int)(taken * 7 % 1000) + 1, 0U);
		ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 6), line);
	}
	log_stop(log);
	close(fd);
}
END_TEST

/* Who took lines ends and is started again, with a socket of its own: the next line goes there, without another word. */
START_TEST(started_again)
{
	int fd = listen_at(path);
	struct log *log = start(file_path, syslog_name);

	ck_assert(log_access(log_ring(log, 0), STR("one\n")));
	ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 6), "one");
	close(fd);
	fd = listen_at(path);
	ck_assert(log_access(log_ring(log, 0), STR("two\n")));
	ck_assert_str_eq(check_syslog(take(fd), 16 * 8 + 6), "two");
	log_stop(log);
	close(fd);
	struct stat st;
	ck_assert_int_eq(stat(file_path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
}
END_TEST

static void wait_for_text(const char *part)
{
	for (;;) {
		int fd = open(file_path, O_RDONLY);
		ssize_t n = fd >= 0 ? read(fd, got, sizeof(got) - 1) : 0;

		got[n > 0 ? n : 0] = '\0';
		if (fd >= 0)
			close(fd);
		if (strstr(got, part))
			return;
		usleep(1000);
	}
}

/* Nobody is there from the start on: that is said, lines wait as far as there is room, are counted beyond it, and come once there is somebody. */
START_TEST(nobody_there)
{
	struct log *log = start(file_path, journal_name);
	unsigned kept = 0, lost = 0;

	wait_for_text("warning: log: nobody takes lines at journald:");
	while (lost < 10) {
		bool took = log_access(
		        log_ring(log, 0), STR("a line .....................................\n"));

		kept += took ? 1U : 0U;
		lost += took ? 0U : 1U;
	}
	wait_for_text("cannot write to journald:");
	diag_info("something else");
	wait_for_text("something else");
	ck_assert_uint_eq(log_lost(log), 10);
	int fd = listen_at(path);
	for (unsigned i = 0; i < kept; i++)
		ck_assert_int_eq(strncmp(take(fd), "MESSAGE=a line ....", 19), 0);
	wait_for_text("takes lines again; 10 were lost\n");
	log_stop(log);
	ck_assert(!has_more(fd));
	close(fd);
}
END_TEST

/* Somebody is there and takes nothing: the other log goes on. */
START_TEST(nobody_takes)
{
	int fd = listen_at(path);
	struct log *log = start(file_path, syslog_name);

	while (log_access(log_ring(log, 0), STR("a line ........................................\n")))
		;
	wait_for_text("does not take lines as fast as they come; some are lost");
	close(fd); /* else stopping has two seconds of patience: obs_log_test has that */
	log_stop(log);
}
END_TEST

static struct log_identity identity = {.tag = "me", .facility = 3, .what = "access"};

static int opener(void *arg, const char *name)
{
	(void)arg;
	return log_open(name, 0);
}

static void open_small(struct log_target *t, const char *name)
{
	int small = 1; /* the least that the kernel gives */

	target_name(t, name, &identity, opener, NULL);
	ck_assert_int_eq(target_open(t), 0);
	ck_assert_int_eq(setsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
}

/* No datagram has room for it: the journal gets a descriptor, of a file that stays as it is. */
START_TEST(long_entry)
{
	static char text[8000];
	int fd = listen_at(path), file;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	struct log_target t;
	struct str parts[2] = {{text, 5000}, {text + 5000, 3000}};

	memset(text, 'x', sizeof(text));
	open_small(&t, journal_name);
	ck_assert(target_send(&t, parts));
	ck_assert_int_eq(recvmsg(fd, &message, 0), 0);
	ck_assert_int_eq(control.header.cmsg_type, SCM_RIGHTS);
	memcpy(&file, CMSG_DATA(&control.header), sizeof(file));
	ssize_t n = pread(file, got, sizeof(got) - 1, 0);
	ck_assert_int_gt(n, 8008);
	got[n] = '\0';
	ck_assert_int_eq(memcmp(got, "MESSAGE=", 8), 0);
	ck_assert_int_eq(memcmp(got + 8, text, 8000), 0);
	ck_assert_str_eq(
	        got + 8008, "\nPRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=me\nTPLB_LOG=access\n");
	ck_assert_int_eq(fcntl(file, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	close(file);
	target_close(&t);
	close(fd);
}
END_TEST

/* syslog gets a part of it. */
START_TEST(long_line)
{
	static char text[8000];
	int fd = listen_at(path);
	struct log_target t;
	struct str parts[2] = {{text, 7000}, {text + 7000, 1000}};

	memset(text, 'x', sizeof(text));
	open_small(&t, syslog_name);
	ck_assert(target_send(&t, parts));
	size_t len = strlen(strchr(take(fd), 'x'));
	ck_assert_uint_ge(len, 1000);
	ck_assert_uint_lt(len, 7000);
	target_close(&t);
	close(fd);
}
END_TEST

/* Under systemd standard error is the journal's, which understands marks; anything else there gets the time and no mark. */
START_TEST(standard_error)
{
	int ends[2];
	struct stat st;
	char stream[64];

	for (int is_journal = 0; is_journal < 2; is_journal++) {
		ck_assert_int_eq(pipe(ends), 0);
		ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
		close(ends[1]);
		ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
		snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		        (unsigned long long)st.st_ino + (is_journal ? 0 : 1));
		ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
		struct log *log = start("stderr", "off");
		diag_warning("careful");
		log_stop(log);
		ssize_t n = read(ends[0], got, sizeof(got) - 1);
		ck_assert_int_gt(n, 0);
		got[n] = '\0';
		if (is_journal)
			ck_assert_str_eq(got, "<4>warning: careful\n");
		else
			ck_assert_ptr_nonnull(strstr(got, "Z warning: careful\n"));
		close(ends[0]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/log_socket");
	TCase *tc = tcase_create("sockets");

	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(file_path, sizeof(file_path), "%s/file", folder);
	snprintf(syslog_name, sizeof(syslog_name), "syslog:%s", path);
	snprintf(journal_name, sizeof(journal_name), "journald:%s", path);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, names);
	tcase_add_test(tc, to_syslog);
	tcase_add_test(tc, to_another_machine);
	tcase_add_test(tc, to_the_journal);
	tcase_add_test(tc, lines_stay_whole);
	tcase_add_test(tc, started_again);
	tcase_add_test(tc, nobody_there);
	tcase_add_test(tc, nobody_takes);
	tcase_add_test(tc, long_entry);
	tcase_add_test(tc, long_line);
	tcase_add_test(tc, standard_error);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	setup();
	rmdir(folder);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
