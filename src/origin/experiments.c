#include "origin/experiments.h"

#include <errno.h>
#include <stdio.h>

#include "http/reply.h"
#include "origin/answer.h"

enum {
	CHUNK = 26 *
	        512, /* bytes of each of our chunks but the last: whole rounds of the pattern, which each begins anew */
	TEXT_ROOM = 128
};

static const struct str plain = {"text/plain", sizeof("text/plain") - 1};
static const struct str binary = {"application/octet-stream", sizeof("application/octet-stream") - 1};

static bool number_of(struct request *r, struct str rest, const char *what, long long max, long long *n)
{
	char text[TEXT_ROOM];

	if (str_to_uint63(rest, n) && *n <= max)
		return true;
	int len = snprintf(text, sizeof(text), "%s: a number from 0 to %lld is wanted", what, max);
	answer_text(r, 400, (struct str){text, (size_t)len}, STR(""));
	return false;
}

void experiments_delay(struct request *r, struct str rest)
{
	char text[TEXT_ROOM];
	long long ms;

	if (!number_of(r, rest, "/delay/MS", EXPERIMENTS_DELAY_MAX, &ms))
		return;
	io_sleep(r->worker->io, clock_now() + ms * CLOCK_NS_PER_MS);
	int len = snprintf(text, sizeof(text), "waited %lld ms", ms);
	answer_text(r, 200, (struct str){text, (size_t)len}, STR(""));
}

/* The next part of the pattern for `left` bytes of it. */
static struct iovec pattern_part(const struct request *r, uint64_t left)
{
	size_t len = left < ORIGIN_PATTERN ? (size_t)left : (size_t)ORIGIN_PATTERN;

	return answer_part((struct str){r->origin->pattern, len});
}

/* n bytes of the pattern, plain; the head goes with the first. */
static void send_pattern(struct request *r, const struct answer *a, uint64_t n)
{
	struct iovec parts[ANSWER_PARTS_MAX] = {{0}};
	bool started = false;

	do {
		int count = 0;

		for (; count < ANSWER_PARTS_MAX && n > 0; count++) {
			parts[count] = pattern_part(r, n);
			n -= parts[count].iov_len;
		}
		if (started)
			answer_more(r, parts, count);
		else
			answer_start(r, a, parts, count);
		started = true;
	} while (n > 0 && !r->cut && !r->is_head);
}

void experiments_bytes(struct request *r, struct str rest)
{
	long long n;

	if (!number_of(r, rest, "/bytes/N", INT64_MAX, &n))
		return;
	struct answer a = {.status = 200, .framing = ANSWER_LENGTH, .length = (uint64_t)n, .type = binary};
	send_pattern(r, &a, (uint64_t)n);
}

void experiments_close(struct request *r, struct str rest)
{
	struct answer a = {.status = 200, .framing = ANSWER_CLOSE, .type = plain};
	struct iovec text = answer_part(STR("closing\n"));
	long long n;

	if (rest.len == 0) {
		answer_start(r, &a, &text, 1);
		return;
	}
	if (!number_of(r, rest, "/close/N", INT64_MAX, &n))
		return;
	a.type = binary;
	send_pattern(r, &a, (uint64_t)n);
}

/* Data as a chunk, no data as the end; or, without chunks, just the data. Returns how many parts that is, 3 at most. */
static int chunk_parts(bool chunked, char size[HTTP_CHUNK_HEAD_MAX], struct str data, struct iovec *parts)
{
	if (!chunked) {
		parts[0] = answer_part(data);
		return data.len > 0;
	}
	if (data.len == 0) {
		parts[0] = answer_part(STR("0\r\n\r\n"));
		return 1;
	}
	parts[0] = answer_part((struct str){size, http_chunk_head(size, data.len)});
	parts[1] = answer_part(data);
	parts[2] = answer_part(STR("\r\n"));
	return 3;
}

void experiments_chunked(struct request *r, struct str rest)
{
	struct iovec parts[ANSWER_PARTS_MAX];
	char size[HTTP_CHUNK_HEAD_MAX];
	long long left;

	if (!number_of(r, rest, "/chunked/N", INT64_MAX, &left))
		return;
	struct answer a = {.status = 200, .framing = answer_stream(r), .type = binary};
	bool chunked = a.framing == ANSWER_CHUNKED;
	bool more = left > 0;
	struct str data = {r->origin->pattern, left < CHUNK ? (size_t)left : (size_t)CHUNK};
	answer_start(r, &a, parts, chunk_parts(chunked, size, data, parts));
	while (more && !r->cut && !r->is_head) {
		left -= (long long)data.len;
		data.len = left < CHUNK ? (size_t)left : (size_t)CHUNK;
		more = left > 0;
		answer_more(r, parts, chunk_parts(chunked, size, data, parts));
	}
}

