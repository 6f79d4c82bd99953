/* Parsing of requests and responses: verdicts, slices, folding. Random bytes are in http_fuzz_test.c. */
#include <check.h>
#include <stdlib.h>

#include "http/head.h"

#define BYTES(literal)                                                                                       \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

enum { ROOM = 8 };

/* A copy of exactly this size, so that a read beyond it is seen by the sanitizer. */
static char *copy_of(struct str s)
{
	char *bytes = malloc(s.len > 0 ? s.len : 1);

	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, s.at, s.len);
	return bytes;
}

static void assert_str(struct str got, const char *expected)
{
	ck_assert_msg(str_eq(got, str_of(expected)), "got \"%.*s\", expected \"%s\"", STR_ARG(got), expected);
}

static enum http_fault parse(struct http_head *head, char *bytes, size_t len, bool is_request)
{
	return is_request ? http_request_parse(head, bytes, len) : http_response_parse(head, bytes, len);
}

struct verdict {
	struct str bytes;
	enum http_fault fault;
};

static void assert_verdict(const struct verdict *row, bool is_request)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	char *bytes = copy_of(row->bytes);
	enum http_fault fault = parse(&head, bytes, row->bytes.len, is_request);

	ck_assert_msg(fault == row->fault, "%s, expected %s: %.*s", http_fault_word(fault),
	        http_fault_word(row->fault), STR_ARG(row->bytes));
	free(bytes);
}

#define LINE(line) BYTES(line "Host: h\r\n\r\n")
#define FIELDS(lines) BYTES("GET / HTTP/1.1\r\nHost: h\r\n" lines "\r\n")
#define TARGET(target) BYTES("GET " target " HTTP/1.1\r\nHost: h\r\n\r\n")
#define HOST(host) BYTES("GET / HTTP/1.1\r\nHost: " host "\r\n\r\n")

