#include "http/reply.h"

#include <stdio.h>

const char *http_reason(int status)
{
	switch (status) {
	case 100:
		return "Continue";
	case 101:
		return "Switching Protocols";
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 203:
		return "Non-Authoritative Information";
	case 204:
		return "No Content";
	case 205:
		return "Reset Content";
	case 206:
		return "Partial Content";
	case 300:
		return "Multiple Choices";
	case 301:
		return "Moved Permanently";
	case 302:
		return "Found";
	case 303:
		return "See Other";
	case 304:
		return "Not Modified";
	case 305:
		return "Use Proxy";
	case 307:
		return "Temporary Redirect";
	case 308:
		return "Permanent Redirect";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 402:
		return "Payment Required";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 406:
		return "Not Acceptable";
	case 407:
		return "Proxy Authentication Required";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 410:
		return "Gone";
	case 411:
		return "Length Required";
	case 412:
		return "Precondition Failed";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 415:
		return "Unsupported Media Type";
	case 416:
		return "Range Not Satisfiable";
	case 417:
		return "Expectation Failed";
	case 421:
		return "Misdirected Request";
	case 422:
		return "Unprocessable Content";
	case 426:
		return "Upgrade Required";
	case 429: /* RFC 6585, as is 431 */
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Unknown";
	}
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
