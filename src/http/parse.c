/*
 * One pass over each line, sixteen bytes at a time where that pays (http/scan.h). A parser first makes sure that the last byte is a LF, and no
 * class of characters that is skipped holds CR or LF: so every scan ends in the head.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/chars.h"
#include "http/head.h"
#include "http/names.h"
#include "http/scan.h"

enum { VERSION_LEN = 8 }; /* "HTTP/1.1" */

size_t http_head_find_end(const char *bytes, size_t len, size_t *scanned)
{
	const char *end = bytes + len;
	const struct span s = span_of(bytes, end);
	size_t from = *scanned;
	const char *p = bytes + from;
	/* LFs at the end of the sixteen bytes before: the bits one and two behind them. */
	unsigned carry = 0;

	if (*scanned == 0 && len > 0 && bytes[0] == '\n')
		return 1;
	if (*scanned == 0 && len > 0 && bytes[0] == '\r') {
		if (len == 1)
			return 0;
		if (bytes[1] == '\n')
			return 2;
	}
	for (; p < end; p += 16) {
		unsigned lf = p <= s.whole ? scan_16(SCAN_LF, p) : scan_few(SCAN_LF, &s, p);

		/* LFs one or two bytes behind another: of these is the end, if it is here. */
		for (unsigned near = lf & (lf << 1 | lf << 2 | carry); near != 0; near &= near - 1) {
			const char *last = p + __builtin_ctz(near);

			if (last[-1] == '\n' || last[-1] == '\r')
				return (size_t)(last + 1 - bytes);
		}
		carry = lf >> 15 | lf >> 14;
	}
	/* What is undecided is looked at again: a LF at the end, or one with CR behind it. */
	*scanned = len;
	if (len - from >= 1 && end[-1] == '\n')
		*scanned = len - 1;
	else if (len - from >= 2 && end[-1] == '\r' && end[-2] == '\n')
		*scanned = len - 2;
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

static bool is_crlf(const char *p)
{
	return p[0] == '\r' && p[1] == '\n';
}

/* A field's name or a method: few have other characters than letters and "-". */
static inline const char *skip_token(const char *p, const struct span *s)
{
	p = scan_while(SCAN_NAME, s, p);
	return *p == ':' ? p : skip(CHAR_TOKEN, p);
}

/* The first byte from p on that no field value holds: in a line that is well-formed, its CR. */
static inline const char *value_end(const char *p, const struct span *s)
{
	p = scan_until(SCAN_CONTROL, s, p);
	while (*p == '\t')
		p = scan_until(SCAN_CONTROL, s, p + 1);
	return p;
}

/* One field line from p to the CR at stop; whether it is well-formed. */
static inline bool parse_field(
        struct http_field *f, const char *p, const char *stop, const struct span *s, bool is_request)
{
	const char *name = p, *value;

	p = skip_token(p, s);
	size_t len = (size_t)(p - name);
	if (!is_request)
		p = skip_space(p); /* RFC 9112 section 5.1: a response's is removed, a request is refused */
	if (*p != ':' || len == 0)
		return false;
	value = skip_space(p[1] == ' ' ? p + 2 : p + 1);
	while (http_is_space(stop[-1]) && stop > value)
		stop--;
	f->name = (struct str){name, len};
	f->value = (struct str){value, (size_t)(stop - value)};
	f->id = http_name_id(f->name);
	f->hop = false;
	return true;
}

/*
 * Field lines from p up to the empty line; *size is then the head's, with that line. A line's end is found from its beginning, not from where its value
 * begins: so a processor looks for the next lines while it is still at this one's name.
 */
static enum http_fault parse_fields(struct http_head *head, const char *p, const struct span *s, size_t *size)
{
	enum http_fault fault = HTTP_BAD_FIELD;
	struct http_field *f = head->fields, *room = f + head->room;
	bool is_request = head->is_request;

	while (p < s->end) {
		if (*p == '\r') {
			*size = (size_t)(p + 2 - s->start);
			fault = p[1] == '\n' ? HTTP_OK : HTTP_BAD_FIELD;
			break;
		}
		if (f == room) {
			fault = HTTP_HEAD_TOO_LARGE;
			break;
		}
		const char *stop = value_end(p, s);
		if (!is_crlf(stop) || !parse_field(f, p, stop, s, is_request))
			break;
		p = stop + 2;
		f++;
	}
	head->count = (unsigned)(f - head->fields);
	return fault;
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
static enum http_fault parse_request_line(struct http_head *head, const char **at, const struct span *s)
{
	const char *p = *at;
	int major;

	head->method.at = p;
	p = skip_token(p, s);
	head->method.len = (size_t)(p - head->method.at);
	if (head->method.len == 0 || *p != ' ')
		return HTTP_BAD_REQUEST_LINE;
	head->target.at = ++p;
	p = scan_while(SCAN_TARGET, s, p);
	head->target.len = (size_t)(p - head->target.at);
	if (*p != ' ' && *p != '\r' && *p != '\n')
		return HTTP_BAD_TARGET;
	if (*p != ' ' || head->target.len == 0)
		return HTTP_BAD_REQUEST_LINE;
	p++;
	if (!parse_version(p, s->end, &major, &head->minor) || !is_crlf(p + VERSION_LEN))
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

/* Length of the reg-name or IPv4 address at the front of s (RFC 3986 section 3.2.2), behind which another character stands in the head. */
static size_t reg_name_len(struct str s, const struct span *all)
{
	size_t i = (size_t)(scan_while(SCAN_HOST, all, s.at) - s.at);

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
static bool is_authority(struct str s, const struct span *all)
{
	if (s.len == 0)
		return false;
	size_t i = s.at[0] == '[' ? ip_literal_len(s) : reg_name_len(s, all);
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
static enum http_fault split_absolute(struct http_head *head, const struct span *all)
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
	if (!is_authority(authority, all))
		return HTTP_BAD_TARGET;
	head->host = authority;
	head->path = (struct str){p, (size_t)(end - p)};
	if (p == end) /* section 3.2.4 for OPTIONS */
		head->path = str_eq(head->method, STR("OPTIONS")) ? STR("*") : STR("/");
	head->form = TARGET_ABSOLUTE;
	return HTTP_OK;
}

static enum http_fault split_target(struct http_head *head, const struct span *all)
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
	return split_absolute(head, all);
}

/* RFC 9112 section 3.2: one Host, or none in HTTP/1.0; the authority of an absolute target wins over it. */
static enum http_fault check_host(struct http_head *head, const struct span *all)
{
	const struct http_field *host = NULL;
	const struct http_field *end = head->fields + head->count;

	for (const struct http_field *f = head->fields; f < end; f++) {
		if (f->id != FIELD_HOST)
			continue;
		if (host)
			return HTTP_BAD_HOST;
		host = f;
	}
	if (!host)
		return head->minor == 0 ? HTTP_OK : HTTP_BAD_HOST;
	if (!is_authority(host->value, all))
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

/* The head at the front of the bytes, of which the last is a LF; *size is its length. */
static enum http_fault parse_request(struct http_head *head, const struct span *s, size_t *size)
{
	const char *p = s->start;
	enum http_fault fault = parse_request_line(head, &p, s);

	if (fault == HTTP_OK)
		fault = split_target(head, s);
	return fault == HTTP_OK ? parse_fields(head, p, s, size) : fault;
}

enum http_fault http_request_parse(struct http_head *head, const char *bytes, size_t len)
{
	const struct span s = span_of(bytes, bytes + len);
	size_t size = 0;

	head_reset(head, true, len);
	if (len == 0 || bytes[len - 1] != '\n')
		return HTTP_BAD_REQUEST_LINE;
	enum http_fault fault = parse_request(head, &s, &size);
	if (fault == HTTP_OK && size != len)
		fault = HTTP_BAD_FIELD;
	return fault == HTTP_OK ? check_host(head, &s) : fault;
}

size_t http_request_read(
        struct http_head *head, const char *bytes, size_t len, size_t *scanned, enum http_fault *fault)
{
	size_t size = 0;

	/* Most often all of it came at once, and is well: then the parser finds its end. */
	if (*scanned == 0 && len > 0 && bytes[len - 1] == '\n') {
		const struct span s = span_of(bytes, bytes + len);

		head_reset(head, true, 0);
		if (parse_request(head, &s, &size) == HTTP_OK) {
			head->size = size;
			*fault = check_host(head, &s);
			return size;
		}
	}
	size = http_head_find_end(bytes, len, scanned);
	if (size > 0)
		*fault = http_request_parse(head, bytes, size);
	else
		head_reset(head, true, 0);
	return size;
}

/* RFC 9112 section 4; the length of the line with its CRLF, 0 when it is malformed. */
static size_t parse_status_line(struct http_head *head, const struct span *s)
{
	const char *p = s->start, *end = s->end;
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

		p = value_end(p, s);
		head->reason = (struct str){reason, (size_t)(p - reason)};
	}
	return is_crlf(p) ? (size_t)(p + 2 - s->start) : 0;
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

/* Fields up to the very end. */
static enum http_fault parse_all_fields(struct http_head *head, const char *p, const struct span *s)
{
	size_t size = 0;
	enum http_fault fault = parse_fields(head, p, s, &size);

	return fault == HTTP_OK && s->start + size != s->end ? HTTP_BAD_FIELD : fault;
}

enum http_fault http_response_parse(struct http_head *head, char *bytes, size_t len)
{
	char *end = bytes + len;
	const struct span s = span_of(bytes, end);

	head_reset(head, false, len);
	if (len == 0 || bytes[len - 1] != '\n')
		return HTTP_BAD_STATUS_LINE;
	size_t line = parse_status_line(head, &s);
	if (line == 0)
		return HTTP_BAD_STATUS_LINE;
	enum http_fault fault = parse_all_fields(head, bytes + line, &s);
	/* Folding is rare: only what fails without it is looked at again. */
	if (fault == HTTP_BAD_FIELD && unfold(bytes + line, end))
		fault = parse_all_fields(head, bytes + line, &s);
	return fault;
}
