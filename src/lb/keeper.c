#include "lb/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/diag.h"
#include "ctl/signals.h"
#include "lb/keeper_ask.h"
#include "lb/needs.h"
#include "net/pass.h"
#include "net/sock.h"
#include "obs/log.h"
#include "obs/log_target.h"

/* A file name; or a socket file that was made, by its path, and which it is. */
struct known {
	struct known *next;
	dev_t dev;
	ino_t ino;
	bool inherited; /* it is still the process's whose place this program takes */
	char path[];
};

struct keeper {
	int sock;
	int ended; /* signalfd: SIGCHLD */
	struct log_target
	        output; /* of diagnostics, as the child has it; not open: standard error, or none of ours */
	struct log_identity identity; /* of its lines */
	const char *file;
	const struct lb_config *config; /* of the start, the caller's */
	struct lb_config *next;         /* as read last; NULL: never */
	struct office *office;          /* the caller's */
	pid_t spawned;                  /* to take our place, and has not yet; 0: none */
	bool reload, reopen;            /* was handed on since: the child may have heard it too late */
	unsigned told[2];               /* to end: by others, by the caretaker */
	unsigned handed_on;             /* of these */
	struct known *files;            /* that reading it asked for */
	struct known *sockets;
};

static struct known *known_find(struct known *list, const char *path)
{
	while (list && strcmp(list->path, path) != 0)
		list = list->next;
	return list;
}

static void known_add(struct known **list, const char *path, const struct stat *st)
{
	size_t len = strlen(path) + 1;
	struct known *k = calloc(1, sizeof(*k) + len);

	if (!k)
		return; /* then it is not known: a file stays shut, a socket file is left */
	memcpy(k->path, path, len);
	k->dev = st ? st->st_dev : 0;
	k->ino = st ? st->st_ino : 0;
	k->next = *list;
	*list = k;
}

static void known_free(struct known **list)
{
	while (*list) {
		struct known *k = *list;

		*list = k->next;
		free(k);
	}
}

/* The socket file at this address is ours. */
static void note_socket(struct keeper *k, const struct addr *at)
{
	struct stat st;

	if (at->len == 0 || at->u.any.sa_family != AF_UNIX || lstat(at->u.un.sun_path, &st) != 0)
		return;
	struct known *made = known_find(k->sockets, at->u.un.sun_path);
	if (made) {
		made->dev = st.st_dev;
		made->ino = st.st_ino;
	} else {
		known_add(&k->sockets, at->u.un.sun_path, &st);
	}
}

/* Unless another one is in its place. */
static void remove_socket(const struct known *made)
{
	struct stat st;

	if (lstat(made->path, &st) == 0 && st.st_dev == made->dev && st.st_ino == made->ino)
		unlink(made->path);
}

static int open_and_note(void *arg, const char *path)
{
	struct keeper *k = arg;

	if (!known_find(k->files, path))
		known_add(&k->files, path, NULL);
	return conf_open(path);
}

static int answer_read(struct keeper *k)
{
	struct conf_opener opener = {k, open_and_note};

	lb_config_free(k->next);
	known_free(&k->files);
	k->next = lb_config_read_by(&opener, k->file);
	return k->next ? 0 : ENOMEM;
}

static const struct lb_config_listener *listener_of(const struct lb_config *c, const char *bind)
{
	for (size_t i = 0; c && i < c->listeners.count; i++) {
		const struct lb_config_listener *l = lb_config_listener(c, i);

		if (l->bind && strcmp(l->bind, bind) == 0)
			return l;
	}
	return NULL;
}

/* These give a descriptor or -errno. */

static int answer_listen(struct keeper *k, const char *bind)
{
	const struct lb_config_listener *l = listener_of(k->next, bind);
	struct addr at;
	const char *why;

	if (!l || !addr_parse(bind, true, &at, &why))
		return -EPERM;
	int fd = sock_listen(&at, LB_BACKLOG);
	if (fd >= 0)
		note_socket(k, &at);
	return fd;
}

