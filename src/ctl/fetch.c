#include "ctl/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_ROOM = 16384 };

void fetch_end(struct fetch *f)
{
	if (f->fd >= 0)
		close(f->fd);
	json_decref(f->data);
	json_decref(f->value);
	free(f->in);
	*f = (struct fetch){.fd = -1};
}

static enum fetch_state fail(struct fetch *f, const char *text, char why[CLIENT_WHY_BYTES])
{
	snprintf(why, CLIENT_WHY_BYTES, "%s", text);
	fetch_end(f);
	return FETCH_FAILED;
}

bool fetch_begin(struct fetch *f, const char *path, const char *const *names, char why[CLIENT_WHY_BYTES])
{
	char line[512];
	int len = 0;

	*f = (struct fetch){.fd = client_dial(path, why)};
	if (f->fd < 0)
		return false;
	while (names[f->count]) {
		len += snprintf(line + len, sizeof(line) - (size_t)len, "json show %s\n", names[f->count]);
		f->names[f->count] = names[f->count];
		f->count++;
	}
	f->data = json_object();
	f->room = FIRST_ROOM;
	f->in = malloc(f->room);
	if (!f->data || !f->in || fcntl(f->fd, F_SETFL, O_NONBLOCK) != 0) {
		(void)fail(f, "out of memory", why);
		return false;
	}
	/* A fresh socket has room for that. One that is closed already may have said why. */
	(void)!send(f->fd, line, (size_t)len, MSG_NOSIGNAL);
	return true;
}

/* The last line of an answer, good or not. */
static enum fetch_state take_end(struct fetch *f, bool good, const char *line, char why[CLIENT_WHY_BYTES])
{
	static const char unknown[] = "error: there is no command";

	if (good && f->value)
		(void)json_object_set(f->data, f->names[f->done], f->value);
	else if (strncmp(line, unknown, sizeof(unknown) - 1) != 0)
		return fail(f,
		        good ? "the answer is no JSON; is that no admin socket?"
		             : line + sizeof("error: ") - 1,
		        why);
	json_decref(f->value);
	f->value = NULL;
	if (++f->done < f->count)
		return FETCH_GOES_ON;
	json_t *data = json_incref(f->data);
	fetch_end(f);
	f->data = data;
	return FETCH_DONE;
}

static enum fetch_state take_line(struct fetch *f, char *line, char why[CLIENT_WHY_BYTES])
{
	bool good = strcmp(line, "ok") == 0;

	if (good || strncmp(line, "error: ", sizeof("error: ") - 1) == 0)
		return take_end(f, good, line, why);
	json_decref(f->value);
	f->value = json_loads(line, JSON_DECODE_ANY, NULL);
	return FETCH_GOES_ON;
}

static bool make_room(struct fetch *f)
{
	if (f->len < f->room)
		return true;
	char *in = realloc(f->in, 2 * f->room);
	if (!in)
		return false;
	f->in = in;
	f->room *= 2;
	return true;
}

enum fetch_state fetch_read(struct fetch *f, char why[CLIENT_WHY_BYTES])
{
	char *end;

	if (!make_room(f))
		return fail(f, "out of memory", why);
	ssize_t n = recv(f->fd, f->in + f->len, f->room - f->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return FETCH_GOES_ON;
	if (n <= 0)
		return fail(f, "the answer ended early; did tplb stop, or is that no admin socket?", why);
	f->len += (size_t)n;
	while ((end = memchr(f->in, '\n', f->len)) != NULL) {
		size_t line = (size_t)(end - f->in) + 1;

		*end = '\0';
		enum fetch_state state = take_line(f, f->in, why);
		if (state != FETCH_GOES_ON)
			return state;
		f->len -= line;
		memmove(f->in, f->in + line, f->len);
	}
	return FETCH_GOES_ON;
}
