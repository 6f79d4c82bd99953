/* One flow over socketpairs: every framing, every split, partial writes, and all the ways it can end. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/io_blocking.h"
#include "wire/flow.h"

#define BYTES(literal)                                                                                       \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

/* For the inner loops: libcheck writes down every assertion that it passes. */
#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { LINE_LIMIT = 64, MOST = 1 << 20, BIG = 300000 };

static struct io_blocking driver;

/* source[0] -> source[1], the flow, sink[0] -> sink[1], which is read into `got`. */
struct rig {
	int source[2], sink[2];
	struct buf *buf, *more;
	struct flow flow;
	struct pollfd wait;
	size_t got_len;
};

static char got[MOST], plain[MOST];

static void rig_open(struct rig *r, struct http_framing framing, size_t cap, size_t more)
{
	io_blocking_init(&driver);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, r->source) == 0);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, r->sink) == 0);
	r->buf = buf_new(cap);
	r->more = more ? buf_new(more) : NULL;
	r->got_len = 0;
	flow_init(&r->flow, r->source[1], r->sink[0], r->buf, framing, LINE_LIMIT);
	r->flow.more = r->more;
}

static void rig_close(struct rig *r)
{
	for (int i = 0; i < 2; i++) {
		close(r->source[i]);
		close(r->sink[i]);
	}
	free(r->buf);
	free(r->more);
}

static void feed(struct rig *r, struct str bytes)
{
	HOLDS(bytes.len == 0 || send(r->source[0], bytes.at, bytes.len, 0) == (ssize_t)bytes.len);
}

/* Reads at most `max` bytes from the sink; returns whether there were any. */
static bool take(struct rig *r, size_t max)
{
	size_t room = MOST - r->got_len < max ? MOST - r->got_len : max;
	ssize_t n = recv(r->sink[1], got + r->got_len, room, 0);

	if (n > 0)
		r->got_len += (size_t)n;
	return n > 0;
}

static void step(struct rig *r)
{
	while (flow_step(&r->flow, &driver.io, &r->wait))
		HOLDS(r->flow.state == FLOW_OPEN && r->wait.fd == -1);
	if (r->flow.state == FLOW_OPEN)
		HOLDS(r->wait.events == POLLIN ? r->wait.fd == r->flow.from
		                               : r->wait.events == POLLOUT && r->wait.fd == r->flow.to);
	while (take(r, MOST))
		;
}

/* The body in `got` after the prefix, its chunks taken off into `plain`. */
static struct str unchunked(const struct rig *r, size_t prefix, bool *whole)
{
	struct http_body_reader reader;
	size_t at = prefix, len = 0, used;
	struct str data;

	http_body_reader_init(&reader, (struct http_framing){.kind = BODY_CHUNKED}, 1000);
	while (at < r->got_len && !reader.done) {
		HOLDS(http_body_read(&reader, got + at, r->got_len - at, &used, &data) == HTTP_OK);
		memcpy(plain + len, data.at, data.len);
		len += data.len;
		at += used;
	}
	HOLDS(at == r->got_len);
	*whole = reader.done;
	return (struct str){plain, len};
}

