#include "lb/upgrade.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "ctl/takeover.h"
#include "lb/control.h"
#include "lb/tell.h"

bool upgrade_init(struct upgrade *u, void (*done)(void *arg), void *arg)
{
	*u = (struct upgrade){.done = done, .done_arg = arg, .cancel = eventfd(0, EFD_CLOEXEC)};
	return u->cancel >= 0;
}

void upgrade_free(struct upgrade *u)
{
	close(u->cancel);
}

void upgrade_add(struct upgrade *u, const struct upgrade_socket *s)
{
	MUST(u->others < UPGRADE_OTHERS);
	u->sockets[u->others++] = *s;
}

bool upgrade_takes_reload(struct upgrade *u)
{
	if (upgrade_is(u, UPGRADE_NONE))
		return false;
	atomic_store_explicit(&u->reload, true, memory_order_relaxed);
	return true;
}

static bool change_state(struct upgrade *u, int from, int to)
{
	return atomic_compare_exchange_strong(&u->state, &from, to);
}

bool upgrade_cancel(struct control *c)
{
	struct upgrade *u = &c->upgrade;

	for (;;) {
		if (upgrade_is(u, UPGRADE_DONE))
			return false;
		if (upgrade_is(u, UPGRADE_CANCELLED) || change_state(u, UPGRADE_NONE, UPGRADE_CANCELLED))
			return true;
		if (change_state(u, UPGRADE_UNDER_WAY, UPGRADE_CANCELLED)) {
			MUST(eventfd_write(u->cancel, 1) == 0);
			return true;
		}
		lock_take(&c->reloads); /* it is committed: until that is over */
		lock_drop(&c->reloads);
	}
}

/* One that is under way ----------------------------------------------------------------------------------------*/

struct attempt {
	struct control *c;
	struct snapshot *now; /* reloads are held up: it stays the one that runs */
	int channel;
	pid_t pid;    /* of the new process */
	bool *unused; /* [listener, then other]: the new one has no use for it */
	int64_t deadline;
	FILE *out;
	char *why;
	struct takeover_said said;
};

static size_t listener_count(const struct attempt *a)
{
	return a->now->lb->config->listeners.count;
}

static int pass_sockets(const struct attempt *a)
{
	const struct upgrade *u = &a->c->upgrade;
	int error = 0;

	for (size_t i = 0; error == 0 && i < listener_count(a); i++) {
		const struct lb_config_listener *from = lb_config_listener(a->now->lb->config, i);
		const struct listener *l = a->now->fronts[i]->listener;
		struct takeover_socket s = {
		        ACTIVATION_LISTENER, from->name, &from->addr, l->file_stays, l->fd};

		error = takeover_pass(a->channel, &s);
	}
	for (size_t i = 0; error == 0 && i < u->others; i++) {
		struct takeover_socket s = {
		        u->sockets[i].role, "", u->sockets[i].at, u->sockets[i].managed, u->sockets[i].fd};

		error = takeover_pass(a->channel, &s);
	}
	return error == 0 ? takeover_pass_end(a->channel) : error;
}

/* Each line of a text is one of the log. */
static void tell_text(const struct attempt *a)
{
	const char *at = a->said.text;

	while (*at) {
		size_t len = strcspn(at, "\n");

		if (len > 0)
			tell_detail(a->out, DIAG_INFO, "upgrade: the new one says: %.*s", (int)len, at);
		at += len + (at[len] == '\n');
	}
}

static void note_unused(const struct attempt *a)
{
	const struct upgrade *u = &a->c->upgrade;
	size_t n = listener_count(a);

	for (size_t i = 0; i < n; i++)
		if (strcmp(a->said.role, ACTIVATION_LISTENER) == 0 &&
		        addr_equal(&a->said.at, &lb_config_listener(a->now->lb->config, i)->addr))
			a->unused[i] = true;
	for (size_t i = 0; i < u->others; i++)
		if (strcmp(a->said.role, u->sockets[i].role) == 0 &&
		        addr_equal(&a->said.at, u->sockets[i].at))
			a->unused[n + i] = true;
}

static bool fails(const struct attempt *a, const char *what)
{
	snprintf(a->why, UPGRADE_WHY_BYTES, "%s", what);
	return false;
}

