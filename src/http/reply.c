#include "http/reply.h"

#include <stdio.h>

/* RFC 9110 section 15; 429 and 431 are of RFC 6585. */
static const char *const reasons[] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [305] = "Use Proxy",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [426] = "Upgrade Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
};

const char *http_reason(int status)
{
	if (status < 0 || (size_t)status >= sizeof(reasons) / sizeof(reasons[0]) || !reasons[status])
		return "Unknown";
	return reasons[status];
}

/* Once something did not fit, nothing more is written. */
struct writer {
	char *out;
	size_t cap;
	size_t len;
	bool full;
};

static void put(struct writer *w, struct str s)
{
	if (w->full || s.len > w->cap - w->len) {
		w->full = true;
		return;
	}
	if (s.len > 0)
		memcpy(w->out + w->len, s.at, s.len);
	w->len += s.len;
}

static void put_number(struct writer *w, size_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%zu", n);

	put(w, (struct str){digits, (size_t)len});
}

static void put_field(struct writer *w, struct str name, struct str value)
{
	put(w, name);
	put(w, STR(": "));
	put(w, value);
	put(w, STR("\r\n"));
}

static void put_content_fields(struct writer *w, size_t length)
{
	put_field(w, STR("Content-Type"), STR("text/plain; charset=utf-8"));
	put(w, STR("Content-Length: "));
	put_number(w, length);
	put(w, STR("\r\n"));
}

static void put_status_line(struct writer *w, int status, struct str reason)
{
	put(w, STR("HTTP/1.1 "));
	put_number(w, (size_t)status);
	put(w, STR(" "));
	put(w, reason);
	put(w, STR("\r\n"));
}

/* RFC 9110 sections 8.6 and 15: these end with their head. */
static bool is_bodyless(int status)
{
	return status < 200 || status == 204 || status == 304;
}

size_t http_reply_write(const struct http_reply *reply, char *out, size_t cap)
{
	struct writer w = {.out = out, .cap = cap};
	struct str reason = str_of(http_reason(reply->status));
	struct str text = reply->text.len > 0 ? reply->text : reason;

	put_status_line(&w, reply->status, reason);
	if (reply->date.len > 0)
		put_field(&w, STR("Date"), reply->date);
	if (!is_bodyless(reply->status))
		put_content_fields(&w, text.len + 1);
	if (reply->retry_after > 0) {
		put(&w, STR("Retry-After: "));
		put_number(&w, (size_t)reply->retry_after);
		put(&w, STR("\r\n"));
	}
	if (reply->allow.len > 0)
		put_field(&w, STR("Allow"), reply->allow);
	put(&w, reply->extra);
	put_field(&w, STR("Connection"), reply->close ? STR("close") : STR("keep-alive"));
	put(&w, STR("\r\n"));
	if (!reply->head && !is_bodyless(reply->status)) {
		put(&w, text);
		put(&w, STR("\n"));
	}
	return w.full ? 0 : w.len;
}

size_t http_reply_body_len(const struct http_reply *reply)
{
	if (reply->head || is_bodyless(reply->status))
		return 0;
	return (reply->text.len > 0 ? reply->text.len : strlen(http_reason(reply->status))) + 1;
}
