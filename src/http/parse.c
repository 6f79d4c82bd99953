/*
 * One pass over each line. No scan needs a bound: a parser first makes sure that the last byte is a LF, and no
 * class of characters holds CR or LF.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/chars.h"
#include "http/head.h"

enum { VERSION_LEN = 8 }; /* "HTTP/1.1" */

size_t http_head_find_end(const char *bytes, size_t len, size_t *scanned)
{
	const char *end = bytes + len;
	const char *p = bytes + *scanned;

	if (*scanned == 0 && len > 0 && bytes[0] == '\n')
		return 1;
	if (*scanned == 0 && len > 0 && bytes[0] == '\r') {
		if (len == 1)
			return 0;
		if (bytes[1] == '\n')
			return 2;
	}
	/* An empty line is a LF after the LF of another line, with or without a CR between. */
	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		const char *next = p + 1;

		if (next < end && *next == '\r')
			next++;
		if (next == end) {
			*scanned = (size_t)(p - bytes); /* undecided: look at this LF again */
			return 0;
		}
		if (*next == '\n')
			return (size_t)(next + 1 - bytes);
		p++;
	}
	*scanned = len;
	return 0;
}

enum http_fault http_request_sniff(const char *bytes, size_t len)
{
	if (bytes[0] == '\r')
		return len == 1 || bytes[1] == '\n' ? HTTP_OK : HTTP_BAD_REQUEST_LINE;
	return bytes[0] == '\n' || http_is(CHAR_TOKEN, bytes[0]) ? HTTP_OK : HTTP_BAD_REQUEST_LINE;
}

size_t http_leading_crlf(const char *bytes, size_t len)
{
	if (len >= 1 && bytes[0] == '\n')
		return 1;
	return len >= 2 && bytes[0] == '\r' && bytes[1] == '\n' ? 2 : 0;
}

static const char *skip(unsigned classes, const char *p)
{
	while (http_is(classes, *p))
		p++;
	return p;
}

static const char *skip_space(const char *p)
{
	while (http_is_space(*p))
		p++;
	return p;
}

/* Is one of the eight bytes at p below 0x20 or DEL? Exact as a whole, not for each byte. */
static bool has_control(const char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	uint64_t del = w ^ (ones * 0x7f);
	return ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & (ones * 0x80)) != 0;
}

/* The first byte that a field value does not hold; values are most of a head, so they go by eights. */
static const char *skip_value(const char *p, const char *end)
{
	while (end - p >= 8 && !has_control(p))
		p += 8;
	return skip(CHAR_VALUE, p);
}

static bool is_crlf(const char *p)
{
	return p[0] == '\r' && p[1] == '\n';
}

/* One field line at p; the start of the next line, or NULL when it is malformed. */
static const char *parse_field(struct http_field *f, const char *p, const char *end, bool is_request)
{
	f->name.at = p;
	p = skip(CHAR_TOKEN, p);
	f->name.len = (size_t)(p - f->name.at);
	if (!is_request)
		p = skip_space(p); /* RFC 9112 section 5.1: a response's is removed, a request is refused */
	if (*p != ':' || f->name.len == 0)
		return NULL;
	p = skip_space(p + 1);
	const char *value = p;
	p = skip_value(p, end);
	if (!is_crlf(p))
		return NULL;
	const char *stop = p;
	while (stop > value && http_is_space(stop[-1]))
		stop--;
	f->value = (struct str){value, (size_t)(stop - value)};
	f->id = http_field_id_of(f->name);
	f->hop = false;
	return p + 2;
}

static enum http_fault parse_fields(struct http_head *head, const char *p, const char *end)
{
	head->count = 0;
	while (p < end && *p != '\r') {
		if (head->count == head->room)
			return HTTP_HEAD_TOO_LARGE;
		p = parse_field(&head->fields[head->count], p, end, head->is_request);
		if (!p)
			return HTTP_BAD_FIELD;
		head->count++;
	}
	return end - p == 2 ? HTTP_OK : HTTP_BAD_FIELD; /* at CR, and the last byte is LF */
}

/* HTTP-version (RFC 9112 section 2.3) at p: exactly one digit each. */
static bool parse_version(const char *p, const char *end, int *major, int *minor)
{
	if (end - p < VERSION_LEN || memcmp(p, "HTTP/", 5) != 0)
		return false;
	if (!http_is_digit(p[5]) || p[6] != '.' || !http_is_digit(p[7]))
		return false;
	*major = p[5] - '0';
	*minor = p[7] == '0' ? 0 : 1;
	return true;
}

