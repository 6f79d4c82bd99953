#include "obs/log_target.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 4096 }; /* PIPE_BUF: so much never blocks a pipe that polls writable */

void target_name(
        struct log_target *t, const char *name, const struct log_identity *id, target_opener *open, void *arg)
{
	*t = (struct log_target){
	        .kind = TARGET_FILE, .path = name, .id = id, .open = open, .arg = arg, .fd = -1};
	t->socket = log_socket_kind(name);
	t->marks = t->socket != LOG_SOCKET_NONE;
	if (t->socket != LOG_SOCKET_NONE) {
		t->kind = TARGET_SOCKET;
	} else if (strcmp(name, "off") == 0) {
		t->kind = TARGET_OFF;
	} else if (strcmp(name, "stderr") == 0) {
		t->kind = TARGET_FD;
		t->fd = STDERR_FILENO;
		t->marks = log_stderr_is_journal();
	} else if (strcmp(name, "stdout") == 0) {
		t->kind = TARGET_FD;
		t->fd = STDOUT_FILENO;
	}
}

int target_open(struct log_target *t)
{
	struct stat st;

	if (t->kind == TARGET_FILE || t->kind == TARGET_SOCKET)
		t->fd = t->open(t->arg, t->path);
	if (t->kind == TARGET_OFF)
		return 0;
	if (t->kind == TARGET_SOCKET && t->fd < 0) {
		t->error = -t->fd;
		t->fd = -1;
		return t->error == ENOENT || t->error == ECONNREFUSED ? 0 : t->error;
	}
	t->regular = t->fd >= 0 && fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode);
	return t->fd >= 0 ? 0 : -t->fd;
}

void target_close(struct log_target *t)
{
	if ((t->kind == TARGET_FILE || t->kind == TARGET_SOCKET) && t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

int target_reopen(struct log_target *t)
{
	struct log_target fresh;

	if (t->kind != TARGET_FILE)
		return 0;
	target_name(&fresh, t->path, t->id, t->open, t->arg);
	int error = target_open(&fresh);
	if (error != 0)
		return error;
	target_close(t);
	t->fd = fresh.fd; /* not all of it: other threads read what is constant */
	t->regular = fresh.regular;
	t->state = fresh.state;
	t->error = fresh.error;
	t->mid_line = fresh.mid_line;
	return 0;
}

static bool has_room(struct log_target *t)
{
	struct pollfd room = {.fd = t->fd, .events = POLLOUT};
	int ready;

	do
		ready = poll(&room, 1, 0);
	while (ready < 0 && errno == EINTR);
	return ready > 0; /* room, or an error that the write tells */
}

/* One write(2). 0: nothing for now, t->state says why. */
static size_t write_step(struct log_target *t, struct str s)
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

size_t target_write(struct log_target *t, struct str s)
{
	size_t done = 0;

	t->state = TARGET_WELL;
	if (t->kind == TARGET_OFF)
		return s.len;
	while (done < s.len && t->state == TARGET_WELL)
		done += write_step(t, str_from(s, done));
	return done;
}

/* In place of the time, which such a target knows itself, stands how important the line is. */
struct str target_diagnostic(
        const struct log_target *t, enum diag_level level, struct str line, char out[TARGET_DIAG_BYTES])
{
	const char *space = memchr(line.at, ' ', line.len);
	struct str text = str_from(line, space ? (size_t)(space - line.at) + 1 : 0);

	if (!t->marks || text.len > TARGET_DIAG_BYTES - LOG_MARK_BYTES)
		return line;
	log_mark_write(level, out);
	memcpy(out + LOG_MARK_BYTES, text.at, text.len);
	return (struct str){out, LOG_MARK_BYTES + text.len};
}

static bool fails(struct log_target *t, int error)
{
	t->error = error;
	t->state = TARGET_FAILS;
	return false;
}

/* Each program that takes lines makes the socket anew when it starts: the old one is nobody's. */
static bool send_or_reconnect(struct log_target *t, struct str parts[2], bool may_reconnect)
{
	if (t->fd < 0) {
		t->fd = t->open(t->arg, t->path);
		may_reconnect = false;
	}
	if (t->fd < 0) {
		int error = -t->fd;

		t->fd = -1;
		return fails(t, error);
	}
	int error = -log_socket_send(t->fd, t->socket, t->id, parts);
	if (error == EAGAIN)
		t->state = TARGET_STALLED;
	if (error == 0 || error == EAGAIN)
		return error == 0;
	if (error == ENOBUFS || error == ENOMEM)
		return fails(t, error);
	close(t->fd);
	t->fd = -1;
	return may_reconnect ? send_or_reconnect(t, parts, false) : fails(t, error);
}

bool target_send(struct log_target *t, struct str parts[2])
{
	t->state = TARGET_WELL;
	return send_or_reconnect(t, parts, true);
}
