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
#include "lb/needs.h"
#include "net/pass.h"
#include "net/sock.h"
#include "obs/log.h"
#include "obs/log_target.h"

enum { TEXT_MAX = 4096 };

enum ask {
	ASK_READ,   /* read the configuration again; text: nothing */
	ASK_FILE,   /* a file of it, by its path */
	ASK_LISTEN, /* text: a listener's `bind` */
	ASK_LOG,    /* text: a log's path */
	ASK_REMOVE, /* the socket file of a closed listener; text: its `bind` */
	ASK_NOTIFY  /* text: a digit, enum notice; it gets no answer */
};

struct question {
	uint32_t ask; /* enum ask */
	char text[TEXT_MAX];
};

/* The answer is an int, 0 or an errno, and the descriptor. */

/* A file name; or a socket file that was made, by its path, and which it is. */
struct known {
	struct known *next;
	dev_t dev;
	ino_t ino;
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
	char folder[TEXT_MAX];
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

static void pass_notice_on(const char *text)
{
	if (text[0] >= '0' && text[0] < '0' + NOTICE_COUNT && text[1] == '\0')
		(void)notify_send(
		        (enum notice)(text[0] - '0')); /* who does not hear it asks for it no more */
}

/* 0 or an errno; a descriptor in *fd, to be closed once it is sent. */
static int answer_to(struct keeper *k, const struct question *q, int *fd)
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
	default:
		return EINVAL;
	}
	return *fd < 0 ? -*fd : 0;
}

/* False: the child asks no more. */
static bool answer(struct keeper *k)
{
	struct question q;
	int fd = -1, none;
	ssize_t n = pass_recv(k->sock, &q, sizeof(q) - 1, &none);

	if (none >= 0)
		close(none);
	if (n < (ssize_t)sizeof(q.ask))
		return n < 0 && n != -EMSGSIZE ? false : n != 0;
	((char *)&q)[n] = '\0';
	if (q.ask == ASK_NOTIFY) {
		pass_notice_on(q.text);
		return true;
	}
	int error = answer_to(k, &q, &fd);
	bool sent = pass_send(k->sock, &error, sizeof(error), fd) == 0;
	if (fd >= 0)
		close(fd);
	return sent;
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

int keeper_serve(struct keeper *k, pid_t child)
{
	struct pollfd fds[] = {{.fd = signals_open(), .events = POLLIN}, {.fd = k->ended, .events = POLLIN},
	        {.fd = k->sock, .events = POLLIN}};
	struct signalfd_siginfo info;
	int number, status;

	MUST(fds[0].fd >= 0); /* one descriptor more than a moment ago */
	for (;;) {
		int ready = poll(fds, 3, -1);

		MUST(ready > 0 || errno == EINTR || errno == ENOMEM);
		if (ready <= 0)
			continue;
		while (fds[0].revents && (number = signals_take(fds[0].fd)) != 0)
			(void)kill(child, number); /* it may have ended */
		if (fds[2].revents && !answer(k))
			fds[2].fd = -1;
		if (fds[1].revents && read(k->ended, &info, sizeof(info)) == sizeof(info) &&
		        waitpid(child, &status, WNOHANG) == child)
			break;
	}
	close(fds[0].fd);
	status = status_of(k, status);
	keeper_free(k);
	return status;
}

static struct keeper *keeper_new(
        const char *file, const struct lb_config *config, const struct activation *given, int sock)
{
	struct keeper *k = calloc(1, sizeof(*k));
	sigset_t set;

	if (!k)
		return NULL;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	*k = (struct keeper){.sock = sock, .file = file, .config = config};
	k->identity = (struct log_identity){.tag = config->log.tag,
	        .facility = config->log.facility,
	        .what = "diagnostics",
	        .marked = true};
	target_name(&k->output, config->log.output, &k->identity, open_output, k);
	k->ended = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (size_t i = 0; i < config->listeners.count; i++)
		if (!activation_gave(given, &lb_config_listener(config, i)->addr))
			note_socket(k, &lb_config_listener(config, i)->addr);
	note_socket(k, &config->admin.addr);
	if (!activation_gave(given, &config->admin.web))
		note_socket(k, &config->admin.web);
	return k;
}

static void block_child_signal(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	PTHREAD_OK(pthread_sigmask(how, &set, NULL));
}

/* The child's questions. A descriptor, or -errno; for questions without one, 0 or -errno. */
static int ask(struct keeper_link *link, enum ask what, const char *text)
{
	struct question q = {.ask = what};
	size_t len = strlen(text);
	int error, fd;

	if (len >= sizeof(q.text))
		return -ENAMETOOLONG;
	memcpy(q.text, text, len);
	lock_take(&link->lock);
	int failed = pass_send(link->sock, &q, sizeof(q.ask) + len, -1);
	ssize_t n = failed == 0 ? pass_recv(link->sock, &error, sizeof(error), &fd) : failed;
	lock_drop(&link->lock);
	if (n != sizeof(error))
		return n < 0 ? (int)n : -EPIPE; /* the parent is gone, and its signal on its way */
	return error != 0 ? -error : fd < 0 ? 0 : fd;
}

static int ask_file(void *link, const char *path)
{
	return ask(link, ASK_FILE, path);
}

static struct lb_config *ask_read(void *arg, const char *file)
{
	struct conf_opener opener = {arg, ask_file};

	return ask(arg, ASK_READ, "") == 0 ? lb_config_read_by(&opener, file) : NULL;
}

static int ask_listen(void *link, const struct lb_config_listener *l)
{
	return ask(link, ASK_LISTEN, l->bind);
}

int keeper_open_log(void *link, const char *path)
{
	return ask(link, ASK_LOG, path);
}

static void ask_remove(void *link, const struct lb_config_listener *l)
{
	(void)ask(link, ASK_REMOVE, l->bind);
}

/* Nobody waits for the parent here: it may be reading a file that does not come, and the child is to end all the same. */
static void ask_notify(void *arg, enum notice notice)
{
	const struct keeper_link *link = arg;
	const struct {
		uint32_t ask;
		char text[1];
	} q = {ASK_NOTIFY, {(char)('0' + notice)}};

	if (getenv("NOTIFY_SOCKET"))
		(void)pass_send_now(link->sock, &q, sizeof(q.ask) + 1);
}

pid_t keeper_fork(const char *file, const struct lb_config *config, const struct activation *given,
        struct keeper **keeper, struct keeper_link *link)
{
	int ends[2];

	*keeper = NULL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	/* Who asks and does not listen must not hold the parent up, who has signals to hand on. */
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	struct keeper *k = keeper_new(file, config, given, ends[0]);
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
	*link = (struct keeper_link){.sock = ends[1],
	        .supply = {.arg = link,
	                .read = ask_read,
	                .listen = ask_listen,
	                .remove = ask_remove,
	                .notify = ask_notify}};
	lock_init(&link->lock);
	return 0;
}