static const struct row {
	struct http_framing framing;
	bool chunked; /* to the sink */
	struct str bytes;
	enum flow_state state; /* once all came; FLOW_OPEN: it waits for more */
	enum flow_state at_end;
	struct str data;
	size_t rest; /* bytes that are not the body's */
	uint64_t limit;
} rows[] = {
        {{BODY_NONE, 0}, false, BYTES("GET /"), FLOW_DONE, FLOW_DONE, BYTES(""), 5, 0},
        {{BODY_LENGTH, 0}, false, BYTES("xy"), FLOW_DONE, FLOW_DONE, BYTES(""), 2, 0},
        {{BODY_LENGTH, 0}, true, BYTES("xy"), FLOW_DONE, FLOW_DONE, BYTES(""), 2, 0},
        {{BODY_LENGTH, 5}, false, BYTES("hello"), FLOW_DONE, FLOW_DONE, BYTES("hello"), 0, 0},
        {{BODY_LENGTH, 5}, false, BYTES("helloGET"), FLOW_DONE, FLOW_DONE, BYTES("hello"), 3, 5},
        {{BODY_LENGTH, 5}, true, BYTES("helloGET"), FLOW_DONE, FLOW_DONE, BYTES("hello"), 3, 0},
        {{BODY_LENGTH, 6}, false, BYTES("hello"), FLOW_OPEN, FLOW_SOURCE_ENDED, BYTES("hello"), 0, 0},
        {{BODY_CHUNKED, 0}, true, BYTES("5\r\nhello\r\n1;x\r\n!\r\n0\r\nA: b\r\n\r\nGET"), FLOW_DONE,
                FLOW_DONE, BYTES("hello!"), 3, 6},
        {{BODY_CHUNKED, 0}, true, BYTES("0\r\n\r\n"), FLOW_DONE, FLOW_DONE, BYTES(""), 0, 0},
        {{BODY_CHUNKED, 0}, false, BYTES("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nxyz"), FLOW_DONE, FLOW_DONE,
                BYTES("abcde"), 3, 0},
        {{BODY_CHUNKED, 0}, true, BYTES("3\r\nabc\r\n2\r\nde\r\n0\r\n"), FLOW_OPEN, FLOW_SOURCE_ENDED,
                BYTES("abcde"), 0, 0},
        {{BODY_CHUNKED, 0}, false, BYTES("3\r\nab"), FLOW_OPEN, FLOW_SOURCE_ENDED, BYTES("ab"), 0, 0},
        {{BODY_CLOSE, 0}, false, BYTES("to the end"), FLOW_OPEN, FLOW_DONE, BYTES("to the end"), 0, 0},
        {{BODY_CLOSE, 0}, true, BYTES("to the end"), FLOW_OPEN, FLOW_DONE, BYTES("to the end"), 0, 10},
        {{BODY_CLOSE, 0}, true, BYTES(""), FLOW_OPEN, FLOW_DONE, BYTES(""), 0, 0},
        {{BODY_TUNNEL, 0}, false, BYTES("5\r\nx"), FLOW_OPEN, FLOW_DONE, BYTES("5\r\nx"), 0, 0},
};

/* What lies behind the body: in the buffer, then still in the socket. */
static void assert_rest(struct rig *r, struct str want)
{
	char bytes[100];
	struct str in_buf = buf_str(r->flow.buf);
	HOLDS(in_buf.len <= want.len && memcmp(in_buf.at, want.at, in_buf.len) == 0);
	ssize_t n = recv(r->source[1], bytes, sizeof(bytes), 0);
	size_t in_socket = n > 0 ? (size_t)n : 0;
	HOLDS(in_buf.len + in_socket == want.len);
	HOLDS(memcmp(bytes, want.at + in_buf.len, in_socket) == 0);
}

static void assert_sent(const struct rig *r, const struct row *row, struct str prefix, bool done)
{
	struct str data = {got + prefix.len, r->got_len - prefix.len};
	bool whole;

	HOLDS(r->got_len >= prefix.len && memcmp(got, prefix.at, prefix.len) == 0);
	HOLDS(r->flow.sent == r->got_len);
	if (row->chunked) {
		data = unchunked(r, prefix.len, &whole);
		HOLDS(whole == done);
	}
	HOLDS(str_eq(data, row->data));
}

/* bytes[0, a) came with the head, bytes[a, b) at first, the others later. */
static void run_split(const struct row *row, size_t a, size_t b, struct str prefix, size_t more)
{
	struct rig r;

	rig_open(&r, row->framing, 100, more);
	HOLDS(buf_add(r.buf, row->bytes.at, a));
	r.flow.prefix = prefix;
	r.flow.chunked = row->chunked;
	r.flow.limit = row->limit;
	feed(&r, (struct str){row->bytes.at + a, b - a});
	step(&r);
	feed(&r, (struct str){row->bytes.at + b, row->bytes.len - b});
	if (r.flow.state == FLOW_OPEN)
		step(&r);
	HOLDS(r.flow.state == row->state);
	shutdown(r.source[0], SHUT_WR);
	if (r.flow.state == FLOW_OPEN)
		step(&r);
	HOLDS(r.flow.state == row->at_end);
	assert_sent(&r, row, prefix, row->at_end == FLOW_DONE);
	if (row->framing.kind == BODY_LENGTH) /* what follows is left to the next message */
		HOLDS(r.flow.received <= row->framing.length);
	assert_rest(&r, (struct str){row->bytes.at + row->bytes.len - row->rest, row->rest});
	rig_close(&r);
}

