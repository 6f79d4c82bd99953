#include "strict.h"

#include <stdlib.h>
#include <strings.h>

#include "base/assert.h"

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 127;
}

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_letter_or_digit(s.at[i]) && (s.at[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", s.at[i])))
			return false;
	return s.len > 0;
}

static bool is_clean(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_control(s.at[i]))
			return false;
	return true;
}

static bool is_same(struct str s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

static struct str from(struct str s, size_t n)
{
	return (struct str){s.at + n, s.len - n};
}

static struct str trim(struct str s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
		s = from(s, 1);
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* The line at *at, which moves behind it: ended by CR LF, no CR or LF elsewhere. */
static enum strict_verdict next_line(struct str bytes, size_t *at, struct str *line)
{
	const char *end = memchr(bytes.at + *at, '\n', bytes.len - *at);

	if (!end)
		return STRICT_MORE;
	*line = (struct str){bytes.at + *at, (size_t)(end - bytes.at) - *at};
	*at += line->len + 1;
	if (line->len == 0 || end[-1] != '\r')
		return STRICT_BAD;
	line->len--;
	return memchr(line->at, '\r', line->len) ? STRICT_BAD : STRICT_WHOLE;
}

static bool read_field(struct strict_field *f, struct str line)
{
	const char *colon = memchr(line.at, ':', line.len);

	if (!colon)
		return false;
	f->name = (struct str){line.at, (size_t)(colon - line.at)};
	f->value = trim(from(line, f->name.len + 1));
	return is_token(f->name) && is_clean(f->value);
}

static void reset(struct strict *m)
{
	memset(m, 0, offsetof(struct strict, fields));
	m->minor = 1;
}

/* Fields up to the empty line. */
static enum strict_verdict read_fields(struct strict *m, struct str bytes, size_t *at)
{
	struct str line;

	for (;;) {
		enum strict_verdict v = next_line(bytes, at, &line);

		if (v != STRICT_WHOLE || line.len == 0)
			return v;
		if (m->count == STRICT_FIELDS_MAX || !read_field(&m->fields[m->count++], line))
			return STRICT_BAD;
	}
}

const struct strict_field *strict_find(const struct strict *m, const char *name)
{
	for (unsigned i = 0; i < m->count; i++)
		if (is_same(m->fields[i].name, name))
			return &m->fields[i];
	return NULL;
}

static bool list_has(struct str list, struct str token)
{
	size_t start = 0;

	for (size_t i = 0; i <= list.len; i++) {
		if (i < list.len && list.at[i] != ',')
			continue;
		struct str element = trim((struct str){list.at + start, i - start});

		if (element.len > 0 && element.len == token.len &&
		        strncasecmp(element.at, token.at, token.len) == 0)
			return true;
		start = i + 1;
	}
	return false;
}

bool strict_has_token(const struct strict *m, const char *name, const char *token)
{
	for (unsigned i = 0; i < m->count; i++)
		if (is_same(m->fields[i].name, name) && list_has(m->fields[i].value, str_of(token)))
			return true;
	return false;
}

/* RFC 9110 section 8.6: digits, that fit 63 bits. */
static bool read_length(struct str s, uint64_t *length)
{
	*length = 0;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit = (uint64_t)(s.at[i] - '0');

		if (s.at[i] < '0' || s.at[i] > '9' || *length > (INT64_MAX - digit) / 10)
			return false;
		*length = *length * 10 + digit;
	}
	return s.len > 0;
}

/* RFC 9112 section 6.3, where a message may say it once, or the same twice. */
static bool read_framing(struct strict *m)
{
	unsigned codings = 0;

	for (unsigned i = 0; i < m->count; i++) {
		const struct strict_field *f = &m->fields[i];
		uint64_t length;

		if (is_same(f->name, "transfer-encoding")) {
			codings++;
			if (!is_same(f->value, "chunked"))
				return false;
		} else if (is_same(f->name, "content-length")) {
			if (!read_length(f->value, &length) || (m->lengths > 0 && length != m->length))
				return false;
			m->length = length;
			m->lengths++;
		}
	}
	if (codings > 1 || (codings > 0 && (m->lengths > 0 || m->minor == 0)))
		return false;
	m->kind = codings ? STRICT_CHUNKED : m->lengths ? STRICT_LENGTH : STRICT_NONE;
	return true;
}

/* "HTTP/1.x" */
static bool read_version(struct strict *m, struct str s)
{
	if (s.len != 8 || memcmp(s.at, "HTTP/1.", 7) != 0 || s.at[7] < '0' || s.at[7] > '9')
		return false;
	m->minor = s.at[7] != '0';
	return true;
}

static bool read_request_line(struct strict *m, struct str line)
{
	const char *first = memchr(line.at, ' ', line.len), *last = memrchr(line.at, ' ', line.len);

	if (!first || first == last)
		return false;
	m->method = (struct str){line.at, (size_t)(first - line.at)};
	m->target = (struct str){first + 1, (size_t)(last - first) - 1};
	for (size_t i = 0; i < m->target.len; i++)
		if (m->target.at[i] <= ' ' || m->target.at[i] >= 127)
			return false;
	return is_token(m->method) && m->target.len > 0 && !str_eq(m->method, STR("CONNECT")) &&
	       read_version(m, from(line, (size_t)(last - line.at) + 1));
}

static void add_body(struct strict *m, struct str data)
{
	if (m->body_len + data.len >= m->body_room) {
		m->body_room = 2 * (m->body_len + data.len) + 64;
		m->body = realloc(m->body, m->body_room);
		MUST(m->body != NULL);
	}
	memcpy(m->body + m->body_len, data.at, data.len);
	m->body_len += data.len;
}

/* "1a" and, perhaps, extensions. More digits than 16 would be zeros, which nobody writes. */
static bool read_size(struct strict *m, struct str line, uint64_t *size)
{
	size_t n = 0;

	for (*size = 0; n < line.len; n++) {
		static const char digits[] = "0123456789abcdef0123456789ABCDEF";
		const char *digit = line.at[n] ? strchr(digits, line.at[n]) : NULL;

		if (!digit)
			break;
		if (*size >> 59)
			return false;
		*size = *size * 16 + (uint64_t)(digit - digits) % 16;
	}
	struct str rest = trim(from(line, n));
	m->extras |= rest.len > 0;
	return n > 0 && n <= 16 && (n == line.len || rest.len > 0) && (rest.len == 0 || rest.at[0] == ';') &&
	       is_clean(rest);
}

static enum strict_verdict read_trailers(struct strict *m, struct str bytes, size_t *at)
{
	struct strict_field dropped;
	struct str line;

	for (;;) {
		enum strict_verdict v = next_line(bytes, at, &line);

		if (v != STRICT_WHOLE || line.len == 0)
			return v;
		m->extras = true;
		if (!read_field(&dropped, line))
			return STRICT_BAD;
	}
}

/* RFC 9112 section 7.1. */
enum strict_verdict strict_chunks(struct strict *m, struct str bytes, size_t *used)
{
	size_t at = 0;

	for (;;) {
		struct str line;
		uint64_t size;
		enum strict_verdict v = next_line(bytes, &at, &line);

		if (v == STRICT_WHOLE && !read_size(m, line, &size))
			v = STRICT_BAD;
		if (v == STRICT_WHOLE && size == 0) {
			v = read_trailers(m, bytes, &at);
			*used = at;
			return v;
		}
		if (v != STRICT_WHOLE)
			return v;
		struct str data = from(bytes, at);
		if (data.len > size)
			data.len = (size_t)size;
		add_body(m, data);
		at += data.len;
		if (data.len < size)
			return STRICT_MORE;
		for (size_t i = 0; i < 2; i++, at++) {
			if (at == bytes.len)
				return STRICT_MORE;
			if (bytes.at[at] != "\r\n"[i])
				return STRICT_BAD;
		}
	}
}

/* The body behind the head. */
static enum strict_verdict read_body(struct strict *m, struct str bytes, bool at_end)
{
	struct str rest = from(bytes, m->start + m->head);
	enum strict_verdict v = STRICT_WHOLE;
	size_t used = 0;

	if (m->kind == STRICT_CHUNKED) {
		v = strict_chunks(m, rest, &used);
	} else if (m->kind == STRICT_LENGTH) {
		used = rest.len < m->length ? rest.len : (size_t)m->length;
		v = used < m->length ? STRICT_MORE : STRICT_WHOLE;
		add_body(m, (struct str){rest.at, used});
	} else if (m->kind != STRICT_NONE) {
		used = rest.len;
		v = at_end ? STRICT_WHOLE : STRICT_MORE;
		add_body(m, rest);
	}
	m->size = m->start + m->head + used;
	return v;
}

/* RFC 9112 section 3.2: one Host, or none in HTTP/1.0. */
static bool host_is_right(const struct strict *m)
{
	unsigned hosts = 0;

	for (unsigned i = 0; i < m->count; i++)
		hosts += is_same(m->fields[i].name, "host");
	return hosts == 1 || (hosts == 0 && m->minor == 0);
}

enum strict_verdict strict_request(struct strict *m, struct str bytes)
{
	struct str line;
	size_t at;

	reset(m);
	for (;; m->start++, m->empty_lines++) { /* CR LF, or a bare LF */
		struct str rest = from(bytes, m->start);

		if (rest.len > 1 && rest.at[0] == '\r' && rest.at[1] == '\n')
			m->start++;
		else if (rest.len == 0 || rest.at[0] != '\n')
			break;
	}
	at = m->start;
	enum strict_verdict v = next_line(bytes, &at, &line);
	if (v == STRICT_WHOLE && !read_request_line(m, line))
		v = STRICT_BAD;
	if (v == STRICT_WHOLE)
		v = read_fields(m, bytes, &at);
	if (v != STRICT_WHOLE)
		return v;
	if (!host_is_right(m) || !read_framing(m))
		return STRICT_BAD;
	m->head = at - m->start;
	return read_body(m, bytes, false);
}

/* "HTTP/1.1 200 OK"; the space is forgotten by some when there is no reason. */
static bool read_status_line(struct strict *m, struct str line)
{
	if (line.len < 12 || !read_version(m, (struct str){line.at, 8}) || line.at[8] != ' ')
		return false;
	for (size_t i = 9; i < 12; i++) {
		if (line.at[i] < '0' || line.at[i] > '9')
			return false;
		m->status = m->status * 10 + (line.at[i] - '0');
	}
	if (line.len > 12 && line.at[12] != ' ')
		return false;
	m->reason = from(line, line.len > 12 ? 13 : 12);
	return m->status >= 100 && m->status < 600 && is_clean(m->reason);
}

enum strict_verdict strict_response(struct strict *m, struct str bytes, bool to_head, bool at_end)
{
	struct str line;
	size_t at = 0;

	reset(m);
	enum strict_verdict v = next_line(bytes, &at, &line);
	if (v == STRICT_WHOLE && !read_status_line(m, line))
		v = STRICT_BAD;
	if (v == STRICT_WHOLE)
		v = read_fields(m, bytes, &at);
	if (v != STRICT_WHOLE)
		return v;
	if (!read_framing(m))
		return STRICT_BAD;
	m->head = at;
	if (m->status == 101)
		m->kind = STRICT_TUNNEL;
	else if (m->status < 200 || m->status == 204 || m->status == 304 || to_head)
		m->kind = STRICT_NONE;
	else if (m->kind == STRICT_NONE)
		m->kind = STRICT_TO_END;
	return read_body(m, bytes, at_end);
}

void strict_free(struct strict *m)
{
	free(m->body);
	m->body = NULL;
}

/* An absolute target's authority and what follows it; false: it has another form. */
static bool split_absolute(struct str target, struct str *authority, struct str *rest)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(schemes[i]);

		if (target.len <= n || strncasecmp(target.at, schemes[i], n) != 0)
			continue;
		*authority = from(target, n);
		for (n = 0; n < authority->len && authority->at[n] != '/' && authority->at[n] != '?';)
			n++;
		*rest = from(*authority, n);
		authority->len = n;
		return true;
	}
	return false;
}