/* False: it does not come to serve, and is gone. */
static bool has_ended(const struct attempt *a, enum office_reap how)
{
	const struct supply *s = a->c->supply;
	int status = s->reap(s->arg, a->pid, how);

	if (status == -1)
		return false;
	if (how == OFFICE_KILL)
		return true;
	if (WIFSIGNALED(status))
		snprintf(a->why, UPGRADE_WHY_BYTES, "the new process was ended by SIG%s before it served",
		        sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(a->why, UPGRADE_WHY_BYTES, "the new process ended with status %d before it served%s",
		        WEXITSTATUS(status), WEXITSTATUS(status) == 2 ? " (tplb -t may tell more)" : "");
	return true;
}

/* Waits for a word. False: there is none in time, or this process is to end. */
static bool listen_to(struct attempt *a)
{
	struct pollfd fds[] = {
	        {.fd = a->channel, .events = POLLIN}, {.fd = a->c->upgrade.cancel, .events = POLLIN}};
	int ready;

	do
		ready = poll(fds, 2, clock_poll_ms(clock_now(), a->deadline));
	while (ready < 0 && (errno == EINTR || errno == ENOMEM));
	if (fds[1].revents)
		return fails(a, "this process is told to stop");
	if (ready == 0) {
		snprintf(a->why, UPGRADE_WHY_BYTES,
		        "the new process did not come to serve within timeouts.upgrade, and was ended");
		return false;
	}
	takeover_hear(a->channel, &a->said);
	return true;
}

/* Waits until it serves. False: it will not, and is gone. */
static bool await_ready(struct attempt *a)
{
	while (listen_to(a)) {
		switch (a->said.word) {
		case TAKEOVER_READY:
			return true;
		case TAKEOVER_TEXT:
			tell_text(a);
			break;
		case TAKEOVER_UNUSED:
			note_unused(a);
			break;
		default:
			(void)has_ended(a, OFFICE_END);
			return false;
		}
	}
	(void)has_ended(a, OFFICE_KILL);
	return false;
}

static void keep_others(const struct attempt *a, bool keep)
{
	const struct upgrade *u = &a->c->upgrade;

	for (size_t i = 0; i < u->others; i++)
		if (!a->unused[listener_count(a) + i])
			u->sockets[i].keep(u->sockets[i].arg, keep);
}

/* Socket files that nobody serves any more go, the others are the new one's. */
static void leave_files(const struct attempt *a)
{
	const struct supply *s = a->c->supply;

	for (size_t i = 0; i < listener_count(a); i++)
		if (a->unused[i])
			s->remove(s->arg, lb_config_listener(a->now->lb->config, i));
	engine_leave_files(a->c->engine);
}

/* False: it was gone at the last moment, or this process is to end. */
static bool hand_over(struct attempt *a)
{
	struct upgrade *u = &a->c->upgrade;
	const struct supply *s = a->c->supply;

	if (has_ended(a, OFFICE_LOOK))
		return false;
	keep_others(a, false);
	if (!change_state(u, UPGRADE_UNDER_WAY, UPGRADE_COMMITTED)) {
		keep_others(a, true);
		(void)has_ended(a, OFFICE_KILL);
		return fails(a, "this process is told to stop");
	}
	if (takeover_go(a->channel) != 0) {
		keep_others(a, true);
		(void)has_ended(a, OFFICE_END);
		atomic_store(&u->state, UPGRADE_UNDER_WAY);
		return false;
	}
	leave_files(a);
	s->hand_over(s->arg, a->pid, atomic_exchange(&u->reload, false));
	atomic_store(&u->state, UPGRADE_DONE);
	return true;
}

/* Starts it and gives it what it needs. False: it is gone, or never was. */
static bool start(struct attempt *a)
{
	const struct supply *s = a->c->supply;
	int theirs, error = takeover_open(&a->channel, &theirs, a->c->config->timeouts.upgrade);

	if (error == 0) {
		error = s->spawn(s->arg, theirs, &a->pid);
		close(theirs);
		if (error != 0)
			close(a->channel);
	}
	if (error != 0) {
		snprintf(a->why, UPGRADE_WHY_BYTES, "the program cannot be started: %s", strerror(-error));
		return false;
	}
	/* One that has ended tells why at the end of what it said. */
	error = pass_sockets(a);
	if (error == 0 || error == -EPIPE || error == -ECONNRESET)
		return true;
	snprintf(a->why, UPGRADE_WHY_BYTES, "the sockets cannot be passed on: %s", strerror(-error));
	(void)has_ended(a, OFFICE_KILL);
	close(a->channel);
	return false;
}

static bool carry_out(struct attempt *a)
{
	a->unused = calloc(listener_count(a) + UPGRADE_OTHERS, sizeof(*a->unused));
	if (!a->unused)
		return fails(a, "out of memory");
	bool done = start(a);
	if (done) {
		done = await_ready(a) && hand_over(a);
		close(a->channel);
	}
	free(a->unused);
	return done;
}

static bool run_locked(struct control *c, FILE *out, char why[UPGRADE_WHY_BYTES])
{
	struct attempt *a = calloc(1, sizeof(*a));
	int64_t patience = c->config->timeouts.upgrade;

	lock_must_hold(&c->reloads);
	if (!a) {
		snprintf(why, UPGRADE_WHY_BYTES, "out of memory");
		return false;
	}
	*a = (struct attempt){.c = c,
	        .now = c->balancer->now,
	        .deadline = patience > 0 ? clock_now() + patience : CLOCK_NEVER,
	        .out = out,
	        .why = why};
	bool done = carry_out(a);
	pid_t pid = a->pid;
	free(a);
	if (done)
		tell(out, DIAG_INFO, "upgrade: process %d has taken over, this one drains", (int)pid);
	return done;
}

bool upgrade_refuses(const struct upgrade *u, char why[UPGRADE_WHY_BYTES])
{
	int state = atomic_load(&u->state);

	if (state == UPGRADE_NONE)
		return false;
	snprintf(why, UPGRADE_WHY_BYTES, "%s",
	        state == UPGRADE_UNDER_WAY ? "another upgrade is under way" : "this process is about to end");
	tell(NULL, DIAG_WARNING, "upgrade: refused: %s", why);
	return true;
}

bool upgrade_run(struct control *c, FILE *out, char why[UPGRADE_WHY_BYTES])
{
	struct upgrade *u = &c->upgrade;

	if (!change_state(u, UPGRADE_NONE, UPGRADE_UNDER_WAY)) {
		(void)upgrade_refuses(u, why);
		return false;
	}
	lock_take(&c->reloads);
	tell(out, DIAG_INFO, "upgrade: the program is started anew");
	c->supply->notify(c->supply->arg, NOTICE_RELOADING);
	bool done = run_locked(c, out, why);
	if (!done) {
		tell(NULL, DIAG_ERROR, "upgrade: %s; process %d goes on", why, (int)getpid());
		if (change_state(u, UPGRADE_UNDER_WAY, UPGRADE_NONE))
			c->supply->notify(c->supply->arg, NOTICE_READY);
	}
	lock_drop(&c->reloads);
	if (done)
		u->done(u->done_arg);
	else if (atomic_exchange(&u->reload, false))
		(void)control_reload(c, NULL, NULL);
	return done;
}
