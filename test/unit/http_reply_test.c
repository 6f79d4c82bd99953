/* Canned answers, byte for byte, and read back by our own parser. */
#include <check.h>
#include <stdlib.h>

#include "http/frame.h"
#include "http/reply.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))
#define S(literal)                                                                                           \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}

static const struct {
	struct http_reply reply;
	const char *bytes;
} replies[] = {
        {{.status = 404, .close = true},
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n"
                "Connection: close\r\n\r\nNot Found\n"},
        {{.status = 503, .text = S("queue is full"), .date = S("D"), .retry_after = 1},
                "HTTP/1.1 503 Service Unavailable\r\nDate: D\r\nContent-Type: text/plain; charset=utf-8\r\n"
                "Content-Length: 14\r\nRetry-After: 1\r\nConnection: keep-alive\r\n\r\nqueue is full\n"},
        {{.status = 405, .allow = S("GET, HEAD"), .extra = S("Via: 1.1 x\r\nA: b\r\n"), .head = true},
                "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; "
                "charset=utf-8\r\nContent-Length: 19\r\n"
                "Allow: GET, HEAD\r\nVia: 1.1 x\r\nA: b\r\nConnection: keep-alive\r\n\r\n"},
        {{.status = 204}, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"},
        {{.status = 304, .text = S("x"), .close = true},
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"},
};

START_TEST(write_reply)
{
	char out[HTTP_REPLY_MAX];
	size_t len = http_reply_write(&replies[_i].reply, out, sizeof(out));
	struct str got = {out, len};

	ck_assert_msg(str_eq(got, str_of(replies[_i].bytes)), "%.*s", STR_ARG(got));
}
END_TEST

/* 0 and nothing beyond the end, for every size that is too small. */
START_TEST(write_too_small)
{
	size_t len = strlen(replies[_i].bytes);

	for (size_t cap = 0; cap <= len; cap++) {
		char *out = malloc(cap > 0 ? cap : 1);

		ck_assert_ptr_nonnull(out);
		ck_assert_uint_eq(http_reply_write(&replies[_i].reply, out, cap), cap < len ? 0 : len);
		free(out);
	}
}
END_TEST

START_TEST(read_back)
{
	char out[HTTP_REPLY_MAX];
	size_t len = http_reply_write(&replies[_i].reply, out, sizeof(out)), scanned = 0;
	struct http_field fields[8];
	struct http_head head = {.fields = fields, .room = 8};
	struct http_framing framing;
	size_t end = http_head_find_end(out, len, &scanned);

	ck_assert_int_eq(http_response_parse(&head, out, end), HTTP_OK);
	ck_assert_int_eq(head.status, replies[_i].reply.status);
	ck_assert_int_eq(http_head_keeps_alive(&head), !replies[_i].reply.close);
	struct str method = replies[_i].reply.head ? STR("HEAD") : STR("GET");
	ck_assert_int_eq(http_response_framing(&head, method, &framing), HTTP_OK);
	ck_assert_uint_eq(framing.length, len - end);
}
END_TEST

/* The promise of HTTP_REPLY_MAX. */
START_TEST(room_is_enough)
{
	char out[HTTP_REPLY_MAX], text[511];

	memset(text, 'x', sizeof(text));
	for (int status = 100; status < 600; status++) {
		struct http_reply reply = {.status = status,
		        .text = {text, sizeof(text)},
		        .date = STR("Sun, 06 Nov 1994 08:49:37 GMT"),
		        .retry_after = 2147483647};

		ck_assert_uint_gt(http_reply_write(&reply, out, sizeof(out)), 0);
	}
}
END_TEST

START_TEST(reasons)
{
	ck_assert_str_eq(http_reason(200), "OK");
	ck_assert_str_eq(http_reason(404), "Not Found");
	ck_assert_str_eq(http_reason(413), "Content Too Large");
	ck_assert_str_eq(http_reason(429), "Too Many Requests");
	ck_assert_str_eq(http_reason(431), "Request Header Fields Too Large");
	ck_assert_str_eq(http_reason(505), "HTTP Version Not Supported");
	ck_assert_str_eq(http_reason(299), "Unknown");
	ck_assert_str_eq(http_reason(0), "Unknown");
	ck_assert_str_eq(http_reason(-1), "Unknown");
	ck_assert_str_eq(http_reason(506), "Unknown");
	for (int i = HTTP_BAD_REQUEST_LINE; i < HTTP_FAULT_COUNT; i++)
		ck_assert_str_ne(http_reason(http_fault_status((enum http_fault)i)), "Unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/reply");
	TCase *tc = tcase_create("reply");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, write_reply, 0, COUNT(replies));
	tcase_add_loop_test(tc, write_too_small, 0, COUNT(replies));
	tcase_add_loop_test(tc, read_back, 0, COUNT(replies));
	tcase_add_test(tc, room_is_enough);
	tcase_add_test(tc, reasons);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
