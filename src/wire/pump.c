#include "wire/pump.h"

#include <errno.h>

#include "base/assert.h"

enum {
	SLOTS = 3,
	SERVER_WAITS = 4,              /* patiences that waits for the server may add up to */
	PATIENCE_BYTES = 2 * 64 * 1024 /* received and sent */
};

static bool is_open(const struct flow *f)
{
	return f && f->state == FLOW_OPEN;
}

/* One step of those that are due; true when either can go on at once. The other waits on for what it waited for. */
static bool step_due(
        struct io *io, struct flow *const flows[2], struct pollfd waits[SLOTS], const bool due[2])
{
	bool again = false;

	for (int i = 0; i < 2; i++) {
		if (!due[i])
			continue;
		waits[i] = (struct pollfd){.fd = -1};
		if (is_open(flows[i]))
			again |= flow_step(flows[i], io, &waits[i]);
	}
	if (is_open(flows[0]) && is_open(flows[1])) {
		int64_t latest = flows[0]->progress > flows[1]->progress ? flows[0]->progress
		                                                         : flows[1]->progress;

		flows[0]->progress = flows[1]->progress = latest;
	}
	return again;
}

static int64_t earliest(struct flow *const flows[2], const struct pollfd waits[SLOTS])
{
	int64_t at = CLOCK_NEVER;

	for (int i = 0; i < 2; i++) {
		if (waits[i].fd < 0)
			continue;
		int64_t deadline = flow_deadline(flows[i], &waits[i]);
		if (deadline < at)
			at = deadline;
	}
	return at;
}

static void expire(struct flow *const flows[2], const struct pollfd waits[SLOTS])
{
	int64_t now = clock_now();

	for (int i = 0; i < 2; i++)
		if (waits[i].fd >= 0 && flow_deadline(flows[i], &waits[i]) <= now)
			flow_expire(flows[i], &waits[i], now);
}

/* Waiting failed: for want of memory, as a rule. */
static void lose(struct flow *const flows[2], const struct pollfd waits[SLOTS], int error)
{
	for (int i = 0; i < 2; i++) {
		if (waits[i].fd < 0)
			continue;
		flows[i]->state = waits[i].events & POLLOUT ? FLOW_SINK_LOST : FLOW_SOURCE_LOST;
		flows[i]->error = error;
	}
}

/* Whether it is the client that does not send its body, or does not take the answer. */
static bool client_is_slow(const struct pollfd waits[SLOTS])
{
	return (waits[0].fd >= 0 && (waits[0].events & POLLIN)) ||
	       (waits[1].fd >= 0 && (waits[1].events & POLLOUT));
}

/* What is left of the patience. */
struct temper {
	struct patience patience;
	int64_t waited[2]; /* ns for the server, for the client, since `moved` */
	uint64_t moved;    /* bytes of both flows */
};

static bool has_patience(const struct temper *t)
{
	return t->patience.with_client > 0 || t->patience.with_server > 0;
}

static int64_t leave_at(const struct temper *t, bool client, int64_t now)
{
	int64_t ns = client ? t->patience.with_client : t->patience.with_server;

	if (ns <= 0)
		return CLOCK_NEVER;
	int64_t left = (client ? ns : SERVER_WAITS * ns) - t->waited[client];
	return now + (left < ns ? left : ns);
}

/* We have waited. Enough that moved meanwhile makes up for it. */
static void add_wait(struct temper *t, bool client, int64_t ns, struct flow *const flows[2])
{
	uint64_t moved = (flows[0] ? flows[0]->received + flows[0]->sent : 0) +
	                 (flows[1] ? flows[1]->received + flows[1]->sent : 0);

	if (moved - t->moved >= PATIENCE_BYTES) {
		t->moved = moved;
		t->waited[0] = t->waited[1] = 0;
	}
	t->waited[client] += ns;
}

enum pump_end pump_run(
        struct io *io, struct flow *first, struct flow *second, int alert, struct patience patience)
{
	struct flow *flows[2] = {first, second};
	bool was_open[2] = {is_open(first), is_open(second)};
	struct pollfd waits[SLOTS];
	bool due[2] = {true, true};
	struct temper temper = {.patience = patience};
	bool tempered = has_patience(&temper);

	MUST(was_open[0] || was_open[1] || alert >= 0);
	for (;;) {
		bool again = step_due(io, flows, waits, due);

		if (!again) /* a socket that is ready and gives nothing must not outlive its deadline */
			expire(flows, waits);
		if (was_open[0] && !is_open(first))
			return PUMP_FIRST;
		if (was_open[1] && !is_open(second))
			return PUMP_SECOND;
		waits[2] = (struct pollfd){.fd = alert, .events = POLLIN};
		int64_t until = again ? IO_NOW : earliest(flows, waits);
		bool client = tempered && client_is_slow(waits);
		int64_t since = tempered && !again ? clock_now() : 0;
		int64_t leave = since != 0 ? leave_at(&temper, client, since) : CLOCK_NEVER;
		int ready = io_wait(io, waits, SLOTS, leave < until ? leave : until);
		if (since != 0)
			add_wait(&temper, client, clock_now() - since, flows);
		if (ready > 0 && alert >= 0 && waits[2].revents)
			return PUMP_ALERT;
		if (ready < 0 && ready != -ETIMEDOUT) {
			lose(flows, waits, -ready);
			if (!was_open[0] && !was_open[1])
				return PUMP_ALERT; /* the receive that follows tells */
			continue;
		}
		if (ready < 0 && leave < until)
			return PUMP_STALLED;
		if (ready < 0 && !again)
			expire(flows, waits);
		for (int i = 0; i < 2; i++)
			due[i] = waits[i].fd < 0 || (ready > 0 && waits[i].revents != 0);
	}
}