struct str strict_path(const struct strict *m, char *path_room)
{
	struct str authority, rest;
	size_t n = 0;

	if (!split_absolute(m->target, &authority, &rest))
		return m->target;
	if (rest.len == 0)
		return str_eq(m->method, STR("OPTIONS")) ? STR("*") : STR("/");
	if (rest.at[0] == '?')
		path_room[n++] = '/';
	memcpy(path_room + n, rest.at, rest.len);
	return (struct str){path_room, n + rest.len};
}

struct str strict_host(const struct strict *m)
{
	const struct strict_field *host = strict_find(m, "host");
	struct str authority, rest;

	if (split_absolute(m->target, &authority, &rest))
		return authority;
	return host ? host->value : STR("");
}

/* RFC 9110 section 7.6.1; Host, Content-Length and Via are never taken for it. */
static bool is_hop(const struct strict *m, struct str name)
{
	static const char *const hops[] = {"connection", "keep-alive", "proxy-connection", "te", "trailer",
	        "transfer-encoding", "upgrade", NULL};

	for (size_t i = 0; hops[i]; i++)
		if (is_same(name, hops[i]))
			return true;
	if (is_same(name, "expect") && m->method.len > 0 &&
	        m->minor == 0) /* a client's of HTTP/1.0 is ignored: RFC 9110 section 10.1.1 */
		return true;
	if (is_same(name, "host") || is_same(name, "content-length") || is_same(name, "via"))
		return false;
	for (unsigned i = 0; i < m->count; i++)
		if (is_same(m->fields[i].name, "connection") && list_has(m->fields[i].value, name))
			return true;
	return false;
}

static bool is_among(struct str name, const char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		if (is_same(name, names[i]))
			return true;
	return false;
}

bool strict_same_fields(const struct strict *in, const struct strict *out, const char *const *ours)
{
	unsigned k = 0;

	for (unsigned i = 0; i < in->count; i++) {
		const struct strict_field *f = &in->fields[i];

		if (is_hop(in, f->name) || is_among(f->name, ours))
			continue;
		while (k < out->count && is_among(out->fields[k].name, ours))
			k++;
		if (k == out->count || !str_eq(out->fields[k].name, f->name) ||
		        !str_eq(out->fields[k].value, f->value))
			return false;
		k++;
	}
	while (k < out->count && is_among(out->fields[k].name, ours))
		k++;
	return k == out->count;
}
