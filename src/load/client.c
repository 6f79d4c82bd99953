#include "load/client.h"

#include <errno.h>

#include "http/frame.h"

enum { LINE_LIMIT = 8 * 1024 };

#define LATE_NS CLOCK_NS_PER_MS
/* After a connect that failed: a server that is gone must not keep us busy. */
#define PAUSE_NS (10 * CLOCK_NS_PER_MS)

enum outcome { ANSWERED, BAD_CONNECT, BAD_READ, BAD_WRITE, TIMED_OUT, CUT };

static struct io *io_of(struct load_client *c)
{
	return &c->run->loop.io;
}

/* The connection ------------------------------------------------------------------------------------------------*/

static void disconnect(struct load_client *c)
{
	if (c->fd >= 0)
		io_close(io_of(c), c->fd);
	c->fd = -1;
	buf_clear(c->in);
}

/* 0 or -errno. */
static int connect_by(struct load_client *c, int64_t deadline)
{
	struct load_run *run = c->run;
	int fd = io_connect(io_of(c), &run->to, deadline);

	if (fd < 0) {
		if (run->result->opened == 0 && run->refused == 0)
			run->refused = fd;
		return fd;
	}
	c->fd = fd;
	run->result->opened++;
	run->refused = 0;
	return 0;
}

static void pause_after_failure(struct load_client *c)
{
	io_sleep(io_of(c), clock_now() + PAUSE_NS);
}

/* Connections that will be kept are opened before the start, as far as the server takes them by then. */
static void prepare(struct load_client *c)
{
	struct load_run *run = c->run;
	bool failed = run->options->keepalive && connect_by(c, run->prepared_by) != 0;

	run->preparing--;
	if (c->fd >= 0 && !io_rest(io_of(c), c->fd))
		disconnect(c);
	if (!failed)
		return;
	run->result->errors.connect++;
	pause_after_failure(c);
}

/* A request and its answer --------------------------------------------------------------------------------------*/

/* A count, 0 for the end of the stream, -errno. */
static ssize_t receive(struct load_client *c)
{
	if (clock_now() >= c->give_up) /* what is there already would be taken without a look at the clock */
		return -ETIMEDOUT;
	if (buf_room(c->in) == 0)
		buf_compact(c->in);
	if (buf_room(c->in) == 0)
		return -EMSGSIZE;
	ssize_t n = io_recv_buf(io_of(c), c->fd, &c->in, c->give_up);
	if (n > 0)
		c->run->result->bytes += (uint64_t)n;
	return n;
}

static int send_request(struct load_client *c)
{
	struct str rest = c->run->request;

	while (rest.len > 0) {
		ssize_t n = io_send(io_of(c), c->fd, rest, c->give_up);

		if (n < 0)
			return (int)n;
		rest.at += n;
		rest.len -= (size_t)n;
	}
	return 0;
}

/* The head of the answer, after 1xx ones. It is valid until the next switch. 0 or -errno. */
static int read_head(struct load_client *c, struct http_head *head)
{
	size_t scanned = 0;

	for (;;) {
		size_t len = http_head_find_end(buf_head(c->in), buf_len(c->in), &scanned);

		if (len == 0) {
			ssize_t n = receive(c);

			if (n <= 0)
				return n == 0 ? -ECONNRESET : (int)n;
			continue;
		}
		*head = (struct http_head){.fields = c->run->fields, .room = LOAD_FIELDS};
		if (http_response_parse(head, buf_head(c->in), len) != HTTP_OK || head->status == 101)
			return -EPROTO;
		if (head->status >= 200)
			return 0;
		buf_consume(c->in, len);
		scanned = 0;
	}
}

static int read_body(struct load_client *c, struct http_framing framing)
{
	struct http_body_reader body;

	http_body_reader_init(&body, framing, LINE_LIMIT);
	while (!body.done) {
		struct str data;
		size_t used;

		if (buf_len(c->in) == 0) {
			ssize_t n = receive(c);

			if (n == 0)
				return http_body_eof(&body) ? 0 : -ECONNRESET;
			if (n < 0)
				return (int)n;
		}
		if (http_body_read(&body, buf_head(c->in), buf_len(c->in), &used, &data) != HTTP_OK)
			return -EPROTO;
		buf_consume(c->in, used);
	}
	return 0;
}