static const struct verdict requests[] = {
        /* The request line, RFC 9112 section 3. */
        {LINE("GET / HTTP/1.1\r\n"), HTTP_OK},
        {LINE("GET / HTTP/1.0\r\n"), HTTP_OK},
        {LINE("GET / HTTP/1.2\r\n"), HTTP_OK},
        {LINE("M-SEARCH / HTTP/1.1\r\n"), HTTP_OK},
        {LINE("g!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n"), HTTP_OK},
        {LINE("GET  / HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET  HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET /  HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE(" GET / HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP/1.1 \r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET\t/ HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP/1.1\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP/1.1\r\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET /\rHTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / \rHTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET\r / HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("G(T / HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("G\xc3T / HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET /\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / /x HTTP/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {BYTES(""), HTTP_BAD_REQUEST_LINE},
        {BYTES("\n"), HTTP_BAD_REQUEST_LINE},
        {BYTES("\r\n"), HTTP_BAD_REQUEST_LINE},
        {BYTES("GET"), HTTP_BAD_REQUEST_LINE},
        {BYTES("GET / HTTP/1.1"), HTTP_BAD_REQUEST_LINE},
        {BYTES("GET / HTTP/1.1\n"), HTTP_BAD_REQUEST_LINE},
        {BYTES("GET / HTTP/1.\r\n"), HTTP_BAD_REQUEST_LINE},
        /* The version, section 2.3. */
        {LINE("GET / HTTP/2.0\r\n"), HTTP_BAD_VERSION},
        {LINE("GET / HTTP/0.9\r\n"), HTTP_BAD_VERSION},
        {LINE("GET / HTTP/9.9\r\n"), HTTP_BAD_VERSION},
        {BYTES("PRI * HTTP/2.0\r\n\r\n"), HTTP_BAD_VERSION},
        {LINE("GET / HTTP/2\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP/1.10\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP/01.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP/1,1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / http/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTP 1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / HTTPS/1.1\r\n"), HTTP_BAD_REQUEST_LINE},
        {LINE("GET / ICE/1.0\r\n"), HTTP_BAD_REQUEST_LINE},
        /* The target, section 3.2. */
        {TARGET("/a?b=c&d=%20{}|\"<>\\^`"), HTTP_OK},
        {TARGET("/a#b"), HTTP_BAD_TARGET},
        {TARGET("/a\tb"), HTTP_BAD_TARGET},
        {TARGET("/a\0b"), HTTP_BAD_TARGET},
        {TARGET("/a\x7f"), HTTP_BAD_TARGET},
        {TARGET("/a\x80"), HTTP_BAD_TARGET},
        {TARGET("/\xff"), HTTP_BAD_TARGET},
        {TARGET("a"), HTTP_BAD_TARGET},
        {TARGET("?a"), HTTP_BAD_TARGET},
        {TARGET("*"), HTTP_BAD_TARGET},
        {TARGET("h:80"), HTTP_BAD_TARGET},
        {TARGET("ftp://h/"), HTTP_BAD_TARGET},
        {TARGET("http:/h/"), HTTP_BAD_TARGET},
        {TARGET("http://"), HTTP_BAD_TARGET},
        {TARGET("http:///a"), HTTP_BAD_TARGET},
        {TARGET("http://:80/"), HTTP_BAD_TARGET},
        {TARGET("http://u@h/"), HTTP_BAD_TARGET},
        {TARGET("http://u:p@h/"), HTTP_BAD_TARGET},
        {TARGET("http://h:8x/"), HTTP_BAD_TARGET},
        {TARGET("http://h?q"), HTTP_OK},
        {TARGET("http://h/#f"), HTTP_BAD_TARGET},
        {LINE("OPTIONS ** HTTP/1.1\r\n"), HTTP_BAD_TARGET},
        {LINE("options * HTTP/1.1\r\n"), HTTP_BAD_TARGET},
        {LINE("CONNECT h:443 HTTP/1.1\r\n"), HTTP_NO_CONNECT},
        {LINE("CONNECT / HTTP/1.1\r\n"), HTTP_NO_CONNECT},
        {LINE("CONNECT h:443 HTTP/2.0\r\n"), HTTP_BAD_VERSION},
        /* Fields, section 5. */
        {FIELDS("A: b\r\nC:d\r\nE:\r\nF: \t \r\n"), HTTP_OK},
        {FIELDS("A: \t\x20~\x80\xff (\"\r\n"), HTTP_OK},
        {FIELDS("A: 12345678\t12345678\r\n"), HTTP_OK},
        {FIELDS("A : b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A\t: b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A b: c\r\n"), HTTP_BAD_FIELD},
        {FIELDS(": b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A(: b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("\xe4: b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A\0: b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\r\n c\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\r\n\tc\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\r\n \r\n"), HTTP_BAD_FIELD},
        {FIELDS("A:\r\n b\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\rC: d\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\rxC: d\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\r\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\nC: d\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: b\n"), HTTP_BAD_FIELD},
        {FIELDS("A: \0\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: 1234567890\x01\r\n"), HTTP_BAD_FIELD},
        {FIELDS("A: 1234567890\x1f"
                "1234567890\r\n"),
                HTTP_BAD_FIELD},
        {FIELDS("A: 123\x7f"
                "4567890\r\n"),
                HTTP_BAD_FIELD},
        {FIELDS("A: \x0b"
                "b\r\n"),
                HTTP_BAD_FIELD},
        {FIELDS("\r\nA: b\r\n"), HTTP_BAD_FIELD},
        {BYTES("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), HTTP_BAD_FIELD},
        {BYTES("GET / HTTP/1.1\r\n\tA: b\r\nHost: h\r\n\r\n"), HTTP_BAD_FIELD},
        {BYTES("GET / HTTP/1.1\r\nHost: h\r\n"), HTTP_BAD_FIELD},
        {BYTES("GET / HTTP/1.1\r\n"), HTTP_BAD_FIELD},
        {BYTES("GET / HTTP/1.1\r\nHost: h\r\n\n"), HTTP_BAD_FIELD},
        {BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\r\n"), HTTP_BAD_FIELD},
        {FIELDS("1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n"), HTTP_OK},
        {FIELDS("1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n"), HTTP_HEAD_TOO_LARGE},
        /* Host, section 3.2. */
        {BYTES("GET / HTTP/1.1\r\n\r\n"), HTTP_BAD_HOST},
        {BYTES("GET / HTTP/1.0\r\n\r\n"), HTTP_OK},
        {BYTES("GET http://h/ HTTP/1.1\r\n\r\n"), HTTP_BAD_HOST},
        {FIELDS("host: h\r\n"), HTTP_BAD_HOST},
        {BYTES("GET / HTTP/1.0\r\nHost: h\r\nHOST: h\r\n\r\n"), HTTP_BAD_HOST},
        {BYTES("GET / HTTP/1.0\r\nHost: u@h\r\n\r\n"), HTTP_BAD_HOST},
        {BYTES("GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n"), HTTP_BAD_HOST},
        {HOST("www.example.org:8080"), HTTP_OK},
        {HOST("h:"), HTTP_OK},
        {HOST("127.0.0.1:80"), HTTP_OK},
        {HOST("[::1]"), HTTP_OK},
        {HOST("[2001:DB8::1]:80"), HTTP_OK},
        {HOST("[::ffff:1.2.3.4]:"), HTTP_OK},
        {HOST("a%2Fb"), HTTP_OK},
        {HOST("a_b~!$&'()*+,;="), HTTP_OK},
        {HOST(""), HTTP_BAD_HOST},
        {HOST(":80"), HTTP_BAD_HOST},
        {HOST("h:80:80"), HTTP_BAD_HOST},
        {HOST("h:-1"), HTTP_BAD_HOST},
        {HOST("h:8o"), HTTP_BAD_HOST},
        {HOST("a b"), HTTP_BAD_HOST},
        {HOST("a, b"), HTTP_BAD_HOST},
        {HOST("h/p"), HTTP_BAD_HOST},
        {HOST("h?q"), HTTP_BAD_HOST},
        {HOST("h#f"), HTTP_BAD_HOST},
        {HOST("h\\p"), HTTP_BAD_HOST},
        {HOST("u@h"), HTTP_BAD_HOST},
        {HOST("a%2"), HTTP_BAD_HOST},
        {HOST("a%zz"), HTTP_BAD_HOST},
        {HOST("\xe4"), HTTP_BAD_HOST},
        {HOST("[::1"), HTTP_BAD_HOST},
        {HOST("[]"), HTTP_BAD_HOST},
        {HOST("["), HTTP_BAD_HOST},
        {HOST("[::1]x"), HTTP_BAD_HOST},
        {HOST("[::g]"), HTTP_BAD_HOST},
        {HOST("[1.2.3.4]"), HTTP_BAD_HOST},
        {HOST("[::1%25eth0]"), HTTP_BAD_HOST},
        {HOST("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"), HTTP_BAD_HOST},
};

START_TEST(request_verdict)
{
	assert_verdict(&requests[_i], true);
}
END_TEST

#define ANSWER(lines) BYTES("HTTP/1.1 200 OK\r\n" lines "\r\n")

static const struct verdict responses[] = {
        /* The status line, section 4. */
        {BYTES("HTTP/1.1 200 OK\r\n\r\n"), HTTP_OK},
        {BYTES("HTTP/1.0 200 \r\n\r\n"), HTTP_OK},
        {BYTES("HTTP/1.1 200\r\n\r\n"), HTTP_OK},
        {BYTES("HTTP/1.7 599 \t\xe4 x\r\n\r\n"), HTTP_OK},
        {BYTES("HTTP/1.1 100 Continue\r\n\r\n"), HTTP_OK},
        {BYTES("HTTP/1.1 099 x\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 600 x\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 20 x\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 2000 x\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 200x\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 +20 x\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1  200 OK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1\t200 OK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES(" HTTP/1.1 200 OK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("http/1.1 200 OK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/2.0 200 OK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.10 200 OK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 200 OK\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 200 O\rK\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 200 O\0K\r\n\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 200 OK\r\nA: b"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 20\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1 200"), HTTP_BAD_STATUS_LINE},
        {BYTES("HTTP/1.1\n"), HTTP_BAD_STATUS_LINE},
        {BYTES("\r\n"), HTTP_BAD_STATUS_LINE},
        {BYTES(""), HTTP_BAD_STATUS_LINE},
        /* Fields, section 5. */
        {ANSWER("A: b\r\nC : d\r\n"), HTTP_OK},
        {ANSWER("A: b\r\n c\r\n"), HTTP_OK},
        {ANSWER("A: b\r\n \r\n"), HTTP_OK},
        {ANSWER("A b: c\r\n"), HTTP_BAD_FIELD},
        {ANSWER(" A: b\r\n"), HTTP_BAD_FIELD},
        {ANSWER(" \r\nA: b\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A\r\n : b\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A: b\r\nC\r\n : d\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A: b\n c\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A: b\nC: d\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A: b\rc\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A: b\0\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A: b\r\n \0\r\n"), HTTP_BAD_FIELD},
        {ANSWER("A\r\n"), HTTP_BAD_FIELD},
        {ANSWER(": b\r\n"), HTTP_BAD_FIELD},
        {ANSWER("1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n9:\r\n"), HTTP_HEAD_TOO_LARGE},
        {BYTES("HTTP/1.1 200 OK\r\n"), HTTP_BAD_FIELD},
        {BYTES("HTTP/1.1 200 OK\r\nA: b\r\n\n"), HTTP_BAD_FIELD},
};

START_TEST(response_verdict)
{
	assert_verdict(&responses[_i], false);
}
END_TEST

static const struct {
	struct str bytes;
	enum http_target_form form;
	const char *path;
	const char *host;
} targets[] = {
        {BYTES("GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n"), TARGET_ORIGIN, "/a?b", "h:1"},
        {BYTES("GET //a HTTP/1.1\r\nHost: h\r\n\r\n"), TARGET_ORIGIN, "//a", "h"},
        {BYTES("GET /http://x/ HTTP/1.1\r\nHost: h\r\n\r\n"), TARGET_ORIGIN, "/http://x/", "h"},
        {BYTES("GET / HTTP/1.0\r\n\r\n"), TARGET_ORIGIN, "/", ""},
        {BYTES("GET http://h:1/a?b HTTP/1.1\r\nHost: other\r\n\r\n"), TARGET_ABSOLUTE, "/a?b", "h:1"},
        {BYTES("GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n"), TARGET_ABSOLUTE, "/", "h"},
        {BYTES("GET hTTp://h/@/ HTTP/1.0\r\n\r\n"), TARGET_ABSOLUTE, "/@/", "h"},
        {BYTES("GET http://[::1]:1/ HTTP/1.0\r\n\r\n"), TARGET_ABSOLUTE, "/", "[::1]:1"},
        {BYTES("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), TARGET_ASTERISK, "*", "h"},
        {BYTES("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n"), TARGET_ABSOLUTE, "*", "h"},
        {BYTES("OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"), TARGET_ABSOLUTE, "/", "h"},
};

START_TEST(request_target)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	char *bytes = copy_of(targets[_i].bytes);

	ck_assert_int_eq(http_request_parse(&head, bytes, targets[_i].bytes.len), HTTP_OK);
	ck_assert_int_eq(head.form, targets[_i].form);
	assert_str(head.path, targets[_i].path);
	assert_str(head.host, targets[_i].host);
	free(bytes);
}
END_TEST

START_TEST(request_slices)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	struct str text = STR(
	        "PUT /x HTTP/1.1\r\nHOST:\th \r\ncontent-length: 5\r\nX-a:b c \t\r\nE:  \r\n\r\n");

	ck_assert_int_eq(http_request_parse(&head, text.at, text.len), HTTP_OK);
	ck_assert(head.is_request);
	ck_assert_int_eq(head.minor, 1);
	assert_str(head.method, "PUT");
	assert_str(head.target, "/x");
	ck_assert_uint_eq(head.size, text.len);
	ck_assert_uint_eq(head.count, 4);
	assert_str(fields[0].name, "HOST");
	assert_str(fields[0].value, "h");
	ck_assert_int_eq(fields[0].id, FIELD_HOST);
	ck_assert_int_eq(fields[1].id, FIELD_CONTENT_LENGTH);
	assert_str(fields[2].value, "b c");
	ck_assert_int_eq(fields[2].id, FIELD_OTHER);
	assert_str(fields[3].value, "");
	ck_assert(!fields[3].hop);
}
END_TEST

START_TEST(request_minor)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	char text[] = "GET / HTTP/1.x\r\nHost: h\r\n\r\n";

	for (char digit = '0'; digit <= '9'; digit++) {
		text[13] = digit;
		ck_assert_int_eq(http_request_parse(&head, text, strlen(text)), HTTP_OK);
		ck_assert_int_eq(head.minor, digit == '0' ? 0 : 1);
	}
}
END_TEST

/* What was read before a fault is there for the log. */
START_TEST(request_after_fault)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM, .host = STR("stale"), .count = 5};
	struct str text = STR("GET /x HTTP/1.1\r\nA : b\r\n\r\n");

	ck_assert_int_eq(http_request_parse(&head, text.at, text.len), HTTP_BAD_FIELD);
	assert_str(head.method, "GET");
	assert_str(head.path, "/x");
	assert_str(head.host, "");
	ck_assert_uint_eq(head.count, 0);
	ck_assert_uint_eq(head.room, ROOM);
}
END_TEST

static const struct {
	const char *bytes;
	const char *name;
	const char *value;
	unsigned count;
} folds[] = {
        {"HTTP/1.1 200 OK\r\nName \t: v\r\n\r\n", "Name", "v", 1},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "A", "b   c", 1},
        {"HTTP/1.1 200 OK\r\nA: b\t\r\n\t c\r\nD: e\r\n\r\n", "A", "b     c", 2},
        {"HTTP/1.1 200 OK\r\nA:\r\n b\r\n\tc\r\n \r\nD: e\r\n\r\n", "A", "b   c", 2},
        {"HTTP/1.1 200 OK\r\nA: b\r\n C: d\r\n\r\n", "A", "b   C: d", 1},
};

START_TEST(response_fold)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	size_t len = strlen(folds[_i].bytes);
	char *bytes = copy_of((struct str){folds[_i].bytes, len});

	ck_assert_int_eq(http_response_parse(&head, bytes, len), HTTP_OK);
	ck_assert_uint_eq(head.count, folds[_i].count);
	assert_str(fields[0].name, folds[_i].name);
	assert_str(fields[0].value, folds[_i].value);
	free(bytes);
}
END_TEST

static const struct {
	const char *line;
	int status;
	int minor;
	const char *reason;
} statuses[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 200, 1, "OK"},
        {"HTTP/1.0 404 Not Found\r\n\r\n", 404, 0, "Not Found"},
        {"HTTP/1.1 599 \r\n\r\n", 599, 1, ""},
        {"HTTP/1.3 101\r\n\r\n", 101, 1, ""},
};

START_TEST(response_status)
{
	struct http_head head = {0};
	size_t len = strlen(statuses[_i].line);
	char *bytes = copy_of((struct str){statuses[_i].line, len});

	ck_assert_int_eq(http_response_parse(&head, bytes, len), HTTP_OK);
	ck_assert(!head.is_request);
	ck_assert_int_eq(head.status, statuses[_i].status);
	ck_assert_int_eq(head.minor, statuses[_i].minor);
	assert_str(head.reason, statuses[_i].reason);
	free(bytes);
}
END_TEST

/* Every byte in every class: what a name, a value and a target hold. */
START_TEST(every_byte)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	const char *token_marks = "!#$%&'*+-.^_`|~";
	char text[] = "GET /. HTTP/1.0\r\nn.: 1234.67890123.5\r\n\r\n";
	char c = (char)_i;
	bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
	bool control = (_i < 0x20 || _i == 0x7f);
	size_t at[] = {5, 18, 25, 34, 35};
	bool fine[] = {_i > 0x20 && _i < 0x7f && c != '#', alnum || (c && strchr(token_marks, c)),
	        !control || c == '\t', !control || c == '\t', !control || c == '\t'};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		char saved = text[at[i]];

		text[at[i]] = c;
		bool ok = http_request_parse(&head, text,
		                  strlen("GET /. HTTP/1.0\r\nn.: 1234.67890123.5\r\n\r\n")) == HTTP_OK;
		/* A colon in the name ends it, and the next one is of the value. */
		ck_assert_msg(ok == (fine[i] || (i == 1 && c == ':')), "byte %d at %zu", _i, at[i]);
		text[at[i]] = saved;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/parse");
	TCase *tc = tcase_create("parse");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, request_verdict, 0, COUNT(requests));
	tcase_add_loop_test(tc, response_verdict, 0, COUNT(responses));
	tcase_add_loop_test(tc, request_target, 0, COUNT(targets));
	tcase_add_test(tc, request_slices);
	tcase_add_test(tc, request_minor);
	tcase_add_test(tc, request_after_fault);
	tcase_add_loop_test(tc, response_fold, 0, COUNT(folds));
	tcase_add_loop_test(tc, response_status, 0, COUNT(statuses));
	tcase_add_loop_test(tc, every_byte, 0, 256);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
