#include "base/assert.h"
#include "http/chars.h"
#include "http/frame.h"

/*
 * The chunk parser, RFC 9112 section 7.1: strict CRLF, no sign, prefix or space before a size.
 *
 *	size -> SIZE (EXT_SPACE EXT_START NAME VALUE) SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_START ...
 *	last ("0") -> TRAILER_START (NAME VALUE LF) ... -> END_LF -> done
 */
enum {
	SIZE_START,
	SIZE,
	EXT_SPACE, /* white space after the size: only an extension may follow */
	EXT_START, /* after ";": white space, then a name */
	NAME,
	NAME_END,    /* white space after a name */
	VALUE_START, /* after "=": white space, then a value */
	VALUE,       /* a token */
	VALUE_END,   /* white space after a value */
	QUOTED,      /* a value in quotes: no line ends within */
	ESCAPED,     /* after "\" there */
	UNQUOTED,    /* after its end */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_START,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF
};

enum { SIZE_DIGITS_MAX = 16, LINE_FREE = 16 };

void http_body_reader_init(struct http_body_reader *r, struct http_framing framing, unsigned line_limit)
{
	*r = (struct http_body_reader){.kind = framing.kind, .state = SIZE_START, .line_limit = line_limit};
	if (framing.kind == BODY_LENGTH)
		r->left = framing.length;
	r->done = framing.kind == BODY_NONE || (framing.kind == BODY_LENGTH && framing.length == 0);
}

