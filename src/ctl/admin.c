#include "ctl/admin.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/sock.h"

enum { BACKLOG = 128 };
#define PATIENCE_NS (30 * CLOCK_NS_PER_S)
#define STOP_PATIENCE_NS (500 * CLOCK_NS_PER_MS)
#define RETRY_NS (100 * CLOCK_NS_PER_MS) /* after an accept that failed, for want of descriptors */

struct peer {
	int fd;        /* -1: a free place */
	int64_t since; /* it came, or was given its last answer */
	char in[ANSWER_LINE_MAX];
	size_t in_len;
	char *out; /* the answer that it has not taken yet; NULL: none */
	size_t out_len, out_sent;
	bool ended; /* it sends no more */
	bool leave; /* it is closed once it has its answer */
};

/* The thread's alone once that runs. */
struct admin {
	struct addr at;
	struct stat file; /* as it was made */
	int listener;
	int wake;  /* eventfd: the thread is to end */
	int ended; /* eventfd: it has ended */
	int64_t accept_at;
	const struct answer_command *table;
	void *arg;
	struct peer peers[ADMIN_CONNECTIONS];
	bool runs;
	pthread_t thread;
};

static void drop(struct peer *p)
{
	close(p->fd);
	free(p->out);
	p->fd = -1;
	p->out = NULL;
}

/* The line in front of the buffer, which is `len` bytes and `skip` in all, is answered; the answer waits to be sent. */
static void answer_line(struct admin *a, struct peer *p, size_t len, size_t skip)
{
	FILE *out = open_memstream(&p->out, &p->out_len);
	char line[ANSWER_LINE_MAX];

	if (!out) {
		p->out = NULL;
		p->leave = true;
		return;
	}
	memcpy(line, p->in, len);
	if (len > 0 && line[len - 1] == '\r')
		len--;
	p->leave = !answer(a->table, a->arg, line, len, out);
	if (fclose(out) != 0) {
		free(p->out);
		p->out = NULL;
		p->leave = true;
	}
	p->out_sent = 0;
	p->in_len -= skip;
	memmove(p->in, p->in + skip, p->in_len);
	p->since = clock_now();
}

/* An answer that is no command's, and the end. */
static void refuse(struct peer *p, const char *text)
{
	p->out = strdup(text);
	p->out_len = p->out ? strlen(text) : 0;
	p->out_sent = 0;
	p->leave = true;
}

/* Answers the next whole line. False: there is none. */
static bool next_line(struct admin *a, struct peer *p)
{
	char *end = memchr(p->in, '\n', p->in_len);

	if (end) {
		size_t len = (size_t)(end - p->in);

		answer_line(a, p, len, len + 1);
		return true;
	}
	if (p->in_len == sizeof(p->in)) {
		refuse(p, "error: the line is too long; a command has at most 4095 bytes\n");
		return true;
	}
	if (p->ended && p->in_len > 0) {
		refuse(p, "error: the line was cut short; a command ends with a newline\n");
		return true;
	}
	return false;
}

/* False: it has not taken all of it, or is gone. */
static bool send_answer(struct peer *p)
{
	while (p->out_sent < p->out_len) {
		ssize_t n = send(p->fd, p->out + p->out_sent, p->out_len - p->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				drop(p);
			return false;
		}
		p->out_sent += (size_t)n;
	}
	free(p->out);
	p->out = NULL;
	return true;
}

/* False: nothing came. */
static bool receive(struct peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->in_len, sizeof(p->in) - p->in_len, 0);

	if (n > 0)
		p->in_len += (size_t)n;
	else if (n == 0)
		p->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		drop(p);
	return p->fd >= 0 && n >= 0;
}

/* It is readable, or takes more. One command at a time: who does not read is not listened to. */
static void attend(struct admin *a, struct peer *p)
{
	if (!p->out && !receive(p))
		return;
	do {
		if (p->out && !send_answer(p))
			return;
		if (p->leave)
			break;
	} while (next_line(a, p));
	if (p->leave || p->ended)
		drop(p);
}

/* A free place, or the one of who has been silent for longest. */
static struct peer *place(struct admin *a)
{
	static const char text[] = "error: too many others talk to tplb; say it again\n";
	struct peer *oldest = &a->peers[0];

	for (unsigned i = 0; i < ADMIN_CONNECTIONS; i++) {
		if (a->peers[i].fd < 0)
			return &a->peers[i];
		if (a->peers[i].since < oldest->since)
			oldest = &a->peers[i];
	}
	if (!oldest->out) /* amid an answer it would be taken for a part of it */
		(void)send(oldest->fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
	drop(oldest);
	return oldest;
}

static void accept_peer(struct admin *a, int64_t now)
{
	struct addr who;
	int fd = sock_accept(a->listener, &who);

	if (fd >= 0) {
		struct peer *p = place(a);

		*p = (struct peer){.fd = fd, .since = now};
	} else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
		a->accept_at = now + RETRY_NS;
	}
}

