#include "obs/log_target.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum { STEP_BYTES = 4096 }; /* PIPE_BUF: so much never blocks a pipe that polls writable */

void target_name(struct target *t, const char *name, target_opener *open, void *arg)
{
	*t = (struct target){.kind = TARGET_FILE, .path = name, .open = open, .arg = arg, .fd = -1};
	if (strcmp(name, "off") == 0) {
		t->kind = TARGET_OFF;
	} else if (strcmp(name, "syslog") == 0) {
		t->kind = TARGET_SYSLOG;
	} else if (strcmp(name, "stderr") == 0) {
		t->kind = TARGET_FD;
		t->fd = STDERR_FILENO;
	} else if (strcmp(name, "stdout") == 0) {
		t->kind = TARGET_FD;
		t->fd = STDOUT_FILENO;
	}
}

int target_open(struct target *t)
{
	struct stat st;

	if (t->kind == TARGET_FILE)
		t->fd = t->open(t->arg, t->path);
	if (t->kind == TARGET_OFF || t->kind == TARGET_SYSLOG)
		return 0;
	t->regular = t->fd >= 0 && fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode);
	return t->fd >= 0 ? 0 : -t->fd;
}

void target_close(struct target *t)
{
	if (t->kind == TARGET_FILE && t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

int target_reopen(struct target *t)
{
	struct target fresh;

	if (t->kind != TARGET_FILE)
		return 0;
	target_name(&fresh, t->path, t->open, t->arg);
	int error = target_open(&fresh);
	if (error != 0)
		return error;
	target_close(t);
	*t = fresh;
	return 0;
}

static void write_syslog(struct str s)
{
	while (s.len > 0) {
		const char *newline = memchr(s.at, '\n', s.len);
		size_t len = newline ? (size_t)(newline - s.at) : s.len;

		syslog(LOG_INFO, "%.*s", (int)len, s.at);
		len += newline != NULL;
		s.at += len;
		s.len -= len;
	}
}

static bool has_room(struct target *t)
{
	struct pollfd room = {.fd = t->fd, .events = POLLOUT};
	int ready;

	do
		ready = poll(&room, 1, 0);
	while (ready < 0 && errno == EINTR);
	return ready > 0; /* room, or an error that the write tells */
}

/* One write(2). 0: nothing for now, t->state says why. */
static size_t write_step(struct target *t, struct str s)
{
	size_t step = !t->regular && s.len > STEP_BYTES ? STEP_BYTES : s.len;
	ssize_t n = -1;

	if (!t->regular && !has_room(t)) {
		t->state = TARGET_STALLED;
		return 0;
	}
	do
		n = write(t->fd, s.at, step);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		t->mid_line = s.at[n - 1] != '\n';
		return (size_t)n;
	}
	t->error = n < 0 ? errno : EIO;
	t->state = t->error == EAGAIN ? TARGET_STALLED : TARGET_FAILS;
	return 0;
}

size_t target_write(struct target *t, struct str s)
{
	size_t done = 0;

	t->state = TARGET_WELL;
	if (t->kind == TARGET_SYSLOG)
		write_syslog(s);
	if (t->kind == TARGET_SYSLOG || t->kind == TARGET_OFF)
		return s.len;
	while (done < s.len && t->state == TARGET_WELL)
		done += write_step(t, str_from(s, done));
	return done;
}
