#include "ctl/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/pass.h"

#define VARIABLE "TPLB_TAKEOVER"
enum { ROOM_BYTES = 1 << 20 /* in the channel, for some hundred messages */ };

/* The first byte of a message. What is none of these is text. A second one is '1' for a socket that is a manager's. */
enum { SAY_SOCKET = 1, SAY_END, SAY_GO, SAY_UNUSED, SAY_READY };

void takeover_variable(char text[TAKEOVER_VARIABLE_BYTES], int channel, int errors, int caretaker)
{
	snprintf(text, TAKEOVER_VARIABLE_BYTES, VARIABLE "=%d %d %d", channel, errors, caretaker);
}

/* Texts with a NUL each behind a first byte or two ------------------------------------------------------------*/

struct message {
	size_t len;
	char bytes[TAKEOVER_MESSAGE_BYTES];
};

static void add_byte(struct message *m, int byte)
{
	m->bytes[m->len++] = (char)byte;
}

static void add_text(struct message *m, const char *text, size_t most)
{
	size_t len = strnlen(text, most);

	memcpy(m->bytes + m->len, text, len);
	m->len += len;
	add_byte(m, '\0');
}

/* The next one, of a message whose last byte is a NUL; *at goes on. "": there is none. */
static const char *next_text(const char **at, const char *end)
{
	const char *text = *at < end ? *at : "";

	if (*at < end)
		*at += strlen(*at) + 1;
	return text;
}

static bool parse_address(const char *text, struct addr *at)
{
	const char *why;

	return addr_parse(text, true, at, &why);
}

static int say(int channel, int what)
{
	const char byte = (char)what;

	return pass_send(channel, &byte, 1, -1);
}

/* The old one's side -------------------------------------------------------------------------------------------*/

int takeover_open(int *ours, int *theirs, int64_t patience)
{
	const struct timeval limit = {.tv_sec = patience / CLOCK_NS_PER_S, .tv_usec = 1};
	const int room = ROOM_BYTES;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	(void)setsockopt(
	        ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)); /* with less it waits now and then */
	*ours = ends[0];
	*theirs = ends[1];
	return 0;
}

int takeover_pass(int channel, const struct takeover_socket *s)
{
	struct message m = {0};
	char text[ADDR_TEXT_MAX];

	add_byte(&m, SAY_SOCKET);
	add_byte(&m, s->managed ? '1' : '0');
	add_text(&m, s->role, ACTIVATION_ROLE_BYTES - 1);
	add_text(&m, s->name, ACTIVATION_NAME_BYTES - 1);
	add_text(&m, addr_format(s->at, text), sizeof(text));
	return pass_send(channel, m.bytes, m.len, s->fd);
}

int takeover_pass_end(int channel)
{
	return say(channel, SAY_END);
}

int takeover_go(int channel)
{
	return say(channel, SAY_GO);
}

static bool hear_unused(struct takeover_said *said, size_t len)
{
	const char *at = said->text + 1, *end = said->text + len;

	snprintf(said->role, sizeof(said->role), "%.15s", next_text(&at, end));
	return parse_address(next_text(&at, end), &said->at);
}

void takeover_hear(int channel, struct takeover_said *said)
{
	int fd;
	ssize_t n;

	/* That it has ended without having read all of ours is said once, before what it said itself. */
	do
		n = pass_recv(channel, said->text, sizeof(said->text) - 1, &fd);
	while (n == -ECONNRESET);
	if (fd >= 0)
		close(fd);
	said->text[n > 0 ? n : 0] = '\0';
	said->word = TAKEOVER_TEXT;
	if (n <= 0 && n != -EMSGSIZE)
		said->word = TAKEOVER_ENDED;
	else if (said->text[0] == SAY_READY)
		said->word = TAKEOVER_READY;
	else if (said->text[0] == SAY_UNUSED && hear_unused(said, (size_t)n))
		said->word = TAKEOVER_UNUSED;
}

/* The new one's side -------------------------------------------------------------------------------------------*/

static void add_socket(struct activation *given, const char *bytes, size_t len, int fd)
{
	const char *at = bytes + 2, *end = bytes + len;
	struct activated s = {.fd = fd, .managed = bytes[1] == '1'};

	snprintf(s.role, sizeof(s.role), "%.15s", next_text(&at, end));
	snprintf(s.name, sizeof(s.name), "%.63s", next_text(&at, end));
	if (given->count < ACTIVATION_MAX && activation_listens(fd) &&
	        parse_address(next_text(&at, end), &s.at))
		given->sockets[given->count++] = s;
	else
		close(fd); /* then this process opens one, if it can */
}

static bool take_sockets(int channel, struct activation *given)
{
	char bytes[TAKEOVER_MESSAGE_BYTES];
	int fd;

	for (;;) {
		ssize_t n = pass_recv(channel, bytes, sizeof(bytes) - 1, &fd);

		if (n <= 0)
			return false;
		bytes[n] = '\0';
		if (bytes[0] == SAY_SOCKET && n > 2 && fd >= 0)
			add_socket(given, bytes, (size_t)n, fd);
		else if (fd >= 0)
			close(fd);
		if (bytes[0] == SAY_END)
			return true;
	}
}

static int own(int fd)
{
	return fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

bool takeover_begin(struct takeover *t, struct activation *given)
{
	const char *said = getenv(VARIABLE);

	*t = (struct takeover){-1, -1, -1};
	if (!said)
		return true;
	bool good = sscanf(said, "%d %d %d", &t->channel, &t->errors, &t->caretaker) == 3;
	unsetenv(VARIABLE);
	t->channel = own(t->channel);
	t->errors = own(t->errors);
	t->caretaker = own(t->caretaker);
	return good && t->channel >= 0 && take_sockets(t->channel, given);
}

void takeover_errors(struct takeover *t)
{
	if (t->errors < 0)
		return;
	(void)dup2(t->errors, STDERR_FILENO);
	close(t->errors);
	t->errors = -1;
}

void takeover_say(const struct takeover *t, const char *text)
{
	if (t->channel >= 0)
		(void)pass_send(t->channel, text, strlen(text), -1);
}

void takeover_leave_rest(const struct takeover *t, struct activation *given)
{
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < given->count; i++) {
		struct activated *s = &given->sockets[i];
		struct message m = {0};

		if (s->fd < 0 || !s->role[0])
			continue;
		add_byte(&m, SAY_UNUSED);
		add_text(&m, s->role, sizeof(s->role));
		add_text(&m, addr_format(&s->at, text), sizeof(text));
		(void)pass_send(t->channel, m.bytes, m.len, -1);
		close(s->fd);
		s->fd = -1;
	}
}

bool takeover_ready(struct takeover *t)
{
	char byte = 0;
	int fd;
	bool told = say(t->channel, SAY_READY) == 0 && pass_recv(t->channel, &byte, 1, &fd) == 1 &&
	            byte == SAY_GO;

	takeover_end(t);
	return told;
}

void takeover_end(struct takeover *t)
{
	takeover_errors(t);
	if (t->channel >= 0)
		close(t->channel);
	t->channel = -1;
}
