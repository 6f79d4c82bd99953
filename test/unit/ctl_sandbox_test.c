/* What the sandbox lets through and what it does not. Each test is a process of its own, whose end is looked at. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/sandbox.h"
#include "denied_call.h"

static int landlock_abi; /* 0: none */
static int has_seccomp;

/* In a child: the answer is its exit status, or 256 and the signal. */
static int ends(int (*doing)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char text[SANDBOX_TEXT_BYTES];

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || sandbox_enter(text) < 0)
			_exit(99);
		_exit(doing());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int probe(void)
{
	return 0;
}

/* What is there: as sandbox_enter says it, in a child again. */
static void look(void)
{
	int pipes[2];
	char text[SANDBOX_TEXT_BYTES] = "";

	ck_assert_int_eq(pipe(pipes), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		int count = sandbox_enter(text);
		(void)!write(pipes[1], text, sizeof(text));
		_exit(count < 0 ? 99 : count);
	}
	ck_assert_int_eq(read(pipes[0], text, sizeof(text)), sizeof(text));
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_ne(WEXITSTATUS(status), 99);
	const char *abi = strstr(text, "ABI ");
	landlock_abi = abi ? atoi(abi + 4) : 0;
	has_seccomp = strstr(text, "seccomp") != NULL;
	ck_assert_int_eq(WEXITSTATUS(status), (landlock_abi > 0) + has_seccomp);
	close(pipes[0]);
	close(pipes[1]);
}

static int failed_with(int result)
{
	return result < 0 ? errno : 0;
}

static int read_hosts(void)
{
	char text[64];
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);

	return fd < 0 || read(fd, text, sizeof(text)) < 0 ? errno : 0;
}

static int write_file(void)
{
	return failed_with(open("/tmp/tplb-sandbox-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int list_root(void)
{
	return failed_with(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int listen_tcp(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 98;
	int error = failed_with(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	return error != 0 ? error : failed_with(listen(fd, 1));
}

static int run_program(void)
{
	char *const argv[] = {"true", NULL};

	return failed_with(execv("/bin/true", argv));
}

static int start_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return failed_with(pid);
}

static int become_root(void)
{
	return failed_with((int)syscall(SYS_setuid, 0));
}

static int trace(void)
{
	return failed_with((int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int open_packet_socket(void)
{
	return failed_with(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int map_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static int signal_parent(void)
{
	return failed_with(kill(getppid(), 0));
}

static void *on_thread(void *arg)
{
	return arg;
}

static int start_thread(void)
{
	pthread_t thread;
	void *result;
	int given;

	return pthread_create(&thread, NULL, on_thread, &given) != 0 || pthread_join(thread, &result) != 0 ||
	       result != &given;
}

static int look_up(void)
{
	struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

	if (getaddrinfo("localhost", "80", &hints, &found) != 0)
		return 1;
	freeaddrinfo(found);
	return 0;
}

static int give_abort(void)
{
	abort();
}

START_TEST(lets_through)
{
	ck_assert_int_eq(ends(probe), 0);
	ck_assert_int_eq(ends(read_hosts), 0);
	ck_assert_int_eq(ends(start_thread), 0);
	ck_assert_int_eq(ends(look_up), 0);
	ck_assert_int_eq(ends(give_abort), 256 + SIGABRT);
}
END_TEST

START_TEST(landlock)
{
	if (landlock_abi == 0)
		return;
	ck_assert_int_eq(ends(write_file), EACCES);
	ck_assert_int_eq(access("/tmp/tplb-sandbox-test", F_OK), -1);
	ck_assert_int_eq(ends(list_root), EACCES);
	if (!has_seccomp)
		ck_assert_int_eq(ends(run_program), EACCES);
	if (landlock_abi >= 4)
		ck_assert_int_eq(ends(listen_tcp), EACCES);
	if (landlock_abi >= 6 && !has_seccomp)
		ck_assert_int_eq(ends(signal_parent), EPERM);
}
END_TEST

START_TEST(seccomp)
{
	if (!has_seccomp)
		return;
	ck_assert_int_eq(ends(run_program), 256 + SIGSYS);
	ck_assert_int_eq(ends(start_process), 256 + SIGSYS);
	ck_assert_int_eq(ends(become_root), 256 + SIGSYS);
	ck_assert_int_eq(ends(trace), 256 + SIGSYS);
	ck_assert_int_eq(ends(open_packet_socket), ENOSYS);
	ck_assert_int_eq(ends(map_code), ENOSYS);
	ck_assert_int_eq(ends(signal_parent), ENOSYS);
}
END_TEST

#ifdef SYS_landlock_create_ruleset
/* As by a service manager's filter: what can be had holds all the same, and that is said. */
START_TEST(landlock_refused)
{
	int status;

	if (landlock_abi == 0 || !has_seccomp || !may_deny())
		return;
	deny(SYS_landlock_create_ruleset, EPERM);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char text[SANDBOX_TEXT_BYTES] = "";

		if (sandbox_enter(text) != -EPERM)
			_exit(1);
		if (strcmp(text, "Landlock: Operation not permitted (seccomp holds)") != 0)
			_exit(2);
		_exit(open_packet_socket() == ENOSYS ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("ctl/sandbox");
	TCase *t = tcase_create("sandbox");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_unchecked_fixture(t, look, NULL);
	tcase_add_test(t, lets_through);
	tcase_add_test(t, landlock);
	tcase_add_test(t, seccomp);
#ifdef SYS_landlock_create_ruleset
	tcase_add_test(t, landlock_refused);
#endif
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