/* 0 or -errno. *keep: the connection may be used again. */
static int read_answer(struct load_client *c, bool *keep)
{
	struct http_head head;
	struct http_framing framing;
	int error = read_head(c, &head);

	if (error != 0)
		return error;
	if (http_response_framing(&head, STR("GET"), &framing) != HTTP_OK)
		return -EPROTO;
	c->status = head.status;
	*keep = c->run->options->keepalive && framing.kind != BODY_CLOSE && http_head_keeps_alive(&head);
	buf_consume(c->in, head.size);
	error = read_body(c, framing);
	if (buf_len(c->in) > 0)
		*keep = false; /* more than an answer */
	return error;
}

static void set_deadline(struct load_client *c, int64_t from)
{
	int64_t deadline = from + c->run->options->timeout;

	c->give_up = deadline < c->run->last ? deadline : c->run->last;
}

static enum outcome failed(struct load_client *c, int error, enum outcome otherwise)
{
	disconnect(c);
	if (error != -ETIMEDOUT)
		return otherwise;
	return !load_is_open(c->run) && clock_now() >= c->run->last ? CUT : TIMED_OUT;
}

static enum outcome exchange(struct load_client *c)
{
	struct load_result *result = c->run->result;
	bool keep = false;
	int error;

	c->sent = 0;
	set_deadline(c, clock_now());
	if (c->fd >= 0 && !io_is_quiet(io_of(c), c->fd))
		disconnect(c); /* the server closed it meanwhile, which is its right */
	if (c->fd < 0 && (error = connect_by(c, c->give_up)) != 0)
		return failed(c, error, BAD_CONNECT);
	c->sent = clock_now();
	set_deadline(c, c->sent);
	result->sent++;
	if (load_is_open(c->run) && c->sent - c->due > LATE_NS)
		result->late++;
	error = send_request(c);
	if (error != 0)
		return failed(c, error, BAD_WRITE);
	error = read_answer(c, &keep);
	if (error != 0)
		return failed(c, error, BAD_READ);
	if (!keep || !io_rest(io_of(c), c->fd))
		disconnect(c);
	return ANSWERED;
}

static enum outcome attempt(struct load_client *c)
{
	c->busy = true;
	enum outcome outcome = exchange(c);
	c->busy = false;
	return outcome;
}

static void record(struct load_client *c, int64_t now)
{
	histogram_record(&c->run->result->latency, now - c->due);
	if (c->sent != 0)
		histogram_record(&c->run->result->service, now - c->sent);
	c->run->heard = now;
}

static void count_answer(struct load_client *c)
{
	struct load_result *result = c->run->result;
	int64_t now = clock_now();

	if (!load_is_open(c->run) && now > c->run->last) {
		result->cut++;
		return;
	}
	record(c, now);
	result->answered++;
	c->answered++;
	bool good = c->status < 400 && now - c->due <= c->run->options->good;
	result->good += good;
	result->good_by_end += good && now <= c->run->schedule.end;
	if (c->status >= 400)
		result->errors.status++;
}

static void count(struct load_client *c, enum outcome outcome)
{
	struct load_result *result = c->run->result;

	switch (outcome) {
	case ANSWERED:
		count_answer(c);
		break;
	case BAD_CONNECT:
		result->errors.connect++;
		pause_after_failure(c);
		break;
	case BAD_READ:
		result->errors.read++;
		break;
	case BAD_WRITE:
		result->errors.write++;
		break;
	case TIMED_OUT: /* the time that it has taken so far counts: what is lost must not flatter */
		record(c, clock_now());
		result->errors.timeout++;
		break;
	case CUT:
		result->cut++;
		break;
	}
}

/* Which request, and when ---------------------------------------------------------------------------------------*/

static void wait_idle(struct load_client *c)
{
	struct load_run *run = c->run;

	c->next = NULL;
	*run->idle_last = c;
	run->idle_last = &c->next;
	c->given = false;
	(void)loop_suspend(&run->loop, &c->wait, CLOCK_NEVER);
}

/* False: the run is over. */
static bool next_of_open(struct load_client *c)
{
	struct load_run *run = c->run;

	if (run->started && clock_now() >= run->last)
		return false;
	/* Who waits for longer goes first. */
	if (run->started && !run->idle && schedule_take(&run->schedule, clock_now(), &c->due))
		return true;
	wait_idle(c);
	return c->given;
}

static bool next_of_closed(struct load_client *c)
{
	struct load_run *run = c->run;

	if (!run->started)
		wait_idle(c);
	c->due = clock_now();
	if (c->due >= run->last)
		return false;
	run->result->scheduled++;
	return true;
}

void load_client_run(void *arg)
{
	struct load_client *c = arg;

	prepare(c);
	while (load_is_open(c->run) ? next_of_open(c) : next_of_closed(c))
		count(c, attempt(c));
	disconnect(c);
	c->run->live--;
}