static bool is_log(const struct lb_config *c, const char *path)
{
	return c && ((c->log.output && strcmp(c->log.output, path) == 0) ||
	                    (c->log.access && strcmp(c->log.access, path) == 0));
}

static bool is_own_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[KEEPER_TEXT_MAX];
	struct stat st;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	return stat(folder, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Where others may write, what stands at a log's path may be a link of theirs to a file that is not. */
static int open_log(const char *path)
{
	struct stat st;

	if (log_socket_kind(path) != LOG_SOCKET_NONE || is_own_folder_of(path))
		return log_open(path, 0);
	int fd = log_open_file(path, O_NOFOLLOW);
	if (fd >= 0 && (fstat(fd, &st) != 0 || st.st_nlink > 1)) {
		close(fd);
		fd = -EMLINK;
	}
	return fd;
}

static int open_output(void *arg, const char *path)
{
	(void)arg;
	return open_log(path);
}

static int answer_log(struct keeper *k, const char *path)
{
	if (!is_log(k->config, path) && !is_log(k->next, path))
		return -EPERM;
	int fd = open_log(path);
	if (fd >= 0 && strcmp(path, k->config->log.output) == 0) {
		target_close(&k->output);
		k->output.fd = dup(fd);
	}
	return fd;
}

static int answer_remove(struct keeper *k, const char *bind)
{
	struct addr at;
	const char *why;

	if (!addr_parse(bind, false, &at, &why) || at.u.any.sa_family != AF_UNIX)
		return EINVAL;
	for (struct known **link = &k->sockets; *link; link = &(*link)->next) {
		struct known *made = *link;

		if (strcmp(made->path, at.u.un.sun_path) != 0)
			continue;
		remove_socket(made);
		*link = made->next;
		free(made);
		return 0;
	}
	return ENOENT;
}

static void enter_office(struct keeper *k)
{
	for (struct known *made = k->sockets; made; made = made->next)
		made->inherited = false;
}

static int answer_spawn(struct keeper *k, int channel, int *pid)
{
	if (k->spawned || channel < 0)
		return EBUSY;
	k->reload = k->reopen = false;
	int error = office_spawn(k->office, channel, &k->spawned);
	if (error != 0)
		k->spawned = 0;
	*pid = k->spawned;
	return -error;
}

static int answer_reap(struct keeper *k, const char *text, int *status)
{
	if (!k->spawned || text[0] < '0' || text[0] > '0' + OFFICE_KILL)
		return ESRCH;
	*status = office_reap(k->office, k->spawned, (enum office_reap)(text[0] - '0'));
	if (*status != -1)
		k->spawned = 0;
	return 0;
}

/* The socket files are the other one's from here on. */
static int answer_hand_over(struct keeper *k, bool reload)
{
	pid_t heir = k->spawned;

	if (!heir)
		return ESRCH;
	k->spawned = 0; /* whoever looks after it learns how it ends */
	office_hand_over(k->office, heir, reload || k->reload);
	if (k->reopen)
		(void)kill(heir, SIGUSR1);
	if (k->handed_on > 0) /* too late for the child to give it up */
		(void)kill(heir, SIGTERM);
	known_free(&k->sockets);
	return 0;
}

static void pass_notice_on(const char *text)
{
	if (text[0] >= '0' && text[0] < '0' + NOTICE_COUNT && text[1] == '\0')
		(void)notify_send(
		        (enum notice)(text[0] - '0')); /* who does not hear it asks for it no more */
}

/* 0 or an errno. came: the descriptor with the question; *fd: the answer's, to be closed once it is sent; *value: a number. */
static int answer_to(struct keeper *k, const struct question *q, int came, int *fd, int *value)
{
	switch (q->ask) {
	case ASK_READ:
		return answer_read(k);
	case ASK_FILE:
		*fd = known_find(k->files, q->text) ? conf_open(q->text) : -EPERM;
		break;
	case ASK_LISTEN:
		*fd = answer_listen(k, q->text);
		break;
	case ASK_LOG:
		*fd = answer_log(k, q->text);
		break;
	case ASK_REMOVE:
		return answer_remove(k, q->text);
	case ASK_SPAWN:
		return answer_spawn(k, came, value);
	case ASK_REAP:
		return answer_reap(k, q->text, value);
	case ASK_HAND_OVER:
		return answer_hand_over(k, q->text[0] == '1');
	default:
		return EINVAL;
	}
	return *fd < 0 ? -*fd : 0;
}

/* False: the child asks no more. */
static bool answer_one(struct keeper *k, const struct question *q, int came)
{
	struct answer answer = {0};
	int fd = -1;

	if (q->ask == ASK_NOTIFY) {
		pass_notice_on(q->text);
		return true;
	}
	if (q->ask == ASK_OFFICE) {
		enter_office(k);
		return true;
	}
	answer.error = answer_to(k, q, came, &fd, &answer.value);
	bool sent = pass_send(k->sock, &answer, sizeof(answer), fd) == 0;
	if (fd >= 0)
		close(fd);
	return sent;
}

static bool answer(struct keeper *k)
{
	struct question q;
	int came;
	ssize_t n = pass_recv(k->sock, &q, sizeof(q) - 1, &came);
	bool goes_on = n < 0 ? n == -EMSGSIZE : n != 0;

	if (n >= (ssize_t)sizeof(q.ask)) {
		((char *)&q)[n] = '\0';
		goes_on = answer_one(k, &q, came);
	}
	if (came >= 0)
		close(came);
	return goes_on;
}

/* A failure has nowhere left to be told. */
static void to_output(void *arg, enum diag_level level, const char *line, size_t len)
{
	char marked[TARGET_DIAG_BYTES];
	struct keeper *k = arg;
	struct str said = target_diagnostic(&k->output, level, (struct str){line, len}, marked);

	if (k->output.kind == TARGET_SOCKET) {
		struct str parts[2] = {{said.at, said.len - 1}, STR("")};

		(void)target_send(&k->output, parts);
	} else {
		(void)target_write(&k->output, said);
	}
}

static int status_of(struct keeper *k, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (k->output.fd >= 0 && k->output.kind != TARGET_FD)
		diag_set_sink(to_output, k);
	diag_error("the process that serves was ended by SIG%s%s", sigabbrev_np(WTERMSIG(status)),
	        WTERMSIG(status) == SIGSYS ? ": it made a system call that the sandbox forbids" : "");
	diag_set_sink(NULL, NULL);
	return EXIT_FAILURE;
}

static void keeper_free(struct keeper *k)
{
	for (const struct known *made = k->sockets; made; made = made->next)
		if (!made->inherited)
			remove_socket(made);
	known_free(&k->sockets);
	known_free(&k->files);
	lb_config_free(k->next);
	if (k->sock >= 0)
		close(k->sock);
	if (k->ended >= 0)
		close(k->ended);
	target_close(&k->output);
	free(k);
}

/* The caretaker hands its signals on: one that was sent to all processes, as by killall, comes twice. */
static bool is_news(struct keeper *k, pid_t from)
{
	unsigned count = ++k->told[from == k->office->boss];
	bool news = count > k->handed_on;

	k->handed_on += news;
	return news;
}

/* A signal for the program, once for all who send it at the same time. */
static void hand_on(struct keeper *k, pid_t child, int number, pid_t from)
{
	bool ends = number == SIGTERM || number == SIGINT;
	pid_t heir = office_heir(k->office);

	if (ends && !is_news(k, from))
		return;
	k->reload = k->reload || number == SIGHUP;
	k->reopen = k->reopen || number == SIGUSR1;
	/* Once another one has taken over the child only drains, and need know only who is in a hurry. Any of them may have ended. */
	if (!heir || ends)
		(void)kill(child, number);
	if (heir && (k->office->will_stay || number == SIGHUP || number == SIGUSR1))
		(void)kill(heir, number);
}

int keeper_serve(struct keeper *k, pid_t child)
{
	struct pollfd fds[] = {{.fd = signals_open(), .events = POLLIN}, {.fd = k->ended, .events = POLLIN},
	        {.fd = k->sock, .events = POLLIN}};
	struct signalfd_siginfo info;
	struct office *office = k->office;
	int number, status;
	pid_t from;

	MUST(fds[0].fd >= 0); /* one descriptor more than a moment ago */
	for (;;) {
		int ready = poll(fds, 3, -1);

		MUST(ready > 0 || errno == EINTR || errno == ENOMEM);
		if (ready <= 0)
			continue;
		while (fds[0].revents && (number = signals_take(fds[0].fd, &from)) != 0)
			hand_on(k, child, number, from);
		if (fds[2].revents && !answer(k))
			fds[2].fd = -1;
		if (fds[1].revents && read(k->ended, &info, sizeof(info)) == sizeof(info) &&
		        waitpid(child, &status, WNOHANG) == child)
			break;
	}
	close(fds[0].fd);
	status = status_of(k, status);
	/* Who was started to take over, and has not come to it, will: there is nobody else. */
	if (k->spawned && !office_heir(office) && office_reap(office, k->spawned, OFFICE_LOOK) == -1)
		known_free(&k->sockets);
	keeper_free(k);
	if (office_heir(office) && office->will_stay)
		office_stay(office);
	return status;
}

static void note_socket_of(
        struct keeper *k, const struct activation *given, const char *role, const struct addr *at)
{
	if (activation_gave(given, at))
		return;
	note_socket(k, at);
	struct known *made = at->len > 0 && at->u.any.sa_family == AF_UNIX
	                             ? known_find(k->sockets, at->u.un.sun_path)
	                             : NULL;
	if (made)
		made->inherited = activation_is_inherited(given, role, at);
}

static struct keeper *keeper_new(const char *file, const struct lb_config *config,
        const struct activation *given, struct office *office, int sock)
{
	struct keeper *k = calloc(1, sizeof(*k));
	sigset_t set;

	if (!k)
		return NULL;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	*k = (struct keeper){.sock = sock, .file = file, .config = config, .office = office};
	k->identity = (struct log_identity){.tag = config->log.tag,
	        .facility = config->log.facility,
	        .what = "diagnostics",
	        .marked = true};
	target_name(&k->output, config->log.output, &k->identity, open_output, k);
	k->ended = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (size_t i = 0; i < config->listeners.count; i++)
		note_socket_of(k, given, ACTIVATION_LISTENER, &lb_config_listener(config, i)->addr);
	note_socket_of(k, given, ACTIVATION_ADMIN, &config->admin.addr);
	note_socket_of(k, given, ACTIVATION_WEB, &config->admin.web);
	return k;
}

static void block_child_signal(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	PTHREAD_OK(pthread_sigmask(how, &set, NULL));
}

pid_t keeper_fork(const char *file, const struct lb_config *config, const struct activation *given,
        struct office *office, struct keeper **keeper, struct keeper_link *link)
{
	int ends[2];

	*keeper = NULL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	/* Who asks and does not listen must not hold the parent up, who has signals to hand on. */
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	struct keeper *k = keeper_new(file, config, given, office, ends[0]);
	block_child_signal(SIG_BLOCK);
	pid_t child = k && k->ended >= 0 ? fork() : -1;
	int error = k ? errno : ENOMEM;
	if (child > 0) {
		close(ends[1]);
		*keeper = k;
		return child;
	}
	block_child_signal(SIG_UNBLOCK);
	if (k) { /* without its socket files: they are in use, or the caller's */
		known_free(&k->sockets);
		keeper_free(k);
	} else {
		close(ends[0]);
	}
	if (child < 0) {
		close(ends[1]);
		return -error;
	}
	keeper_link_init(link, ends[1]);
	return 0;
}
