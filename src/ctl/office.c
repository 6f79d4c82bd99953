#include "ctl/office.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/diag.h"
#include "ctl/notify.h"
#include "ctl/signals.h"
#include "ctl/takeover.h"
#include "net/number.h"
#include "net/pass.h"

#define VARIABLE "TPLB_CARETAKER"
enum { END_PATIENCE_MS = 1000 };

void office_init(struct office *o, char *const *argv, int above)
{
	struct ucred maker = {0};
	socklen_t len = sizeof(maker);

	*o = (struct office){.above = above, .near = -1, .far = -1};
	lock_init(&o->lock);
	started_note(&o->started, argv);
	/* Who has made the pair of sockets, and is the caretaker now or will be. */
	if (above >= 0 && getsockopt(above, SOL_SOCKET, SO_PEERCRED, &maker, &len) == 0)
		o->boss = maker.pid;
}

void office_free(struct office *o)
{
	started_free(&o->started);
	lock_destroy(&o->lock);
}

/* Whether this process is the one that nobody can be told to take another one for. */
static bool is_to_stay(const struct office *o)
{
	const char *manager = getenv("NOTIFY_SOCKET");

	return o->above < 0 && (getpid() == 1 || !manager || !manager[0]);
}

static int prepare_to_stay(struct office *o)
{
	int ends[2];

	if (o->will_stay)
		return 0;
	/* The heir's heir is our child once the heir has ended, and not some other process's. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
	        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	o->near = ends[0];
	o->far = ends[1];
	o->will_stay = true;
	return 0;
}

int office_spawn(struct office *o, int channel, pid_t *pid)
{
	char variable[TAKEOVER_VARIABLE_BYTES];
	int error = is_to_stay(o) ? prepare_to_stay(o) : 0, inherited[3];
	size_t n = 0;

	if (error != 0)
		return error;
	int errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	NUMBER_TAKEN(errors);
	int caretaker = o->will_stay ? o->far : o->above;
	inherited[n++] = channel;
	if (errors >= 0)
		inherited[n++] = errors;
	if (caretaker >= 0)
		inherited[n++] = caretaker;
	takeover_variable(variable, channel, errors, caretaker);
	error = started_spawn(&o->started, variable, inherited, n, channel, pid);
	if (errors >= 0)
		close(errors);
	return -error;
}

/* Waits for its end for a moment. Where the kernel has no such descriptors (before 5.3) nobody waits. */
static void await_end(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = {.fd = fd, .events = POLLIN};

	NUMBER_TAKEN(fd);
	if (fd < 0)
		return;
	(void)poll(&ended, 1, END_PATIENCE_MS);
	close(fd);
}

int office_reap(struct office *o, pid_t pid, enum office_reap how)
{
	int status = -1;
	pid_t ended;

	(void)o;
	if (how == OFFICE_LOOK)
		return waitpid(pid, &status, WNOHANG) == pid ? status : -1;
	if (how == OFFICE_END)
		await_end(pid);
	(void)kill(pid, SIGKILL); /* one that has ended keeps its status */
	do
		ended = waitpid(pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	return status;
}

void office_hand_over(struct office *o, pid_t heir, bool reload)
{
	lock_take(&o->lock);
	o->heir = heir;
	lock_drop(&o->lock);
	if (o->above >= 0)
		(void)pass_send_now(
		        o->above, &heir, sizeof(heir)); /* a caretaker that is gone needs to know nothing */
	if (o->above >= 0 || o->will_stay)
		(void)notify_send(
		        NOTICE_READY); /* of process 1 of a container, say: still the one in office */
	else
		(void)notify_send_main(heir);
	if (reload)
		(void)kill(heir, SIGHUP);
}

/* What came over the socket says who is in office now. */
static void hear(int near, pid_t *heir)
{
	pid_t next;

	while (recv(near, &next, sizeof(next), MSG_DONTWAIT) == sizeof(next))
		*heir = next;
}

pid_t office_heir(struct office *o)
{
	lock_take(&o->lock);
	if (o->near >= 0 && o->heir)
		hear(o->near, &o->heir);
	pid_t heir = o->heir;
	lock_drop(&o->lock);
	return heir;
}

void office_stay(struct office *o)
{
	char variable[64];

	int heir = (int)office_heir(o);

	snprintf(variable, sizeof(variable), VARIABLE "=%d %d", o->near, heir);
	(void)fcntl(o->near, F_SETFD, 0);
	started_become(&o->started, heir, variable);
	diag_error("cannot stay to look after process %d, and leave it alone: %m", heir);
}

/* The caretaker -------------------------------------------------------------------------------------------------*/

struct caretaker {
	int near;
	pid_t heir;
	int status; /* of the process in office; -1: it runs */
};

/* All orphans come here. */
static void take_in_the_dead(struct caretaker *c)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		hear(c->near, &c->heir); /* before it ended it may have named another one */
		if (pid == c->heir)
			c->status = status;
	}
	/* Should somebody else have taken it in: nobody is left to wait for. */
	if (pid < 0 && errno == ECHILD && c->status < 0 && kill(c->heir, 0) != 0 && errno == ESRCH)
		c->status = W_EXITCODE(EXIT_FAILURE, 0);
}

static int exit_status(const struct caretaker *c)
{
	if (WIFEXITED(c->status))
		return WEXITSTATUS(c->status);
	diag_error("process %d, which had taken over, was ended by SIG%s", (int)c->heir,
	        sigabbrev_np(WTERMSIG(c->status)));
	return EXIT_FAILURE;
}

static int take_care(struct caretaker *c, int dead)
{
	struct pollfd fds[] = {{.fd = signals_open(), .events = POLLIN}, {.fd = dead, .events = POLLIN}};
	struct signalfd_siginfo info;
	pid_t from;
	int number;

	if (fds[0].fd < 0 || dead < 0)
		return EXIT_FAILURE;
	for (take_in_the_dead(c); c->status < 0; take_in_the_dead(c)) {
		int ready = poll(fds, 2, -1);

		MUST(ready > 0 || errno == EINTR || errno == ENOMEM);
		while (read(dead, &info, sizeof(info)) == sizeof(info))
			continue;
		while ((number = signals_take(fds[0].fd, &from)) != 0) {
			hear(c->near, &c->heir);
			(void)kill(c->heir, number); /* it may have ended */
		}
	}
	return exit_status(c);
}

int office_take_care(void)
{
	const char *said = getenv(VARIABLE);
	struct caretaker c = {.status = -1};
	sigset_t set;

	if (!said)
		return -1;
	if (sscanf(said, "%d %d", &c.near, &c.heir) != 2) {
		fprintf(stderr, "tplb: " VARIABLE " is tplb's own, and nobody else's to set\n");
		return EXIT_FAILURE;
	}
	signals_block();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	PTHREAD_OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
	return take_care(&c, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}