START_TEST(every_split)
{
	const struct row *row = &rows[_i];

	for (size_t a = 0; a <= row->bytes.len; a++)
		for (size_t b = a; b <= row->bytes.len; b++) {
			run_split(row, a, b, STR("HTTP/1.1 200 OK\r\n\r\n"), 0);
			run_split(row, a, b, STR(""), 7);
		}
}
END_TEST

/* Byte for byte where the splits are known. */
START_TEST(framing_exact)
{
	struct rig r;

	rig_open(&r, (struct http_framing){.kind = BODY_CLOSE}, 100, 0);
	r.flow.prefix = STR("HEAD");
	r.flow.chunked = true;
	HOLDS(buf_add_str(r.buf, STR("abc")));
	feed(&r, STR("0123456789ABCDEFG"));
	step(&r);
	feed(&r, STR("x"));
	step(&r);
	shutdown(r.source[0], SHUT_WR);
	step(&r);
	ck_assert_int_eq(r.flow.state, FLOW_DONE);
	ck_assert(str_eq((struct str){got, r.got_len},
	        STR("HEAD3\r\nabc\r\n11\r\n0123456789ABCDEFG\r\n1\r\nx\r\n0\r\n\r\n")));
	ck_assert_uint_eq(r.flow.received, 18);
	rig_close(&r);
	/* Data and the end in one go. */
	rig_open(&r, (struct http_framing){.kind = BODY_CHUNKED}, 100, 0);
	r.flow.chunked = true;
	feed(&r, STR("2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n"));
	step(&r);
	ck_assert_int_eq(r.flow.state, FLOW_DONE);
	ck_assert(str_eq((struct str){got, r.got_len}, STR("3\r\nabc\r\n0\r\n\r\n")));
	rig_close(&r);
}
END_TEST

