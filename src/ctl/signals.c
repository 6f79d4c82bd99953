#include "ctl/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/lock.h"

static void set_of(sigset_t *set, const int *numbers, size_t n)
{
	sigemptyset(set);
	for (size_t i = 0; i < n; i++)
		sigaddset(set, numbers[i]);
}

void signals_set(sigset_t *set)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

	set_of(set, numbers, sizeof(numbers) / sizeof(numbers[0]));
}

void signals_block(void)
{
	sigset_t set;

	signals_set(&set);
	PTHREAD_OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
	MUST(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	MUST(signal(SIGXFSZ, SIG_IGN) != SIG_ERR); /* a log at the limit of a file's size: the write fails */
	MUST(signal(SIGCHLD, SIG_DFL) !=
	        SIG_ERR); /* ignored, as some leave it, ends of processes would not be told */
}

static int wait_for(const sigset_t *set)
{
	int number;

	PTHREAD_OK(sigwait(set, &number));
	return number;
}

int signals_next(void)
{
	sigset_t set;

	signals_set(&set);
	return wait_for(&set);
}

int signals_next_by(int64_t deadline, pid_t *from)
{
	siginfo_t info = {0};
	sigset_t set;
	int64_t left; /* until CLOCK_NEVER some centuries, which is well */
	int number = -1;

	signals_set(&set);
	do {
		left = deadline - clock_now();
		if (left < 0)
			left = 0;
		struct timespec wait = {left / CLOCK_NS_PER_S, left % CLOCK_NS_PER_S};
		number = sigtimedwait(&set, &info, &wait);
		MUST(number >= 0 || errno == EAGAIN || errno == EINTR);
	} while (number < 0 && left > 0);
	*from = info.si_pid;
	return number < 0 ? 0 : number;
}

int signals_open(void)
{
	sigset_t set;

	signals_set(&set);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int signals_take(int fd, pid_t *from)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	*from = (pid_t)info.ssi_pid;
	return (int)info.ssi_signo;
}

bool signals_again(struct signals_told *told, pid_t from)
{
	bool *by = &told->by[from != told->parent], again = *by;

	*by = true;
	return again;
}

/* Written before its thread starts, that thread's from then on. */
static struct {
	int status;
	struct signals_told told;
	signals_taker *taker;
	void *arg;
} second;

static void *exit_on_next(void *arg)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	siginfo_t info = {0};
	sigset_t set;

	(void)arg;
	set_of(&set, numbers, 2);
	do
		while (sigwaitinfo(&set, &info) < 0)
			MUST(errno == EINTR);
	while (!signals_again(&second.told, info.si_pid));
	static const char text[] = "told to stop a second time: leaving at once\n";
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1); /* the log thread would be too late */
	_exit(second.status);
}

static void start_thread(void *(*run)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, NULL) != 0) {
		diag_warning("no thread to wait for a second signal: only SIGKILL ends the drain early");
		return;
	}
	PTHREAD_OK(pthread_detach(thread));
}

void signals_exit_on_next(int status, pid_t parent, pid_t first)
{
	second.status = status;
	second.told.parent = parent;
	(void)signals_again(&second.told, first);
	start_thread(exit_on_next);
}

/* Held from taking a signal off the descriptor until it is handed on. */
static struct lock handing;

static void hand_over_all(int fd)
{
	pid_t from;
	int number;

	lock_take(&handing);
	while ((number = signals_take(fd, &from)) != 0) {
		bool again = (number == SIGTERM || number == SIGINT) && signals_again(&second.told, from);

		second.taker(second.arg, number, again);
	}
	lock_drop(&handing);
}

static void *hand_over(void *arg)
{
	struct pollfd come = {.fd = signals_open(), .events = POLLIN};

	(void)arg;
	if (come.fd < 0) {
		diag_warning("no descriptor for signals: none is heard any more");
		return NULL;
	}
	for (;;) {
		int ready = poll(&come, 1, -1);

		MUST(ready > 0 || errno == EINTR || errno == ENOMEM);
		hand_over_all(come.fd);
	}
	return NULL;
}

void signals_leave_pending(void)
{
	lock_take(&handing);
}

void signals_hand_over(signals_taker *taker, void *arg, pid_t parent)
{
	second.taker = taker;
	second.arg = arg;
	second.told.parent = parent;
	lock_init(&handing);
	start_thread(hand_over);
}