/* Drops who is late. When to look next. */
static int64_t expire(struct admin *a, int64_t now)
{
	int64_t next = a->accept_at > now ? a->accept_at : CLOCK_NEVER;

	for (unsigned i = 0; i < ADMIN_CONNECTIONS; i++) {
		struct peer *p = &a->peers[i];

		if (p->fd >= 0 && now >= p->since + PATIENCE_NS)
			drop(p);
		if (p->fd >= 0 && p->since + PATIENCE_NS < next)
			next = p->since + PATIENCE_NS;
	}
	return next;
}

/* False: the thread is to end. */
static bool turn(struct admin *a)
{
	struct pollfd fds[2 + ADMIN_CONNECTIONS];
	int64_t now = clock_now(), until = expire(a, now);

	fds[0] = (struct pollfd){.fd = a->wake, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = now >= a->accept_at ? a->listener : -1, .events = POLLIN};
	for (unsigned i = 0; i < ADMIN_CONNECTIONS; i++)
		fds[2 + i] = (struct pollfd){
		        .fd = a->peers[i].fd, .events = a->peers[i].out ? POLLOUT : POLLIN};
	int ready = poll(fds, 2 + ADMIN_CONNECTIONS, clock_poll_ms(now, until));
	MUST(ready >= 0 || errno == EINTR || errno == ENOMEM);
	if (ready <= 0)
		return true;
	if (fds[0].revents)
		return false;
	for (unsigned i = 0; i < ADMIN_CONNECTIONS; i++)
		if (fds[2 + i].revents)
			attend(a, &a->peers[i]);
	if (fds[1].revents) /* last: it may give a place to another descriptor */
		accept_peer(a, now);
	return true;
}

static void *admin_thread(void *arg)
{
	struct admin *a = arg;

	while (turn(a))
		continue;
	MUST(eventfd_write(a->ended, 1) == 0);
	return NULL;
}

struct admin *admin_open(const struct addr *at, uid_t user, gid_t group, int *error)
{
	struct admin *a = calloc(1, sizeof(*a));

	*error = ENOMEM;
	if (!a)
		return NULL;
	a->at = *at;
	for (unsigned i = 0; i < ADMIN_CONNECTIONS; i++)
		a->peers[i].fd = -1;
	a->listener = sock_listen_private(at, BACKLOG, user, group);
	a->wake = eventfd(0, EFD_CLOEXEC);
	a->ended = eventfd(0, EFD_CLOEXEC);
	if (a->listener >= 0 && a->wake >= 0 && a->ended >= 0 && lstat(at->u.un.sun_path, &a->file) == 0)
		return a;
	*error = a->listener < 0 ? -a->listener : errno;
	(void)admin_stop(a);
	return NULL;
}

int admin_start(struct admin *a, const char *name, const struct answer_command *table, void *arg)
{
	char text[16]; /* the kernel's limit */

	a->table = table;
	a->arg = arg;
	int error = pthread_create(&a->thread, NULL, admin_thread, a);
	a->runs = error == 0;
	if (!a->runs)
		return error;
	snprintf(text, sizeof(text), "%.9s-admin", name);
	(void)pthread_setname_np(a->thread, text); /* a name is a convenience */
	return 0;
}

void admin_leave(struct admin *a)
{
	if (a->listener >= 0)
		close(a->listener);
	if (a->wake >= 0)
		close(a->wake);
	if (a->ended >= 0)
		close(a->ended);
	free(a);
}

/* False: it has not ended in time. */
static bool end_thread(struct admin *a)
{
	struct pollfd ended = {.fd = a->ended, .events = POLLIN};
	int64_t until = clock_now() + STOP_PATIENCE_NS;
	int ready;

	MUST(eventfd_write(a->wake, 1) == 0);
	do
		ready = poll(&ended, 1, clock_poll_ms(clock_now(), until));
	while (ready < 0 && (errno == EINTR || errno == ENOMEM));
	if (ready == 0)
		return false;
	PTHREAD_OK(pthread_join(a->thread, NULL));
	return true;
}

bool admin_stop(struct admin *a)
{
	struct stat now;

	if (a->listener >= 0 && lstat(a->at.u.un.sun_path, &now) == 0 && now.st_dev == a->file.st_dev &&
	        now.st_ino == a->file.st_ino)
		unlink(a->at.u.un.sun_path);
	if (a->runs && !end_thread(a))
		return false;
	for (unsigned i = 0; i < ADMIN_CONNECTIONS; i++)
		if (a->peers[i].fd >= 0)
			drop(&a->peers[i]);
	admin_leave(a);
	return true;
}
