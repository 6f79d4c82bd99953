/*
 * Combined format (Apache, nginx): ADDRESS - - [TIME] "REQUEST" STATUS BYTES "REFERER" "USER-AGENT"
 * Timed format: the same, then queue=123us total=4567us server=127.0.0.1:9012 end=ok
 */
#include "lb/access.h"

#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"

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

/* The end of the line. server: NULL, none was asked. */
static size_t format_end(char *line, size_t cap, bool timed, const struct conn *c,
        const struct server *server, const char *end)
{
	int64_t since = c->queued_at ? c->queued_at : c->head_since;

	if (!timed)
		return (size_t)snprintf(line, cap, "\n");
	return (size_t)snprintf(line, cap, " queue=%lldus total=%lldus server=%s end=%s\n",
	        (long long)(c->queue_wait / CLOCK_NS_PER_US),
	        (long long)((clock_now() - since) / CLOCK_NS_PER_US), server ? server->text : "-", end);
}

void access_log(const struct exchange *x)
{
	char line[LINE_MAX_BYTES];
	char request[VALUE_MAX_BYTES], referer[VALUE_MAX_BYTES], agent[VALUE_MAX_BYTES];

	if (!x->worker->log || x->listener->mode != LB_MODE_HTTP)
		return;
	size_t len = format_start(line, sizeof(line), x->conn);
	len += (size_t)snprintf(line + len, sizeof(line) - len, "\"%s\" %d %llu \"%s\" \"%s\"",
	        request_line(x, request, sizeof(request)), x->status, (unsigned long long)x->body_bytes,
	        field_value(x, FIELD_REFERER, referer, sizeof(referer)),
	        field_value(x, FIELD_USER_AGENT, agent, sizeof(agent)));
	len += format_end(line + len, sizeof(line) - len, x->lb->config->log.format == LB_LOG_TIMED, x->conn,
	        x->server, end_kinds[x->end].word);
	MUST(len < sizeof(line)); /* three bounded values, an address, words and numbers */
	(void)log_access(x->worker->log, (struct str){line, len}); /* the log counts what it loses */
}

void access_log_refusal(bool timed, struct log_ring *log, const struct conn *c,
        const struct http_reply *reply, const char *why)
{
	char line[VALUE_MAX_BYTES];

	if (!log)
		return;
	size_t len = format_start(line, sizeof(line), c);
	len += (size_t)snprintf(line + len, sizeof(line) - len, "\"-\" %d %zu \"-\" \"-\"", reply->status,
	        http_reply_body_len(reply));
	len += format_end(line + len, sizeof(line) - len, timed, c, NULL, why);
	(void)log_access(log, (struct str){line, len});
}
