#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/answer.h"
#include "ctl/render.h"
#include "net/addr.h"

enum { PATIENCE_S = 60 };
#define FLUSH_NS (100 * CLOCK_NS_PER_MS)

static const char *remedy(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "only root and the user that tplb runs as may: try sudo";
	case ENOENT:
		return "is tplb running, with admin: { socket = ...; } in its configuration? -s names "
		       "another one";
	case ECONNREFUSED:
		return "nobody listens there: is tplb running? -s names another socket";
	case EAGAIN:
		return "too many others talk to it: try again";
	case ENOTSOCK:
	case EPROTOTYPE:
		return "that is no admin socket: -s names another one";
	default:
		return "see `admin.socket` in tplb.conf(5)";
	}
}

/* The words as one line, newline included, behind the prefix; NULL when memory is out. Freed by the caller. */
static char *line_of(const char *prefix, char *const *words, size_t *len)
{
	char *line = NULL;
	FILE *out = open_memstream(&line, len);

	if (!out)
		return NULL;
	fputs(prefix, out);
	for (size_t i = 0; words[i] != NULL; i++) {
		if (i > 0)
			putc(' ', out);
		answer_print_word(words[i], out);
	}
	putc('\n', out);
	if (fclose(out) == 0)
		return line;
	free(line);
	return NULL;
}

int client_dial(const char *path, char why[CLIENT_WHY_BYTES])
{
	struct addr at = {.len = sizeof(at.u.un)};
	const struct timeval patience = {.tv_sec = PATIENCE_S};

	if (strlen(path) == 0 || strlen(path) >= sizeof(at.u.un.sun_path)) {
		snprintf(why, CLIENT_WHY_BYTES, "the path of a socket has 1 to %zu bytes, not %zu",
		        sizeof(at.u.un.sun_path) - 1, strlen(path));
		return -1;
	}
	at.u.un.sun_family = AF_UNIX;
	memcpy(at.u.un.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	        connect(fd, &at.u.any, at.len) == 0)
		return fd;
	int error = errno;
	snprintf(why, CLIENT_WHY_BYTES, "cannot talk to %s: %s; %s", path, strerror(error), remedy(error));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool say(int fd, const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, line, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		line += n;
		len -= (size_t)n;
	}
	return true;
}

/* Passes lines on until the last. */
static bool hear(FILE *in, FILE *out, char why[CLIENT_WHY_BYTES])
{
	static const char error[] = "error: ";
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	bool good = false, last = false;
	int64_t flush_at = 0;

	while (!last && (len = getline(&line, &room, in)) > 0 && line[len - 1] == '\n') {
		line[len - 1] = '\0';
		good = strcmp(line, "ok") == 0;
		last = good || strncmp(line, error, sizeof(error) - 1) == 0;
		if (!last)
			fprintf(out, "%s\n", line);
		if (clock_coarse() >= flush_at) { /* an answer that takes a while is seen as it comes */
			fflush(out);
			flush_at = clock_coarse() + FLUSH_NS;
		}
	}
	if (!last && ferror(in) && errno == EAGAIN)
		snprintf(why, CLIENT_WHY_BYTES, "no answer for %d s; does tplb still run? Its log may tell",
		        PATIENCE_S);
	else if (!last)
		snprintf(why, CLIENT_WHY_BYTES,
		        "the answer ended early; did tplb stop, or is that no admin socket?");
	else if (!good)
		snprintf(why, CLIENT_WHY_BYTES, "%s", line + sizeof(error) - 1);
	free(line);
	return good;
}

static bool ask(
        const char *path, const char *prefix, char *const *words, FILE *out, char why[CLIENT_WHY_BYTES])
{
	size_t len = 0;
	char *line = line_of(prefix, words, &len);
	bool good = false;

	if (!line) {
		snprintf(why, CLIENT_WHY_BYTES, "out of memory");
		return false;
	}
	int fd = len <= ANSWER_LINE_MAX ? client_dial(path, why) : -1;
	FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (len > ANSWER_LINE_MAX) {
		snprintf(why, CLIENT_WHY_BYTES, "the command is too long; it has at most %d bytes",
		        ANSWER_LINE_MAX - 1);
	} else if (in) {
		(void)say(fd, line, len); /* who does not listen may have said why */
		good = hear(in, out, why);
		fclose(in);
	} else if (fd >= 0) {
		snprintf(why, CLIENT_WHY_BYTES, "out of memory");
		close(fd);
	}
	free(line);
	return good;
}

bool client_ask(const char *path, char *const *words, FILE *out, char why[CLIENT_WHY_BYTES])
{
	return ask(path, "", words, out, why);
}

bool client_ask_json(const char *path, char *const *words, FILE *out, char why[CLIENT_WHY_BYTES])
{
	char *text = NULL;
	size_t len;
	FILE *held = open_memstream(&text, &len);
	bool good = false;

	if (held)
		good = ask(path, "json ", words, held, why);
	else
		snprintf(why, CLIENT_WHY_BYTES, "out of memory");
	if (held && fclose(held) != 0) {
		good = false;
		snprintf(why, CLIENT_WHY_BYTES, "out of memory");
	}
	/* An older tplb knows no JSON, and says so in words alone; what was cut short is none. */
	json_t *data = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	if (good && !data) {
		good = false;
		snprintf(why, CLIENT_WHY_BYTES, "the answer is no JSON; is that no admin socket?");
	}
	bool whole = data && (good || json_object_get(data, "error"));
	json_decref(data);
	if (whole) {
		fputs(text, out);
	} else {
		data = json_object();
		render_set_text(data, "error", why);
		if (data && render_json(data, out))
			putc('\n', out);
		json_decref(data);
	}
	free(text);
	return good;
}
