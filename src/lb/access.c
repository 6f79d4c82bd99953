/* Combined format (Apache, nginx): ADDRESS - - [TIME] "REQUEST" STATUS BYTES "REFERER" "USER-AGENT" */
#include "lb/access.h"

#include <stdio.h>
#include <time.h>

#include "base/assert.h"

enum { LINE_MAX_BYTES = 4096, VALUE_MAX_BYTES = 1024 };

/* What a client sent must not end the field or the line: such bytes become \xHH. */
static size_t escape(struct str s, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len && n + 5 < cap; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c >= ' ' && c < 127 && c != '"' && c != '\\')
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, cap - n, "\\x%02X", c);
	}
	out[n] = '\0';
	return n;
}

static const char *field_value(const struct exchange *x, enum http_field_id id, char *out, size_t cap)
{
	const struct http_field *field = http_head_find(&x->request, id);

	if (!field || !escape(field->value, out, cap))
		return "-";
	return out;
}

/* The request line as received; of a malformed request what came of its first line. */
static const char *request_line(const struct exchange *x, char *out, size_t cap)
{
	const char *at = x->in->data + x->head_at;
	size_t len = x->request.size           ? x->request.size
	             : x->in->end > x->head_at ? x->in->end - x->head_at
	                                       : 0;
	const char *end = memchr(at, '\n', len);

	if (end)
		len = (size_t)(end - at);
	if (len > 0 && at[len - 1] == '\r')
		len--;
	return escape((struct str){at, len}, out, cap) ? out : "-";
}

static size_t format_start(char *line, size_t cap, const struct conn *c)
{
	char client[ADDR_TEXT_MAX], when[40];
	struct tm local;
	time_t now = time(NULL);

	addr_ip_format(&c->peer, client);
	localtime_r(&now, &local);
	strftime(when, sizeof(when), "%d/%b/%Y:%H:%M:%S %z", &local);
	return (size_t)snprintf(line, cap, "%s - - [%s] ", client, when);
}

void access_log(const struct exchange *x)
{
	char line[LINE_MAX_BYTES];
	char request[VALUE_MAX_BYTES], referer[VALUE_MAX_BYTES], agent[VALUE_MAX_BYTES];

	if (!x->worker->log || x->listener->mode != LB_MODE_HTTP)
		return;
	size_t start = format_start(line, sizeof(line), x->conn);
	int len = snprintf(line + start, sizeof(line) - start, "\"%s\" %d %llu \"%s\" \"%s\"\n",
	        request_line(x, request, sizeof(request)), x->status, (unsigned long long)x->body_bytes,
	        field_value(x, FIELD_REFERER, referer, sizeof(referer)),
	        field_value(x, FIELD_USER_AGENT, agent, sizeof(agent)));
	MUST(len > 0 && (size_t)len < sizeof(line) - start); /* three bounded values and numbers */
	if (!log_access(x->worker->log, (struct str){line, start + (size_t)len}))
		COUNT(x->worker->counters, log_lost);
}

void access_log_refusal(struct log_ring *log, const struct conn *c, const struct http_reply *reply)
{
	char line[VALUE_MAX_BYTES];

	if (!log)
		return;
	size_t len = format_start(line, sizeof(line), c);
	len += (size_t)snprintf(line + len, sizeof(line) - len, "\"-\" %d %zu \"-\" \"-\"\n", reply->status,
	        http_reply_body_len(reply));
	(void)log_access(
	        log, (struct str){line, len}); /* when it is full, the log thread counts what was lost */
}
