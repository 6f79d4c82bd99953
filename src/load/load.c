#include "load/load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "ctl/signals.h"
#include "load/client.h"
#include "net/sock.h"

enum {
	PARKED_BUFFER = 512, /* nothing is parked */
	REQUEST_ROOM = URL_HOST_MAX + URL_TARGET_MAX + 100,
	DESCRIPTORS_BESIDE = 64
};

/* How long connections that will be kept have to be opened, before the start. Beyond a second attempt of TCP's. */
#define PREPARE_NS (3 * CLOCK_NS_PER_S)
#define RETRY_NS (10 * CLOCK_NS_PER_MS)

/* What load_run holds, beside what clients need to know. */
struct holder {
	struct load_run run;
	struct buf *request;
	uint64_t *answers; /* a number a connection, for the report */
	int alarm;         /* timerfd: the wheel of a loop is too coarse for a schedule */
	int64_t alarm_at;  /* 0: not set */
	int signals;
	bool stopped; /* by a signal */
	bool over;
};

/* The alarm and signals -----------------------------------------------------------------------------------------*/

static void set_alarm(struct holder *h, int64_t at)
{
	struct itimerspec when = {
	        .it_value = {.tv_sec = at / CLOCK_NS_PER_S, .tv_nsec = at % CLOCK_NS_PER_S}};

	if (h->alarm_at == at)
		return;
	MUST(timerfd_settime(h->alarm, TFD_TIMER_ABSTIME, &when, NULL) ==
	        0); /* cannot fail with these arguments */
	h->alarm_at = at;
}

/* Wakes the loop when the alarm rings: what is due is then handed out. */
static void watch(void *arg)
{
	struct holder *h = arg;
	struct io *io = &h->run.loop.io;

	while (!h->over) {
		struct pollfd set[2] = {
		        {.fd = h->alarm, .events = POLLIN}, {.fd = h->signals, .events = POLLIN}};
		uint64_t rings;
		int number;
		pid_t from;

		if (io_wait(io, set, 2, CLOCK_NEVER) < 0) /* no memory for it this moment */
			io_sleep(io, clock_now() + RETRY_NS);
		if (read(h->alarm, &rings, sizeof(rings)) == sizeof(rings))
			h->alarm_at = 0;
		while ((number = signals_take(h->signals, &from)) != 0)
			h->stopped = h->stopped || number == SIGINT || number == SIGTERM || number == SIGHUP;
		io_spent(io, h->alarm, POLLIN);
		io_spent(io, h->signals, POLLIN);
	}
	io_forget(io, h->alarm);
	io_forget(io, h->signals);
}

/* Handing out ---------------------------------------------------------------------------------------------------*/

static void wake_first(struct load_run *run)
{
	struct load_client *c = run->idle;

	run->idle = c->next;
	if (!run->idle)
		run->idle_last = &run->idle;
	loop_resume(&run->loop, &c->wait);
}

static void wake_all(struct load_run *run)
{
	for (unsigned n = run->live; n > 0 && run->idle; n--)
		wake_first(run);
}

static void start(struct load_run *run)
{
	const struct load_options *o = run->options;

	schedule_init(&run->schedule, clock_now(), o->duration, o->rate);
	run->last = run->schedule.end + (load_is_open(run) ? o->timeout : 0);
	run->started = true;
	if (!load_is_open(run))
		wake_all(run);
}

static void hand_out(struct holder *h)
{
	struct load_run *run = &h->run;
	int64_t now = clock_now(), next;

	if (!run->started && run->preparing > 0 && now < run->prepared_by)
		return;
	if (!run->started)
		start(run);
	if (!load_is_open(run))
		return;
	while (run->idle && schedule_take(&run->schedule, clock_now(), &run->idle->due)) {
		run->idle->given = true;
		wake_first(run);
	}
	next = schedule_next(&run->schedule);
	if (next == CLOCK_NEVER && clock_now() >= run->schedule.end)
		wake_all(run);
	else if (run->idle)
		set_alarm(h, next < run->schedule.end ? next : run->schedule.end);
}

/* The run -------------------------------------------------------------------------------------------------------*/

static bool is_hopeless(const struct load_run *run)
{
	return run->preparing == 0 && run->refused != 0 && run->result->opened == 0;
}

static void turn_until_over(struct holder *h)
{
	struct load_run *run = &h->run;

	hand_out(h);
	while (run->live > 0 && !h->stopped && !is_hopeless(run)) {
		loop_turn(&run->loop, run->started ? CLOCK_NEVER : run->prepared_by);
		hand_out(h);
	}
}

