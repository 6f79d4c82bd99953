#include "lb/keeper.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lb/keeper_ask.h"
#include "net/pass.h"

/* The child's questions. Returns 0 or -errno. came: the answer's descriptor, -1: none. */
static int ask_with(
        struct keeper_link *link, enum ask what, const char *text, int fd, struct answer *answer, int *came)
{
	struct question q = {.ask = what};
	size_t len = strlen(text);

	if (len >= sizeof(q.text))
		return -ENAMETOOLONG;
	memcpy(q.text, text, len);
	lock_take(&link->lock);
	int failed = pass_send(link->sock, &q, sizeof(q.ask) + len, fd);
	ssize_t n = failed == 0 ? pass_recv(link->sock, answer, sizeof(*answer), came) : failed;
	lock_drop(&link->lock);
	if (n != sizeof(*answer))
		return n < 0 ? (int)n : -EPIPE; /* the parent is gone, and its signal on its way */
	return -answer->error;
}

/* A descriptor, or -errno; for questions without one, 0 or -errno. */
static int ask(struct keeper_link *link, enum ask what, const char *text)
{
	struct answer answer;
	int fd, error = ask_with(link, what, text, -1, &answer, &fd);

	return error != 0 ? error : fd < 0 ? 0 : fd;
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

static int ask_spawn(void *link, int channel, pid_t *pid)
{
	struct answer answer;
	int none;

	int error = ask_with(link, ASK_SPAWN, "", channel, &answer, &none);
	*pid = error == 0 ? answer.value : 0;
	return error;
}

static int ask_reap(void *link, pid_t pid, enum office_reap how)
{
	const char text[] = {(char)('0' + how), '\0'};
	struct answer answer;
	int none;

	(void)pid;
	return ask_with(link, ASK_REAP, text, -1, &answer, &none) == 0 ? answer.value : 0;
}

static void ask_hand_over(void *link, pid_t heir, bool reload)
{
	(void)heir;
	(void)ask(link, ASK_HAND_OVER, reload ? "1" : "0");
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

void keeper_in_office(struct keeper_link *link)
{
	const uint32_t q = ASK_OFFICE;

	(void)pass_send(link->sock, &q, sizeof(q), -1);
}

void keeper_link_init(struct keeper_link *link, int sock)
{
	*link = (struct keeper_link){.sock = sock,
	        .supply = {.arg = link,
	                .read = ask_read,
	                .listen = ask_listen,
	                .remove = ask_remove,
	                .notify = ask_notify,
	                .spawn = ask_spawn,
	                .reap = ask_reap,
	                .hand_over = ask_hand_over}};
	lock_init(&link->lock);
}