static unsigned hex_value(char c)
{
	return http_is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

static bool step_digit(struct http_body_reader *r, char c)
{
	/* r->line counts this digit. 63 bits, so that no sum with a signed offset overflows. */
	if (r->line > SIZE_DIGITS_MAX || r->left > (INT64_MAX >> 4))
		return false;
	r->left = r->left << 4 | hex_value(c);
	r->state = SIZE;
	return true;
}

/* After the size: BWS before ";", an extension, or the end of the line. */
static bool step_size_end(struct http_body_reader *r, char c)
{
	if (c == ';')
		r->state = EXT_START;
	else if (http_is_space(c))
		r->state = EXT_SPACE;
	else if (c == '\r' && r->state == SIZE)
		r->state = SIZE_LF;
	else
		return false;
	return true;
}

static bool step_ext_start(struct http_body_reader *r, char c)
{
	if (http_is_space(c))
		return true;
	r->state = NAME;
	return http_is(CHAR_TOKEN, c);
}

/* In or after a name, or a value. */
static bool step_ext(struct http_body_reader *r, char c)
{
	bool is_name = r->state == NAME || r->state == NAME_END;

	if (c == ';')
		r->state = EXT_START;
	else if (c == '=' && is_name)
		r->state = VALUE_START;
	else if (http_is_space(c))
		r->state = is_name ? NAME_END : VALUE_END;
	else if (c == '\r' && r->state != NAME_END && r->state != VALUE_END)
		r->state = SIZE_LF;
	else
		return (r->state == NAME || r->state == VALUE) && http_is(CHAR_TOKEN, c);
	return true;
}

static bool step_value_start(struct http_body_reader *r, char c)
{
	if (http_is_space(c))
		return true;
	r->state = c == '"' ? QUOTED : VALUE;
	return c == '"' || http_is(CHAR_TOKEN, c);
}

static bool step_quoted(struct http_body_reader *r, char c)
{
	if (r->state == ESCAPED || (c != '"' && c != '\\'))
		r->state = QUOTED;
	else
		r->state = c == '"' ? UNQUOTED : ESCAPED;
	return http_is(CHAR_VALUE, c);
}

/* The size line is over. What it has beyond its allowance adds up, and what it has less makes up for others. */
static bool step_size_line_done(struct http_body_reader *r)
{
	uint64_t allowed = LINE_FREE + (r->left < r->line_limit ? 2 * r->left : 2 * (uint64_t)r->line_limit);

	r->excess += r->line;
	r->excess -= r->excess < allowed ? r->excess : (unsigned)allowed;
	r->state = r->left > 0 ? DATA : TRAILER_START;
	r->line = 0;
	return r->excess <= r->line_limit;
}

/* Goes on when c is of the class, or to `next` on the byte that ends the run. */
static bool step_run(struct http_body_reader *r, unsigned class, char c, char last, unsigned next)
{
	if (c == last)
		r->state = next;
	else
		return http_is(class, c);
	return true;
}

static bool step_expect(struct http_body_reader *r, char c, char expected, unsigned next)
{
	r->state = next;
	return c == expected;
}

static bool step_trailer_start(struct http_body_reader *r, char c)
{
	r->state = c == '\r' ? END_LF : TRAILER_NAME;
	return c == '\r' || http_is(CHAR_TOKEN, c);
}

/* One byte that is not data; false when it is malformed. */
static bool step(struct http_body_reader *r, char c)
{
	if (r->state != DATA_CR && r->state != DATA_LF && ++r->line > r->line_limit)
		return false;
	switch (r->state) {
	case SIZE_START:
		return http_is(CHAR_HEX, c) && step_digit(r, c);
	case SIZE:
		return http_is(CHAR_HEX, c) ? step_digit(r, c) : step_size_end(r, c);
	case EXT_SPACE:
		return step_size_end(r, c);
	case EXT_START:
		return step_ext_start(r, c);
	case NAME:
	case NAME_END:
	case VALUE:
	case VALUE_END:
	case UNQUOTED:
		return step_ext(r, c);
	case VALUE_START:
		return step_value_start(r, c);
	case QUOTED:
	case ESCAPED:
		return step_quoted(r, c);
	case SIZE_LF:
		return c == '\n' && step_size_line_done(r);
	case DATA_CR:
		return step_expect(r, c, '\r', DATA_LF);
	case DATA_LF:
		return step_expect(r, c, '\n', SIZE_START);
	case TRAILER_START:
		return step_trailer_start(r, c);
	case TRAILER_NAME:
		return step_run(r, CHAR_TOKEN, c, ':', TRAILER_VALUE);
	case TRAILER_VALUE:
		return step_run(r, CHAR_VALUE, c, '\r', TRAILER_LF);
	case TRAILER_LF:
		return step_expect(r, c, '\n', TRAILER_START);
	default:
		MUST(r->state == END_LF);
		r->done = true;
		return c == '\n';
	}
}

/* At most one run of data a call, with all the framing before and after it. */
static enum http_fault read_chunked(
        struct http_body_reader *r, const char *bytes, size_t len, size_t *used, struct str *data)
{
	size_t i = 0;

	while (i < len && !r->done) {
		if (r->state != DATA) {
			if (!step(r, bytes[i++]))
				return HTTP_BAD_CHUNK;
			continue;
		}
		if (data->len > 0)
			break;
		size_t n = len - i < r->left ? len - i : (size_t)r->left;
		*data = (struct str){bytes + i, n};
		i += n;
		r->left -= n;
		if (r->left == 0)
			r->state = DATA_CR;
	}
	*used = i;
	return HTTP_OK;
}

static void read_plain(
        struct http_body_reader *r, const char *bytes, size_t len, size_t *used, struct str *data)
{
	size_t n = len;

	if (r->kind == BODY_LENGTH) {
		if (n > r->left)
			n = (size_t)r->left;
		r->left -= n;
		r->done = r->left == 0;
	}
	*data = (struct str){bytes, n};
	*used = n;
}

enum http_fault http_body_read(
        struct http_body_reader *r, const char *bytes, size_t len, size_t *used, struct str *data)
{
	enum http_fault fault = HTTP_OK;

	*used = 0;
	*data = (struct str){bytes, 0};
	if (r->done)
		return HTTP_OK;
	if (r->kind == BODY_CHUNKED)
		fault = read_chunked(r, bytes, len, used, data);
	else
		read_plain(r, bytes, len, used, data);
	if (fault != HTTP_OK)
		data->len = 0;
	r->taken += data->len;
	return fault;
}

bool http_body_eof(struct http_body_reader *r)
{
	if (r->kind == BODY_CLOSE || r->kind == BODY_TUNNEL)
		r->done = true;
	return r->done;
}

size_t http_chunk_head(char out[HTTP_CHUNK_HEAD_MAX], uint64_t n)
{
	size_t digits = 1;

	MUST(n > 0); /* a size of 0 would end the body */
	for (uint64_t rest = n >> 4; rest > 0; rest >>= 4)
		digits++;
	for (size_t i = digits; i-- > 0; n >>= 4)
		out[i] = "0123456789abcdef"[n & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}

void http_body_skip(struct http_body_reader *r, uint64_t n)
{
	r->taken += n;
	if (r->kind != BODY_LENGTH)
		return;
	r->left -= n;
	r->done = r->left == 0;
}