/* Fields without which an answer of this status would be wrong (RFC 9110 section 15). */
static struct str fields_of(int status)
{
	switch (status) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return STR("Location: /\r\n");
	case 401:
		return STR("WWW-Authenticate: Basic realm=\"tplb-origin\"\r\n");
	case 405:
		return STR("Allow: GET, HEAD, OPTIONS\r\n");
	case 407:
		return STR("Proxy-Authenticate: Basic realm=\"tplb-origin\"\r\n");
	case 416:
		return STR("Content-Range: bytes */0\r\n");
	case 426:
		return STR("Upgrade: HTTP/1.1\r\nConnection: upgrade\r\n");
	default:
		return STR("");
	}
}

/* An interim answer ahead of the 200 that follows; HTTP/1.0 does not know any (section 15.2). */
static void send_interim(struct request *r, int status)
{
	char text[TEXT_ROOM];
	int len = snprintf(text, sizeof(text), "HTTP/1.1 %d %s\r\n%s\r\n", status,
	        status == 103 ? "Early Hints" : http_reason(status),
	        status == 103 ? "Link: </santai>; rel=preload\r\n" : "");

	if (r->head.minor >= 1)
		answer_ready(r, status, (struct str){text, (size_t)len});
}

void experiments_status(struct request *r, struct str rest)
{
	long long status;

	if (!str_to_uint63(rest, &status) || status < 100 || status > 599 || status == 101) {
		answer_text(r, 400, STR("/status/CODE: a number from 100 to 599 but 101 is wanted"), STR(""));
		return;
	}
	struct answer empty = {.status = (int)status, .framing = ANSWER_NONE};
	if (status == 205)
		empty.framing = ANSWER_LENGTH; /* of 0, section 15.3.6 */
	if (status < 200) {
		send_interim(r, (int)status);
		if (!r->cut)
			answer_text(r, 200, STR(""), STR(""));
	} else if (status == 204 || status == 205 || status == 304) {
		answer_start(r, &empty, NULL, 0);
	} else {
		answer_text(r, (int)status, STR(""), fields_of((int)status));
	}
}

/* How long the echo is, where the request says it. */
static struct answer echo_answer(struct request *r)
{
	struct answer a = {.status = 200, .framing = ANSWER_LENGTH, .length = r->head.size, .type = plain};

	if (r->body.kind == BODY_CHUNKED)
		a.framing = answer_stream(r);
	else
		a.length += r->body.left;
	return a;
}

/* The request's head and what came of its body along with it. */
static void start_echo(struct request *r, const struct answer *a, int got, struct str piece)
{
	struct iovec parts[ANSWER_PARTS_MAX];
	char sizes[2][HTTP_CHUNK_HEAD_MAX];
	bool chunked = a->framing == ANSWER_CHUNKED;
	struct str head = {buf_head(r->conn->in), r->head.size};
	int count = chunk_parts(chunked, sizes[0], head, parts);

	if (got >= 0)
		count += chunk_parts(chunked, sizes[1], piece, parts + count);
	answer_start(r, a, parts, count);
}

/*
 * The answer begins before the body has come to its end, so memory stays bounded. The price: a client that reads
 * nothing until it has sent all, must not send more than the sockets' buffers hold.
 */
void experiments_echo(struct request *r, struct str rest)
{
	struct answer a = echo_answer(r);
	struct iovec parts[ANSWER_PARTS_MAX];
	char size[HTTP_CHUNK_HEAD_MAX];
	struct str piece;
	int got = request_body(r, IO_NOW, &piece);

	(void)rest;
	if (got == -EAGAIN)
		answer_continue(r);
	else if (got < 0)
		request_body_failed(r, got);
	if (r->cut || (got < 0 && got != -EAGAIN))
		return;
	start_echo(r, &a, got, piece);
	while (got != 0 && !r->cut) {
		got = request_body_wait(r, &piece);
		if (got < 0)
			r->cut = true;
		else
			answer_more(r, parts, chunk_parts(a.framing == ANSWER_CHUNKED, size, piece, parts));
	}
}

void experiments_count(struct request *r, struct str rest)
{
	char text[TEXT_ROOM];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)origin_answered(r->origin));

	(void)rest;
	r->uncounted = true;
	answer_text(r, 200, (struct str){text, (size_t)len}, STR(""));
}