/* RFC 9112 section 3; *at is moved to the first field line. */
static enum http_fault parse_request_line(struct http_head *head, const char **at, const char *end)
{
	const char *p = *at;
	int major;

	head->method.at = p;
	p = skip(CHAR_TOKEN, p);
	head->method.len = (size_t)(p - head->method.at);
	if (head->method.len == 0 || *p != ' ')
		return HTTP_BAD_REQUEST_LINE;
	head->target.at = ++p;
	p = skip(CHAR_TARGET, p);
	head->target.len = (size_t)(p - head->target.at);
	if (*p != ' ' && *p != '\r' && *p != '\n')
		return HTTP_BAD_TARGET;
	if (*p != ' ' || head->target.len == 0)
		return HTTP_BAD_REQUEST_LINE;
	p++;
	if (!parse_version(p, end, &major, &head->minor) || !is_crlf(p + VERSION_LEN))
		return HTTP_BAD_REQUEST_LINE;
	*at = p + VERSION_LEN + 2;
	return major == 1 ? HTTP_OK : HTTP_BAD_VERSION;
}

/* Length of "[" IPv6address "]" at the front of s, 0 when it is none. */
static size_t ip_literal_len(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	const char *close = memchr(s.at, ']', s.len);
	size_t len = close ? (size_t)(close - s.at) - 1 : 0;

	if (len == 0 || len >= sizeof(text))
		return 0;
	memcpy(text, s.at + 1, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 ? len + 2 : 0;
}

/* Length of the reg-name or IPv4 address at the front of s (RFC 3986 section 3.2.2). */
static size_t reg_name_len(struct str s)
{
	size_t i = 0;

	while (i < s.len) {
		if (http_is(CHAR_HOST, s.at[i]))
			i++;
		else if (s.at[i] == '%' && s.len - i >= 3 && http_is(CHAR_HEX, s.at[i + 1]) &&
		         http_is(CHAR_HEX, s.at[i + 2]))
			i += 3;
		else
			break;
	}
	return i;
}

/* host [":" port] with a host that is not empty; no userinfo (RFC 9110 sections 4.2.1 and 4.2.4). */
static bool is_authority(struct str s)
{
	if (s.len == 0)
		return false;
	size_t i = s.at[0] == '[' ? ip_literal_len(s) : reg_name_len(s);
	if (i == 0)
		return false;
	if (i == s.len)
		return true;
	if (s.at[i] != ':')
		return false;
	for (i++; i < s.len; i++)
		if (!http_is_digit(s.at[i]))
			return false;
	return true;
}

static size_t scheme_len(struct str target)
{
	if (target.len > 7 && str_eq_nocase((struct str){target.at, 7}, STR("http://")))
		return 7;
	if (target.len > 8 && str_eq_nocase((struct str){target.at, 8}, STR("https://")))
		return 8;
	return 0;
}

/* RFC 9112 section 3.2.2. */
static enum http_fault split_absolute(struct http_head *head)
{
	struct str target = head->target;
	size_t start = scheme_len(target);
	const char *end = target.at + target.len;

	if (start == 0)
		return HTTP_BAD_TARGET;
	const char *p = target.at + start;
	while (p < end && *p != '/' && *p != '?')
		p++;
	struct str authority = {target.at + start, (size_t)(p - target.at) - start};
	if (!is_authority(authority))
		return HTTP_BAD_TARGET;
	head->host = authority;
	head->path = (struct str){p, (size_t)(end - p)};
	if (p == end) /* section 3.2.4 for OPTIONS */
		head->path = str_eq(head->method, STR("OPTIONS")) ? STR("*") : STR("/");
	head->form = TARGET_ABSOLUTE;
	return HTTP_OK;
}

static enum http_fault split_target(struct http_head *head)
{
	if (str_eq(head->method, STR("CONNECT"))) {
		head->form = TARGET_AUTHORITY;
		return HTTP_NO_CONNECT;
	}
	if (head->target.at[0] == '/') {
		head->form = TARGET_ORIGIN;
		head->path = head->target;
		return HTTP_OK;
	}
	if (str_eq(head->target, STR("*")) && str_eq(head->method, STR("OPTIONS"))) {
		head->form = TARGET_ASTERISK;
		head->path = head->target;
		return HTTP_OK;
	}
	return split_absolute(head);
}

/* RFC 9112 section 3.2: one Host, or none in HTTP/1.0; the authority of an absolute target wins over it. */
static enum http_fault check_host(struct http_head *head)
{
	const struct http_field *host = NULL;

	for (unsigned i = 0; i < head->count; i++) {
		if (head->fields[i].id != FIELD_HOST)
			continue;
		if (host)
			return HTTP_BAD_HOST;
		host = &head->fields[i];
	}
	if (!host)
		return head->minor == 0 ? HTTP_OK : HTTP_BAD_HOST;
	if (!is_authority(host->value))
		return HTTP_BAD_HOST;
	if (head->form != TARGET_ABSOLUTE)
		head->host = host->value;
	return HTTP_OK;
}

static void head_reset(struct http_head *head, bool is_request, size_t size)
{
	*head = (struct http_head){.is_request = is_request,
	        .method = STR(""),
	        .target = STR(""),
	        .path = STR(""),
	        .host = STR(""),
	        .reason = STR(""),
	        .size = size,
	        .room = head->room,
	        .fields = head->fields};
}

enum http_fault http_request_parse(struct http_head *head, const char *bytes, size_t len)
{
	const char *p = bytes;

	head_reset(head, true, len);
	if (len == 0 || bytes[len - 1] != '\n')
		return HTTP_BAD_REQUEST_LINE;
	enum http_fault fault = parse_request_line(head, &p, bytes + len);
	if (fault == HTTP_OK)
		fault = split_target(head);
	if (fault == HTTP_OK)
		fault = parse_fields(head, p, bytes + len);
	return fault == HTTP_OK ? check_host(head) : fault;
}

/* RFC 9112 section 4; the length of the line with its CRLF, 0 when it is malformed. */
static size_t parse_status_line(struct http_head *head, const char *bytes, const char *end)
{
	const char *p = bytes;
	int major;

	if (!parse_version(p, end, &major, &head->minor) || major != 1)
		return 0;
	p += VERSION_LEN;
	if (end - p < 6 || p[0] != ' ' || !http_is_digit(p[1]) || !http_is_digit(p[2]) ||
	        !http_is_digit(p[3]))
		return 0;
	head->status = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
	if (head->status < 100 || head->status > 599)
		return 0;
	p += 4;
	if (*p == ' ') {
		const char *reason = ++p;

		p = skip_value(p, end);
		head->reason = (struct str){reason, (size_t)(p - reason)};
	}
	return is_crlf(p) ? (size_t)(p + 2 - bytes) : 0;
}

/* Spaces over OWS CRLF RWS around the LF at p. */
static void blank(char *p, const char *fields)
{
	char *q = p - 1;

	while (q > fields && http_is_space(q[-1]))
		q--;
	while (q <= p || http_is_space(*q))
		*q++ = ' ';
}

/* Joins lines folded by obs-fold (RFC 9112 section 5.2), which is a thing of values only. False when there was none. */
static bool unfold(char *fields, char *end)
{
	const char *line = fields;
	bool any = false;

	for (char *p = fields; (p = memchr(p, '\n', (size_t)(end - p))) != NULL && p + 1 < end; p++) {
		if (http_is_space(p[1]) && p > line && p[-1] == '\r' &&
		        memchr(line, ':', (size_t)(p - line))) {
			blank(p, fields);
			any = true;
		} else {
			line = p + 1;
		}
	}
	return any;
}

enum http_fault http_response_parse(struct http_head *head, char *bytes, size_t len)
{
	char *end = bytes + len;

	head_reset(head, false, len);
	if (len == 0 || bytes[len - 1] != '\n')
		return HTTP_BAD_STATUS_LINE;
	size_t line = parse_status_line(head, bytes, end);
	if (line == 0)
		return HTTP_BAD_STATUS_LINE;
	enum http_fault fault = parse_fields(head, bytes + line, end);
	/* Folding is rare: only what fails without it is looked at again. */
	if (fault == HTTP_BAD_FIELD && unfold(bytes + line, end))
		fault = parse_fields(head, bytes + line, end);
	return fault;
}
