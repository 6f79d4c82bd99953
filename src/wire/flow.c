#include "wire/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/sock.h"

enum { STEPS_A_TURN = 8, PARTS = 4, PIPE_BYTES = 256 * 1024 };

void flow_init(
        struct flow *f, int from, int to, struct buf *buf, struct http_framing framing, unsigned line_limit)
{
	*f = (struct flow){.from = from, .to = to, .buf = buf, .pipe = {-1, -1}};
	http_body_reader_init(&f->reader, framing, line_limit);
}

static bool is_pending(const struct flow *f)
{
	return f->prefix.len > 0 || f->chunk_head.len > 0 || f->data.len > 0 || f->suffix.len > 0;
}

static void advance(struct str *s, size_t *n)
{
	size_t step = *n < s->len ? *n : s->len;

	if (step == 0) /* an empty part may point nowhere */
		return;
	s->at += step;
	s->len -= step;
	*n -= step;
}

static bool sink_failed(struct flow *f, ssize_t error)
{
	if (error != -EAGAIN) {
		f->state = FLOW_SINK_LOST;
		f->error = (int)-error;
	}
	return false;
}

static bool send_piped(struct flow *f, struct io *io)
{
	while (f->piped > 0) {
		ssize_t n = io_splice_out(io, f->pipe[0], f->to, f->piped);

		if (n < 0)
			return sink_failed(f, n);
		f->piped -= (size_t)n;
		f->sent += (uint64_t)n;
	}
	return true;
}

/* False when the sink takes no more for now, or is lost. */
static bool send_pending(struct flow *f, struct io *io)
{
	struct str *all[PARTS] = {&f->prefix, &f->chunk_head, &f->data, &f->suffix};

	while (is_pending(f)) {
		struct iovec parts[PARTS];
		int count = 0;

		for (int i = 0; i < PARTS; i++)
			if (all[i]->len > 0)
				parts[count++] = (struct iovec){(char *)(uintptr_t)all[i]->at, all[i]->len};
		ssize_t n = io_sendv(io, f->to, parts, count, IO_NOW);
		if (n < 0)
			return sink_failed(f, n);
		size_t left = (size_t)n;
		f->sent += left;
		for (int i = 0; i < PARTS; i++)
			advance(all[i], &left);
	}
	return send_piped(f, io);
}

/* Frames what `data` holds for the sink, and the end once the body is complete. */
static void frame(struct flow *f)
{
	if (!f->chunked)
		return;
	if (f->data.len > 0) {
		f->chunk_head = (struct str){
		        f->chunk_head_text, http_chunk_head(f->chunk_head_text, f->data.len)};
		f->suffix = STR("\r\n");
	}
	if (f->reader.done && !f->end_framed) {
		f->suffix = f->data.len > 0 ? STR("\r\n0\r\n\r\n") : STR("0\r\n\r\n");
		f->end_framed = true;
	}
}

/* Takes the framing off what is in the buffer, moving the data together; what follows the body stays in the buffer. */
static bool decode(struct flow *f)
{
	char *base = buf_head(f->buf);
	size_t len = buf_len(f->buf);
	size_t at = 0;
	size_t kept = 0;

	while (at < len && !f->reader.done) {
		size_t used;
		struct str data;

		if (http_body_read(&f->reader, base + at, len - at, &used, &data) != HTTP_OK) {
			f->state = FLOW_BAD_FRAMING;
			return false;
		}
		if (data.len > 0 && data.at != base + kept)
			memmove(base + kept, data.at, data.len);
		kept += data.len;
		if (used == 0)
			break;
		at += used;
	}
	MUST(at == len || f->reader.done);
	if (f->limit > 0 && f->reader.taken > f->limit) {
		f->state = FLOW_TOO_LARGE;
		return false;
	}
	f->data = (struct str){base, kept};
	buf_consume(f->buf, at);
	frame(f);
	return true;
}

static size_t receive_room(const struct flow *f)
{
	size_t room = f->buf->cap;

	if (f->receive_max > 0 && room > f->receive_max)
		room = f->receive_max;
	if (f->reader.kind == BODY_LENGTH && room > f->reader.left)
		room = (size_t)f->reader.left; /* what follows belongs to the next message */
	return room;
}

/* What a receive that brought nothing means. Always false but for an end of the stream that completes the body. */
static bool source_stopped(struct flow *f, ssize_t n)
{
	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		f->state = FLOW_SOURCE_LOST;
		f->error = (int)-n;
		return false;
	}
	if (!http_body_eof(&f->reader)) {
		f->state = FLOW_SOURCE_ENDED;
		return false;
	}
	frame(f);
	return true;
}

static bool receive_copied(struct flow *f, struct io *io);

static bool receive_piped(struct flow *f, struct io *io)
{
	size_t room = PIPE_BYTES;

	if (f->reader.kind == BODY_LENGTH && room > f->reader.left)
		room = (size_t)f->reader.left;
	ssize_t n = io_splice_in(io, f->from, f->pipe[1], room);
	/* splice(2) stops before an urgent byte for good, recv(2) passes over it. */
	if ((n == 0 || n == -EAGAIN) && sockatmark(f->from) == 1)
		return receive_copied(f, io);
	if (n <= 0)
		return source_stopped(f, n);
	f->piped = (size_t)n;
	f->received += (uint64_t)n;
	http_body_skip(&f->reader, (uint64_t)n);
	return true;
}