static const struct {
	struct http_framing framing;
	struct str bytes;
	uint64_t limit;
	enum flow_state state;
	struct str data;
} broken[] = {
        {{BODY_CHUNKED, 0}, BYTES("2\r\nab\r\nx\r\n"), 0, FLOW_BAD_FRAMING, BYTES("ab")},
        {{BODY_CHUNKED, 0}, BYTES("2\r\nabc\r\n"), 0, FLOW_BAD_FRAMING, BYTES("ab")},
        {{BODY_CHUNKED, 0}, BYTES("2\nab"), 0, FLOW_BAD_FRAMING, BYTES("")},
        {{BODY_CHUNKED, 0}, BYTES("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), 4, FLOW_TOO_LARGE, BYTES("abc")},
        {{BODY_LENGTH, 6}, BYTES("abcdef"), 5, FLOW_TOO_LARGE, BYTES("abc")},
        {{BODY_CLOSE, 0}, BYTES("abcdef"), 5, FLOW_TOO_LARGE, BYTES("abc")},
};

/* Not a byte more than what was right goes out, wherever the fault is split. */
START_TEST(faults)
{
	struct str bytes = broken[_i].bytes;

	for (size_t a = 0; a <= bytes.len; a++)
		for (size_t b = a; b <= bytes.len; b++) {
			struct rig r;

			rig_open(&r, broken[_i].framing, 100, 0);
			r.flow.limit = broken[_i].limit;
			HOLDS(buf_add(r.buf, bytes.at, a));
			feed(&r, (struct str){bytes.at + a, b - a});
			step(&r);
			feed(&r, (struct str){bytes.at + b, bytes.len - b});
			if (r.flow.state == FLOW_OPEN)
				step(&r);
			HOLDS(r.flow.state == broken[_i].state);
			HOLDS(r.got_len <= 5 && memcmp(got, "abcdef", r.got_len) == 0);
			HOLDS(r.got_len <= broken[_i].data.len || broken[_i].state == FLOW_TOO_LARGE);
			rig_close(&r);
		}
}
END_TEST

static char body_byte(size_t at)
{
	return (char)(at * 2654435761u >> 13);
}

/* The body as it comes: in chunks of all sizes, or plain. Returns its length. */
static size_t make_input(char *out, bool chunked)
{
	size_t len = 0;

	for (size_t at = 0, n = 1; at < BIG; at += n, n = (n * 7 + 3) % 5000 + 1) {
		if (n > BIG - at)
			n = BIG - at;
		if (chunked)
			len += http_chunk_head(out + len, n);
		for (size_t i = 0; i < n; i++)
			out[len++] = body_byte(at + i);
		if (chunked) {
			memcpy(out + len, "\r\n", 2);
			len += 2;
		}
	}
	if (chunked) {
		memcpy(out + len, "0\r\n\r\n", 5);
		len += 5;
	}
	return len;
}

static const struct {
	enum http_body_kind in;
	bool out;
	size_t cap, more;
} bodies[] = {
        {BODY_LENGTH, false, 100, 4096},
        {BODY_LENGTH, true, 1000, 0},
        {BODY_CHUNKED, true, 64, 65536},
        {BODY_CHUNKED, false, 777, 0},
        {BODY_CLOSE, true, 65536, 0},
        {BODY_CLOSE, false, 65536, 8191},
};

/* A sink that takes little at a time and a source that gives as it likes: the bytes are the same. */
START_TEST(partial_writes)
{
	static char input[2 * BIG];
	bool chunked = bodies[_i].in == BODY_CHUNKED;
	size_t len = make_input(input, chunked), at = 0;
	struct http_framing framing = {.kind = bodies[_i].in, .length = BIG};
	static char prefix[20000];
	struct rig r;
	int small = 1;
	unsigned state = (unsigned)_i, full = 0;

	rig_open(&r, framing, bodies[_i].cap, bodies[_i].more);
	HOLDS(setsockopt(r.sink[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	memset(prefix, 'p', sizeof(prefix));
	r.flow.prefix = (struct str){prefix, sizeof(prefix)};
	r.flow.chunked = bodies[_i].out;
	while (r.flow.state == FLOW_OPEN) {
		state = state * 1664525u + 1013904223u;
		if (at < len) {
			size_t n = 1 + (state >> 8) % 20000;
			ssize_t sent = send(r.source[0], input + at, n < len - at ? n : len - at, 0);

			at += sent > 0 ? (size_t)sent : 0;
		} else {
			shutdown(r.source[0], SHUT_WR);
		}
		flow_step(&r.flow, &driver.io, &r.wait);
		full += r.wait.events == POLLOUT;
		take(&r, 1 + (state >> 20) % 3000);
	}
	while (take(&r, MOST))
		;
	ck_assert_int_eq(r.flow.state, FLOW_DONE);
	ck_assert_uint_gt(full, 0);
	ck_assert_uint_eq(r.flow.sent, r.got_len);
	ck_assert_int_eq(memcmp(got, prefix, sizeof(prefix)), 0);
	struct str data = {got + sizeof(prefix), r.got_len - sizeof(prefix)};
	bool whole = true;
	if (bodies[_i].out)
		data = unchunked(&r, sizeof(prefix), &whole);
	ck_assert(whole);
	ck_assert_uint_eq(data.len, BIG);
	for (size_t i = 0; i < BIG; i++)
		HOLDS(data.at[i] == body_byte(i));
	rig_close(&r);
}
END_TEST

START_TEST(source_lost)
{
	struct rig r;

	rig_open(&r, (struct http_framing){.kind = BODY_CLOSE}, 100, 0);
	HOLDS(send(r.source[1], "x", 1, 0) == 1); /* a Unix socket closed with unread bytes resets */
	close(r.source[0]);
	r.source[0] = -1;
	step(&r);
	ck_assert_int_eq(r.flow.state, FLOW_SOURCE_LOST);
	ck_assert_int_eq(r.flow.error, ECONNRESET);
	rig_close(&r);
}
END_TEST

START_TEST(sink_lost)
{
	struct rig r;

	rig_open(&r, (struct http_framing){.kind = BODY_LENGTH, .length = 3}, 100, 0);
	close(r.sink[1]);
	r.sink[1] = -1;
	feed(&r, STR("abc"));
	step(&r);
	ck_assert_int_eq(r.flow.state, FLOW_SINK_LOST);
	ck_assert_int_eq(r.flow.error, EPIPE);
	rig_close(&r);
}
END_TEST

START_TEST(half_close)
{
	struct rig r;
	char byte;

	rig_open(&r, (struct http_framing){.kind = BODY_CLOSE}, 100, 0);
	r.flow.shut = _i == 1;
	feed(&r, STR("abc"));
	step(&r);
	shutdown(r.source[0], SHUT_WR);
	step(&r);
	ck_assert_int_eq(r.flow.state, FLOW_DONE);
	ck_assert_int_eq(recv(r.sink[1], &byte, 1, 0), _i == 1 ? 0 : -1);
	rig_close(&r);
}
END_TEST

/* What is received at once stays within receive_max, so that what follows the body fits elsewhere. */
START_TEST(receives_little)
{
	struct rig r;

	rig_open(&r, (struct http_framing){.kind = BODY_CHUNKED}, 100, 0);
	r.flow.receive_max = 16;
	feed(&r, STR("3\r\nabc\r\n0\r\n\r\n-----------------------------"));
	step(&r);
	ck_assert_int_eq(r.flow.state, FLOW_DONE);
	ck_assert(str_eq(buf_str(r.flow.buf), STR("---")));
	rig_close(&r);
}
END_TEST

START_TEST(deadlines)
{
	struct rig r;
	struct pollfd out = {.events = POLLOUT};

	rig_open(&r, (struct http_framing){.kind = BODY_CLOSE}, 100, 0);
	step(&r);
	ck_assert_int_eq(flow_deadline(&r.flow, &r.wait), CLOCK_NEVER);
	r.flow.source_timeout = 5;
	r.flow.sink_timeout = 7;
	ck_assert_int_eq(flow_deadline(&r.flow, &r.wait), r.flow.progress + 5);
	ck_assert_int_eq(flow_deadline(&r.flow, &out), r.flow.progress + 7);
	flow_expire(&r.flow, &r.wait, r.flow.progress + 5);
	ck_assert_int_eq(r.flow.state, FLOW_SOURCE_SILENT);
	flow_expire(&r.flow, &out, r.flow.progress + 7);
	ck_assert_int_eq(r.flow.state, FLOW_SINK_STUCK);
	rig_close(&r);
}
END_TEST

/* The pace of whom it waits for is looked at when its time is over, and ends the flow only then. */
START_TEST(paces)
{
	struct rig r;

	rig_open(&r, (struct http_framing){.kind = BODY_LENGTH, .length = 10000}, 100, 0);
	r.flow.source_pace = pace_of(1000, CLOCK_NS_PER_S);
	r.flow.expects = true;
	step(&r);
	ck_assert_int_eq(flow_deadline(&r.flow, &r.wait), CLOCK_NEVER); /* it may wait for us */
	feed(&r, STR("abc"));
	step(&r);
	int64_t first = flow_deadline(&r.flow, &r.wait);
	ck_assert_int_ne(first, CLOCK_NEVER);
	flow_expire(&r.flow, &r.wait, first);
	ck_assert_int_eq(r.flow.state, FLOW_OPEN);
	int64_t second = flow_deadline(&r.flow, &r.wait);
	ck_assert_int_eq(second, first + 3 * CLOCK_NS_PER_MS);
	flow_expire(&r.flow, &r.wait, second);
	ck_assert_int_eq(r.flow.state, FLOW_SOURCE_SLOW);
	rig_close(&r);

	rig_open(&r, (struct http_framing){.kind = BODY_CLOSE}, MOST, 0);
	r.flow.sink_pace = pace_of(1000, CLOCK_NS_PER_S);
	step(&r);
	ck_assert_int_eq(flow_deadline(&r.flow, &r.wait), CLOCK_NEVER); /* waits for its source */
	memset(r.buf->data, 'x', MOST);
	r.flow.data = (struct str){r.buf->data, MOST}; /* more than the socket holds */
	flow_step(&r.flow, &driver.io, &r.wait);
	ck_assert_int_eq(r.wait.fd, r.sink[0]);
	first = flow_deadline(&r.flow, &r.wait);
	flow_expire(&r.flow, &r.wait, first);
	ck_assert_int_eq(r.flow.state, FLOW_SINK_SLOW);
	rig_close(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire/flow");
	TCase *tc = tcase_create("flow");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_split, 0, COUNT(rows));
	tcase_add_test(tc, framing_exact);
	tcase_add_loop_test(tc, faults, 0, COUNT(broken));
	tcase_add_loop_test(tc, partial_writes, 0, COUNT(bodies));
	tcase_add_test(tc, source_lost);
	tcase_add_test(tc, sink_lost);
	tcase_add_loop_test(tc, half_close, 0, 2);
	tcase_add_test(tc, receives_little);
	tcase_add_test(tc, deadlines);
	tcase_add_test(tc, paces);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
