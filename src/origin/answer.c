#include "origin/answer.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "http/reply.h"

enum { HEAD_ROOM = 512 };

static void count_answer(struct request *r, int status)
{
	static const enum counter_id classes[] = {COUNTER_responses_1xx, COUNTER_responses_2xx,
	        COUNTER_responses_3xx, COUNTER_responses_4xx, COUNTER_responses_5xx};
	struct origin_worker *own = r->worker->local;
	uint64_t now = atomic_load_explicit(&own->answered, memory_order_relaxed);

	counter_add(r->worker->counters, classes[status / 100 - 1], 1);
	/* Before the answer goes out: who got it and then asks /count, is to find it counted. */
	if (!r->uncounted && status >= 200)
		atomic_store_explicit(&own->answered, now + 1, memory_order_release);
}

static void send_failed(struct request *r, int error)
{
	r->cut = true;
	if (error == -ETIMEDOUT)
		COUNT(r->worker->counters, client_timeout);
	else
		COUNT(r->worker->counters, client_left);
}

static void send_parts(struct request *r, struct iovec *parts, int count)
{
	uint64_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	int error = io_send_all(r->worker->io, r->conn->fd, parts, count, ORIGIN_CLIENT_TIMEOUT);
	if (error < 0)
		send_failed(r, error);
	else
		counter_add(r->worker->counters, COUNTER_bytes_out, bytes);
}

enum answer_framing answer_stream(struct request *r)
{
	if (r->head.minor >= 1)
		return ANSWER_CHUNKED;
	r->close = true;
	return ANSWER_CLOSE;
}

/* All but `extra` and the empty line. */
static struct str write_head(struct request *r, const struct answer *a, char out[HEAD_ROOM])
{
	struct str date = http_date_now(&r->worker->date);
	int n = snprintf(out, HEAD_ROOM, "HTTP/1.1 %d %s\r\n" ANSWER_SERVER "Date: %.*s\r\n", a->status,
	        http_reason(a->status), STR_ARG(date));

	if (a->type.len > 0)
		n += snprintf(out + n, HEAD_ROOM - (size_t)n, "Content-Type: %.*s\r\n", STR_ARG(a->type));
	if (a->framing == ANSWER_LENGTH)
		n += snprintf(out + n, HEAD_ROOM - (size_t)n, "Content-Length: %llu\r\n",
		        (unsigned long long)a->length);
	else if (a->framing == ANSWER_CHUNKED)
		n += snprintf(out + n, HEAD_ROOM - (size_t)n, "Transfer-Encoding: chunked\r\n");
	n += snprintf(
	        out + n, HEAD_ROOM - (size_t)n, "Connection: %s\r\n", r->close ? "close" : "keep-alive");
	MUST(n < HEAD_ROOM); /* types are ours and short */
	return (struct str){out, (size_t)n};
}

void answer_start(struct request *r, const struct answer *a, const struct iovec *parts, int count)
{
	char head[HEAD_ROOM];
	struct iovec all[3 + ANSWER_PARTS_MAX];
	int n = 0;

	MUST(count <= ANSWER_PARTS_MAX);
	if (a->framing == ANSWER_CLOSE)
		r->close = true;
	count_answer(r, a->status);
	all[n++] = answer_part(write_head(r, a, head));
	if (a->extra.len > 0)
		all[n++] = answer_part(a->extra);
	all[n++] = answer_part(STR("\r\n"));
	if (!r->is_head)
		for (int i = 0; i < count; i++)
			if (parts[i].iov_len > 0)
				all[n++] = parts[i];
	send_parts(r, all, n);
}

void answer_more(struct request *r, struct iovec *parts, int count)
{
	if (!r->is_head && !r->cut)
		send_parts(r, parts, count);
}

void answer_bytes(struct request *r, int status, struct str type, struct str body, struct str extra)
{
	struct answer a = {
	        .status = status, .framing = ANSWER_LENGTH, .length = body.len, .type = type, .extra = extra};
	struct iovec part = answer_part(body);

	answer_start(r, &a, &part, 1);
}

void answer_ready(struct request *r, int status, struct str bytes)
{
	struct iovec part = answer_part(bytes);

	count_answer(r, status);
	send_parts(r, &part, 1);
}

static void answer_reply(struct request *r, struct http_reply *reply, struct str extra)
{
	char lines[HTTP_REPLY_MAX / 2];
	char out[HTTP_REPLY_MAX];
	int n = snprintf(lines, sizeof(lines), ANSWER_SERVER "%.*s", STR_ARG(extra));

	MUST(n > 0 && (size_t)n < sizeof(lines));
	reply->date = http_date_now(&r->worker->date);
	reply->close = r->close;
	reply->head = r->is_head;
	reply->extra = (struct str){lines, (size_t)n};
	size_t len = http_reply_write(reply, out, sizeof(out));
	MUST(len > 0);
	answer_ready(r, reply->status, (struct str){out, len});
}

void answer_text(struct request *r, int status, struct str text, struct str extra)
{
	struct http_reply reply = {.status = status, .text = text, .retry_after = status == 503 ? 1 : 0};

	answer_reply(r, &reply, extra);
}

void answer_not_allowed(struct request *r, struct str allow)
{
	struct http_reply reply = {.status = 405, .allow = allow};

	answer_reply(r, &reply, STR(""));
}

void answer_fault(struct request *r, enum http_fault fault)
{
	struct http_reply reply = {
	        .status = http_fault_status(fault), .text = str_of(http_fault_word(fault))};

	if (fault == HTTP_NO_CONNECT)
		reply.allow = STR("GET, HEAD, OPTIONS");
	r->close = r->linger = true;
	COUNT(r->worker->counters, requests_malformed);
	answer_reply(r, &reply, STR(""));
}

void answer_continue(struct request *r)
{
	struct str line = STR("HTTP/1.1 100 Continue\r\n\r\n");

	if (!r->expects)
		return;
	r->expects = false;
	answer_ready(r, 100, line);
}