/* A receive filled its buffer: there is more where that came from, and a pipe spares it two copies. */
static void turn_to_pipe(struct flow *f)
{
	if (atomic_fetch_sub_explicit(f->pipes, 1, memory_order_relaxed) <= 0 ||
	        pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
		f->pipe[0] = f->pipe[1] = -1; /* no descriptors to spare: copying does as well */
		atomic_fetch_add_explicit(f->pipes, 1, memory_order_relaxed);
		f->pipes = NULL; /* asked once */
		return;
	}
	(void)fcntl(f->pipe[1], F_SETPIPE_SZ, PIPE_BYTES); /* not allowed so much: the default does */
}

static bool receive_copied(struct flow *f, struct io *io)
{
	if (f->more) {
		f->buf = f->more;
		f->more = NULL;
	}
	buf_clear(f->buf);
	size_t room = receive_room(f);
	ssize_t n = io_recv(io, f->from, f->buf->data, room, IO_NOW);
	if (n <= 0)
		return source_stopped(f, n);
	f->buf->end = (size_t)n;
	f->received += (size_t)n;
	f->drained = (size_t)n < room;
	if (f->pipes && f->pipe[0] < 0 && (size_t)n == f->buf->cap)
		turn_to_pipe(f);
	return decode(f);
}

/* False when there is nothing for now, or the flow is over. */
static bool receive(struct flow *f, struct io *io)
{
	return f->pipe[0] >= 0 ? receive_piped(f, io) : receive_copied(f, io);
}

static void finish(struct flow *f)
{
	if (f->shut)
		(void)shutdown(
		        f->to, SHUT_WR); /* fails when the peer is gone already: the other direction tells */
	f->state = FLOW_DONE;
}

static bool is_paced(const struct flow *f)
{
	return f->source_pace.rate > 0 || f->sink_pace.rate > 0;
}

static void stop_paces(struct flow *f)
{
	int64_t now = clock_coarse();

	pace_resume(&f->source_pace, now);
	pace_resume(&f->sink_pace, now);
}

static struct pace *pace_at(struct flow *f, const struct pollfd *wait)
{
	return wait->events & POLLOUT ? &f->sink_pace : &f->source_pace;
}

static void start_pace(struct flow *f, const struct pollfd *wait)
{
	struct pace *p = pace_at(f, wait);

	if (wait->fd < 0 || p->rate == 0)
		return;
	if (p == &f->source_pace && f->expects && f->reader.taken == 0)
		return;
	pace_wait(p, clock_coarse());
}

bool flow_step(struct flow *f, struct io *io, struct pollfd *wait)
{
	uint64_t before = f->sent + f->received;

	if (is_paced(f))
		stop_paces(f);
	*wait = (struct pollfd){.fd = -1};
	if (!f->started) {
		f->started = true;
		f->progress = clock_coarse();
		if (buf_len(f->buf) > 0 && !f->reader.done && !decode(f))
			return false;
	}
	for (int i = 0; i < STEPS_A_TURN; i++) {
		if (!send_pending(f, io)) {
			*wait = (struct pollfd){.fd = f->to, .events = POLLOUT};
			break;
		}
		if (f->reader.done) {
			if (f->chunked && !f->end_framed) {
				frame(f);
				continue;
			}
			finish(f);
			break;
		}
		if (f->drained || !receive(f, io)) {
			f->drained = false;
			*wait = (struct pollfd){.fd = f->from, .events = POLLIN};
			break;
		}
	}
	if (before != f->sent + f->received)
		f->progress = clock_coarse();
	if (is_paced(f) && f->state == FLOW_OPEN)
		start_pace(f, wait);
	return f->state == FLOW_OPEN && wait->fd < 0;
}

void flow_close(struct flow *f)
{
	if (!f->buf || f->pipe[0] < 0)
		return;
	close(f->pipe[0]);
	close(f->pipe[1]);
	f->pipe[0] = f->pipe[1] = -1;
	atomic_fetch_add_explicit(f->pipes, 1, memory_order_relaxed);
}

static int64_t idle_deadline(const struct flow *f, const struct pollfd *wait)
{
	return clock_after(f->progress, wait->events & POLLOUT ? f->sink_timeout : f->source_timeout);
}

int64_t flow_deadline(const struct flow *f, const struct pollfd *wait)
{
	int64_t idle = idle_deadline(f, wait);
	int64_t pace = pace_deadline(wait->events & POLLOUT ? &f->sink_pace : &f->source_pace);

	return pace < idle ? pace : idle;
}

/* What the kernel has taken is not yet what the peer has. */
static uint64_t taken_by_sink(const struct flow *f)
{
	uint64_t held = sock_unsent(f->to);

	return held < f->sent ? f->sent - held : 0;
}

void flow_expire(struct flow *f, const struct pollfd *wait, int64_t now)
{
	bool out = (wait->events & POLLOUT) != 0;

	if (idle_deadline(f, wait) <= now)
		f->state = out ? FLOW_SINK_STUCK : FLOW_SOURCE_SILENT;
	else if (!pace_keeps(pace_at(f, wait), out ? taken_by_sink(f) : f->received, now))
		f->state = out ? FLOW_SINK_SLOW : FLOW_SOURCE_SLOW;
}
