#include "ctl/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/desk.h"
#include "net/sock.h"

enum { BACKLOG = 128 };

struct admin {
	struct desk *desk;
	const struct answer_command *table; /* constant once started */
	void *arg;
};

/* The line in front of the buffer, which is `len` bytes and `skip` in all. */
static void answer_line(struct admin *a, struct desk_peer *p, size_t len, size_t skip)
{
	char *text = NULL, line[ANSWER_LINE_MAX];
	size_t text_len = 0;
	struct answer_feed *feed = NULL;
	FILE *out = open_memstream(&text, &text_len);

	if (!out) {
		desk_answer(p, skip, NULL, 0);
		return;
	}
	memcpy(line, p->in, len);
	if (len > 0 && line[len - 1] == '\r')
		len--;
	p->leave = !answer_or_feed(a->table, a->arg, line, len, out, &feed);
	p->feed = feed;
	p->feed_at = 0;
	if (fclose(out) != 0) {
		free(text);
		text = NULL;
	}
	desk_answer(p, skip, text, text_len);
}

/* The next piece of an answer. */
static void more(void *arg, struct desk_peer *p)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool goes_on = out && answer_feed_next(p->feed, out, &p->feed_at);

	(void)arg;
	if (out && fclose(out) != 0) {
		free(text);
		text = NULL;
	}
	if (!goes_on || !text) {
		answer_feed_end(p->feed);
		p->feed = NULL;
	}
	desk_answer(p, 0, text, len);
}

static void gone(void *arg, struct desk_peer *p)
{
	(void)arg;
	answer_feed_end(p->feed);
}

/* An answer that is no command's, and the end. */
static void refuse(struct desk_peer *p, const char *text)
{
	p->leave = true;
	desk_answer(p, p->in_len, strdup(text), strlen(text));
}

/* Answers the next whole line. False: there is none. */
static bool next_line(void *arg, struct desk_peer *p)
{
	char *end = memchr(p->in, '\n', p->in_len);

	if (end) {
		size_t len = (size_t)(end - p->in);

		answer_line(arg, p, len, len + 1);
		return true;
	}
	if (p->in_len == ANSWER_LINE_MAX) {
		refuse(p, "error: the line is too long; a command has at most 4095 bytes\n");
		return true;
	}
	if (p->ended && p->in_len > 0) {
		refuse(p, "error: the line was cut short; a command ends with a newline\n");
		return true;
	}
	return false;
}

static const struct desk_rules rules = {.places = ADMIN_CONNECTIONS,
        .room = ANSWER_LINE_MAX,
        .patience = 30 * CLOCK_NS_PER_S,
        .full = "error: too many others talk to tplb; say it again\n",
        .next = next_line,
        .more = more,
        .gone = gone};

/* listener: or -errno. */
static struct admin *admin_new(int listener, const struct addr *at, int *error)
{
	struct admin *a = calloc(1, sizeof(*a));

	*error = a ? -listener : ENOMEM;
	if (!a && listener >= 0)
		close(listener);
	if (a && listener >= 0)
		a->desk = desk_open(listener, at, false, &rules, error);
	if (a && a->desk)
		return a;
	free(a);
	return NULL;
}

struct admin *admin_open(const struct addr *at, uid_t user, gid_t group, int *error)
{
	return admin_new(sock_listen_private(at, BACKLOG, user, group), at, error);
}

struct admin *admin_adopt(int fd, const struct addr *at, uid_t user, gid_t group, int *error)
{
	*error = sock_give_file(at->u.un.sun_path, user, group);
	if (*error != 0) {
		close(fd);
		return NULL;
	}
	struct admin *a = admin_new(fd, at, error);
	if (a)
		desk_keep(a->desk, false);
	return a;
}

struct desk *admin_desk(const struct admin *a)
{
	return a->desk;
}

int admin_start(struct admin *a, const char *name, const struct answer_command *table, void *arg)
{
	a->table = table;
	a->arg = arg;
	return desk_start(a->desk, name, "admin", a);
}

void admin_leave(struct admin *a)
{
	desk_leave(a->desk);
	free(a);
}

bool admin_stop(struct admin *a)
{
	if (!desk_stop(a->desk))
		return false;
	free(a);
	return true;
}
