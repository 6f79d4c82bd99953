/* How long a body is, RFC 9112 section 6.3. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/frame.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

enum { ROOM = 8 };

struct row {
	int minor;
	const char *fields;
	enum http_fault fault;
	enum http_body_kind kind;
	uint64_t length;
};

#define TE(value) "Transfer-Encoding: " value "\r\n"
#define CL(value) "Content-Length: " value "\r\n"

/* What is refused in both directions. */
static const struct row faults[] = {
        /* Content-Length, RFC 9110 section 8.6. */
        {1, CL("+5"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("-1"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("0x5"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5_0"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5 0"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5.0"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5;"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("\"5\""), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5,"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5, 5"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5, 6"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL(""), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("five"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("\xb2"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("9223372036854775808"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("18446744073709551621"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("99999999999999999999999999"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5") CL("6"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5") "A: b\r\n" CL("5") CL("50"), HTTP_BAD_FRAMING, 0, 0},
        {1, CL("5") CL(""), HTTP_BAD_FRAMING, 0, 0},
        {0, CL("5") CL("6"), HTTP_BAD_FRAMING, 0, 0},
        /* Both. */
        {1, CL("5") TE("chunked"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked") CL("0"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("gzip, chunked") CL("5"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("identity") CL("5"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("") CL("5"), HTTP_BAD_FRAMING, 0, 0},
        /* Transfer-Encoding, RFC 9112 section 6.1. */
        {0, TE("chunked"), HTTP_BAD_FRAMING, 0, 0},
        {0, TE("gzip"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked, chunked"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked") TE("chunked"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("gzip") TE("chunked"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked") TE("identity"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("") TE("chunked"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked, gzip"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked, identity"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked,"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE(",chunked"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE(","), HTTP_BAD_FRAMING, 0, 0},
        {1, TE(""), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked;q=1"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("\"chunked\""), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("'chunked'") CL("1"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked x"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked\xa0"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("chunked \t, gzip"), HTTP_BAD_FRAMING, 0, 0},
        {1, TE("identity"), HTTP_BAD_CODING, 0, 0},
        {1, TE("gzip"), HTTP_BAD_CODING, 0, 0},
        {1, TE("gzip, chunked"), HTTP_BAD_CODING, 0, 0},
        {1, TE("gzip , deflate"), HTTP_BAD_CODING, 0, 0},
        {1, TE("xchunked"), HTTP_BAD_CODING, 0, 0},
        {1, TE("chunked1"), HTTP_BAD_CODING, 0, 0},
        {1, TE("'chunked'"), HTTP_BAD_CODING, 0, 0},
};

static const struct row fine[] = {
        {1, CL("0"), HTTP_OK, BODY_LENGTH, 0},
        {1, CL("5"), HTTP_OK, BODY_LENGTH, 5},
        {0, CL("5"), HTTP_OK, BODY_LENGTH, 5},
        {1, CL(" \t5 "), HTTP_OK, BODY_LENGTH, 5},
        {1, CL("9223372036854775807"), HTTP_OK, BODY_LENGTH, INT64_MAX},
        {1, CL("5") CL("5"), HTTP_OK, BODY_LENGTH, 5},
        {1, CL("0") "A: b\r\n" CL("0") CL("0"), HTTP_OK, BODY_LENGTH, 0},
        {1, TE("chunked"), HTTP_OK, BODY_CHUNKED, 0},
        {1, TE("\tChunKED  "), HTTP_OK, BODY_CHUNKED, 0},
        {1, "TE: chunked\r\nX-Transfer-Encoding: gzip\r\nContent_Length: x\r\n" CL("5"), HTTP_OK, BODY_LENGTH,
                5},
};

static void assert_request(const struct row *row, enum http_body_kind kind)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	struct http_framing framing = {.length = 77};
	char text[512];

	snprintf(text, sizeof(text), "POST / HTTP/1.%d\r\nHost: h\r\n%s\r\n", row->minor, row->fields);
	ck_assert_int_eq(http_request_parse(&head, text, strlen(text)), HTTP_OK);
	enum http_fault fault = http_request_framing(&head, &framing);
	ck_assert_msg(fault == row->fault, "%s: %s", http_fault_word(fault), row->fields);
	if (fault != HTTP_OK)
		return;
	ck_assert_int_eq(framing.kind, kind);
	ck_assert_uint_eq(framing.length, kind == BODY_LENGTH ? row->length : 0);
}

static void assert_response(const struct row *row, int status, const char *method, enum http_body_kind kind)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	struct http_framing framing = {.length = 77};
	char text[512];

	snprintf(text, sizeof(text), "HTTP/1.%d %d \r\n%s\r\n", row->minor, status, row->fields);
	ck_assert_int_eq(http_response_parse(&head, text, strlen(text)), HTTP_OK);
	enum http_fault fault = http_response_framing(&head, str_of(method), &framing);
	ck_assert_msg(
	        fault == row->fault, "%d to %s, %s: %s", status, method, http_fault_word(fault), row->fields);
	if (fault != HTTP_OK)
		return;
	ck_assert_int_eq(framing.kind, kind);
	ck_assert_uint_eq(framing.length, kind == BODY_LENGTH ? row->length : 0);
}

static const struct {
	int status;
	const char *method;
	enum http_body_kind kind;
} bodyless[] = {
        {100, "POST", BODY_NONE},
        {103, "GET", BODY_NONE},
        {199, "GET", BODY_NONE},
        {101, "GET", BODY_TUNNEL},
        {204, "GET", BODY_NONE},
        {304, "GET", BODY_NONE},
        {200, "HEAD", BODY_NONE},
        {404, "HEAD", BODY_NONE},
};

START_TEST(refused)
{
	assert_request(&faults[_i], BODY_NONE);
	assert_response(&faults[_i], 200, "GET", BODY_NONE);
	for (int i = 0; i < COUNT(bodyless); i++)
		assert_response(&faults[_i], bodyless[i].status, bodyless[i].method, bodyless[i].kind);
}
END_TEST

START_TEST(accepted)
{
	assert_request(&fine[_i], fine[_i].kind);
	assert_response(&fine[_i], 200, "GET", fine[_i].kind);
	assert_response(&fine[_i], 205, "head", fine[_i].kind);
	assert_response(&fine[_i], 500, "POST", fine[_i].kind);
	for (int i = 0; i < COUNT(bodyless); i++)
		assert_response(&fine[_i], bodyless[i].status, bodyless[i].method, bodyless[i].kind);
}
END_TEST

START_TEST(unsaid)
{
	for (int minor = 0; minor <= 1; minor++) {
		struct row row = {minor, "A: b\r\n", HTTP_OK, BODY_NONE, 0};

		assert_request(&row, BODY_NONE);
		assert_response(&row, 200, "GET", BODY_CLOSE);
		for (int i = 0; i < COUNT(bodyless); i++)
			assert_response(&row, bodyless[i].status, bodyless[i].method, bodyless[i].kind);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/frame");
	TCase *tc = tcase_create("frame");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, refused, 0, COUNT(faults));
	tcase_add_loop_test(tc, accepted, 0, COUNT(fine));
	tcase_add_test(tc, unsaid);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