/* What was due and never sent, since no connection became free, is lost like what was never answered. */
static void count_unsent(struct holder *h, int64_t now)
{
	struct load_run *run = &h->run;
	int64_t due;

	while (schedule_take(&run->schedule, now, &due)) {
		if (h->stopped)
			continue;
		histogram_record(&run->result->latency, now - due);
		run->result->errors.timeout++;
		run->heard = now;
	}
	run->result->scheduled = run->schedule.taken;
}

static void sum_up(struct holder *h)
{
	struct load_run *run = &h->run;
	struct load_result *r = run->result;
	int64_t end = h->stopped ? clock_now() : run->schedule.end;

	if (!run->started) /* stopped before */
		schedule_init(&run->schedule, end, 0, 1);
	if (load_is_open(run)) {
		count_unsent(h, h->stopped ? end : run->last);
		if (!h->stopped && run->heard > end)
			end = run->heard;
	}
	r->lasted = end - run->schedule.start;
	for (unsigned i = 0; i < run->options->connections; i++) {
		r->cut += run->clients[i].busy;
		h->answers[i] = run->clients[i].answered;
	}
	r->clients = load_clients_of(h->answers, run->options->connections);
}

static bool make_request(struct holder *h)
{
	const struct load_options *o = h->run.options;

	h->request = buf_new(REQUEST_ROOM);
	if (!h->request || !buf_printf(h->request, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", o->url.target,
	                           o->url.host, o->keepalive ? "" : "Connection: close\r\n"))
		return false;
	h->run.request = buf_str(h->request);
	return true;
}

/* NULL, or what went wrong. */
static const char *open_loop(struct holder *h, enum loop_driver_kind driver)
{
	const struct load_options *o = h->run.options;
	const struct loop_options options = {.driver = driver,
	        .fibers = o->connections + 1,
	        .client_buffer = PARKED_BUFFER,
	        .server_buffer = LOAD_BUFFER};
	unsigned long least = o->connections + DESCRIPTORS_BESIDE;

	/* One that is closed may be there for a turn longer than its successor. */
	if (sock_raise_limit(least + o->connections) < least)
		return "the system allows too few descriptors (ulimit -Hn)";
	h->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (h->alarm < 0)
		return strerror(errno);
	h->signals = signals_open();
	if (h->signals < 0)
		return strerror(-h->signals);
	int error = loop_open(&h->run.loop, &options);
	return error == 0 ? NULL : strerror(error);
}

static bool start_clients(struct holder *h)
{
	struct load_run *run = &h->run;

	run->idle_last = &run->idle;
	run->prepared_by = clock_now() +
	                   (run->options->timeout < PREPARE_NS ? run->options->timeout : PREPARE_NS);
	run->preparing = run->options->connections;
	run->clients = calloc(run->options->connections, sizeof(*run->clients));
	if (!run->clients || !loop_start(&run->loop, watch, h))
		return false;
	for (unsigned i = 0; i < run->options->connections; i++) {
		struct load_client *c = &run->clients[i];

		*c = (struct load_client){.run = run, .fd = -1, .in = buf_new(LOAD_BUFFER)};
		if (!c->in)
			return false;
		run->live++;
		if (!loop_start(&run->loop, load_client_run, c))
			return false;
	}
	return true;
}

/* Every client's fiber has ended. */
static void release(struct holder *h)
{
	struct load_run *run = &h->run;

	h->over = true;
	set_alarm(h, 1);
	while (run->loop.fibers.busy > 0)
		loop_turn(&run->loop, CLOCK_NEVER);
	loop_close(&run->loop);
	MUST(loop_free(&run->loop) == NULL); /* nobody posts to it */
	close(h->alarm);
	close(h->signals);
	for (unsigned i = 0; i < run->options->connections; i++)
		free(run->clients[i].in);
	free(run->clients);
	free(h->request);
	free(h->answers);
	free(h);
}

enum load_verdict load_run(const struct load_options *options, const struct addr *to,
        enum loop_driver_kind driver, struct load_result *result, const char **why)
{
	struct holder *h = calloc(1, sizeof(*h));

	*why = "out of memory";
	if (!h)
		return LOAD_FAILED;
	h->run.options = options;
	h->run.to = *to;
	h->run.result = result;
	result->driver = driver;
	h->answers = calloc(options->connections, sizeof(*h->answers));
	if (!h->answers || !make_request(h))
		return LOAD_FAILED;
	const char *fault = open_loop(h, driver);
	if (fault) {
		*why = fault;
		return LOAD_FAILED;
	}
	if (!start_clients(h))
		return LOAD_FAILED;
	turn_until_over(h);
	if (is_hopeless(&h->run) && !h->stopped) {
		*why = strerror(-h->run.refused);
		return LOAD_UNREACHABLE;
	}
	sum_up(h);
	if (h->stopped)
		return LOAD_LEFT;
	release(h);
	return LOAD_ENDED;
}
